//! The compiled tier: hot blocks as host code, by Cranelift, behind the same block cache.
//!
//! [`emit`] is a third builder of the instructions in [`sem`](crate::cpu::sem), [`translate`] makes a function of a block, [`arena`] keeps its
//! code. Compiled code keeps registers, flags and charges where the interpreter has them at every operation, so it can stop in front of
//! any: for what the TLB's tags do not allow, for a link that has to be made, and wherever nothing was compiled. Blocks are
//! compiled after they have run a number of times, when nothing else goes on; nothing that a guest sees depends on it.
//!
//! Code is freed all at once: when there is no room for more, the run loop lets every block start anew. Code of a block that was
//! dropped is not reached any more: blocks lead to others by links only, each followed in its generation.

mod arena;
mod emit;
mod enter;
mod layout;
#[cfg(test)]
mod tests;
mod translate;
mod words;

pub(super) use emit::{EmitFn, emit};
pub(super) use enter::{Quick, gate, quick};

use super::block::Block;
use arena::Arena;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::isa::{OwnedTargetIsa, lookup_by_name};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::FunctionBuilderContext;

/// Bytes of code at most.
const CODE_MAX: usize = 32 << 20;
/// A block is compiled when it has run that often: compiling costs as much as some thousand runs in the interpreter.
const HOT: u32 = 2000;

/// Addresses of what compiled code calls.
#[derive(Debug)]
struct Helpers {
    slow: usize,
    follow: usize,
    jump: usize,
}

/// What the compiled tier did, for people who tune it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitStats {
    /// Blocks compiled.
    pub compiled: u64,
    /// Times that all code was freed for want of room.
    pub evictions: u64,
}

/// The compiler and its code.
pub(super) struct Jit {
    isa: OwnedTargetIsa,
    context: Context,
    builder: FunctionBuilderContext,
    arena: Arena,
    /// The function that the host calls, which calls a block's.
    entrance: usize,
    helpers: Helpers,
    /// Runs of a block before it is compiled.
    pub(super) hot: u32,
    /// There is no room: everything has to go at the next turn of the run loop.
    pub(super) full: bool,
    pub(super) stats: JitStats,
}

impl std::fmt::Debug for Jit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jit").field("stats", &self.stats).finish_non_exhaustive()
    }
}

/// Cranelift for the host; `None` if it does not know it, or its calls are not the System V ones.
fn host() -> Option<OwnedTargetIsa> {
    let name = match (cfg!(unix), cfg!(target_arch = "x86_64"), cfg!(target_arch = "aarch64")) {
        (true, true, _) => "x86_64-unknown-linux-gnu",
        (true, _, true) => "aarch64-unknown-linux-gnu",
        _ => return None,
    };
    let mut flags = settings::builder();
    let checked = if cfg!(debug_assertions) { "true" } else { "false" };
    for (name, value) in [
        ("opt_level", "speed"),
        ("enable_verifier", checked),
        ("unwind_info", "false"),
        ("is_pic", "false"),
        // Cranelift needs them in functions that end by going on with another.
        ("preserve_frame_pointers", "true"),
    ] {
        flags.set(name, value).ok()?;
    }
    lookup_by_name(name).ok()?.finish(settings::Flags::new(flags)).ok()
}

impl Jit {
    /// Compiles blocks after `hot` runs, or [`HOT`]; keeps `code_max` bytes of code, or [`CODE_MAX`]. `None` on hosts that it
    /// does not know.
    pub(super) fn new(hot: Option<u32>, code_max: Option<usize>) -> Option<Self> {
        let mut jit = Self {
            isa: host()?,
            context: Context::new(),
            builder: FunctionBuilderContext::new(),
            arena: Arena::new(code_max.unwrap_or(CODE_MAX)),
            entrance: 0,
            helpers: enter::helpers(),
            hot: hot.unwrap_or(HOT),
            full: false,
            stats: JitStats::default(),
        };
        jit.make_entrance()?;
        Some(jit)
    }

    fn make_entrance(&mut self) -> Option<()> {
        translate::entrance(&mut self.context.func, &mut self.builder, &*self.isa);
        self.entrance = self.finish()?;
        Some(())
    }

    /// Compiles what was written into `context`.
    fn finish(&mut self) -> Option<usize> {
        let code = self.context.compile(&*self.isa, &mut ControlPlane::default()).ok();
        let at = code.and_then(|code| self.arena.put(code.code_buffer()));
        self.context.clear();
        at
    }

    /// Compiles a block, unless that gains nothing.
    fn compile(&mut self, block: &Block) {
        if self.full || self.entrance == 0 {
            return;
        }
        let function = &mut self.context.func;
        if !translate::translate(function, &mut self.builder, &*self.isa, &self.helpers, block) {
            self.context.clear();
            return;
        }
        match self.finish() {
            Some(at) => {
                self.stats.compiled += 1;
                block.entry.set(at);
            }
            None => self.full = true,
        }
    }

    /// Frees all code. Only when none of it runs, and no block leads to it any more.
    pub(super) fn free(&mut self) {
        self.arena.clear();
        self.full = false;
        self.stats.evictions += 1;
        self.entrance = 0;
        let _ = self.make_entrance();
    }
}
