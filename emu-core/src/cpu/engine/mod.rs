//! The engine: runs blocks of decoded operations, exactly.
//!
//! Virtual time and the instruction count are charged a block at a time and repaired when a block is left in its
//! middle, so an event due at an instant is seen at the first instruction boundary at or after it, wherever blocks end.
//! Four ways of executing share every instruction's one implementation: chained fast handlers, hot blocks compiled, the slow
//! form of an operation inside a block, and the stepper for deadlines, shadows and traps.

mod block;
mod cache;
#[cfg(test)]
mod coverage;
mod decode;
mod dispatch;
mod fuse;
mod jit;
mod position;
mod run;
mod specialise;
mod tier;
mod vectors;

pub(crate) use block::Op;
pub use jit::JitStats;
pub use run::Exit;
pub use tier::Tier;

use crate::cpu::system::CpuidModel;
use block::Block;
use cache::BlockCache;
use jit::Jit;
use position::Position;
use serde::{Deserialize, Serialize};

/// How the processor is built and how fast it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CpuConfig {
    /// Length of a clock cycle in picoseconds; 500 is 2 GHz. Decides how many instructions a guest burns in a delay loop.
    pub clock_ps: u64,
    /// What CPUID says.
    pub cpuid: CpuidModel,
    /// What RDRAND's and RDSEED's numbers follow from.
    pub seed: u64,
    /// Cycles by class of instruction.
    pub cost: CostTable,
}

impl Default for CpuConfig {
    fn default() -> Self {
        Self { clock_ps: 500, cpuid: CpuidModel::default(), seed: 0, cost: CostTable::default() }
    }
}

/// Cycles that each class of instruction takes: a rough in-order machine, the same for every run.
///
/// Defaults are estimates in the range of published latency tables for recent cores; they make virtual time plausible,
/// not a pipeline model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CostTable {
    /// Everything not named below.
    pub simple: u16,
    /// Multiplication.
    pub multiply: u16,
    /// Division.
    pub divide: u16,
    /// Floating-point and vector arithmetic.
    pub vector: u16,
    /// Far transfers, IRET, SYSCALL, segment loads.
    pub far: u16,
    /// CPUID, control registers, MSRs, cache and TLB control.
    pub system: u16,
    /// PAUSE: a spin loop is to burn time rather than instructions.
    pub pause: u16,
    /// Delivery of an exception or interrupt.
    pub delivery: u16,
    /// Each table entry that a page walk reads.
    pub walk_read: u16,
}

impl Default for CostTable {
    fn default() -> Self {
        Self {
            simple: 1,
            multiply: 3,
            divide: 20,
            vector: 3,
            far: 20,
            system: 50,
            pause: 140,
            delivery: 40,
            walk_read: 10,
        }
    }
}

/// What the engine did, for people who tune it. Not machine state: two runs of one scenario may differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineStats {
    /// Blocks decoded.
    pub blocks_decoded: u64,
    /// Blocks dropped because their bytes changed.
    pub blocks_invalidated: u64,
    /// Instructions that the stepper executed.
    pub stepped: u64,
    /// Returns to the run loop.
    pub loop_turns: u64,
}

/// A direct branch that left the chain for want of a link.
#[derive(Clone, Copy, Debug)]
struct Unlinked {
    /// The block it ends.
    block: *const Block,
    /// Which of its links.
    link: usize,
    /// RIP at the start of its code page.
    from_page: u64,
    /// Where it goes.
    rip: u64,
    /// The generation it was in: later the block may be gone.
    generation: u64,
}

/// Execution state that is not architectural, and the position in the run, which is.
#[derive(Debug)]
pub(crate) struct Engine {
    position: Position,
    tier: Tier,
    /// The compiler, in its tier.
    jit: Option<Box<Jit>>,
    /// The tier has changed: decoded blocks are of another one, and this is the new one's compiler.
    redecode: bool,
    next_jit: Option<Box<Jit>>,
    cache: BlockCache,
    /// The block that runs; valid inside a chain only.
    block: *const Block,
    /// Decoding and handlers depend on this.
    mode: block::ModeKey,
    /// Leave the block after the current instruction.
    leave: bool,
    /// A device was accessed: the machine must look at its queues.
    device_access: bool,
    /// The branch that left the chain for want of a link, to be linked once its target is found.
    unlinked: Option<Unlinked>,
    /// Identity of the memory that host addresses point into.
    memory: Option<crate::mem::HostPage>,
    /// What a debugger waits for.
    pub(in crate::cpu) stops: crate::cpu::stops::Stops,
    stats: EngineStats,
}

impl Engine {
    pub(crate) fn new(config: &CpuConfig) -> Self {
        Self {
            position: Position::new(config.clock_ps),
            tier: Tier::default(),
            jit: None,
            redecode: false,
            next_jit: None,
            cache: BlockCache::default(),
            block: std::ptr::null(),
            mode: block::ModeKey::default(),
            leave: false,
            device_access: false,
            unlinked: None,
            memory: None,
            stops: crate::cpu::stops::Stops::default(),
            stats: EngineStats::default(),
        }
    }

    /// Forgets all decoded code.
    pub(crate) fn drop_blocks(&mut self) {
        self.cache.clear();
        self.forget_link();
    }

    /// What runs next does not follow what ran last.
    pub(crate) fn forget_link(&mut self) {
        self.unlinked = None;
    }
}
