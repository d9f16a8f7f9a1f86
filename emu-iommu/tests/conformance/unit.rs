//! A unit under test, with a driver's hands: registers, tables, descriptors, and devices that ask. Every bit here is put
//! together from the specification, none from the model.

use emu_core::device::{DmaFault, Signal};
use emu_core::mem::PhysMem;
use emu_core::testing::FakeFabric;
use emu_core::{Bdf, Gpa, Interrupt, IoError, Iova, Msi, Width};
use emu_iommu::spec::register::*;
use emu_iommu::testing::{Domain, Rights, VtdTables, settle};
use emu_iommu::{IommuConfig, Vtd};

/// The device whose requests are looked at.
pub(crate) const NIC: Bdf = Bdf::new(0, 3, 0);
/// The invalidation queue, a page: 256 descriptors.
pub(crate) const QUEUE: Gpa = Gpa(0x8000);
/// Where wait descriptors write.
pub(crate) const STATUS: Gpa = Gpa(0x9000);
/// Beyond all memory, yet within 39 bits.
pub(crate) const NOWHERE: u64 = 0x40_0000_0000;
/// The page that [`Unit::translating`] maps; its index differs from level to level.
pub(crate) const IOVA: u64 = 0x23_4567_8000;
/// Where it lies.
pub(crate) const FRAME: u64 = 0x5000;
/// Another frame, for what changes behind the unit's back.
pub(crate) const MOVED: u64 = 0x6000;
/// The domain of [`NIC`].
pub(crate) const DOMAIN: u16 = 1;

/// A fault record, taken apart (9.9, 10.4.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) source: Bdf,
    pub(crate) reason: u8,
    pub(crate) info: u64,
    pub(crate) read: bool,
}

/// The unit and the little machine around it.
pub(crate) struct Unit {
    pub(crate) fabric: FakeFabric,
    pub(crate) mem: PhysMem,
    pub(crate) vtd: Vtd,
    pub(crate) tables: VtdTables,
    pub(crate) domain: Domain,
    irt: Gpa,
}

/// The configuration that most rules are tried on: every capability of legacy mode.
pub(crate) fn config(change: impl FnOnce(&mut IommuConfig)) -> IommuConfig {
    let mut config = IommuConfig::default();
    change(&mut config);
    config
}

impl Unit {
    /// After reset; tables lie ready in memory: [`NIC`] in [`DOMAIN`], [`IOVA`] at [`FRAME`].
    pub(crate) fn with(change: impl FnOnce(&mut IommuConfig)) -> Self {
        let config = config(change);
        let mut mem = PhysMem::new(16 << 20).unwrap();
        let mut tables = VtdTables::new(&mut mem, Gpa(0x10_0000)).unwrap();
        let irt = tables.interrupt_table(&mut mem, 0).unwrap();
        let levels = if config.address_bits == 39 { 3 } else { 4 };
        let domain = tables.domain(&mut mem, DOMAIN, levels).unwrap();
        let vtd = Vtd::new(config).unwrap();
        let mut unit = Self { fabric: FakeFabric::new(0), mem, vtd, tables, domain, irt };
        unit.attach(NIC, &domain);
        unit.map(IOVA, FRAME, Rights::Rw);
        unit
    }

    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// With the queue, if there is one, and translation on.
    pub(crate) fn translating_with(change: impl FnOnce(&mut IommuConfig)) -> Self {
        let mut unit = Self::with(change);
        let queue = if unit.vtd.config().queued_invalidation { QIE } else { 0 };
        unit.write(IQA, QUEUE.0);
        unit.write(RTADDR, unit.tables.root().0);
        unit.command(queue | SRTP);
        unit.command(queue | TE);
        unit
    }

    pub(crate) fn translating() -> Self {
        Self::translating_with(|_| {})
    }

    /// Without a queue: invalidation is by register.
    pub(crate) fn by_register() -> Self {
        Self::translating_with(without_queue)
    }

    /// With interrupts remapped by a table of 256 entries; `irta` are further bits of IRTA.
    pub(crate) fn remapping_with(irta: u64, change: impl FnOnce(&mut IommuConfig)) -> Self {
        let mut unit = Self::translating_with(change);
        unit.write(IRTA, unit.irt.0 | 7 | irta);
        unit.command(TE | QIE | SIRTP);
        unit.command(TE | QIE | IRE);
        unit
    }

    pub(crate) fn remapping() -> Self {
        Self::remapping_with(0, |_| {})
    }

    /// The interrupt remap table that lies ready, of 256 entries.
    pub(crate) fn interrupt_table(&self) -> Gpa {
        self.irt
    }

    // Registers.

    pub(crate) fn try_read(&mut self, offset: u64, width: Width) -> Result<u64, IoError> {
        self.vtd.read(&mut self.fabric.env(), &mut self.mem, offset, width)
    }

    /// Writes, and lets the unit finish what that begins.
    pub(crate) fn try_write(&mut self, offset: u64, width: Width, value: u64) -> Result<(), IoError> {
        self.start(offset, width, value)?;
        settle(&mut self.vtd, &mut self.fabric, &mut self.mem);
        Ok(())
    }

    /// Writes, and does not wait.
    pub(crate) fn start(&mut self, offset: u64, width: Width, value: u64) -> Result<(), IoError> {
        self.vtd.write(&mut self.fabric.env(), &mut self.mem, offset, width, value)
    }

    /// At the register's own width.
    pub(crate) fn read(&mut self, offset: u64) -> u64 {
        self.try_read(offset, natural(offset)).unwrap()
    }

    /// At the register's own width.
    pub(crate) fn write(&mut self, offset: u64, value: u64) {
        self.try_write(offset, natural(offset), value).unwrap();
    }

    pub(crate) fn read32(&mut self, offset: u64) -> u64 {
        self.try_read(offset, Width::B4).unwrap()
    }

    pub(crate) fn write32(&mut self, offset: u64, value: u64) {
        self.try_write(offset, Width::B4, value).unwrap();
    }

    pub(crate) fn command(&mut self, bits: u32) {
        self.write(GCMD, bits.into());
    }

    pub(crate) fn status(&mut self) -> u32 {
        self.read(GSTS) as u32
    }

    // Tables.

    pub(crate) fn attach(&mut self, bdf: Bdf, domain: &Domain) {
        self.tables.context(&mut self.mem, bdf, domain.context()).unwrap();
    }

    pub(crate) fn new_domain(&mut self, id: u16, levels: u8) -> Domain {
        self.tables.domain(&mut self.mem, id, levels).unwrap()
    }

    pub(crate) fn map(&mut self, iova: u64, gpa: u64, rights: Rights) {
        self.map_in(self.domain, iova, gpa, 0, rights);
    }

    /// At level 0 4 KiB, 1 2 MiB, 2 1 GiB.
    pub(crate) fn map_in(&mut self, domain: Domain, iova: u64, gpa: u64, level: u8, rights: Rights) {
        self.tables.map(&mut self.mem, &domain, Iova(iova), Gpa(gpa), level, rights).unwrap();
    }

    /// Replaces the page's mapping at level 0 by a larger one of `level`.
    pub(crate) fn map_large(&mut self, iova: u64, gpa: u64, level: u8) {
        self.map_in(self.domain, iova, gpa, level, Rights::Rw);
    }

    /// Changes half of the root entry of [`NIC`].
    pub(crate) fn root(&mut self, half: u64, change: impl FnOnce(u64) -> u64) {
        self.change(self.tables.root().plus(u64::from(NIC.bus()) * 16 + half * 8), change);
    }

    /// Changes half of the context entry of [`NIC`].
    pub(crate) fn context(&mut self, half: u64, change: impl FnOnce(u64) -> u64) {
        let entry = self.tables.context_gpa(&mut self.mem, NIC).unwrap();
        self.change(entry.plus(half * 8), change);
    }

    /// Changes the paging entry of [`IOVA`] at `level`.
    pub(crate) fn entry(&mut self, level: u8, change: impl FnOnce(u64) -> u64) {
        let entry = self.tables.entry_gpa(&mut self.mem, &self.domain, Iova(IOVA), level).unwrap();
        self.change(entry, change);
    }

    pub(crate) fn irte(&mut self, index: u64, [low, high]: [u64; 2]) {
        self.mem.write_u64(self.irt.plus(index * 16), low).unwrap();
        self.mem.write_u64(self.irt.plus(index * 16 + 8), high).unwrap();
    }

    fn change(&mut self, at: Gpa, change: impl FnOnce(u64) -> u64) {
        let old = self.mem.read_u64(at).unwrap();
        self.mem.write_u64(at, change(old)).unwrap();
    }

    // Requests.

    /// Where the byte at `iova` is, or the fault reason.
    pub(crate) fn dma(&mut self, bdf: Bdf, iova: u64, write: bool) -> Result<u64, u8> {
        match self.vtd.translate(&mut self.fabric.env(), &mut self.mem, bdf, Iova(iova), write) {
            Ok(found) => Ok(found.gpa.0),
            Err(DmaFault::Remapping(reason)) => Err(reason),
            Err(fault) => panic!("{fault:?} is not the unit's to say"),
        }
    }

    pub(crate) fn get(&mut self, iova: u64) -> Result<u64, u8> {
        self.dma(NIC, iova, false)
    }

    pub(crate) fn put(&mut self, iova: u64) -> Result<u64, u8> {
        self.dma(NIC, iova, true)
    }

    /// What local APICs are told, or the reasons that were recorded meanwhile.
    pub(crate) fn interrupt(&mut self, source: Bdf, msi: Msi) -> Result<Interrupt, Vec<u8>> {
        let found = self.vtd.remap(&mut self.fabric.env(), &mut self.mem, source, msi);
        found.map(|(interrupt, _)| interrupt).ok_or_else(|| self.reasons())
    }

    // Queue.

    /// Puts descriptors into the queue, from its tail on, and moves the tail.
    pub(crate) fn submit(&mut self, descriptors: &[[u64; 2]]) {
        let mut tail = self.read(IQT);
        for descriptor in descriptors {
            self.place(tail, *descriptor);
            tail = (tail + 16) % 0x1000;
        }
        self.write(IQT, tail);
    }

    /// Puts a descriptor at a byte offset of the queue.
    pub(crate) fn place(&mut self, at: u64, [low, high]: [u64; 2]) {
        self.mem.write_u64(QUEUE.plus(at), low).unwrap();
        self.mem.write_u64(QUEUE.plus(at + 8), high).unwrap();
    }

    /// The dword that wait descriptors write.
    pub(crate) fn waited(&mut self) -> u32 {
        self.mem.read_u32(STATUS).unwrap()
    }

    // Faults and events.

    /// The low byte of FSTS: the conditions.
    pub(crate) fn conditions(&mut self) -> u32 {
        self.read(FSTS) as u32 & 0xff
    }

    pub(crate) fn record(&mut self, index: u64) -> [u64; 2] {
        let at = FRCD + 16 * index;
        [at, at + 8].map(|at| self.try_read(at, Width::B8).unwrap())
    }

    pub(crate) fn clear_record(&mut self, index: u64) {
        self.write32(FRCD + 16 * index + 12, 1 << 31);
    }

    /// Pending fault records, oldest first, as a driver's handler reads and clears them.
    pub(crate) fn faults(&mut self) -> Vec<Fault> {
        let count = u64::from(self.vtd.config().fault_records);
        let first = self.read(FSTS) >> 8 & 0xff;
        let mut faults = Vec::new();
        for index in (first..count).chain(0..first) {
            let [low, high] = self.record(index);
            if high >> 63 == 0 {
                break;
            }
            let (source, reason) = (Bdf(high as u16), (high >> 32) as u8);
            faults.push(Fault { source, reason, info: low, read: high >> 62 & 1 != 0 });
            self.clear_record(index);
        }
        faults
    }

    pub(crate) fn reasons(&mut self) -> Vec<u8> {
        self.faults().into_iter().map(|fault| fault.reason).collect()
    }

    /// The unit's own messages, since they were last asked for.
    pub(crate) fn messages(&mut self) -> Vec<Interrupt> {
        let interrupt = |signal| match signal {
            Signal::Interrupt(interrupt) => interrupt,
            other => panic!("{other:?}"),
        };
        self.fabric.take_signals().into_iter().map(interrupt).collect()
    }
}

/// The width that software uses for a register.
fn natural(offset: u64) -> Width {
    if is_wide(offset) { Width::B8 } else { Width::B4 }
}

/// Invalidation by register alone, and what needs the queue goes with it.
pub(crate) fn without_queue(config: &mut IommuConfig) {
    config.queued_invalidation = false;
    config.interrupt_remapping = false;
    config.eim = false;
}

/// Caching mode.
pub(crate) fn caching(config: &mut IommuConfig) {
    config.caching_mode = true;
}

// Descriptors (6.5.2).

pub(crate) const CONTEXT_GLOBAL: [u64; 2] = [0x11, 0];
pub(crate) const IOTLB_GLOBAL: [u64; 2] = [0x12, 0];
pub(crate) const IEC_GLOBAL: [u64; 2] = [0x04, 0];

pub(crate) const fn context_domain(domain: u16) -> [u64; 2] {
    [(domain as u64) << 16 | 2 << 4 | 1, 0]
}

pub(crate) const fn context_device(domain: u16, source: Bdf, mask: u64) -> [u64; 2] {
    [mask << 48 | (source.0 as u64) << 32 | (domain as u64) << 16 | 3 << 4 | 1, 0]
}

pub(crate) const fn iotlb_domain(domain: u16) -> [u64; 2] {
    [(domain as u64) << 16 | 2 << 4 | 2, 0]
}

/// The `1 << mask` pages around `iova`.
pub(crate) const fn iotlb_pages(domain: u16, iova: u64, mask: u64) -> [u64; 2] {
    [(domain as u64) << 16 | 3 << 4 | 2, iova | mask]
}

/// The `1 << mask` entries around `index`.
pub(crate) const fn iec_index(index: u64, mask: u64) -> [u64; 2] {
    [index << 32 | mask << 27 | 1 << 4 | 4, 0]
}

/// Writes `data` to [`STATUS`] when all before it is done.
pub(crate) const fn wait(data: u32) -> [u64; 2] {
    [(data as u64) << 32 | 1 << 5 | 5, STATUS.0]
}

/// Raises the completion event when all before it is done.
pub(crate) const WAIT_INTERRUPT: [u64; 2] = [1 << 4 | 5, 0];
