//! Descriptor-table and task registers, and the instructions that look at descriptors without loading them. SDM vol. 2:
//! LLDT, LTR, LAR, LSL, VERR, VERW.

use super::descriptor::{Descriptor, Selector, kind};
use crate::cpu::regs::{SystemSegment, rights};
use crate::cpu::{Cpu, CpuBus, Fault, is_canonical};

impl Cpu {
    /// LLDT.
    pub(crate) fn load_ldtr(&mut self, bus: &mut dyn CpuBus, selector: u16) -> Result<(), Fault> {
        let selector = Selector(selector);
        if selector.is_null() {
            let null = SystemSegment { selector: selector.0, base: 0, limit: 0, rights: 0, null: true };
            self.ldtr = null;
            return Ok(());
        }
        let table = self.system_descriptor(bus, selector, &[kind::LDT])?;
        self.ldtr = table.system(selector.0);
        Ok(())
    }

    /// LTR: marks the TSS busy.
    pub(crate) fn load_tr(&mut self, bus: &mut dyn CpuBus, selector: u16) -> Result<(), Fault> {
        let selector = Selector(selector);
        if selector.is_null() {
            return Err(Fault::GP0);
        }
        let kinds: &[u8] = if self.long_mode() { &[kind::TSS] } else { &[kind::TSS, kind::TSS16] };
        let tss = self.system_descriptor(bus, selector, kinds)?;
        self.mark_descriptor(bus, selector, tss, 2)?;
        self.tr = tss.system(selector.0);
        self.tr.rights |= 2;
        Ok(())
    }

    fn system_descriptor(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        kinds: &[u8],
    ) -> Result<Descriptor, Fault> {
        let error = selector.error();
        if selector.0 & 4 != 0 {
            return Err(Fault::gp(error));
        }
        let descriptor = self.descriptor(bus, selector, Fault::gp)?;
        if descriptor.is_segment() || !kinds.contains(&descriptor.kind()) {
            return Err(Fault::gp(error));
        }
        if !descriptor.present() {
            return Err(Fault::np(error));
        }
        let descriptor = self.upper_half(bus, selector, descriptor, Fault::gp)?;
        if self.long_mode() && !is_canonical(descriptor.base64()) {
            return Err(Fault::gp(error));
        }
        Ok(descriptor)
    }

    /// The descriptor if a program at CPL may know of it; `None` clears ZF.
    fn visible_descriptor(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
    ) -> Result<Option<Descriptor>, Fault> {
        if selector.is_null() {
            return Ok(None);
        }
        let descriptor = match self.descriptor(bus, selector, Fault::gp) {
            Ok(descriptor) => descriptor,
            Err(fault) if fault.vector == 14 => return Err(fault),
            Err(_) => return Ok(None),
        };
        let conforming = descriptor.is_code() && descriptor.has(rights::DC);
        let visible = conforming || descriptor.dpl() >= self.cpl.max(selector.rpl());
        Ok(visible.then_some(descriptor))
    }

    /// LAR: access rights as the second dword of the descriptor, masked.
    pub(crate) fn access_rights(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: u16,
    ) -> Result<Option<u64>, Fault> {
        let gates: &[u8] = if self.long_mode() {
            &[kind::LDT, kind::TSS, kind::TSS_BUSY, kind::CALL]
        } else {
            &[
                kind::TSS16,
                kind::LDT,
                kind::TSS16_BUSY,
                kind::CALL16,
                kind::TASK,
                kind::TSS,
                kind::TSS_BUSY,
                kind::CALL,
            ]
        };
        let found = self.visible_descriptor(bus, Selector(selector))?;
        let found = found.filter(|found| found.is_segment() || gates.contains(&found.kind()));
        Ok(found.map(|found| found.low >> 32 & 0x00f0_ff00))
    }

    /// LSL: the limit in bytes.
    pub(crate) fn segment_limit(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: u16,
    ) -> Result<Option<u64>, Fault> {
        let sized: &[u8] = if self.long_mode() {
            &[kind::LDT, kind::TSS, kind::TSS_BUSY]
        } else {
            &[kind::TSS16, kind::LDT, kind::TSS16_BUSY, kind::TSS, kind::TSS_BUSY]
        };
        let found = self.visible_descriptor(bus, Selector(selector))?;
        let found = found.filter(|found| found.is_segment() || sized.contains(&found.kind()));
        Ok(found.map(|found| u64::from(found.limit())))
    }

    /// VERR and VERW.
    pub(crate) fn verify(&mut self, bus: &mut dyn CpuBus, selector: u16, write: bool) -> Result<bool, Fault> {
        let found = self.visible_descriptor(bus, Selector(selector))?;
        Ok(found.is_some_and(|found| {
            let code = found.is_code();
            found.is_segment()
                && if write { !code && found.has(rights::RW) } else { !code || found.has(rights::RW) }
        }))
    }
}
