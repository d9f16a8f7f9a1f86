//! Debug exit, debug console, Bochs-style shutdown and POST codes. Not hardware: conventions, listed in [`spec`].
//!
//! Ports are given as absolute numbers.

pub mod spec;
#[cfg(test)]
mod tests;

pub use spec::register_name;

use crate::{Register, RestoreError};
use emu_core::device::{Env, Signal};
use emu_core::{IoError, Width};
use serde::{Deserialize, Serialize};
use spec::{CONSOLE, EXIT, POST, SHUTDOWN, SHUTDOWN_WORD};

/// What is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebugPortState {
    /// How many bytes of [`SHUTDOWN_WORD`] have come in a row.
    pub matched: u8,
    /// The last POST code.
    pub post: u8,
    /// Console bytes that nobody has taken yet.
    pub output: Vec<u8>,
}

/// The ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DebugPort {
    state: DebugPortState,
}

impl DebugPort {
    /// After power-on.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a snapshot keeps.
    #[must_use]
    pub const fn state(&self) -> &DebugPortState {
        &self.state
    }

    /// Goes on from a snapshot.
    pub fn restore(&mut self, state: DebugPortState) -> Result<(), RestoreError> {
        let within = usize::from(state.matched) < SHUTDOWN_WORD.len();
        RestoreError::unless(within, "debug port", "more of the shutdown word than there is")?;
        self.state = state;
        Ok(())
    }

    /// The console's bytes since the last call.
    #[must_use]
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.state.output)
    }

    /// IN.
    pub fn read(&mut self, _env: &mut Env<'_>, port: u16, width: Width) -> Result<u64, IoError> {
        match (port, width) {
            (EXIT, _) => Ok(0),
            (CONSOLE, Width::B1) => Ok(CONSOLE.into()),
            (POST, Width::B1) => Ok(self.state.post.into()),
            (CONSOLE | POST, _) => Err(IoError::Width),
            _ => Err(IoError::NoRegister),
        }
    }

    /// OUT.
    pub fn write(&mut self, env: &mut Env<'_>, port: u16, width: Width, value: u64) -> Result<(), IoError> {
        match (port, width) {
            (EXIT, _) => {
                let value = (value & width.mask()) as u32;
                env.signal(Signal::PowerOff { code: value << 1 | 1 });
            }
            (CONSOLE, Width::B1) => self.state.output.push(value as u8),
            (SHUTDOWN, Width::B1) => self.shutdown_byte(env, value as u8),
            (POST, Width::B1) => self.state.post = value as u8,
            (CONSOLE | SHUTDOWN | POST, _) => return Err(IoError::Width),
            _ => return Err(IoError::NoRegister),
        }
        Ok(())
    }

    /// A wrong byte starts the word anew, and may itself be its first.
    fn shutdown_byte(&mut self, env: &mut Env<'_>, byte: u8) {
        if SHUTDOWN_WORD.get(usize::from(self.state.matched)) == Some(&byte) {
            self.state.matched += 1;
        } else {
            self.state.matched = u8::from(byte == SHUTDOWN_WORD[0]);
        }
        if usize::from(self.state.matched) == SHUTDOWN_WORD.len() {
            self.state.matched = 0;
            env.signal(Signal::PowerOff { code: 0 });
        }
    }

    /// The registers that hold something.
    pub fn registers(&self) -> impl Iterator<Item = Register> {
        [Register::plain("POST_CODE", POST, self.state.post)].into_iter()
    }
}
