//! The unit as Linux 6.1 shows it in /sys/kernel/debug/iommu/intel (`drivers/iommu/intel/debugfs.c`), four files of it, byte
//! by byte as far as the unit knows what the kernel knows: a guest's own files can be compared with these.
//!
//! The unit does not know the kernel's name for it, so it is `dmar0`; and of the queue's status column it knows what
//! the wait descriptors in the queue tell of where the kernel keeps it.

use crate::Vtd;
use crate::spec::descriptor::{TYPE, WAIT_ADDRESS, WAIT_SW};
use crate::spec::irte::{IRTE_LEN, P};
use crate::spec::register::*;
use crate::spec::scalable::*;
use crate::spec::table::{ADDRESS, ENTRY_LEN, PRESENT};
use crate::walk::{Context, entry, entry128};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa};
use std::fmt::Write as _;

/// The kernel's files that there are, in the order in which they are printed.
pub const DEBUGFS_FILES: [&str; 4] =
    ["iommu_regset", "dmar_translation_struct", "ir_translation_struct", "invalidation_queue"];

/// The kernel's name for the first unit.
const NAME: &str = "dmar0";

/// Registers of 32 bits that the kernel prints.
const NARROW: [(&str, u64); 17] = [
    ("VER", VER),
    ("GCMD", GCMD),
    ("GSTS", GSTS),
    ("FSTS", FSTS),
    ("FECTL", FECTL),
    ("FEDATA", FEDATA),
    ("FEADDR", FEADDR),
    ("FEUADDR", FEUADDR),
    ("PMEN", PMEN),
    ("PLMBASE", PLMBASE),
    ("PLMLIMIT", PLMLIMIT),
    ("ICS", ICS),
    ("PRS", 0xdc),
    ("PECTL", 0xe0),
    ("PEDATA", 0xe4),
    ("PEADDR", 0xe8),
    ("PEUADDR", 0xec),
];

/// Registers of 64 bits; those of memory types follow by their own rule.
const WIDE: [(&str, u64); 27] = [
    ("CAP", CAP),
    ("ECAP", ECAP),
    ("RTADDR", RTADDR),
    ("CCMD", CCMD),
    ("AFLOG", AFLOG),
    ("PHMBASE", PHMBASE),
    ("PHMLIMIT", PHMLIMIT),
    ("IQH", IQH),
    ("IQT", IQT),
    ("IQA", IQA),
    ("IRTA", IRTA),
    ("PQH", 0xc0),
    ("PQT", 0xc8),
    ("PQA", 0xd0),
    ("MTRRCAP", 0x100),
    ("MTRRDEF", 0x108),
    ("MTRR_FIX64K_00000", 0x120),
    ("MTRR_FIX16K_80000", 0x128),
    ("MTRR_FIX16K_A0000", 0x130),
    ("MTRR_FIX4K_C0000", 0x138),
    ("MTRR_FIX4K_C8000", 0x140),
    ("MTRR_FIX4K_D0000", 0x148),
    ("MTRR_FIX4K_D8000", 0x150),
    ("MTRR_FIX4K_E0000", 0x158),
    ("MTRR_FIX4K_E8000", 0x160),
    ("MTRR_FIX4K_F0000", 0x168),
    ("MTRR_FIX4K_F8000", 0x170),
];

/// Variable ranges of memory types, and where they begin.
const RANGES: u64 = 10;
const RANGE_BASE: u64 = 0x180;

/// Virtual command registers.
const VIRTUAL: [(&str, u64); 3] = [("VCCAP", 0xe30), ("VCMD", 0xe00), ("VCRSP", 0xe10)];

/// Descriptors of the kernel's queue.
const QUEUE_LENGTH: u64 = 256;
/// Kind of a wait descriptor.
const WAIT: u64 = 5;

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

impl Vtd {
    /// One of [`DEBUGFS_FILES`], of a unit whose registers are at `base`; `None` for another name.
    #[must_use]
    pub fn debugfs(&self, mem: &PhysMem, base: Gpa, file: &str) -> Option<String> {
        let mut out = String::new();
        match file {
            "iommu_regset" => self.put_registers(&mut out, base),
            "dmar_translation_struct" => self.put_translation(&mut out, mem),
            "ir_translation_struct" => self.put_interrupts(&mut out, mem),
            "invalidation_queue" => self.put_queue(&mut out, mem),
            _ => return None,
        }
        Some(out)
    }

    /// What a read of the register page answers: all-ones where there is no register.
    fn answer(&self, offset: u64, wide: bool) -> u64 {
        let ones = if wide { u64::MAX } else { u32::MAX.into() };
        let found = self.qword(offset & !7).filter(|_| register_name(offset).is_some());
        found.map_or(ones, |value| value >> ((offset & 7) * 8) & ones)
    }

    fn put_registers(&self, out: &mut String, base: Gpa) {
        put!(out, "IOMMU: {NAME} Register Base Address: {:x}\n", base.0);
        out.push_str("Name\t\t\tOffset\t\tContents\n");
        let mut row = |name: &str, offset: u64, wide: bool| {
            put!(out, "{name:<16}\t{offset:#04x}\t\t{:#018x}\n", self.answer(offset, wide));
        };
        for (name, offset) in NARROW {
            row(name, offset, false);
        }
        for (name, offset) in WIDE {
            row(name, offset, true);
        }
        for range in 0..RANGES {
            row(&format!("MTRR_PHYSBASE{range}"), RANGE_BASE + range * 16, true);
            row(&format!("MTRR_PHYSMASK{range}"), RANGE_BASE + range * 16 + 8, true);
        }
        for (name, offset) in VIRTUAL {
            row(name, offset, true);
        }
        out.push('\n');
    }

    fn put_translation(&self, out: &mut String, mem: &PhysMem) {
        if self.state.status & TE == 0 {
            put!(out, "DMA Remapping is not enabled on {NAME}\n");
            return;
        }
        let root = Gpa(self.state.root & ADDRESS);
        put!(out, "IOMMU {NAME}: Root Table Address: {root}\n");
        out.push_str("B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry\n");
        for bus in 0..=255u8 {
            let Some(entry) = entry128(mem, root.plus(u64::from(bus) * ENTRY_LEN)) else { break };
            for devfn in 0..=255u8 {
                self.put_context(out, mem, Bdf(u16::from(bus) << 8 | u16::from(devfn)), entry);
            }
        }
        out.push('\n');
    }

    fn put_context(&self, out: &mut String, mem: &PhysMem, bdf: Bdf, root: [u64; 2]) {
        let scalable = self.state.root & TTM == TTM_SCALABLE;
        let devfn = u64::from(bdf.devfn());
        let half = if scalable { root[usize::from(devfn >= CONTEXTS)] } else { root[0] };
        let at = Gpa(half & ADDRESS).plus(if scalable {
            devfn % CONTEXTS * CONTEXT_LEN
        } else {
            devfn * ENTRY_LEN
        });
        let found = if half & PRESENT == 0 { None } else { entry128(mem, at) };
        let Some([low, high]) = found.filter(|entry| entry[0] & PRESENT != 0) else { return };
        let mut row = |pasid: i64, words: [u64; 3]| {
            put!(out, "{:02x}:{:02x}.{:x}\t", bdf.bus(), bdf.device(), bdf.function());
            put!(out, "{:#018x}:{:#018x}\t{high:#018x}:{low:#018x}\t", root[1], root[0]);
            put!(out, "{pasid:<6}\t{:#018x}:{:#018x}:{:#018x}\n", words[2], words[1], words[0]);
        };
        if !scalable {
            return row(-1, [0; 3]);
        }
        let directory = Gpa(low & ADDRESS);
        for index in 0..u64::from(Context([low, high]).pasids() >> PASID_TABLE_BITS) {
            let Ok(found) = mem.read_u64(directory.plus(index * DIRECTORY_LEN)) else { break };
            if found & PRESENT == 0 {
                continue;
            }
            for number in 0..1u64 << PASID_TABLE_BITS {
                let at = Gpa(found & ADDRESS).plus(number * PASID_LEN);
                if let Some(words) = entry::<3>(mem, at).filter(|words| words[0] & PRESENT != 0) {
                    row((index << PASID_TABLE_BITS | number) as i64, words);
                }
            }
        }
    }

    fn put_interrupts(&self, out: &mut String, mem: &PhysMem) {
        if self.config.interrupt_remapping {
            put!(out, "Remapped Interrupt supported on IOMMU: {NAME}\n");
            if self.state.status & IRE != 0 {
                self.put_interrupt_entries(out, mem);
            } else {
                out.push_str("Interrupt Remapping is not enabled\n");
            }
            out.push('\n');
        }
        out.push_str("****\n\n");
    }

    fn put_interrupt_entries(&self, out: &mut String, mem: &PhysMem) {
        /// IM: the entry posts.
        const POSTED: u64 = 1 << 15;
        let table = Gpa(self.state.interrupt_table & ADDRESS);
        put!(out, " IR table address:{:x}\n", table.0);
        out.push_str(" Entry SrcID   DstID    Vct IRTE_high\t\tIRTE_low\n");
        for index in 0..2u64 << (self.state.interrupt_table & IRTA_S) {
            let Some([low, high]) = entry128(mem, table.plus(index * IRTE_LEN)) else { break };
            if low & P == 0 || low & POSTED != 0 {
                continue;
            }
            let source = Bdf(high as u16);
            put!(out, " {index:<5} {:02x}:{:02x}.{:01x} ", source.bus(), source.device(), source.function());
            put!(out, "{:08x} {:02x}  {high:016x}\t{low:016x}\n", low >> 32, low >> 16 & 0xff);
        }
    }

    fn put_queue(&self, out: &mut String, mem: &PhysMem) {
        if !self.config.queued_invalidation {
            return;
        }
        let wide = self.config.scalable.is_some();
        let len = if wide { 32 } else { 16 };
        let base = Gpa(self.state.queue & ADDRESS);
        put!(out, "Invalidation queue on IOMMU: {NAME}\n");
        let (head, tail) = (self.state.queue_head / len, self.state.queue_tail / len);
        put!(out, " Base: {base}\tHead: {head}\tTail: {tail}\n");
        let more = if wide { "qw2\t\t\tqw3\t\t\t" } else { "" };
        put!(out, "Index\t\tqw0\t\t\tqw1\t\t\t{more}status\n");
        let descriptor = |index: u64| entry128(mem, base.plus(index * len)).unwrap_or_default();
        let status = (0..QUEUE_LENGTH).find_map(|index| status_base(index, descriptor(index)));
        for index in 0..QUEUE_LENGTH {
            let [qw0, qw1] = descriptor(index);
            put!(out, "{index:>5}\t{qw0:016x}\t{qw1:016x}\t");
            if wide {
                let [qw2, qw3] = entry128(mem, base.plus(index * len + 16)).unwrap_or_default();
                put!(out, "{qw2:016x}\t{qw3:016x}\t");
            }
            let status = status.and_then(|base| mem.read_u32(base.plus(index * 4)).ok()).unwrap_or(0);
            put!(out, "{status:016x}\n");
        }
        out.push('\n');
    }
}

/// Where the kernel has its array of statuses, if that descriptor waits: it waits for its own element.
fn status_base(index: u64, [low, high]: [u64; 2]) -> Option<Gpa> {
    let waits = low & TYPE == WAIT && low & WAIT_SW != 0;
    waits.then(|| (high & WAIT_ADDRESS).checked_sub(index * 4).map(Gpa)).flatten()
}
