//! What instructions do to the machine around them: segments, gates, tasks, exceptions, control registers, MSRs, CPUID.

mod cpuid;
mod debug;
mod deliver;
mod msr;

pub use cpuid::CpuidModel;
pub use msr::Msrs;
