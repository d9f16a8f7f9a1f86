//! Anything at all in registers, tables and descriptors: the unit may refuse, never panic or hang; and at any moment
//! it can be saved, written out, read back and go on as if nothing had happened.

use super::*;
use crate::{
    CacheConfig, DmaRequest, IotlbConfig, PagingCacheConfig, PasidPrefix, Policy, ScalableConfig, VtdState,
};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Write { offset: u64, wide: bool, value: u64 },
    Read { offset: u64, wide: bool },
    Memory { gpa: u64, value: u64 },
    Dma { bdf: u16, pasid: Option<(u32, bool, bool)>, iova: u64, write: bool },
    Msi { bdf: u16, address: u64, data: u32 },
}

/// Numbers that mean something to the unit more often than chance would have it.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0u64..64).prop_map(|bit| 1 << bit),
        (0u64..8, 0u64..0x1000).prop_map(|(page, low)| page << 12 | low),
        (0u64..8, 0u64..64).prop_map(|(page, bit)| page << 12 | 3 | 1 << bit),
        (0u64..4, 0u64..0x40).prop_map(|(granularity, kind)| granularity << 4 | kind),
        Just(u64::from(TE | SRTP | QIE | IRE | SIRTP)),
        // Pages with the bits of scalable mode: root table, wide queue, directories, PASID and first-stage entries.
        (0u64..8, 0u64..4).prop_map(|(page, mode)| page << 12 | mode << 10),
        (0u64..8, 0u64..5).prop_map(|(page, kind)| page << 12 | kind << 6 | 2 << 2 | 1),
        (0u64..8, any::<bool>()).prop_map(|(page, large)| page << 12 | u64::from(large) << 7 | 7),
        Just(u64::MAX),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let register = prop_oneof![3 => (0u64..0x40).prop_map(|n| n * 4), 1 => (0u64..0x90).prop_map(|n| n * 4)];
    let source = prop_oneof![0u16..16, any::<u16>()];
    let prefix = prop::option::of((prop_oneof![0u32..16, any::<u32>()], any::<bool>(), any::<bool>()));
    prop_oneof![
        4 => (register.clone(), any::<bool>(), number())
            .prop_map(|(offset, wide, value)| Act::Write { offset, wide, value }),
        1 => (register, any::<bool>()).prop_map(|(offset, wide)| Act::Read { offset, wide }),
        6 => (0u64..0x1000, number()).prop_map(|(qword, value)| Act::Memory { gpa: qword * 8, value }),
        4 => (source.clone(), prefix, number(), any::<bool>())
            .prop_map(|(bdf, pasid, iova, write)| Act::Dma { bdf, pasid, iova, write }),
        2 => (source, number(), any::<u32>())
            .prop_map(|(bdf, low, data)| Act::Msi { bdf, address: 0xfee0_0000 | low & 0xf_ffff, data }),
    ]
}

fn config() -> impl Strategy<Value = IommuConfig> {
    let policy = prop_oneof![
        Just(Policy::Lru),
        Just(Policy::Fifo),
        Just(Policy::PseudoLru),
        any::<u64>().prop_map(Policy::Random),
    ];
    (policy, any::<[bool; 10]>(), 1u16..4).prop_map(|(policy, flags, fault_records)| IommuConfig {
        address_bits: if flags[0] { 39 } else { 57 },
        protected_low: flags[4],
        protected_high: flags[5],
        page_selective: flags[6],
        implied_invalidation: flags[7],
        domain_bits: if flags[4] { 4 } else { 16 },
        scalable: flags[8].then(|| ScalableConfig { access_dirty: flags[9], ..ScalableConfig::default() }),
        pasid_cache: CacheConfig { sets: 2, ways: 1, policy },
        superpages: flags[1],
        caching_mode: flags[2],
        eim: flags[3],
        fault_records,
        iotlb: IotlbConfig { sets: 2, ways: 2, policy },
        context_cache: CacheConfig { sets: 1, ways: 2, policy },
        interrupt_cache: 2,
        interrupt_policy: policy,
        paging_caches: PagingCacheConfig { pml5: 1, pml4: 1, pdpt: 2, pd: 2, policy },
        ..IommuConfig::default()
    })
}

impl Rig {
    fn act(&mut self, act: Act) -> Option<u64> {
        let width = |wide| if wide { Width::B8 } else { Width::B4 };
        let env = &mut self.fabric.env();
        match act {
            Act::Write { offset, wide, value } => {
                self.vtd.write(env, &mut self.mem, offset, width(wide), value).ok().map(|()| 0)
            }
            Act::Read { offset, wide } => self.vtd.read(env, &mut self.mem, offset, width(wide)).ok(),
            Act::Memory { gpa, value } => self.mem.write_u64(Gpa(gpa), value).ok().map(|()| 0),
            Act::Dma { bdf, pasid, iova, write } => {
                let pasid =
                    pasid.map(|(pasid, privileged, execute)| PasidPrefix { pasid, privileged, execute });
                let request = DmaRequest { bdf: Bdf(bdf), pasid, iova: Iova(iova), write };
                self.vtd.translate_request(env, &mut self.mem, request).ok().map(|found| found.gpa.0)
            }
            Act::Msi { bdf, address, data } => {
                let remapped = self.vtd.remap(env, &mut self.mem, Bdf(bdf), Msi { address, data });
                remapped.map(|(interrupt, _)| interrupt.vector.into())
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_breaks_it_and_a_saved_unit_goes_on_the_same(
        config in config(),
        acts in prop::collection::vec(act(), 1..200),
        saved_at in 0usize..200,
    ) {
        let mut rig = Rig::new(config.clone());
        let mut twin = Rig::new(config.clone());
        for (index, act) in acts.iter().enumerate() {
            prop_assert_eq!(rig.act(*act), twin.act(*act));
            if index == saved_at {
                let text = ron::to_string(twin.vtd.state()).unwrap();
                let state: VtdState = ron::from_str(&text).unwrap();
                twin.vtd = Vtd::new(config.clone()).unwrap();
                twin.vtd.restore(state).unwrap();
            }
            prop_assert!(!rig.vtd.walk_explain(&rig.mem, Bdf(1), Iova(0x1000)).is_empty());
        }
        prop_assert!(rig.vtd.registers().len() >= 22);
        prop_assert!(rig.vtd.mapped_ranges(&rig.mem, Bdf(0), 4).len() <= 4);
        prop_assert_eq!(&rig.vtd, &twin.vtd);
        prop_assert_eq!(rig.fabric.signals, twin.fabric.signals);
    }
}

#[test]
fn a_state_that_can_not_be_is_refused() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
    rig.put(0x1000).unwrap();
    let good = ron::to_string(rig.vtd.state()).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in {good}");
        let state: VtdState = ron::from_str(&good.replacen(from, to, 1)).unwrap();
        Vtd::new(IommuConfig::default()).unwrap().restore(state).unwrap_err().0
    };
    assert_eq!(refused("status:3288334336", "status:1"), "reserved status bits");
    assert_eq!(refused("fault_next:0", "fault_next:8"), "a fault record that does not exist");
    assert_eq!(refused("queue_head:0", "queue_head:8"), "a misaligned queue pointer");
    assert_eq!(refused("page_shift:12", "page_shift:64"), "another IOTLB");
    assert_eq!(refused("iova:4096", "iova:8192"), "another IOTLB");
    assert_eq!(refused("fault_records:[(0,0),", "fault_records:["), "other fault records");
    assert_eq!(refused("sets:8", "sets:16"), "another context cache");
    let mut other = Vtd::new(IommuConfig { interrupt_cache: 4, ..Default::default() }).unwrap();
    assert_eq!(other.restore(rig.vtd.state().clone()).unwrap_err().0, "another interrupt cache");
}

#[test]
fn a_scalable_state_is_refused_by_a_unit_that_could_not_have_it() {
    let config = IommuConfig { scalable: Some(ScalableConfig::default()), ..IommuConfig::default() };
    let mut rig = Rig::new(config.clone());
    let directory = rig.tables.directory(&mut rig.mem, NIC, 0).unwrap();
    let entry = crate::testing::PasidMaker::new(1).pass_through();
    rig.tables.pasid(&mut rig.mem, directory, 0, entry).unwrap();
    rig.write(RTADDR, rig.tables.root().0 | crate::testing::SCALABLE_ROOT);
    rig.write(GCMD, u64::from(SRTP));
    rig.write(GCMD, u64::from(TE));
    rig.get(0x1000).unwrap();
    let good = rig.vtd.state().clone();
    Vtd::new(config.clone()).unwrap().restore(good.clone()).unwrap();
    let mut legacy = Vtd::new(IommuConfig::default()).unwrap();
    assert_eq!(legacy.restore(good.clone()).unwrap_err().0, "a misaligned root table");
    let text = ron::to_string(&good).unwrap();
    for (from, to, why) in [
        ("scalable:true", "scalable:false", "another context cache"),
        ("pasid:0,", "pasid:1048576,", "another PASID cache"),
        ("pasid:0,", "pasid:1,", "another PASID cache"),
    ] {
        assert!(text.contains(from), "{text}");
        let state: VtdState = ron::from_str(&text.replacen(from, to, 1)).unwrap();
        assert_eq!(Vtd::new(config.clone()).unwrap().restore(state).unwrap_err().0, why);
    }
}
