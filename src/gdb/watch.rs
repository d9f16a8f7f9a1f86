//! gdb's breakpoints and watchpoints, those that `monitor` sets besides, and which of them a stop was for.

use crate::machine::{Hit, Machine, RecordStop, Stops};
use emu_core::Lin;
use emu_core::cpu::DataStop;
use gdbstub::target::ext::breakpoints::WatchKind;
use std::collections::BTreeSet;

/// A watchpoint of gdb's own: on what the processor does, and on what devices do to the memory that lies there.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    address: u64,
    len: u64,
    pub(super) kind: WatchKind,
    data: DataStop,
    dma: RecordStop,
}

/// A stop that `monitor` has set.
#[derive(Clone, Debug)]
pub(super) enum Extra {
    /// A record.
    Record(RecordStop),
    /// Physical memory, whoever accesses it.
    Physical(DataStop, RecordStop),
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Watches {
    pub(super) soft: BTreeSet<u64>,
    pub(super) hard: BTreeSet<u64>,
    watches: Vec<Watch>,
    pub(super) extra: Vec<Extra>,
}

fn ways(kind: WatchKind) -> (bool, bool) {
    match kind {
        WatchKind::Write => (false, true),
        WatchKind::Read => (true, false),
        WatchKind::ReadWrite => (true, true),
    }
}

impl Watches {
    /// Watches memory.
    pub(super) fn add(&mut self, machine: &Machine, address: u64, len: u64, kind: WatchKind) {
        let (read, write) = ways(kind);
        let data = machine.data_stop(Lin(address), len, read, write);
        let dma = RecordStop::Physical { ranges: data.physical.clone(), read, write };
        self.watches.push(Watch { address, len, kind, data, dma });
    }

    /// Answers whether there was such a watchpoint.
    pub(super) fn remove(&mut self, address: u64, len: u64, kind: WatchKind) -> bool {
        let same = |watch: &Watch| (watch.address, watch.len, watch.kind) == (address, len, kind);
        let found = self.watches.iter().position(same);
        found.map(|index| self.watches.remove(index)).is_some()
    }

    /// As the machine is to know them.
    pub(super) fn stops(&self) -> Stops {
        let mut stops = Stops { code: self.soft.union(&self.hard).copied().collect(), ..Stops::default() };
        for watch in &self.watches {
            stops.data.push(watch.data.clone());
            stops.records.push(watch.dma.clone());
        }
        for extra in &self.extra {
            match extra {
                Extra::Record(record) => stops.records.push(record.clone()),
                Extra::Physical(data, record) => {
                    stops.data.push(data.clone());
                    stops.records.push(record.clone());
                }
            }
        }
        stops
    }

    /// gdb's watchpoint that was hit, and the address to name to gdb.
    pub(super) fn of(&self, hit: &Hit) -> Option<(WatchKind, u64)> {
        match hit {
            Hit::Code => None,
            Hit::Data(hit) => self.watches.get(hit.stop).map(|watch| {
                let inside = (watch.address..watch.address + watch.len).contains(&hit.lin.0);
                (watch.kind, if inside { hit.lin.0 } else { watch.address })
            }),
            Hit::Record { record, .. } => {
                let found = self.watches.iter().find(|watch| watch.dma.is(record));
                found.map(|watch| (watch.kind, watch.address))
            }
        }
    }
}
