//! Memory management: from segment and offset to linear, from linear to physical, and what is cached on the way.
//!
//! The TLB is architectural state: what it holds decides what a guest that forgot an INVLPG sees and what a walk costs.
//! It is filled by architectural accesses only, so its contents are the same in every engine tier. On top of it lie
//! *tags* that make the hit path a compare and a host access; they are derived, valid only when nothing special applies
//! to the page, and may be dropped at any time.
//!
//! Manual: SDM vol. 3A, chapter 4 (paging), 3.4 and 5.3 (segment checks).

mod access;
mod fast;
mod segment;
mod tlb;
mod walk;

pub(crate) use access::Intent;
pub(crate) use fast::{
    fast_copy, fast_fill, fast_load, fast_load_bytes, fast_store, fast_store_bytes, fast_update,
};
pub(crate) use segment::is_canonical;
pub(crate) use tlb::Context;
pub(crate) use tlb::Mmu;
pub(crate) use tlb::layout;
pub use tlb::{CodePage, MmuStats, TlbEntry, TlbState};
pub(crate) use walk::PHYS_BITS;
pub use walk::Translation;
