//! What can stop an instruction: an exception with its error code, as data.
//!
//! Vectors and error codes: Intel SDM vol. 3A, chapter 6 (table 6-1, section 6.13).

use crate::addr::Lin;
use serde::{Deserialize, Serialize};

/// An exception raised by an instruction that then has had no effect, so that it can be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Vector 0-31.
    pub vector: u8,
    /// The error code that is pushed, if the vector has one.
    pub error: Option<u32>,
    /// What CR2 becomes: page faults only.
    pub address: Option<Lin>,
}

impl Fault {
    /// #DE.
    pub const DIVIDE: Self = Self::plain(0);
    /// #DB, fault class (instruction breakpoint, general detect).
    pub const DEBUG: Self = Self::plain(1);
    /// #BR.
    pub const BOUND: Self = Self::plain(5);
    /// #UD.
    pub const UNDEFINED: Self = Self::plain(6);
    /// #NM.
    pub const DEVICE: Self = Self::plain(7);
    /// #GP(0).
    pub const GP0: Self = Self::gp(0);
    /// #SS(0).
    pub const SS0: Self = Self::ss(0);
    /// #MF.
    pub const X87: Self = Self::plain(16);
    /// #AC(0).
    pub const ALIGNMENT: Self = Self { vector: 17, error: Some(0), address: None };
    /// #XM.
    pub const SIMD: Self = Self::plain(19);

    const fn plain(vector: u8) -> Self {
        Self { vector, error: None, address: None }
    }

    const fn with_error(vector: u8, error: u32) -> Self {
        Self { vector, error: Some(error), address: None }
    }

    /// #TS(error).
    #[must_use]
    pub const fn ts(error: u32) -> Self {
        Self::with_error(10, error)
    }

    /// #NP(error).
    #[must_use]
    pub const fn np(error: u32) -> Self {
        Self::with_error(11, error)
    }

    /// #SS(error).
    #[must_use]
    pub const fn ss(error: u32) -> Self {
        Self::with_error(12, error)
    }

    /// #GP(error).
    #[must_use]
    pub const fn gp(error: u32) -> Self {
        Self::with_error(13, error)
    }

    /// #PF(error) at `address`.
    #[must_use]
    pub const fn page(error: u32, address: Lin) -> Self {
        Self { vector: 14, error: Some(error), address: Some(address) }
    }
}
