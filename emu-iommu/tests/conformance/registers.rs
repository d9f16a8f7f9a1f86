//! 10.4: what each register holds after reset, where it lies, and which of its bits software can change.

use crate::unit::*;
use emu_core::Width;
use emu_iommu::spec::register::*;

/// Everything written over, then the reset line: the register holds `value` again, as it did in the beginning.
fn resets_to(offset: u64, value: u64) {
    let mut unit = Unit::new();
    assert_eq!(unit.read(offset), value, "power on");
    for at in (0..FRCD).step_by(4) {
        // Not every offset has a register.
        _ = unit.try_write(at, Width::B4, 0x5a5a_5a5a);
    }
    unit.vtd.reset();
    assert_eq!(unit.read(offset), value, "reset");
}

/// Nothing that software writes is seen.
fn read_only(offset: u64) {
    let mut unit = Unit::new();
    let before = unit.read(offset);
    for value in [u64::MAX, 0, 0x5a5a_5a5a_5a5a_5a5a] {
        unit.write(offset, value);
        assert_eq!(unit.read(offset), before);
    }
}

/// Bits of `mask` hold what is written, one by one; the others read as zero.
fn holds(offset: u64, mask: u64) {
    let mut unit = Unit::new();
    let bits = if is_wide(offset) { 64 } else { 32 };
    for bit in 0..bits {
        unit.write(offset, 1 << bit);
        assert_eq!(unit.read(offset), mask & 1 << bit, "bit {bit}");
    }
    unit.write(offset, u64::MAX);
    assert_eq!(unit.read(offset), mask);
    unit.write(offset, 0);
    assert_eq!(unit.read(offset), 0);
}

/// The upper and the lower half can be written alone, and leave each other as they are.
fn halves(offset: u64, low: u64, high: u64) {
    let mut unit = Unit::new();
    unit.write32(offset, low);
    assert_eq!(unit.read(offset), low);
    unit.write32(offset + 4, high);
    assert_eq!(unit.read(offset), high << 32 | low);
    assert_eq!((unit.read32(offset), unit.read32(offset + 4)), (low, high));
    unit.write32(offset, 0);
    assert_eq!(unit.read(offset), high << 32);
}

rule!("10.4.1", version_is_architecture_1_0, assert_eq!(Unit::new().try_read(0x00, Width::B4), Ok(0x10)));
rule!("10.4.1", version_is_read_only, read_only(VER));
rule!("10.4.2", capability_register_is_read_only, read_only(CAP));
rule!("10.4.3", extended_capability_register_is_read_only, read_only(ECAP));

rule!("10.4.5", global_status_is_zero_after_reset, resets_to(GSTS, 0));
rule!("10.4.5", global_status_is_read_only, read_only(GSTS));

rule!("10.4.6", root_table_address_is_zero_after_reset, resets_to(RTADDR, 0));
rule!("10.4.6", root_table_address_holds_a_page_in_legacy_mode, {
    // The translation table mode, 11:10, is legacy: other modes are another capability's.
    let mut unit = Unit::new();
    unit.write(RTADDR, u64::MAX << 12);
    assert_eq!(unit.read(RTADDR), u64::MAX << 12);
    unit.write(RTADDR, 0x3ff);
    assert_eq!(unit.read(RTADDR), 0, "9:0 are reserved");
});
rule!("10.4.6", root_table_address_can_be_written_in_halves, halves(RTADDR, 0x1234_5000, 0xab));

rule!("10.4.7", context_command_is_zero_after_reset, resets_to(CCMD, 0));
rule!("10.4.7", context_command_keeps_what_names_the_entries, {
    let mut unit = Unit::new();
    unit.write(CCMD, 3 << 61 | 3 << 32 | 0x1234 << 16 | 0x5678);
    assert_eq!(unit.read(CCMD), 3 << 61 | 3 << 32 | 0x1234 << 16 | 0x5678);
});
rule!("10.4.7", context_command_actual_granularity_is_read_only, {
    let mut unit = Unit::new();
    unit.write(CCMD, 3 << 59);
    assert_eq!(unit.read(CCMD), 0);
});

rule!("10.4.8.1", iotlb_command_is_zero_after_reset, resets_to(IOTLB, 0));
rule!("10.4.8.1", iotlb_command_keeps_what_names_the_entries, {
    let mut unit = Unit::new();
    unit.write(IOTLB, 3 << 60 | 3 << 48 | 0x5678 << 32);
    assert_eq!(unit.read(IOTLB), 3 << 60 | 3 << 48 | 0x5678 << 32);
});
rule!("10.4.8.1", iotlb_command_actual_granularity_is_read_only, {
    let mut unit = Unit::new();
    unit.write(IOTLB, 3 << 57);
    assert_eq!(unit.read(IOTLB), 0);
});
rule!("10.4.8.1", iotlb_command_lies_8_bytes_after_iro, {
    let mut unit = Unit::by_register();
    let iro = (unit.read(ECAP) >> 8 & 0x3ff) * 16;
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.try_write(iro + 8, Width::B8, 1 << 63 | 1 << 60).unwrap();
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});
rule!("10.4.8.2", invalidate_address_lies_at_iro, {
    let mut unit = Unit::by_register();
    let iro = (unit.read(ECAP) >> 8 & 0x3ff) * 16;
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.try_write(iro, Width::B8, IOVA).unwrap();
    unit.write(IOTLB, 1 << 63 | 3 << 60 | u64::from(DOMAIN) << 32);
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});
rule!("10.4.8.2", invalidate_address_is_write_only, {
    let mut unit = Unit::new();
    unit.write(IVA, IOVA | 3);
    assert_eq!(unit.read(IVA), 0);
});
rule!("10.4.8.2", invalidate_address_can_be_written_in_halves, {
    let mut unit = Unit::by_register();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.write32(IVA + 4, IOVA >> 32);
    unit.write32(IVA, IOVA & 0xffff_ffff);
    unit.write(IOTLB, 1 << 63 | 3 << 60 | u64::from(DOMAIN) << 32);
    assert_eq!(unit.vtd.iotlb_entries().count(), 0);
});

rule!("10.4.9", fault_status_is_zero_after_reset, resets_to(FSTS, 0));
rule!("10.4.9", fault_status_can_not_be_set_by_software, read_only(FSTS));
rule!("10.4.10", fault_event_is_masked_after_reset, resets_to(FECTL, 1 << 31));
rule!("10.4.10", fault_event_control_has_but_the_mask_to_write, holds(FECTL, 1 << 31));
rule!("10.4.11", fault_event_data_is_zero_after_reset, resets_to(FEDATA, 0));
rule!("10.4.11", fault_event_data_has_32_bits, holds(FEDATA, 0xffff_ffff));
rule!("10.4.12", fault_event_address_is_zero_after_reset, resets_to(FEADDR, 0));
rule!("10.4.12", fault_event_address_is_of_a_dword, holds(FEADDR, 0xffff_fffc));
rule!("10.4.13", fault_event_upper_address_is_zero_after_reset, resets_to(FEUADDR, 0));
rule!("10.4.13", fault_event_upper_address_has_32_bits, holds(FEUADDR, 0xffff_ffff));

rule!("10.4.14", fault_records_are_clear_after_reset, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(0), Err(6));
    assert_ne!(unit.record(0), [0; 2]);
    unit.vtd.reset();
    for index in 0..8 {
        assert_eq!(unit.record(index), [0; 2]);
    }
});
rule!("10.4.14", fault_records_can_not_be_set_by_software, {
    let mut unit = Unit::new();
    for index in 0..8 {
        for at in (0..16).step_by(4) {
            unit.write32(FRCD + 16 * index + at, 0xffff_ffff);
        }
        assert_eq!(unit.record(index), [0; 2]);
    }
});
rule!("10.4.14", fault_records_lie_at_fro, {
    let mut unit = Unit::translating();
    let fro = (unit.read(CAP) >> 24 & 0x3ff) * 16;
    assert_eq!(unit.get(0), Err(6));
    assert_eq!(unit.try_read(fro + 8, Width::B8), Ok(1 << 63 | 1 << 62 | 6 << 32 | u64::from(NIC.0)));
});
rule!("10.4.14", there_are_as_many_fault_records_as_nfr_says, {
    for count in [1, 8, 100] {
        let mut unit = Unit::with(|config| config.fault_records = count);
        assert_eq!(unit.read(CAP) >> 40 & 0xff, u64::from(count) - 1);
        let last = FRCD + 16 * (u64::from(count) - 1);
        assert_eq!(unit.try_read(last, Width::B8), Ok(0));
        assert!(unit.try_read(last + 16, Width::B8).is_err());
    }
});

rule!("10.4.15", advanced_fault_log_is_zero_after_reset, resets_to(AFLOG, 0));
rule!("10.4.15", advanced_fault_log_is_read_only_without_afl, {
    assert_eq!(Unit::new().read(CAP) >> 3 & 1, 0);
    read_only(AFLOG);
});
rule!("10.4.16", protected_memory_enable_is_zero_after_reset, resets_to(PMEN, 0));
rule!("10.4.17", protected_low_base_is_zero_after_reset, resets_to(PLMBASE, 0));
rule!("10.4.18", protected_low_limit_is_zero_after_reset, resets_to(PLMLIMIT, 0));
rule!("10.4.19", protected_high_base_is_zero_after_reset, resets_to(PHMBASE, 0));
rule!("10.4.20", protected_high_limit_is_zero_after_reset, resets_to(PHMLIMIT, 0));
rule!("10.4.16", protected_memory_is_reserved_without_plmr_and_phmr, {
    assert_eq!(Unit::new().read(CAP) >> 5 & 3, 0);
    for offset in [PMEN, PLMBASE, PLMLIMIT, PHMBASE, PHMLIMIT] {
        read_only(offset);
    }
});

rule!("10.4.21", queue_head_is_zero_after_reset, resets_to(IQH, 0));
rule!("10.4.21", queue_head_is_read_only, {
    let mut unit = Unit::translating();
    unit.submit(&[wait(1), wait(2)]);
    unit.write(IQH, 0);
    assert_eq!(unit.read(IQH), 0x20);
});
rule!("10.4.22", queue_tail_is_zero_after_reset, resets_to(IQT, 0));
rule!("10.4.22", queue_tail_holds_bits_18_to_4, holds(IQT, 0x7_fff0));
rule!("10.4.23", queue_address_is_zero_after_reset, resets_to(IQA, 0));
rule!("10.4.23", queue_address_holds_a_page_and_a_size, {
    let mut unit = Unit::new();
    unit.write(IQA, u64::MAX << 12 | 7);
    assert_eq!(unit.read(IQA), u64::MAX << 12 | 7);
    unit.write(IQA, 0x7f8);
    assert_eq!(unit.read(IQA), 0, "10:3 are reserved");
});
rule!("10.4.23", queue_address_can_be_written_in_halves, halves(IQA, 0x1234_5003, 0xab));
rule!("10.4.24", completion_status_is_zero_after_reset, resets_to(ICS, 0));
rule!("10.4.24", completion_status_can_not_be_set_by_software, read_only(ICS));
rule!("10.4.25", completion_event_is_masked_after_reset, resets_to(IECTL, 1 << 31));
rule!("10.4.25", completion_event_control_has_but_the_mask_to_write, holds(IECTL, 1 << 31));
rule!("10.4.26", completion_event_data_is_zero_after_reset, resets_to(IEDATA, 0));
rule!("10.4.26", completion_event_data_has_32_bits, holds(IEDATA, 0xffff_ffff));
rule!("10.4.27", completion_event_address_is_zero_after_reset, resets_to(IEADDR, 0));
rule!("10.4.27", completion_event_address_is_of_a_dword, holds(IEADDR, 0xffff_fffc));
rule!("10.4.28", completion_event_upper_address_is_zero_after_reset, resets_to(IEUADDR, 0));
rule!("10.4.28", completion_event_upper_address_has_32_bits, holds(IEUADDR, 0xffff_ffff));
rule!("10.4.29", queue_error_record_is_zero_after_reset, resets_to(IQERCD, 0));
rule!("10.4.29", queue_error_record_is_read_only, read_only(IQERCD));
rule!("10.4.30", interrupt_table_address_is_zero_after_reset, resets_to(IRTA, 0));
rule!("10.4.30", interrupt_table_address_holds_a_page_a_mode_and_a_size, {
    let mut unit = Unit::new();
    unit.write(IRTA, u64::MAX << 12 | 1 << 11 | 0xf);
    assert_eq!(unit.read(IRTA), u64::MAX << 12 | 1 << 11 | 0xf);
    unit.write(IRTA, 0x7f0);
    assert_eq!(unit.read(IRTA), 0, "10:4 are reserved");
});
rule!("10.4.30", interrupt_table_address_can_be_written_in_halves, halves(IRTA, 0x1234_5007, 0xab));
rule!("10.4.30", extended_mode_is_reserved_without_eim, {
    let mut unit = Unit::with(|config| config.eim = false);
    unit.write(IRTA, 1 << 11);
    assert_eq!(unit.read(IRTA), 0);
});

rule!("10.4.21", queue_registers_are_reserved_without_qi, {
    let mut unit = Unit::with(without_queue);
    for offset in [IQT, IQA, IEDATA, IEADDR, IEUADDR, IQH, ICS] {
        unit.write(offset, u64::MAX);
        assert_eq!(unit.read(offset), 0, "{offset:#x}");
    }
});
rule!("10.4.30", interrupt_table_address_is_reserved_without_ir, {
    let mut unit = Unit::with(without_queue);
    unit.write(IRTA, u64::MAX);
    assert_eq!(unit.read(IRTA), 0);
});
