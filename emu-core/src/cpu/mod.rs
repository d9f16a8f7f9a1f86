//! The processor: an x86-64 with its own decoder, memory management and interpreter.
//!
//! [`Cpu`] holds registers and caches; everything outside comes through [`CpuBus`], lent for the length of a run.
//! The way of an instruction: [`engine`] finds or decodes the block at RIP, runs its operations, and comes back at a
//! deadline, a device access or an exception. Hot instructions are in [`sem`], written once for every engine tier; all
//! others are plain functions in [`exec`]; what happens to segments, tables and privilege is in [`system`];
//! translation is in [`mmu`].
//!
//! Manual: Intel 64 and IA-32 Architectures Software Developer's Manual (SDM), volumes 1 to 3.

mod bus;
pub mod control;
mod engine;
mod exec;
mod fault;
pub mod flags;
mod mmu;
pub mod regs;
mod sem;
pub mod softfloat;
mod state;
mod stops;
mod system;
#[cfg(test)]
mod tests;
mod x87;

pub use bus::{ApicGp, Attention, CpuBus, Reply, Stamp};
pub use engine::{CpuConfig, EngineStats, Exit, JitStats, Tier};
pub use fault::Fault;
pub use mmu::{CodePage, MmuStats, TlbEntry, TlbState, Translation};
pub use state::{CpuRestoreError, CpuState};
pub use stops::{CpuStops, DataHit, DataStop};
pub use system::{CRYSTAL_HZ, CpuidModel, Msrs};
pub use x87::X87;

use crate::access::Width;
use crate::time::VirtTime;
use crate::trace::CpuMode;
use control::{cr0, efer};
use engine::Engine;
use flags::{Flags, bit};
use mmu::Mmu;
pub(crate) use mmu::is_canonical;
use regs::{FILE_LEN, Seg, Segment, SystemSegment, TableRegister, rights};
use serde::{Deserialize, Serialize};

/// Whether the processor runs, and if not, what wakes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executes instructions.
    Running,
    /// HLT: wakes at an interrupt, NMI or INIT.
    Halted,
    /// After INIT on an application processor: wakes at a start-up IPI.
    WaitForStartUp,
    /// Triple fault: only reset helps.
    Shutdown,
}

/// What the instruction just executed holds off until after the next one (SDM vol. 3A, 6.8.1 and 6.8.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shadow {
    /// Nothing.
    None,
    /// STI: interrupts.
    Interrupts,
    /// A load of SS: debug exceptions as well.
    Debug,
}

/// Width of code: the default operand and address size that CS and EFER.LMA give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CodeSize {
    /// Real mode, virtual-8086 mode, 16-bit segments.
    Bits16,
    /// 32-bit segments.
    Bits32,
    /// 64-bit mode.
    Bits64,
}

impl CodeSize {
    /// Bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits16 => 16,
            Self::Bits32 => 32,
            Self::Bits64 => 64,
        }
    }
}

/// SSE and AVX registers as integers: NaN payloads are state too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vectors {
    /// YMM0-15, little-endian quadwords; XMM is the low two.
    pub ymm: [[u64; 4]; 16],
    /// MXCSR.
    pub mxcsr: u32,
}

/// One processor.
#[derive(Debug)]
pub struct Cpu {
    /// General registers and pseudo-registers; see [`regs`].
    pub(crate) regs: [u64; FILE_LEN],
    /// The instruction that is being executed, or the next one between instructions.
    pub(crate) rip: u64,
    /// Where execution goes on after the current instruction.
    pub(crate) next_rip: u64,
    /// Arithmetic flags.
    pub(crate) flags: Flags,
    /// All other bits of RFLAGS, without the one that is always set.
    pub(crate) system_flags: u64,
    pub(crate) segs: [Segment; 6],
    pub(crate) ldtr: SystemSegment,
    pub(crate) tr: SystemSegment,
    pub(crate) gdtr: TableRegister,
    pub(crate) idtr: TableRegister,
    pub(crate) cpl: u8,
    pub(crate) cr0: u64,
    pub(crate) cr2: u64,
    pub(crate) cr3: u64,
    pub(crate) cr4: u64,
    pub(crate) efer: u64,
    pub(crate) xcr0: u64,
    /// Random numbers drawn so far.
    pub(crate) drawn: u64,
    pub(crate) dr: [u64; 8],
    pub(crate) msrs: Msrs,
    pub(crate) vectors: Vectors,
    pub(crate) x87: X87,
    pub(crate) activity: Activity,
    /// What STI or a load of SS just executed holds off.
    pub(crate) shadow: Shadow,
    /// An NMI handler runs: no other until IRET.
    pub(crate) nmi_blocked: bool,
    /// Debug conditions (DR6 bits) to report as a #DB trap before the next instruction.
    pub(crate) pending_debug: u64,
    /// The instruction being executed is going to be followed by a single-step trap. Of no meaning between instructions.
    pub(crate) single_step: bool,
    /// The mode that the trace was last told.
    pub(crate) traced_mode: CpuMode,
    pub(crate) config: CpuConfig,
    pub(crate) mmu: Mmu,
    pub(crate) engine: Engine,
}

impl Cpu {
    /// A processor in its reset state.
    #[must_use]
    pub fn new(config: CpuConfig) -> Box<Self> {
        let null = SystemSegment { selector: 0, base: 0, limit: 0xffff, rights: rights::P | 2, null: false };
        let mut cpu = Box::new(Self {
            regs: [0; FILE_LEN],
            rip: 0,
            next_rip: 0,
            flags: Flags::from_bits(0),
            system_flags: 0,
            segs: [Segment::real(0); 6],
            ldtr: null,
            tr: SystemSegment { rights: rights::P | 11, ..null },
            gdtr: TableRegister { base: 0, limit: 0xffff },
            idtr: TableRegister { base: 0, limit: 0xffff },
            cpl: 0,
            cr0: 0,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            efer: 0,
            xcr0: 1,
            drawn: 0,
            dr: [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400],
            msrs: Msrs::reset(),
            vectors: Vectors { ymm: [[0; 4]; 16], mxcsr: 0x1f80 },
            x87: X87::RESET,
            activity: Activity::Running,
            shadow: Shadow::None,
            nmi_blocked: false,
            pending_debug: 0,
            single_step: false,
            traced_mode: CpuMode::Real,
            mmu: Mmu::new(),
            engine: Engine::new(&config),
            config,
        });
        cpu.reset();
        cpu
    }

    /// Power-up or RESET (SDM vol. 3A, table 9-1): real mode at F000:FFF0 with CS based at 0xFFFF_0000. The instruction
    /// counter and virtual time go on.
    pub fn reset(&mut self) {
        self.msrs = Msrs::reset();
        self.vectors = Vectors { ymm: [[0; 4]; 16], mxcsr: 0x1f80 };
        self.x87 = X87::RESET;
        self.xcr0 = 1;
        self.cr0 = cr0::CD | cr0::NW | cr0::ET;
        self.init();
    }

    /// INIT: as reset, but CR0.CD and NW, FPU, vectors and MSRs stay (SDM vol. 3A, table 9-1).
    pub fn init(&mut self) {
        self.regs[..16].fill(0);
        self.regs[regs::RDX as usize] = u64::from(self.config.cpuid.signature());
        self.rip = 0xfff0;
        self.next_rip = 0xfff0;
        self.flags = Flags::from_bits(0);
        self.system_flags = 0;
        for seg in Seg::ALL {
            self.segs[seg as usize] = Segment::real(0);
            self.regs[seg.base_slot() as usize] = 0;
        }
        self.segs[Seg::Cs as usize] =
            Segment { rights: Segment::real(0).rights | rights::CODE, ..Segment::real(0xf000) };
        self.regs[Seg::Cs.base_slot() as usize] = 0xffff_0000;
        let system =
            SystemSegment { selector: 0, base: 0, limit: 0xffff, rights: rights::P | 2, null: false };
        self.ldtr = system;
        self.tr = SystemSegment { rights: rights::P | 11, ..system };
        self.gdtr = TableRegister { base: 0, limit: 0xffff };
        self.idtr = TableRegister { base: 0, limit: 0xffff };
        self.cpl = 0;
        self.cr0 = self.cr0 & (cr0::CD | cr0::NW) | cr0::ET;
        self.cr2 = 0;
        self.cr3 = 0;
        self.cr4 = 0;
        self.efer = 0;
        self.dr = [0, 0, 0, 0, 0, 0, 0xffff_0ff0, 0x400];
        self.activity = Activity::Running;
        self.shadow = Shadow::None;
        self.nmi_blocked = false;
        self.pending_debug = 0;
        self.mmu.flush_all();
        self.update_mode();
    }

    /// A start-up IPI ends the wait after INIT: real mode at `page` * 4 KiB (SDM vol. 3A, 9.4.4.1).
    pub(crate) fn start_at(&mut self, page: u8) {
        let code = Segment { selector: u16::from(page) << 8, ..self.segs[Seg::Cs as usize] };
        self.set_seg(Seg::Cs, u64::from(page) << 12, code);
        self.set_rip(0);
        self.activity = Activity::Running;
    }

    /// RFLAGS, materialised.
    #[must_use]
    pub fn rflags(&self) -> u64 {
        self.flags.bits() | self.system_flags | bit::ONE
    }

    /// Loads RFLAGS without any privilege rule: callers have masked what may not change.
    pub fn set_rflags(&mut self, value: u64) {
        let before = self.system_flags;
        self.flags = Flags::from_bits(value);
        self.system_flags = value & bit::ALL & !bit::ARITHMETIC;
        if (before ^ self.system_flags) & (bit::VM | bit::AC) != 0 {
            self.update_mode();
        }
        if self.system_flags & !before & (bit::IF | bit::TF | bit::RF) != 0 {
            self.leave_after_instruction();
        }
    }

    /// A general register, 0-15.
    #[must_use]
    pub fn gpr(&self, index: u8) -> u64 {
        self.regs[(index & 15) as usize]
    }

    /// Sets a general register, 0-15.
    pub fn set_gpr(&mut self, index: u8, value: u64) {
        self.regs[(index & 15) as usize] = value;
    }

    /// Random numbers follow from another seed from now on.
    pub const fn set_seed(&mut self, seed: u64) {
        self.config.seed = seed;
    }

    /// Sets XCR0: which components XSAVE knows.
    pub const fn set_xcr0(&mut self, value: u64) {
        self.xcr0 = value;
    }

    /// The x87 registers.
    #[must_use]
    pub const fn x87(&self) -> &X87 {
        &self.x87
    }

    /// Sets the x87 registers.
    pub const fn set_x87(&mut self, x87: X87) {
        self.x87 = x87;
    }

    /// A vector register's low half, 0-15.
    #[must_use]
    pub fn xmm_bits(&self, index: u8) -> u128 {
        let [low, high, ..] = self.vectors.ymm[(index & 15) as usize];
        u128::from(high) << 64 | u128::from(low)
    }

    /// Sets a vector register's low half, 0-15; the upper stays.
    pub fn set_xmm_bits(&mut self, index: u8, value: u128) {
        let register = &mut self.vectors.ymm[(index & 15) as usize];
        register[0] = value as u64;
        register[1] = (value >> 64) as u64;
    }

    /// A vector register, 0-15, the lower half first.
    #[must_use]
    pub fn ymm_bits(&self, index: u8) -> [u128; 2] {
        let ymm = self.vectors.ymm[(index & 15) as usize].map(u128::from);
        [ymm[1] << 64 | ymm[0], ymm[3] << 64 | ymm[2]]
    }

    /// Sets a vector register, 0-15.
    pub fn set_ymm_bits(&mut self, index: u8, [low, high]: [u128; 2]) {
        self.vectors.ymm[(index & 15) as usize] =
            [low as u64, (low >> 64) as u64, high as u64, (high >> 64) as u64];
    }

    /// MXCSR.
    #[must_use]
    pub fn mxcsr(&self) -> u32 {
        self.vectors.mxcsr
    }

    /// Loads MXCSR; callers leave reserved bits clear.
    pub fn set_mxcsr(&mut self, value: u32) {
        self.vectors.mxcsr = value;
    }

    /// The next instruction's offset in CS.
    #[must_use]
    pub fn rip(&self) -> u64 {
        self.rip
    }

    /// Goes on at another offset in CS.
    pub fn set_rip(&mut self, rip: u64) {
        self.rip = rip;
        self.next_rip = rip;
    }

    /// Base of a segment. In 64-bit mode only FS and GS use theirs.
    #[must_use]
    pub fn seg_base(&self, seg: Seg) -> u64 {
        self.regs[seg.base_slot() as usize]
    }

    /// A segment register with its hidden part.
    #[must_use]
    pub fn seg(&self, seg: Seg) -> &Segment {
        &self.segs[seg as usize]
    }

    /// Loads a segment register with base and hidden part, without any check: boot protocols and restore.
    pub fn set_seg(&mut self, seg: Seg, base: u64, segment: Segment) {
        self.segs[seg as usize] = segment;
        self.regs[seg.base_slot() as usize] = base;
        if seg == Seg::Ss || seg == Seg::Cs {
            self.cpl = if self.cr0 & cr0::PE == 0 { 0 } else { self.segs[Seg::Ss as usize].dpl() };
        }
        self.update_mode();
    }

    /// Sets CR0, CR3, CR4 and EFER together without checks, LMA following LME and PG: boot protocols and restore.
    pub fn set_control(&mut self, cr0: u64, cr3: u64, cr4: u64, efer: u64) {
        self.cr0 = cr0 | cr0::ET;
        self.cr3 = cr3;
        self.cr4 = cr4;
        let active = efer & efer::LME != 0 && cr0 & cr0::PG != 0;
        self.efer = efer & !efer::LMA | if active { efer::LMA } else { 0 };
        self.mmu.flush_all();
        self.update_mode();
    }

    /// Loads GDTR.
    pub fn set_gdtr(&mut self, table: TableRegister) {
        self.gdtr = table;
    }

    /// Where the interrupt descriptor table is.
    #[must_use]
    pub fn idtr_base(&self) -> u64 {
        self.idtr.base
    }

    /// Loads IDTR.
    pub fn set_idtr(&mut self, table: TableRegister) {
        self.idtr = table;
    }

    /// Loads TR without checks.
    pub fn set_tr(&mut self, segment: SystemSegment) {
        self.tr = segment;
    }

    /// Loads LDTR without checks.
    pub fn set_ldtr(&mut self, segment: SystemSegment) {
        self.ldtr = segment;
    }

    /// CR0, CR2, CR3, CR4, EFER.
    #[must_use]
    pub fn control(&self) -> [u64; 5] {
        [self.cr0, self.cr2, self.cr3, self.cr4, self.efer]
    }

    /// Current privilege level.
    #[must_use]
    pub fn cpl(&self) -> u8 {
        self.cpl
    }

    /// What the processor is doing.
    #[must_use]
    pub fn activity(&self) -> Activity {
        self.activity
    }

    /// Instructions retired; each iteration of a repeated string instruction counts as one.
    #[must_use]
    pub fn insns(&self) -> u64 {
        self.engine.insns()
    }

    /// Virtual time between instructions.
    #[must_use]
    pub fn now(&self) -> VirtTime {
        self.engine.now()
    }

    /// Lets virtual time pass without executing: the processor is halted.
    pub fn skip_to(&mut self, time: VirtTime) {
        self.engine.skip_to(time);
    }

    /// Whether paging is on.
    pub(crate) fn paging(&self) -> bool {
        self.cr0 & cr0::PG != 0
    }

    /// Whether EFER.LMA is set.
    pub(crate) fn long_mode(&self) -> bool {
        self.efer & efer::LMA != 0
    }

    /// Protected mode, not virtual-8086.
    pub(crate) fn protected(&self) -> bool {
        self.cr0 & cr0::PE != 0 && self.system_flags & bit::VM == 0
    }

    /// Virtual-8086 mode.
    pub(crate) fn vm86(&self) -> bool {
        self.system_flags & bit::VM != 0
    }

    /// Whether SP, ESP or RSP addresses the stack.
    pub(crate) fn stack_width(&self) -> Width {
        if self.code_size() == CodeSize::Bits64 {
            Width::B8
        } else if self.segs[Seg::Ss as usize].has(rights::DB) {
            Width::B4
        } else {
            Width::B2
        }
    }

    /// Default code size, from CS and EFER.LMA.
    #[must_use]
    pub fn code_size(&self) -> CodeSize {
        let cs = &self.segs[Seg::Cs as usize];
        if self.long_mode() && cs.has(rights::L) && !self.vm86() {
            CodeSize::Bits64
        } else if cs.has(rights::DB) && self.protected() {
            CodeSize::Bits32
        } else {
            CodeSize::Bits16
        }
    }

    /// The mode in a newcomer's words.
    #[must_use]
    pub fn mode(&self) -> CpuMode {
        match (self.cr0 & cr0::PE != 0, self.vm86(), self.long_mode(), self.code_size()) {
            (false, ..) => CpuMode::Real,
            (true, true, ..) => CpuMode::Virtual8086,
            (true, false, true, CodeSize::Bits64) => CpuMode::Long64,
            (true, false, true, CodeSize::Bits16 | CodeSize::Bits32) => CpuMode::Compatibility,
            (true, false, false, CodeSize::Bits16) => CpuMode::Protected16,
            (true, false, false, CodeSize::Bits32 | CodeSize::Bits64) => CpuMode::Protected32,
        }
    }

    /// Must follow every change of CS, SS, CPL, CR0, CR4, EFER, or RFLAGS.VM and AC: what decoding and translation
    /// depend on is derived here.
    pub(crate) fn update_mode(&mut self) {
        self.update_mmu_context();
        self.update_mode_key();
    }
}
