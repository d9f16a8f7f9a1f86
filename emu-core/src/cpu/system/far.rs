//! Far JMP, CALL and RET: code segments, call gates, and the way to tasks. SDM vol. 3A, 5.8; vol. 2, "CALL", "JMP", "RET".

use super::descriptor::{Descriptor, Selector, kind};
use super::frame::Stack;
use super::iret::Peek;
use super::task::Reason;
use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::regs::{RSP, Seg, rights};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault, is_canonical};

/// A far pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FarPointer {
    pub(crate) selector: Selector,
    pub(crate) offset: u64,
    /// Operand width: what CALL pushes.
    pub(crate) width: Width,
}

impl Cpu {
    /// Far JMP.
    pub(crate) fn far_jump(&mut self, bus: &mut dyn CpuBus, to: FarPointer) -> Result<(), Fault> {
        if !self.protected() {
            return self.far_real(to);
        }
        let target = self.far_descriptor(bus, to.selector)?;
        if target.is_segment() {
            let code = self.direct_target(bus, to.selector, target)?;
            self.check_target(code, to.offset)?;
            self.enter_code(to.selector, code, self.cpl);
            self.next_rip = to.offset;
            return Ok(());
        }
        self.check_gate_privilege(to.selector, target)?;
        match self.gate_kind(to.selector, target)? {
            kind::CALL | kind::CALL16 => {
                let gate = self.call_gate(bus, to.selector, target)?;
                let (selector, code) = self.call_gate_target(bus, gate)?;
                if !code.has(rights::DC) && code.dpl() != self.cpl {
                    return Err(Fault::gp(selector.error()));
                }
                self.check_target(code, gate.gate_offset())?;
                self.enter_code(selector, code, self.cpl);
                self.next_rip = gate.gate_offset();
                Ok(())
            }
            kind::TASK => self.through_task_gate(bus, to.selector, target, Reason::Jump),
            _ => self.switch_task(bus, to.selector, Reason::Jump, None),
        }
    }

    /// Far CALL.
    pub(crate) fn far_call(&mut self, bus: &mut dyn CpuBus, to: FarPointer) -> Result<(), Fault> {
        let (cs, back) = (u64::from(self.seg(Seg::Cs).selector), self.next_rip);
        if !self.protected() {
            let mut stack = Stack::current(self, to.width);
            stack.push(cs);
            stack.push(back);
            stack.commit(self, bus, 0)?;
            self.far_real(to)?;
            stack.take(self);
            return Ok(());
        }
        let target = self.far_descriptor(bus, to.selector)?;
        if target.is_segment() {
            let code = self.direct_target(bus, to.selector, target)?;
            self.check_target(code, to.offset)?;
            self.push_far(bus, to.width, &[cs, back])?;
            self.enter_code(to.selector, code, self.cpl);
            self.next_rip = to.offset;
            return Ok(());
        }
        self.check_gate_privilege(to.selector, target)?;
        match self.gate_kind(to.selector, target)? {
            kind::CALL | kind::CALL16 => self.call_through_gate(bus, to.selector, target),
            kind::TASK => self.through_task_gate(bus, to.selector, target, Reason::Call),
            _ => self.switch_task(bus, to.selector, Reason::Call, None),
        }
    }

    fn far_real(&mut self, to: FarPointer) -> Result<(), Fault> {
        if to.offset > u64::from(self.seg(Seg::Cs).limit) {
            return Err(Fault::GP0);
        }
        self.load_real_segment(Seg::Cs, to.selector.0);
        self.next_rip = to.offset;
        self.leave_after_instruction();
        Ok(())
    }

    fn far_descriptor(&mut self, bus: &mut dyn CpuBus, selector: Selector) -> Result<Descriptor, Fault> {
        if selector.is_null() {
            return Err(Fault::GP0);
        }
        self.descriptor(bus, selector, Fault::gp)
    }

    /// Checks a code segment named directly.
    fn direct_target(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        code: Descriptor,
    ) -> Result<Descriptor, Fault> {
        let allowed = if code.has(rights::DC) {
            code.dpl() <= self.cpl
        } else {
            code.dpl() == self.cpl && selector.rpl() <= self.cpl
        };
        if !code.is_code() || !allowed {
            return Err(Fault::gp(selector.error()));
        }
        self.check_code(selector, code)?;
        self.accessed(bus, selector, code)
    }

    /// The type of a system descriptor that a far transfer may name.
    fn gate_kind(&self, selector: Selector, descriptor: Descriptor) -> Result<u8, Fault> {
        let known: &[u8] = if self.long_mode() {
            &[kind::CALL]
        } else {
            &[kind::CALL, kind::CALL16, kind::TASK, kind::TSS, kind::TSS16]
        };
        if known.contains(&descriptor.kind()) {
            Ok(descriptor.kind())
        } else {
            Err(Fault::gp(selector.error()))
        }
    }

    fn check_gate_privilege(&self, selector: Selector, gate: Descriptor) -> Result<(), Fault> {
        if gate.dpl() < self.cpl.max(selector.rpl()) {
            return Err(Fault::gp(selector.error()));
        }
        Ok(())
    }

    /// The whole of a call gate, which must be present.
    fn call_gate(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        gate: Descriptor,
    ) -> Result<Descriptor, Fault> {
        let gate = self.upper_half(bus, selector, gate, Fault::gp)?;
        if gate.present() { Ok(gate) } else { Err(Fault::np(selector.error())) }
    }

    fn call_gate_target(
        &mut self,
        bus: &mut dyn CpuBus,
        gate: Descriptor,
    ) -> Result<(Selector, Descriptor), Fault> {
        let selector = gate.gate_selector();
        if selector.is_null() {
            return Err(Fault::GP0);
        }
        let code = self.descriptor(bus, selector, Fault::gp)?;
        let wrong_size = self.long_mode() && (!code.has(rights::L) || code.has(rights::DB));
        if !code.is_code() || code.dpl() > self.cpl || wrong_size {
            return Err(Fault::gp(selector.error()));
        }
        self.check_code(selector, code)?;
        Ok((selector, self.accessed(bus, selector, code)?))
    }

    fn call_through_gate(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        gate: Descriptor,
    ) -> Result<(), Fault> {
        let gate = self.call_gate(bus, selector, gate)?;
        let (selector, code) = self.call_gate_target(bus, gate)?;
        let inward = !code.has(rights::DC) && code.dpl() < self.cpl;
        let cpl = if inward { code.dpl() } else { self.cpl };
        let (cs, back) = (u64::from(self.seg(Seg::Cs).selector), self.next_rip);
        self.check_target(code, gate.gate_offset())?;
        match (inward, self.long_mode()) {
            (false, true) => self.push_far(bus, Width::B8, &[cs, back])?,
            (false, false) => self.push_far(bus, gate_width(gate), &[cs, back])?,
            (true, true) => self.call_inward_64(bus, cpl)?,
            (true, false) => self.call_inward(bus, gate, cpl)?,
        }
        self.enter_code(selector, code, cpl);
        self.next_rip = gate.gate_offset();
        Ok(())
    }

    /// Switches to the stack of `cpl` in a 64-bit TSS and pushes what the return needs.
    fn call_inward_64(&mut self, bus: &mut dyn CpuBus, cpl: u8) -> Result<(), Fault> {
        let top = self.tss64(bus, 4 + u64::from(cpl) * 8, 0)?;
        let frame = [
            self.next_rip,
            u64::from(self.seg(Seg::Cs).selector),
            self.regs[RSP as usize],
            u64::from(self.seg(Seg::Ss).selector),
        ];
        let bottom = top.wrapping_sub(32);
        if !is_canonical(bottom) || !is_canonical(top.wrapping_sub(1)) {
            return Err(Fault::SS0);
        }
        let bytes: Vec<u8> = frame.iter().flat_map(|value| value.to_le_bytes()).collect();
        let context = self.context_at(cpl);
        self.store_bytes_lin(bus, Lin(bottom), &bytes, context)?;
        self.null_stack_segment(cpl);
        self.regs[RSP as usize] = bottom;
        Ok(())
    }

    /// Switches to the stack of `cpl`, copies the parameters, and pushes what the return needs.
    fn call_inward(&mut self, bus: &mut dyn CpuBus, gate: Descriptor, cpl: u8) -> Result<(), Fault> {
        let width = gate_width(gate);
        let mut parameters = Vec::new();
        let mut old = Peek::new(width);
        for _ in 0..gate.gate_parameters() {
            parameters.push(old.next(self, bus)?);
        }
        let mut stack = Stack::of_task(self, bus, cpl, width, 0)?;
        stack.push(u64::from(self.seg(Seg::Ss).selector));
        stack.push(self.regs[RSP as usize]);
        for parameter in parameters.into_iter().rev() {
            stack.push(parameter);
        }
        stack.push(u64::from(self.seg(Seg::Cs).selector));
        stack.push(self.next_rip);
        stack.commit(self, bus, 0)?;
        stack.take(self);
        Ok(())
    }

    /// Pushes on the current stack, all or nothing.
    fn push_far(&mut self, bus: &mut dyn CpuBus, width: Width, values: &[u64]) -> Result<(), Fault> {
        if self.code_size() != CodeSize::Bits64 {
            let mut stack = Stack::current(self, width);
            values.iter().for_each(|value| stack.push(*value));
            stack.commit(self, bus, 0)?;
            stack.take(self);
            return Ok(());
        }
        let mut sp = self.regs[RSP as usize];
        for value in values {
            sp = sp.wrapping_sub(width.bytes());
            self.store(bus, Seg::Ss, sp, width, *value)?;
        }
        self.regs[RSP as usize] = sp;
        Ok(())
    }

    /// Far RET, which takes `release` bytes of parameters off both stacks.
    pub(crate) fn far_return(
        &mut self,
        bus: &mut dyn CpuBus,
        width: Width,
        release: u64,
    ) -> Result<(), Fault> {
        let mut stack = Peek::new(width);
        let rip = stack.next(self, bus)?;
        let selector = Selector(stack.next(self, bus)? as u16);
        if !self.protected() {
            self.branch_to(rip)?;
            stack.skip(release);
            let sp = stack.pointer(self);
            self.set_stack_pointer(sp);
            self.load_real_segment(Seg::Cs, selector.0);
            self.leave_after_instruction();
            return Ok(());
        }
        let code = self.return_target(bus, selector)?;
        let outward = selector.rpl() > self.cpl;
        stack.skip(release);
        let mut outer = None;
        if outward {
            let mut found = self.outer_stack(bus, &mut stack, selector.rpl(), code.has(rights::L))?;
            found.rsp = found.rsp.wrapping_add(release);
            outer = Some(found);
        }
        self.check_target(code, rip)?;
        let code = self.accessed(bus, selector, code)?;
        let sp = stack.pointer(self);
        self.finish_return(selector, code, sp, outer);
        if outward {
            self.drop_inner_segments();
        }
        self.next_rip = rip;
        Ok(())
    }
}

/// What a call gate pushes.
fn gate_width(gate: Descriptor) -> Width {
    if gate.kind() == kind::CALL16 { Width::B2 } else { Width::B4 }
}
