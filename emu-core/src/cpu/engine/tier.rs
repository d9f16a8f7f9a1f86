//! How instructions are executed: which tier of the engine may. All do the same; nothing but the host's time tells them apart.

use super::jit::{Jit, JitStats};
use crate::cpu::Cpu;
use std::fmt;
use std::str::FromStr;

/// The highest tier that may execute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// One instruction at a time, each in its slow form: what the others are held against.
    Step,
    /// Blocks of chained handlers.
    #[default]
    Interp,
    /// Hot blocks compiled to host code.
    Jit,
    /// Every block compiled before its second run: slow, and what tests the compiler.
    Eager,
}

impl Tier {
    /// All, the plainest first.
    pub const ALL: [Self; 4] = [Self::Step, Self::Interp, Self::Jit, Self::Eager];

    fn name(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Interp => "interp",
            Self::Jit => "jit",
            Self::Eager => "eager",
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Tier {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|tier| tier.name() == text)
            .ok_or_else(|| format!("no engine `{text}`; there are {}", known()))
    }
}

impl Cpu {
    /// Which tier may execute from now on. Changes nothing that the guest, a trace or a snapshot could tell. Where the compiler does not
    /// know the host its tiers are the interpreter.
    pub fn set_tier(&mut self, tier: Tier) {
        self.compile_with(tier, None);
    }

    /// The same, with as many bytes of compiled code at most.
    pub fn set_tier_and_code_size(&mut self, tier: Tier, bytes: usize) {
        self.compile_with(tier, Some(bytes));
    }

    fn compile_with(&mut self, tier: Tier, code_max: Option<usize>) {
        if tier == self.engine.tier && code_max.is_none() {
            return;
        }
        self.engine.tier = tier;
        self.engine.redecode = true;
        self.engine.next_jit = match tier {
            Tier::Step | Tier::Interp => None,
            Tier::Jit => Jit::new(None, code_max).map(Box::new),
            Tier::Eager => Jit::new(Some(1), code_max).map(Box::new),
        };
    }

    /// What the compiled tier did so far; nothing in other tiers.
    #[must_use]
    pub fn jit_stats(&self) -> JitStats {
        self.engine.jit.as_ref().map(|jit| jit.stats).unwrap_or_default()
    }
}
