//! 10.2: how software may reach the registers. What the specification forbids, the unit answers as no register would.

use crate::unit::*;
use emu_core::{IoError, Width};
use emu_iommu::spec::register::*;

/// Neither read nor written, and not harmed.
fn refused(offset: u64, width: Width, error: IoError) {
    let mut unit = Unit::translating();
    let before = unit.vtd.state().clone();
    assert_eq!(unit.try_read(offset, width), Err(error));
    assert_eq!(unit.try_write(offset, width, u64::MAX), Err(error));
    assert_eq!(*unit.vtd.state(), before);
}

/// A wide register is the same whole and by halves.
fn same_in_halves(offset: u64) {
    let mut unit = Unit::remapping();
    let whole = unit.try_read(offset, Width::B8).unwrap();
    assert_eq!(unit.read32(offset) | unit.read32(offset + 4) << 32, whole);
}

rule!("10.2", registers_are_not_accessed_by_the_byte, refused(GSTS, Width::B1, IoError::Width));
rule!("10.2", registers_are_not_accessed_by_the_word, refused(GSTS, Width::B2, IoError::Width));
rule!("10.2", dwords_are_aligned, refused(GSTS + 2, Width::B4, IoError::Misaligned));
rule!("10.2", qwords_are_aligned, refused(FSTS, Width::B8, IoError::Misaligned));
rule!("10.2", reserved_offsets_answer_nothing, {
    for offset in [0x04, 0x30, 0x48, 0x4c, 0x50, 0x54, 0x60, 0x98, 0xfc, 0x110, 0x1fc] {
        let mut unit = Unit::new();
        assert_eq!(unit.try_read(offset, Width::B4), Err(IoError::NoRegister), "{offset:#x}");
        assert_eq!(unit.try_write(offset, Width::B4, 1), Err(IoError::NoRegister), "{offset:#x}");
    }
});
rule!("10.2", nothing_lies_beyond_the_register_page, refused(PAGE_END, Width::B4, IoError::NoRegister));
rule!("10.2", nothing_lies_at_the_end_of_the_address_space, {
    refused(u64::MAX - 7, Width::B8, IoError::NoRegister);
});
rule!("10.2", capabilities_read_the_same_in_halves, same_in_halves(CAP));
rule!("10.2", extended_capabilities_read_the_same_in_halves, same_in_halves(ECAP));
rule!("10.2", root_table_address_reads_the_same_in_halves, same_in_halves(RTADDR));
rule!("10.2", queue_address_reads_the_same_in_halves, same_in_halves(IQA));
rule!("10.2", interrupt_table_address_reads_the_same_in_halves, same_in_halves(IRTA));
rule!("10.2", queue_head_reads_the_same_in_halves, {
    let mut unit = Unit::translating();
    unit.submit(&[wait(1)]);
    assert_eq!((unit.read32(IQH), unit.read32(IQH + 4), unit.read(IQH)), (0x10, 0, 0x10));
});
rule!("10.2", a_fault_record_reads_the_same_in_quarters, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(0), Err(6));
    let [low, high] = unit.record(0);
    let quarters = [0, 4, 8, 12].map(|at| unit.read32(FRCD + at));
    assert_eq!([quarters[0] | quarters[1] << 32, quarters[2] | quarters[3] << 32], [low, high]);
});
rule!("10.2", two_narrow_registers_can_be_read_at_once, {
    let mut unit = Unit::new();
    unit.write(FEDATA, 0x77);
    assert_eq!(unit.try_read(FECTL, Width::B8), Ok(1 << 31 | 0x77 << 32));
    assert_eq!(unit.try_read(GCMD, Width::B8), Ok(0));
});
rule!("10.2", two_narrow_registers_can_be_written_at_once, {
    let mut unit = Unit::new();
    unit.try_write(FEADDR, Width::B8, 0x12_3400 << 32 | 0xfee0_1000).unwrap();
    assert_eq!((unit.read(FEADDR), unit.read(FEUADDR)), (0xfee0_1000, 0x12_3400));
});
rule!("10.2", a_qword_at_gcmd_commands_and_leaves_gsts, {
    let mut unit = Unit::new();
    unit.try_write(GCMD, Width::B8, u64::MAX << 32 | u64::from(QIE)).unwrap();
    assert_eq!(unit.status(), QIE);
});
rule!("10.2", the_lower_half_of_ccmd_starts_nothing, {
    let mut unit = Unit::by_register();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.write32(CCMD, u64::from(DOMAIN));
    assert_eq!(unit.vtd.context_entries().count(), 1);
    unit.write32(CCMD + 4, 1 << 31 | 2 << 29);
    assert_eq!(unit.vtd.context_entries().count(), 0);
});
rule!("10.2", the_lower_half_of_iotlb_starts_nothing, {
    let mut unit = Unit::by_register();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.write32(IOTLB, 0xffff_ffff);
    assert_eq!(unit.vtd.iotlb_entries().count(), 1);
    unit.write32(IOTLB + 4, 1 << 31 | 1 << 28);
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});
rule!("10.2", the_lower_half_of_iqt_moves_the_tail, {
    let mut unit = Unit::translating();
    unit.place(0, wait(5));
    unit.write32(IQT, 0x10);
    assert_eq!((unit.waited(), unit.read(IQH)), (5, 0x10));
});
rule!("10.2", a_record_is_cleared_by_a_dword_at_its_top, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(0), Err(6));
    unit.write32(FRCD + 12, 1 << 31);
    assert_eq!(unit.record(0)[1] >> 63, 0);
});
rule!("10.2", a_record_is_cleared_by_a_qword_at_its_upper_half, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(0), Err(6));
    unit.try_write(FRCD + 8, Width::B8, 1 << 63).unwrap();
    assert_eq!(unit.record(0)[1] >> 63, 0);
});

/// The first offset behind the registers.
const PAGE_END: u64 = 0x1000;
