//! Interrupts and exceptions: the table, the common entry, and who handles what.
//!
//! Intel SDM Vol. 3A: 6.14.1 (64-bit gates), 6.14.2 (64-bit stack frame), Table 6-1 (exceptions). Handlers do
//! as little as a handler must: quiet the source, note what came, end the interrupt. The main program does
//! the rest.

use crate::gdt::{self, InterruptStack};
use crate::mem::Shared;
use crate::{cpu, e1000, fail, lapic, timer, vtd};
use core::arch::{asm, global_asm};

/// The LAPIC timer.
pub const TIMER_VECTOR: u8 = 0x40;
/// The NIC.
pub const NIC_VECTOR: u8 = 0x50;
/// The VT-d unit's fault event.
pub const FAULT_VECTOR: u8 = 0x60;
/// The LAPIC's spurious vector (its low four bits are set on every LAPIC).
pub const SPURIOUS_VECTOR: u8 = 0xff;

/// Vectors below are exceptions.
const FIRST_INTERRUPT: u64 = 32;
/// Bytes between two stubs in isr.s.
const STUB_SPACING: u64 = 16;
/// Present, ring 0, 64-bit interrupt gate.
const GATE_PRESENT_INTERRUPT: u64 = 0x8e;

global_asm!(include_str!("isr.s"), dispatch = sym dispatch);

unsafe extern "C" {
    /// The first of the 256 stubs of isr.s.
    static interrupt_stubs: u8;
}

/// What is on the stack when `dispatch` runs, in the order of isr.s's pushes from the last to the first.
#[repr(C)]
struct Frame {
    r15: u64,
    r14: u64,
    r13: u64,
    r12: u64,
    r11: u64,
    r10: u64,
    r9: u64,
    r8: u64,
    rdi: u64,
    rsi: u64,
    rbp: u64,
    rbx: u64,
    rdx: u64,
    rcx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct TablePointer {
    limit: u16,
    base: u64,
}

static IDT: Shared<[[u64; 2]; 256]> = Shared::new([[0; 2]; 256]);

fn gate(handler: u64, stack: InterruptStack) -> [u64; 2] {
    let low = (handler & 0xffff)
        | u64::from(gdt::CODE) << 16
        | (stack as u64) << 32
        | GATE_PRESENT_INTERRUPT << 40
        | (handler >> 16 & 0xffff) << 48;
    [low, handler >> 32]
}

/// Fills all 256 gates and loads the table.
pub fn init() {
    let stubs = &raw const interrupt_stubs as u64;
    let mut table = [[0; 2]; 256];
    for (vector, entry) in (0u64..).zip(&mut table) {
        let stack = if vector < FIRST_INTERRUPT { InterruptStack::Exception } else { InterruptStack::Device };
        *entry = gate(stubs + vector * STUB_SPACING, stack);
    }
    IDT.set(table);
    let pointer = TablePointer { limit: size_of_val(&table) as u16 - 1, base: IDT.as_ptr() as u64 };
    // SAFETY: the table is complete and static.
    unsafe { asm!("lidt [{}]", in(reg) &raw const pointer, options(nostack, preserves_flags)) }
}

/// Every interrupt and exception comes here, from isr.s.
extern "C" fn dispatch(frame: &Frame) {
    if frame.vector < FIRST_INTERRUPT {
        exception(frame);
    }
    match frame.vector as u8 {
        TIMER_VECTOR => timer::handle_interrupt(),
        NIC_VECTOR => e1000::handle_interrupt(),
        FAULT_VECTOR => vtd::fault::handle_interrupt(),
        // A spurious interrupt is not in service, so it gets no EOI (SDM Vol. 3A, 11.9).
        SPURIOUS_VECTOR => return,
        vector => fail!(Exception, "demo: interrupt {vector:#x} came, which nothing should send"),
    }
    lapic::end_of_interrupt();
}

fn exception(frame: &Frame) -> ! {
    const NAMES: [&str; 22] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "9", "#TS", "#NP", "#SS", "#GP",
        "#PF", "15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
    ];
    let name = NAMES.get(frame.vector as usize).copied().unwrap_or("reserved");
    crate::log!("demo: exception {} ({name}), error {:#x}, cr2 {:#x}", frame.vector, frame.error, cpu::cr2());
    crate::log!(
        "  rip {:#x}:{:#x} rflags {:#x} rsp {:#x}:{:#x}",
        frame.cs,
        frame.rip,
        frame.rflags,
        frame.ss,
        frame.rsp
    );
    crate::log!("  rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x}", frame.rax, frame.rbx, frame.rcx, frame.rdx);
    crate::log!("  rsi {:#x} rdi {:#x} rbp {:#x} r8 {:#x}", frame.rsi, frame.rdi, frame.rbp, frame.r8);
    crate::log!("  r9 {:#x} r10 {:#x} r11 {:#x} r12 {:#x}", frame.r9, frame.r10, frame.r11, frame.r12);
    fail!(Exception, "  r13 {:#x} r14 {:#x} r15 {:#x}", frame.r13, frame.r14, frame.r15)
}
