//! Widths as types, so that each handler is compiled for its own.

use crate::access::Width;

/// A width known at compile time.
pub(crate) trait W {
    /// Which.
    const W: Width;
}

macro_rules! widths {
    ($($name:ident)*) => {$(
        #[doc = concat!("See [`Width::", stringify!($name), "`].")]
        pub(crate) struct $name;
        impl W for $name {
            const W: Width = Width::$name;
        }
    )*};
}

widths!(B1 B2 B4 B8);
