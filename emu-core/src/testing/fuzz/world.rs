//! The world of a fuzzed program: memory, tables, handlers, registers, as its header says.
//!
//! A handler goes on one byte after what faulted, so that nonsense is passed over and something worth running is reached.

use super::layout::{Header, Mode, at};
use super::{Dice, FlatBus};
use crate::addr::Gpa;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::flags::bit;
use crate::cpu::regs::{RSP, Seg, Segment, SystemSegment, TableRegister, rights};
use crate::cpu::{Cpu, CpuConfig, CpuState};
use crate::mem::PhysMem;

/// Selectors. Those with RPL 3 are at the next index.
mod sel {
    pub(super) const CODE32: u16 = 0x08;
    pub(super) const DATA32: u16 = 0x18;
    pub(super) const CODE64: u16 = 0x28;
    pub(super) const CODE16: u16 = 0x38;
    pub(super) const DATA16: u16 = 0x48;
    pub(super) const STACK16: u16 = 0x58;
    pub(super) const TSS: u16 = 0x68;
    pub(super) const TASK: u16 = 0x78;
    /// To the start of the code, from any level.
    pub(super) const GATE: u16 = 0x88;
    pub(super) const LIMIT: u16 = 0x97;
}

const DATA: u16 = 0x93;
const CODE: u16 = 0x9b;
const DPL3: u16 = 0x60;
const FLAT: u16 = rights::G;

/// Processor and memory, ready to run.
pub(super) fn make(header: &Header, code: &[u8]) -> Result<(Box<Cpu>, FlatBus), String> {
    let mut bus = FlatBus::new(at::END);
    let mut put = Writer(&mut bus.mem);
    let mut dice = Dice::new(header.data_seed);
    for offset in (0..at::DATA_LEN).step_by(8) {
        let value = dice.roll();
        // Much of what is stored somewhere is small or an address.
        put.qword(
            at::DATA + offset,
            [value, value & 0xff, at::DATA + (value & 0xfff8)][value as usize >> 8 & 1],
        );
    }
    let room = (at::CODE + 0x8000 - header.code) as usize;
    put.bytes(header.code, &code[..code.len().min(room)]);
    paging(&mut put, &mut dice, header);
    descriptors(&mut put, header);
    handlers(&mut put, header);
    let mut cpu = Cpu::new(CpuConfig::default());
    let state = state(cpu.state(), header);
    cpu.restore(state).map_err(|error| error.to_string())?;
    Ok((cpu, bus))
}

/// Everything lies inside memory.
struct Writer<'a>(&'a mut PhysMem);

impl Writer<'_> {
    fn bytes(&mut self, gpa: u64, bytes: &[u8]) {
        let written = self.0.write(Gpa(gpa), bytes);
        debug_assert!(written.is_ok(), "{gpa:#x} is outside of memory");
    }

    fn word(&mut self, gpa: u64, value: u16) {
        self.bytes(gpa, &value.to_le_bytes());
    }

    fn dword(&mut self, gpa: u64, value: u32) {
        self.bytes(gpa, &value.to_le_bytes());
    }

    fn qword(&mut self, gpa: u64, value: u64) {
        self.bytes(gpa, &value.to_le_bytes());
    }
}

/// Three sets of tables that map memory onto itself. Data pages and the code's later ones have permissions by lot.
fn paging(put: &mut Writer<'_>, dice: &mut Dice, header: &Header) {
    const ALL: u64 = 7;
    const LARGE: u64 = 1 << 7;
    put.qword(at::PML4, at::PDPT | ALL);
    put.qword(at::PML4 + 511 * 8, at::PDPT | ALL);
    put.qword(at::PDPT, at::DIRECTORY | ALL);
    put.qword(at::PDPT_PAE, at::DIRECTORY | 1);
    put.qword(at::DIRECTORY, at::TABLE | ALL);
    put.dword(at::DIRECTORY32, (at::TABLE32 | ALL) as u32);
    for large in 1..8 {
        put.qword(at::DIRECTORY + large * 8, large << 21 | ALL | LARGE);
        put.dword(at::DIRECTORY32 + large * 4, (large << 22 | ALL | LARGE) as u32);
    }
    let special = header.control >> 28 & 1 != 0;
    for page in 0..256u64 {
        let lot = dice.below(16);
        let by_lot = special && matches!(page, 0x12..0x18 | 0x21..0x30);
        let (bits, high) = match lot {
            0 if by_lot => (6, 0),
            1 if by_lot => (5, 0),
            2 if by_lot => (3, 0),
            3 if by_lot && header.control >> 25 & 1 != 0 => (7, 1 << 63),
            4 if by_lot => (0x107, 0),
            _ => (7, 0),
        };
        put.qword(at::TABLE + page * 8, page << 12 | bits | high);
        put.dword(at::TABLE32 + page * 4, (page << 12 | bits) as u32);
    }
}

fn descriptor(base: u64, limit: u64, rights: u16) -> u64 {
    let limit = if rights & rights::G != 0 { limit >> 12 } else { limit };
    limit & 0xffff
        | (base & 0xff_ffff) << 16
        | u64::from(rights) << 40
        | (limit >> 16 & 0xf) << 48
        | (base >> 24) << 56
}

fn descriptors(put: &mut Writer<'_>, header: &Header) {
    let (data16, limit16) = special_data(header);
    let table = [
        (sel::CODE32, descriptor(0, 0xffff_ffff, CODE | rights::DB | FLAT)),
        (sel::DATA32, descriptor(0, 0xffff_ffff, DATA | rights::DB | FLAT)),
        (sel::CODE64, descriptor(0, 0xffff_ffff, CODE | rights::L | FLAT)),
        (sel::CODE16, descriptor(at::CODE, 0xffff, CODE)),
        (sel::DATA16, descriptor(at::DATA, limit16, data16)),
        (sel::STACK16, descriptor(at::STACK, 0xffff, DATA)),
    ];
    for (selector, descriptor) in table {
        put.qword(at::GDT + u64::from(selector), descriptor);
        put.qword(at::GDT + u64::from(selector) + 8, descriptor | u64::from(DPL3) << 40);
    }
    put.qword(at::GDT + u64::from(sel::TSS), descriptor(at::TSS, 0x8f, 0x8b));
    put.qword(at::GDT + u64::from(sel::TASK), descriptor(at::TASK, 0x67, 0xe9));
    let target = if header.mode.is_long() { sel::CODE64 } else { sel::CODE32 };
    put.qword(at::GDT + u64::from(sel::GATE), gate(0xec, target, header.code));
    task_states(put, header);
}

fn gate(kind: u64, selector: u16, offset: u64) -> u64 {
    offset & 0xffff | u64::from(selector) << 16 | kind << 40 | (offset >> 16 & 0xffff) << 48
}

fn task_states(put: &mut Writer<'_>, header: &Header) {
    if header.mode.is_long() {
        for stack in 0..3 {
            put.qword(at::TSS + 4 + stack * 8, at::INNER_STACK);
        }
        for stack in 0..7 {
            put.qword(at::TSS + 0x24 + stack * 8, at::INNER_STACK + 0x1000);
        }
    } else {
        put.dword(at::TSS + 4, at::INNER_STACK as u32);
        put.word(at::TSS + 8, sel::DATA32);
        for (offset, value) in [
            (4, at::INNER_STACK as u32),
            (8, u32::from(sel::DATA32)),
            (0x1c, at::DIRECTORY32 as u32),
            (0x20, header.code as u32),
            (0x24, 0x202),
            (0x38, (at::STACK + at::TOP) as u32),
            (0x48, u32::from(sel::DATA32)),
            (0x4c, u32::from(sel::CODE32)),
            (0x50, u32::from(sel::DATA32)),
            (0x54, u32::from(sel::DATA32)),
        ] {
            put.dword(at::TASK + offset, value);
        }
    }
    // Ports 0-255 are everybody's.
    put.word(at::TSS + 0x66, 0x68);
    put.bytes(at::TSS + 0x88, &[0xff; 8]);
}

/// Each goes on after the first byte of what faulted; software interrupts too.
fn handlers(put: &mut Writer<'_>, header: &Header) {
    for vector in 0..=255u64 {
        let error_code = matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30);
        let target = at::HANDLERS + vector * at::HANDLER_LEN;
        // In 16-bit code the same bytes pop and count words.
        let code: &[u8] = match (header.mode, error_code) {
            // push bp; mov bp, sp; inc word [bp+2]; pop bp; iret
            (Mode::Real, _) => &[0x55, 0x89, 0xe5, 0xff, 0x46, 2, 0x5d, 0xcf],
            // inc qword [rsp]; iretq
            (Mode::Compatibility | Mode::Long, false) => &[0x48, 0xff, 0x04, 0x24, 0x48, 0xcf],
            // add rsp, 8; inc qword [rsp]; iretq
            (Mode::Compatibility | Mode::Long, true) => {
                &[0x48, 0x83, 0xc4, 8, 0x48, 0xff, 0x04, 0x24, 0x48, 0xcf]
            }
            // inc dword [esp]; iretd
            (_, false) => &[0xff, 0x04, 0x24, 0xcf],
            // add esp, 4; inc dword [esp]; iretd
            (_, true) => &[0x83, 0xc4, 4, 0xff, 0x04, 0x24, 0xcf],
        };
        put.bytes(target, code);
        match header.mode {
            Mode::Real => put.dword(vector * 4, target as u32),
            Mode::Compatibility | Mode::Long => {
                put.qword(at::IDT + vector * 16, gate(0xee, sel::CODE64, target));
            }
            Mode::Protected16 | Mode::Protected32 | Mode::Paged | Mode::Pae | Mode::Virtual8086 => {
                let kind = if vector & 1 == 0 { 0xee } else { 0xef };
                put.qword(at::IDT + vector * 8, gate(kind, sel::CODE32, target));
            }
        }
    }
}

/// Rights and limit of a 16-bit data segment: the header may make it special.
fn special_data(header: &Header) -> (u16, u64) {
    let down = if header.segments & 1 != 0 { rights::DC } else { 0 };
    let read_only = if header.segments & 2 != 0 { rights::RW } else { 0 };
    ((DATA | down) & !read_only, if down != 0 { 0x7fff } else { 0xffff })
}

/// `state`, which is that of reset, with what the header says.
fn state(mut state: CpuState, header: &Header) -> CpuState {
    control(&mut state, header);
    segments(&mut state, header);
    let mut dice = Dice::new(header.register_seed);
    for (value, kind) in state.gprs.iter_mut().zip(header.gprs) {
        *value = register(kind, header, dice.roll());
    }
    if header.gprs[RSP as usize] >> 5 != 6 {
        state.gprs[RSP as usize] = if header.mode.is_16_bit() { at::TOP } else { at::STACK + at::TOP };
    }
    for lane in state.ymm.iter_mut().flatten() {
        let lot = dice.roll();
        let floats =
            [0x3ff0_0000_3f80_0000, 0x7ff0_0000_7f80_0000, 0x8000_0000_8000_0001, 0x7fff_ffff_7fc0_0001];
        *lane = if lot & 3 == 0 { floats[(lot >> 2) as usize & 3] } else { dice.roll() };
    }
    state.rip = if header.mode.is_16_bit() { header.code - at::CODE } else { header.code };
    state
}

fn control(state: &mut CpuState, header: &Header) {
    let chosen = |bits: &[(u32, u64)]| {
        bits.iter().filter(|(at, _)| header.control >> at & 1 != 0).fold(0, |all, (_, bit)| all | bit)
    };
    let (cr0_mode, cr3, cr4_mode, efer_mode) = match header.mode {
        Mode::Real => (0, 0, 0, 0),
        Mode::Protected16 | Mode::Protected32 => (cr0::PE, 0, 0, 0),
        Mode::Paged => (cr0::PE | cr0::PG, at::DIRECTORY32, cr4::PSE, 0),
        Mode::Virtual8086 => (cr0::PE, 0, 0, 0),
        Mode::Pae => (cr0::PE | cr0::PG, at::PDPT_PAE, cr4::PAE, 0),
        Mode::Compatibility | Mode::Long => (cr0::PE | cr0::PG, at::PML4, cr4::PAE, efer::LME | efer::LMA),
    };
    let bits = [(0, cr0::WP), (1, cr0::AM), (2, cr0::NE), (3, cr0::MP), (4, cr0::TS), (5, cr0::EM)];
    state.cr0 = cr0::ET | cr0_mode | chosen(&bits);
    let bits = [
        (8, cr4::OSFXSR),
        (9, cr4::OSXMMEXCPT),
        (10, cr4::OSXSAVE),
        (11, cr4::FSGSBASE),
        (12, cr4::UMIP),
        (13, cr4::SMEP),
        (14, cr4::SMAP),
        (15, cr4::TSD),
        (16, cr4::DE),
        (17, cr4::PGE),
        (18, cr4::VME),
        (19, cr4::PVI),
    ];
    state.cr4 = cr4_mode | chosen(&bits);
    // SMEP and SMAP would make every page of ours a fault for the supervisor: theirs is a user's program.
    if !header.user {
        state.cr4 &= !(cr4::SMEP | cr4::SMAP);
    }
    state.cr3 = cr3;
    state.efer = efer_mode | chosen(&[(24, efer::SCE), (25, efer::NXE)]);
    if state.cr4 & cr4::OSXSAVE != 0 {
        state.xcr0 = 7;
    }
    if header.mode == Mode::Pae {
        state.tlb.pdptes[0] = at::DIRECTORY | 1;
    }
    state.msrs.star = 0x0023_0028 << 32 | header.code;
    state.msrs.lstar = header.code;
    state.msrs.cstar = header.code;
    state.msrs.fmask = bit::IF | bit::TF;
    state.msrs.sysenter_cs = u64::from(sel::CODE32);
    state.msrs.sysenter_eip = header.code;
    state.msrs.sysenter_esp = at::INNER_STACK;
    let vm = if header.mode == Mode::Virtual8086 { bit::VM } else { 0 };
    let flags = bit::ALL & !(bit::VM | bit::VIF | bit::VIP);
    state.rflags = u64::from(header.rflags) & flags | vm | bit::ONE;
    if header.breakpoints {
        state.dr =
            [header.code + 3, at::DATA + 0x10, at::DATA + 0x1000, 0x40, 0, 0, state.dr[6], 0x0fd0_04aa];
    }
}

fn segments(state: &mut CpuState, header: &Header) {
    let user = header.user && header.mode != Mode::Real || header.mode == Mode::Virtual8086;
    let (level, next) = if user { (DPL3, 8 | 3) } else { (0, 0) };
    let (data16, limit16) = special_data(header);
    let code_limit = if header.segments & 4 != 0 { 0x10ff } else { 0xffff };
    for seg in Seg::ALL {
        let (base, selector, limit, rights) = match (header.mode, seg) {
            (Mode::Real | Mode::Virtual8086, _) => {
                let base = match seg {
                    Seg::Cs => at::CODE,
                    Seg::Ss => at::STACK,
                    Seg::Ds | Seg::Es => at::DATA,
                    Seg::Fs | Seg::Gs => at::DATA + 0x800,
                };
                let code = if seg == Seg::Cs && header.mode == Mode::Real { rights::CODE } else { 0 };
                (base, (base >> 4) as u16, 0xffff, DATA | code)
            }
            (Mode::Protected16, Seg::Cs) => (at::CODE, sel::CODE16 + next, code_limit, CODE),
            (Mode::Protected16, Seg::Ss) => (at::STACK, sel::STACK16 + next, 0xffff, DATA),
            (Mode::Protected16, _) => (at::DATA, sel::DATA16 + next, limit16 as u32, data16),
            (Mode::Long, Seg::Cs) => (0, sel::CODE64 + next, u32::MAX, CODE | rights::L | FLAT),
            (Mode::Long, Seg::Fs | Seg::Gs) => {
                (at::DATA + 0x800, sel::DATA32 + next, u32::MAX, DATA | rights::DB | FLAT)
            }
            (_, Seg::Cs) => (0, sel::CODE32 + next, u32::MAX, CODE | rights::DB | FLAT),
            (_, _) => (0, sel::DATA32 + next, u32::MAX, DATA | rights::DB | FLAT),
        };
        state.segs[seg as usize] = Segment { selector, limit, rights: rights | level, null: false };
        state.seg_bases[seg as usize] = base;
    }
    state.cpl = if user { 3 } else { 0 };
    state.gdtr = TableRegister { base: at::GDT, limit: sel::LIMIT };
    state.idtr = if header.mode == Mode::Real {
        TableRegister { base: 0, limit: 0x3ff }
    } else {
        TableRegister { base: at::IDT, limit: 0xfff }
    };
    state.tr = SystemSegment { selector: sel::TSS, base: at::TSS, limit: 0x8f, rights: 0x8b, null: false };
    state.ldtr = SystemSegment { selector: 0, base: 0, limit: 0, rights: 0, null: true };
}

/// A register's value: something that instructions can do something with.
fn register(kind: u8, header: &Header, lot: u64) -> u64 {
    const EDGES: [u64; 8] = [
        u64::MAX,
        i64::MIN as u64,
        i64::MAX as u64,
        0x8000_0000,
        0x7fff_ffff_ffff,
        0x8000_0000_0000,
        0xffff_8000_0000_0000,
        0xffff_ffff,
    ];
    let detail = u64::from(kind & 31);
    let base = |base: u64| if header.mode.is_16_bit() { 0 } else { base };
    match kind >> 5 {
        0 => detail,
        1 => base(at::DATA) + detail * 8,
        2 => base(at::DATA) + (detail & 3) * 0x1000 + 0xfe8 + (detail >> 2) * 4,
        3 => base(at::CODE) + (header.code - at::CODE) + detail,
        4 => base(at::STACK) + at::TOP - detail * 8,
        5 => lot,
        6 => EDGES[detail as usize & 7].wrapping_add(detail >> 3),
        _ => at::DEVICE + detail * 2,
    }
}
