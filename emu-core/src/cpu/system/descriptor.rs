//! Descriptors: eight bytes of GDT, LDT or IDT (sixteen for system segments and gates in long mode), read as the processor
//! itself reads them.
//!
//! SDM vol. 3A, 3.4.5 (segments), 3.5 (system descriptors), 5.8.3 (gates), 6.14.1 (64-bit gates).

use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::regs::{Segment, SystemSegment, rights};
use crate::cpu::{Cpu, CpuBus, Fault};

/// System descriptor types (SDM vol. 3A, table 3-2). In long mode only 2, 9, 11, 12, 14 and 15 exist.
pub(crate) mod kind {
    pub(crate) const TSS16: u8 = 1;
    pub(crate) const LDT: u8 = 2;
    pub(crate) const TSS16_BUSY: u8 = 3;
    pub(crate) const CALL16: u8 = 4;
    pub(crate) const TASK: u8 = 5;
    pub(crate) const INTERRUPT16: u8 = 6;
    pub(crate) const TRAP16: u8 = 7;
    pub(crate) const TSS: u8 = 9;
    pub(crate) const TSS_BUSY: u8 = 11;
    pub(crate) const CALL: u8 = 12;
    pub(crate) const INTERRUPT: u8 = 14;
    pub(crate) const TRAP: u8 = 15;
}

/// A selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Selector(pub(crate) u16);

impl Selector {
    /// Index and table bit are zero.
    pub(crate) const fn is_null(self) -> bool {
        self.0 & !3 == 0
    }

    pub(crate) const fn rpl(self) -> u8 {
        self.0 as u8 & 3
    }

    /// As error codes have it: without RPL.
    pub(crate) const fn error(self) -> u32 {
        self.0 as u32 & 0xfffc
    }

    const fn in_ldt(self) -> bool {
        self.0 & 4 != 0
    }

    const fn offset(self) -> u64 {
        self.0 as u64 & 0xfff8
    }
}

/// A raw descriptor and, for wide ones, its upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Descriptor {
    /// Bits 55:40 with the limit's bits cleared.
    pub(crate) const fn rights(self) -> u16 {
        (self.low >> 40) as u16 & 0xf0ff
    }

    pub(crate) const fn dpl(self) -> u8 {
        (self.low >> 45) as u8 & 3
    }

    pub(crate) const fn present(self) -> bool {
        self.low >> 47 & 1 != 0
    }

    /// Code or data.
    pub(crate) const fn is_segment(self) -> bool {
        self.low >> 44 & 1 != 0
    }

    pub(crate) const fn is_code(self) -> bool {
        self.has(rights::S | rights::CODE)
    }

    pub(crate) const fn has(self, bits: u16) -> bool {
        self.rights() & bits == bits
    }

    /// Of a system descriptor.
    pub(crate) const fn kind(self) -> u8 {
        (self.low >> 40) as u8 & 0xf
    }

    /// Last valid offset, granularity applied.
    pub(crate) const fn limit(self) -> u32 {
        let limit = (self.low & 0xffff) as u32 | ((self.low >> 32) as u32 & 0xf_0000);
        if self.low >> 55 & 1 != 0 { limit << 12 | 0xfff } else { limit }
    }

    /// Of a code or data segment.
    pub(crate) const fn base(self) -> u64 {
        self.low >> 16 & 0xff_ffff | self.low >> 56 << 24
    }

    /// Of a system segment in long mode.
    pub(crate) const fn base64(self) -> u64 {
        self.base() | self.high << 32
    }

    /// The hidden part that loading gives.
    pub(crate) const fn segment(self, selector: u16) -> Segment {
        Segment { selector, limit: self.limit(), rights: self.rights(), null: false }
    }

    /// Likewise of LDTR and TR.
    pub(crate) const fn system(self, selector: u16) -> SystemSegment {
        SystemSegment {
            selector,
            base: self.base64(),
            limit: self.limit(),
            rights: self.rights(),
            null: false,
        }
    }

    /// Selector of a gate.
    pub(crate) const fn gate_selector(self) -> Selector {
        Selector((self.low >> 16) as u16)
    }

    /// Offset of a gate; 16-bit gates have only the low half.
    pub(crate) const fn gate_offset(self) -> u64 {
        let low = self.low & 0xffff;
        if self.kind() & 8 == 0 { low } else { low | self.low >> 32 & 0xffff_0000 | self.high << 32 }
    }

    /// Parameters that a call gate copies.
    pub(crate) const fn gate_parameters(self) -> u8 {
        (self.low >> 32) as u8 & 0x1f
    }

    /// Interrupt stack table index of a 64-bit gate.
    pub(crate) const fn gate_ist(self) -> u8 {
        (self.low >> 32) as u8 & 7
    }
}

impl Cpu {
    /// Linear address of a selector's descriptor, of `len` bytes; `None` beyond the table's end or without a table.
    fn descriptor_at(&self, selector: Selector, len: u64) -> Option<Lin> {
        let (base, limit) = if selector.in_ldt() {
            if self.ldtr.null {
                return None;
            }
            (self.ldtr.base, u64::from(self.ldtr.limit))
        } else {
            (self.gdtr.base, u64::from(self.gdtr.limit))
        };
        (selector.offset() + len - 1 <= limit).then(|| self.implicit(base.wrapping_add(selector.offset())))
    }

    /// A linear address that the processor makes itself: 32 bits outside of long mode.
    pub(crate) fn implicit(&self, address: u64) -> Lin {
        Lin(if self.long_mode() { address } else { address & 0xffff_ffff })
    }

    /// Reads as the processor reads its own tables: a supervisor access, whatever CPL is.
    pub(crate) fn read_implicit(
        &mut self,
        bus: &mut dyn CpuBus,
        at: Lin,
        width: Width,
    ) -> Result<u64, Fault> {
        let context = self.system_context();
        self.load_unwatched(bus, at, width, context)
    }

    /// Writes likewise.
    pub(crate) fn write_implicit(
        &mut self,
        bus: &mut dyn CpuBus,
        at: Lin,
        width: Width,
        value: u64,
    ) -> Result<(), Fault> {
        let context = self.system_context();
        self.store_unwatched(bus, at, width, value, context)
    }

    /// Reads an eight-byte descriptor; `error` makes the fault for a selector beyond its table.
    pub(crate) fn descriptor(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        error: fn(u32) -> Fault,
    ) -> Result<Descriptor, Fault> {
        let at = self.descriptor_at(selector, 8).ok_or(error(selector.error()))?;
        Ok(Descriptor { low: self.read_implicit(bus, at, Width::B8)?, high: 0 })
    }

    /// Adds the upper half of a system descriptor in long mode.
    pub(crate) fn upper_half(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        descriptor: Descriptor,
        error: fn(u32) -> Fault,
    ) -> Result<Descriptor, Fault> {
        if !self.long_mode() {
            return Ok(descriptor);
        }
        let at = self.descriptor_at(selector, 16).ok_or(error(selector.error()))?;
        let high = self.read_implicit(bus, at.plus(8), Width::B8)?;
        // Bits 12:8 of the last dword are a type, and must be zero.
        if high >> 40 & 0x1f != 0 {
            return Err(error(selector.error()));
        }
        Ok(Descriptor { high: high & 0xffff_ffff, ..descriptor })
    }

    /// Sets bits of the type byte in the table: accessed, or busy.
    pub(crate) fn mark_descriptor(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        descriptor: Descriptor,
        bits: u8,
    ) -> Result<(), Fault> {
        self.write_type_byte(bus, selector, (descriptor.low >> 40) as u8 | bits)
    }

    /// Writes the byte with type, DPL and P.
    pub(crate) fn write_type_byte(
        &mut self,
        bus: &mut dyn CpuBus,
        selector: Selector,
        value: u8,
    ) -> Result<(), Fault> {
        let at = self.descriptor_at(selector, 8).ok_or(Fault::gp(selector.error()))?;
        self.write_implicit(bus, at.plus(5), Width::B1, u64::from(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_lie_where_the_figures_show_them() {
        let code = Descriptor { low: 0x12cf_9a34_5678_9abc, high: 0 };
        assert_eq!((code.base(), code.limit()), (0x1234_5678, 0xf_9abc << 12 | 0xfff));
        assert!(code.is_code() && code.present() && code.dpl() == 0);
        let gate = Descriptor { low: 0x1234_ee05_0008_5678, high: 0x9abc_def0 };
        assert_eq!((gate.gate_offset(), gate.gate_selector().0), (0x9abc_def0_1234_5678, 8));
        assert_eq!((gate.kind(), gate.dpl(), gate.gate_ist(), gate.present()), (kind::INTERRUPT, 3, 5, true));
    }
}
