//! How a chip shows its registers to people: name, place, value, and what the value means.

use std::borrow::Cow;

/// One register as `inspect` prints it. Reading it has no side effect on the chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The manual's name.
    pub name: Cow<'static, str>,
    /// Where the guest finds it: offset, port or index, as the chip's `spec.rs` says.
    pub offset: u64,
    /// What it holds.
    pub value: u64,
    /// The value in words; empty where the number says it all.
    pub meaning: String,
}

impl Register {
    /// A register whose number says it all.
    pub(crate) fn plain(
        name: impl Into<Cow<'static, str>>,
        offset: impl Into<u64>,
        value: impl Into<u64>,
    ) -> Self {
        Self { name: name.into(), offset: offset.into(), value: value.into(), meaning: String::new() }
    }

    /// The same with its meaning.
    pub(crate) fn meaning(mut self, words: impl Into<String>) -> Self {
        self.meaning = words.into();
        self
    }
}

/// The names of the bits that are set, in order, separated by blanks.
pub(crate) fn bit_names(value: u64, names: &[(u64, &str)]) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    set.join(" ")
}
