//! What instructions do to the machine around them: segments, gates, tasks, exceptions, control registers, MSRs, CPUID.
//!
//! The instructions themselves are named in `exec::system`; here is what they share with exceptions, resets and each
//! other.

mod control;
mod cpuid;
mod debug;
pub(crate) mod deliver;
pub(crate) mod descriptor;
pub(crate) mod far;
mod frame;
mod io_permission;
mod iret;
mod msr;
mod segments;
mod syscall;
mod tables;
mod task;

pub(crate) use debug::SINGLE_STEP;

pub use cpuid::{CRYSTAL_HZ, CpuidModel};
pub use msr::Msrs;
