//! Loading segment registers, with every check. SDM vol. 3A, 5.4.1 and 5.5; vol. 2B, "MOV" and "POP".

use super::descriptor::{Descriptor, Selector};
use crate::cpu::regs::{Seg, Segment, rights};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};

impl Cpu {
    /// MOV, POP, LDS and friends into a data segment register or SS.
    pub(crate) fn load_segment(
        &mut self,
        bus: &mut dyn CpuBus,
        seg: Seg,
        selector: u16,
    ) -> Result<(), Fault> {
        if !self.protected() {
            self.load_real_segment(seg, selector);
            return Ok(());
        }
        let (base, segment) = match seg {
            Seg::Ss => self.stack_segment(bus, Selector(selector), self.cpl, Fault::gp)?,
            _ => self.data_segment(bus, Selector(selector))?,
        };
        self.put_segment(seg, base, segment);
        Ok(())
    }

    /// Real mode changes selector and base only; virtual-8086 mode sets everything.
    pub(crate) fn load_real_segment(&mut self, seg: Seg, selector: u16) {
        let segment = if self.vm86() {
            Segment { rights: Segment::real(0).rights | 3 << 5, ..Segment::real(selector) }
        } else {
            Segment { selector, null: false, ..*self.seg(seg) }
        };
        self.put_segment(seg, u64::from(selector) << 4, segment);
    }

    /// Sets register and hidden part.
    pub(crate) fn put_segment(&mut self, seg: Seg, base: u64, segment: Segment) {
        self.segs[seg as usize] = segment;
        self.regs[seg.base_slot() as usize] = base;
        if matches!(seg, Seg::Cs | Seg::Ss) {
            self.update_mode();
        }
    }

    /// What a null selector leaves: nothing can be reached through it, except in 64-bit mode.
    fn null_segment(selector: Selector, dpl: u8) -> Segment {
        Segment { selector: selector.0, limit: 0, rights: u16::from(dpl) << 5, null: true }
    }

    fn data_segment(&mut self, bus: &mut dyn CpuBus, selector: Selector) -> Result<(u64, Segment), Fault> {
        if selector.is_null() {
            return Ok((0, Self::null_segment(selector, 0)));
        }
        let error = selector.error();
        let descriptor = self.descriptor(bus, selector, Fault::gp)?;
        let readable = !descriptor.is_code() || descriptor.has(rights::RW);
        let conforming = descriptor.is_code() && descriptor.has(rights::DC);
        let privileged = conforming || descriptor.dpl() >= selector.rpl().max(self.cpl);
        if !descriptor.is_segment() || !readable || !privileged {
            return Err(Fault::gp(error));
        }
        if !descriptor.present() {
            return Err(Fault::np(error));
        }
        let descriptor = self.accessed(bus, selector, descriptor)?;
        Ok((descriptor.base(), descriptor.segment(selector.0)))
    }

    /// A segment fit for SS at privilege `cpl`; `error` is #GP for loads, #TS for stacks out of a TSS.
    pub(crate) fn stack_segment(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        cpl: u8,
        error: fn(u32) -> Fault,
    ) -> Result<(u64, Segment), Fault> {
        if selector.is_null() {
            // 64-bit mode allows it outside of CPL 3.
            let allowed = self.code_size() == CodeSize::Bits64 && cpl < 3 && selector.rpl() == cpl;
            return if allowed { Ok((0, Self::null_segment(selector, cpl))) } else { Err(error(0)) };
        }
        let descriptor = self.descriptor(bus, selector, error)?;
        let writable = descriptor.is_segment() && !descriptor.is_code() && descriptor.has(rights::RW);
        if selector.rpl() != cpl || descriptor.dpl() != cpl || !writable {
            return Err(error(selector.error()));
        }
        if !descriptor.present() {
            return Err(Fault::ss(selector.error()));
        }
        let descriptor = self.accessed(bus, selector, descriptor)?;
        Ok((descriptor.base(), descriptor.segment(selector.0)))
    }

    /// Sets the accessed bit in the table if it is clear.
    pub(crate) fn accessed(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        descriptor: Descriptor,
    ) -> Result<Descriptor, Fault> {
        if descriptor.has(rights::ACCESSED) {
            return Ok(descriptor);
        }
        self.mark_descriptor(bus, selector, descriptor, rights::ACCESSED as u8)?;
        Ok(Descriptor { low: descriptor.low | 1 << 40, ..descriptor })
    }

    /// Checks a code segment that a jump, call, return or gate leads to, apart from privilege: #GP if it is none, or if
    /// L and D are both set in long mode; #NP if it is absent.
    pub(crate) fn check_code(&self, selector: Selector, descriptor: Descriptor) -> Result<(), Fault> {
        let both = self.long_mode() && descriptor.has(rights::L | rights::DB);
        if !descriptor.is_code() || both {
            return Err(Fault::gp(selector.error()));
        }
        if descriptor.present() { Ok(()) } else { Err(Fault::np(selector.error())) }
    }

    /// Goes on in a code segment at privilege `cpl`: the selector's RPL becomes it.
    pub(crate) fn enter_code(&mut self, selector: Selector, descriptor: Descriptor, cpl: u8) {
        self.cpl = cpl;
        let selector = selector.0 & !3 | u16::from(cpl);
        self.put_segment(Seg::Cs, descriptor.base(), descriptor.segment(selector));
        self.leave_after_instruction();
    }

    /// A return to an outer level invalidates data segments that this level could not load (SDM vol. 2, "RET").
    pub(crate) fn drop_inner_segments(&mut self) {
        for seg in [Seg::Es, Seg::Fs, Seg::Gs, Seg::Ds] {
            let segment = self.seg(seg);
            let conforming = segment.has(rights::CODE | rights::DC);
            if !segment.null && !conforming && segment.dpl() < self.cpl {
                self.put_segment(seg, 0, Self::null_segment(Selector(0), 0));
            }
        }
    }

    /// Whether `offset` can be fetched from a code segment once it is loaded.
    pub(crate) fn check_target(&self, descriptor: Descriptor, offset: u64) -> Result<(), Fault> {
        let to_64 = self.long_mode() && descriptor.has(rights::L);
        let inside =
            if to_64 { crate::cpu::is_canonical(offset) } else { offset <= u64::from(descriptor.limit()) };
        if inside { Ok(()) } else { Err(Fault::GP0) }
    }
}
