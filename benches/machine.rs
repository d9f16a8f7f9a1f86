//! The machine: DMA through IOTLB hits and misses, and frames a second through the demo guest. Compare figures within one run
//! only.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a bench that can't go on fails")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emu_core::device::DmaFault;
use emu_core::mem::PhysMem;
use emu_core::testing::FakeFabric;
use emu_core::{Bdf, Gpa, Iova, Width};
use emu_iommu::testing::{Rights, VtdTables};
use emu_iommu::{IommuConfig, Vtd};
use emu_net::{Pacing, ReplayConfig};
use glassbox::machine::{Goal, Machine};
use glassbox::scenario::{Network, Scenario};
use glassbox::units::Span;
use std::hint::black_box;

const NIC: Bdf = Bdf::new(0, 2, 0);
const IOVA: u64 = 0x10_0000;
/// Far more pages than the IOTLB has entries.
const PAGES: u64 = 4096;

/// A VT-d unit that translates [`PAGES`] pages for the card.
fn unit(fabric: &mut FakeFabric, mem: &mut PhysMem) -> Vtd {
    const RTADDR: u64 = 0x20;
    const GCMD: u64 = 0x18;
    const SET_ROOT: u64 = 1 << 30;
    const ENABLE: u64 = 1 << 31;
    let mut tables = VtdTables::new(mem, Gpa(0x100_0000)).unwrap();
    let domain = tables.domain(mem, 1, 4).unwrap();
    tables.context(mem, NIC, domain.context()).unwrap();
    for page in 0..PAGES {
        tables.map(mem, &domain, Iova(IOVA + page * 4096), Gpa(page * 4096), 0, Rights::Rw).unwrap();
    }
    let mut vtd = Vtd::new(IommuConfig::default()).unwrap();
    for (register, width, value) in
        [(RTADDR, Width::B8, tables.root().0), (GCMD, Width::B4, SET_ROOT), (GCMD, Width::B4, ENABLE)]
    {
        vtd.write(&mut fabric.env(), mem, register, width, value).unwrap();
    }
    vtd
}

fn translation(criterion: &mut Criterion) {
    const REQUESTS: u64 = 10_000;
    let mut group = criterion.benchmark_group("dma");
    group.throughput(Throughput::Elements(REQUESTS)).sample_size(20);
    for (name, pages) in [("iotlb-hit", 8), ("iotlb-miss", PAGES)] {
        let mut fabric = FakeFabric::new(0);
        let mut mem = PhysMem::new(64 << 20).unwrap();
        let mut vtd = unit(&mut fabric, &mut mem);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                for request in 0..REQUESTS {
                    let iova = Iova(IOVA + request % pages * 4096);
                    let found = vtd.translate(&mut fabric.env(), &mut mem, NIC, iova, true);
                    match black_box(found) {
                        Ok(_) => {}
                        Err(DmaFault::BusMasterOff | DmaFault::Remapping(_) | DmaFault::NoMemory) => {
                            panic!("{iova}")
                        }
                    }
                }
                // The log of the fake fabric is not what is measured.
                drop(fabric.records());
            });
        });
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    const LOOPS: u32 = 200;
    let mut group = criterion.benchmark_group("frames");
    group.throughput(Throughput::Elements(41 * u64::from(LOOPS))).sample_size(10);
    group.bench_function("demo", |bencher| {
        bencher.iter(|| {
            let mut scenario = Scenario::load("demo").unwrap();
            if let Network::Replay { pacing, start, options, .. } = &mut scenario.network {
                *pacing = Pacing::FramesPerSecond(50_000);
                *start = Span(emu_core::VirtDuration::from_ms(20));
                *options = ReplayConfig { loops: LOOPS, ..ReplayConfig::default() };
            }
            let mut machine = Machine::new(scenario).unwrap();
            black_box(machine.run(&Goal::default()));
            assert_eq!(machine.counters().frames_in, 41 * u64::from(LOOPS));
        });
    });
    group.finish();
}

criterion_group!(benches, translation, frames);
criterion_main!(benches);
