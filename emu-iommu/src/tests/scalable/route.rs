//! From the root table to the PASID entry, and every way it can end before.

use super::*;
use crate::ConfigError;
use crate::spec::fault::*;

#[test]
fn capabilities_say_what_of_it_there_is() {
    let ecap = |config| Rig::new(config).read(ECAP);
    let base = ecap(IommuConfig::default());
    let all = 1 << 26 | 1 << 30 | 1 << 31 | 19 << 35 | 1 << 40 | 1 << 43 | 0x1f << 45;
    assert_eq!(ecap(config(|_| {})) ^ base, all);
    for (name, bits, without) in [
        ("NEST, FSTS", 1 << 26 | 1 << 47, config(|s| (s.first_stage, s.nested) = (false, false))),
        ("NEST, SSTS", 1 << 26 | 1 << 46, config(|s| (s.second_stage, s.nested) = (false, false))),
        ("PASID, PSS", 19 << 35 | 1 << 40, config(|s| s.pasid_bits = 0)),
        ("PSS", 19 << 35 ^ 7 << 35, config(|s| s.pasid_bits = 8)),
        ("RPS", 1 << 49, config(|s| s.rid_pasid = false)),
        ("SRS", 1 << 31, config(|s| s.supervisor = false)),
        ("ERS", 1 << 30, config(|s| s.execution = false)),
        ("SSADS", 1 << 45, config(|s| s.access_dirty = false)),
    ] {
        assert_eq!(ecap(without) ^ base, all ^ bits, "{name}");
    }
    let cap = |config| Rig::new(config).read(CAP);
    let base = cap(IommuConfig::default());
    assert_eq!(cap(config(|_| {})) ^ base, 1 << 56 | 1 << 60, "FS1GP, FS5LP");
    assert_eq!(cap(config(|s| (s.gigabyte_pages, s.five_levels) = (false, false))), base);
}

#[test]
fn a_unit_that_makes_no_sense_is_refused() {
    let refused = |config| Vtd::new(config).unwrap_err();
    assert_eq!(refused(config(|s| s.pasid_bits = 21)), ConfigError::PasidBits(21));
    assert!(matches!(refused(config(|s| s.first_stage = false)), ConfigError::Needs("nested", _)));
    let config =
        IommuConfig { queued_invalidation: false, interrupt_remapping: false, eim: false, ..config(|_| {}) };
    assert_eq!(refused(config), ConfigError::Needs("scalable", "queued_invalidation"));
}

#[test]
fn each_kind_of_translation_type_does_its_own() {
    let mut unit = Scalable::new();
    let first = unit.first_stage(4);
    let second = unit.rig.domain(2, 4);
    unit.rig.map(&second, IOVA, MOVED, Rights::Rw);
    let identity = unit.rig.domain(3, 3);
    unit.rig.map_large(&identity, 0, 0, 2, Rights::Rw);
    unit.pasid(RID, PasidMaker::new(9).pass_through());
    unit.pasid(64, PasidMaker::new(1).first(first.0, 4));
    unit.pasid(65, PasidMaker::new(2).second(second.table, 4));
    unit.pasid(0x7fff, PasidMaker::new(3).first(first.0, 4).second(identity.table, 3));
    assert_eq!(unit.get(IOVA), Ok(IOVA));
    for (pasid, gpa) in [(64, FRAME), (65, MOVED), (0x7fff, FRAME)] {
        assert_eq!(unit.ask(plain(pasid), IOVA + 8, true), Ok(gpa + 8), "PASID {pasid:#x}");
    }
    let kinds: Vec<_> = unit.rig.vtd.iotlb_entries().map(|cached| cached.entry.space).collect();
    for space in [crate::Space::First(64), crate::Space::Second, crate::Space::Nested(0x7fff)] {
        assert_eq!(kinds.iter().filter(|kind| **kind == space).count(), 1, "{space:?}");
    }
}

#[test]
fn devices_beyond_the_sixteenth_have_the_upper_half_of_the_root_entry() {
    let mut unit = Scalable::new();
    let far = Bdf::new(0, 31, 7);
    let directory = unit.rig.tables.directory(&mut unit.rig.mem, far, 0).unwrap();
    let entry = PasidMaker::new(1).pass_through();
    unit.rig.tables.pasid(&mut unit.rig.mem, directory, 0, entry).unwrap();
    let root = unit.rig.tables.root();
    assert_ne!(unit.rig.mem.read_u64(root).unwrap(), unit.rig.mem.read_u64(root.plus(8)).unwrap());
    assert_eq!(unit.rig.dma(far, 0x1234, true), Ok(0x1234));
    unit.rig.mem.write_u64(root.plus(8), 0).unwrap();
    assert_eq!(unit.rig.dma(Bdf::new(0, 31, 6), 0x1234, true), Err(SM_ROOT_NOT_PRESENT));
}

/// What of a good set of tables is spoiled: the root, context or directory entry, or a qword of the PASID entry.
#[derive(Clone, Copy, Debug)]
enum Spoil {
    Root(u64),
    Context(u64, u64),
    Directory(u64),
    Pasid(u64, u64),
}

fn spoil(unit: &mut Scalable, what: Spoil) {
    let Scalable { rig, directory } = unit;
    let (gpa, value) = match what {
        Spoil::Root(value) => (rig.tables.root(), value),
        Spoil::Context(qword, value) => {
            (rig.tables.scalable_context_gpa(&mut rig.mem, NIC).unwrap().plus(qword * 8), value)
        }
        Spoil::Directory(value) => (*directory, value),
        Spoil::Pasid(qword, value) => {
            (rig.tables.pasid_gpa(&mut rig.mem, *directory, RID).unwrap().plus(qword * 8), value)
        }
    };
    let old = rig.mem.read_u64(gpa).unwrap();
    rig.mem.write_u64(gpa, old ^ value).unwrap();
}

#[test]
fn requests_end_with_the_reason_of_the_entry_that_refuses_them() {
    use Spoil::*;
    let (unsupported, nowhere) = (config(|s| s.access_dirty = false), NOWHERE);
    let nothing = config(|s| {
        (s.supervisor, s.execution, s.five_levels) = (false, false, false);
    });
    let no_snoop = IommuConfig { snoop_control: false, ..config(|_| {}) };
    let few = IommuConfig { domain_bits: 4, ..config(|_| {}) };
    let only_first = config(|s| (s.second_stage, s.nested) = (false, false));
    let no_pass = IommuConfig { pass_through: false, ..config(|_| {}) };
    let any = || config(|_| {});
    for (config, what, reason) in [
        (any(), Root(nowhere), SM_CONTEXT_FETCH),
        (any(), Root(1), SM_ROOT_NOT_PRESENT),
        (any(), Root(2), SM_ROOT_RESERVED),
        (any(), Root(1 << 11), SM_ROOT_RESERVED),
        (any(), Root(1 << 48), SM_ROOT_RESERVED),
        (any(), Context(0, 1), SM_CONTEXT_NOT_PRESENT),
        (any(), Context(0, 1 << 2), SM_CONTEXT_RESERVED),
        (any(), Context(0, 1 << 4), SM_CONTEXT_RESERVED),
        (any(), Context(0, 1 << 5), SM_CONTEXT_RESERVED),
        (any(), Context(0, 1 << 8), SM_CONTEXT_RESERVED),
        (any(), Context(0, 1 << 63), SM_CONTEXT_RESERVED),
        (any(), Context(1, 1 << 21), SM_CONTEXT_RESERVED),
        (nothing.clone(), Context(1, 1 << 20), SM_CONTEXT_RESERVED),
        (any(), Context(2, 1), SM_CONTEXT_RESERVED),
        (any(), Context(3, 1 << 63), SM_CONTEXT_RESERVED),
        (any(), Context(1, 1 << 15), SM_RID_PASID),
        (any(), Context(0, nowhere), DIRECTORY_FETCH),
        (any(), Directory(1), DIRECTORY_NOT_PRESENT),
        (any(), Directory(1 << 2), DIRECTORY_RESERVED),
        (any(), Directory(1 << 48), DIRECTORY_RESERVED),
        (any(), Directory(nowhere), PASID_FETCH),
        (any(), Pasid(0, 1), PASID_NOT_PRESENT),
        (any(), Pasid(0, 1 << 5), PASID_RESERVED),
        (any(), Pasid(0, 1 << 10), PASID_RESERVED),
        (unsupported, Pasid(0, 1 << 9), PASID_RESERVED),
        (any(), Pasid(1, 1 << 16), PASID_RESERVED),
        (no_snoop, Pasid(1, 1 << 24), PASID_RESERVED),
        (any(), Pasid(1, 1 << 25), PASID_RESERVED),
        (few, Pasid(1, 1 << 4), PASID_RESERVED),
        (any(), Pasid(2, 1 << 7), PASID_RESERVED),
        (any(), Pasid(2, 1 << 48), PASID_RESERVED),
        (nothing.clone(), Pasid(2, 1), PASID_RESERVED),
        (nothing.clone(), Pasid(2, 2), PASID_RESERVED),
        (any(), Pasid(3, 1), PASID_RESERVED),
        (any(), Pasid(7, 1), PASID_RESERVED),
        // No type, type 5, five levels where there are none, and a mode of the first stage that does not exist.
        (any(), Pasid(0, 1 << 6), PASID_INVALID),
        (any(), Pasid(0, 4 << 6), PASID_INVALID),
        (nothing, Pasid(2, 1 << 2), PASID_INVALID),
        (any(), Pasid(2, 2 << 2), PASID_INVALID),
        // Second stage, alone and nested, and pass-through where they are not.
        (only_first.clone(), Pasid(0, 3 << 6 | 2 << 2), PASID_INVALID),
        (only_first, Pasid(0, 2 << 6 | 2 << 2), PASID_INVALID),
        (no_pass, Pasid(0, 5 << 6), PASID_INVALID),
        // A second stage of two levels, and of five on a unit of 48 bits.
        (any(), Pasid(0, 3 << 6), PASID_INVALID),
        (any(), Pasid(0, 3 << 6 | 3 << 2), PASID_INVALID),
        (any(), Pasid(2, nowhere), FIRST_TOP_FETCH),
    ] {
        let mut unit = Scalable::with(config);
        let table = unit.first_stage(4);
        unit.pasid(RID, PasidMaker::new(1).first(table.0, 4));
        spoil(&mut unit, what);
        assert_eq!(unit.get(IOVA), Err(reason), "{what:?}");
        assert_eq!(unit.rig.take_faults(), [(NIC, reason)]);
        spoil(&mut unit, what);
        unit.submit(&[[0x11, 0], [0x37, 0]]);
        assert_eq!(unit.get(IOVA), Ok(FRAME), "mended");
    }
}

#[test]
fn fpd_of_each_entry_keeps_faults_out_of_the_records() {
    for (quiet, then) in [
        (Spoil::Context(0, 2), Spoil::Pasid(0, 1)),
        (Spoil::Directory(2), Spoil::Pasid(0, 1)),
        (Spoil::Pasid(0, 2), Spoil::Pasid(0, 1)),
        (Spoil::Context(0, 2), Spoil::Context(0, 1)),
    ] {
        let (mut unit, _) = Scalable::first();
        spoil(&mut unit, quiet);
        // Once by the tables, once by the caches.
        for _ in 0..2 {
            assert!(unit.get(IOVA + 0x1000).is_err());
            assert_eq!(unit.rig.take_faults(), [], "{quiet:?}");
        }
        unit.submit(&[[0x11, 0], [0x37, 0]]);
        spoil(&mut unit, then);
        assert!(unit.get(IOVA).is_err());
        assert_eq!(unit.rig.take_faults(), [], "{quiet:?}, {then:?}");
    }
}

#[test]
fn requests_with_a_pasid_are_held_to_what_is_enabled() {
    let (mut unit, table) = Scalable::first();
    let prefix = |privileged, execute| Some(PasidPrefix { pasid: 7, privileged, execute });
    let open = PasidMaker::new(2).first(table.0, 4);
    for (entry, asked, expected) in [
        (open, prefix(false, false), Ok(FRAME)),
        (open, prefix(false, true), Err(NO_EXECUTION)),
        (open, prefix(true, false), Err(NO_PRIVILEGE)),
        (open.with(2, 1), prefix(true, false), Ok(FRAME)),
        (open.with(2, 2), prefix(false, true), Ok(FRAME)),
    ] {
        unit.pasid(7, entry);
        unit.submit(&[[0x37, 0]]);
        assert_eq!(unit.ask(asked, IOVA, false), expected, "{asked:?}");
    }
    assert_eq!(unit.ask(plain(0x8000), IOVA, false), Err(PASID_TOO_LARGE));
    spoil(&mut unit, Spoil::Context(0, 1 << 3));
    unit.submit(&[[0x11, 0]]);
    assert_eq!(unit.ask(plain(7), IOVA, false), Err(PASID_NOT_ENABLED));
    assert_eq!(unit.get(IOVA), Ok(FRAME), "requests without PASID are not concerned");
}

#[test]
fn a_fault_record_tells_the_pasid() {
    let (mut unit, _) = Scalable::first();
    let asked = Some(PasidPrefix { pasid: 0x1_2345, privileged: true, execute: true });
    assert_eq!(unit.ask(asked, IOVA, false), Err(PASID_TOO_LARGE));
    let high = unit.rig.read(FRCD + 8) & u64::from(u32::MAX);
    let mut half = |offset| {
        unit.rig.vtd.read(&mut unit.rig.fabric.env(), &mut unit.rig.mem, FRCD + offset, Width::B4).unwrap()
    };
    assert_eq!(half(8), u64::from(NIC.0) | 7 << 29, "source, PP, EXE, PRIV");
    assert_eq!(half(12), 1 << 31 | 1 << 30 | 0x1_2345 << 8 | u64::from(PASID_TOO_LARGE));
    assert_eq!(high, half(8));
    assert_eq!(unit.get(IOVA + 0x1000), Err(FIRST_NOT_PRESENT));
    let second = unit.rig.vtd.state().fault_records[1];
    assert_eq!(second, [IOVA + 0x1000, 1 << 63 | 1 << 62 | 0x71 << 32 | u64::from(NIC.0)]);
}

#[test]
fn the_root_tables_mode_is_taken_over_with_it() {
    let (mut unit, _) = Scalable::first();
    let root = unit.rig.tables.root().0;
    unit.rig.write(RTADDR, root);
    assert_eq!(unit.get(IOVA), Ok(FRAME), "not before SRTP");
    unit.rig.write(GCMD, u64::from(TE | SRTP));
    assert_eq!(unit.get(0xfee0_0000), Err(INTERRUPT_ADDRESS), "legacy mode");
    assert_eq!(unit.ask(plain(3), IOVA, false), Err(PASID_IN_LEGACY));
    for mode in [2u64 << 10, 3 << 10] {
        unit.rig.write(RTADDR, root | mode);
        unit.rig.write(GCMD, u64::from(TE | SRTP));
        assert_eq!(unit.get(IOVA), Err(BAD_ROOT_POINTER));
    }
    unit.rig.write(RTADDR, root | SCALABLE_ROOT);
    unit.rig.write(GCMD, u64::from(TE | SRTP));
    assert_eq!(unit.get(0xfee0_0000), Err(SM_INTERRUPT_ADDRESS));
    // A unit without scalable mode has no such bits.
    let mut legacy = Rig::new(IommuConfig::default());
    legacy.write(RTADDR, 0x1000 | SCALABLE_ROOT);
    assert_eq!(legacy.read(RTADDR), 0x1000);
}

#[test]
fn without_rps_requests_without_pasid_have_pasid_0() {
    let mut unit = Scalable::with(config(|s| s.rid_pasid = false));
    unit.pasid(RID, PasidMaker::new(1).pass_through());
    assert_eq!(unit.get(IOVA), Err(PASID_NOT_PRESENT));
    unit.pasid(0, PasidMaker::new(1).pass_through());
    assert_eq!(unit.get(IOVA), Ok(IOVA));
    assert_eq!(unit.get(1 << 48), Err(SM_PASSED_TOO_WIDE));
}

#[test]
fn the_pasid_cache_answers_costs_and_makes_room() {
    let mut config = config(|_| {});
    config.pasid_cache = crate::CacheConfig { sets: 1, ways: 2, policy: crate::Policy::Lru };
    let mut unit = Scalable::with(config);
    for pasid in [1, 2, 3] {
        unit.pasid(pasid, PasidMaker::new(pasid as u16).pass_through());
    }
    for pasid in [1, 1, 2, 3, 1] {
        unit.ask(plain(pasid), IOVA, false).unwrap();
    }
    let stats = unit.rig.vtd.stats();
    assert_eq!((stats.pasid_hits, stats.pasid_misses, stats.pasid_evictions), (1, 4, 2));
    let events = unit.rig.events();
    assert!(events.contains(&TraceEvent::PasidLookup { bdf: NIC, pasid: 1, hit: true, domain: 1 }));
    assert!(events.contains(&TraceEvent::PasidEvict { bdf: NIC, pasid: 1, set: 0, way: 0 }));
    let mut env = unit.rig.fabric.env();
    let found = unit.rig.vtd.translate_request(
        &mut env,
        &mut unit.rig.mem,
        DmaRequest { bdf: NIC, pasid: plain(1), iova: Iova(IOVA), write: true },
    );
    assert_eq!(found.unwrap().latency, emu_core::VirtDuration::from_ns(5 + 5 + 5));
}

#[test]
fn a_second_stage_is_walked_as_in_legacy_mode_with_reasons_of_its_own() {
    let mut unit = Scalable::new();
    let second = unit.rig.domain(2, 4);
    unit.rig.map(&second, IOVA, FRAME, Rights::R);
    unit.rig.map(&second, IOVA + 0x1000, 0xfee0_0000, Rights::Rw);
    unit.pasid(RID, PasidMaker::new(2).second(second.table, 4));
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    assert_eq!(unit.put(IOVA), Err(SM_WRITE));
    assert_eq!(unit.get(IOVA + 0x1000), Err(SM_INTERRUPT_ADDRESS));
    assert_eq!(unit.get(IOVA + 0x2000), Err(SECOND_NOT_PRESENT));
    assert_eq!(unit.get(1 << 48), Err(SM_TOO_WIDE));
    let entry = unit.rig.tables.entry_gpa(&mut unit.rig.mem, &second, Iova(IOVA), 0).unwrap();
    unit.rig.mem.write_u64(entry.plus(16), 2 | FRAME).unwrap();
    assert_eq!(unit.get(IOVA + 0x2000), Err(SM_READ));
    unit.rig.mem.write_u64(entry.plus(24), 3 | 1 << 62).unwrap();
    assert_eq!(unit.get(IOVA + 0x3000), Err(SECOND_RESERVED));
    let above = unit.rig.tables.entry_gpa(&mut unit.rig.mem, &second, Iova(IOVA), 1).unwrap();
    unit.rig.mem.write_u64(above.plus(8), NOWHERE | 3).unwrap();
    assert_eq!(unit.get(IOVA + (1 << 21)), Err(SECOND_FETCH));
    unit.pasid(RID, PasidMaker::new(2).second(Gpa(NOWHERE), 4));
    unit.submit(&[[0x37, 0], [0x12, 0]]);
    assert_eq!(unit.get(IOVA), Err(SECOND_TOP_FETCH));
}

#[test]
fn second_stage_bits_are_kept_where_the_entry_says_so() {
    for (keeps, snooped) in [(false, true), (true, true), (true, false)] {
        let mut unit = Scalable::new();
        let second = unit.rig.domain(2, 4);
        unit.rig.map(&second, IOVA, FRAME, Rights::Rw);
        let mut entry = PasidMaker::new(2).second(second.table, 4).with(0, u64::from(keeps) << 9);
        if !snooped {
            entry.0[1] &= !(1 << 23);
        }
        unit.pasid(RID, entry);
        let leaf = unit.rig.tables.entry_gpa(&mut unit.rig.mem, &second, Iova(IOVA), 0).unwrap();
        let expected = if snooped { Ok(FRAME) } else { Err(SECOND_NOT_SNOOPED) };
        let bits = |unit: &Scalable| unit.rig.mem.read_u64(leaf).unwrap() >> 8 & 3;
        assert_eq!(unit.get(IOVA), expected);
        assert_eq!(bits(&unit), u64::from(keeps && snooped));
        assert_eq!(unit.put(IOVA), expected);
        assert_eq!(bits(&unit), if keeps && snooped { 3 } else { 0 });
        let top = unit.rig.mem.read_u64(second.table).unwrap();
        assert_eq!(top >> 8 & 3, u64::from(keeps && snooped), "of a table only that it was used");
    }
}

#[test]
fn caching_mode_keeps_what_is_not_there() {
    let mut unit = Scalable::with(IommuConfig { caching_mode: true, ..config(|_| {}) });
    assert_eq!(unit.get(IOVA), Err(DIRECTORY_NOT_PRESENT));
    unit.pasid(RID, PasidMaker::new(1));
    assert_eq!(unit.get(IOVA), Err(DIRECTORY_NOT_PRESENT), "stale");
    // It is known as domain 0's.
    unit.submit(&[[0x07, 0]]);
    let table = unit.first_stage(4);
    unit.pasid(RID, PasidMaker::new(1).first(table.0, 4));
    assert_eq!(unit.get(IOVA + 0x1000), Err(FIRST_NOT_PRESENT));
    unit.map_first(table, IOVA + 0x1000, MOVED, 0, 7);
    assert_eq!(unit.get(IOVA + 0x1000), Err(FIRST_NOT_PRESENT), "stale");
    unit.submit(&[[6 | 2 << 4 | 1 << 16 | u64::from(RID) << 32, 0]]);
    assert_eq!(unit.get(IOVA + 0x1000), Ok(MOVED));
}

#[test]
fn a_walk_is_told_entry_by_entry() {
    let (mut unit, table) = Scalable::first();
    unit.get(IOVA).unwrap();
    unit.map_first(table, IOVA, MOVED, 0, 7);
    let lines: Vec<_> =
        unit.rig.vtd.walk_explain(&unit.rig.mem, NIC, Iova(IOVA)).into_iter().map(|line| line.text).collect();
    let text = lines.join("\n");
    for part in [
        "context entry at ",
        "PASID 5 of 32768",
        "PASID directory entry at ",
        "PASID table entry at ",
        "domain 1, first stage",
        "PASID cache: the same, domain 1",
        "first-stage level 4 entry at ",
        "first-stage level 1 entry at ",
        "0x2345678000 is 0x6000: 4 KiB page, read write",
        "IOTLB: stale, 0x2345678000 is 0x5000: read write",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let ranges = unit.rig.vtd.mapped_ranges(&unit.rig.mem, NIC, 9);
    let range = crate::Range { iova: Iova(IOVA), gpa: Gpa(MOVED), len: 0x1000, read: true, write: true };
    assert_eq!(ranges, [range]);
}
