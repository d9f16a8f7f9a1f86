//! A card assigned without a hypervisor: inside Debian, vfio-pci takes it from the kernel for a program of ours and gives it back. What
//! the program says, what the kernel says and what the trace says have to agree. Needs gcc and apt's packages; run by name,
//! `cargo test --test assignment -- --ignored`, as CI does. docs/assignment.md tells the story.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, finish};
use emu_core::trace::{Granularity, IommuCache, TraceEvent, TraceRecord};
use emu_core::{Bdf, Iova};
use glassbox::machine::{Machine, Stop};
use glassbox::scenario::{Guest, Scenario};
use std::ops::Range;
use std::path::Path;
use std::process::Command;

/// The card, as the board has it.
const CARD: Bdf = Bdf::new(0, 2, 0);

/// What the program chose; tests/programs/assign.c.
const RX_RING: u64 = 0x1000_0000;
const TX_RING: u64 = 0x1000_1000;
const RX_BUFFERS: u64 = 0x2000_0000;
const RX_BUFFERS_LEN: u64 = 8 * 4096;
const TX_BUFFER: u64 = 0x3000_0000;
const NOWHERE: u64 = 0x4000_0000;
/// Every address that the program uses lies here, and none of the kernel's does: it counts down from 4 GiB.
const CHOSEN: Range<u64> = RX_RING..NOWHERE + 4096;

/// Fault reasons: no write permission, no read permission.
const WRITE: u8 = 5;
const READ: u8 = 6;

/// Levels of [`TraceEvent::WalkStep`].
const LEVEL_CONTEXT: u8 = 5;
const LEVEL_PAGES: u8 = 0;

/// Boots the scenario with the program compiled afresh.
fn assign(change: impl FnOnce(&mut Scenario)) -> Outcome {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::TempDir::new().unwrap();
    let program = folder.path().join("assign");
    let compiled = Command::new("gcc")
        .args(["-O2", "-static", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(root.join("tests/programs/assign.c"))
        .status();
    assert!(compiled.unwrap().success());
    let scenario = root.join("traces/debian-assign.ron");
    let mut scenario = Scenario::load(scenario.to_str().unwrap()).unwrap();
    let Guest::Debian { files, .. } = &mut scenario.guest else { panic!("the scenario has another guest") };
    files.insert("bin/assign".to_owned(), program);
    change(&mut scenario);
    scenario.prepare(|_| ()).unwrap();
    finish(Machine::new(scenario).unwrap())
}

/// A trace, read from one place to the next.
struct Reader<'a> {
    outcome: &'a Outcome,
    at: usize,
}

impl<'a> Reader<'a> {
    /// The next record that passes `test`, which there must be. What was passed over comes with it.
    fn next(
        &mut self,
        what: &str,
        test: impl Fn(&TraceEvent) -> bool,
    ) -> (&'a TraceRecord, &'a [TraceRecord]) {
        let rest = &self.outcome.records[self.at..];
        let skipped = rest.iter().position(|record| test(&record.event));
        let skipped = skipped.unwrap_or_else(|| panic!("after record {} comes no {what}", self.at));
        self.at += skipped + 1;
        (&rest[skipped], &rest[..skipped])
    }

    /// The next context entry that the unit reads for the card: its domain and its paging tables.
    fn context(&mut self) -> (u16, u64) {
        let (record, _) = self.next("context entry", |event| {
            matches!(event, TraceEvent::WalkStep { bdf: CARD, level: LEVEL_CONTEXT, .. })
        });
        let TraceEvent::WalkStep { entry, .. } = record.event else { panic!() };
        assert_eq!(entry[0] & 1, 1, "present");
        ((entry[1] >> 8) as u16, entry[0] & !0xfff)
    }

    /// The card leaves a domain: first its context entry is forgotten, then all that the domain has in the IOTLB.
    fn leaves(&mut self, domain: u16) -> u32 {
        self.next("context invalidation", |event| {
            let what = Granularity::Device { domain, source: CARD, mask: 0 };
            matches!(event, TraceEvent::Invalidate { cache: IommuCache::Context, what: w, .. } if *w == what)
        });
        let (record, _) = self.next("IOTLB invalidation of the domain", |event| {
            let what = Granularity::Domain(domain);
            matches!(event, TraceEvent::Invalidate { cache: IommuCache::Iotlb, what: w, .. } if *w == what)
        });
        let TraceEvent::Invalidate { dropped, .. } = record.event else { panic!() };
        dropped
    }

    fn fault(&mut self, address: u64, reason: u8) -> &'a [TraceRecord] {
        let (record, before) = self.next("fault", |event| matches!(event, TraceEvent::RemapFault { .. }));
        let TraceEvent::RemapFault { bdf, address: at, reason: why, write, recorded } = record.event else {
            panic!()
        };
        assert_eq!((bdf, at & !0xfff, why, write, recorded), (CARD, address, reason, reason == WRITE, true));
        before
    }

    /// UNMAP_DMA of so many pages has reached the IOTLB, which had translations of them.
    fn unmapped(&mut self, domain: u16, start: u64, pages: u64) {
        let (record, _) = self.next("IOTLB invalidation of those pages", |event| {
            matches!(event, TraceEvent::Invalidate { what: Granularity::Pages { iova, .. }, .. } if iova.0 == start)
        });
        let TraceEvent::Invalidate { what, dropped, .. } = record.event else { panic!() };
        let mask = pages.trailing_zeros() as u8;
        assert!(
            matches!(what, Granularity::Pages { domain: d, mask: m, .. } if (d, m) == (domain, mask)),
            "{what:?}"
        );
        assert!(dropped > 0, "{start:#x} was in use");
    }
}

/// Addresses that the IOTLB was asked for, successfully.
fn answered(records: &[TraceRecord]) -> impl Iterator<Item = u64> {
    records.iter().filter_map(|record| match record.event {
        TraceEvent::IotlbHit { iova, .. } | TraceEvent::IotlbInsert { iova, .. } => Some(iova.0),
        TraceEvent::DmaRead { iova, .. } | TraceEvent::DmaWrite { iova, .. } => Some(iova.0),
        _ => None,
    })
}

/// The trace tells the whole story in order: the kernel's domain, the program's with its mappings, four refusals, and the kernel's
/// again.
fn check_trace(outcome: &Outcome) {
    let mut trace = Reader { outcome, at: 0 };
    let (kernels, kernels_tables) = trace.context();
    trace.leaves(kernels);
    let attached = trace.at;
    let (program, tables) = trace.context();
    assert_ne!(tables, kernels_tables, "a domain of the program's own");

    trace.fault(RX_BUFFERS + RX_BUFFERS_LEN, WRITE);
    trace.fault(NOWHERE, READ);
    trace.unmapped(program, TX_RING, 1);
    trace.fault(TX_RING, WRITE);
    trace.unmapped(program, TX_RING, 1);
    trace.unmapped(program, TX_BUFFER, 1);
    let since = trace.fault(TX_BUFFER, READ);
    assert!(
        answered(since).all(|iova| iova & !0xfff != TX_BUFFER),
        "the mapping is gone and answers nothing"
    );
    trace.unmapped(program, RX_BUFFERS, 8);
    assert!(trace.leaves(program) > 0, "the rings were still mapped when the container was closed");
    let detached = trace.at;
    let (_, tables_after) = trace.context();
    assert_ne!(tables_after, tables);

    let (mine, after) = outcome.records[attached..].split_at(detached - attached);
    assert!(answered(mine).all(|iova| CHOSEN.contains(&iova)), "the card uses what the program chose alone");
    assert!(
        answered(after).all(|iova| !CHOSEN.contains(&iova)),
        "nothing of the program's answers after detach"
    );
    assert!(answered(after).count() > 100, "the kernel's driver works again");
    check_mappings(mine);
    check_refused(mine);
}

/// The leaves that the unit read carry the permissions that the program asked for.
fn check_mappings(records: &[TraceRecord]) {
    let permissions = |at: u64| {
        let mut insert = records.iter().filter_map(|record| match record.event {
            TraceEvent::WalkStep { level: LEVEL_PAGES, entry, .. } => Some((record.id, entry[0] & 3)),
            _ => None,
        });
        let first = records
            .iter()
            .find(|record| matches!(record.event, TraceEvent::IotlbInsert { iova, .. } if iova == Iova(at)));
        let first = first.unwrap_or_else(|| panic!("{at:#x} was never translated"));
        insert.rfind(|(id, _)| *id < first.id).unwrap().1
    };
    assert_eq!(permissions(RX_RING), 3);
    assert_eq!(permissions(TX_RING), 3);
    assert_eq!(permissions(RX_BUFFERS), 3);
    assert_eq!(permissions(TX_BUFFER), 1, "the card may read what it sends, not write it");
}

/// A fault is followed by the refusal of the very DMA, and none of those addresses was ever reached.
fn check_refused(records: &[TraceRecord]) {
    let wild = [RX_BUFFERS + RX_BUFFERS_LEN, NOWHERE];
    assert!(answered(records).all(|iova| !wild.contains(&(iova & !0xfff))));
    let refused =
        records.iter().filter(|record| matches!(record.event, TraceEvent::DmaBlocked { reason: 1.., .. }));
    assert_eq!(refused.count(), 4);
}

/// The program's own word, the kernel's, and what the scenario expects: every request answered, by the one or by the other.
fn check(outcome: &Outcome) {
    assert_eq!(outcome.stop, Stop::PowerOff { code: 0 }, "{}", outcome.serial);
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    for line in [
        "assign: 0000:00:02.0 goes from e1000 to vfio-pci",
        "assign: interrupts by INTx",
        "assign: interrupts by MSI",
        "assign: a frame received behind the buffers: refused, no byte of memory changed",
        "assign: a frame sent from where nothing is mapped: refused, no byte of memory changed",
        "assign: a descriptor written back to a read-only page: refused, no byte of memory changed",
        "assign: a frame sent from a page that was unmapped: refused, no byte of memory changed",
        "assign: 0000:00:02.0 goes from vfio-pci to e1000",
        "glassbox: /bin/assign ended with 0",
        "glassbox: eth0 received 14 frames, 1301 bytes, 0 errors, 0 dropped",
    ] {
        assert!(outcome.serial.contains(line), "`{line}` is missing:\n{}", outcome.serial);
    }
}

#[test]
#[ignore = "boots Debian"]
fn a_program_drives_the_card_through_vfio_and_gives_it_back() {
    let outcome = assign(|_| ());
    check(&outcome);
    check_trace(&outcome);
}

#[test]
#[ignore = "boots Debian"]
fn without_intx_masking_the_kernel_masks_the_interrupt_itself() {
    let with_disable = |outcome: &Outcome| {
        outcome
            .events(|event| {
                matches!(event, TraceEvent::PciWrite { bdf: CARD, offset: 4, value, .. } if value & 0x400 != 0)
            })
            .len()
    };
    let outcome = assign(|scenario| {
        scenario.nic.intx_masking = false;
        scenario.append += " iommu.strict=1";
    });
    check(&outcome);
    check_trace(&outcome);
    let masked = outcome.events(
        |event| matches!(event, TraceEvent::MmioWrite { offset: 0x10, value, .. } if value & 1 << 16 != 0),
    );
    assert!(!masked.is_empty(), "the I/O APIC's entry is masked instead");
    assert!(with_disable(&outcome) > 0, "the kernel tries whether the bit is there");
}
