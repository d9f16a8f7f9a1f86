//! The rules of the VT-d specification that bind this unit, one test a rule, in legacy mode and interrupt remapping.
//!
//! `rule!` names a rule by the section it stands in and by what it says. Sections are those of revision 3.0 (June 2019);
//! from 3.3 on the registers' chapter 10 is 11. README.md beside this file counts the rules of each section; `list.rs`
//! keeps it true. What a driver does in order, traces and timing are tested inside the crate.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

/// A rule of the specification: its section, its name, and what shows that the unit follows it.
macro_rules! rule {
    ($section:literal, $name:ident, $body:expr) => {
        #[test]
        fn $name() {
            $body;
        }
    };
}

mod access;
mod caches;
mod capabilities;
mod commands;
mod entries;
mod events;
mod faults;
mod interrupts;
mod list;
mod posted;
mod queue;
mod registers;
mod requests;
mod unit;
