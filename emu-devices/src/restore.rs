//! Why a saved chip can't be taken back. Snapshots are files, and files are not trusted.

/// A state that no run of the chip could have left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{chip}: {what} in the saved state")]
pub struct RestoreError {
    /// The chip.
    pub chip: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

impl RestoreError {
    /// `Err` with `what` unless `ok`.
    pub(crate) fn unless(ok: bool, chip: &'static str, what: &'static str) -> Result<(), Self> {
        if ok { Ok(()) } else { Err(Self { chip, what }) }
    }
}
