//! Anything at all in registers, tables and descriptors: the unit may refuse, never panic or hang; and at any moment
//! it can be saved, written out, read back and go on as if nothing had happened.

use super::*;
use crate::{CacheConfig, IotlbConfig, PagingCacheConfig, Policy, VtdState};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Act {
    Write { offset: u64, wide: bool, value: u64 },
    Read { offset: u64, wide: bool },
    Memory { gpa: u64, value: u64 },
    Dma { bdf: u16, iova: u64, write: bool },
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
        Just(u64::MAX),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    let register = prop_oneof![3 => (0u64..0x40).prop_map(|n| n * 4), 1 => (0u64..0x90).prop_map(|n| n * 4)];
    let source = prop_oneof![0u16..16, any::<u16>()];
    prop_oneof![
        4 => (register.clone(), any::<bool>(), number())
            .prop_map(|(offset, wide, value)| Act::Write { offset, wide, value }),
        1 => (register, any::<bool>()).prop_map(|(offset, wide)| Act::Read { offset, wide }),
        6 => (0u64..0x1000, number()).prop_map(|(qword, value)| Act::Memory { gpa: qword * 8, value }),
        4 => (source.clone(), number(), any::<bool>())
            .prop_map(|(bdf, iova, write)| Act::Dma { bdf, iova, write }),
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
    (policy, any::<[bool; 8]>(), 1u16..4).prop_map(|(policy, flags, fault_records)| IommuConfig {
        address_bits: if flags[0] { 39 } else { 57 },
        protected_low: flags[4],
        protected_high: flags[5],
        page_selective: flags[6],
        implied_invalidation: flags[7],
        domain_bits: if flags[4] { 4 } else { 16 },
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
            Act::Dma { bdf, iova, write } => self
                .vtd
                .translate(env, &mut self.mem, Bdf(bdf), Iova(iova), write)
                .ok()
                .map(|found| found.gpa.0),
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
