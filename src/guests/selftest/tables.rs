//! What the ROM copies into RAM before anything else: operands, descriptor tables, task states.

use super::sums::VALUES;
use super::{BASE, at};

/// Selectors. With SYSRET's order: user code of 32 bits, user data, user code of 64 bits.
pub(super) mod sel {
    pub(in super::super) const CODE32: u16 = 0x08;
    pub(in super::super) const DATA32: u16 = 0x10;
    pub(in super::super) const CODE16: u16 = 0x18;
    pub(in super::super) const DATA16: u16 = 0x20;
    pub(in super::super) const CODE64: u16 = 0x28;
    pub(in super::super) const USER_CODE32: u16 = 0x38 | 3;
    pub(in super::super) const USER_DATA: u16 = 0x40 | 3;
    pub(in super::super) const USER_CODE64: u16 = 0x48 | 3;
    pub(in super::super) const TASK_A: u16 = 0x50;
    pub(in super::super) const TASK_B: u16 = 0x58;
    pub(in super::super) const SHORT_TASK: u16 = 0x60;
    pub(in super::super) const LDT: u16 = 0x68;
    pub(in super::super) const CALL_GATE: u16 = 0x70;
    pub(in super::super) const TASK_GATE: u16 = 0x78;
    pub(in super::super) const ABSENT: u16 = 0x80;
    pub(in super::super) const ABSENT_CODE: u16 = 0x88;
    pub(in super::super) const READ_ONLY: u16 = 0x90;
    pub(in super::super) const DOWN: u16 = 0x98;
    pub(in super::super) const EXECUTE_ONLY: u16 = 0xa0;
    pub(in super::super) const SMALL: u16 = 0xa8;
    pub(in super::super) const TASK64: u16 = 0xb0;
    pub(in super::super) const DOWN16: u16 = 0xc0;
    pub(in super::super) const PAGES: u16 = 0xc8;
    pub(in super::super) const DOWN_PAGES: u16 = 0xd0;
    pub(in super::super) const CONFORMING: u16 = 0xd8;
    pub(in super::super) const CODE_RING1: u16 = 0xe0 | 1;
    pub(in super::super) const DATA_RING1: u16 = 0xe8 | 1;
    pub(in super::super) const GATE_RING1: u16 = 0xf0;
    pub(in super::super) const ABSENT_GATE: u16 = 0xf8;
    pub(in super::super) const KERNEL_GATE: u16 = 0x100;
    pub(in super::super) const GATE16: u16 = 0x108;
    /// The lower half of the ROM, so that 16-bit gates and tasks reach it.
    pub(in super::super) const CODE_ROM: u16 = 0x110;
    pub(in super::super) const TASK16: u16 = 0x118;
    pub(in super::super) const LIMIT: u16 = 0x11f;
    pub(in super::super) const BEYOND: u16 = 0x7f8;
}

/// Offsets in a 32-bit task state (SDM vol. 3A, figure 8-2).
pub(super) mod tss {
    pub(in super::super) const ESP0: u32 = 0x04;
    pub(in super::super) const SS0: u32 = 0x08;
    pub(in super::super) const ESP1: u32 = 0x0c;
    pub(in super::super) const SS1: u32 = 0x10;
    pub(in super::super) const EIP: u32 = 0x20;
    pub(in super::super) const EFLAGS: u32 = 0x24;
    pub(in super::super) const ESP: u32 = 0x38;
    pub(in super::super) const SEGMENTS: u32 = 0x48;
    pub(in super::super) const TRAP: u32 = 0x64;
    pub(in super::super) const MAP: u32 = 0x66;
}

/// Addresses that tables hold.
pub(super) struct Addresses {
    pub(super) stubs32: Vec<u32>,
    pub(super) stubs64: Vec<u32>,
    pub(super) gate: u32,
    pub(super) gate16: u32,
    pub(super) ring1: u32,
    pub(super) task: u32,
    pub(super) task16: u32,
}

fn segment(base: u32, limit: u32, kind: u8, flags: u8) -> u64 {
    let (base, limit) = (u64::from(base), u64::from(limit));
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | u64::from(kind) << 40
        | (limit >> 16) << 48
        | u64::from(flags) << 52
        | (base >> 24) << 56
}

fn gate(kind: u8, selector: u16, offset: u32, count: u8) -> u64 {
    let (low, high) = (u64::from(offset & 0xffff), u64::from(offset >> 16));
    low | u64::from(selector) << 16 | u64::from(count) << 32 | u64::from(kind) << 40 | high << 48
}

const FLAT: u32 = 0xf_ffff;

fn descriptors(addresses: &Addresses) -> Vec<(u16, u64)> {
    vec![
        (sel::CODE32, segment(0, FLAT, 0x9b, 0xc)),
        (sel::DATA32, segment(0, FLAT, 0x93, 0xc)),
        (sel::CODE16, segment(0xf_0000, 0xffff, 0x9b, 0)),
        (sel::DATA16, segment(0, 0xffff, 0x93, 0)),
        (sel::CODE64, segment(0, FLAT, 0x9b, 0xa)),
        (sel::CODE64 + 8, segment(0, FLAT, 0x93, 0xc)),
        (sel::USER_CODE32, segment(0, FLAT, 0xfb, 0xc)),
        (sel::USER_DATA, segment(0, FLAT, 0xf3, 0xc)),
        (sel::USER_CODE64, segment(0, FLAT, 0xfb, 0xa)),
        (sel::TASK_A, segment(at::TASK_A, at::TASK_A_LEN - 1, 0x89, 0)),
        (sel::TASK_B, segment(at::TASK_B, 0x67, 0x89, 0)),
        (sel::SHORT_TASK, segment(at::TASK_B, 0x66, 0x89, 0)),
        (sel::LDT, segment(at::LDT, 7, 0x82, 0)),
        (sel::CALL_GATE, gate(0xec, sel::CODE32, addresses.gate, 2)),
        (sel::TASK_GATE, gate(0x85, sel::TASK_B, 0, 0)),
        (sel::ABSENT, segment(0, FLAT, 0x13, 0xc)),
        (sel::ABSENT_CODE, segment(0, FLAT, 0x1b, 0xc)),
        (sel::READ_ONLY, segment(0, FLAT, 0x91, 0xc)),
        (sel::DOWN, segment(0, 0xfff, 0x97, 0x4)),
        (sel::EXECUTE_ONLY, segment(0, FLAT, 0x99, 0xc)),
        (sel::SMALL, segment(0x9000, 0x10, 0x93, 0x4)),
        (sel::TASK64, segment(at::TASK64, 0x67, 0x89, 0)),
        (sel::DOWN16, segment(0, 0xfff, 0x97, 0)),
        (sel::PAGES, segment(0, 1, 0x93, 0xc)),
        (sel::DOWN_PAGES, segment(0, 1, 0x97, 0xc)),
        (sel::CONFORMING, segment(0, FLAT, 0x9f, 0xc)),
        (sel::CODE_RING1, segment(0, FLAT, 0xbb, 0xc)),
        (sel::DATA_RING1, segment(0, FLAT, 0xb3, 0xc)),
        (sel::GATE_RING1, gate(0xec, sel::CODE_RING1, addresses.ring1, 0)),
        (sel::ABSENT_GATE, gate(0x6c, sel::CODE32, addresses.gate, 0)),
        (sel::KERNEL_GATE, gate(0x8c, sel::CODE32, addresses.gate, 0)),
        (sel::GATE16, gate(0xe4, sel::CODE_ROM, addresses.gate16 - BASE, 1)),
        (sel::CODE_ROM, segment(BASE, 0xffff, 0x9b, 0x4)),
        (sel::TASK16, segment(at::TASK16, 0x2b, 0x81, 0)),
    ]
}

/// The bytes for [`at::RAM_IMAGE`].
pub(super) fn ram_image(addresses: &Addresses) -> Vec<u8> {
    let mut image = vec![0; at::RAM_IMAGE_LEN as usize];
    let mut put = |address: u32, bytes: &[u8]| {
        let offset = (address - at::RAM_IMAGE) as usize;
        image[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    for (index, value) in (0..).zip(VALUES) {
        put(at::VALUES + index * 8, &value.to_le_bytes());
    }
    for (register, base, limit) in [
        (at::GDTR, at::GDT, sel::LIMIT),
        (at::IDTR, at::IDT, at::VECTORS as u16 * 8 - 1),
        (at::REAL_IDTR, 0, 0x3ff),
        (at::IDTR64, at::IDT64, at::VECTORS as u16 * 16 - 1),
    ] {
        put(register, &limit.to_le_bytes());
        put(register + 2, &base.to_le_bytes());
    }
    for (selector, descriptor) in descriptors(addresses) {
        put(at::GDT + u32::from(selector & !7), &descriptor.to_le_bytes());
    }
    put(at::LDT, &segment(0, FLAT, 0x93, 0xc).to_le_bytes());
    for (vector, (stub32, stub64)) in (0..).zip(addresses.stubs32.iter().zip(&addresses.stubs64)) {
        // Breakpoints are trap gates. They and the last but one are for everybody; the last is a task gate.
        let kind = match vector {
            3 => 0xef,
            0x20 => 0xee,
            _ => 0x8e,
        };
        let ist = u8::from(vector == 3);
        put(at::IDT + vector * 8, &gate(kind, sel::CODE32, *stub32, 0).to_le_bytes());
        put(at::IDT64 + vector * 16, &gate(kind, sel::CODE64, *stub64, ist).to_le_bytes());
    }
    put(at::IDT + 0x22 * 8, &gate(0x85, sel::TASK_B, 0, 0).to_le_bytes());
    tasks(&mut put, addresses);
    image
}

fn tasks(put: &mut impl FnMut(u32, &[u8]), addresses: &Addresses) {
    put(at::TASK_A + tss::ESP0, &at::STACK0.to_le_bytes());
    put(at::TASK_A + tss::SS0, &sel::DATA32.to_le_bytes());
    put(at::TASK_A + tss::ESP1, &at::STACK1.to_le_bytes());
    put(at::TASK_A + tss::SS1, &sel::DATA_RING1.to_le_bytes());
    // The map of ports: 81h is not for everybody.
    put(at::TASK_A + tss::MAP, &0x68u16.to_le_bytes());
    put(at::TASK_A + 0x68 + 0x81 / 8, &[1 << (0x81 % 8)]);
    put(at::TASK_A + at::TASK_A_LEN - 1, &[0xff]);
    put(at::TASK_B + tss::EIP, &addresses.task.to_le_bytes());
    put(at::TASK_B + tss::EFLAGS, &2u32.to_le_bytes());
    put(at::TASK_B + tss::ESP, &at::STACK_B.to_le_bytes());
    let data = sel::DATA32;
    for (index, selector) in (0..).zip([data, sel::CODE32, data, data, data, data]) {
        put(at::TASK_B + tss::SEGMENTS + index * 4, &selector.to_le_bytes());
    }
    put(at::TASK_B + tss::MAP, &0x68u16.to_le_bytes());
    put(at::TASK64 + 4, &u64::from(at::STACK0).to_le_bytes());
    put(at::TASK64 + 0x24, &u64::from(at::STACK_B).to_le_bytes());
    put(at::TASK64 + tss::MAP, &0x68u16.to_le_bytes());
    // Of 16 bits (figure 8-11): IP, flags, AX, BX, SP, then ES, CS, SS, DS.
    let words = [
        (0x0e, (addresses.task16 - BASE) as u16),
        (0x10, 2),
        (0x12, 0x1234),
        (0x18, 0x5678),
        (0x1a, at::STACK_B as u16),
        (0x22, data),
        (0x24, sel::CODE_ROM),
        (0x26, data),
        (0x28, data),
    ];
    for (offset, value) in words {
        put(at::TASK16 + offset, &value.to_le_bytes());
    }
}
