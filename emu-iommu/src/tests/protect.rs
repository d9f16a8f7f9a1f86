//! Protected memory regions: how software finds their grain, and whom they keep out.

use super::*;

const LOW: (u64, u64) = (0x20_0000, 0x40_0000);
const HIGH: (u64, u64) = (0x1_0000_0000, 0x1_4000_0000);

fn config(protected_low: bool, protected_high: bool) -> IommuConfig {
    IommuConfig { protected_low, protected_high, ..IommuConfig::default() }
}

fn protect(rig: &mut Rig) {
    for (offset, value) in
        [(PLMBASE, LOW.0), (PLMLIMIT, LOW.1), (PHMBASE, HIGH.0), (PHMLIMIT, HIGH.1), (PMEN, 1 << 31)]
    {
        rig.write(offset, value);
    }
}

fn ask(rig: &mut Rig, iova: u64, write: bool) -> Result<u64, DmaFault> {
    let mut env = rig.fabric.env();
    rig.vtd.translate(&mut env, &mut rig.mem, NIC, Iova(iova), write).map(|found| found.gpa.0)
}

#[test]
fn software_finds_the_grain_by_writing_ones() {
    let mut rig = Rig::new(config(true, true));
    for (offset, ones) in [
        (PLMBASE, 0xffe0_0000),
        (PLMLIMIT, 0xffe0_0000),
        (PHMBASE, 0xffff_ffe0_0000),
        (PHMLIMIT, 0xffff_ffe0_0000),
        (PMEN, 0x8000_0001),
    ] {
        assert_eq!(rig.read(offset), 0, "after reset");
        rig.write(offset, u64::MAX);
        assert_eq!(rig.read(offset), ones, "{offset:#x}");
        rig.write(offset, 0);
        assert_eq!(rig.read(offset), 0);
    }
    rig.write(PMEN, 1);
    assert_eq!(rig.read(PMEN), 0, "the status can't be written");
}

#[test]
fn each_region_is_there_if_its_capability_is() {
    for (low, high) in [(false, false), (true, false), (false, true)] {
        let mut rig = Rig::new(config(low, high));
        protect(&mut rig);
        assert_eq!(rig.read(PMEN), if low || high { 0x8000_0001 } else { 0 });
        assert_eq!([PLMBASE, PLMLIMIT].map(|offset| rig.read(offset) != 0), [low; 2]);
        assert_eq!([PHMBASE, PHMLIMIT].map(|offset| rig.read(offset) != 0), [high; 2]);
        assert_eq!(ask(&mut rig, LOW.0, true).is_err(), low);
        assert_eq!(ask(&mut rig, HIGH.0, true).is_err(), high);
        let names: Vec<_> = rig.vtd.registers().into_iter().map(|register| register.name).collect();
        assert_eq!(names.iter().any(|name| name == "PMEN"), low || high);
    }
}

#[test]
fn nothing_is_read_nor_written_in_a_region_and_no_fault_recorded() {
    let mut rig = Rig::new(config(true, true));
    protect(&mut rig);
    for (iova, passes) in [
        (LOW.0 - 1, true),
        (LOW.0, false),
        (LOW.1, false),
        // A limit is the first byte of the last unit.
        (LOW.1 + 0x1f_ffff, false),
        (LOW.1 + 0x20_0000, true),
        (HIGH.0 - 1, true),
        (HIGH.0, false),
        (HIGH.1 + 0x1f_ffff, false),
        (HIGH.1 + 0x20_0000, true),
    ] {
        for write in [false, true] {
            let expected = if passes { Ok(iova) } else { Err(DmaFault::NoMemory) };
            assert_eq!(ask(&mut rig, iova, write), expected, "{iova:#x}");
        }
    }
    assert_eq!(rig.vtd.stats().protected, 10);
    assert_eq!((rig.read(FSTS), rig.vtd.stats().faults), (0, 0));
    let told = TraceEvent::ProtectedMemory { bdf: NIC, iova: Iova(LOW.0), write: true };
    assert!(rig.events().contains(&told));
    rig.write(PMEN, 0);
    assert_eq!(ask(&mut rig, LOW.0, true), Ok(LOW.0));
}

#[test]
fn a_limit_below_its_base_is_no_region() {
    let mut rig = Rig::new(config(true, false));
    rig.write(PLMBASE, LOW.1);
    rig.write(PLMLIMIT, LOW.0);
    rig.write(PMEN, 1 << 31);
    for iova in [LOW.0, LOW.0 + 0x20_0000, LOW.1] {
        assert_eq!(ask(&mut rig, iova, false), Ok(iova));
    }
}

#[test]
fn remapped_requests_are_left_to_the_tables_and_passed_ones_are_not() {
    let (mut rig, domain) = Rig::with_nic(config(true, true), 4);
    protect(&mut rig);
    rig.map(&domain, 0x1000, LOW.0, Rights::Rw);
    assert_eq!(ask(&mut rig, 0x1000, true), Ok(LOW.0));
    let [low, high] = domain.context();
    rig.tables.context(&mut rig.mem, NIC, [low | 8, high]).unwrap();
    rig.submit(&[[0x11, 0]]);
    assert_eq!(ask(&mut rig, LOW.0, true), Err(DmaFault::NoMemory));
    assert_eq!(ask(&mut rig, LOW.0 - 0x1000, true), Ok(LOW.0 - 0x1000));
}

#[test]
fn the_regions_are_saved_and_what_could_not_be_written_is_refused() {
    let mut rig = Rig::new(config(true, false));
    protect(&mut rig);
    let mut twin = Vtd::new(config(true, false)).unwrap();
    twin.restore(rig.vtd.state().clone()).unwrap();
    assert_eq!(twin, rig.vtd);
    let mut other = Vtd::new(config(false, true)).unwrap();
    assert!(other.restore(rig.vtd.state().clone()).is_err());
}
