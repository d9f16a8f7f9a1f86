//! Hardware task switching, 16- and 32-bit. Long mode has none. SDM vol. 3A, chapter 7.

use super::debug::TASK_SWITCH;
use super::deliver::Event;
use super::descriptor::{Descriptor, Selector, kind};
use super::frame::Stack;
use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::control::cr0;
use crate::cpu::flags::bit;
use crate::cpu::mmu::Intent;
use crate::cpu::regs::{Seg, Segment, rights};
use crate::cpu::{Cpu, CpuBus, Fault};

/// What switches tasks: it decides over busy bits, the link and NT (SDM vol. 3A, table 7-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Jump,
    Call,
    Interrupt,
    Return,
}

/// Where a TSS of one width keeps what (SDM vol. 3A, figures 7-2 and 7-10).
struct Layout {
    width: Width,
    /// Offset of EIP; EFLAGS and the eight general registers follow, then the segments.
    eip: u64,
    segments: u64,
    /// How many segment registers: no FS and GS in the 16-bit one.
    segment_count: u64,
    ldt: u64,
    cr3: Option<u64>,
    /// The byte whose bit 0 asks for a trap upon the switch: the 32-bit one's alone.
    trap: Option<u64>,
    min_limit: u32,
}

const TSS32: Layout = Layout {
    width: Width::B4,
    eip: 0x20,
    segments: 0x48,
    segment_count: 6,
    ldt: 0x60,
    cr3: Some(0x1c),
    trap: Some(0x64),
    min_limit: 0x67,
};
const TSS16: Layout = Layout {
    width: Width::B2,
    eip: 0x0e,
    segments: 0x22,
    segment_count: 4,
    ldt: 0x2a,
    cr3: None,
    trap: None,
    min_limit: 0x2b,
};

fn layout(kind: u8) -> &'static Layout {
    if kind & 8 != 0 { &TSS32 } else { &TSS16 }
}

/// What a TSS says of a task.
struct Image {
    cr3: u64,
    eip: u64,
    eflags: u64,
    gprs: [u64; 8],
    selectors: [u16; 6],
    ldt: u16,
    trap: bool,
}

impl Cpu {
    /// A far transfer named a task gate.
    pub(super) fn through_task_gate(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        gate: Descriptor,
        reason: Reason,
    ) -> Result<(), Fault> {
        if !gate.present() {
            return Err(Fault::np(selector.error()));
        }
        self.switch_task(bus, gate.gate_selector(), reason, None)
    }

    /// An event came to a task gate.
    pub(super) fn task_gate_event(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        event: Event,
    ) -> Result<(), Fault> {
        // The old task goes on where the event says.
        self.next_rip = event.rip;
        self.switch_task(bus, selector, Reason::Interrupt, Some(event))?;
        self.set_rip(self.next_rip);
        Ok(())
    }

    /// IRET with NT: back to the task that the link names.
    pub(super) fn return_from_task(&mut self, bus: &mut dyn CpuBus) -> Result<(), Fault> {
        let at = self.implicit(self.tr.base);
        let link = Selector(self.read_implicit(bus, at, Width::B2)? as u16);
        self.switch_task(bus, link, Reason::Return, None)
    }

    /// Switches to the task of a TSS selector; execution goes on at `next_rip`.
    pub(super) fn switch_task(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        reason: Reason,
        event: Option<Event>,
    ) -> Result<(), Fault> {
        let ext = event.map_or(0, Event::ext);
        let refuse = if reason == Reason::Return { Fault::ts } else { Fault::gp };
        let error = selector.error() | ext;
        if selector.is_null() || selector.0 & 4 != 0 {
            return Err(refuse(error));
        }
        let tss = self.descriptor(bus, selector, refuse).map_err(|fault| fault.with_ext(ext))?;
        let wanted: [u8; 2] = match reason {
            Reason::Return => [kind::TSS_BUSY, kind::TSS16_BUSY],
            Reason::Jump | Reason::Call | Reason::Interrupt => [kind::TSS, kind::TSS16],
        };
        if tss.is_segment() || !wanted.contains(&tss.kind()) {
            return Err(refuse(error));
        }
        if !tss.present() {
            return Err(Fault::np(error));
        }
        let new = layout(tss.kind());
        if tss.limit() < new.min_limit {
            return Err(Fault::ts(error));
        }
        // Both TSSs must be reachable before anything is saved or loaded.
        let context = self.system_context();
        let (old_base, new_base) = (self.implicit(self.tr.base), self.implicit(tss.base()));
        let old = layout(self.tr.rights as u8);
        self.probe(bus, old_base, u64::from(old.min_limit) + 1, Intent::Write, context)?;
        self.probe(bus, new_base, u64::from(new.min_limit) + 1, Intent::Write, context)?;
        let image = self.read_task(bus, new, new_base)?;
        self.save_task(bus, old, old_base, reason)?;
        if matches!(reason, Reason::Call | Reason::Interrupt) {
            self.write_implicit(bus, new_base, Width::B2, u64::from(self.tr.selector))?;
        }
        if matches!(reason, Reason::Jump | Reason::Return) {
            self.set_busy(bus, Selector(self.tr.selector), false)?;
        }
        if reason != Reason::Return {
            self.set_busy(bus, selector, true)?;
        }
        self.tr = tss.system(selector.0);
        self.tr.rights |= 2;
        self.load_task(bus, &image, reason, ext)?;
        if image.trap {
            self.pending_debug |= TASK_SWITCH;
        }
        if let Some(error) = event.and_then(|event| event.error) {
            let mut stack = Stack::current(self, new.width);
            stack.push(u64::from(error));
            stack.commit(self, bus, ext)?;
            stack.take(self);
        }
        self.leave_after_instruction();
        Ok(())
    }

    fn set_busy(&mut self, bus: &mut dyn CpuBus, selector: Selector, busy: bool) -> Result<(), Fault> {
        let tss = self.descriptor(bus, selector, Fault::ts)?;
        let kind = (tss.low >> 40) as u8;
        self.write_type_byte(bus, selector, if busy { kind | 2 } else { kind & !2 })
    }

    fn read_task(&mut self, bus: &mut dyn CpuBus, layout: &Layout, base: Lin) -> Result<Image, Fault> {
        let width = layout.width;
        let step = width.bytes();
        let mut read = |offset: u64| self.read_implicit(bus, base.plus(offset), width);
        let mut image = Image {
            cr3: layout.cr3.map_or(Ok(0), &mut read)?,
            eip: read(layout.eip)?,
            eflags: read(layout.eip + step)?,
            gprs: [0; 8],
            selectors: [0; 6],
            ldt: read(layout.ldt)? as u16,
            trap: layout.trap.map_or(Ok(0), &mut read)? & 1 != 0,
        };
        for (index, gpr) in (0..).zip(&mut image.gprs) {
            *gpr = read(layout.eip + (2 + index) * step)?;
        }
        for (index, selector) in (0..layout.segment_count).zip(&mut image.selectors) {
            *selector = read(layout.segments + index * step)? as u16;
        }
        if layout.cr3.is_none() {
            image.cr3 = self.cr3;
        }
        Ok(image)
    }

    fn save_task(
        &mut self,
        bus: &mut dyn CpuBus,
        layout: &Layout,
        base: Lin,
        reason: Reason,
    ) -> Result<(), Fault> {
        let width = layout.width;
        let step = width.bytes();
        let mut flags = self.rflags();
        if reason == Reason::Return {
            flags &= !bit::NT;
        }
        let mut values = vec![(layout.eip, self.next_rip), (layout.eip + step, flags)];
        values.extend((0..8).map(|index| (layout.eip + (2 + index) * step, self.regs[index as usize])));
        values.extend(
            Seg::ALL
                .iter()
                .take(layout.segment_count as usize)
                .map(|seg| (layout.segments + *seg as u64 * step, u64::from(self.seg(*seg).selector))),
        );
        for (offset, value) in values {
            self.write_implicit(bus, base.plus(offset), width, value & width.mask())?;
        }
        Ok(())
    }

    /// Loads the new task's registers. Its segments are checked in the context of the new task: a fault is its own.
    fn load_task(
        &mut self,
        bus: &mut dyn CpuBus,
        image: &Image,
        reason: Reason,
        ext: u32,
    ) -> Result<(), Fault> {
        self.cr0 |= cr0::TS;
        if self.paging() && image.cr3 != self.cr3 {
            self.load_cr3(bus, image.cr3)?;
        }
        let nested = matches!(reason, Reason::Call | Reason::Interrupt);
        for (index, gpr) in image.gprs.iter().enumerate() {
            self.regs[index] = *gpr;
        }
        // From here on a fault is the new task's, before its first instruction.
        self.set_rip(image.eip);
        self.drop_local_breakpoints();
        let flags = image.eflags & bit::ALL | if nested { bit::NT } else { 0 };
        let to_vm86 = flags & bit::VM != 0;
        let cs = Selector(image.selectors[Seg::Cs as usize]);
        self.cpl = if to_vm86 { 3 } else { cs.rpl() };
        self.set_rflags(flags);
        self.load_task_ldt(bus, Selector(image.ldt), ext)?;
        if to_vm86 {
            for seg in Seg::ALL {
                self.load_real_segment(seg, image.selectors[seg as usize]);
            }
            return Ok(());
        }
        for seg in Seg::ALL {
            let selector = image.selectors[seg as usize];
            self.segs[seg as usize] = Segment { selector, limit: 0, rights: 0, null: true };
        }
        self.load_task_segments(bus, image, cs, ext)
    }

    fn load_task_segments(
        &mut self,
        bus: &mut dyn CpuBus,
        image: &Image,
        cs: Selector,
        ext: u32,
    ) -> Result<(), Fault> {
        let as_ts = |fault: Fault| if fault.vector == 13 { Fault { vector: 10, ..fault } } else { fault };
        let wrong = Fault::ts(cs.error() | ext);
        if cs.is_null() {
            return Err(wrong);
        }
        let code = self.descriptor(bus, cs, Fault::ts).map_err(|fault| fault.with_ext(ext))?;
        let level = if code.has(rights::DC) { code.dpl() <= cs.rpl() } else { code.dpl() == cs.rpl() };
        if !code.is_code() || !level {
            return Err(wrong);
        }
        if !code.present() {
            return Err(Fault::np(cs.error() | ext));
        }
        let ss = Selector(image.selectors[Seg::Ss as usize]);
        let (base, segment) =
            self.stack_segment(bus, ss, cs.rpl(), Fault::ts).map_err(|fault| fault.with_ext(ext))?;
        self.put_segment(Seg::Ss, base, segment);
        let code = self.accessed(bus, cs, code)?;
        self.enter_code(cs, code, cs.rpl());
        for seg in [Seg::Es, Seg::Ds, Seg::Fs, Seg::Gs] {
            self.load_segment(bus, seg, image.selectors[seg as usize])
                .map_err(|fault| as_ts(fault).with_ext(ext))?;
        }
        if self.next_rip > u64::from(self.seg(Seg::Cs).limit) {
            return Err(Fault::gp(ext));
        }
        Ok(())
    }

    fn load_task_ldt(&mut self, bus: &mut dyn CpuBus, selector: Selector, ext: u32) -> Result<(), Fault> {
        self.ldtr.null = true;
        self.ldtr.selector = selector.0;
        if selector.is_null() {
            return Ok(());
        }
        let wrong = Fault::ts(selector.error() | ext);
        if selector.0 & 4 != 0 {
            return Err(wrong);
        }
        let table = self.descriptor(bus, selector, Fault::ts).map_err(|fault| fault.with_ext(ext))?;
        if table.is_segment() || table.kind() != kind::LDT || !table.present() {
            return Err(wrong);
        }
        self.ldtr = table.system(selector.0);
        Ok(())
    }
}
