//! Operands of SSE and AVX instructions: XMM and YMM registers, memory with its alignment rules, lanes. And who may use them at all.
//!
//! Legacy SSE's destination is its first source, and what lies above 128 bits stays. VEX names the first source apart, and what
//! lies above the result is cleared. Most 256-bit instructions are two 128-bit ones side by side, so the lane operations know of
//! halves only.
//!
//! SDM vol. 2A, 2.4 (exception classes); vol. 1, 14.1, 14.3; vol. 3A, 13.1.

use super::system::protected_only;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::mmu::{Intent, fast_load_bytes, fast_store_bytes};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{EncodingKind, Instruction, OpKind, Register};

/// A vector of up to 256 bits, the lower half first.
pub(super) type Halves = [u128; 2];

/// Whether an instruction is VEX-encoded.
pub(super) fn is_vex(insn: &Instruction) -> bool {
    insn.code().encoding() == EncodingKind::VEX
}

/// Whether an instruction works on 256 bits.
pub(super) fn is_wide(insn: &Instruction) -> bool {
    insn.op0_register().is_ymm() || insn.op1_register().is_ymm()
}

/// The first source of two: of legacy SSE the destination.
pub(super) fn first(insn: &Instruction) -> Register {
    let named = is_vex(insn) && insn.op_count() > 2 && insn.op1_kind() == OpKind::Register;
    if named { insn.op1_register() } else { insn.op0_register() }
}

/// Number of the last source that is a register or memory.
pub(super) fn source(insn: &Instruction) -> u32 {
    let third = is_vex(insn) && matches!(insn.op_kind(2), OpKind::Register | OpKind::Memory);
    if third && insn.op_count() > 2 { 2 } else { 1 }
}

/// A result by halves; the upper one only of an instruction on 256 bits.
pub(super) fn by_halves(insn: &Instruction, mut half: impl FnMut(usize) -> u128) -> Halves {
    [half(0), if is_wide(insn) { half(1) } else { 0 }]
}

impl Cpu {
    /// #UD unless SSE is on, #NM while the task's registers are another's.
    pub(super) fn check_sse(&self) -> Result<(), Fault> {
        if !self.sse_enabled() {
            return Err(Fault::UNDEFINED);
        }
        if self.cr0 & cr0::TS != 0 { Err(Fault::DEVICE) } else { Ok(()) }
    }

    /// #UD unless the system has switched AVX on, #NM while the task's registers are another's.
    fn check_avx(&self) -> Result<(), Fault> {
        const SSE_AND_AVX: u64 = 6;
        protected_only(self)?;
        if self.cr4 & cr4::OSXSAVE == 0 || self.xcr0 & SSE_AND_AVX != SSE_AND_AVX {
            return Err(Fault::UNDEFINED);
        }
        if self.cr0 & cr0::TS != 0 { Err(Fault::DEVICE) } else { Ok(()) }
    }

    /// What comes before an instruction on vectors of any sort, told by its encoding and its destination.
    pub(super) fn check_vector(&self, insn: &Instruction) -> Result<(), Fault> {
        if is_vex(insn) {
            self.check_avx()
        } else if insn.op0_register().is_mm() {
            self.check_mmx()
        } else {
            self.check_sse()
        }
    }

    /// An XMM register, or the lower half of a YMM register.
    pub(super) fn xmm(&self, register: Register) -> u128 {
        self.halves(register)[0]
    }

    /// Sets an XMM register; the upper half of YMM stays, as legacy SSE leaves it.
    pub(super) fn set_xmm(&mut self, register: Register, value: u128) {
        let ymm = &mut self.vectors.ymm[register.number() & 15];
        ymm[0] = value as u64;
        ymm[1] = (value >> 64) as u64;
    }

    /// Both halves of a vector register; an MMX register is part of the lower.
    pub(super) fn halves(&self, register: Register) -> Halves {
        if register.is_mm() {
            return [self.mm(register).into(), 0];
        }
        let ymm = &self.vectors.ymm[register.number() & 15];
        [u128::from(ymm[0]) | u128::from(ymm[1]) << 64, u128::from(ymm[2]) | u128::from(ymm[3]) << 64]
    }

    /// Sets all 256 bits of a register.
    pub(super) fn set_halves(&mut self, register: Register, [low, high]: Halves) {
        self.set_xmm(register, low);
        let ymm = &mut self.vectors.ymm[register.number() & 15];
        ymm[2] = high as u64;
        ymm[3] = (high >> 64) as u64;
    }

    /// Sets the destination by the rules of the instruction's encoding.
    pub(super) fn set_result(&mut self, insn: &Instruction, value: Halves) {
        let dest = insn.op0_register();
        if dest.is_mm() {
            self.set_mm(dest, value[0] as u64);
        } else if is_vex(insn) {
            self.set_halves(dest, value);
        } else {
            self.set_xmm(dest, value[0]);
        }
    }

    /// Loads 4 to 32 bytes of the memory operand.
    pub(super) fn load_vector(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        len: usize,
    ) -> Result<Halves, Fault> {
        let (seg, at) = self.memory_operand(insn);
        let mut halves = [[0; 16]; 2];
        if self.code_size() == CodeSize::Bits64 {
            let lin = self.seg_base_if_used(seg).wrapping_add(at);
            if fast_load_bytes(&self.mmu, lin, &mut halves.as_flattened_mut()[..len]).is_some() {
                return Ok(halves.map(u128::from_le_bytes));
            }
        }
        let lin = self.linear(seg, at, len as u64, Intent::Read)?;
        self.check_alignment(lin, len.min(16) as u64)?;
        self.load_bytes_lin(bus, lin, &mut halves.as_flattened_mut()[..len], self.data_context())?;
        Ok(halves.map(u128::from_le_bytes))
    }

    /// Stores the low 4 to 32 bytes to the memory operand.
    pub(super) fn store_vector(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        len: usize,
        value: Halves,
    ) -> Result<(), Fault> {
        let (seg, at) = self.memory_operand(insn);
        let halves = value.map(u128::to_le_bytes);
        if self.code_size() == CodeSize::Bits64 {
            let lin = self.seg_base_if_used(seg).wrapping_add(at);
            if fast_store_bytes(&self.mmu, lin, &halves.as_flattened()[..len]).is_some() {
                return Ok(());
            }
        }
        let lin = self.linear(seg, at, len as u64, Intent::Write)?;
        self.check_alignment(lin, len.min(16) as u64)?;
        self.store_bytes_lin(bus, lin, &halves.as_flattened()[..len], self.data_context())
    }

    /// Raises what [`Self::store_vector`] would.
    pub(super) fn probe_vector_store(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        len: usize,
    ) -> Result<(), Fault> {
        let (seg, at) = self.memory_operand(insn);
        let lin = self.linear(seg, at, len as u64, Intent::Write)?;
        self.check_alignment(lin, len.min(16) as u64)?;
        self.probe(bus, lin, len as u64, Intent::Write, self.data_context())
    }

    /// #GP(0) unless the memory operand lies on as many bytes.
    pub(super) fn check_aligned(&self, insn: &Instruction, bytes: u64) -> Result<(), Fault> {
        let (seg, at) = self.memory_operand(insn);
        let base = self.seg_base_if_used(seg);
        if base.wrapping_add(at).is_multiple_of(bytes) { Ok(()) } else { Err(Fault::GP0) }
    }

    /// Operand `n`: a register, or memory, 16 bytes of which legacy SSE wants aligned.
    pub(super) fn read_vector(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
    ) -> Result<Halves, Fault> {
        if insn.op_kind(n) == OpKind::Memory && insn.memory_size().size() == 16 && !is_vex(insn) {
            self.check_aligned(insn, 16)?;
        }
        self.read_unaligned(bus, insn, n)
    }

    /// Operand `n`: a register, or as much memory as the instruction reads, of any alignment.
    pub(super) fn read_unaligned(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
    ) -> Result<Halves, Fault> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.halves(insn.op_register(n)));
        }
        self.load_vector(bus, insn, insn.memory_size().size().min(32))
    }
}

/// Lanes of a vector of `BYTES` each, as unsigned integers.
pub(super) fn lanes<const BYTES: usize>(value: u128) -> impl Iterator<Item = u64> {
    let mask = if BYTES == 8 { u64::MAX } else { (1 << (BYTES * 8)) - 1 };
    (0..16 / BYTES).map(move |lane| (value >> (lane * BYTES * 8)) as u64 & mask)
}

/// The vector of these lanes.
pub(super) fn join<const BYTES: usize>(lanes: impl Iterator<Item = u64>) -> u128 {
    let mask = if BYTES == 8 { u64::MAX } else { (1 << (BYTES * 8)) - 1 };
    lanes
        .take(16 / BYTES)
        .enumerate()
        .fold(0, |all, (lane, value)| all | u128::from(value & mask) << (lane * BYTES * 8))
}

/// Lane by lane.
pub(super) fn map2<const BYTES: usize>(a: u128, b: u128, op: impl Fn(u64, u64) -> u64) -> u128 {
    join::<BYTES>(lanes::<BYTES>(a).zip(lanes::<BYTES>(b)).map(|(a, b)| op(a, b)))
}

/// Sign-extends a lane.
pub(super) fn signed<const BYTES: usize>(lane: u64) -> i64 {
    let unused = 64 - BYTES as u32 * 8;
    (lane << unused) as i64 >> unused
}
