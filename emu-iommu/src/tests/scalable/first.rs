//! The first stage: the processor's own tables, with rights of users and supervisors and bits that the unit keeps.

use super::*;
use crate::spec::fault::*;

#[test]
fn pages_of_each_size_are_translated_by_4_and_5_levels() {
    for levels in [4, 5] {
        for (level, iova) in [(0, IOVA), (1, IOVA & !0x1f_ffff), (2, IOVA & !0x3fff_ffff)] {
            for high in [false, true] {
                // The upper half of the addresses begins at the top of the sign-extended ones.
                let iova = if high { iova | u64::MAX << (11 + 9 * u32::from(levels)) } else { iova };
                let mut unit = Scalable::new();
                let table = (unit.rig.tables.page(&mut unit.rig.mem).unwrap(), levels);
                unit.map_first(table, iova, 0x4000_0000, level, 7);
                unit.pasid(RID, PasidMaker::new(1).first(table.0, levels));
                assert_eq!(unit.get(iova + 8), Ok(0x4000_0008), "{levels} levels, level {level}, {iova:#x}");
                let cached = unit.rig.vtd.iotlb_entries().next().unwrap().entry;
                assert_eq!((cached.page_shift, cached.iova), (12 + 9 * level, Iova(iova)));
                let size = 1u64 << (12 + 9 * level);
                let reached = unit.rig.vtd.mapped_ranges(&unit.rig.mem, NIC, 9);
                assert_eq!((reached[0].iova, reached[0].len), (Iova(iova), size));
            }
        }
    }
}

#[test]
fn addresses_have_to_be_canonical() {
    for (levels, bits) in [(4, 48), (5, 57)] {
        let mut unit = Scalable::new();
        let table = unit.first_stage(levels);
        unit.pasid(RID, PasidMaker::new(1).first(table.0, levels));
        for (iova, canonical) in [
            ((1 << (bits - 1)) - 0x1000, true),
            (1 << (bits - 1), false),
            (1 << bits, false),
            (u64::MAX << (bits - 1), true),
            ((u64::MAX << (bits - 1)) - 0x1000, false),
        ] {
            let expected = if canonical { FIRST_NOT_PRESENT } else { NOT_CANONICAL };
            assert_eq!(unit.get(iova), Err(expected), "{iova:#x} by {levels} levels");
        }
    }
}

#[test]
fn entries_end_a_walk_with_their_own_reasons() {
    let no_gigabytes = config(|s| s.gigabyte_pages = false);
    let any = || config(|_| {});
    for (config, level, bits, reason) in [
        (any(), 0, 1, FIRST_NOT_PRESENT),
        (any(), 1, 1, FIRST_NOT_PRESENT),
        (any(), 3, 1, FIRST_NOT_PRESENT),
        (any(), 0, 1 << 48, FIRST_RESERVED),
        (any(), 2, 1 << 51, FIRST_RESERVED),
        (any(), 3, 1 << 7, FIRST_RESERVED),
        (no_gigabytes, 2, 1 << 7, FIRST_RESERVED),
        // A large page at an address of tables, which is not a multiple of its size.
        (any(), 1, 1 << 7 | 1 << 13, FIRST_RESERVED),
        (any(), 2, 1 << 7 | 1 << 13, FIRST_RESERVED),
        (any(), 1, NOWHERE, FIRST_FETCH),
        (any(), 3, NOWHERE, FIRST_FETCH),
    ] {
        let mut unit = Scalable::with(config);
        let table = unit.first_stage(4);
        // A pointer of which no bit but 13 could be a large page's.
        unit.pasid(RID, PasidMaker::new(1).first(table.0, 4));
        let entry = unit.first_entry(table, IOVA, level);
        let old = unit.rig.mem.read_u64(entry).unwrap();
        let spoiled = if bits & 1 << 13 != 0 { 7 | bits } else { old ^ bits };
        unit.rig.mem.write_u64(entry, spoiled).unwrap();
        assert_eq!(unit.get(IOVA), Err(reason), "level {level}, {bits:#x}");
        unit.rig.mem.write_u64(entry, old).unwrap();
        assert_eq!(unit.get(IOVA), Ok(FRAME));
    }
    let mut unit = Scalable::new();
    unit.pasid(RID, PasidMaker::new(1).first(Gpa(NOWHERE), 4));
    assert_eq!(unit.get(IOVA), Err(FIRST_TOP_FETCH));
}

#[test]
fn bits_that_mean_nothing_to_the_unit_are_ignored() {
    let (mut unit, table) = Scalable::first();
    for level in 0..4 {
        let entry = unit.first_entry(table, IOVA, level);
        let old = unit.rig.mem.read_u64(entry).unwrap();
        // PWT, PCD, G, 11:9, 62:52, and XD, which only counts with NXE.
        let more = 3 << 3 | 0xf << 8 | 0xfff << 52;
        unit.rig.mem.write_u64(entry, old | more).unwrap();
    }
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    let mut unit = Scalable::new();
    let table = (unit.rig.tables.page(&mut unit.rig.mem).unwrap(), 4);
    // Bit 12 of a large page is its memory type's.
    unit.map_first(table, 0x20_0000, 0x40_1000, 1, 7);
    unit.pasid(RID, PasidMaker::new(1).first(table.0, 4));
    assert_eq!(unit.get(0x20_0000), Ok(0x40_0000));
}

/// Who asks for what, of a page whose entries all have `bits`, under `flags` of the PASID entry.
fn check_rights(
    bits: u64,
    flags: u64,
    (privileged, execute, write): (bool, bool, bool),
    expected: Result<u64, u8>,
) {
    let mut unit = Scalable::new();
    let table = (unit.rig.tables.page(&mut unit.rig.mem).unwrap(), 4);
    unit.map_first(table, IOVA, FRAME, 0, bits);
    // SRE and ERE let them ask.
    unit.pasid(7, PasidMaker::new(1).first(table.0, 4).with(2, flags | 3));
    let asked = Some(PasidPrefix { pasid: 7, privileged, execute });
    let what = format!("{bits:#x}, {flags:#x}, {privileged}, {execute}, {write}");
    assert_eq!(unit.ask(asked, IOVA, write), expected, "{what}");
    // Now by what a friendlier request has put into the IOTLB, if any is let in.
    let friendly = Some(PasidPrefix { pasid: 7, privileged: true, execute: false });
    unit.ask(friendly, IOVA, false).unwrap();
    assert_eq!(unit.ask(asked, IOVA, write), expected, "cached: {what}");
}

#[test]
fn rights_are_those_of_users_and_supervisors() {
    const P: u64 = 1;
    const RW: u64 = 2;
    const US: u64 = 4;
    const XD: u64 = 1 << 63;
    const WPE: u64 = 1 << 4;
    const NXE: u64 = 1 << 5;
    const SMEP: u64 = 1 << 6;
    let (user, supervisor) = (false, true);
    for (bits, flags, asked, expected) in [
        (P | US, 0, (user, false, false), Ok(FRAME)),
        (P | US, 0, (user, false, true), Err(SM_WRITE)),
        (P | RW | US, 0, (user, false, true), Ok(FRAME)),
        (P | RW, 0, (user, false, false), Err(PRIVILEGE)),
        (P | RW, 0, (supervisor, false, true), Ok(FRAME)),
        // Without WPE supervisors write where they like.
        (P | US, 0, (supervisor, false, true), Ok(FRAME)),
        (P | US, WPE, (supervisor, false, true), Err(SM_WRITE)),
        (P | US | XD, 0, (user, true, false), Ok(FRAME)),
        (P | US | XD, NXE, (user, true, false), Err(EXECUTE)),
        (P | US, NXE, (user, true, false), Ok(FRAME)),
        (P | US, SMEP, (supervisor, true, false), Err(EXECUTE)),
        (P | US, 0, (supervisor, true, false), Ok(FRAME)),
        (P, SMEP, (supervisor, true, false), Ok(FRAME)),
    ] {
        check_rights(bits, flags, asked, expected);
    }
}

#[test]
fn rights_are_those_of_all_levels_together() {
    for level in 0..4 {
        for (bit, write, reason) in [(2, true, SM_WRITE), (4, false, PRIVILEGE)] {
            let (mut unit, table) = Scalable::first();
            let entry = unit.first_entry(table, IOVA, level);
            let old = unit.rig.mem.read_u64(entry).unwrap();
            unit.rig.mem.write_u64(entry, old & !bit).unwrap();
            assert_eq!(unit.ask(None, IOVA, write), Err(reason), "level {level}, bit {bit}");
        }
    }
}

#[test]
fn accessed_and_dirty_bits_are_kept() {
    let (mut unit, table) = Scalable::first();
    let bits = |unit: &mut Scalable| {
        [0, 1, 2, 3].map(|level| {
            let entry = unit.first_entry(table, IOVA, level);
            unit.rig.mem.read_u64(entry).unwrap() >> 5 & 3
        })
    };
    assert_eq!(bits(&mut unit), [0; 4]);
    assert_eq!(unit.get(IOVA + 0x1000), Err(FIRST_NOT_PRESENT));
    assert_eq!(bits(&mut unit), [0; 4], "a fault marks nothing");
    unit.get(IOVA).unwrap();
    assert_eq!(bits(&mut unit), [1; 4]);
    // The IOTLB knows that the page is not dirty yet.
    let misses = unit.rig.vtd.stats().iotlb_misses;
    unit.put(IOVA).unwrap();
    assert_eq!(bits(&mut unit), [3, 1, 1, 1]);
    assert_eq!(unit.rig.vtd.stats().iotlb_misses, misses + 1);
    unit.put(IOVA).unwrap();
    assert_eq!(unit.rig.vtd.stats().iotlb_misses, misses + 1, "now it is");
    assert_eq!(unit.rig.vtd.iotlb_entries().count(), 1);
}

#[test]
fn bits_can_not_be_kept_where_walks_are_not_snooped() {
    let mut unit = Scalable::new();
    let table = unit.first_stage(4);
    let mut entry = PasidMaker::new(1).first(table.0, 4);
    entry.0[1] &= !(1 << 23);
    unit.pasid(RID, entry);
    assert_eq!(unit.get(IOVA), Err(FIRST_NOT_SNOOPED));
    for level in 0..4 {
        let entry = unit.first_entry(table, IOVA, level);
        let old = unit.rig.mem.read_u64(entry).unwrap();
        unit.rig.mem.write_u64(entry, old | 1 << 5).unwrap();
    }
    assert_eq!(unit.get(IOVA), Ok(FRAME), "nothing is due");
    assert_eq!(unit.put(IOVA), Err(FIRST_NOT_SNOOPED), "but the dirty bit");
}

#[test]
fn the_interrupt_range_is_no_memory() {
    let (mut unit, table) = Scalable::first();
    unit.map_first(table, IOVA, 0xfee0_0000, 0, 7);
    assert_eq!(unit.get(IOVA), Err(SM_INTERRUPT_ADDRESS));
    // Requests with a PASID are never interrupts: there the range is like any other.
    unit.map_first(table, 0xfee0_0000, FRAME, 0, 7);
    unit.pasid(7, PasidMaker::new(1).first(table.0, 4));
    assert_eq!(unit.ask(plain(7), 0xfee0_0000, true), Ok(FRAME));
    assert_eq!(unit.put(0xfee0_0000), Ok(0xfee0_0000), "a message, for the remapper");
}

#[test]
fn pasids_have_translations_of_their_own() {
    let mut unit = Scalable::new();
    for pasid in [1, 2] {
        let table = unit.first_stage(4);
        unit.map_first(table, IOVA, u64::from(pasid) << 12, 0, 7);
        unit.pasid(pasid, PasidMaker::new(1).first(table.0, 4));
    }
    for pasid in [1, 2, 1, 2] {
        assert_eq!(unit.ask(plain(pasid), IOVA, true), Ok(u64::from(pasid) << 12));
    }
    let stats = unit.rig.vtd.stats();
    assert_eq!((stats.iotlb_hits, stats.iotlb_misses), (2, 2));
}
