//! The chips of the machine. Each is one folder, knows its own pins and offsets only, and never learns what stands
//! behind the port it is lent.

pub mod acpi_pm;
pub mod debug_port;
pub mod e1000;
#[cfg(test)]
mod fuzz;
mod inspect;
pub mod ioapic;
pub mod kbc;
pub mod lapic;
pub mod pci;
pub mod pic;
pub mod pit;
mod restore;
pub mod rtc;
pub mod uart;

pub use inspect::Register;
pub use restore::RestoreError;

/// The example in the guide is compiled and run like any test.
#[cfg(doctest)]
#[doc = include_str!("../../docs/add-a-device.md")]
struct AddADevice;
