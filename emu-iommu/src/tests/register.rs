//! The register page: capabilities, access rules, commands, and the order in which Linux brings the unit up.

use super::*;
use crate::testing::{from_source, irte};
use crate::{CacheConfig, ConfigError, IotlbConfig, Policy, VtdState, register_name};
use emu_core::IoError;

#[test]
fn capabilities_say_what_was_configured() {
    let mut rig = Rig::new(IommuConfig::default());
    assert_eq!(rig.read(VER), 0x10);
    let cap = rig.read(CAP);
    let field = |low: u32, bits: u32| cap >> low & ((1 << bits) - 1);
    assert_eq!(field(0, 3), 6, "16-bit domains");
    assert_eq!(field(3, 5), 0, "no AFL, RWBF, PLMR, PHMR, CM");
    assert_eq!(field(8, 5), 0b00110, "3 and 4 levels");
    assert_eq!(field(16, 6), 47);
    assert_eq!(field(24, 10) * 16, FRCD);
    assert_eq!(field(34, 4), 3);
    assert_eq!((field(39, 1), field(40, 8) + 1, field(48, 6), field(54, 2)), (1, 8, 18, 3));
    assert_eq!(field(56, 8), 0, "nothing of scalable mode, no posting");
    // C, QI, IR, EIM, PT, SC; MHMV.
    assert_eq!(rig.read(ECAP), 0xf0_00db | (0x100 / 16) << 8);
    let small = IommuConfig {
        address_bits: 39,
        superpages: false,
        caching_mode: true,
        queued_invalidation: false,
        interrupt_remapping: false,
        eim: false,
        pass_through: false,
        fault_records: 224,
        ..Default::default()
    };
    let mut rig = Rig::new(small);
    let cap = rig.read(CAP);
    assert_eq!((cap >> 8 & 31, cap >> 16 & 63, cap >> 7 & 1, cap >> 34 & 15), (2, 38, 1, 0));
    assert_eq!(cap >> 40 & 0xff, 223);
    assert_eq!(rig.read(ECAP), 0x81 | (0x100 / 16) << 8);
}

#[test]
fn a_unit_that_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut IommuConfig)| {
        let mut config = IommuConfig::default();
        change(&mut config);
        Vtd::new(config).unwrap_err()
    };
    assert_eq!(refused(|config| config.address_bits = 52), ConfigError::AddressBits(52));
    assert_eq!(refused(|config| config.fault_records = 0), ConfigError::FaultRecords(0));
    assert_eq!(refused(|config| config.fault_records = 225), ConfigError::FaultRecords(225));
    let needs = refused(|config| config.queued_invalidation = false);
    assert_eq!(needs, ConfigError::Needs("interrupt_remapping", "queued_invalidation"));
    assert_eq!(
        refused(|config| config.interrupt_remapping = false),
        ConfigError::Needs("eim", "interrupt_remapping")
    );
    assert!(matches!(refused(|config| config.iotlb.sets = 3), ConfigError::Cache { cache: "iotlb", .. }));
    assert!(matches!(refused(|config| config.iotlb.ways = 0), ConfigError::Cache { .. }));
    assert!(matches!(refused(|config| config.interrupt_cache = 65), ConfigError::Cache { .. }));
    assert!(matches!(
        refused(|config| config.context_cache = CacheConfig { sets: 0, ways: 1, policy: Policy::Lru }),
        ConfigError::Cache { cache: "context_cache", .. }
    ));
    assert_eq!(
        refused(|config| config.iotlb = IotlbConfig { sets: 1, ways: 3, policy: Policy::PseudoLru }),
        ConfigError::PseudoLru { cache: "iotlb", ways: 3 }
    );
}

#[test]
fn odd_accesses_are_refused() {
    let mut rig = Rig::new(IommuConfig::default());
    let cases = [
        (GSTS, Width::B1, IoError::Width),
        (GSTS, Width::B2, IoError::Width),
        (GSTS + 2, Width::B4, IoError::Misaligned),
        (GSTS, Width::B8, IoError::Misaligned),
        (0x04, Width::B4, IoError::NoRegister),
        (0x30, Width::B8, IoError::NoRegister),
        (0xc0, Width::B4, IoError::NoRegister),
        (FRCD + 8 * FRCD_LEN, Width::B8, IoError::NoRegister),
        (PAGE, Width::B4, IoError::NoRegister),
        (u64::MAX - 7, Width::B8, IoError::NoRegister),
    ];
    for (offset, width, error) in cases {
        let read = rig.vtd.read(&mut rig.fabric.env(), &mut rig.mem, offset, width);
        assert_eq!(read, Err(error), "read {offset:#x}");
        let write = rig.vtd.write(&mut rig.fabric.env(), &mut rig.mem, offset, width, 0);
        assert_eq!(write, Err(error), "write {offset:#x}");
    }
}

#[test]
fn every_register_has_its_name_and_can_be_read_in_halves() {
    let mut rig = Rig::started(IommuConfig::default());
    for offset in (0..FRCD).step_by(4) {
        let mut read = |width| rig.vtd.read(&mut rig.fabric.env(), &mut rig.mem, offset, width);
        assert_eq!(register_name(offset).is_some(), read(Width::B4).is_ok(), "{offset:#x}");
        if is_wide(offset) {
            let whole = read(Width::B8).unwrap();
            let low = read(Width::B4).unwrap();
            let high = rig.vtd.read(&mut rig.fabric.env(), &mut rig.mem, offset + 4, Width::B4).unwrap();
            assert_eq!(whole, low | high << 32, "{offset:#x}");
        }
    }
    assert_eq!((register_name(RTADDR + 4), register_name(FRCD + 12)), (Some("RTADDR"), Some("FRCD")));
    assert_eq!((register_name(FECTL + 1), register_name(0)), (None, Some("VER")));
}

#[test]
fn read_only_and_absent_registers_do_not_change() {
    let mut rig = Rig::new(IommuConfig::default());
    for offset in [VER, CAP, ECAP, GSTS, AFLOG, PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT, IQH, IQERCD] {
        let before = rig.read(offset);
        rig.write(offset, u64::MAX);
        assert_eq!(rig.read(offset), before, "{offset:#x}");
    }
    assert_eq!(rig.read(GCMD), 0, "write-only");
}

#[test]
fn tables_are_taken_over_by_command_only_and_as_often_as_it_is_given() {
    let mut rig = Rig::started(IommuConfig::default());
    let root = rig.tables.root().0;
    assert_eq!(rig.vtd.state().root, root);
    rig.write(RTADDR, 0x7000);
    rig.write(IRTA, 0x6007);
    assert_eq!((rig.vtd.state().root, rig.vtd.state().interrupt_table), (root, 0));
    // Xen gives what GSTS says and the new command in one write.
    let all = TE | SRTP | QIE | SIRTP;
    rig.write(GCMD, u64::from(all));
    assert_eq!((rig.vtd.state().root, rig.vtd.state().interrupt_table), (0x7000, 0x6007));
    assert_eq!(rig.read(GSTS), u64::from(all));
    rig.write(GCMD, 0);
    assert_eq!(rig.read(GSTS), u64::from(SRTP | SIRTP), "taken over is taken over");
}

#[test]
fn reset_leaves_the_counters_and_nothing_else() {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
    rig.put(0x1000).unwrap();
    rig.put(0x2000).unwrap_err();
    let stats = rig.vtd.stats();
    assert_eq!((stats.iotlb_misses, stats.faults), (2, 1));
    rig.vtd.reset();
    let fresh = Vtd::new(IommuConfig::default()).unwrap();
    assert_eq!(*rig.vtd.state(), VtdState { stats, ..fresh.state().clone() });
    assert_eq!(rig.put(0x2000), Ok(0x2000));
}

#[test]
fn commands_of_absent_capabilities_do_nothing() {
    let config = IommuConfig {
        queued_invalidation: false,
        interrupt_remapping: false,
        eim: false,
        ..Default::default()
    };
    let mut rig = Rig::new(config);
    for offset in [IQT, IQA, IRTA, IECTL, IEDATA, IEADDR] {
        let before = rig.read(offset);
        rig.write(offset, 0x1010);
        assert_eq!(rig.read(offset), before, "{offset:#x}");
    }
    rig.write(GCMD, u64::from(u32::MAX));
    assert_eq!(rig.read(GSTS), u64::from(TE | SRTP));
}

/// A step of a driver.
enum Step {
    Write(u64, u64),
    Read(u64, u64),
    Queue(&'static [[u64; 2]]),
}

/// What a Linux 6.1 kernel writes and what it waits for, from the first touch to switching off.
#[test]
fn linux_brings_the_unit_up_and_down() {
    use Step::{Queue, Read, Write};
    let mut rig = Rig::new(IommuConfig::default());
    let interrupts = rig.tables.interrupt_table(&mut rig.mem, 8).unwrap();
    let root = rig.tables.root().0;
    let steps = [
        Read(GSTS, 0),
        Read(FSTS, 0),
        Write(IQT, 0),
        Write(IQA, QUEUE.0),
        Write(GCMD, 0x0400_0000),
        Read(GSTS, 0x0400_0000),
        Write(IRTA, interrupts.0 | 0xf),
        Write(GCMD, 0x0500_0000),
        Read(GSTS, 0x0500_0000),
        Queue(&[[0x4, 0], [0x0000_0002_0000_0025, STATUS.0]]),
        Write(GCMD, 0x0600_0000),
        Read(GSTS, 0x0700_0000),
        Write(FEDATA, 0x21),
        Write(FEADDR, 0xfee0_1004),
        Write(FEUADDR, 0),
        Write(FECTL, 0),
        Read(FSTS, 0),
        Write(FSTS, 0),
        Queue(&[[0x10_0000_0014, 0], [0x0000_0002_0000_0025, STATUS.0]]),
        Write(RTADDR, root),
        Write(GCMD, 0x4600_0000),
        Read(GSTS, 0x4700_0000),
        Queue(&[[0x11, 0], [0x0000_0002_0000_0025, STATUS.0]]),
        Queue(&[[0xd2, 0], [0x0000_0002_0000_0025, STATUS.0]]),
        Write(GCMD, 0x8600_0000),
        Read(GSTS, 0xc700_0000),
    ];
    for step in steps {
        match step {
            Write(offset, value) => rig.write(offset, value),
            Read(offset, value) => assert_eq!(rig.read(offset), value, "{offset:#x}"),
            Queue(descriptors) => {
                rig.mem.write_u32(STATUS, 1).unwrap();
                rig.submit(descriptors);
                assert_eq!(rig.mem.read_u32(STATUS), Ok(2));
            }
        }
    }
    let domain = rig.domain(3, 4);
    rig.attach(NIC, &domain);
    rig.map(&domain, 0xffff_f000, 0x5000 | 1 << 11, Rights::Rw);
    assert_eq!(rig.put(0xffff_f010), Ok(0x5010));
    rig.unmap(&domain, 0xffff_f000);
    rig.submit(&[[0x300e2, 0], [0x0000_0002_0000_0025, STATUS.0]]);
    assert_eq!(rig.put(0xffff_f010), Err(5));
    let [low, _] = irte(0x30, 1);
    rig.mem.write_u64(interrupts.plus(16 * 16), low | 0xc).unwrap();
    rig.mem.write_u64(interrupts.plus(16 * 16 + 8), from_source(NIC)).unwrap();
    let remapped = rig.remap(NIC, Msi { address: 0xfee0_0218, data: 0 }).unwrap();
    assert_eq!((remapped.vector, remapped.dest), (0x30, 1));
    rig.write(GCMD, 0x0600_0000);
    assert_eq!(rig.read(GSTS), 0x4700_0000);
    assert_eq!(rig.put(0xffff_f010), Ok(0xffff_f010));
}

#[test]
fn the_configuration_reads_from_a_scenario() {
    let text = "(address_bits: 39, iotlb: (sets: 1, ways: 8, policy: Random(7)), eim: false)";
    let config: IommuConfig = ron::from_str(text).unwrap();
    assert_eq!((config.address_bits, config.iotlb.policy, config.fault_records), (39, Policy::Random(7), 8));
    assert!(ron::from_str::<IommuConfig>("(adress_bits: 39)").is_err());
    let written = ron::to_string(&config).unwrap();
    assert_eq!(ron::from_str(&written), Ok(config));
}
