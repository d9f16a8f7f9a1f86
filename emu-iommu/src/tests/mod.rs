//! The unit from the outside: a driver's registers, tables and descriptors, devices' requests, and what comes back.

mod cache;
mod capability;
mod debugfs;
mod fault;
mod fuzz;
mod interrupt;
mod invalidate;
mod model;
mod paging;
mod protect;
mod queue;
mod register;
mod scalable;
mod timing;
mod translate;
mod view;

use crate::spec::register::*;
use crate::testing::{Domain, Rights, VtdTables, settle};
use crate::{IommuConfig, Vtd};
use emu_core::device::{DmaFault, Signal};
use emu_core::mem::PhysMem;
use emu_core::testing::FakeFabric;
use emu_core::trace::{IommuCache, TraceEvent, TraceRecord};
use emu_core::{Bdf, Gpa, Interrupt, Iova, Msi, Width};

const NIC: Bdf = Bdf::new(0, 3, 0);
const OTHER: Bdf = Bdf::new(2, 0, 1);
/// The invalidation queue, a page.
const QUEUE: Gpa = Gpa(0x8000);
/// Where wait descriptors write.
const STATUS: Gpa = Gpa(0x9000);
const TABLES: Gpa = Gpa(0x10_0000);
/// Something beyond all memory, below 39 bits.
const NOWHERE: u64 = 0x40_0000_0000;

/// A machine with nothing but memory and the unit.
struct Rig {
    fabric: FakeFabric,
    mem: PhysMem,
    vtd: Vtd,
    tables: VtdTables,
}

impl Rig {
    fn new(config: IommuConfig) -> Self {
        let mut mem = PhysMem::new(16 << 20).unwrap();
        let tables = VtdTables::new(&mut mem, TABLES).unwrap();
        Self { fabric: FakeFabric::new(0), mem, vtd: Vtd::new(config).unwrap(), tables }
    }

    /// Translating, with the queue on.
    fn started(config: IommuConfig) -> Self {
        let queue = if config.queued_invalidation { QIE } else { 0 };
        let mut rig = Self::new(config);
        rig.write(IQA, QUEUE.0);
        rig.write(RTADDR, rig.tables.root().0);
        rig.write(GCMD, u64::from(queue | SRTP));
        rig.write(GCMD, u64::from(queue | TE));
        rig
    }

    /// Started, with [`NIC`] in domain 1, whose tables have `levels` levels.
    fn with_nic(config: IommuConfig, levels: u8) -> (Self, Domain) {
        let mut rig = Self::started(config);
        let domain = rig.domain(1, levels);
        rig.attach(NIC, &domain);
        (rig, domain)
    }

    fn domain(&mut self, id: u16, levels: u8) -> Domain {
        self.tables.domain(&mut self.mem, id, levels).unwrap()
    }

    fn attach(&mut self, bdf: Bdf, domain: &Domain) {
        self.tables.context(&mut self.mem, bdf, domain.context()).unwrap();
    }

    fn map(&mut self, domain: &Domain, iova: u64, gpa: u64, rights: Rights) {
        self.map_large(domain, iova, gpa, 0, rights);
    }

    fn map_large(&mut self, domain: &Domain, iova: u64, gpa: u64, level: u8, rights: Rights) {
        self.tables.map(&mut self.mem, domain, Iova(iova), Gpa(gpa), level, rights).unwrap();
    }

    fn unmap(&mut self, domain: &Domain, iova: u64) {
        self.tables.unmap(&mut self.mem, domain, Iova(iova)).unwrap();
    }

    fn width(offset: u64) -> Width {
        if is_wide(offset) { Width::B8 } else { Width::B4 }
    }

    fn write(&mut self, offset: u64, value: u64) {
        self.start(offset, value);
        settle(&mut self.vtd, &mut self.fabric, &mut self.mem);
    }

    /// A write, without waiting for what it begins.
    fn start(&mut self, offset: u64, value: u64) {
        let width = Self::width(offset);
        self.vtd.write(&mut self.fabric.env(), &mut self.mem, offset, width, value).unwrap();
    }

    fn read(&mut self, offset: u64) -> u64 {
        let width = Self::width(offset);
        self.vtd.read(&mut self.fabric.env(), &mut self.mem, offset, width).unwrap()
    }

    /// Where the byte at `iova` is, or the fault reason.
    fn dma(&mut self, bdf: Bdf, iova: u64, write: bool) -> Result<u64, u8> {
        let mut env = self.fabric.env();
        match self.vtd.translate(&mut env, &mut self.mem, bdf, Iova(iova), write) {
            Ok(found) => {
                assert!(found.page_len_left > 0);
                Ok(found.gpa.0)
            }
            Err(DmaFault::Remapping(reason)) => Err(reason),
            Err(fault) => panic!("{fault:?} is not the unit's to say"),
        }
    }

    fn get(&mut self, iova: u64) -> Result<u64, u8> {
        self.dma(NIC, iova, false)
    }

    fn put(&mut self, iova: u64) -> Result<u64, u8> {
        self.dma(NIC, iova, true)
    }

    fn remap(&mut self, source: Bdf, msi: Msi) -> Option<Interrupt> {
        self.vtd.remap(&mut self.fabric.env(), &mut self.mem, source, msi).map(|(interrupt, _)| interrupt)
    }

    /// Puts descriptors into the queue, from its tail on, and moves the tail.
    fn submit(&mut self, descriptors: &[[u64; 2]]) {
        let mut tail = self.read(IQT);
        for [low, high] in descriptors {
            self.mem.write_u64(QUEUE.plus(tail), *low).unwrap();
            self.mem.write_u64(QUEUE.plus(tail + 8), *high).unwrap();
            tail = (tail + 16) % 0x1000;
        }
        self.write(IQT, tail);
    }

    /// Pending fault records as `(source, reason)`, oldest first, as a driver's handler reads and clears them.
    fn take_faults(&mut self) -> Vec<(Bdf, u8)> {
        let count = self.vtd.config().fault_records.into();
        let mut index = self.read(FSTS) >> FRI_SHIFT & 0xff;
        let mut faults = Vec::new();
        while faults.len() < count {
            let at = FRCD + index * FRCD_LEN;
            let mut half = |offset| {
                self.vtd.read(&mut self.fabric.env(), &mut self.mem, offset, Width::B4).unwrap() as u32
            };
            let top = half(at + 12);
            if top >> 31 == 0 {
                break;
            }
            faults.push((Bdf(half(at + 8) as u16), top as u8));
            let mut env = self.fabric.env();
            self.vtd.write(&mut env, &mut self.mem, at + 12, Width::B4, 1 << 31).unwrap();
            index = (index + 1) % count as u64;
        }
        faults
    }

    fn interrupts(&mut self) -> Vec<Interrupt> {
        let interrupt = |signal| match signal {
            Signal::Interrupt(interrupt) => interrupt,
            other => panic!("{other:?}"),
        };
        self.fabric.take_signals().into_iter().map(interrupt).collect()
    }

    fn events(&mut self) -> Vec<TraceEvent> {
        self.fabric.records().into_iter().map(|record| record.event).collect()
    }

    fn records(&mut self) -> Vec<TraceRecord> {
        self.fabric.records()
    }
}
