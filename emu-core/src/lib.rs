//! The vocabulary of Glassbox and its processor: addresses, virtual time, events, memory, trace records, the CPU.
//!
//! Uses no other crate of the workspace; everything else builds on it. Start at [`device`] for what a chip is lent,
//! at [`trace`] for what can be seen, at [`cpu`] for the processor.

mod access;
mod addr;
pub mod cpu;
pub mod device;
mod event;
mod irq;
pub mod mem;
mod slot;
pub mod testing;
mod time;
pub mod trace;

pub use access::{IoError, Width, extract, merge};
pub use addr::{Bdf, Gpa, Iova, Lin, PAGE_SIZE};
pub use event::{Event, EventQueue};
pub use irq::{DeliveryMode, DestinationMode, Interrupt, Msi, Pin, TriggerMode};
pub use slot::Slot;
pub use time::{VirtDuration, VirtTime};
