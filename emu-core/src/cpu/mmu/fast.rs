//! The fast path: a compare and a host access. One of the few modules with unsafe code.
//!
//! A tag equals the page address of an access only if the access lies within one page that is backed by host memory
//! and needs no check, walk or notice; see `install_fast`.
#![allow(unsafe_code, reason = "the TLB hit path reaches guest RAM by host address")]

use super::tlb::{DATA_ENTRIES, FastEntry, Mmu};
use crate::access::Width;
use crate::addr::PAGE_SIZE;

impl Mmu {
    #[inline(always)]
    fn fast_entry(&self, lin: u64) -> &FastEntry {
        let index = self.fast_base + (lin / PAGE_SIZE) as usize % DATA_ENTRIES;
        &self.fast[index % (4 * DATA_ENTRIES)]
    }
}

/// The page address if all of `width` at `lin` lies in one page; else something that no tag equals, as the sum of the
/// page's address and something below a page does not.
#[inline(always)]
fn tag(lin: u64, width: Width) -> u64 {
    lin.wrapping_add(width.bytes() - 1) & !(PAGE_SIZE - 1)
}

#[inline(always)]
fn host(entry: &FastEntry, lin: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(lin.wrapping_add(entry.addend) as usize)
}

/// Reads `width` bytes at a host address.
///
/// # Safety
/// All of them must lie in a live [`crate::mem::HostRam`].
#[inline(always)]
unsafe fn read(at: *const u8, width: Width) -> u64 {
    // SAFETY: the caller vouches for the range; unaligned accesses are allowed.
    unsafe {
        match width {
            Width::B1 => u64::from(at.read()),
            Width::B2 => u64::from(u16::from_le(at.cast::<u16>().read_unaligned())),
            Width::B4 => u64::from(u32::from_le(at.cast::<u32>().read_unaligned())),
            Width::B8 => u64::from_le(at.cast::<u64>().read_unaligned()),
        }
    }
}

/// Writes `width` bytes at a host address.
///
/// # Safety
/// As for [`read`], and the memory must be RAM.
#[inline(always)]
unsafe fn write(at: *mut u8, width: Width, value: u64) {
    // SAFETY: the caller vouches for the range; unaligned accesses are allowed.
    unsafe {
        match width {
            Width::B1 => at.write(value as u8),
            Width::B2 => at.cast::<u16>().write_unaligned((value as u16).to_le()),
            Width::B4 => at.cast::<u32>().write_unaligned((value as u32).to_le()),
            Width::B8 => at.cast::<u64>().write_unaligned(value.to_le()),
        }
    }
}

/// Loads from a linear address if nothing special applies.
#[inline(always)]
pub(crate) fn fast_load(mmu: &Mmu, lin: u64, width: Width) -> Option<u64> {
    let entry = mmu.fast_entry(lin);
    if entry.read != tag(lin, width) {
        return None;
    }
    // SAFETY: the tag is set only while `addend` leads from its page to a whole page of the machine's RAM or ROM, which
    // outlives every run; the compare has shown that the access lies in that page.
    Some(unsafe { read(host(entry, lin), width) })
}

/// Stores to a linear address if nothing special applies.
#[inline(always)]
pub(crate) fn fast_store(mmu: &Mmu, lin: u64, width: Width, value: u64) -> Option<()> {
    let entry = mmu.fast_entry(lin);
    if entry.write != tag(lin, width) {
        return None;
    }
    // SAFETY: as in `fast_load`; write tags are set for RAM only, and no reference into RAM exists.
    unsafe { write(host(entry, lin), width, value) }
    Some(())
}

/// Replaces a value at a linear address by what `change` makes of it, if nothing special applies. `change` computes; it
/// reaches neither memory nor the TLB.
#[inline(always)]
pub(crate) fn fast_update<T: AsRef<Mmu>>(
    owner: &mut T,
    lin: u64,
    width: Width,
    change: impl FnOnce(&mut T, u64) -> u64,
) -> Option<()> {
    let entry = (*owner).as_ref().fast_entry(lin);
    if entry.write != tag(lin, width) {
        return None;
    }
    let at = host(entry, lin);
    // SAFETY: as in `fast_store`, for both accesses: `change` leaves memory and tags alone.
    unsafe {
        let old = read(at, width);
        let new = change(owner, old);
        write(at, width, new);
    }
    Some(())
}

/// The host address of `len` bytes at a linear address that lie in one page, if nothing special applies to reading them.
#[inline(always)]
fn readable(mmu: &Mmu, lin: u64, len: usize) -> Option<*const u8> {
    let entry = mmu.fast_entry(lin);
    let inside = lin.wrapping_add(len as u64 - 1) & !(PAGE_SIZE - 1);
    (len <= PAGE_SIZE as usize && entry.read == inside).then(|| host(entry, lin).cast_const())
}

/// As [`readable`], for writing.
#[inline(always)]
fn writable(mmu: &Mmu, lin: u64, len: usize) -> Option<*mut u8> {
    let entry = mmu.fast_entry(lin);
    let inside = lin.wrapping_add(len as u64 - 1) & !(PAGE_SIZE - 1);
    (len <= PAGE_SIZE as usize && entry.write == inside).then(|| host(entry, lin))
}

/// Loads 1 to 4096 bytes of one page from a linear address if nothing special applies.
#[inline(always)]
pub(crate) fn fast_load_bytes(mmu: &Mmu, lin: u64, buf: &mut [u8]) -> Option<()> {
    let from = readable(mmu, lin, buf.len())?;
    // SAFETY: as in `fast_load`; `buf` is not guest memory, into which no reference exists.
    unsafe { from.copy_to_nonoverlapping(buf.as_mut_ptr(), buf.len()) }
    Some(())
}

/// Stores 1 to 4096 bytes of one page to a linear address if nothing special applies.
#[inline(always)]
pub(crate) fn fast_store_bytes(mmu: &Mmu, lin: u64, buf: &[u8]) -> Option<()> {
    let to = writable(mmu, lin, buf.len())?;
    // SAFETY: as in `fast_store` and `fast_load_bytes`.
    unsafe { to.copy_from_nonoverlapping(buf.as_ptr(), buf.len()) }
    Some(())
}

/// Copies 1 to 4096 bytes, each side in one page, as element after element from the lowest on would; not if elements would be
/// read that were written before.
pub(crate) fn fast_copy(mmu: &Mmu, to: u64, from: u64, len: usize) -> Option<()> {
    let (source, dest) = (readable(mmu, from, len)?, writable(mmu, to, len)?);
    if (1..len).contains(&dest.addr().wrapping_sub(source.addr())) {
        return None;
    }
    // SAFETY: as in `fast_load` and `fast_store`; the ranges may overlap.
    unsafe { dest.copy_from(source, len) }
    Some(())
}

/// Fills `count` elements of one page.
pub(crate) fn fast_fill(mmu: &Mmu, to: u64, width: Width, value: u64, count: usize) -> Option<()> {
    let len = width.bytes() as usize;
    let dest = writable(mmu, to, count * len)?;
    for n in 0..count {
        // SAFETY: as in `fast_store`.
        unsafe { write(dest.add(n * len), width, value) }
    }
    Some(())
}
