//! A guest with everything that system-level tests need: descriptor tables, task states, stacks and handlers, in every
//! mode. Nothing is tested here.
//!
//! Linear addresses equal physical ones. Each vector has a handler of its own that jumps to itself, so where a processor
//! stands tells what was delivered, and its stack tells the frame.

use super::{CODE, STACK, TABLES};
use crate::access::Width;
use crate::addr::Gpa;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::regs::{RSP, Seg, Segment, SystemSegment, TableRegister, rights};
use crate::cpu::{Cpu, CpuConfig};
use crate::testing::{FlatBus, identity_map};
use crate::trace::TraceEvent;

/// Tables and states.
pub(super) const GDT: u64 = 0x8000;
pub(super) const IDT: u64 = 0x9000;
pub(super) const TSS: u64 = 0xa000;
pub(super) const TSS2: u64 = 0xb000;
pub(super) const LDT: u64 = 0xc000;
/// Handler of vector 0; each takes [`HANDLER_LEN`] bytes.
pub(super) const HANDLERS: u64 = 0xd000;
const HANDLER_LEN: u64 = 16;
/// Tops of the stacks of levels 0 to 2.
pub(super) const INNER_STACK: [u64; 3] = [0x3_0000, 0x3_4000, 0x3_8000];
/// Tops of the interrupt stacks, less one page each.
pub(super) const IST: u64 = 0x4_0000;

/// Selectors, with the RPL that fits.
pub(super) mod sel {
    pub(in crate::cpu::tests) const CODE32: u16 = 0x08;
    pub(in crate::cpu::tests) const DATA32: u16 = 0x10;
    pub(in crate::cpu::tests) const USER_CODE32: u16 = 0x1b;
    pub(in crate::cpu::tests) const USER_DATA32: u16 = 0x23;
    pub(in crate::cpu::tests) const CODE64: u16 = 0x28;
    pub(in crate::cpu::tests) const USER_CODE64: u16 = 0x33;
    pub(in crate::cpu::tests) const CODE16: u16 = 0x38;
    pub(in crate::cpu::tests) const DATA16: u16 = 0x40;
    pub(in crate::cpu::tests) const TSS: u16 = 0x48;
    pub(in crate::cpu::tests) const LDT: u16 = 0x58;
    pub(in crate::cpu::tests) const CODE1: u16 = 0x69;
    pub(in crate::cpu::tests) const DATA1: u16 = 0x71;
    pub(in crate::cpu::tests) const CONFORMING: u16 = 0x78;
    pub(in crate::cpu::tests) const TSS2: u16 = 0x80;
    /// The first that tests may describe as they like; there is room for sixteen.
    pub(in crate::cpu::tests) const FREE: u16 = 0x90;
}

/// The last byte of the GDT.
pub(super) const GDT_LIMIT: u16 = sel::FREE + 0x80 - 1;

/// What a guest starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Real,
    Protected16,
    Protected32,
    Compatibility,
    Long,
}

impl Mode {
    pub(super) fn is_long(self) -> bool {
        matches!(self, Self::Compatibility | Self::Long)
    }
}

/// Type bytes of descriptors: present, DPL 0.
pub(super) mod kind {
    pub(in crate::cpu::tests) const CODE: u8 = 0x9b;
    pub(in crate::cpu::tests) const DATA: u8 = 0x93;
    pub(in crate::cpu::tests) const TSS16: u8 = 0x81;
    pub(in crate::cpu::tests) const LDT: u8 = 0x82;
    pub(in crate::cpu::tests) const CALL16: u8 = 0x84;
    pub(in crate::cpu::tests) const TASK: u8 = 0x85;
    pub(in crate::cpu::tests) const INTERRUPT16: u8 = 0x86;
    pub(in crate::cpu::tests) const TRAP16: u8 = 0x87;
    pub(in crate::cpu::tests) const TSS: u8 = 0x89;
    pub(in crate::cpu::tests) const TSS_BUSY: u8 = 0x8b;
    pub(in crate::cpu::tests) const CALL: u8 = 0x8c;
    pub(in crate::cpu::tests) const INTERRUPT: u8 = 0x8e;
    pub(in crate::cpu::tests) const TRAP: u8 = 0x8f;
    /// Added to one of the above.
    pub(in crate::cpu::tests) const DPL3: u8 = 0x60;
    pub(in crate::cpu::tests) const DPL1: u8 = 0x20;
    pub(in crate::cpu::tests) const ABSENT: u8 = 0x80;
}

/// Flags of a segment descriptor, bits 55:52.
pub(super) mod flag {
    pub(in crate::cpu::tests) const L: u8 = 2;
    pub(in crate::cpu::tests) const DB: u8 = 4;
    pub(in crate::cpu::tests) const G: u8 = 8;
}

/// A segment descriptor (SDM vol. 3A, figure 3-8).
pub(super) const fn segment(base: u64, limit: u64, kind: u8, flags: u8) -> u64 {
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | (kind as u64) << 40
        | (limit >> 16 & 0xf) << 48
        | (flags as u64) << 52
        | (base >> 24 & 0xff) << 56
}

/// The low half of a gate (SDM vol. 3A, figures 5-8 and 6-8). `count` is a parameter count or an interrupt stack.
pub(super) const fn gate(kind: u8, selector: u16, offset: u64, count: u8) -> u64 {
    offset & 0xffff
        | (selector as u64) << 16
        | (count as u64) << 32
        | (kind as u64) << 40
        | (offset >> 16 & 0xffff) << 48
}

/// A flat segment's descriptor.
pub(super) const fn flat(kind: u8, flags: u8) -> u64 {
    segment(0, 0xf_ffff, kind, flags | flag::G)
}

/// Where the handler of a vector is.
pub(super) const fn handler(vector: u8) -> u64 {
    HANDLERS + vector as u64 * HANDLER_LEN
}

/// A processor and its memory.
pub(super) struct Guest {
    pub(super) cpu: Box<Cpu>,
    pub(super) bus: FlatBus,
    pub(super) mode: Mode,
}

impl Guest {
    /// With `program` at [`CODE`], at `cpl`, in `mode`. Real-mode and 16-bit guests have CS based there.
    pub(super) fn new(mode: Mode, cpl: u8, program: &[u8]) -> Self {
        let mut bus = FlatBus::new(16 << 20);
        bus.put(CODE, program);
        let cpu = Cpu::new(CpuConfig::default());
        let mut guest = Self { cpu, bus, mode };
        for vector in 0..=255 {
            guest.bus.put(handler(vector), &[0xeb, 0xfe]);
        }
        guest.cpu.set_idtr(TableRegister { base: IDT, limit: 0xfff });
        guest.cpu.set_gdtr(TableRegister { base: GDT, limit: GDT_LIMIT });
        match mode {
            Mode::Real => guest.enter_real(),
            Mode::Protected16 | Mode::Protected32 => guest.cpu.set_control(cr0::PE | cr0::NE, 0, 0, 0),
            Mode::Compatibility | Mode::Long => {
                identity_map(&mut guest.bus.mem, Gpa(TABLES));
                let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE;
                guest.cpu.set_control(controls, TABLES, cr4::PAE | cr4::OSFXSR, efer::LME | efer::NXE);
            }
        }
        if mode != Mode::Real {
            guest.describe_all();
            guest.enter_protected(cpl);
        }
        // Records of a guest begin with what its program does.
        guest.cpu.traced_mode = guest.cpu.mode();
        guest
    }

    fn enter_real(&mut self) {
        for vector in 0..=255u8 {
            // The table is at IDT here as well: IDTR works in real mode.
            let target = handler(vector).to_le_bytes();
            self.bus.put(IDT + u64::from(vector) * 4, &[target[0], target[1], 0, 0]);
        }
        self.cpu.set_seg(Seg::Cs, CODE, Segment { selector: 0xf00d, ..*self.cpu.seg(Seg::Cs) });
        self.cpu.set_rip(0);
        self.cpu.set_gpr(RSP, 0x8000);
    }

    fn describe_all(&mut self) {
        let code32 = flag::DB;
        let table = [
            (sel::CODE32, flat(kind::CODE, code32)),
            (sel::DATA32, flat(kind::DATA, flag::DB)),
            (sel::USER_CODE32, flat(kind::CODE + kind::DPL3, code32)),
            (sel::USER_DATA32, flat(kind::DATA + kind::DPL3, flag::DB)),
            (sel::CODE64, flat(kind::CODE, flag::L)),
            (sel::USER_CODE64, flat(kind::CODE + kind::DPL3, flag::L)),
            (sel::CODE16, segment(0, 0xffff, kind::CODE, 0)),
            (sel::DATA16, segment(0, 0xffff, kind::DATA, 0)),
            (sel::TSS, segment(TSS, 0x67, kind::TSS_BUSY, 0)),
            (sel::LDT, segment(LDT, 0xff, kind::LDT, 0)),
            (sel::CODE1, flat(kind::CODE + kind::DPL1, code32)),
            (sel::DATA1, flat(kind::DATA + kind::DPL1, flag::DB)),
            (sel::CONFORMING, flat(kind::CODE + 4, code32)),
            (sel::TSS2, segment(TSS2, 0x67, kind::TSS, 0)),
        ];
        for (selector, descriptor) in table {
            self.describe(selector, descriptor);
        }
        let (gate_kind, code) = match self.mode {
            Mode::Protected16 => (kind::INTERRUPT16, sel::CODE16),
            Mode::Compatibility | Mode::Long => (kind::INTERRUPT, sel::CODE64),
            Mode::Real | Mode::Protected32 => (kind::INTERRUPT, sel::CODE32),
        };
        for vector in 0..=255 {
            self.gate(vector, gate(gate_kind, code, handler(vector), 0));
        }
        if self.mode.is_long() {
            for (level, stack) in (0..).zip(INNER_STACK) {
                self.bus.put(TSS + 4 + level * 8, &stack.to_le_bytes());
            }
            for ist in 1..=7 {
                self.bus.put(TSS + 0x24 + (ist - 1) * 8, &ist_stack(ist as u8).to_le_bytes());
            }
        } else {
            for (level, stack) in (0..).zip(INNER_STACK) {
                self.bus.put(TSS + 4 + level * 8, &(stack as u32).to_le_bytes());
                let selector = [sel::DATA32, sel::DATA1, 0][level as usize];
                self.bus.put(TSS + 8 + level * 8, &selector.to_le_bytes());
            }
        }
        // No map of ports.
        self.bus.put(TSS + 0x66, &[0x68, 0]);
        let tss = SystemSegment {
            selector: sel::TSS,
            base: TSS,
            limit: 0x67,
            rights: u16::from(kind::TSS_BUSY),
            null: false,
        };
        self.cpu.set_tr(tss);
        self.cpu.set_ldtr(SystemSegment { selector: 0, base: 0, limit: 0, rights: 0, null: true });
    }

    fn enter_protected(&mut self, cpl: u8) {
        let (code, data) = match (self.mode, cpl) {
            (Mode::Protected16, _) => (sel::CODE16, sel::DATA16),
            (Mode::Long, 0) => (sel::CODE64, sel::DATA32),
            (Mode::Long, _) => (sel::USER_CODE64, sel::USER_DATA32),
            (_, 1) => (sel::CODE1, sel::DATA1),
            (_, 0) => (sel::CODE32, sel::DATA32),
            _ => (sel::USER_CODE32, sel::USER_DATA32),
        };
        for seg in Seg::ALL {
            self.load(seg, if seg == Seg::Cs { code } else { data });
        }
        self.cpu.set_rip(CODE);
        self.cpu.set_gpr(RSP, STACK);
        if self.mode == Mode::Protected16 {
            let based = *self.cpu.seg(Seg::Cs);
            self.cpu.set_seg(Seg::Cs, CODE, based);
            self.cpu.set_rip(0);
            self.cpu.set_gpr(RSP, 0x8000);
        }
        assert_eq!(self.cpu.cpl(), cpl);
    }

    /// Loads a segment register as its descriptor says, unchecked.
    pub(super) fn load(&mut self, seg: Seg, selector: u16) {
        let low = self.read(GDT + u64::from(selector & !7), Width::B8);
        let limit = (low & 0xffff | low >> 32 & 0xf_0000) as u32;
        let limit = if low >> 55 & 1 != 0 { limit << 12 | 0xfff } else { limit };
        let rights = (low >> 40) as u16 & 0xf0ff | rights::ACCESSED;
        let base = low >> 16 & 0xff_ffff | low >> 56 << 24;
        self.cpu.set_seg(seg, base, Segment { selector, limit, rights, null: false });
    }

    /// Writes eight bytes of the GDT, or of the LDT.
    pub(super) fn describe(&mut self, selector: u16, descriptor: u64) {
        let table = if selector & 4 == 0 { GDT } else { LDT };
        self.bus.put(table + u64::from(selector & !7), &descriptor.to_le_bytes());
    }

    /// The descriptor of a selector now.
    pub(super) fn descriptor(&self, selector: u16) -> u64 {
        let table = if selector & 4 == 0 { GDT } else { LDT };
        self.read(table + u64::from(selector & !7), Width::B8)
    }

    /// Writes a vector's gate; the upper half of a 64-bit one becomes zero.
    pub(super) fn gate(&mut self, vector: u8, low: u64) {
        let size = if self.mode.is_long() { 16 } else { 8 };
        let at = IDT + u64::from(vector) * size;
        self.bus.put(at, &low.to_le_bytes());
        if size == 16 {
            self.bus.put(at + 8, &[0; 8]);
        }
    }

    /// Uses the LDT of [`LDT`].
    pub(super) fn use_ldt(&mut self) {
        let ldt = SystemSegment {
            selector: sel::LDT,
            base: LDT,
            limit: 0xff,
            rights: u16::from(kind::LDT),
            null: false,
        };
        self.cpu.set_ldtr(ldt);
    }

    /// Executes `insns` instructions, or until the processor stops.
    pub(super) fn run(&mut self, insns: u64) {
        super::execute(&mut self.cpu, &mut self.bus, insns);
    }

    /// Executes one instruction, after which it is either retired or its exception's handler has been entered.
    pub(super) fn step(&mut self) {
        self.run(1);
    }

    /// Whose handler the processor stands in.
    pub(super) fn in_handler(&self) -> Option<u8> {
        let rip = self.cpu.rip();
        if self.cpu.seg_base(Seg::Cs) != 0 || rip < HANDLERS || rip >= handler(255) + HANDLER_LEN {
            return None;
        }
        Some(((rip - HANDLERS) / HANDLER_LEN) as u8)
    }

    /// The exceptions so far: vector and error code.
    pub(super) fn exceptions(&self) -> Vec<(u8, Option<u32>)> {
        let found = self.bus.records.iter().filter_map(|(_, event)| match event {
            TraceEvent::CpuException { vector, error, .. } => Some((*vector, *error)),
            _ => None,
        });
        found.collect()
    }

    /// Reads memory.
    pub(super) fn read(&self, gpa: u64, width: Width) -> u64 {
        let mut bytes = [0; 8];
        self.bus.mem.read(Gpa(gpa), &mut bytes[..width.bytes() as usize]).unwrap();
        u64::from_le_bytes(bytes)
    }

    /// Writes memory.
    pub(super) fn write(&mut self, gpa: u64, width: Width, value: u64) {
        self.bus.put(gpa, &value.to_le_bytes()[..width.bytes() as usize]);
    }

    /// Linear address of the top of the stack.
    pub(super) fn top(&self) -> u64 {
        let cpu = &self.cpu;
        let base =
            if self.cpu.code_size() == crate::cpu::CodeSize::Bits64 { 0 } else { cpu.seg_base(Seg::Ss) };
        base + (cpu.gpr(RSP) & cpu.stack_width().mask())
    }

    /// The words on top of the stack.
    pub(super) fn stack(&self, width: Width, count: usize) -> Vec<u64> {
        (0..count as u64).map(|n| self.read(self.top() + n * width.bytes(), width)).collect()
    }

    /// Puts words on the stack, the first on top.
    pub(super) fn push(&mut self, width: Width, words: &[u64]) {
        let rsp = self.cpu.gpr(RSP) - words.len() as u64 * width.bytes();
        self.cpu.set_gpr(RSP, rsp);
        for (n, word) in (0..).zip(words) {
            self.write(self.top() + n * width.bytes(), width, *word);
        }
    }

    /// Selectors of CS and SS.
    pub(super) fn cs_ss(&self) -> (u16, u16) {
        (self.cpu.seg(Seg::Cs).selector, self.cpu.seg(Seg::Ss).selector)
    }
}

/// Top of an interrupt stack, 1 to 7.
pub(super) const fn ist_stack(ist: u8) -> u64 {
    IST + ist as u64 * 0x1000
}
