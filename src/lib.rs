//! Glassbox: assembles the machine, loads guests, is the command line.
pub mod guests;
