//! The slow builder: the same instructions with segment checks, page walks, device registers and exact faults.

use super::fast::Fast;
use super::{Builder, Flow, Sem, Shift};
use crate::access::Width;
use crate::cpu::engine::Op;
use crate::cpu::flags::Condition;
use crate::cpu::mmu::is_canonical;
use crate::cpu::regs::{CODE_PAGE, Seg};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::Instruction;

/// A hot instruction the slow way: sets `next_rip` if it branches.
pub(crate) type SlowFn = fn(&mut Cpu, &mut dyn CpuBus, &Op, &Instruction) -> Result<(), Fault>;

/// Works on the processor and the bus.
pub(crate) struct Slow<'a> {
    cpu: &'a mut Cpu,
    bus: &'a mut dyn CpuBus,
    insn: &'a Instruction,
}

/// The slow form of `S`.
pub(crate) fn run_slow<S: Sem>(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    op: &Op,
    insn: &Instruction,
) -> Result<(), Fault> {
    let mut builder = Slow { cpu, bus, insn };
    let to = match S::run(&mut builder, op)? {
        Flow::Next | Flow::NotTaken => return Ok(()),
        Flow::Taken => cpu.regs[CODE_PAGE as usize].wrapping_add(op.imm),
        Flow::To(to) => to,
    };
    cpu.branch_to(to)
}

impl Slow<'_> {
    fn fast(&mut self) -> Fast<'_> {
        Fast(self.cpu)
    }
}

impl Builder for Slow<'_> {
    type V = u64;
    type C = bool;
    type Stop = Fault;

    fn imm(&mut self, value: u64) -> u64 {
        value
    }

    fn reg(&mut self, slot: u8, width: Width) -> u64 {
        self.fast().reg(slot, width)
    }

    fn set_reg(&mut self, slot: u8, width: Width, value: u64) {
        self.fast().set_reg(slot, width, value);
    }

    fn offset(&mut self, _: &Op) -> u64 {
        self.cpu.effective_address(self.insn)
    }

    fn load(&mut self, _: &Op, width: Width) -> Result<u64, Fault> {
        let (seg, offset) = self.cpu.memory_operand(self.insn);
        self.cpu.load(self.bus, seg, offset, width)
    }

    fn store(&mut self, _: &Op, width: Width, value: u64) -> Result<(), Fault> {
        let (seg, offset) = self.cpu.memory_operand(self.insn);
        self.cpu.store(self.bus, seg, offset, width, value)
    }

    fn update(
        &mut self,
        _: &Op,
        width: Width,
        change: impl FnOnce(&mut Self, u64) -> u64,
    ) -> Result<(), Fault> {
        let (seg, offset) = self.cpu.memory_operand(self.insn);
        let old = self.cpu.load_for_update(self.bus, seg, offset, width)?;
        let new = change(self, old);
        self.cpu.store(self.bus, seg, offset, width, new)
    }

    fn push(&mut self, width: Width, value: u64) -> Result<(), Fault> {
        self.cpu.push(self.bus, width, value)
    }

    fn pop(&mut self, width: Width) -> Result<u64, Fault> {
        self.cpu.pop(self.bus, width)
    }

    fn top(&mut self) -> Result<u64, Fault> {
        let sp = self.cpu.stack_offset(0);
        self.cpu.load(self.bus, Seg::Ss, sp, Width::B8)
    }

    fn target(&mut self, rip: u64) -> Result<(), Fault> {
        if is_canonical(rip) { Ok(()) } else { Err(Fault::GP0) }
    }

    fn release(&mut self, bytes: u64) {
        let sp = self.cpu.stack_offset(bytes);
        self.cpu.set_stack_pointer(sp);
    }

    fn add(&mut self, a: u64, b: u64) -> u64 {
        a.wrapping_add(b)
    }

    fn sub(&mut self, a: u64, b: u64) -> u64 {
        a.wrapping_sub(b)
    }

    fn and(&mut self, a: u64, b: u64) -> u64 {
        a & b
    }

    fn or(&mut self, a: u64, b: u64) -> u64 {
        a | b
    }

    fn xor(&mut self, a: u64, b: u64) -> u64 {
        a ^ b
    }

    fn cut(&mut self, value: u64, width: Width) -> u64 {
        value & width.mask()
    }

    fn sext(&mut self, value: u64, width: Width) -> u64 {
        self.fast().sext(value, width)
    }

    fn sign(&mut self, value: u64) -> u64 {
        self.fast().sign(value)
    }

    fn carry(&mut self) -> u64 {
        self.fast().carry()
    }

    fn condition(&mut self, condition: Condition) -> bool {
        self.fast().condition(condition)
    }

    fn select(&mut self, condition: bool, yes: u64, no: u64) -> u64 {
        if condition { yes } else { no }
    }

    fn choose(&mut self, taken: bool) -> Flow<u64> {
        self.fast().choose(taken)
    }

    fn flags_add(&mut self, width: Width, a: u64, b: u64, result: u64) {
        self.fast().flags_add(width, a, b, result);
    }

    fn flags_sub(&mut self, width: Width, a: u64, b: u64, result: u64) {
        self.fast().flags_sub(width, a, b, result);
    }

    fn flags_logic(&mut self, width: Width, result: u64) {
        self.fast().flags_logic(width, result);
    }

    fn flags_inc(&mut self, width: Width, a: u64, result: u64) {
        self.fast().flags_inc(width, a, result);
    }

    fn flags_dec(&mut self, width: Width, a: u64, result: u64) {
        self.fast().flags_dec(width, a, result);
    }

    fn shift(&mut self, kind: Shift, width: Width, value: u64, count: u64) -> u64 {
        self.fast().shift(kind, width, value, count)
    }

    fn multiply(&mut self, width: Width, a: u64, b: u64) -> u64 {
        self.fast().multiply(width, a, b)
    }

    fn rip(&mut self, page_offset: u64) -> u64 {
        self.fast().rip(page_offset)
    }
}
