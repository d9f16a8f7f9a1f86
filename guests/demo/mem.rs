//! Memory that others look at: registers of devices, pages that devices read and write, and data shared with
//! handlers. Also the four functions that compiled code calls without being asked to, since no C library is
//! linked.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering, compiler_fence};

/// Bytes in a page of the CPU's and of VT-d's tables.
pub const PAGE_SIZE: usize = 4096;

/// A device's registers: a physical address, mapped uncached at the same address (see paging.rs).
#[derive(Clone, Copy)]
pub struct Mmio(u64);

impl Mmio {
    /// Registers that begin at physical address `base`.
    pub const fn new(base: u64) -> Self {
        Self(base)
    }

    /// The register at `offset`, 32 bits wide.
    pub fn read32(self, offset: u64) -> u32 {
        // SAFETY: addresses handed to `new` are device registers, not memory of the program.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    /// Writes the 32-bit register at `offset`.
    pub fn write32(self, offset: u64, value: u32) {
        // SAFETY: as for `read32`.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }

    /// The register at `offset`, 64 bits wide.
    pub fn read64(self, offset: u64) -> u64 {
        // SAFETY: as for `read32`.
        unsafe { ((self.0 + offset) as *const u64).read_volatile() }
    }

    /// Writes the 64-bit register at `offset`.
    pub fn write64(self, offset: u64, value: u64) {
        // SAFETY: as for `read32`.
        unsafe { ((self.0 + offset) as *mut u64).write_volatile(value) }
    }
}

/// A page that hardware reads or writes on its own: descriptor rings, packet buffers, tables of every kind.
#[repr(C, align(4096))]
pub struct Page(UnsafeCell<[u8; PAGE_SIZE]>);

// SAFETY: one CPU, and no handler touches a `Page`; devices are kept apart by the ownership rules of each
// ring and table.
unsafe impl Sync for Page {}

impl Page {
    /// A page of zeros.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([0; PAGE_SIZE]))
    }

    /// Where it lies in physical memory (= in virtual memory).
    pub fn phys(&self) -> u64 {
        self.0.get() as u64
    }

    /// The 64-bit word number `index`; hardware may have changed it since the last read.
    pub fn read64(&self, index: usize) -> u64 {
        assert!(index < PAGE_SIZE / 8);
        // SAFETY: in bounds and aligned.
        unsafe { self.0.get().cast::<u64>().add(index).read_volatile() }
    }

    /// Writes the 64-bit word number `index` in one access, as tables that hardware walks need it.
    pub fn write64(&self, index: usize, value: u64) {
        assert!(index < PAGE_SIZE / 8);
        // SAFETY: in bounds and aligned.
        unsafe { self.0.get().cast::<u64>().add(index).write_volatile(value) }
    }

    /// What a device has put here. Call it only when the device has handed the page over (a descriptor is
    /// done).
    pub fn bytes(&self, len: usize) -> &[u8] {
        compiler_fence(Ordering::Acquire);
        // SAFETY: in bounds by `min`; the device does not write to a page that it has handed over.
        unsafe { core::slice::from_raw_parts(self.0.get().cast(), len.min(PAGE_SIZE)) }
    }

    /// The page to fill for a device. Call it only while no device owns it; only one such slice may live at a
    /// time.
    #[expect(
        clippy::mut_from_ref,
        reason = "the page is shared with a device, which no reference can express"
    )]
    pub fn bytes_mut(&self) -> &mut [u8] {
        // SAFETY: the caller owns the page, see above; one CPU and no handler touches pages.
        unsafe { &mut *self.0.get() }
    }
}

/// Data that the main program and interrupt handlers both use.
pub struct Shared<T>(UnsafeCell<T>);

// SAFETY: one CPU; the main program calls `set` only while the interrupts whose handlers use the value are
// off.
unsafe impl<T> Sync for Shared<T> {}

impl<T: Copy> Shared<T> {
    /// With its first value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// A copy of the value.
    pub fn get(&self) -> T {
        // SAFETY: see `Sync`.
        unsafe { *self.0.get() }
    }

    /// Replaces the value, while interrupts whose handlers use it are off.
    pub fn set(&self, value: T) {
        // SAFETY: see `Sync`.
        unsafe { *self.0.get() = value }
    }

    /// Where the value lies, for hardware that is told its address.
    pub fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(dest: *mut u8, src: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise (two valid ranges that do not overlap).
    unsafe {
        asm!("rep movsb", inout("rcx") count => _, inout("rdi") dest => _, inout("rsi") src => _,
            options(nostack, preserves_flags));
    }
    dest
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(dest: *mut u8, src: *const u8, count: usize) -> *mut u8 {
    // Forward is right unless the destination begins inside the source.
    if (dest as usize).wrapping_sub(src as usize) >= count {
        // SAFETY: the caller's promise; a forward copy reads every byte before it is overwritten.
        return unsafe { memcpy(dest, src, count) };
    }
    // SAFETY: the caller's promise; backward, from the last byte, and the direction flag is cleared again.
    unsafe {
        asm!(
            "std",
            "rep movsb",
            "cld",
            inout("rcx") count => _,
            inout("rdi") dest.add(count - 1) => _,
            inout("rsi") src.add(count - 1) => _,
            options(nostack),
        );
    }
    dest
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memset(dest: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise (a valid range).
    unsafe {
        asm!("rep stosb", inout("rcx") count => _, inout("rdi") dest => _, in("al") value as u8,
            options(nostack, preserves_flags));
    }
    dest
}

#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    let mut at = 0;
    while at < count {
        // SAFETY: the caller's promise; volatile so that the compiler does not turn the loop into a call of
        // itself.
        let (a, b) = unsafe { (left.add(at).read_volatile(), right.add(at).read_volatile()) };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        at += 1;
    }
    0
}

#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise, the same as for `memcmp`.
    unsafe { memcmp(left, right, count) }
}
