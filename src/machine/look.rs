//! Looking into a stopped machine: registers with their names and meaning, rings, tables, translations. Nothing changes by being
//! looked at.

use super::Machine;
use super::layout;
use crate::view::{names, text};
use emu_core::cpu::regs::Seg;
use emu_core::{Bdf, Gpa, Iova};
use emu_devices::Register;
use emu_devices::pci::{PciFunction, Space};
use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction};
use std::fmt::Write as _;

/// Instructions shown from RIP on.
const CODE_SHOWN: usize = 8;
/// Longest instruction.
const INSN_MAX: usize = 15;
/// Descriptors of a ring shown at most.
const ROWS_MAX: usize = 64;
/// Ranges of mapped addresses at most.
const RANGES_MAX: usize = 4096;

/// One line of a table. Writing to a String cannot fail.
macro_rules! row {
    ($out:expr, $($arg:tt)*) => {{ let _ = writeln!($out, $($arg)*); }};
}

fn registers(out: &mut String, registers: impl Iterator<Item = Register>) {
    for register in registers {
        let meaning =
            if register.meaning.is_empty() { String::new() } else { format!("  {}", register.meaning) };
        row!(out, "{:#07x}  {:<16} {:#018x}{meaning}", register.offset, register.name, register.value);
    }
}

impl Machine {
    /// Registers, segments, mode, and the code about to run.
    #[must_use]
    pub fn show_cpu(&self) -> String {
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15",
        ];
        let (cpu, mut out) = (&self.cpu, String::new());
        row!(
            out,
            "insns={} time={}  {} mode, CPL {}",
            cpu.insns(),
            cpu.now(),
            text::mode_name(cpu.mode()),
            cpu.cpl()
        );
        for (index, pair) in NAMES.chunks(4).enumerate() {
            let cells: Vec<String> = (0..)
                .zip(pair)
                .map(|(n, name)| format!("{name:>3} {:016x}", cpu.gpr((index * 4 + n) as u8)))
                .collect();
            row!(out, "{}", cells.join("  "));
        }
        row!(out, "rip {:016x}  rflags {:#x}", cpu.rip(), cpu.rflags());
        let [cr0, cr2, cr3, cr4, efer] = cpu.control();
        row!(out, "cr0 {cr0:#x}  cr2 {cr2:#x}  cr3 {cr3:#x}  cr4 {cr4:#x}  efer {efer:#x}");
        for (seg, name) in Seg::ALL.into_iter().zip(["es", "cs", "ss", "ds", "fs", "gs"]) {
            let segment = cpu.seg(seg);
            row!(
                out,
                "{name}  {:04x}  base {:016x}  limit {:08x}  rights {:04x}",
                segment.selector,
                cpu.seg_base(seg),
                segment.limit,
                segment.rights
            );
        }
        self.show_code(&mut out);
        out
    }

    /// Disassembles from RIP on, as far as it is mapped.
    fn show_code(&self, out: &mut String) {
        let cpu = &self.cpu;
        let start = cpu.seg_base(Seg::Cs).wrapping_add(cpu.rip());
        let mut bytes = Vec::new();
        for offset in 0..(CODE_SHOWN * INSN_MAX) as u64 {
            let at = emu_core::Lin(start.wrapping_add(offset));
            let Some(found) = cpu.translate(&self.platform, at) else { break };
            let mut byte = [0];
            if self.platform.board.mem.read(found.gpa, &mut byte).is_err() {
                break;
            }
            bytes.extend(byte);
        }
        let mut decoder = Decoder::with_ip(cpu.code_size().bits(), &bytes, cpu.rip(), DecoderOptions::NONE);
        let (mut insn, mut formatter) = (Instruction::default(), FastFormatter::new());
        for _ in 0..CODE_SHOWN {
            if !decoder.can_decode() {
                break;
            }
            decoder.decode_out(&mut insn);
            let mut line = String::new();
            formatter.format(&insn, &mut line);
            row!(out, "{:016x}  {line}", insn.ip());
        }
    }

    /// What is on the screen in text mode: 25 rows of 80 columns.
    #[must_use]
    pub fn show_screen(&self) -> String {
        const BUFFER: Gpa = Gpa(0xb_8000);
        let mut cells = [0; 80 * 25 * 2];
        if self.platform.board.mem.read(BUFFER, &mut cells).is_err() {
            return String::new();
        }
        let mut out = String::new();
        for row in cells.chunks(80 * 2) {
            let characters = row.iter().step_by(2).map(|byte| match byte {
                0x20..0x7f => char::from(*byte),
                0 => ' ',
                _ => '.',
            });
            row!(out, "{}", characters.collect::<String>().trim_end());
        }
        out
    }

    /// The local APIC.
    #[must_use]
    pub fn show_apic(&self) -> String {
        let mut out = String::new();
        for lapic in &self.platform.board.lapics {
            row!(out, "local APIC {}: {:?}", lapic.config().index, lapic.mode());
            registers(&mut out, lapic.registers(self.now()));
        }
        out
    }

    /// The I/O APIC.
    #[must_use]
    pub fn show_ioapic(&self) -> String {
        let mut out = String::new();
        registers(&mut out, self.platform.board.ioapic.registers());
        out
    }

    /// Every function, and what it decodes.
    #[must_use]
    pub fn show_pci(&self) -> String {
        let devices = &self.platform.devices;
        let functions: [(Bdf, &str, &dyn PciFunction); 3] = [
            (layout::HOST_BRIDGE, "host bridge", &devices.host_bridge),
            (layout::NIC, "network card", &devices.nic),
            (layout::LPC, "LPC bridge", &devices.lpc),
        ];
        let mut out = String::new();
        for (bdf, name, function) in functions {
            let config = function.config();
            let id = config.read(0, emu_core::Width::B4);
            row!(
                out,
                "{bdf}  {:04x}:{:04x}  {name}, command {:#06x}",
                id & 0xffff,
                id >> 16,
                config.command()
            );
            for window in function.windows().into_iter().flatten() {
                let space = match window.space {
                    Space::Memory => "memory",
                    Space::Io => "ports",
                };
                row!(
                    out,
                    "    window {}: {space} {:#x}-{:#x}",
                    window.bar,
                    window.base,
                    window.base + window.size - 1
                );
            }
        }
        out
    }

    /// The network card: registers, and its rings as far as memory shows them.
    #[must_use]
    pub fn show_e1000(&self) -> String {
        use emu_core::trace::Ring;
        let nic = &self.platform.devices.nic;
        let mut out = String::new();
        registers(&mut out, nic.registers());
        let board = &self.platform.board;
        let reach =
            board.iommu.as_ref().map(|iommu| iommu.mapped_ranges(&board.mem, layout::NIC, RANGES_MAX));
        for (ring, name) in [(Ring::Rx, "receive"), (Ring::Tx, "transmit")] {
            row!(out, "{name} ring, from its head on:");
            let read = |iova: Iova, buf: &mut [u8; 16]| {
                let gpa = match &reach {
                    None => Some(Gpa(iova.0)),
                    Some(ranges) => ranges
                        .iter()
                        .find(|range| iova.0.wrapping_sub(range.iova.0) < range.len)
                        .map(|range| range.gpa.plus(iova.0 - range.iova.0)),
                };
                gpa.is_some_and(|gpa| board.mem.read(gpa, buf).is_ok())
            };
            for found in nic.descriptors(ring, ROWS_MAX as u32, read) {
                row!(out, "    {:>4}  {}  {:?}  {}", found.index, found.iova, found.owner, found.meaning);
            }
        }
        out
    }

    /// The VT-d unit: registers, caches, and what the card can reach.
    #[must_use]
    pub fn show_iommu(&self) -> String {
        let board = &self.platform.board;
        let Some(iommu) = &board.iommu else { return "this machine has no VT-d unit\n".to_owned() };
        let mut out = String::new();
        for register in iommu.registers() {
            row!(
                out,
                "{:#05x}  {:<14} {:#018x}  {}",
                register.offset,
                register.name,
                register.value,
                register.meaning
            );
        }
        row!(out, "context cache:");
        for cached in iommu.context_entries() {
            let entry = cached.entry;
            row!(
                out,
                "    set {} way {}: {}, domain {}",
                cached.set,
                cached.way,
                entry.source,
                entry.domain()
            );
        }
        row!(out, "IOTLB:");
        for cached in iommu.iotlb_entries() {
            let entry = cached.entry;
            row!(
                out,
                "    set {} way {}: domain {}, {} -> {}, {}, {}{}",
                cached.set,
                cached.way,
                entry.domain,
                entry.iova,
                entry.gpa,
                names::page_size(entry.page_shift),
                if entry.read { "r" } else { "-" },
                if entry.write { "w" } else { "-" },
            );
        }
        row!(out, "interrupt entry cache:");
        for cached in iommu.interrupt_entries() {
            let entry = cached.entry;
            row!(out, "    index {}: {:016x} {:016x}", entry.index, entry.irte.0[0], entry.irte.0[1]);
        }
        row!(out, "mapped for {} by the tables in memory:", layout::NIC);
        for range in iommu.mapped_ranges(&board.mem, layout::NIC, RANGES_MAX) {
            row!(
                out,
                "    {}-{:#x} -> {}, {}{}",
                range.iova,
                range.iova.0 + (range.len - 1),
                range.gpa,
                if range.read { "r" } else { "-" },
                if range.write { "w" } else { "-" },
            );
        }
        out
    }

    /// One translation, level by level.
    #[must_use]
    pub fn show_walk(&self, bdf: Bdf, iova: Iova) -> String {
        let board = &self.platform.board;
        let Some(iommu) = &board.iommu else { return "this machine has no VT-d unit\n".to_owned() };
        let mut out = String::new();
        for line in iommu.walk_explain(&board.mem, bdf, iova) {
            row!(out, "{}", line.text);
        }
        out
    }
}
