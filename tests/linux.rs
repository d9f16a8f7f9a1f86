//! Debian's own kernels on the whole machine. The packages come from the host's apt, and a boot takes a while: run by name,
//! `cargo test --test linux -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::{Outcome, finish};
use emu_core::trace::{Granularity, IommuCache, TraceEvent};
use emu_iommu::{IommuConfig, PagingCacheConfig, ScalableConfig};
use emu_net::matching;
use emu_net::read_capture;
use glassbox::firmware::LinuxBoot;
use glassbox::guests::Flavour;
use glassbox::machine::{Machine, Stop};
use glassbox::scenario::{Guest, Scenario};
use std::collections::BTreeMap;

const REQUESTS: &[u8] = include_bytes!("../traces/demo-requests.pcap");
/// The guest's address.
const GUEST: [u8; 4] = [192, 0, 2, 2];

/// Boots a scenario of the Debian guest, with more on its command line.
fn boot(name: &str, append: &str, change: impl FnOnce(&mut Scenario)) -> Outcome {
    let mut scenario = Scenario::load(name).unwrap();
    scenario.append = format!("{} {append}", scenario.append);
    change(&mut scenario);
    scenario.prepare(|_| ()).unwrap();
    finish(Machine::new(scenario).unwrap())
}

/// Words that a healthy kernel does not say, and those among what it does say that contain them.
const ALARMS: [&str; 14] = [
    "WARNING",
    "BUG",
    "Oops",
    "Call Trace",
    "unchecked MSR",
    "unstable",
    "hung",
    "lockup",
    "spurious",
    "nobody cared",
    "fault",
    "stall",
    "panic",
    "rror",
];
const HARMLESS: [&str; 4] = ["report a bug", "This is not a bug", "0 errors", "efault"];

fn check_log(outcome: &Outcome) {
    for line in outcome.serial.lines() {
        let plain = HARMLESS.iter().fold(line.to_owned(), |line, words| line.replace(words, ""));
        let alarm = ALARMS.iter().find(|word| plain.contains(*word));
        assert!(alarm.is_none(), "the kernel says: {line}");
    }
    for words in ["glassbox: ready", "reboot: Power down"] {
        assert!(outcome.serial.contains(words), "the log does not say `{words}`:\n{}", outcome.serial);
    }
}

/// The number in front of ` frames` in the line that starts so.
fn frames(outcome: &Outcome, start: &str) -> u64 {
    let line = outcome.serial.lines().find_map(|line| line.strip_prefix(start)).unwrap();
    line.trim().split(' ').next().unwrap().parse().unwrap()
}

/// A clean log, a clean end, every request answered, and the guest's counters are the machine's.
fn check(outcome: &Outcome) {
    assert_eq!(outcome.stop, Stop::PowerOff { code: 0 }, "{}", outcome.serial);
    assert!(outcome.broken.is_empty(), "{:?}\n{}", outcome.broken, outcome.serial);
    check_log(outcome);
    assert_eq!(frames(outcome, "glassbox: eth0 received "), outcome.summary.frames_delivered);
    assert_eq!(frames(outcome, "glassbox: eth0 sent "), outcome.summary.frames_out);
    let requests = read_capture("demo-requests.pcap", REQUESTS).unwrap();
    let replies = read_capture("sent.pcapng", &outcome.capture).unwrap();
    let mut asked = 0;
    for request in requests.frames.iter().filter_map(|frame| matching::request(&frame.bytes, GUEST)) {
        asked += 1;
        assert!(replies.frames.iter().any(|reply| request.is_answered_by(&reply.bytes)), "{request:?}");
    }
    assert!(asked > 30, "the capture asks {asked} times");
}

fn count(outcome: &Outcome, test: impl Fn(&TraceEvent) -> bool) -> usize {
    outcome.events(test).len()
}

fn interrupt_entries(outcome: &Outcome) -> usize {
    count(outcome, |event| matches!(event, TraceEvent::IrteLookup { .. }))
}

fn iotlb_invalidations(outcome: &Outcome) -> usize {
    count(outcome, |event| matches!(event, TraceEvent::Invalidate { cache: IommuCache::Iotlb, .. }))
}

#[test]
#[ignore = "boots Debian"]
fn debian_drives_the_card_behind_the_iommu_and_answers() {
    let outcome = boot("debian", "", |_| ());
    check(&outcome);
    for words in [
        "DMAR: Intel(R) Virtualization Technology for Directed I/O",
        "DMAR-IR: Enabled IRQ remapping in x2apic mode",
        "clocksource: Switched to clocksource tsc",
        "e1000: eth0 NIC Link is Up 1000 Mbps Full Duplex",
    ] {
        assert!(outcome.serial.contains(words), "the log does not say `{words}`");
    }
}

#[test]
#[ignore = "boots Debian"]
fn what_the_iommu_is_told_to_do_is_what_it_does() {
    let lazy = boot("debian", "", |_| ());
    let strict = boot("debian", "intel_iommu=strict iommu.strict=1", |_| ());
    let pass = boot("debian", "iommu=pt", |_| ());
    let unmapped = boot("debian", "intremap=off", |_| ());
    for outcome in [&lazy, &strict, &pass, &unmapped] {
        check(outcome);
    }
    // A strict domain invalidates at every unmapping, a lazy one collects them.
    assert!(iotlb_invalidations(&strict) > iotlb_invalidations(&lazy) + 30);
    assert!(lazy.summary.iotlb_misses > 0 && strict.summary.iotlb_misses > 0);
    // Pass-through domains are looked up, and their addresses are not translated.
    assert_eq!((pass.summary.iotlb_hits, pass.summary.iotlb_misses), (0, 0));
    assert!(count(&pass, |event| matches!(event, TraceEvent::ContextLookup { .. })) > 0);
    // Without remapping no message is looked up; the others' all are.
    assert_eq!(interrupt_entries(&unmapped), 0);
    assert!([&lazy, &strict, &pass].iter().all(|outcome| interrupt_entries(outcome) > 50));
}

/// PGTT of the PASID table entries that were read.
fn translation_types(outcome: &Outcome) -> Vec<u64> {
    const PASID_TABLE: u8 = 7;
    let kind = |event: &TraceEvent| match event {
        TraceEvent::WalkStep { level: PASID_TABLE, entry, .. } => Some(entry[0] >> 6 & 7),
        _ => None,
    };
    outcome.events(|event| kind(event).is_some()).iter().filter_map(|record| kind(&record.event)).collect()
}

#[test]
#[ignore = "boots Debian"]
fn scalable_mode_is_used_by_first_stage_second_stage_and_pass_through() {
    let paging_caches = PagingCacheConfig { pml4: 4, pdpt: 4, pd: 8, ..PagingCacheConfig::default() };
    let all = ScalableConfig::default();
    let only_second = ScalableConfig { first_stage: false, nested: false, ..all };
    for (append, scalable, kind) in [("", all, 1), ("", only_second, 2), ("iommu=pt", all, 4)] {
        let append = format!("intel_iommu=sm_on {append}");
        let outcome = boot("debian", &append, |scenario| {
            let scalable = Some(scalable);
            scenario.iommu = Some(IommuConfig { scalable, paging_caches, ..IommuConfig::default() });
        });
        check(&outcome);
        assert!(outcome.serial.contains("DMAR: Enable scalable mode if hardware supports"));
        let kinds = translation_types(&outcome);
        assert!(!kinds.is_empty() && kinds.iter().all(|found| *found == kind), "{kinds:?}");
        // The kernel invalidates a first stage by PASID.
        let by_pasid = |event: &TraceEvent| {
            matches!(
                event,
                TraceEvent::Invalidate {
                    cache: IommuCache::Iotlb,
                    what: Granularity::Pasid { .. } | Granularity::PasidPages { .. },
                    ..
                }
            )
        };
        assert_eq!(count(&outcome, by_pasid) > 0, kind == 1);
        let shortened = count(&outcome, |event| matches!(event, TraceEvent::PagingHit { .. }));
        assert_eq!(shortened > 0, kind != 4);
    }
}

#[test]
#[ignore = "boots Debian"]
fn it_works_without_apic_and_without_messages() {
    let old = boot("debian", "nosmp noapic nolapic", |_| ());
    check(&old);
    assert_eq!(count(&old, |event| matches!(event, TraceEvent::LapicAccept { .. })), 0);
    check(&boot("debian", "pci=nomsi", |_| ()));
}

#[test]
#[ignore = "boots Debian"]
fn the_same_boot_is_the_same_boot() {
    let (one, two) = (boot("debian", "", |_| ()), boot("debian", "", |_| ()));
    assert_eq!(one.summary, two.summary);
    assert_eq!(one.serial, two.serial);
    assert!(one.records == two.records, "the traces differ");
    assert!(one.capture == two.capture, "the captures differ");
}

#[test]
#[ignore = "boots Debian"]
fn the_whole_bzimage_unpacks_itself() {
    let outcome = boot("debian", "", |scenario| scenario.boot = LinuxBoot::Whole);
    check(&outcome);
    assert!(outcome.summary.instructions > 5_000_000_000);
}

#[test]
#[ignore = "boots Debian"]
fn kernels_of_other_flavours_boot_as_well() {
    let guest = |flavour| {
        move |scenario: &mut Scenario| {
            let (packages, files) = (Vec::new(), BTreeMap::new());
            scenario.guest = Guest::Debian { flavour, modules: None, packages, files };
        }
    };
    check(&boot("debian", "", guest(Flavour::Rt)));
    // The cloud kernel has no driver for the card.
    let cloud = boot("debian", "glassbox.wait=1", guest(Flavour::Cloud));
    assert_eq!(cloud.stop, Stop::PowerOff { code: 0 }, "{}", cloud.serial);
    assert!(cloud.serial.contains("cloud-amd64"), "{}", cloud.serial);
    assert_eq!(cloud.summary.frames_delivered, 0);
}

#[test]
#[ignore = "boots Debian"]
fn a_captured_client_gets_an_address() {
    const OFFER: u8 = 2;
    const ACK: u8 = 5;
    let outcome = boot("debian-dhcp", "", |_| ());
    assert_eq!(outcome.stop, Stop::PowerOff { code: 0 }, "{}", outcome.serial);
    check_log(&outcome);
    let sent = read_capture("sent.pcapng", &outcome.capture).unwrap();
    // Option 53 is the first behind the magic number of BOOTP messages from the server's port (RFC 2132, 9.6).
    let kinds: Vec<u8> = sent
        .frames
        .iter()
        .filter(|frame| frame.bytes.get(34..36) == Some(&67u16.to_be_bytes()[..]) && frame.bytes[23] == 17)
        .map(|frame| frame.bytes[284])
        .collect();
    assert_eq!(kinds, [OFFER, ACK]);
    let pings = sent.frames.iter().filter(|frame| frame.bytes[12..14] == [8, 0] && frame.bytes[23] == 1);
    assert_eq!(pings.count(), 2, "both pings from the new address are answered");
}
