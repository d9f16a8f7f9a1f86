//! The registers as gdb knows them: one table gives the target description, the order in which they go over the wire, and how each
//! is read and written. Feature and register names that begin with `org.gnu.gdb.i386` are gdb's own.

use emu_core::cpu::CpuState;
use emu_core::cpu::regs::Seg;
use gdbstub::arch::{Arch, RegId, Registers};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::LazyLock;

/// A register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    /// In the order of instructions' encoding.
    General(usize),
    Rip,
    Flags,
    Selector(Seg),
    St(usize),
    FpuControl,
    FpuStatus,
    FpuTag,
    FpuInstruction,
    FpuOperand,
    FpuOpcode,
    /// Always zero: CPUID says that selectors are not kept.
    FpuSelector,
    Xmm(usize),
    YmmHigh(usize),
    Mxcsr,
    Base(Seg),
    KernelGsBase,
    Control(u8),
    TaskPriority,
    Xcr0,
    Efer,
    Debug(usize),
    TableBase(bool),
    TableLimit(bool),
    TaskSelector(bool),
    TaskBase(bool),
    Msr(SystemMsr),
    Cpl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SystemMsr {
    Star,
    Lstar,
    Cstar,
    Fmask,
    Pat,
    TscAux,
    SysenterEip,
    SysenterEsp,
    SysenterCs,
}

/// A register's line in the description.
struct Line {
    name: &'static str,
    register: Register,
    bits: usize,
    kind: &'static str,
    group: &'static str,
}

const fn line(
    name: &'static str,
    register: Register,
    bits: usize,
    kind: &'static str,
    group: &'static str,
) -> Line {
    Line { name, register, bits, kind, group }
}

const ST: [&str; 8] = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
const XMM: [&str; 16] = [
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
    "xmm12", "xmm13", "xmm14", "xmm15",
];
const YMM: [&str; 16] = [
    "ymm0h", "ymm1h", "ymm2h", "ymm3h", "ymm4h", "ymm5h", "ymm6h", "ymm7h", "ymm8h", "ymm9h", "ymm10h",
    "ymm11h", "ymm12h", "ymm13h", "ymm14h", "ymm15h",
];
/// gdb's order, with the place in instructions' encoding.
const GENERAL: [(&str, usize); 16] = [
    ("rax", 0),
    ("rbx", 3),
    ("rcx", 1),
    ("rdx", 2),
    ("rsi", 6),
    ("rdi", 7),
    ("rbp", 5),
    ("rsp", 4),
    ("r8", 8),
    ("r9", 9),
    ("r10", 10),
    ("r11", 11),
    ("r12", 12),
    ("r13", 13),
    ("r14", 14),
    ("r15", 15),
];
const SELECTORS: [(&str, Seg); 6] =
    [("cs", Seg::Cs), ("ss", Seg::Ss), ("ds", Seg::Ds), ("es", Seg::Es), ("fs", Seg::Fs), ("gs", Seg::Gs)];
const FPU: [(&str, Register); 8] = [
    ("fctrl", Register::FpuControl),
    ("fstat", Register::FpuStatus),
    ("ftag", Register::FpuTag),
    ("fiseg", Register::FpuSelector),
    ("fioff", Register::FpuInstruction),
    ("foseg", Register::FpuSelector),
    ("fooff", Register::FpuOperand),
    ("fop", Register::FpuOpcode),
];
const SYSTEM: [(&str, Register, usize); 34] = [
    ("k_gs_base", Register::KernelGsBase, 64),
    ("cr0", Register::Control(0), 64),
    ("cr2", Register::Control(2), 64),
    ("cr3", Register::Control(3), 64),
    ("cr4", Register::Control(4), 64),
    ("cr8", Register::TaskPriority, 64),
    ("efer", Register::Efer, 64),
    ("xcr0", Register::Xcr0, 64),
    ("cpl", Register::Cpl, 32),
    ("dr0", Register::Debug(0), 64),
    ("dr1", Register::Debug(1), 64),
    ("dr2", Register::Debug(2), 64),
    ("dr3", Register::Debug(3), 64),
    ("dr6", Register::Debug(6), 64),
    ("dr7", Register::Debug(7), 64),
    ("gdtr_base", Register::TableBase(false), 64),
    ("gdtr_limit", Register::TableLimit(false), 32),
    ("idtr_base", Register::TableBase(true), 64),
    ("idtr_limit", Register::TableLimit(true), 32),
    ("ldtr", Register::TaskSelector(false), 32),
    ("ldtr_base", Register::TaskBase(false), 64),
    ("tr", Register::TaskSelector(true), 32),
    ("tr_base", Register::TaskBase(true), 64),
    ("es_base", Register::Base(Seg::Es), 64),
    ("ds_base", Register::Base(Seg::Ds), 64),
    ("star", Register::Msr(SystemMsr::Star), 64),
    ("lstar", Register::Msr(SystemMsr::Lstar), 64),
    ("cstar", Register::Msr(SystemMsr::Cstar), 64),
    ("fmask", Register::Msr(SystemMsr::Fmask), 64),
    ("pat", Register::Msr(SystemMsr::Pat), 64),
    ("tsc_aux", Register::Msr(SystemMsr::TscAux), 64),
    ("sysenter_eip", Register::Msr(SystemMsr::SysenterEip), 64),
    ("sysenter_esp", Register::Msr(SystemMsr::SysenterEsp), 64),
    ("sysenter_cs", Register::Msr(SystemMsr::SysenterCs), 64),
];

/// Types that the target description explains itself: flags by name, and vectors.
const TYPES: &str = r#"<flags id="i386_eflags" size="4">
<field name="" start="22" end="31"/><field name="ID" start="21" end="21"/><field name="VIP" start="20" end="20"/><field name="VIF" start="19" end="19"/>
<field name="AC" start="18" end="18"/><field name="VM" start="17" end="17"/><field name="RF" start="16" end="16"/><field name="NT" start="14" end="14"/>
<field name="OF" start="11" end="11"/><field name="DF" start="10" end="10"/><field name="IF" start="9" end="9"/><field name="TF" start="8" end="8"/>
<field name="SF" start="7" end="7"/><field name="ZF" start="6" end="6"/><field name="AF" start="4" end="4"/><field name="PF" start="2" end="2"/>
<field name="" start="1" end="1"/><field name="CF" start="0" end="0"/></flags>
"#;
const VECTOR_TYPES: &str = r#"<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/>
<vector id="v16i8" type="int8" count="16"/><vector id="v8i16" type="int16" count="8"/><vector id="v4i32" type="int32" count="4"/>
<vector id="v2i64" type="int64" count="2"/>
<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/><field name="v16_int8" type="v16i8"/>
<field name="v8_int16" type="v8i16"/><field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>
<flags id="i386_mxcsr" size="4"><field name="IE" start="0" end="0"/><field name="DE" start="1" end="1"/><field name="ZE" start="2" end="2"/>
<field name="OE" start="3" end="3"/><field name="UE" start="4" end="4"/><field name="PE" start="5" end="5"/><field name="DAZ" start="6" end="6"/>
<field name="IM" start="7" end="7"/><field name="DM" start="8" end="8"/><field name="ZM" start="9" end="9"/><field name="OM" start="10" end="10"/>
<field name="UM" start="11" end="11"/><field name="PM" start="12" end="12"/><field name="FZ" start="15" end="15"/></flags>
"#;

/// A feature of the description: its name, the types that it explains, its registers.
type Feature = (&'static str, &'static str, Vec<Line>);

/// Every register, by feature.
fn features() -> Vec<Feature> {
    let mut core: Vec<Line> = Vec::new();
    for (name, index) in GENERAL {
        let kind = if matches!(name, "rbp" | "rsp") { "data_ptr" } else { "int64" };
        core.push(line(name, Register::General(index), 64, kind, "general"));
    }
    core.push(line("rip", Register::Rip, 64, "code_ptr", "general"));
    core.push(line("eflags", Register::Flags, 32, "i386_eflags", "general"));
    core.extend(SELECTORS.map(|(name, seg)| line(name, Register::Selector(seg), 32, "int32", "general")));
    core.extend(ST.iter().enumerate().map(|(n, name)| line(name, Register::St(n), 80, "i387_ext", "float")));
    core.extend(FPU.map(|(name, register)| line(name, register, 32, "int", "float")));
    let mut sse: Vec<Line> = XMM
        .iter()
        .enumerate()
        .map(|(n, name)| line(name, Register::Xmm(n), 128, "vec128", "vector"))
        .collect();
    sse.push(line("mxcsr", Register::Mxcsr, 32, "i386_mxcsr", "vector"));
    let bases = [("fs_base", Seg::Fs), ("gs_base", Seg::Gs)]
        .map(|(name, seg)| line(name, Register::Base(seg), 64, "int64", "general"));
    let avx = YMM
        .iter()
        .enumerate()
        .map(|(n, name)| line(name, Register::YmmHigh(n), 128, "uint128", "vector"))
        .collect();
    let system = SYSTEM.map(|(name, register, bits)| {
        line(name, register, bits, if bits == 64 { "int64" } else { "int32" }, "system")
    });
    vec![
        ("org.gnu.gdb.i386.core", TYPES, core),
        ("org.gnu.gdb.i386.sse", VECTOR_TYPES, sse),
        ("org.gnu.gdb.i386.segments", "", bases.into()),
        ("org.gnu.gdb.i386.avx", "", avx),
        ("org.glassbox.system", "", system.into()),
    ]
}

static LINES: LazyLock<Vec<Line>> =
    LazyLock::new(|| features().into_iter().flat_map(|(_, _, lines)| lines).collect());

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
    let mut text = String::from(
        "<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">\n\
         <target version=\"1.0\"><architecture>i386:x86-64</architecture>\n",
    );
    let mut number = 0;
    for (feature, types, lines) in features() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "<feature name=\"{feature}\">\n{types}");
        for Line { name, bits, kind, group, .. } in lines {
            let _ = writeln!(
                text,
                "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\" regnum=\"{number}\" group=\"{group}\"/>"
            );
            number += 1;
        }
        text.push_str("</feature>\n");
    }
    text.push_str("</target>\n");
    text
});

impl Register {
    fn read(self, state: &CpuState, cr8: u64) -> u128 {
        let table = |interrupts: bool| if interrupts { state.idtr } else { state.gdtr };
        let system = |task: bool| if task { state.tr } else { state.ldtr };
        let wide = |[low, high]: [u64; 2]| u128::from(high) << 64 | u128::from(low);
        match self {
            Self::General(n) => state.gprs[n].into(),
            Self::Rip => state.rip.into(),
            Self::Flags => state.rflags.into(),
            Self::Selector(seg) => state.segs[seg as usize].selector.into(),
            Self::St(n) => {
                let value = state.x87.registers[state.x87.physical(n)];
                u128::from(value.sign_exponent) << 64 | u128::from(value.significand)
            }
            Self::FpuControl => state.x87.control.into(),
            Self::FpuStatus => state.x87.status.into(),
            Self::FpuTag => state.x87.tag_word().into(),
            Self::FpuInstruction => (state.x87.instruction as u32).into(),
            Self::FpuOperand => (state.x87.operand as u32).into(),
            Self::FpuOpcode => state.x87.opcode.into(),
            Self::FpuSelector => 0,
            Self::Xmm(n) => wide([state.ymm[n][0], state.ymm[n][1]]),
            Self::YmmHigh(n) => wide([state.ymm[n][2], state.ymm[n][3]]),
            Self::Mxcsr => state.mxcsr.into(),
            Self::Base(seg) => state.seg_bases[seg as usize].into(),
            Self::KernelGsBase => state.msrs.kernel_gs_base.into(),
            Self::Control(0) => state.cr0.into(),
            Self::Control(2) => state.cr2.into(),
            Self::Control(3) => state.cr3.into(),
            Self::Control(_) => state.cr4.into(),
            Self::TaskPriority => cr8.into(),
            Self::Xcr0 => state.xcr0.into(),
            Self::Efer => state.efer.into(),
            Self::Debug(n) => state.dr[n].into(),
            Self::TableBase(interrupts) => table(interrupts).base.into(),
            Self::TableLimit(interrupts) => table(interrupts).limit.into(),
            Self::TaskSelector(task) => system(task).selector.into(),
            Self::TaskBase(task) => system(task).base.into(),
            Self::Msr(msr) => match msr {
                SystemMsr::Star => state.msrs.star,
                SystemMsr::Lstar => state.msrs.lstar,
                SystemMsr::Cstar => state.msrs.cstar,
                SystemMsr::Fmask => state.msrs.fmask,
                SystemMsr::Pat => state.msrs.pat,
                SystemMsr::TscAux => state.msrs.tsc_aux.into(),
                SystemMsr::SysenterEip => state.msrs.sysenter_eip,
                SystemMsr::SysenterEsp => state.msrs.sysenter_esp,
                SystemMsr::SysenterCs => state.msrs.sysenter_cs,
            }
            .into(),
            Self::Cpl => state.cpl.into(),
        }
    }

    /// Answers false for what can't be changed by itself: a selector without its descriptor, for instance.
    fn write(self, state: &mut CpuState, value: u128) -> bool {
        let low = value as u64;
        match self {
            Self::General(n) => state.gprs[n] = low,
            Self::Rip => state.rip = low,
            // Bit 1 is always set.
            Self::Flags => state.rflags = low | 2,
            Self::St(n) => {
                let physical = state.x87.physical(n);
                state.x87.registers[physical].significand = low;
                state.x87.registers[physical].sign_exponent = (value >> 64) as u16;
                state.x87.valid |= 1 << physical;
            }
            Self::FpuTag => state.x87.set_tag_word(low as u16),
            Self::Xmm(n) => (state.ymm[n][0], state.ymm[n][1]) = (low, (value >> 64) as u64),
            Self::YmmHigh(n) => (state.ymm[n][2], state.ymm[n][3]) = (low, (value >> 64) as u64),
            Self::Mxcsr => state.mxcsr = low as u32 & 0xffff,
            Self::Base(seg) => state.seg_bases[seg as usize] = low,
            Self::KernelGsBase => state.msrs.kernel_gs_base = low,
            Self::Control(2) => state.cr2 = low,
            Self::Control(3) => state.cr3 = low,
            _ => return false,
        }
        true
    }
}

/// All registers' bytes, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    bytes: Vec<u8>,
    rip: u64,
}

impl Image {
    /// Of a processor.
    pub(super) fn of(state: &CpuState, cr8: u64) -> Self {
        let bytes = LINES.iter().flat_map(|line| bytes_of(line, state, cr8)).collect();
        Self { bytes, rip: state.rip }
    }

    /// Puts what differs into `state`; answers false if something does that can't be changed.
    pub(super) fn change(&self, state: &mut CpuState, cr8: u64) -> bool {
        let before = Self::of(state, cr8);
        let (mut at, mut all) = (0, true);
        for line in LINES.iter() {
            let place = at..at + line.bits / 8;
            at = place.end;
            let (Some(new), Some(old)) = (self.bytes.get(place.clone()), before.bytes.get(place)) else {
                return false;
            };
            if new != old {
                all &= line.register.write(state, number(new));
            }
        }
        all
    }
}

fn bytes_of(line: &Line, state: &CpuState, cr8: u64) -> Vec<u8> {
    line.register.read(state, cr8).to_le_bytes()[..line.bits / 8].to_vec()
}

fn number(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

/// A register by its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(usize);

impl Number {
    /// Its bytes.
    pub(super) fn read(self, state: &CpuState, cr8: u64) -> Vec<u8> {
        LINES.get(self.0).map_or_else(Vec::new, |line| bytes_of(line, state, cr8))
    }

    /// Changes it, if that can be done.
    pub(super) fn write(self, state: &mut CpuState, bytes: &[u8]) -> bool {
        let line = LINES.get(self.0).filter(|line| bytes.len() == line.bits / 8);
        line.is_some_and(|line| line.register.write(state, number(bytes)))
    }
}

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Self, Option<NonZeroUsize>)> {
        let line = LINES.get(id)?;
        Some((Self(id), NonZeroUsize::new(line.bits / 8)))
    }

    fn to_raw_id(&self) -> Option<usize> {
        Some(self.0)
    }
}

impl Registers for Image {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.rip
    }

    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.bytes.iter().for_each(|byte| write_byte(Some(*byte)));
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.bytes = bytes.to_vec();
        Ok(())
    }
}

/// What gdb is told of the processor.
#[derive(Debug)]
pub(super) enum X86 {}

impl Arch for X86 {
    type Usize = u64;
    type Registers = Image;
    type BreakpointKind = usize;
    type RegId = Number;

    fn target_description_xml() -> Option<&'static str> {
        Some(&DESCRIPTION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Machine;
    use crate::scenario::Scenario;

    #[test]
    fn every_register_is_described_once_and_written_where_it_is_read() {
        let mut state = Machine::new(Scenario::load("demo").unwrap()).unwrap().registers();
        let before = Image::of(&state, 0);
        assert_eq!(before.bytes.len(), LINES.iter().map(|line| line.bits / 8).sum::<usize>());
        for (n, line) in LINES.iter().enumerate() {
            assert_eq!(DESCRIPTION.matches(&format!("<reg name=\"{}\" ", line.name)).count(), 1);
            let value = vec![if line.register == Register::Mxcsr { 0 } else { 0x12 }; line.bits / 8];
            // What a tag says but for "empty" follows from the register.
            if Number(n).write(&mut state, &value) && line.register != Register::FpuTag {
                assert_eq!(number(&Number(n).read(&state, 0)) & !2, number(&value) & !2, "{}", line.name);
            }
        }
        assert!(before.change(&mut state, 0), "what can be written can be put back");
        assert_eq!(Image::of(&state, 0), before);
    }
}
