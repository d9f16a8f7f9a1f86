//! The processor: registers, segments, mode, and the code about to run.

use super::Machine;
use crate::guests::DEMO_ELF;
use crate::scenario::Guest;
use crate::view::symbols::Symbols;
use crate::view::table::View;
use crate::view::text;
use emu_core::cpu::Activity;
use emu_core::cpu::regs::Seg;
use emu_core::{Gpa, Lin};
use iced_x86::{Decoder, DecoderOptions, FastFormatter, Instruction};

/// Instructions shown from RIP on.
const CODE_SHOWN: usize = 8;
/// Longest instruction.
const INSN_MAX: usize = 15;

/// Bits of CR0 (SDM vol. 3A, 2.5), EFER (2.2.1), CR4 and RFLAGS (2.3).
const CR0: &[(u64, &str)] = &[
    (0, "PE"),
    (1, "MP"),
    (2, "EM"),
    (3, "TS"),
    (4, "ET"),
    (5, "NE"),
    (16, "WP"),
    (18, "AM"),
    (29, "NW"),
    (30, "CD"),
    (31, "PG"),
];
const CR4: &[(u64, &str)] = &[
    (0, "VME"),
    (1, "PVI"),
    (2, "TSD"),
    (3, "DE"),
    (4, "PSE"),
    (5, "PAE"),
    (6, "MCE"),
    (7, "PGE"),
    (8, "PCE"),
    (9, "OSFXSR"),
    (10, "OSXMMEXCPT"),
    (11, "UMIP"),
    (12, "LA57"),
    (13, "VMXE"),
    (16, "FSGSBASE"),
    (17, "PCIDE"),
    (18, "OSXSAVE"),
    (20, "SMEP"),
    (21, "SMAP"),
    (22, "PKE"),
];
const EFER: &[(u64, &str)] = &[(0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE"), (12, "SVME")];
const RFLAGS: &[(u64, &str)] = &[
    (0, "CF"),
    (2, "PF"),
    (4, "AF"),
    (6, "ZF"),
    (7, "SF"),
    (8, "TF"),
    (9, "IF"),
    (10, "DF"),
    (11, "OF"),
    (14, "NT"),
    (16, "RF"),
    (17, "VM"),
    (18, "AC"),
    (19, "VIF"),
    (20, "VIP"),
    (21, "ID"),
];

fn bits(value: u64, names: &[(u64, &str)]) -> String {
    let set: Vec<&str> =
        names.iter().filter(|(bit, _)| value >> bit & 1 != 0).map(|(_, name)| *name).collect();
    set.join(" ")
}

impl Machine {
    /// Registers, segments, mode, and the code about to run; addresses with their symbols.
    #[must_use]
    pub fn show_cpu_with(&self, symbols: &Symbols) -> View {
        const NAMES: [&str; 16] = [
            "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
            "r14", "r15",
        ];
        let (cpu, mut view) = (&self.cpu, View::default());
        let title = format!(
            "insns={} time={}  {} mode, CPL {}",
            cpu.insns(),
            cpu.now(),
            text::mode_name(cpu.mode()),
            cpu.cpl()
        );
        const GENERAL: &[&str] = &["name", "value", "meaning"];
        let section = view.section(title, GENERAL);
        for (index, name) in NAMES.iter().enumerate() {
            section.row([(*name).to_owned(), format!("{:016x}", cpu.gpr(index as u8))]);
        }
        let rip = symbols.name(cpu.rip()).unwrap_or_default();
        section.row(["rip".to_owned(), format!("{:016x}", cpu.rip()), rip]);
        let [cr0, cr2, cr3, cr4, efer] = cpu.control();
        for (name, value, meaning) in [
            ("rflags", cpu.rflags(), bits(cpu.rflags(), RFLAGS)),
            ("cr0", cr0, bits(cr0, CR0)),
            ("cr2", cr2, "address of the last page fault".to_owned()),
            ("cr3", cr3, format!("page tables at {:#x}", cr3 & 0x000f_ffff_ffff_f000)),
            ("cr4", cr4, bits(cr4, CR4)),
            ("efer", efer, bits(efer, EFER)),
        ] {
            section.row([name.to_owned(), format!("{value:016x}"), meaning]);
        }
        let segments = view.section("segments", &["name", "selector", "base", "limit", "rights"]);
        for (seg, name) in Seg::ALL.into_iter().zip(["es", "cs", "ss", "ds", "fs", "gs"]) {
            let segment = cpu.seg(seg);
            segments.row([
                name.to_owned(),
                format!("{:04x}", segment.selector),
                format!("base {:016x}", cpu.seg_base(seg)),
                format!("limit {:08x}", segment.limit),
                format!("rights {:04x}", segment.rights),
            ]);
        }
        let code = view.section("code about to run", &["address", "instruction", "symbol"]);
        for (at, line) in self.code() {
            code.row([format!("{at:016x}"), line, symbols.name(at).unwrap_or_default()]);
        }
        view
    }

    /// The same as text, without symbols.
    #[must_use]
    pub fn show_cpu(&self) -> String {
        self.show_cpu_with(&Symbols::default()).to_string()
    }

    /// Instructions from RIP on, as far as it is mapped.
    fn code(&self) -> Vec<(u64, String)> {
        let cpu = &self.cpu;
        let start = cpu.seg_base(Seg::Cs).wrapping_add(cpu.rip());
        let bytes = self.read_linear(Lin(start), CODE_SHOWN * INSN_MAX);
        let mut decoder = Decoder::with_ip(cpu.code_size().bits(), &bytes, cpu.rip(), DecoderOptions::NONE);
        let (mut insn, mut formatter) = (Instruction::default(), FastFormatter::new());
        let mut code = Vec::new();
        while code.len() < CODE_SHOWN && decoder.can_decode() {
            decoder.decode_out(&mut insn);
            let mut line = String::new();
            formatter.format(&insn, &mut line);
            code.push((insn.ip(), line));
        }
        code
    }

    /// The instruction at RIP in words, if it is in memory.
    #[must_use]
    pub fn next_instruction(&self) -> Option<String> {
        let code = self.code();
        let (at, text) = code.first()?;
        let halted =
            if self.cpu.activity() == Activity::Running { "" } else { " (when the processor wakes)" };
        Some(format!("{at:#x}  {text}{halted}"))
    }

    /// Up to `len` bytes at a linear address, as the processor's page tables map it now.
    #[must_use]
    pub fn read_linear(&self, from: Lin, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for offset in 0..len as u64 {
            let at = Lin(from.0.wrapping_add(offset));
            let Some(found) = self.cpu.translate(&self.platform, at) else { break };
            let mut byte = [0];
            if self.platform.board.mem.read(found.gpa, &mut byte).is_err() {
                break;
            }
            bytes.extend(byte);
        }
        bytes
    }

    /// Names for the guest's addresses, as far as they can be had: those of the demo guest, or the table that a Linux in
    /// memory keeps of itself.
    #[must_use]
    pub fn symbols(&self) -> Symbols {
        if matches!(self.scenario.guest, Guest::Demo) {
            return Symbols::parse(DEMO_ELF).unwrap_or_default();
        }
        let mem = &self.platform.board.mem;
        let Some((start, end)) = mem.ram_ranges().first().map(|(start, end)| (start.0, end.0)) else {
            return Symbols::default();
        };
        let mut memory = vec![0; (end - start) as usize];
        if mem.read(Gpa(start), &mut memory).is_err() {
            return Symbols::default();
        }
        let kernel = Symbols::kallsyms(&memory).unwrap_or_default();
        let modules = self.module_symbols(&kernel);
        kernel.with(modules)
    }

    /// [`Self::symbols`] by where they are in physical memory, as the processor's page tables map them now.
    #[must_use]
    pub fn physical_symbols(&self) -> Symbols {
        let symbols = self.symbols();
        let physical =
            |(address, name): (u64, &str)| Some((self.translate(Lin(address))?.0, name.to_owned()));
        Symbols::default().with(symbols.iter().filter_map(physical).collect())
    }

    /// Where the processor is.
    #[must_use]
    pub fn rip(&self) -> u64 {
        self.cpu.rip()
    }

    /// Where its table of handlers says that `vector` goes, in 64-bit mode (SDM vol. 3A, 7.14.1).
    #[must_use]
    pub fn handler_of(&self, vector: u8) -> Option<u64> {
        let gate = self.read_linear(Lin(self.cpu.idtr_base() + u64::from(vector) * 16), 16);
        let word = |at: usize| Some(u64::from(u16::from_le_bytes([*gate.get(at)?, *gate.get(at + 1)?])));
        let high = u64::from(u32::from_le_bytes(gate.get(8..12)?.try_into().ok()?));
        Some(word(0)? | word(6)? << 16 | high << 32)
    }
}
