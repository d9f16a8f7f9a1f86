//! The first stage within the second: a guest's own tables, at addresses that its hypervisor's translate.

use super::*;
use crate::spec::fault::*;

/// Where a hypervisor puts its guest's memory: this far up.
const MOVE: u64 = 0x80_0000;

/// A guest whose memory, the first 8 MiB of what it sees, lies [`MOVE`] further up, and its tables with it. `chosen` are
/// bits of the second stage's pages.
struct Guest {
    unit: Scalable,
    second: Domain,
    /// The guest's root table, by the address that the guest knows.
    table: u64,
}

impl Guest {
    fn with(flags: u64) -> Self {
        let mut unit = Scalable::new();
        let second = unit.rig.domain(3, 4);
        for page in (0..0x80_0000).step_by(0x1000) {
            unit.rig.map(&second, page, page + MOVE, Rights::Rw);
        }
        let mut guest = Self { unit, second, table: 0x1000 };
        for (level, at) in [(3, 0x1000), (2, 0x2000), (1, 0x3000)] {
            guest.write(at + (IOVA >> (12 + 9 * level) & 0x1ff) * 8, (at + 0x1000) | 7);
        }
        guest.write(guest.leaf(), 0x5000 | 7);
        let entry = PasidMaker::new(3).first(Gpa(guest.table), 4).second(second.table, 4).with(0, flags);
        guest.unit.pasid(RID, entry);
        guest
    }

    fn new() -> Self {
        Self::with(0)
    }

    /// The same tables, under a unit that has paging-structure caches.
    fn with_paging_caches() -> Self {
        let paging_caches =
            crate::PagingCacheConfig { pml5: 8, pml4: 8, pdpt: 8, pd: 8, policy: crate::Policy::Lru };
        let mut guest = Self::new();
        let rig = &mut guest.unit.rig;
        rig.vtd = Vtd::new(IommuConfig { paging_caches, ..config(|_| {}) }).unwrap();
        rig.write(IQA, QUEUE.0 | 1 << 11);
        rig.write(RTADDR, rig.tables.root().0 | SCALABLE_ROOT);
        rig.write(GCMD, u64::from(QIE | SRTP));
        rig.write(GCMD, u64::from(QIE | TE));
        guest
    }

    /// Where the guest has the leaf of [`IOVA`].
    fn leaf(&self) -> u64 {
        0x4000 + (IOVA >> 12 & 0x1ff) * 8
    }

    /// Writes guest memory, as the guest sees it.
    fn write(&mut self, at: u64, value: u64) {
        self.unit.rig.mem.write_u64(Gpa(at + MOVE), value).unwrap();
    }

    fn read(&self, at: u64) -> u64 {
        self.unit.rig.mem.read_u64(Gpa(at + MOVE)).unwrap()
    }

    /// Changes what the second stage says of a page of the guest's.
    fn remap(&mut self, page: u64, entry: u64) {
        let gpa =
            self.unit.rig.tables.entry_gpa(&mut self.unit.rig.mem, &self.second, Iova(page), 0).unwrap();
        self.unit.rig.mem.write_u64(gpa, entry).unwrap();
    }

    fn second_bits(&mut self, page: u64) -> u64 {
        let gpa =
            self.unit.rig.tables.entry_gpa(&mut self.unit.rig.mem, &self.second, Iova(page), 0).unwrap();
        self.unit.rig.mem.read_u64(gpa).unwrap() >> 8 & 3
    }
}

#[test]
fn both_stages_are_walked_and_every_table_of_the_first_by_the_second() {
    let mut guest = Guest::new();
    assert_eq!(guest.unit.get(IOVA + 8), Ok(0x5008 + MOVE));
    // 4 entries of the first stage, each found by 4 of the second, as is the page; each of the former is marked, which takes
    // another 4; root, context, directory, PASID.
    assert_eq!(guest.unit.rig.vtd.stats().walk_reads, 4 + 4 * 5 + 4 + 4 * 4);
    assert_eq!(guest.read(guest.leaf()) >> 5 & 3, 1);
    let cached = guest.unit.rig.vtd.iotlb_entries().next().unwrap().entry;
    assert_eq!((cached.space, cached.gpa), (crate::Space::Nested(RID), Gpa(0x5000 + MOVE)));
    let range =
        |len| crate::Range { iova: Iova(IOVA), gpa: Gpa(0x5000 + MOVE), len, read: true, write: true };
    let mapped = guest.unit.rig.vtd.mapped_ranges(&guest.unit.rig.mem, NIC, 9);
    assert_eq!(mapped, [range(0x1000)]);
}

#[test]
fn paging_structure_caches_shorten_both() {
    let mut guest = Guest::with_paging_caches();
    guest.write(guest.leaf() + 8, 0x6000 | 7);
    guest.unit.put(IOVA).unwrap();
    let before = guest.unit.rig.vtd.stats().walk_reads;
    guest.unit.get(IOVA + 0x1000).unwrap();
    // The first stage's last entry, the second stage's for it, that for its mark, and that for the page.
    assert_eq!(guest.unit.rig.vtd.stats().walk_reads - before, 4);
    assert_eq!(guest.unit.get(IOVA + 0x1000), Ok(0x6000 + MOVE));
}

#[test]
fn no_cache_leads_past_an_entry_that_could_not_be_marked() {
    let mut guest = Guest::with_paging_caches();
    let root = guest.table + (IOVA >> 39 & 0x1ff) * 8;
    let frame = guest.table + MOVE;
    guest.remap(guest.table, frame | 1);
    for _ in 0..2 {
        assert_eq!(guest.unit.get(IOVA), Err(NESTED_WRITE), "the guest's root table is read-only");
    }
    guest.remap(guest.table, frame | 3);
    assert_eq!(guest.unit.get(IOVA), Ok(0x5000 + MOVE));
    assert_eq!(guest.read(root) >> 5 & 1, 1, "it has been marked");
}

#[test]
fn the_smaller_page_of_both_is_cached() {
    let mut guest = Guest::new();
    guest.write(0x3000 + (IOVA >> 21 & 0x1ff) * 8, 0x60_0000 | 7 | 1 << 7);
    let iova = IOVA & !0x1f_ffff | 0x3008;
    assert_eq!(guest.unit.get(iova), Ok(0x60_3008 + MOVE));
    let cached = guest.unit.rig.vtd.iotlb_entries().next().unwrap().entry;
    assert_eq!((cached.page_shift, cached.iova), (12, Iova(iova & !0xfff)));
    assert_eq!(guest.unit.rig.vtd.mapped_ranges(&guest.unit.rig.mem, NIC, 9)[0].len, 0x20_0000);
}

#[test]
fn each_stage_refuses_with_its_own_reason() {
    let page = 0x5000 + MOVE;
    for (table, entry, write, reason) in [
        // Where the first stage's tables are, by level from the top down, and the page itself.
        (0x1000, 0, false, NESTED_TOP_READ),
        (0x1000, (0x1000 + MOVE) | 2, false, NESTED_TOP_READ),
        (0x2000, 0, false, NESTED_READ),
        (0x4000, (0x4000 + MOVE) | 2, true, NESTED_READ),
        (0x4000, (0x4000 + MOVE) | 1, false, NESTED_WRITE),
        (0x4000, NOWHERE | 3, false, FIRST_FETCH),
        (0x1000, NOWHERE | 3, false, FIRST_TOP_FETCH),
        (0x4000, 3 | 1 << 62, false, SECOND_RESERVED),
        (0x5000, 0, false, SECOND_NOT_PRESENT),
        (0x5000, page | 1, true, SM_WRITE),
        (0x5000, page | 2, false, SM_READ),
        (0x5000, 0xfee0_0003, false, SM_INTERRUPT_ADDRESS),
    ] {
        let mut guest = Guest::new();
        guest.remap(table, entry);
        assert_eq!(guest.unit.ask(None, IOVA, write), Err(reason), "{table:#x}: {entry:#x}");
    }
    for (leaf, write, expected) in [
        (0x5000 | 5, true, Err(SM_WRITE)),
        (0x5000 | 3, false, Err(PRIVILEGE)),
        (0, false, Err(FIRST_NOT_PRESENT)),
        ((1 << 48) | 7, false, Err(FIRST_RESERVED)),
        (0x90_0000 | 7, false, Err(SECOND_NOT_PRESENT)),
        // The interrupt range of the guest's own addresses is like any other.
        (0xfee0_0007, false, Err(SECOND_NOT_PRESENT)),
    ] {
        let mut guest = Guest::new();
        guest.write(guest.leaf(), leaf);
        assert_eq!(guest.unit.ask(None, IOVA, write), expected, "{leaf:#x}");
    }
}

#[test]
fn first_stage_addresses_beyond_the_second_are_refused() {
    let mut unit = Scalable::new();
    let second = unit.rig.domain(3, 3);
    let entry = PasidMaker::new(3).first(Gpa(1 << 40), 4).second(second.table, 3);
    unit.pasid(RID, entry);
    assert_eq!(unit.get(IOVA), Err(NESTED_TOO_WIDE));
}

#[test]
fn both_stages_bits_are_kept() {
    let mut guest = Guest::with(1 << 9);
    guest.unit.get(IOVA).unwrap();
    assert_eq!(guest.second_bits(0x5000), 1);
    assert_eq!(guest.second_bits(0x4000), 3, "the unit has written the accessed bit there");
    guest.unit.put(IOVA).unwrap();
    assert_eq!(guest.second_bits(0x5000), 3);
    assert_eq!(guest.read(guest.leaf()) >> 5 & 3, 3);
}
