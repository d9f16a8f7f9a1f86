//! Operands of SSE instructions: XMM registers, 16-byte memory with its alignment rule, lanes. And who may use them at all.
//!
//! SDM vol. 2A, 2.4 (exception classes of legacy SSE); vol. 3A, 13.1.

use crate::cpu::control::cr0;
use crate::cpu::mmu::Intent;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Instruction, OpKind, Register};

impl Cpu {
    /// #UD unless SSE is on, #NM while the task's registers are another's.
    pub(super) fn check_sse(&self) -> Result<(), Fault> {
        if !self.sse_enabled() {
            return Err(Fault::UNDEFINED);
        }
        if self.cr0 & cr0::TS != 0 { Err(Fault::DEVICE) } else { Ok(()) }
    }

    /// An XMM register.
    pub(super) fn xmm(&self, register: Register) -> u128 {
        let ymm = &self.vectors.ymm[register.number() & 15];
        u128::from(ymm[0]) | u128::from(ymm[1]) << 64
    }

    /// Sets an XMM register; the upper half of YMM stays, as legacy SSE leaves it.
    pub(super) fn set_xmm(&mut self, register: Register, value: u128) {
        let ymm = &mut self.vectors.ymm[register.number() & 15];
        ymm[0] = value as u64;
        ymm[1] = (value >> 64) as u64;
    }

    /// Loads 4, 8 or 16 bytes of the memory operand.
    pub(super) fn load_vector(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        len: usize,
    ) -> Result<u128, Fault> {
        let (seg, at) = self.memory_operand(insn);
        let lin = self.linear(seg, at, len as u64, Intent::Read)?;
        self.check_alignment(lin, len as u64)?;
        let mut bytes = [0; 16];
        self.load_bytes_lin(bus, lin, &mut bytes[..len], self.data_context())?;
        Ok(u128::from_le_bytes(bytes))
    }

    /// Stores the low 4, 8 or 16 bytes to the memory operand.
    pub(super) fn store_vector(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        len: usize,
        value: u128,
    ) -> Result<(), Fault> {
        let (seg, at) = self.memory_operand(insn);
        let lin = self.linear(seg, at, len as u64, Intent::Write)?;
        self.check_alignment(lin, len as u64)?;
        self.store_bytes_lin(bus, lin, &value.to_le_bytes()[..len], self.data_context())
    }

    /// #GP(0) unless the memory operand lies on 16 bytes.
    pub(super) fn check_vector_alignment(&self, insn: &Instruction) -> Result<(), Fault> {
        let (seg, at) = self.memory_operand(insn);
        let base = self.seg_base_if_used(seg);
        if base.wrapping_add(at).is_multiple_of(16) { Ok(()) } else { Err(Fault::GP0) }
    }

    /// Operand `n`: a register, or 16 aligned bytes.
    pub(super) fn read_xmm(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
    ) -> Result<u128, Fault> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.xmm(insn.op_register(n)));
        }
        self.check_vector_alignment(insn)?;
        self.load_vector(bus, insn, 16)
    }

    /// Operand `n`: a register, or as much memory as the instruction reads, of any alignment.
    pub(super) fn read_scalar(
        &mut self,
        bus: &mut dyn CpuBus,
        insn: &Instruction,
        n: u32,
    ) -> Result<u128, Fault> {
        if insn.op_kind(n) == OpKind::Register {
            return Ok(self.xmm(insn.op_register(n)));
        }
        self.load_vector(bus, insn, insn.memory_size().size().min(16))
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
