//! The segment descriptor table, and the task state segment with the interrupt stacks.
//!
//! Intel SDM Vol. 3A: 3.4.5 (segment descriptors), 8.2.3 (TSS descriptor in 64-bit mode), 8.7 (64-bit TSS,
//! IST).

use crate::mem::Shared;
use core::arch::asm;

/// The 64-bit code segment; every gate of the IDT names it.
pub const CODE: u16 = 0x08;
const DATA: u16 = 0x10;
const TASK: u16 = 0x18;

/// Code: present, ring 0, execute/read, accessed, L = 1.
const CODE_DESCRIPTOR: u64 = 0x0020_9b00_0000_0000;
/// Data: present, ring 0, read/write, accessed.
const DATA_DESCRIPTOR: u64 = 0x0000_9300_0000_0000;
/// Present, ring 0, available 64-bit TSS; the processor makes it busy.
const TSS_PRESENT_AVAILABLE: u64 = 0x89 << 40;

/// Which of the TSS's interrupt stacks a gate uses. Every vector has one, even though the guest runs in ring
/// 0 only: `core` is compiled for a red zone below RSP, which a frame pushed onto the interrupted stack would
/// destroy.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum InterruptStack {
    /// Device interrupts, which do not nest.
    Device = 1,
    /// Exceptions: they can strike in an interrupt handler.
    Exception = 2,
}

const STACK_SIZE: usize = 16 * 1024;

#[derive(Clone, Copy)]
#[repr(C, align(16))]
struct Stack([u8; STACK_SIZE]);

#[derive(Clone, Copy)]
#[repr(C, packed(4))]
struct TaskState {
    reserved0: u32,
    rsp: [u64; 3],
    reserved1: u64,
    ist: [u64; 7],
    reserved2: u64,
    reserved3: u16,
    io_map_base: u16,
}

#[derive(Clone, Copy)]
#[repr(C, packed(2))]
struct TablePointer {
    limit: u16,
    base: u64,
}

static STACKS: [Shared<Stack>; 2] = [const { Shared::new(Stack([0; STACK_SIZE])) }; 2];
static TASK_STATE: Shared<TaskState> = Shared::new(TaskState {
    reserved0: 0,
    rsp: [0; 3],
    reserved1: 0,
    ist: [0; 7],
    reserved2: 0,
    reserved3: 0,
    io_map_base: size_of::<TaskState>() as u16,
});
static GDT: Shared<[u64; 5]> = Shared::new([0, CODE_DESCRIPTOR, DATA_DESCRIPTOR, 0, 0]);

/// Builds and loads both, with all segment registers and the task register.
pub fn init() {
    let mut task_state = TASK_STATE.get();
    for (stack, which) in STACKS.iter().zip([InterruptStack::Device, InterruptStack::Exception]) {
        task_state.ist[which as usize - 1] = stack.as_ptr() as u64 + STACK_SIZE as u64;
    }
    TASK_STATE.set(task_state);

    let base = TASK_STATE.as_ptr() as u64;
    let limit = size_of::<TaskState>() as u64 - 1;
    let low = limit | (base & 0xff_ffff) << 16 | TSS_PRESENT_AVAILABLE | (base >> 24 & 0xff) << 56;
    GDT.set([0, CODE_DESCRIPTOR, DATA_DESCRIPTOR, low, base >> 32]);

    let pointer = TablePointer { limit: size_of::<[u64; 5]>() as u16 - 1, base: GDT.as_ptr() as u64 };
    // SAFETY: the table is complete and static, and its code segment is the same as the one in use.
    unsafe {
        asm!(
            "lgdt [{pointer}]",
            "push {code}",
            "lea {scratch}, [rip + 2f]",
            "push {scratch}",
            "retfq",
            "2:",
            "mov ds, {data:e}",
            "mov es, {data:e}",
            "mov ss, {data:e}",
            "ltr {task:x}",
            pointer = in(reg) &raw const pointer,
            code = in(reg) u64::from(CODE),
            scratch = out(reg) _,
            data = in(reg) u32::from(DATA),
            task = in(reg) TASK,
        );
    }
}
