//! Chapter 9: the entries of the tables, bit by bit. Each check sets every bit of a range, one at a time, in tables that
//! otherwise translate.

use crate::unit::*;
use emu_iommu::IommuConfig;
use emu_iommu::testing::Rights;
use std::ops::RangeInclusive;

/// A request of either kind, to a unit whose tables `spoil` has changed, comes to `expected`.
fn request(change: impl Fn(&mut IommuConfig), spoil: impl Fn(&mut Unit), expected: Result<u64, u8>) {
    for write in [false, true] {
        let mut unit = Unit::translating_with(&change);
        spoil(&mut unit);
        assert_eq!(unit.dma(NIC, IOVA + 0x123, write), expected.map(|gpa| gpa + 0x123), "write: {write}");
        let reasons: Vec<u8> = expected.err().into_iter().collect();
        assert_eq!(unit.reasons(), reasons, "what is recorded");
    }
}

fn plain(_: &mut IommuConfig) {}

/// Each bit of half a root entry, set alone.
fn root(half: u64, bits: RangeInclusive<u32>, expected: Result<u64, u8>) {
    for bit in bits {
        request(plain, |unit| unit.root(half, |entry| entry | 1 << bit), expected);
    }
}

/// Each bit of half a context entry, set alone.
fn context(half: u64, bits: RangeInclusive<u32>, expected: Result<u64, u8>) {
    for bit in bits {
        request(plain, |unit| unit.context(half, |entry| entry | 1 << bit), expected);
    }
}

/// Each bit of the paging entry of a level, set alone.
fn paging(level: u8, bits: RangeInclusive<u32>, expected: Result<u64, u8>) {
    for bit in bits {
        request(plain, |unit| unit.entry(level, |entry| entry | 1 << bit), expected);
    }
}

/// The same of the leaf of a large page.
fn large(level: u8, bits: RangeInclusive<u32>, reserved: bool) {
    let size = 1 << (12 + 9 * level);
    for bit in bits {
        let spoil = |unit: &mut Unit| {
            unit.map_large(IOVA & !(size - 1), size, level);
            unit.entry(level, |entry| entry | 1 << bit);
        };
        let expected = if reserved { Err(0xc) } else { Ok(size + (IOVA & (size - 1))) };
        request(plain, spoil, expected);
    }
}

const GOOD: Result<u64, u8> = Ok(FRAME);

rule!("9.1", root_entry_must_be_present, request(plain, |unit| unit.root(0, |entry| entry & !1), Err(1)));
rule!("9.1", root_entry_not_present_is_not_checked_further, {
    request(plain, |unit| unit.root(0, |_| !1), Err(1));
});
rule!("9.1", root_entry_bits_11_to_1_are_reserved, root(0, 1..=11, Err(0xa)));
rule!("9.1", root_entry_bits_beyond_the_host_width_are_reserved, root(0, 48..=63, Err(0xa)));
rule!("9.1", root_entry_upper_half_is_reserved_in_legacy_mode, root(1, 0..=63, Err(0xa)));
rule!("9.1", root_entry_width_is_of_the_unit, {
    let narrow = |config: &mut IommuConfig| config.address_bits = 39;
    for bit in 39..=47 {
        request(narrow, |unit| unit.root(0, |entry| entry | 1 << bit), Err(0xa));
    }
});

rule!("9.3", context_entry_must_be_present, {
    request(plain, |unit| unit.context(0, |entry| entry & !1), Err(2));
});
rule!("9.3", context_entry_not_present_is_not_checked_further, {
    let spoil = |unit: &mut Unit| {
        // FPD, which counts in any entry, is left clear.
        unit.context(0, |_| !3);
        unit.context(1, |_| u64::MAX);
    };
    request(plain, spoil, Err(2));
});
rule!("9.3", context_entry_bits_11_to_4_are_reserved, context(0, 4..=11, Err(0xb)));
rule!("9.3", context_entry_pointer_beyond_the_host_width_is_reserved, context(0, 48..=63, Err(0xb)));
rule!("9.3", context_entry_bits_70_to_67_are_software_s, context(1, 3..=6, GOOD));
rule!("9.3", context_entry_bit_71_is_reserved, context(1, 7..=7, Err(0xb)));
rule!("9.3", context_entry_bits_127_to_88_are_reserved, context(1, 24..=63, Err(0xb)));
rule!("9.3", context_entry_domain_has_16_bits, {
    for domain in [0x8000, 0xffff, 2] {
        request(plain, |unit| unit.context(1, |entry| entry & 7 | domain << 8), GOOD);
    }
});
rule!("9.3", translation_type_3_is_reserved, {
    request(plain, |unit| unit.context(0, |entry| entry | 3 << 2), Err(3));
});
rule!("9.3", translation_type_1_needs_device_tlbs, {
    assert_eq!(Unit::new().read(emu_iommu::spec::register::ECAP) >> 2 & 1, 0);
    request(plain, |unit| unit.context(0, |entry| entry | 1 << 2), Err(3));
});
rule!("9.3", translation_type_2_passes_addresses_through, {
    request(plain, |unit| unit.context(0, |entry| entry | 2 << 2), Ok(IOVA));
});
rule!("9.3", translation_type_2_needs_pt, {
    let without = |config: &mut IommuConfig| config.pass_through = false;
    request(without, |unit| unit.context(0, |entry| entry | 2 << 2), Err(3));
});
rule!("9.3", pass_through_ignores_the_pointer, {
    request(plain, |unit| unit.context(0, |entry| entry & 0xfff | u64::MAX << 12 | 2 << 2), Ok(IOVA));
});
rule!("9.3", pass_through_still_checks_reserved_bits, {
    request(plain, |unit| unit.context(0, |entry| entry | 2 << 2 | 1 << 4), Err(0xb));
});
rule!("9.3", address_width_0_is_not_supported, {
    request(plain, |unit| unit.context(1, |entry| entry & !7), Err(3));
});
rule!("9.3", address_width_1_is_3_levels, {
    let mut unit = Unit::translating();
    let domain = unit.new_domain(2, 3);
    assert_eq!(domain.context()[1] & 7, 1);
    unit.attach(NIC, &domain);
    unit.map_in(domain, IOVA, FRAME, 0, Rights::Rw);
    assert_eq!((unit.get(IOVA), unit.vtd.stats().walk_reads), (Ok(FRAME), 2 + 3));
});
rule!("9.3", address_width_2_is_4_levels, {
    let mut unit = Unit::translating();
    assert_eq!(unit.domain.context()[1] & 7, 2);
    assert_eq!((unit.get(IOVA), unit.vtd.stats().walk_reads), (Ok(FRAME), 2 + 4));
});
rule!("9.3", address_width_2_is_not_supported_by_39_bits, {
    let narrow = |config: &mut IommuConfig| config.address_bits = 39;
    request(narrow, |unit| unit.context(1, |entry| entry & !7 | 2), Err(3));
});
rule!("9.3", address_widths_above_3_are_reserved, {
    for width in 4..=7 {
        request(plain, |unit| unit.context(1, |entry| entry & !7 | width), Err(3));
    }
});

rule!("9.8", paging_entry_with_neither_r_nor_w_is_not_present, {
    for level in 0..4 {
        for (write, reason) in [(false, 6), (true, 5)] {
            let mut unit = Unit::translating();
            unit.entry(level, |entry| entry & !3);
            assert_eq!(unit.dma(NIC, IOVA, write), Err(reason), "level {level}");
        }
    }
});
rule!("9.8", paging_entry_not_present_is_not_checked_further, {
    let mut unit = Unit::translating();
    unit.entry(0, |_| !3);
    assert_eq!(unit.get(IOVA), Err(6));
});
rule!("9.8", sl_pte_bits_6_to_2_are_ignored, paging(0, 2..=6, GOOD));
rule!("9.8", sl_pte_bits_10_to_8_are_ignored, paging(0, 8..=10, GOOD));
rule!("9.8", sl_pte_bits_61_to_52_are_ignored, paging(0, 52..=61, GOOD));
rule!("9.8", sl_pte_bit_63_is_ignored, paging(0, 63..=63, GOOD));
rule!("9.8", sl_pte_pointer_beyond_the_host_width_is_reserved, paging(0, 48..=51, Err(0xc)));
rule!("9.8", sl_pte_transient_mapping_is_reserved_without_device_tlbs, paging(0, 62..=62, Err(0xc)));
rule!("9.8", sl_pte_snoop_is_allowed_with_sc, paging(0, 11..=11, GOOD));
rule!("9.8", sl_pte_snoop_is_reserved_without_sc, {
    let without = |config: &mut IommuConfig| config.snoop_control = false;
    request(without, |unit| unit.entry(0, |entry| entry | 1 << 11), Err(0xc));
});
rule!("9.8", sl_pde_bits_6_to_2_are_ignored, paging(1, 2..=6, GOOD));
rule!("9.8", sl_pde_bits_10_to_8_are_ignored, paging(1, 8..=10, GOOD));
rule!("9.8", sl_pde_bits_61_to_52_are_ignored, paging(1, 52..=61, GOOD));
rule!("9.8", sl_pde_bit_63_is_ignored, paging(1, 63..=63, GOOD));
rule!("9.8", sl_pde_bit_11_is_reserved_above_a_table, paging(1, 11..=11, Err(0xc)));
rule!("9.8", sl_pde_pointer_beyond_the_host_width_is_reserved, paging(1, 48..=51, Err(0xc)));
rule!("9.8", sl_pde_bit_62_is_reserved, paging(1, 62..=62, Err(0xc)));
rule!("9.8", sl_pdpe_bits_6_to_2_are_ignored, paging(2, 2..=6, GOOD));
rule!("9.8", sl_pdpe_bits_10_to_8_are_ignored, paging(2, 8..=10, GOOD));
rule!("9.8", sl_pdpe_bits_61_to_52_are_ignored, paging(2, 52..=61, GOOD));
rule!("9.8", sl_pdpe_bit_63_is_ignored, paging(2, 63..=63, GOOD));
rule!("9.8", sl_pdpe_bit_11_is_reserved_above_a_table, paging(2, 11..=11, Err(0xc)));
rule!("9.8", sl_pdpe_pointer_beyond_the_host_width_is_reserved, paging(2, 48..=51, Err(0xc)));
rule!("9.8", sl_pdpe_bit_62_is_reserved, paging(2, 62..=62, Err(0xc)));
rule!("9.8", sl_pml4e_bits_6_to_2_are_ignored, paging(3, 2..=6, GOOD));
rule!("9.8", sl_pml4e_bit_7_is_reserved, paging(3, 7..=7, Err(0xc)));
rule!("9.8", sl_pml4e_bits_10_to_8_are_ignored, paging(3, 8..=10, GOOD));
rule!("9.8", sl_pml4e_bits_61_to_52_are_ignored, paging(3, 52..=61, GOOD));
rule!("9.8", sl_pml4e_bit_63_is_ignored, paging(3, 63..=63, GOOD));
rule!("9.8", sl_pml4e_bit_11_is_reserved, paging(3, 11..=11, Err(0xc)));
rule!("9.8", sl_pml4e_pointer_beyond_the_host_width_is_reserved, paging(3, 48..=51, Err(0xc)));
rule!("9.8", sl_pml4e_bit_62_is_reserved, paging(3, 62..=62, Err(0xc)));
rule!("9.8", paging_entry_width_is_of_the_unit, {
    let narrow = |config: &mut IommuConfig| config.address_bits = 39;
    for level in 0..3 {
        for bit in 39..=47 {
            request(narrow, |unit| unit.entry(level, |entry| entry | 1 << bit), Err(0xc));
        }
    }
});

rule!("9.8", a_2_mib_leaf_translates, large(1, 63..=63, false));
rule!("9.8", a_1_gib_leaf_translates, large(2, 63..=63, false));
rule!("9.8", a_2_mib_leaf_has_address_bits_20_to_12_reserved, large(1, 12..=20, true));
rule!("9.8", a_1_gib_leaf_has_address_bits_29_to_12_reserved, large(2, 12..=29, true));
rule!("9.8", a_2_mib_leaf_has_snoop, large(1, 11..=11, false));
rule!("9.8", a_1_gib_leaf_has_snoop, large(2, 11..=11, false));
rule!("9.8", a_2_mib_leaf_beyond_the_host_width_is_reserved, large(1, 48..=51, true));
rule!("9.8", a_1_gib_leaf_beyond_the_host_width_is_reserved, large(2, 48..=51, true));
rule!("9.8", a_2_mib_leaf_has_bit_62_reserved, large(1, 62..=62, true));
rule!("9.8", a_1_gib_leaf_has_bit_62_reserved, large(2, 62..=62, true));
rule!("9.8", a_2_mib_leaf_ignores_what_software_may_use, {
    large(1, 2..=6, false);
    large(1, 8..=10, false);
    large(1, 52..=61, false);
});
rule!("9.8", a_1_gib_leaf_ignores_what_software_may_use, {
    large(2, 2..=6, false);
    large(2, 8..=10, false);
    large(2, 52..=61, false);
});
rule!("9.8", page_size_is_reserved_without_superpages, {
    let without = |config: &mut IommuConfig| config.superpages = false;
    for level in [1, 2] {
        let size = 1 << (12 + 9 * level);
        request(without, |unit| unit.map_large(IOVA & !(size - 1), size, level), Err(0xc));
    }
});
