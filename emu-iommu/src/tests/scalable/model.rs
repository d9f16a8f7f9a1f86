//! Scalable mode against a small walker made independently of it, on tables with random damage.

use super::*;
use proptest::prelude::*;

/// The specification's way of a request through a 48-bit unit with every capability, from the bytes in memory. Changes
/// nothing: accessed and dirty bits are asked for, not written.
mod reference {
    use emu_core::Gpa;
    use emu_core::mem::PhysMem;

    pub(super) struct Asked {
        pub(super) source: u16,
        pub(super) prefix: Option<(u32, bool, bool)>,
        pub(super) iova: u64,
        pub(super) write: bool,
    }

    struct Rights {
        privileged: bool,
        execute: bool,
        write: bool,
    }

    fn bits(value: u64, high: u32, low: u32) -> u64 {
        value << (63 - high) >> (63 - high + low)
    }

    fn qwords<const N: usize>(mem: &PhysMem, at: u64, reason: u8) -> Result<[u64; N], u8> {
        let mut all = [0; N];
        for (index, qword) in all.iter_mut().enumerate() {
            *qword = mem.read_u64(Gpa(at.wrapping_add(8 * index as u64))).map_err(|_| reason)?;
        }
        Ok(all)
    }

    fn refuse_if(refused: bool, reason: u8) -> Result<(), u8> {
        if refused { Err(reason) } else { Ok(()) }
    }

    fn pointer(entry: u64) -> u64 {
        bits(entry, 47, 12) << 12
    }

    pub(super) fn request(mem: &PhysMem, root: u64, asked: &Asked) -> Result<u64, u8> {
        let source = u64::from(asked.source);
        let halves: [u64; 2] = qwords(mem, root + 16 * bits(source, 15, 8), 0x38)?;
        let half = halves[bits(source, 7, 7) as usize];
        refuse_if(bits(half, 0, 0) == 0, 0x39)?;
        refuse_if(bits(half, 11, 1) != 0 || bits(half, 63, 48) != 0, 0x3a)?;
        let context: [u64; 4] = qwords(mem, pointer(half) + 32 * bits(source, 6, 0), 0x40)?;
        let [c0, c1, c2, c3] = context;
        refuse_if(bits(c0, 0, 0) == 0, 0x41)?;
        let odd =
            bits(c0, 2, 2) | bits(c0, 4, 4) | bits(c0, 8, 5) | bits(c0, 63, 48) | bits(c1, 63, 21) | c2 | c3;
        refuse_if(odd != 0, 0x42)?;
        let directories = 1u64 << (7 + bits(c0, 11, 9));
        refuse_if(bits(c1, 19, 6) >= directories, 0x48)?;
        let (pasid, privileged, execute) = match asked.prefix {
            None => (bits(c1, 19, 0), bits(c1, 20, 20) == 1, false),
            Some((pasid, privileged, execute)) => {
                refuse_if(bits(c0, 3, 3) == 0, 0x45)?;
                refuse_if(u64::from(pasid) >> 6 >= directories, 0x46)?;
                (u64::from(pasid), privileged, execute)
            }
        };
        let [directory] = qwords(mem, pointer(c0) + 8 * (pasid >> 6), 0x50)?;
        refuse_if(bits(directory, 0, 0) == 0, 0x51)?;
        refuse_if(bits(directory, 11, 2) != 0 || bits(directory, 63, 48) != 0, 0x52)?;
        let entry = qwords(mem, pointer(directory) + 64 * bits(pasid, 5, 0), 0x58)?;
        translate(mem, &entry, asked.iova, &Rights { privileged, execute, write: asked.write })
    }

    fn translate(mem: &PhysMem, entry: &[u64; 8], iova: u64, rights: &Rights) -> Result<u64, u8> {
        let [p0, p1, p2, ..] = *entry;
        refuse_if(bits(p0, 0, 0) == 0, 0x59)?;
        let kind = bits(p0, 8, 6);
        let (nested, second) = (kind == 3, kind == 2 || kind == 3);
        let odd = bits(p0, 5, 5) != 0
            || bits(p0, 11, 10) != 0
            || second && bits(p0, 63, 48) != 0
            || bits(p1, 22, 16) != 0
            || bits(p1, 63, 25) != 0
            || bits(p2, 11, 7) != 0
            || kind == 1 && bits(p2, 63, 48) != 0
            || entry[3..] != [0; 5];
        refuse_if(odd, 0x5a)?;
        let width = bits(p0, 4, 2);
        refuse_if(kind == 0 || kind > 4, 0x5b)?;
        refuse_if(second && !(1..=2).contains(&width), 0x5b)?;
        refuse_if((kind == 1 || nested) && bits(p2, 3, 3) != 0, 0x5b)?;
        refuse_if(rights.execute && bits(p2, 1, 1) == 0, 0x5c)?;
        refuse_if(rights.privileged && bits(p2, 0, 0) == 0, 0x5d)?;
        let outer = |at: u64, write: bool| second_stage(mem, entry, at, write);
        let found = match kind {
            4 => return if iova >> 48 == 0 { Ok(iova) } else { Err(0x83) },
            2 => outer(iova, rights.write)?,
            _ => {
                let walked = first_stage(mem, entry, iova, rights, nested)?;
                let found = if nested { outer(walked.address, rights.write)? } else { walked.address };
                refuse_if(found >> 20 == 0xfee, 0x87)?;
                for (level, (at, entry)) in walked.used.iter().rev().enumerate() {
                    let due = entry & 1 << 5 == 0 || level == 0 && rights.write && entry & 1 << 6 == 0;
                    refuse_if(due && bits(p1, 23, 23) == 0, 0x90)?;
                    if due && nested {
                        outer(*at, true).map_err(|reason| if reason == 0x85 { 0x77 } else { reason })?;
                    }
                }
                found
            }
        };
        refuse_if(found >> 20 == 0xfee, 0x87)?;
        Ok(found)
    }

    struct Walked {
        address: u64,
        /// From the top down.
        used: Vec<(u64, u64)>,
    }

    fn first_stage(
        mem: &PhysMem,
        pasid: &[u64; 8],
        iova: u64,
        rights: &Rights,
        nested: bool,
    ) -> Result<Walked, u8> {
        let flags = pasid[2];
        let levels = 4 + bits(flags, 2, 2) as u32;
        let top = 11 + 9 * levels;
        refuse_if(![0, u64::MAX >> top].contains(&(iova >> top)), 0x80)?;
        let mut table = if nested { bits(flags, 51, 12) << 12 } else { pointer(flags) };
        let mut used = Vec::new();
        let mut all = u64::MAX;
        let mut barred = 0;
        for level in (0..levels).rev() {
            let first = level == levels - 1;
            let shift = 12 + 9 * level;
            let at = table + 8 * bits(iova, shift + 8, shift);
            let place = if nested {
                second_stage(mem, pasid, at, false).map_err(|reason| match reason {
                    0x86 | 0x79 => {
                        if first {
                            0x75
                        } else {
                            0x76
                        }
                    }
                    0x84 => 0x74,
                    other => other,
                })?
            } else {
                at
            };
            let [entry] = qwords(mem, place, if first { 0x73 } else { 0x70 })?;
            used.push((at, entry));
            refuse_if(bits(entry, 0, 0) == 0, 0x71)?;
            let large = level > 0 && bits(entry, 7, 7) == 1;
            let odd = bits(entry, 51, 48) != 0 || large && (level > 2 || bits(entry, shift - 1, 13) != 0);
            refuse_if(odd, 0x72)?;
            all &= entry;
            barred |= entry & bits(flags, 5, 5) << 63;
            if level == 0 || large {
                let user = bits(all, 2, 2) == 1;
                refuse_if(!rights.privileged && !user, 0x81)?;
                let guarded = rights.privileged && user && bits(flags, 6, 6) == 1;
                refuse_if(rights.execute && (barred != 0 || guarded), 0x82)?;
                let free = rights.privileged && bits(flags, 4, 4) == 0;
                refuse_if(rights.write && bits(all, 1, 1) == 0 && !free, 0x85)?;
                let address = bits(entry, 47, shift) << shift | bits(iova, shift - 1, 0);
                return Ok(Walked { address, used });
            }
            table = pointer(entry);
        }
        unreachable!("level 0 is a leaf")
    }

    fn second_stage(mem: &PhysMem, pasid: &[u64; 8], at: u64, write: bool) -> Result<u64, u8> {
        let levels = 2 + bits(pasid[0], 4, 2) as u32;
        refuse_if(at >> (12 + 9 * levels) != 0, 0x84)?;
        let mut table = pointer(pasid[0]);
        let mut used = Vec::new();
        let mut all = u64::MAX;
        for level in (0..levels).rev() {
            let shift = 12 + 9 * level;
            let [entry] = qwords(
                mem,
                table + 8 * bits(at, shift + 8, shift),
                if level == levels - 1 { 0x7b } else { 0x78 },
            )?;
            refuse_if(bits(entry, 1, 0) == 0, 0x79)?;
            let large = level > 0 && bits(entry, 7, 7) == 1;
            let leaf = level == 0 || large;
            let odd = bits(entry, 51, 48) != 0
                || bits(entry, 62, 62) != 0
                || large && (level > 2 || bits(entry, shift - 1, 12) != 0)
                || !leaf && bits(entry, 11, 11) != 0;
            refuse_if(odd, 0x7a)?;
            all &= entry;
            used.push(entry);
            refuse_if(bits(all, u32::from(write), u32::from(write)) == 0, if write { 0x85 } else { 0x86 })?;
            if leaf {
                let due = used.iter().any(|entry| bits(*entry, 8, 8) == 0) || write && bits(entry, 9, 9) == 0;
                let kept = bits(pasid[0], 9, 9) == 1;
                refuse_if(kept && due && bits(pasid[1], 23, 23) == 0, 0x7c)?;
                return Ok(bits(entry, 47, shift) << shift | bits(at, shift - 1, 0));
            }
            table = pointer(entry);
        }
        unreachable!("level 0 is a leaf")
    }
}

/// A bit is flipped: of the root entry, the context entry, the directory's, the PASID entry, or a paging entry of a level.
#[derive(Clone, Copy, Debug)]
enum Flip {
    Root(u32),
    Context(u32),
    Directory(u32),
    Pasid(u32),
    First(u8, u32),
    Second(u8, u32, bool),
}

fn flip() -> impl Strategy<Value = Flip> {
    prop_oneof![
        1 => (0u32..128).prop_map(Flip::Root),
        1 => (0u32..256).prop_map(Flip::Context),
        1 => (0u32..64).prop_map(Flip::Directory),
        3 => prop_oneof![0u32..12, 64u32..96, 128u32..140, 0u32..512].prop_map(Flip::Pasid),
        4 => (0u8..5, prop_oneof![0u32..13, 0u32..64]).prop_map(|(level, bit)| Flip::First(level, bit)),
        4 => (0u8..4, prop_oneof![0u32..13, 0u32..64], any::<bool>())
            .prop_map(|(level, bit, table)| Flip::Second(level, bit, table)),
    ]
}

/// A unit and its tables: by the first stage, the second or both; pages and tables of the first are mapped by the second
/// where they are.
struct World {
    unit: Scalable,
    first: (Gpa, u8),
    second: Domain,
    leaf_level: u8,
}

const PASID: u32 = 0x123;

fn world(kind: u64, levels: u8, leaf_level: u8, paging: u16, flags: u64) -> World {
    let policy = crate::Policy::Lru;
    let paging_caches =
        crate::PagingCacheConfig { pml5: paging, pml4: paging, pdpt: paging, pd: paging, policy };
    let mut unit = Scalable::with(IommuConfig { paging_caches, ..config(|_| {}) });
    let second = unit.rig.domain(3, 4);
    let size = 1u64 << (12 + 9 * leaf_level);
    let first = (unit.rig.tables.page(&mut unit.rig.mem).unwrap(), levels);
    unit.map_first(first, IOVA & !(size - 1), 0, leaf_level, 7);
    // All of memory where it is, in small pages, and what a second stage alone is asked for.
    for page in (0..0x20_0000).step_by(0x1000) {
        unit.rig.map(&second, page, page, Rights::Rw);
    }
    unit.rig.map_large(&second, IOVA & !(size - 1), 0, leaf_level, Rights::Rw);
    let mut entry = PasidMaker::new(1).with(2, flags);
    if kind & 1 != 0 {
        entry = entry.first(first.0, levels);
    }
    if kind & 2 != 0 {
        entry = entry.second(second.table, 4);
    }
    if kind == 0 {
        entry = entry.pass_through();
    }
    unit.pasid(RID, entry);
    unit.pasid(PASID, entry);
    World { unit, first, second, leaf_level }
}

impl World {
    fn flip(&mut self, flip: Flip, pasid: u32) {
        let World { unit, first, second, leaf_level } = self;
        let levels = first.1;
        let (rig, directory) = (&mut unit.rig, unit.directory);
        let (gpa, bit) = match flip {
            Flip::Root(bit) => (Ok(rig.tables.root()), bit),
            Flip::Context(bit) => (rig.tables.scalable_context_gpa(&mut rig.mem, NIC), bit),
            Flip::Directory(bit) => (Ok(directory.plus(u64::from(pasid >> 6) * 8)), bit),
            Flip::Pasid(bit) => (rig.tables.pasid_gpa(&mut rig.mem, directory, pasid), bit),
            Flip::First(level, _) if level < *leaf_level || level >= levels => return,
            Flip::First(level, bit) => {
                (rig.tables.first_entry_gpa(&mut rig.mem, *first, Iova(IOVA), level), bit)
            }
            Flip::Second(level, _, false) if level < *leaf_level => return,
            Flip::Second(level, bit, of_table) => {
                // The entry for the asked address, or for the first stage's topmost table.
                let at = if of_table { first.0.0 } else { IOVA };
                (rig.tables.entry_gpa(&mut rig.mem, second, Iova(at), level), bit)
            }
        };
        // A table that is no longer where it was can't be damaged further.
        let Ok(gpa) = gpa.map(|gpa| gpa.plus(u64::from(bit / 64) * 8)) else { return };
        if let Ok(old) = rig.mem.read_u64(gpa) {
            rig.mem.write_u64(gpa, old ^ 1 << (bit % 64)).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 768, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_tables_are_walked_as_the_reference_walks_them(
        flips in prop::collection::vec(flip(), 0..4),
        (kind, levels, leaf_level) in (0u64..4, 4u8..=5, 0u8..3),
        (paging, flags) in (0u16..3, (0u64..8).prop_map(|flags| flags << 4 | 3)),
        prefix in prop::option::of((Just(PASID), any::<bool>(), any::<bool>())),
        (offset, write) in (prop_oneof![3 => 0u64..0x1000, 1 => any::<u64>()], any::<bool>()),
    ) {
        let mut world = world(kind, levels, leaf_level, paging, flags);
        for flip in flips {
            world.flip(flip, prefix.map_or(RID, |(pasid, ..)| pasid));
        }
        let iova = IOVA.wrapping_add(offset);
        prop_assume!(prefix.is_some() || !(0xfee0_0000..0xfef0_0000).contains(&iova));
        let root = world.unit.rig.tables.root().0;
        let asked = reference::Asked { source: NIC.0, prefix, iova, write };
        let expected = reference::request(&world.unit.rig.mem, root, &asked);
        let prefix =
            prefix.map(|(pasid, privileged, execute)| PasidPrefix { pasid, privileged, execute });
        prop_assert_eq!(world.unit.ask(prefix, iova, write), expected);
        // What there is now, bits set by the unit included, says the same to the reference and to those who look.
        let after = reference::request(&world.unit.rig.mem, root, &asked);
        if expected.is_ok() {
            prop_assert_eq!(after, expected);
        }
        prop_assert_eq!(world.unit.ask(prefix, iova, write), after);
        prop_assert!(!world.unit.rig.vtd.walk_explain(&world.unit.rig.mem, NIC, Iova(iova)).is_empty());
        prop_assert!(world.unit.rig.vtd.mapped_ranges(&world.unit.rig.mem, NIC, 3).len() <= 3);
    }
}
