//! Glassbox: assembles the machine, loads guests, is the command line.
//!
//! [`machine::Machine`] is a whole PC, made from a [`scenario::Scenario`]; [`view`] shows what happened in it.

pub mod bisect;
pub mod cli;
pub mod dmar;
pub mod error;
pub mod explore;
pub mod firmware;
pub mod gdb;
pub mod guests;
pub mod machine;
pub mod matrix;
pub mod position;
pub mod profile;
pub mod record;
pub mod regress;
pub mod sanitize;
pub mod scenario;
pub mod tui;
pub mod units;
pub mod view;
