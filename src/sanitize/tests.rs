//! A rig of unit, memory and trace without a machine: each kind of finding by what it is found from, and its absence when the
//! driver does what it should.

use super::entry::{IRT, Place};
use super::*;
use crate::view::symbols::Symbols;
use emu_core::device::{Env, SignalQueue};
use emu_core::trace::{Ring, Tracer};
use emu_core::{EventQueue, Width};
use emu_iommu::IommuConfig;
use emu_iommu::testing::{Domain, Rights, VtdTables, from_source, irte, remappable};

const NIC: Bdf = Bdf(0x10);
const IOVA: Iova = Iova(0x7000);
const OLD: Gpa = Gpa(0x30_0000);
const NEW: Gpa = Gpa(0x31_0000);
const DOMAIN: u16 = 3;
/// Where the drivers of these tests have their code.
const RIP: u64 = 0xffff_ffff_8123_4567;
/// Register offsets (VT-d specification, 11.4).
const GCMD: u64 = 0x18;
const RTADDR: u64 = 0x20;
const CCMD: u64 = 0x28;
const IRTA: u64 = 0xb8;
const CAP: u64 = 0x08;
const ECAP: u64 = 0x10;

struct Rig {
    vtd: Vtd,
    mem: PhysMem,
    tracer: Tracer,
    events: EventQueue,
    signals: SignalQueue,
    sanitizer: Sanitizer,
    tables: VtdTables,
    domain: Domain,
    now: u64,
}

impl Rig {
    /// A unit with one device in a domain that maps a page for writing; translation is on, all caches are invalidated.
    fn new() -> Self {
        let mut mem = PhysMem::new(16 << 20).unwrap();
        let mut tables = VtdTables::new(&mut mem, Gpa(0x10_0000)).unwrap();
        let domain = tables.domain(&mut mem, DOMAIN, 4).unwrap();
        tables.context(&mut mem, NIC, domain.context()).unwrap();
        tables.map(&mut mem, &domain, IOVA, OLD, 0, Rights::W).unwrap();
        let vtd = Vtd::new(IommuConfig::default()).unwrap();
        let sanitizer = Sanitizer::new(0, &vtd, &mut mem, BTreeSet::new());
        let (events, signals) = (EventQueue::default(), SignalQueue::default());
        let mut rig =
            Self { vtd, mem, tracer: Tracer::default(), events, signals, sanitizer, tables, domain, now: 0 };
        rig.tracer.listen();
        let root = rig.tables.root().0;
        rig.register(RTADDR, Width::B8, root);
        rig.register(GCMD, Width::B4, 1 << 30);
        rig.invalidate_contexts();
        rig.invalidate_iotlb(1, 0);
        rig.register(GCMD, Width::B4, 1 << 31);
        rig
    }

    fn at(&self) -> Moment {
        let (record, time, insns) = self.tracer.moment();
        Moment { record, time, insns }
    }

    /// The unit works, and the sanitizer hears of it.
    fn with<R>(&mut self, work: impl FnOnce(&mut Vtd, &mut Env<'_>, &mut PhysMem) -> R) -> R {
        self.now += 1_000_000;
        self.tracer.at(VirtTime(self.now), self.now / 1000);
        let Self { vtd, mem, tracer, events, signals, .. } = self;
        let mut env = Env { now: VirtTime(self.now), events, signals, tracer };
        let result = work(vtd, &mut env, mem);
        // Invalidations take time: the driver waits for them.
        while let Some((when, event)) = events.pop_due(VirtTime::NEVER) {
            self.now = self.now.max(when.0);
            tracer.at(VirtTime(self.now), self.now / 1000);
            let mut env = Env { now: VirtTime(self.now), events, signals, tracer };
            vtd.on_event(&mut env, mem, event.token);
        }
        self.hear(Actor::Unit);
        result
    }

    fn hear(&mut self, actor: Actor) {
        let by = Writer { actor, at: self.at(), cause: None };
        self.sanitizer.wrote(&mut self.mem, by);
        self.sanitizer.hear(self.tracer.take_heard(), &self.vtd, &mut self.mem);
    }

    fn register(&mut self, offset: u64, width: Width, value: u64) {
        self.with(|vtd, env, mem| {
            env.trace(Slot::Iommu(0), TraceEvent::MmioWrite { offset, width, value });
            vtd.write(env, mem, offset, width, value).unwrap();
        });
    }

    fn invalidate_contexts(&mut self) {
        self.register(CCMD, Width::B8, 1 << 63 | 1 << 61);
    }

    /// By granularity and domain.
    fn invalidate_iotlb(&mut self, granularity: u64, domain: u16) {
        let ecap = self.with(|vtd, env, mem| vtd.read(env, mem, ECAP, Width::B8).unwrap());
        let iotlb = (ecap >> 8 & 0x3ff) * 16 + 8;
        self.register(iotlb, Width::B8, 1 << 63 | granularity << 60 | u64::from(domain) << 32);
    }

    /// The driver works on memory.
    fn driver<R>(&mut self, work: impl FnOnce(&mut VtdTables, &mut PhysMem, &Domain) -> R) -> R {
        let result = work(&mut self.tables, &mut self.mem, &self.domain);
        self.hear(Actor::Cpu { rip: RIP });
        result
    }

    fn map(&mut self, to: Gpa, rights: Rights) {
        self.driver(|tables, mem, domain| tables.map(mem, domain, IOVA, to, 0, rights).unwrap());
    }

    fn unmap(&mut self) {
        self.driver(|tables, mem, domain| tables.unmap(mem, domain, IOVA).unwrap());
    }

    /// The device reads or writes a page; where it landed.
    fn dma(&mut self, iova: Iova, write: bool) -> Option<Gpa> {
        let answer = self.with(|vtd, env, mem| vtd.translate(env, mem, NIC, iova, write)).ok();
        let answer = answer.map(|found| found.gpa);
        let used = Use { bdf: NIC, iova, write, answer, at: self.at() };
        self.sanitizer.dma(&self.vtd, &self.mem, used);
        answer
    }

    fn interrupt(&mut self, index: u16) {
        self.with(|vtd, env, mem| vtd.remap(env, mem, NIC, remappable(index)));
    }

    fn interrupts_on(&mut self, entry: [u64; 2]) -> Gpa {
        let table = self.driver(|tables, mem, _| {
            let table = tables.interrupt_table(mem, 0).unwrap();
            write_entry(mem, table, entry);
            table
        });
        self.register(IRTA, Width::B8, table.0 | 7);
        self.register(GCMD, Width::B4, 1 << 31 | 1 << 24);
        // A unit without a queue has no way to ask for it; the board's drivers have one. Here it is told.
        self.with(|_, env, _| {
            let what = Granularity::Global;
            env.trace(
                Slot::Iommu(0),
                TraceEvent::Invalidate { cache: IommuCache::InterruptEntry, what, dropped: 0 },
            );
        });
        self.register(GCMD, Width::B4, 1 << 31 | 1 << 25);
        table
    }

    /// Kinds and severities of what was found by the end.
    fn end(mut self) -> Vec<(Kind, Severity)> {
        let at = self.at();
        self.sanitizer.finish(&self.vtd, &self.mem, at);
        for finding in self.sanitizer.findings().all() {
            let (text, json) = (finding.to_text(&Symbols::default()), finding.to_json(&Symbols::default()));
            assert!(text.contains(finding.kind.name()) && json["mend"].is_string(), "{text}");
        }
        self.sanitizer.findings().all().iter().map(|finding| (finding.kind, finding.severity)).collect()
    }
}

fn write_entry(mem: &mut PhysMem, at: Gpa, entry: [u64; 2]) {
    mem.write_u64(at.plus(8), entry[1]).unwrap();
    mem.write_u64(at, entry[0]).unwrap();
}

#[test]
fn a_driver_that_does_everything_right_has_no_finding() {
    let mut rig = Rig::new();
    assert_eq!(rig.dma(IOVA, true), Some(OLD));
    rig.unmap();
    rig.invalidate_iotlb(2, DOMAIN);
    assert_eq!(rig.dma(IOVA, true), None);
    rig.map(NEW, Rights::W);
    assert_eq!(rig.dma(IOVA, true), Some(NEW));
    // What was unmapped and invalidated may be used for anything.
    rig.driver(|_, mem, _| mem.write_u64(OLD, 1).unwrap());
    assert_eq!(rig.end(), []);
}

#[test]
fn a_stale_translation_that_is_used_is_an_error_by_whom_changed_the_entry() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.map(NEW, Rights::W);
    assert_eq!(rig.dma(IOVA, true), Some(OLD), "the unit has to be stale for this test");
    rig.invalidate_iotlb(2, DOMAIN);
    let all = rig.sanitizer.findings().all();
    let [finding] = all[..] else { panic!("{all:?}") };
    assert_eq!(finding.writer.unwrap().actor, Actor::Cpu { rip: RIP });
    assert!(finding.what.contains("0x300000") && finding.what.contains("0x310000"), "{}", finding.what);
    assert!(!finding.chain.is_empty());
    assert_eq!(rig.end(), [(Kind::StaleIotlb, Severity::Error)]);
}

#[test]
fn use_between_unmapping_and_invalidation_is_a_window() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.unmap();
    assert_eq!(rig.dma(IOVA, true), Some(OLD));
    rig.invalidate_iotlb(2, DOMAIN);
    assert_eq!(rig.end(), [(Kind::StaleIotlb, Severity::Window)]);
}

#[test]
fn an_unmapping_that_is_never_invalidated_is_an_error_if_it_is_used() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.unmap();
    rig.dma(IOVA, true);
    rig.now += 30_000_000_000;
    rig.with(|_, _, _| ());
    assert_eq!(rig.end(), [(Kind::StaleIotlb, Severity::Error)]);
}

#[test]
fn a_page_that_is_used_anew_before_the_invalidation_is_reported() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.unmap();
    rig.driver(|_, mem, _| mem.write_u64(OLD.plus(64), 1).unwrap());
    rig.invalidate_iotlb(2, DOMAIN);
    assert_eq!(rig.end(), [(Kind::ReusedPage, Severity::Window)]);
}

#[test]
fn an_entry_that_hardware_might_have_kept_needs_its_invalidation_even_if_this_unit_did_not() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    // The unit's IOTLB makes room by itself: the same set is filled with other pages.
    for page in 1..=256u64 {
        rig.driver(|tables, mem, domain| {
            tables.map(mem, domain, Iova(IOVA.0 + page * 0x1000), NEW, 0, Rights::W).unwrap();
        });
        rig.dma(Iova(IOVA.0 + page * 0x1000), true);
    }
    rig.map(NEW, Rights::W);
    assert_eq!(rig.dma(IOVA, true), Some(NEW), "the unit must have forgotten it for this test");
    assert_eq!(rig.end(), [(Kind::MissingInvalidation, Severity::Error)]);
}

#[test]
fn a_changed_entry_that_is_not_used_any_more_still_needs_its_invalidation() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.map(NEW, Rights::W);
    assert_eq!(rig.end(), [(Kind::MissingInvalidation, Severity::Error)]);
}

#[test]
fn a_stale_context_entry_is_found_and_so_is_a_device_that_still_masters_the_bus() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.driver(|tables, mem, _| tables.context(mem, NIC, [0, 0]).unwrap());
    assert_eq!(rig.dma(IOVA, true), Some(OLD));
    rig.invalidate_contexts();
    rig.invalidate_iotlb(2, DOMAIN);
    let at = rig.at();
    rig.sanitizer.look_at_devices(at, |bdf| bdf == NIC);
    assert_eq!(
        rig.end(),
        [(Kind::BusMasterAfterDetach, Severity::Error), (Kind::StaleContext, Severity::Window)]
    );
}

#[test]
fn a_device_that_is_silent_before_it_is_detached_is_no_finding() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    rig.driver(|tables, mem, _| tables.context(mem, NIC, [0, 0]).unwrap());
    rig.invalidate_contexts();
    rig.invalidate_iotlb(2, DOMAIN);
    let at = rig.at();
    rig.sanitizer.look_at_devices(at, |_| false);
    assert_eq!(rig.end(), []);
}

#[test]
fn a_mapping_with_more_rights_than_the_device_was_asked_for_is_noted() {
    let mut rig = Rig::new();
    rig.map(OLD, Rights::Rw);
    rig.with(|_, env, _| {
        env.trace(Slot::Iommu(0), TraceEvent::DmaRead { bdf: NIC, iova: Iova(0x9000), gpa: OLD, len: 16 });
        let raw = [IOVA.0, 0];
        env.trace(Slot::Nic(0), TraceEvent::DescFetch { ring: Ring::Rx, index: 0, iova: Iova(0x9000), raw });
    });
    rig.dma(IOVA, true);
    assert_eq!(rig.end(), [(Kind::WideMapping, Severity::Note)]);
}

#[test]
fn a_large_page_for_a_small_buffer_is_noted() {
    let mut rig = Rig::new();
    let large = Iova(0x4020_0000);
    rig.driver(|tables, mem, domain| tables.map(mem, domain, large, Gpa(0x40_0000), 1, Rights::Rw).unwrap());
    assert!(rig.dma(large, true).is_some());
    assert_eq!(rig.end(), [(Kind::WideMapping, Severity::Note)]);
}

#[test]
fn a_mapping_that_reaches_the_tables_is_an_error() {
    let mut rig = Rig::new();
    let root = rig.tables.root();
    rig.map(root, Rights::W);
    assert_eq!(rig.dma(IOVA, true), Some(root));
    let found = rig.end();
    assert!(
        found.iter().all(|found| *found == (Kind::ReusedPage, Severity::Error)) && !found.is_empty(),
        "{found:?}"
    );
}

#[test]
fn an_interrupt_entry_without_source_validation_is_reported() {
    let mut rig = Rig::new();
    rig.interrupts_on(irte(0x50, 0));
    rig.interrupt(0);
    assert_eq!(rig.end(), [(Kind::UnverifiedInterrupt, Severity::Error)]);
}

#[test]
fn a_stale_interrupt_entry_is_reported() {
    let mut rig = Rig::new();
    let entry = [irte(0x50, 0)[0], from_source(NIC)];
    let table = rig.interrupts_on(entry);
    rig.interrupt(0);
    rig.driver(|_, mem, _| write_entry(mem, table, [irte(0x51, 0)[0], from_source(NIC)]));
    rig.interrupt(0);
    assert_eq!(rig.end(), [(Kind::StaleInterrupt, Severity::Error)]);
}

#[test]
fn a_root_table_that_is_taken_over_without_invalidation_is_reported() {
    let mut rig = Rig::new();
    rig.dma(IOVA, true);
    let mut other = VtdTables::new(&mut rig.mem, Gpa(0x80_0000)).unwrap();
    let domain = rig.domain;
    other.context(&mut rig.mem, NIC, domain.context()).unwrap();
    rig.register(RTADDR, Width::B8, other.root().0);
    rig.register(GCMD, Width::B4, 1 << 31 | 1 << 30);
    let cap = rig.with(|vtd, env, mem| vtd.read(env, mem, CAP, Width::B8).unwrap());
    assert_eq!(cap >> 63, 0, "a unit that invalidates by itself is another test");
    rig.dma(IOVA, true);
    assert_eq!(rig.end(), [(Kind::MissingInvalidation, Severity::Error)]);
}

#[test]
fn a_fault_is_explained_by_the_entry_that_refused_and_by_who_wrote_it() {
    let mut rig = Rig::new();
    rig.map(OLD, Rights::R);
    assert_eq!(rig.dma(IOVA, true), None);
    let [fault] = rig.sanitizer.faults() else { panic!("{:?}", rig.sanitizer.faults()) };
    assert_eq!(
        fault.linux(),
        "DMAR: [DMA Write NO_PASID] Request device [00:02.0] fault addr 0x7000 [fault reason 0x05] PTE Write \
         access is not set"
    );
    assert_eq!(fault.steps.last().unwrap().writer.unwrap().actor, Actor::Cpu { rip: RIP });
    assert!(fault.stale.is_empty());
    let text = fault.to_text(&Symbols::default());
    assert!(
        text.contains("written by code at 0xffffffff81234567") && text.contains("lacks that right"),
        "{text}"
    );
}

#[test]
fn a_fault_that_only_a_stale_cache_caused_says_so() {
    let mut rig = Rig::new();
    rig.map(OLD, Rights::R);
    rig.dma(IOVA, false);
    rig.map(OLD, Rights::Rw);
    assert_eq!(rig.dma(IOVA, true), None);
    let [fault] = rig.sanitizer.faults() else { panic!("{:?}", rig.sanitizer.faults()) };
    assert_eq!(fault.stale, [IommuCache::Iotlb]);
    assert!(fault.mend().contains("invalidate"), "{}", fault.mend());
    assert_eq!(rig.end(), [(Kind::StaleIotlb, Severity::Error)]);
}

#[test]
fn places_follow_the_tables() {
    let root = Place::top(entry::ROOT).of_entry(16 * 3);
    assert_eq!(root.source, Some(Bdf(0x300)));
    let context = Place { level: entry::CONTEXT, ..root }.of_entry(16 * 0x10);
    assert_eq!(context.source, Some(Bdf(0x310)));
    let upper = Place::top(entry::SCALABLE_ROOT).of_entry(8 * 3);
    assert_eq!(upper.source, Some(Bdf(0x180)));
    let page = Place { level: 1, iova: Iova(1 << 30), ..Place::top(1) }.of_entry(8 * 2);
    assert_eq!(page.iova, Iova((1 << 30) + (2 << 21)));
    assert_eq!(Place::top(IRT).of_entry(16 * 5).iova, Iova(5));
}
