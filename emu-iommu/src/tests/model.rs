//! The unit against two small models made independently of it: a walker that only knows memory, and a set of stale
//! translations that only knows what was invalidated.

use super::*;
use crate::{IotlbConfig, PagingCacheConfig, Policy};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The specification's walk for a 48-bit unit with every capability, from the bytes in memory, recursively.
mod reference {
    use emu_core::Gpa;
    use emu_core::mem::PhysMem;

    fn bits(value: u64, high: u32, low: u32) -> u64 {
        value << (63 - high) >> (63 - high + low)
    }

    pub(super) fn request(mem: &PhysMem, root: u64, source: u16, iova: u64, write: bool) -> Result<u64, u8> {
        let fetch = |at: u64, reason: u8| -> Result<(u64, u64), u8> {
            let low = mem.read_u64(Gpa(at)).map_err(|_| reason)?;
            Ok((low, mem.read_u64(Gpa(at + 8)).map_err(|_| reason)?))
        };
        let (low, high) = fetch(root + 16 * u64::from(source >> 8), 8)?;
        match () {
            () if bits(low, 0, 0) == 0 => return Err(1),
            () if bits(low, 11, 1) != 0 || bits(low, 63, 48) != 0 || high != 0 => return Err(0xa),
            () => {}
        }
        let (low, high) = fetch((bits(low, 47, 12) << 12) + 16 * u64::from(source & 0xff), 9)?;
        let (kind, width) = (bits(low, 3, 2), bits(high, 2, 0));
        match () {
            () if bits(low, 0, 0) == 0 => return Err(2),
            () if bits(low, 11, 4) != 0 || bits(high, 7, 7) != 0 || bits(high, 63, 24) != 0 => {
                return Err(0xb);
            }
            () if kind != 2 && bits(low, 63, 48) != 0 => return Err(0xb),
            () if kind % 2 == 1 || width == 0 || width > 2 => return Err(3),
            () if iova >= [1 << 39, 1 << 48][width as usize - 1] => return Err(4),
            () if kind == 2 => return Ok(iova),
            () => {}
        }
        level(mem, bits(low, 47, 12) << 12, iova, write, 30 + 9 * (width as u32 - 1))
    }

    fn level(mem: &PhysMem, table: u64, iova: u64, write: bool, shift: u32) -> Result<u64, u8> {
        let at = table + 8 * bits(iova, shift + 8, shift);
        let entry = mem.read_u64(Gpa(at)).map_err(|_| 7)?;
        let denied = if write { 5 } else { 6 };
        if bits(entry, 1, 0) == 0 {
            return Err(denied);
        }
        let large = shift > 12 && bits(entry, 7, 7) == 1;
        let leaf = shift == 12 || large;
        let wrong = bits(entry, 51, 48) != 0
            || bits(entry, 62, 62) != 0
            || shift == 39 && large
            || !leaf && bits(entry, 11, 11) != 0
            || large && bits(entry, shift - 1, 12) != 0;
        match () {
            () if wrong => Err(0xc),
            () if bits(entry, u32::from(write), u32::from(write)) == 0 => Err(denied),
            () if leaf => match bits(entry, 47, shift) << shift | bits(iova, shift - 1, 0) {
                at if at >> 20 == 0xfee => Err(0xe),
                at => Ok(at),
            },
            () => level(mem, bits(entry, 47, 12) << 12, iova, write, shift - 9),
        }
    }
}

/// Where a bit of a table is flipped: which table on the way to the page, which bit.
#[derive(Clone, Copy, Debug)]
struct Flip {
    table: u8,
    bit: u32,
}

/// As many entries for each level.
fn paging_caches(entries: u16) -> PagingCacheConfig {
    PagingCacheConfig { pml5: entries, pml4: entries, pdpt: entries, pd: entries, policy: Policy::Lru }
}

fn flip() -> impl Strategy<Value = Flip> {
    (0u8..6, 0u32..128).prop_map(|(table, bit)| Flip { table, bit })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_tables_are_walked_as_the_reference_walks_them(
        flips in prop::collection::vec(flip(), 0..4),
        levels in 3u8..=4,
        paging in 0u16..3,
        leaf_level in 0u8..3,
        pass in any::<bool>(),
        offset in prop_oneof![0u64..0x1000, any::<u64>()],
        write in any::<bool>(),
    ) {
        let paging_caches = paging_caches(paging);
        let (mut rig, domain) = Rig::with_nic(IommuConfig { paging_caches, ..Default::default() }, levels);
        let iova = 0x40_0020_3000u64 & ((1 << 38) - 1);
        let size = 1u64 << (12 + 9 * leaf_level);
        rig.map_large(&domain, iova & !(size - 1), 4 * size, leaf_level, Rights::Rw);
        if pass {
            let [low, high] = domain.context();
            rig.tables.context(&mut rig.mem, NIC, [low | 8, high]).unwrap();
        }
        for Flip { table, bit } in flips {
            let gpa = match table {
                5 => rig.tables.root(),
                4 => rig.tables.context_gpa(&mut rig.mem, NIC).unwrap(),
                level if level < leaf_level || level >= levels => continue,
                level => {
                    // A table that is no longer where it was can't be damaged further.
                    let Ok(gpa) = rig.tables.entry_gpa(&mut rig.mem, &domain, Iova(iova), level) else { continue };
                    gpa
                }
            };
            let half = if table >= 4 { gpa.plus(u64::from(bit / 64) * 8) } else { gpa };
            let Ok(old) = rig.mem.read_u64(half) else { continue };
            rig.mem.write_u64(half, old ^ 1 << (bit % 64)).unwrap();
        }
        let iova = iova.wrapping_add(offset);
        prop_assume!(!(0xfee0_0000..0xfef0_0000).contains(&iova));
        let root = rig.tables.root().0;
        let expected = reference::request(&rig.mem, root, NIC.0, iova, write);
        prop_assert_eq!(rig.dma(NIC, iova, write), expected);
        // Again, now perhaps from the caches: nothing has changed in between.
        prop_assert_eq!(rig.dma(NIC, iova, write), expected);
    }
}

/// What a driver or a device does next. Pages are 0-15, domains 1 and 2.
#[derive(Clone, Copy, Debug)]
enum Act {
    Map { domain: u16, page: u64, to: u64, rights: u64 },
    Dma { domain: u16, page: u64, write: bool },
    Pages { domain: u16, page: u64, mask: u64 },
    Domain(u16),
    Global,
}

fn act() -> impl Strategy<Value = Act> {
    let (domain, page) = (1u16..=2, 0u64..16);
    prop_oneof![
        3 => (domain.clone(), page.clone(), 1u64..256, 0u64..4)
            .prop_map(|(domain, page, to, rights)| Act::Map { domain, page, to, rights }),
        6 => (domain.clone(), page.clone(), any::<bool>())
            .prop_map(|(domain, page, write)| Act::Dma { domain, page, write }),
        2 => (domain.clone(), page, 0u64..5).prop_map(|(domain, page, mask)| Act::Pages { domain, page, mask }),
        1 => domain.prop_map(Act::Domain),
        1 => Just(Act::Global),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// With an IOTLB that never has to evict, what is cached is exactly what was used and not invalidated.
    #[test]
    fn staleness_is_exactly_what_was_not_invalidated(
        acts in prop::collection::vec(act(), 1..120),
        paging in 0u16..3,
    ) {
        let iotlb = IotlbConfig { sets: 1, ways: 64, policy: Policy::Fifo };
        let config = IommuConfig { iotlb, paging_caches: paging_caches(paging), ..Default::default() };
        let (mut rig, first) = Rig::with_nic(config, 4);
        let second = rig.domain(2, 4);
        rig.attach(OTHER, &second);
        let mut mapped: BTreeMap<(u16, u64), (u64, u64)> = BTreeMap::new();
        let mut cached: BTreeMap<(u16, u64), (u64, u64)> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Map { domain, page, to, rights } => {
                    let tables = if domain == 1 { first } else { second };
                    let gpa = rig.tables.entry_gpa(&mut rig.mem, &tables, Iova(page << 12), 0).unwrap();
                    rig.mem.write_u64(gpa, to << 12 | rights).unwrap();
                    mapped.insert((domain, page), (to, rights));
                }
                Act::Dma { domain, page, write } => {
                    let key = (domain, page);
                    let known = cached.get(&key).or(mapped.get(&key)).copied().unwrap_or_default();
                    let allowed = known.1 >> u32::from(write) & 1 != 0;
                    if allowed {
                        cached.insert(key, known);
                    }
                    let expected = if allowed { Ok(known.0 << 12) } else { Err(if write { 5 } else { 6 }) };
                    let bdf = if domain == 1 { NIC } else { OTHER };
                    prop_assert_eq!(rig.dma(bdf, page << 12, write), expected);
                }
                Act::Pages { domain, page, mask } => {
                    rig.submit(&[[u64::from(domain) << 16 | 0x32, page << 12 | mask]]);
                    cached.retain(|(d, p), _| *d != domain || p >> mask != page >> mask);
                }
                Act::Domain(domain) => {
                    rig.submit(&[[u64::from(domain) << 16 | 0x22, 0]]);
                    cached.retain(|(d, _), _| *d != domain);
                }
                Act::Global => {
                    rig.submit(&[[0x12, 0]]);
                    cached.clear();
                }
            }
            prop_assert_eq!(rig.vtd.iotlb_entries().count(), cached.len());
        }
    }
}
