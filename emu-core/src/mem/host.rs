//! The host memory behind guest RAM and ROM: one anonymous mapping, touched only by raw copies.
//!
//! This is one of the few modules with unsafe code. No reference into the mapping is ever formed, so the processor's
//! TLB may hold plain host addresses into it for as long as the [`HostRam`] lives.
#![allow(unsafe_code, reason = "guest RAM is reached by raw pointers from here and from the CPU's TLB")]

use super::MemError;
use memmap2::{MmapOptions, MmapRaw};

/// A zeroed anonymous mapping at a fixed host address for its whole life.
#[derive(Debug)]
pub struct HostRam {
    map: MmapRaw,
    len: u64,
}

/// Where the host keeps a guest page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPage {
    /// Host address of its first byte. Never guest-visible.
    pub host: usize,
    /// RAM, not ROM.
    pub writable: bool,
}

impl HostRam {
    /// Maps `len` zero bytes; pages cost host memory once they are touched.
    pub fn new(len: u64) -> Result<Self, MemError> {
        let failed = |source| MemError::Host { size: len, source };
        let bytes = usize::try_from(len).map_err(|_| MemError::Size(len))?;
        let map = MmapOptions::new().len(bytes).map_anon().map_err(failed)?;
        Ok(Self { map: MmapRaw::from(map), len })
    }

    /// Bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Always false: a mapping has at least a page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Panics unless `[offset, offset + len)` lies inside: the caller has found the place, so this is our own bug.
    fn check(&self, offset: u64, len: usize) -> usize {
        assert!(
            offset.checked_add(len as u64).is_some_and(|end| end <= self.len),
            "RAM access out of its mapping"
        );
        offset as usize
    }

    /// Copies out.
    pub fn read(&self, offset: u64, buf: &mut [u8]) {
        let start = self.check(offset, buf.len());
        // SAFETY: `check` keeps the range inside the live mapping, and `buf` is the caller's own, so they are disjoint.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(start), buf.as_mut_ptr(), buf.len()) }
    }

    /// Copies in.
    pub fn write(&mut self, offset: u64, buf: &[u8]) {
        let start = self.check(offset, buf.len());
        // SAFETY: as in `read`; the mapping is writable and nothing holds a reference into it.
        unsafe { std::ptr::copy_nonoverlapping(buf.as_ptr(), self.map.as_mut_ptr().add(start), buf.len()) }
    }

    /// The host address of an offset, for the TLB.
    #[must_use]
    pub fn host_addr(&self, offset: u64) -> usize {
        let start = self.check(offset, 1);
        self.map.as_mut_ptr().expose_provenance().wrapping_add(start)
    }
}
