//! Device registers in memory space: which chip answers, and what the trace says of it.

use super::board::Board;
use super::layout;
use super::platform::{Platform, lapic_in_memory};
use emu_core::cpu::Reply;
use emu_core::mem::{AddressMap, Region};
use emu_core::trace::TraceEvent;
use emu_core::{Gpa, IoError, Slot, VirtDuration, Width};

impl Platform {
    /// Lays the regions that do not move.
    pub(super) fn fixed_regions(units: u8) -> AddressMap {
        let mut map = AddressMap::default();
        let mut add = |base, len, slot| {
            let added = map.add(Region { base, len, slot, bar: 0 });
            debug_assert!(added.is_ok(), "the board's own regions do not overlap");
        };
        add(layout::IOAPIC, layout::PAGE, Slot::Ioapic);
        add(layout::LAPIC, layout::PAGE, Slot::Lapic(0));
        for unit in 0..units {
            add(layout::vtd(unit), layout::PAGE, Slot::Iommu(unit));
        }
        map
    }

    /// Reads a register; all-ones where nobody answers.
    pub(super) fn read_memory_space(&mut self, gpa: Gpa, width: Width) -> Reply {
        let Some((region, offset)) = self.map.find(gpa) else { return self.nobody_reads(gpa, width) };
        let timing = &self.board.timing;
        let (cost, chipset) = (timing.mmio_read.0, timing.chipset.0);
        if region.slot == Slot::Pci {
            return self.read_ecam(offset, width);
        }
        let read = self.board.fabric.tracer.announce();
        let Board { fabric, mem, remapping, lapics, ioapic, .. } = &mut self.board;
        let (result, cost) = match region.slot {
            Slot::Nic(_) => (self.with_nic(|nic, ctx, _| nic.mmio_read(ctx, offset, width)), cost),
            Slot::Ioapic => (ioapic.read(&mut fabric.env(), offset, width), chipset),
            Slot::Lapic(_) => {
                let lapic = lapics.first_mut().ok_or(IoError::NoRegister);
                (lapic.and_then(|lapic| lapic.read(&mut fabric.env(), offset, width)), chipset)
            }
            Slot::Iommu(unit) => {
                let iommu = remapping.unit(unit).ok_or(IoError::NoRegister);
                (iommu.and_then(|iommu| iommu.read(&mut fabric.env(), mem, offset, width)), chipset)
            }
            _ => (Err(IoError::NoRegister), cost),
        };
        let value = self.answer(region.slot, offset, width, false, result);
        self.board.fabric.tracer.tell(read, region.slot, TraceEvent::MmioRead { offset, width, value });
        Reply { value, cost }
    }

    /// Writes a register. What the write sets in motion has it as its cause.
    pub(super) fn write_memory_space(&mut self, gpa: Gpa, width: Width, value: u64) -> Reply {
        let Some((region, offset)) = self.map.find(gpa) else { return self.nobody_writes(gpa, width) };
        let timing = &self.board.timing;
        let (cost, chipset) = (timing.mmio_write.0, timing.chipset.0);
        if region.slot == Slot::Pci {
            return self.write_ecam(offset, width, value);
        }
        if matches!(region.slot, Slot::Lapic(_)) && !lapic_in_memory(&self.board) {
            return self.nobody_writes(gpa, width);
        }
        let id = self.board.fabric.env().trace(region.slot, TraceEvent::MmioWrite { offset, width, value });
        self.board.fabric.tracer.set_cause(Some(id));
        let Board { fabric, mem, remapping, lapics, ioapic, .. } = &mut self.board;
        let (result, cost) = match region.slot {
            Slot::Nic(_) => (self.with_nic(|nic, ctx, _| nic.mmio_write(ctx, offset, width, value)), cost),
            Slot::Ioapic => (ioapic.write(&mut fabric.env(), offset, width, value), chipset),
            Slot::Lapic(_) => {
                let lapic = lapics.first_mut().ok_or(IoError::NoRegister);
                (lapic.and_then(|lapic| lapic.write(&mut fabric.env(), offset, width, value)), chipset)
            }
            Slot::Iommu(unit) => {
                let iommu = remapping.unit(unit).ok_or(IoError::NoRegister);
                (iommu.and_then(|iommu| iommu.write(&mut fabric.env(), mem, offset, width, value)), chipset)
            }
            _ => (Err(IoError::NoRegister), cost),
        };
        self.answer(region.slot, offset, width, true, result.map(|()| 0));
        Reply { value: 0, cost }
    }

    /// The value that the bus gives for a chip's answer: all-ones for a refusal, which is traced.
    pub(super) fn answer(
        &mut self,
        slot: Slot,
        offset: u64,
        width: Width,
        write: bool,
        result: Result<u64, IoError>,
    ) -> u64 {
        result.map_or_else(
            |error| {
                let error = error.into();
                self.board.fabric.env().trace(slot, TraceEvent::BadAccess { offset, width, write, error });
                width.mask()
            },
            |value| value & width.mask(),
        )
    }

    fn nobody_reads(&mut self, gpa: Gpa, width: Width) -> Reply {
        let value = self.answer(Slot::Cpu(0), gpa.0, width, false, Err(IoError::NoRegister));
        Reply { value, cost: self.board.timing.mmio_read.0 }
    }

    fn nobody_writes(&mut self, gpa: Gpa, width: Width) -> Reply {
        self.answer(Slot::Cpu(0), gpa.0, width, true, Err(IoError::NoRegister));
        Reply { value: 0, cost: VirtDuration::ZERO.plus(self.board.timing.mmio_write.0) }
    }
}
