//! The instructions that Rust has no words for: ports, model-specific and control registers, interrupt flag,
//! cache lines.

use core::arch::asm;

/// The interrupt flag in RFLAGS (Intel SDM Vol. 1, 3.4.3).
const RFLAGS_IF: u64 = 1 << 9;

/// Writes a byte to an I/O port.
pub fn outb(port: u16, value: u8) {
    // SAFETY: a port access touches no memory of the program.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte from an I/O port.
pub fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: as for `outb`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Writes 16 bits to an I/O port.
pub fn outw(port: u16, value: u16) {
    // SAFETY: as for `outb`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) }
}

/// Writes 32 bits to an I/O port.
pub fn outl(port: u16, value: u32) {
    // SAFETY: as for `outb`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads 32 bits from an I/O port.
pub fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as for `outb`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Reads a model-specific register; one that does not exist raises #GP, which ends the run.
pub fn rdmsr(msr: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reading a register changes nothing.
    unsafe {
        asm!(
            "rdmsr",
            in("ecx") msr,
            out("eax") low,
            out("edx") high,
            options(nomem, nostack, preserves_flags),
        );
    }
    u64::from(high) << 32 | u64::from(low)
}

/// Writes a model-specific register.
pub fn wrmsr(msr: u32, value: u64) {
    // SAFETY: the only caller sets IA32_APIC_BASE's enable bit, which concerns no memory.
    unsafe {
        asm!(
            "wrmsr",
            in("ecx") msr,
            in("eax") value as u32,
            in("edx") (value >> 32) as u32,
            options(nostack, preserves_flags),
        );
    }
}

/// The faulting address of the last page fault.
pub fn cr2() -> u64 {
    let value;
    // SAFETY: reading a register changes nothing.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Makes the tables at `pml4` the current ones.
///
/// # Safety
/// They must map everything in use, at the same addresses.
pub unsafe fn load_cr3(pml4: u64) {
    // SAFETY: the caller's promise.
    unsafe { asm!("mov cr3, {}", in(reg) pml4, options(nostack, preserves_flags)) }
}

/// Lets interrupts in.
pub fn enable_interrupts() {
    // SAFETY: handlers touch only atomics and data meant for them.
    unsafe { asm!("sti", options(nostack)) }
}

/// Keeps interrupts out.
pub fn disable_interrupts() {
    // SAFETY: delaying interrupts is always sound.
    unsafe { asm!("cli", options(nostack)) }
}

/// Runs `work` with interrupts kept out, and leaves the flag as it was.
pub fn without_interrupts<T>(work: impl FnOnce() -> T) -> T {
    let flags: u64;
    // SAFETY: pushes and pops one word on the program's own stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags) }
    disable_interrupts();
    let result = work();
    if flags & RFLAGS_IF != 0 {
        enable_interrupts();
    }
    result
}

/// Lets interrupts in and sleeps until one came. Called with interrupts disabled, after a check that there is
/// nothing to do: STI holds interrupts off until HLT has begun, so none can slip in between and be slept
/// over.
pub fn wait_for_interrupt() {
    // SAFETY: as for `enable_interrupts`.
    unsafe { asm!("sti", "hlt", options(nostack)) }
}

/// Stops for good.
pub fn halt_forever() -> ! {
    loop {
        // SAFETY: with interrupts off this only waits.
        unsafe { asm!("cli", "hlt", options(nostack)) }
    }
}

/// Writes the cache line that holds `address` back to memory, for hardware that reads memory without looking
/// into caches.
pub fn flush_cache_line(address: u64) {
    // SAFETY: CLFLUSH does not change what the program sees; the address is one of our own tables.
    unsafe { asm!("clflush [{}]", in(reg) address, options(nostack, preserves_flags)) }
}

/// Orders every earlier store before every later one, for memory shared with devices.
pub fn memory_fence() {
    // SAFETY: a fence is always sound.
    unsafe { asm!("mfence", options(nostack, preserves_flags)) }
}
