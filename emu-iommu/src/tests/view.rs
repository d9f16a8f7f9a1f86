//! What people are shown.

use super::*;
use crate::Range;

fn lines(rig: &Rig, iova: u64) -> Vec<String> {
    rig.vtd.walk_explain(&rig.mem, NIC, Iova(iova)).into_iter().map(|line| line.text).collect()
}

#[test]
fn a_walk_is_told_entry_by_entry_and_stale_caches_are_pointed_out() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 3);
    rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
    rig.get(0x1000).unwrap();
    rig.map(&domain, 0x1000, 0x6000, Rights::W);
    let before = rig.vtd.clone();
    assert_eq!(
        lines(&rig, 0x1008),
        [
            "root entry at 0x100000: 0x102001, context table 0x102000",
            "context entry at 0x102180: 0x101 0x101001, domain 1, 3 levels from 0x101000",
            "context cache: the same, domain 1",
            "level 3 entry at 0x101000: 0x103003, read write, to 0x103000",
            "level 2 entry at 0x103000: 0x104003, read write, to 0x104000",
            "level 1 entry at 0x104008: 0x6002, write, to 0x6000",
            "0x1008 is 0x6008: 4 KiB page, write",
            "IOTLB: stale, 0x1008 is 0x5008: read write",
        ]
    );
    assert_eq!(lines(&rig, 0x2000).last().unwrap(), "fault 0x6: no read permission");
    assert_eq!(lines(&rig, 1 << 39).last().unwrap(), "fault 0x4: address beyond the guest address width");
    assert_eq!(rig.vtd, before);
    rig.map(&domain, 0x3000, 0xfee0_0000, Rights::Rw);
    assert_eq!(lines(&rig, 0x3000).last().unwrap(), "fault 0xe: address in the interrupt range");
    rig.write(GCMD, 0);
    assert_eq!(lines(&rig, 0), ["DMA remapping is off: the address is used as it is"]);
}

#[test]
fn ranges_are_joined_where_both_sides_and_rights_go_on() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    for (iova, gpa, rights) in [
        (0x1000, 0x5000, Rights::Rw),
        (0x2000, 0x6000, Rights::Rw),
        (0x3000, 0x7000, Rights::R),
        (0x4000, 0x9000, Rights::R),
        (0x1f_f000, 0x1f_f000, Rights::Rw),
    ] {
        rig.map(&domain, iova, gpa, rights);
    }
    rig.map_large(&domain, 0x20_0000, 0x20_0000, 1, Rights::Rw);
    let range = |iova, gpa, len, write| Range { iova: Iova(iova), gpa: Gpa(gpa), len, read: true, write };
    let all = [
        range(0x1000, 0x5000, 0x2000, true),
        range(0x3000, 0x7000, 0x1000, false),
        range(0x4000, 0x9000, 0x1000, false),
        range(0x1f_f000, 0x1f_f000, 0x20_1000, true),
    ];
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, NIC, 100), all);
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, NIC, 2), all[..2]);
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, OTHER, 100), []);
    rig.write(GCMD, 0);
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, NIC, 100), [range(0, 0, 1 << 48, true)]);
}

#[test]
fn tables_that_contain_themselves_end() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    for index in 0..512 {
        rig.mem.write_u64(domain.table.plus(index * 8), domain.table.0 | 3).unwrap();
    }
    assert_eq!(rig.vtd.mapped_ranges(&rig.mem, NIC, 10).len(), 10);
}

#[test]
fn registers_are_shown_in_words() {
    let mut rig = Rig::started(IommuConfig::default());
    assert_eq!(rig.get(0x1234), Err(1));
    let shown = rig.vtd.registers();
    let meaning = |name: &str| shown.iter().find(|view| view.name == name).unwrap().meaning.as_str();
    assert_eq!(meaning("GSTS"), "DMA remapping on, root table set, queue on");
    assert_eq!(meaning("FSTS"), "fault pending");
    assert_eq!(meaning("FECTL"), "masked, pending");
    assert_eq!(meaning("IQA"), "256 descriptors");
    assert_eq!(meaning("FRCD0"), "00:03.0: read of 0x1000: root entry not present");
}
