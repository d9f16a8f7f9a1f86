//! Offsets, bit layouts and codes of the VT-d architecture: Intel Virtualization Technology for Directed I/O,
//! Architecture Specification (order D51397), revision 3.x. Names are the specification's.

pub mod descriptor;
pub mod fault;
pub mod info;
pub mod irte;
pub mod posted;
pub mod register;
pub mod scalable;
pub mod table;
