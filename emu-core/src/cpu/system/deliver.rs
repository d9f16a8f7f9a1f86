//! Exceptions and interrupts on their way through the IDT, in every mode. SDM vol. 3A, chapter 6; vol. 2A, "INT n".
//!
//! A delivery computes everything that can fault before it changes a register; only the frame in memory may be left
//! behind by a delivery that did not come about, as on hardware.

use super::descriptor::{Descriptor, Selector, kind};
use super::frame::Stack;
use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::flags::bit;
use crate::cpu::regs::{RSP, Seg, rights};
use crate::cpu::{Activity, Cpu, CpuBus, Fault, Shadow, is_canonical};
use crate::trace::TraceEvent;

/// Where an event comes from: it decides privilege checks, error codes and the image of RF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// An exception of fault class: restarts with RF set.
    Fault,
    /// A #DB trap or instruction breakpoint: RF stays as it is.
    Debug,
    /// INT n, INT3, INTO: the gate's DPL counts.
    Software,
    /// INT1: like an exception, it ignores the gate's DPL.
    Privileged,
    /// A hardware interrupt or NMI.
    External,
}

/// What is to be delivered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) vector: u8,
    pub(crate) error: Option<u32>,
    pub(crate) source: Source,
    /// Where the handler returns to.
    pub(crate) rip: u64,
}

impl Event {
    /// Bit 0 of error codes of faults during the delivery: the event was not the program's own INT.
    pub(super) fn ext(self) -> u32 {
        u32::from(self.source != Source::Software)
    }

    /// The error code that names the event's IDT entry.
    pub(super) fn idt_error(self) -> u32 {
        u32::from(self.vector) << 3 | 2 | self.ext()
    }
}

/// How two events in a row combine (SDM vol. 3A, table 6-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combination {
    Serial,
    Double,
    Triple,
}

/// #DE, #TS, #NP, #SS, #GP.
const CONTRIBUTORY: [u8; 5] = [0, 10, 11, 12, 13];
const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;

/// What becomes of `second`, which struck while `first` was being delivered.
pub(crate) fn combine(first: u8, second: u8) -> Combination {
    let bad = CONTRIBUTORY.contains(&second) || second == PAGE_FAULT;
    match first {
        DOUBLE_FAULT if bad => Combination::Triple,
        PAGE_FAULT if bad => Combination::Double,
        _ if CONTRIBUTORY.contains(&first) && CONTRIBUTORY.contains(&second) => Combination::Double,
        _ => Combination::Serial,
    }
}

impl Cpu {
    /// Delivers an exception raised by the instruction at RIP, which has had no effect.
    pub(crate) fn raise(&mut self, bus: &mut dyn CpuBus, fault: Fault) {
        // Breakpoints that it has met are met again when it restarts.
        self.pending_debug = 0;
        self.raise_from(bus, fault, Source::Fault);
    }

    /// Delivers #DB for a trap or an instruction breakpoint.
    pub(crate) fn raise_debug(&mut self, bus: &mut dyn CpuBus) {
        self.raise_from(bus, Fault::DEBUG, Source::Debug);
    }

    fn raise_from(&mut self, bus: &mut dyn CpuBus, fault: Fault, source: Source) {
        self.note_exception(bus, fault);
        let event = Event { vector: fault.vector, error: fault.error, source, rip: self.rip };
        self.deliver_or_combine(bus, event);
    }

    /// Delivers a hardware interrupt or an NMI between instructions.
    pub(crate) fn interrupt(&mut self, bus: &mut dyn CpuBus, vector: u8) {
        let event = Event { vector, error: None, source: Source::External, rip: self.rip };
        self.deliver_or_combine(bus, event);
    }

    /// Reports pending debug conditions as a #DB trap between instructions.
    pub(crate) fn debug_trap(&mut self, bus: &mut dyn CpuBus) {
        self.dr[6] |= std::mem::take(&mut self.pending_debug);
        self.raise_debug(bus);
    }

    /// INT n and its kin, as part of an instruction: a fault is that instruction's. It is not single-stepped: the
    /// handler begins with TF clear and no trap pending (SDM vol. 3B, 18.3.1.4).
    pub(crate) fn software_interrupt(
        &mut self,
        bus: &mut dyn CpuBus,
        vector: u8,
        source: Source,
    ) -> Result<(), Fault> {
        let event = Event { vector, error: None, source, rip: self.next_rip };
        self.deliver(bus, event)?;
        self.single_step = false;
        self.leave_after_instruction();
        Ok(())
    }

    fn note_exception(&mut self, bus: &mut dyn CpuBus, fault: Fault) {
        if let Some(address) = fault.address {
            self.cr2 = address.0;
        }
        let at = self.stamp();
        let event = TraceEvent::CpuException {
            vector: fault.vector,
            error: fault.error,
            rip: self.rip,
            address: fault.address,
        };
        bus.trace(at, event);
    }

    fn deliver_or_combine(&mut self, bus: &mut dyn CpuBus, mut event: Event) {
        self.charge_delivery();
        while let Err(second) = self.deliver(bus, event) {
            self.note_exception(bus, second);
            // An interrupt is benign, whatever its vector.
            let combination = match event.source {
                Source::External => Combination::Serial,
                _ => combine(event.vector, second.vector),
            };
            let (vector, error) = match combination {
                Combination::Serial => (second.vector, second.error),
                Combination::Double => (DOUBLE_FAULT, Some(0)),
                Combination::Triple => return self.shut_down(bus),
            };
            // A task switch that faults late has already moved RIP into the new task.
            event = Event { vector, error, source: Source::Fault, rip: self.rip };
        }
    }

    fn shut_down(&mut self, bus: &mut dyn CpuBus) {
        let at = self.stamp();
        bus.trace(at, TraceEvent::CpuShutdown { rip: self.rip });
        self.activity = Activity::Shutdown;
        self.leave_after_instruction();
    }

    /// Delivers one event, or says what struck on the way.
    fn deliver(&mut self, bus: &mut dyn CpuBus, event: Event) -> Result<(), Fault> {
        if self.long_mode() {
            self.deliver_long(bus, event)?;
        } else if self.cr0 & crate::cpu::control::cr0::PE != 0 {
            self.deliver_protected(bus, event)?;
        } else {
            self.deliver_real(bus, event)?;
        }
        if event.vector == 1 && !matches!(event.source, Source::Software | Source::External) {
            self.enter_debug_handler();
        }
        self.shadow = Shadow::None;
        self.activity = Activity::Running;
        Ok(())
    }

    /// The image of RFLAGS that is pushed (RF: SDM vol. 3B, 18.3.1.1).
    fn pushed_flags(&self, event: Event) -> u64 {
        self.rflags() | if event.source == Source::Fault { bit::RF } else { 0 }
    }

    /// RFLAGS of the handler.
    fn enter_flags(&mut self, interrupt_gate: bool) {
        let mut flags = self.rflags() & !(bit::TF | bit::NT | bit::RF | bit::VM);
        if interrupt_gate {
            flags &= !bit::IF;
        }
        self.set_rflags(flags);
    }

    fn deliver_real(&mut self, bus: &mut dyn CpuBus, event: Event) -> Result<(), Fault> {
        let offset = u64::from(event.vector) * 4;
        if offset + 3 > u64::from(self.idtr.limit) {
            return Err(Fault::gp(event.idt_error()));
        }
        let at = self.implicit(self.idtr.base.wrapping_add(offset));
        let target = self.read_implicit(bus, at, Width::B4)?;
        let mut stack = Stack::current(self, Width::B2);
        for value in [self.pushed_flags(event), u64::from(self.seg(Seg::Cs).selector), event.rip] {
            stack.push(value);
        }
        stack.commit(self, bus, 0)?;
        stack.take(self);
        let flags = self.rflags() & !(bit::IF | bit::TF | bit::AC | bit::RF);
        self.set_rflags(flags);
        self.load_real_segment(Seg::Cs, (target >> 16) as u16);
        self.set_rip(target & 0xffff);
        Ok(())
    }

    /// Reads the gate for an event and makes the checks that need only it.
    fn gate(&mut self, bus: &mut dyn CpuBus, event: Event) -> Result<Descriptor, Fault> {
        let size = if self.long_mode() { 16 } else { 8 };
        let offset = u64::from(event.vector) * size;
        let error = event.idt_error();
        if offset + size - 1 > u64::from(self.idtr.limit) {
            return Err(Fault::gp(error));
        }
        let at = self.implicit(self.idtr.base.wrapping_add(offset));
        let low = self.read_implicit(bus, at, Width::B8)?;
        let high = if size == 16 { self.read_implicit(bus, at.plus(8), Width::B8)? & 0xffff_ffff } else { 0 };
        let gate = Descriptor { low, high };
        let known: &[u8] = if size == 16 {
            &[kind::INTERRUPT, kind::TRAP]
        } else {
            &[kind::TASK, kind::INTERRUPT16, kind::TRAP16, kind::INTERRUPT, kind::TRAP]
        };
        let forbidden = event.source == Source::Software && gate.dpl() < self.cpl;
        if gate.is_segment() || !known.contains(&gate.kind()) || forbidden {
            return Err(Fault::gp(error));
        }
        if gate.present() { Ok(gate) } else { Err(Fault::np(error)) }
    }

    /// The code segment that a gate leads to, and the privilege of the handler.
    fn gate_target(
        &mut self,
        bus: &mut dyn CpuBus,
        gate: Descriptor,
        ext: u32,
    ) -> Result<(Selector, Descriptor, u8), Fault> {
        let selector = gate.gate_selector();
        let with_ext = |fault: Fault| fault.with_ext(ext);
        if selector.is_null() {
            return Err(Fault::gp(ext));
        }
        let code = self.descriptor(bus, selector, Fault::gp).map_err(with_ext)?;
        if !code.is_code() || code.dpl() > self.cpl {
            return Err(Fault::gp(selector.error() | ext));
        }
        let is_64_bit_code = code.has(rights::L) && !code.has(rights::DB);
        if self.long_mode() && !is_64_bit_code {
            return Err(Fault::gp(selector.error() | ext));
        }
        if !code.present() {
            return Err(Fault::np(selector.error() | ext));
        }
        let code = self.accessed(bus, selector, code).map_err(with_ext)?;
        let cpl = if code.has(rights::DC) { self.cpl } else { code.dpl() };
        Ok((selector, code, cpl))
    }

    fn deliver_long(&mut self, bus: &mut dyn CpuBus, event: Event) -> Result<(), Fault> {
        let gate = self.gate(bus, event)?;
        let ext = event.ext();
        let (selector, code, cpl) = self.gate_target(bus, gate, ext)?;
        let rsp = match gate.gate_ist() {
            0 if cpl == self.cpl => self.regs[RSP as usize],
            0 => self.tss64(bus, 4 + u64::from(cpl) * 8, ext)?,
            ist => self.tss64(bus, 0x24 + u64::from(ist - 1) * 8, ext)?,
        };
        let mut frame = vec![
            u64::from(self.seg(Seg::Ss).selector),
            self.regs[RSP as usize],
            self.pushed_flags(event),
            u64::from(self.seg(Seg::Cs).selector),
            event.rip,
        ];
        frame.extend(event.error.map(u64::from));
        let top = rsp & !0xf;
        let bottom = top.wrapping_sub(frame.len() as u64 * 8);
        if !is_canonical(bottom) || !is_canonical(top.wrapping_sub(1)) {
            return Err(Fault::ss(ext));
        }
        let bytes: Vec<u8> = frame.iter().rev().flat_map(|value| value.to_le_bytes()).collect();
        if !is_canonical(gate.gate_offset()) {
            return Err(Fault::gp(ext));
        }
        let context = self.context_at(cpl);
        self.store_bytes_lin(bus, Lin(bottom), &bytes, context)?;
        if cpl != self.cpl {
            self.null_stack_segment(cpl);
        }
        self.enter_code(selector, code, cpl);
        self.regs[RSP as usize] = bottom;
        self.enter_flags(gate.kind() == kind::INTERRUPT);
        self.set_rip(gate.gate_offset());
        Ok(())
    }

    /// A stack pointer out of the 64-bit TSS (SDM vol. 3A, figure 7-11).
    pub(super) fn tss64(&mut self, bus: &mut dyn CpuBus, offset: u64, ext: u32) -> Result<u64, Fault> {
        if offset + 7 > u64::from(self.tr.limit) {
            return Err(Fault::ts(u32::from(self.tr.selector) & 0xfffc | ext));
        }
        let at = Lin(self.tr.base.wrapping_add(offset));
        self.read_implicit(bus, at, Width::B8)
    }

    fn deliver_protected(&mut self, bus: &mut dyn CpuBus, event: Event) -> Result<(), Fault> {
        let gate = self.gate(bus, event)?;
        if gate.kind() == kind::TASK {
            return self.task_gate_event(bus, gate.gate_selector(), event);
        }
        let ext = event.ext();
        let (selector, code, cpl) = self.gate_target(bus, gate, ext)?;
        let from_vm86 = self.vm86();
        if from_vm86 && cpl != 0 {
            return Err(Fault::gp(selector.error() | ext));
        }
        let width = if gate.kind() & 8 == 0 { Width::B2 } else { Width::B4 };
        let (ss, esp) = (self.seg(Seg::Ss).selector, self.regs[RSP as usize]);
        let mut stack = if cpl == self.cpl {
            Stack::current(self, width)
        } else {
            let mut stack = Stack::of_task(self, bus, cpl, width, ext)?;
            if from_vm86 {
                for seg in [Seg::Gs, Seg::Fs, Seg::Ds, Seg::Es] {
                    stack.push(u64::from(self.seg(seg).selector));
                }
            }
            stack.push(u64::from(ss));
            stack.push(esp);
            stack
        };
        stack.push(self.pushed_flags(event));
        stack.push(u64::from(self.seg(Seg::Cs).selector));
        stack.push(event.rip);
        if let Some(error) = event.error {
            stack.push(u64::from(error));
        }
        stack.commit(self, bus, ext)?;
        if gate.gate_offset() > u64::from(code.limit()) {
            return Err(Fault::gp(ext));
        }
        self.enter_flags(matches!(gate.kind(), kind::INTERRUPT | kind::INTERRUPT16));
        if from_vm86 {
            for seg in [Seg::Gs, Seg::Fs, Seg::Ds, Seg::Es] {
                self.put_null(seg);
            }
        }
        stack.take(self);
        self.enter_code(selector, code, cpl);
        self.set_rip(gate.gate_offset());
        Ok(())
    }

    /// I/O privilege level.
    pub(crate) fn iopl(&self) -> u8 {
        (self.system_flags >> 12) as u8 & 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_events_combine_as_table_6_5_says() {
        for (first, second, want) in [
            (13, 13, Combination::Double),
            (13, 14, Combination::Serial),
            (14, 14, Combination::Double),
            (14, 13, Combination::Double),
            (14, 6, Combination::Serial),
            (6, 13, Combination::Serial),
            (0, 10, Combination::Double),
            (8, 11, Combination::Triple),
            (8, 14, Combination::Triple),
            (0x40, 13, Combination::Serial),
        ] {
            assert_eq!(combine(first, second), want, "{first} then {second}");
        }
    }
}
