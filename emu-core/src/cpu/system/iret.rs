//! IRET in every mode, and the flags that a program may load. SDM vol. 2A, "IRET/IRETD/IRETQ"; vol. 2B, "POPF".

use super::descriptor::Selector;
use crate::access::Width;
use crate::cpu::flags::bit;
use crate::cpu::regs::{RSP, Seg, Segment, rights};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};

/// Reads the stack without moving the pointer: what a return takes off is taken at its end.
pub(super) struct Peek {
    offset: u64,
    width: Width,
}

impl Peek {
    pub(super) fn new(width: Width) -> Self {
        Self { offset: 0, width }
    }

    pub(super) fn next(&mut self, cpu: &mut Cpu, bus: &mut dyn CpuBus) -> Result<u64, Fault> {
        let at = cpu.stack_offset(self.offset);
        let value = cpu.load(bus, Seg::Ss, at, self.width)?;
        self.offset += self.width.bytes();
        Ok(value)
    }

    pub(super) fn skip(&mut self, bytes: u64) {
        self.offset += bytes;
    }

    /// Stack pointer behind everything read.
    pub(super) fn pointer(&self, cpu: &Cpu) -> u64 {
        cpu.stack_offset(self.offset)
    }
}

/// A stack that a return goes back to.
pub(super) struct OuterStack {
    pub(super) rsp: u64,
    pub(super) base: u64,
    pub(super) segment: Segment,
}

impl Cpu {
    /// IRET with operands of `width`.
    pub(crate) fn iret(&mut self, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
        // Even if it faults (SDM vol. 3A, 6.7.1).
        self.nmi_blocked = false;
        if self.vm86() && self.iopl() < 3 {
            return Err(Fault::GP0);
        }
        if self.protected() {
            self.iret_protected(bus, width)?;
        } else {
            self.iret_real(bus, width)?;
        }
        self.leave_after_instruction();
        let at = self.stamp();
        bus.leave_interrupt(at, self.next_rip);
        Ok(())
    }

    fn iret_real(&mut self, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
        let mut stack = Peek::new(width);
        let rip = stack.next(self, bus)?;
        let cs = stack.next(self, bus)? as u16;
        let flags = stack.next(self, bus)?;
        self.branch_to(rip)?;
        let sp = stack.pointer(self);
        self.set_stack_pointer(sp);
        self.load_real_segment(Seg::Cs, cs);
        let flags = self.loadable_flags(flags, width, bit::RF);
        self.set_rflags(flags);
        Ok(())
    }

    fn iret_protected(&mut self, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
        if self.system_flags & bit::NT != 0 {
            return if self.long_mode() { Err(Fault::GP0) } else { self.return_from_task(bus) };
        }
        let mut stack = Peek::new(width);
        let rip = stack.next(self, bus)?;
        let cs = stack.next(self, bus)? as u16;
        let flags = stack.next(self, bus)?;
        if flags & bit::VM != 0 && self.cpl == 0 && width == Width::B4 && !self.long_mode() {
            return self.iret_to_vm86(bus, stack, rip, cs, flags);
        }
        let selector = Selector(cs);
        let code = self.return_target(bus, selector)?;
        let cpl = selector.rpl();
        let outer = if cpl > self.cpl || self.code_size() == CodeSize::Bits64 {
            Some(self.outer_stack(bus, &mut stack, cpl, code.has(rights::L))?)
        } else {
            None
        };
        self.check_target(code, rip)?;
        let code = self.accessed(bus, selector, code)?;
        // The flags are loaded by the rules of the level that executes the return.
        let flags = self.loadable_flags(flags, width, bit::RF);
        let outward = cpl > self.cpl;
        let sp = stack.pointer(self);
        self.finish_return(selector, code, sp, outer);
        if outward {
            self.drop_inner_segments();
        }
        self.set_rflags(flags);
        self.next_rip = rip;
        Ok(())
    }

    /// Loads CS and the stack of a return that can no longer fault.
    pub(super) fn finish_return(
        &mut self,
        selector: Selector,
        code: super::descriptor::Descriptor,
        sp: u64,
        outer: Option<OuterStack>,
    ) {
        if outer.is_none() {
            self.set_stack_pointer(sp);
        }
        let to_64 = self.long_mode() && code.has(rights::L);
        self.enter_code(selector, code, selector.rpl());
        if let Some(outer) = outer {
            self.put_segment(Seg::Ss, outer.base, outer.segment);
            let rsp = self.regs[RSP as usize];
            self.regs[RSP as usize] = if to_64 {
                outer.rsp
            } else if outer.segment.has(rights::DB) {
                outer.rsp & 0xffff_ffff
            } else {
                rsp & !0xffff | outer.rsp & 0xffff
            };
        }
    }

    /// Checks the code segment that a return leads to.
    pub(super) fn return_target(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
    ) -> Result<super::descriptor::Descriptor, Fault> {
        if selector.is_null() {
            return Err(Fault::GP0);
        }
        let code = self.descriptor(bus, selector, Fault::gp)?;
        let level =
            if code.has(rights::DC) { code.dpl() <= selector.rpl() } else { code.dpl() == selector.rpl() };
        if !code.is_code() || selector.rpl() < self.cpl || !level {
            return Err(Fault::gp(selector.error()));
        }
        self.check_code(selector, code)?;
        Ok(code)
    }

    /// Pops and checks the stack of the level that a return goes to.
    pub(super) fn outer_stack(
        &mut self,
        bus: &mut dyn CpuBus,
        stack: &mut Peek,
        cpl: u8,
        to_64: bool,
    ) -> Result<OuterStack, Fault> {
        let rsp = stack.next(self, bus)?;
        let selector = Selector(stack.next(self, bus)? as u16);
        let (base, segment) = if selector.is_null() {
            if !(self.long_mode() && to_64 && cpl != 3 && selector.rpl() == cpl) {
                return Err(Fault::GP0);
            }
            let rights = u16::from(cpl) << 5;
            (0, Segment { selector: selector.0, limit: 0, rights, null: true })
        } else {
            self.stack_segment(bus, selector, cpl, Fault::gp)?
        };
        Ok(OuterStack { rsp, base, segment })
    }

    fn iret_to_vm86(
        &mut self,
        bus: &mut dyn CpuBus,
        mut stack: Peek,
        eip: u64,
        cs: u16,
        flags: u64,
    ) -> Result<(), Fault> {
        let esp = stack.next(self, bus)?;
        let mut selectors = [0; 5];
        for selector in &mut selectors {
            *selector = stack.next(self, bus)? as u16;
        }
        if eip > 0xffff {
            return Err(Fault::GP0);
        }
        self.cpl = 3;
        self.set_rflags(flags & (bit::ALL | bit::ONE));
        self.load_real_segment(Seg::Cs, cs);
        for (seg, selector) in [Seg::Ss, Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs].into_iter().zip(selectors) {
            self.load_real_segment(seg, selector);
        }
        self.regs[RSP as usize] = esp;
        self.update_mode();
        self.next_rip = eip;
        Ok(())
    }

    /// RFLAGS after a program loads `value` with `width`: privilege decides over IF, IOPL, VIF and VIP. VM never changes;
    /// `also` names further bits that this instruction may load.
    pub(crate) fn loadable_flags(&self, value: u64, width: Width, also: u64) -> u64 {
        let mut mask = bit::ARITHMETIC | bit::TF | bit::DF | bit::NT | bit::AC | bit::ID | also;
        if self.cpl == 0 || !self.protected() && !self.vm86() {
            mask |= bit::IOPL | bit::VIF | bit::VIP;
        }
        if self.cpl <= self.iopl() || !self.protected() && !self.vm86() {
            mask |= bit::IF;
        }
        if width == Width::B2 {
            mask &= 0xffff;
        }
        self.rflags() & !mask & !bit::RF | value & mask
    }
}
