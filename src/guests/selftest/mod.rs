//! A self-test ROM: a guest that tries the processor from its reset vector on, mode by mode, and says at each stage what it found.
//!
//! It knows what the manual says and nothing of this machine beyond a serial port, the POST port 80h and the exit device at F4h, so
//! that QEMU and others run it as well. Each stage (a file here) writes its code to the POST port and a line to COM1. Every check in it has a
//! number. The first that fails prints `FAIL`, stage, check and the last exception, and writes check and stage to the exit device;
//! success writes 0.
//!
//! Modes follow each other as a kernel would go through them: `real.rs` (10h-1ah), `segments.rs`, `gates.rs`, `paging.rs`,
//! `tasks.rs`, `debug.rs` (20h-2ah), `long.rs` (30h-34h), and real mode again (40h).

mod debug;
mod forms;
mod gates;
mod long;
mod model;
mod paging;
mod part;
mod products;
mod protected;
mod real;
mod segments;
mod shifts;
mod strings;
mod sums;
mod tables;
mod tasks;

use iced_x86::IcedError;
use part::assemble;
use std::str::FromStr;

/// Addresses. The upper half of the ROM is the segment F000; in the lower lie tables, 32-bit and 64-bit code.
mod at {
    /// Variables: where the run stands, and what the last exception was.
    pub(super) const STAGE: u32 = 0x500;
    pub(super) const CHECK: u32 = 0x504;
    pub(super) const RESUME: u32 = 0x508;
    pub(super) const SAVED_SP: u32 = 0x510;
    pub(super) const VECTOR: u32 = 0x518;
    pub(super) const ERROR: u32 = 0x520;
    pub(super) const FAULT_IP: u32 = 0x528;
    pub(super) const FAULT_CS: u32 = 0x530;
    pub(super) const FAULT_FLAGS: u32 = 0x538;
    pub(super) const FAULT_SP: u32 = 0x540;
    pub(super) const HANDLER_FLAGS: u32 = 0x548;
    pub(super) const HANDLER_SP: u32 = 0x550;
    pub(super) const SCRATCH: u32 = 0x560;
    /// What tests of tables of instructions keep while these have all registers, and where these are called.
    pub(super) const SUM: u32 = 0x5c0;
    pub(super) const NEXT: u32 = 0x5c4;
    pub(super) const SNIPPET: u32 = 0x7d00;
    /// From here on, what is copied from the ROM.
    pub(super) const RAM_IMAGE: u32 = 0x600;
    pub(super) const RAM_IMAGE_LEN: u32 = 0xc00;
    pub(super) const VALUES: u32 = 0x600;
    pub(super) const GDTR: u32 = 0x700;
    pub(super) const IDTR: u32 = 0x710;
    pub(super) const REAL_IDTR: u32 = 0x720;
    pub(super) const IDTR64: u32 = 0x730;
    pub(super) const GDT: u32 = 0x800;
    pub(super) const IDT: u32 = 0xa00;
    pub(super) const IDT64: u32 = 0xc00;
    pub(super) const TASK_A: u32 = 0xe80;
    pub(super) const TASK_A_LEN: u32 = 0x68 + 0x20 + 1;
    pub(super) const TASK_B: u32 = 0xf80;
    pub(super) const TASK64: u32 = 0x1000;
    pub(super) const LDT: u32 = 0x1080;
    pub(super) const TASK16: u32 = 0x1100;
    /// Tops of stacks: of everything at level 0, of interrupts from level 3, of level 1, of the second task or IST, of level 3.
    pub(super) const STACK: u32 = 0x7c00;
    pub(super) const STACK0: u32 = 0xa000;
    pub(super) const STACK1: u32 = 0xa800;
    pub(super) const STACK_B: u32 = 0xb000;
    pub(super) const STACK3: u32 = 0xc000;
    /// Page tables, and a page to try them on.
    pub(super) const DIRECTORY: u32 = 0x1_0000;
    pub(super) const TABLE: u32 = 0x1_1000;
    pub(super) const PAE_PDPT: u32 = 0x1_2000;
    pub(super) const PAE_DIRECTORY: u32 = 0x1_3000;
    pub(super) const PML4: u32 = 0x1_4000;
    pub(super) const PDPT: u32 = 0x1_5000;
    pub(super) const DIRECTORY64: u32 = 0x1_6000;
    pub(super) const PAGE: u32 = 0x2_0000;
    pub(super) const CODE32_BASE: u32 = 0xe_0c00;
    pub(super) const CODE64_BASE: u32 = 0xe_a000;
    pub(super) const LEAVE_BASE: u32 = 0xf_d800;
    /// Offsets in the segment F000.
    pub(super) const BACK_BASE: u32 = 0xe000;
    pub(super) const VM86_BASE: u32 = 0xf000;
    pub(super) const RESET: u32 = 0xfff0;
    /// Vectors that have handlers.
    pub(super) const VECTORS: u32 = 0x23;
}

/// Bytes of the ROM; the last is at 4 GiB - 1, and all of it below 1 MiB as well.
const SIZE: usize = 0x2_0000;
/// Where it starts below 1 MiB.
const BASE: u32 = 0xe_0000;

/// A check: its stage's POST code, and its number there. Written as in the ROM's messages, both in hexadecimal: `17:000e`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Check {
    /// The stage's code.
    pub stage: u8,
    /// From 1 on in each stage.
    pub number: u16,
}

impl FromStr for Check {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text} is not STAGE:CHECK in hexadecimal");
        let (stage, number) = text.split_once(':').ok_or_else(wrong)?;
        let stage = u8::from_str_radix(stage, 16).map_err(|_| wrong())?;
        let number = u16::from_str_radix(number, 16).map_err(|_| wrong())?;
        Ok(Self { stage, number })
    }
}

/// What a ROM is to do otherwise than usual.
#[derive(Clone, Debug, Default)]
pub struct Variant {
    /// Checks whose outcome is not looked at, for machines that are known to fail them.
    pub skip: Vec<Check>,
    /// A check that compares with a wrong number, to see that a failure is seen.
    pub wrong: Option<Check>,
}

/// The ROM.
pub fn image(variant: &Variant) -> Result<Vec<u8>, IcedError> {
    let vm86 = assemble(16, at::VM86_BASE, variant, tasks::build_vm86)?;
    let code32 = assemble(32, at::CODE32_BASE, variant, |part| protected::build(part, &vm86.answer))?;
    let code64 = assemble(64, at::CODE64_BASE, variant, long::build)?;
    let leave = assemble(32, at::LEAVE_BASE, variant, long::build_leave)?;
    let back = assemble(16, at::BACK_BASE, variant, real::build_back)?;
    let real = assemble(16, 0, variant, real::build)?;
    let addresses = tables::Addresses {
        stubs32: code32.answer.stubs,
        stubs64: code64.answer,
        gate: code32.answer.gate,
        gate16: code32.answer.gate16,
        ring1: code32.answer.ring1,
        task: code32.answer.task,
        task16: code32.answer.task16,
    };
    let mut image = vec![0; SIZE];
    let mut end = 0;
    for (address, bytes) in [
        (BASE, &tables::ram_image(&addresses)),
        (at::CODE32_BASE, &code32.bytes),
        (at::CODE64_BASE, &code64.bytes),
        (0xf_0000, &real.bytes),
        (at::LEAVE_BASE, &leave.bytes),
        (0xf_0000 + at::BACK_BASE, &back.bytes),
        (0xf_0000 + at::VM86_BASE, &vm86.bytes),
        (0xf_0000 + at::RESET, &vec![0xea, 0, 0, 0, 0xf0]),
    ] {
        let offset = (address - BASE) as usize;
        assert!(offset >= end, "the part before {address:#x} is {:#x} bytes too long", end - offset);
        end = offset + bytes.len();
        image[offset..end].copy_from_slice(bytes);
    }
    Ok(image)
}
