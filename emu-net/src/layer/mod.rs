//! What can lie between the card and the far end of its cable. Each is a small decorator: it has the same trait as what it
//! decorates, so they stack in any order.

mod capture;
mod filter;
mod impair;
mod rewrite;
#[cfg(test)]
mod tests;

pub use self::capture::CaptureLayer;
pub use filter::{Expression, ExpressionError, Filter};
pub use impair::{Impair, ImpairConfig, ImpairState, Impairment};
pub use rewrite::{Rewrite, RewriteConfig};

use serde::{Deserialize, Serialize};

/// Which way a layer looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    /// Frames to the guest.
    ToGuest,
    /// Frames that the guest sends.
    FromGuest,
    /// All.
    #[default]
    Both,
}

impl Way {
    fn is_in(self) -> bool {
        self != Self::FromGuest
    }

    fn is_out(self) -> bool {
        self != Self::ToGuest
    }
}

/// A layer's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum LayerState {
    /// Of a [`CaptureLayer`]: a capture is watched from outside and starts anew.
    Capture,
    /// Of a [`Filter`]: frames passed and held back.
    Filter([u64; 2]),
    /// Of a [`Rewrite`]: frames changed.
    Rewrite(u64),
    /// Of an [`Impair`].
    Impair(ImpairState),
}
