//! Which devices and interrupts have a place in the tables, the queue's descriptors as memory has them now, and the faults that
//! are recorded.

use super::linux_fault_line;
use crate::Vtd;
use crate::spec::descriptor::DESCRIPTOR_LEN;
use crate::spec::fault::{
    RECORD_F, RECORD_HAS_PASID, RECORD_INDEX_SHIFT, RECORD_PASID_SHIFT, RECORD_READ, RECORD_REASON_SHIFT,
    is_interrupt_reason,
};
use crate::spec::irte::IRTE_LEN;
use crate::spec::register::{IQA_QS, IRE, IRTA_S, TE};
use crate::spec::scalable::{CONTEXT_LEN, CONTEXTS, PASID, TTM, TTM_LEGACY};
use crate::spec::table::{ADDRESS, ENTRY_LEN, PRESENT};
use crate::walk::{Stages, Way, entry128};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa};

/// A device with a context entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceView {
    /// Who.
    pub bdf: Bdf,
    /// Its domain; `None` if its entries are not good.
    pub domain: Option<u16>,
    /// The topmost table of its requests without PASID, if there is one.
    pub table: Option<Gpa>,
    /// How its requests without PASID are translated.
    pub how: String,
}

impl Vtd {
    /// Every device whose context entry is present; none while translation is off.
    #[must_use]
    pub fn devices(&self, mem: &PhysMem) -> Vec<DeviceView> {
        let mut devices = Vec::new();
        if self.state.status & TE == 0 {
            return devices;
        }
        let root = Gpa(self.state.root & ADDRESS);
        for bus in 0..=255u8 {
            let halves = entry128(mem, root.plus(u64::from(bus) * ENTRY_LEN)).unwrap_or_default();
            if halves.iter().all(|half| half & PRESENT == 0) {
                continue;
            }
            for devfn in 0..=255u8 {
                if self.has_context(mem, halves, devfn) {
                    devices.push(self.device(mem, Bdf(u16::from(bus) << 8 | u16::from(devfn))));
                }
            }
        }
        devices
    }

    fn has_context(&self, mem: &PhysMem, halves: [u64; 2], devfn: u8) -> bool {
        let devfn = u64::from(devfn);
        let (half, offset) = if self.state.root & TTM == TTM_LEGACY {
            (halves[0], devfn * ENTRY_LEN)
        } else {
            (halves[usize::from(devfn >= CONTEXTS)], devfn % CONTEXTS * CONTEXT_LEN)
        };
        let at = Gpa(half & ADDRESS).plus(offset);
        half & PRESENT != 0 && mem.read_u64(at).is_ok_and(|low| low & PRESENT != 0)
    }

    fn device(&self, mem: &PhysMem, bdf: Bdf) -> DeviceView {
        match self.peek_route(mem, bdf, &mut |_| {}) {
            Err(reason) => DeviceView {
                bdf,
                domain: None,
                table: None,
                how: crate::fault_reason_text(reason).to_owned(),
            },
            Ok(seen) => {
                let (table, how) = match seen.route.way {
                    Way::PassThrough(bits) => (None, format!("passes through, {bits} bits")),
                    Way::Tables(Stages::Second(second)) => {
                        (Some(second.table), format!("second stage, {} levels", second.levels))
                    }
                    Way::Tables(Stages::First(first, None)) => {
                        (Some(first.top().gpa), format!("first stage, {} levels", first.levels))
                    }
                    Way::Tables(Stages::First(first, Some(second))) => (
                        Some(first.top().gpa),
                        format!("first stage, {} levels, within the second, {}", first.levels, second.levels),
                    ),
                };
                DeviceView { bdf, domain: Some(seen.route.domain), table, how }
            }
        }
    }

    /// The last `count` descriptors of the queue up to the tail, oldest first: index, entry, and whether it still waits.
    #[must_use]
    pub fn queue_entries(&self, mem: &PhysMem, count: u64) -> Vec<(u64, [u64; 2], bool)> {
        let len = self.descriptor_len().max(DESCRIPTOR_LEN);
        let size = (0x1000u64 << (self.state.queue & IQA_QS)) / len;
        let (head, tail) = (self.state.queue_head / len % size, self.state.queue_tail / len % size);
        let waiting = (tail + size - head) % size;
        let base = Gpa(self.state.queue & ADDRESS);
        let back = |back: u64| {
            let index = (tail + size - back) % size;
            let entry = entry128(mem, base.plus(index * len))?;
            (entry != [0; 2]).then_some((index, entry, back <= waiting))
        };
        (1..=count.min(size - 1)).rev().filter_map(back).collect()
    }

    /// The interrupt entries that are present in memory; none while remapping is off.
    #[must_use]
    pub fn interrupt_table_entries(&self, mem: &PhysMem) -> Vec<(u64, [u64; 2])> {
        if self.state.status & IRE == 0 {
            return Vec::new();
        }
        let table = Gpa(self.state.interrupt_table & ADDRESS);
        let size = 2u64 << (self.state.interrupt_table & IRTA_S);
        let entry = |index: u64| Some((index, entry128(mem, table.plus(index * IRTE_LEN))?));
        (0..size).filter_map(entry).filter(|(_, entry)| entry[0] & PRESENT != 0).collect()
    }

    /// The faults that are recorded, oldest register first, as Linux prints them.
    #[must_use]
    pub fn fault_lines(&self) -> Vec<(usize, String)> {
        let line = |[low, high]: [u64; 2]| {
            let reason = (high >> RECORD_REASON_SHIFT) as u8;
            let pasid = (high & RECORD_HAS_PASID != 0).then_some((high >> RECORD_PASID_SHIFT) as u32 & PASID);
            let address = if is_interrupt_reason(reason) { low >> RECORD_INDEX_SHIFT } else { low };
            linux_fault_line(Bdf(high as u16), pasid, address, high & RECORD_READ == 0, reason)
        };
        let records = self.state.fault_records.iter().enumerate();
        records
            .filter(|(_, [_, high])| high & RECORD_F != 0)
            .map(|(index, record)| (index, line(*record)))
            .collect()
    }
}
