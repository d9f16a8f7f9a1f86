//! The chips of the machine. Each is one folder, knows its own pins and offsets only, and never learns what stands
//! behind the port it is lent.

mod inspect;
pub mod lapic;
mod restore;

pub use inspect::Register;
pub use restore::RestoreError;
