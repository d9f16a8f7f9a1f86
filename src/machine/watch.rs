//! The IOMMU sanitizer's place in the machine: where it is told what happens. Nothing here changes the machine.

use super::Machine;
use super::board::Board;
use super::platform::Platform;
use crate::sanitize::{Actor, Moment, Sanitizer, Use, Writer};
use emu_core::Bdf;
use emu_core::cpu::Stamp;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_iommu::Vtd;
use std::collections::BTreeSet;

/// Where the run is for a chip that is called.
pub(super) fn moment(env: &Env<'_>) -> Moment {
    let (record, time, insns) = env.tracer.moment();
    Moment { record, time, insns }
}

/// A device got a translation, or did not.
pub(super) fn translated(
    sanitizer: &mut Sanitizer,
    env: &mut Env<'_>,
    vtd: &Vtd,
    mem: &mut PhysMem,
    used: Use,
) {
    let by = Writer { actor: Actor::Unit, at: used.at, cause: env.tracer.cause() };
    sanitizer.wrote(mem, by);
    sanitizer.hear(env.tracer.take_heard(), vtd, mem);
    sanitizer.dma(vtd, mem, used);
}

/// A device has written to memory.
pub(super) fn written(sanitizer: &mut Sanitizer, env: &Env<'_>, mem: &mut PhysMem, bdf: Bdf) {
    if mem.has_watched_writes() {
        sanitizer
            .wrote(mem, Writer { actor: Actor::Device(bdf), at: moment(env), cause: env.tracer.cause() });
    }
}

impl Board {
    fn at(&self) -> Moment {
        let (record, time, insns) = self.fabric.tracer.moment();
        Moment { record, time, insns }
    }
}

impl Platform {
    /// The processor has written to a watched page.
    pub(super) fn processor_wrote(&mut self, at: Stamp, rip: u64) {
        let Board { fabric, mem, sanitizer, .. } = &mut self.board;
        let Some(sanitizer) = sanitizer else {
            mem.take_watched_writes();
            return;
        };
        let (record, ..) = fabric.tracer.moment();
        let at = Moment { record, time: at.now, insns: at.insns };
        sanitizer.wrote(mem, Writer { actor: Actor::Cpu { rip }, at, cause: fabric.tracer.handler() });
    }

    /// After a chip was called: the sanitizer hears of it.
    pub(super) fn tell_sanitizer(&mut self) {
        if self.board.sanitizer.is_none() {
            return;
        }
        let at = self.board.at();
        let Board { fabric, mem, remapping, sanitizer, .. } = &mut self.board;
        let Some(sanitizer) = sanitizer else { return };
        let Some(vtd) = remapping.unit(sanitizer.unit()) else { return };
        sanitizer.wrote(mem, Writer { actor: Actor::Unit, at, cause: fabric.tracer.cause() });
        sanitizer.hear(fabric.tracer.take_heard(), vtd, mem);
        let (source, is_master) = (self.devices.nic_requester(), self.devices.nic_is_master());
        sanitizer.look_at_devices(at, |bdf| bdf == source && is_master);
    }
}

impl Machine {
    /// Has the IOMMU sanitizer watch the unit before the card from here on; `false` if there is none. A machine that is taken back to a
    /// checkpoint is to be watched anew.
    pub fn sanitize_iommu(&mut self) -> bool {
        self.sanitize_iommu_knowing(BTreeSet::new())
    }

    /// The same with [`Sanitizer::table_pages`] of an earlier run of the same scenario: then it is known who wrote table
    /// entries before the unit was told of the tables.
    pub fn sanitize_iommu_knowing(&mut self, pages: BTreeSet<u64>) -> bool {
        let source = self.platform.devices.nic_requester();
        let Board { fabric, mem, remapping, sanitizer, .. } = &mut self.platform.board;
        let Some(number) = remapping.number_for(source) else { return false };
        let Some(vtd) = remapping.unit(number) else { return false };
        fabric.tracer.listen();
        *sanitizer = Some(Box::new(Sanitizer::new(number, vtd, mem, pages)));
        true
    }

    /// What the sanitizer has to say now that the run is over; `None` if there was none.
    pub fn finish_sanitizer(&mut self) -> Option<Box<Sanitizer>> {
        self.platform.tell_sanitizer();
        let at = self.platform.board.at();
        let Board { mem, remapping, sanitizer, .. } = &mut self.platform.board;
        let mut sanitizer = sanitizer.take()?;
        if let Some(vtd) = remapping.unit(sanitizer.unit()) {
            sanitizer.finish(vtd, mem, at);
        }
        Some(sanitizer)
    }
}
