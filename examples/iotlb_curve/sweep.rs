//! The sweep: random reads of 64 bytes over working sets that double, each in a machine of its own that has been warmed up, and
//! what two kinds of device make of the unit's latencies.

use emu_core::device::DmaFault;
use emu_core::mem::PhysMem;
use emu_core::testing::FakeFabric;
use emu_core::{Bdf, Gpa, Iova, VirtDuration, Width};
use emu_iommu::spec::register::{GCMD, RTADDR, SRTP, TE};
use emu_iommu::testing::{Rights, VtdTables};
use emu_iommu::{IommuConfig, Vtd};
use glassbox::scenario::BusTiming;
use std::fmt;

const DEVICE: Bdf = Bdf::new(0, 3, 0);
/// Bytes of a request: a descriptor or two, or the smallest frame.
const REQUEST: u64 = 64;
/// Requests that are measured, after as many turns over the IOTLB as fill it.
const REQUESTS: usize = 40_000;
const WARM_UP: usize = 20_000;
/// Where the device's addresses begin, and where memory for them does.
const BASE: u64 = 0x10_0000_0000;
const FRAMES: u64 = 16 << 20;
const RAM: u64 = 32 << 20;

/// How memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// 4 KiB.
    Small,
    /// 2 MiB.
    Large,
}

impl Page {
    pub(crate) const fn bytes(self) -> u64 {
        match self {
            Self::Small => 4 << 10,
            Self::Large => 2 << 20,
        }
    }

    /// Working sets from 4 KiB to 64 MiB; with large pages on to 1 GiB, past what 64 of them reach. The literature's
    /// windows are among them.
    fn working_sets(self) -> Vec<u64> {
        let last = match self {
            Self::Small => 64 << 20,
            Self::Large => 1 << 30,
        };
        let mut sets: Vec<u64> = (12..=30).map(|bit| 1 << bit).filter(|bytes| *bytes <= last).collect();
        sets.extend([3 << 19, 3 << 20]);
        sets.sort_unstable();
        sets
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Small => "4 KiB",
            Self::Large => "2 MiB",
        })
    }
}

/// What a device sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    /// Of one request, on average.
    pub(crate) latency_ns: f64,
    /// Of payload.
    pub(crate) gbits: f64,
}

/// One point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) page: Page,
    pub(crate) working_set: u64,
    pub(crate) hit_rate: f64,
    /// What the unit adds to a request, on average.
    pub(crate) translation_ns: f64,
    /// The machine's own card, on the scenario's PCI bus: a request is over before the next begins.
    pub(crate) card: Seen,
    /// [`Overlapping`].
    pub(crate) pcie: Seen,
}

/// A device that keeps many requests in flight, as the one that the published figures were measured with.
///
/// What is not the unit's is set to what that device showed with a warm IOTLB, on the machine of [`crate::published`]:
/// one request in 15.7 ns, 418 ns from request to answer. How many walks the hardware does at once is not
/// published; six fit its throughput where nearly all requests miss.
struct Overlapping {
    request: VirtDuration,
    rest: VirtDuration,
    walkers: [VirtDuration; 6],
    /// When each of the requests in flight ends.
    flights: [VirtDuration; 64],
    bus_free: VirtDuration,
    waited: VirtDuration,
    count: u64,
}

impl Overlapping {
    fn new() -> Self {
        Self {
            request: VirtDuration::from_ps(15_700),
            rest: VirtDuration::from_ns(418),
            walkers: [VirtDuration::ZERO; 6],
            flights: [VirtDuration::ZERO; 64],
            bus_free: VirtDuration::ZERO,
            waited: VirtDuration::ZERO,
            count: 0,
        }
    }

    /// A request whose translation takes this long; a miss keeps a walker for as long.
    fn ask(&mut self, translation: VirtDuration, miss: bool) {
        let slot = &mut self.flights[self.count as usize % 64];
        let begun = self.bus_free.max(*slot);
        self.bus_free = begun.plus(self.request);
        let mut translated = begun.plus(translation);
        if miss && let Some(walker) = self.walkers.iter_mut().min() {
            translated = begun.max(*walker).plus(translation);
            *walker = translated;
        }
        *slot = translated.plus(self.rest);
        // A request's own time, not what it waits behind others: that is what a device measures that sends one at a time.
        self.waited = self.waited.plus(translation).plus(self.rest);
        self.count += 1;
    }

    fn seen(&self) -> Seen {
        let end = self.flights.iter().copied().max().unwrap_or_default();
        seen(self.waited, end, self.count)
    }
}

fn seen(latencies: VirtDuration, took: VirtDuration, count: u64) -> Seen {
    let ns = |span: VirtDuration| span.0 as f64 / 1000.0;
    Seen { latency_ns: ns(latencies) / count as f64, gbits: (count * REQUEST * 8) as f64 / ns(took) }
}

/// Xorshift: the same addresses in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Every point.
pub(crate) fn run(config: &IommuConfig, bus: &BusTiming) -> Result<Vec<Point>, Failure> {
    let mut points = Vec::new();
    for page in [Page::Small, Page::Large] {
        for working_set in page.working_sets() {
            let mut rig = Rig::new(config, page, working_set)?;
            points.push(rig.measure(page, working_set, bus)?);
        }
    }
    Ok(points)
}

/// A unit, tables that map the working set, and memory behind them.
struct Rig {
    fabric: FakeFabric,
    mem: PhysMem,
    vtd: Vtd,
}

/// Whatever kept a point from being measured.
pub(crate) type Failure = Box<dyn std::error::Error>;

fn other(problem: impl fmt::Display) -> Failure {
    problem.to_string().into()
}

impl Rig {
    fn new(config: &IommuConfig, page: Page, working_set: u64) -> Result<Self, Failure> {
        let mut mem = PhysMem::new(RAM).map_err(other)?;
        let mut tables = VtdTables::new(&mut mem, Gpa(0x10_0000)).map_err(other)?;
        let levels = if config.address_bits == 39 { 3 } else { 4 };
        let domain = tables.domain(&mut mem, 1, levels).map_err(other)?;
        tables.context(&mut mem, DEVICE, domain.context()).map_err(other)?;
        let level = u8::from(page == Page::Large);
        for at in (0..working_set).step_by(page.bytes() as usize) {
            // Frames are used again: it is the addresses that there must be many of.
            let frame = Gpa(FRAMES + at % (RAM - FRAMES));
            tables.map(&mut mem, &domain, Iova(BASE + at), frame, level, Rights::Rw).map_err(other)?;
        }
        let mut fabric = FakeFabric::new(0);
        fabric.tracer = emu_core::trace::Tracer::default();
        let mut vtd = Vtd::new(config.clone()).map_err(other)?;
        let commands = [
            (RTADDR, Width::B8, tables.root().0),
            (GCMD, Width::B4, SRTP.into()),
            (GCMD, Width::B4, TE.into()),
        ];
        for (offset, width, value) in commands {
            vtd.write(&mut fabric.env(), &mut mem, offset, width, value)
                .map_err(|error| other(format!("{error:?}")))?;
        }
        Ok(Self { fabric, mem, vtd })
    }

    /// Reads at a random place: what the translation took.
    fn read(&mut self, random: &mut Random, working_set: u64) -> Result<VirtDuration, DmaFault> {
        let iova = Iova(BASE + random.below(working_set / REQUEST) * REQUEST);
        let found = self.vtd.translate(&mut self.fabric.env(), &mut self.mem, DEVICE, iova, false)?;
        let mut bytes = [0; REQUEST as usize];
        self.mem.read(found.gpa, &mut bytes).map_err(|_| DmaFault::NoMemory)?;
        Ok(found.latency)
    }

    fn measure(&mut self, page: Page, working_set: u64, bus: &BusTiming) -> Result<Point, Failure> {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let fault = |fault: DmaFault| other(format!("{fault:?}"));
        for _ in 0..WARM_UP {
            self.read(&mut random, working_set).map_err(fault)?;
        }
        let transfer = bus.dma_setup.0.plus(bus.dma_dword.0.times(REQUEST / 4));
        let (mut translations, mut device) = (VirtDuration::ZERO, Overlapping::new());
        let before = self.vtd.stats();
        for _ in 0..REQUESTS {
            let misses = self.vtd.stats().iotlb_misses;
            let latency = self.read(&mut random, working_set).map_err(fault)?;
            translations = translations.plus(latency);
            device.ask(latency, self.vtd.stats().iotlb_misses != misses);
        }
        let count = REQUESTS as u64;
        let took = translations.plus(transfer.times(count));
        Ok(Point {
            page,
            working_set,
            hit_rate: (self.vtd.stats().iotlb_hits - before.iotlb_hits) as f64 / count as f64,
            translation_ns: translations.0 as f64 / 1000.0 / count as f64,
            card: seen(took, took, count),
            pcie: device.seen(),
        })
    }
}
