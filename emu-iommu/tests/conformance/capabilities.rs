//! 10.4.2, 10.4.3: the capability registers say what the unit does. A rule sees the bit and, where it can, the deed.

use crate::unit::*;
use emu_iommu::IommuConfig;
use emu_iommu::spec::register::*;
use emu_iommu::testing::Rights;

/// The field of a capability register, by its lowest bit and its width, in a unit built so.
fn field(register: u64, low: u32, bits: u32, change: impl FnOnce(&mut IommuConfig)) -> u64 {
    Unit::with(change).read(register) >> low & ((1 << bits) - 1)
}

fn plain(_: &mut IommuConfig) {}

rule!("10.4.2", nd_gives_domains_of_16_bits, {
    assert_eq!(field(CAP, 0, 3, plain), 6);
    // Two domains that differ in the topmost bit only are two.
    let mut unit = Unit::translating();
    let far = unit.new_domain(0x8000 | DOMAIN, 4);
    let other = emu_core::Bdf::new(1, 0, 0);
    unit.attach(other, &far);
    unit.map_in(far, IOVA, MOVED, 0, Rights::Rw);
    assert_eq!((unit.get(IOVA), unit.dma(other, IOVA, false)), (Ok(FRAME), Ok(MOVED)));
});
rule!("10.4.2", no_advanced_fault_log, assert_eq!(field(CAP, 3, 1, plain), 0));
rule!("10.4.2", no_write_buffers_to_flush, assert_eq!(field(CAP, 4, 1, plain), 0));
rule!("10.4.2", cm_follows_the_configuration, {
    assert_eq!([field(CAP, 7, 1, plain), field(CAP, 7, 1, caching)], [0, 1]);
});
rule!("10.4.2", sagaw_of_48_bits_has_3_and_4_levels, {
    assert_eq!(field(CAP, 8, 5, plain) & 0b110, 0b110);
    for levels in [3, 4] {
        let mut unit = Unit::translating();
        let domain = unit.new_domain(9, levels);
        unit.attach(NIC, &domain);
        unit.map_in(domain, IOVA, MOVED, 0, Rights::Rw);
        assert_eq!(unit.get(IOVA), Ok(MOVED), "{levels} levels");
    }
});
rule!("10.4.2", sagaw_of_39_bits_has_3_levels_alone, {
    assert_eq!(field(CAP, 8, 5, |config| config.address_bits = 39), 0b10);
    let mut unit = Unit::translating_with(|config| config.address_bits = 39);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("10.4.2", sagaw_never_claims_2_levels, assert_eq!(field(CAP, 8, 5, plain) & 1, 0));
rule!("10.4.2", mgaw_is_the_width_less_one, {
    assert_eq!(field(CAP, 16, 6, plain), 47);
    assert_eq!(field(CAP, 16, 6, |config| config.address_bits = 39), 38);
});
rule!("10.4.2", fro_leads_to_the_fault_records, assert_eq!(field(CAP, 24, 10, plain) * 16, FRCD));
rule!("10.4.2", fault_records_end_within_the_register_page, {
    let count = 224;
    let end = |unit: &mut Unit| (unit.read(CAP) >> 24 & 0x3ff) * 16 + 16 * u64::from(count);
    assert_eq!(end(&mut Unit::with(|config| config.fault_records = count)), 0x1000);
});
rule!("10.4.2", sllps_has_2_mib_and_1_gib, assert_eq!(field(CAP, 34, 4, plain), 0b11));
rule!("10.4.2", sllps_is_empty_without_superpages, {
    assert_eq!(field(CAP, 34, 4, |config| config.superpages = false), 0);
});
rule!("10.4.2", psi_is_there, assert_eq!(field(CAP, 39, 1, plain), 1));
rule!("10.4.2", nfr_is_the_count_less_one, {
    for count in [1, 2, 8, 224] {
        assert_eq!(field(CAP, 40, 8, |config| config.fault_records = count), u64::from(count) - 1);
    }
});
rule!("10.4.2", mamv_covers_the_largest_page, {
    // 2^18 pages of 4 KiB: 1 GiB.
    assert_eq!(field(CAP, 48, 6, plain), 18);
});
rule!("10.4.2", writes_and_reads_can_be_drained, assert_eq!(field(CAP, 54, 2, plain), 0b11));
rule!("10.4.2", posted_interrupts_are_claimed_only_with_posting, {
    // A posted entry is a reserved one as long as CAP.PI is clear.
    assert_eq!(field(CAP, 59, 1, plain), 0);
});

rule!("10.4.3", table_accesses_are_coherent, assert_eq!(field(ECAP, 0, 1, plain), 1));
rule!("10.4.3", qi_follows_the_configuration, {
    assert_eq!([field(ECAP, 1, 1, plain), field(ECAP, 1, 1, without_queue)], [1, 0]);
});
rule!("10.4.3", ir_follows_the_configuration, {
    assert_eq!([field(ECAP, 3, 1, plain), field(ECAP, 3, 1, without_queue)], [1, 0]);
});
rule!("10.4.3", ir_implies_qi, {
    let config = config(|config| config.queued_invalidation = false);
    assert!(emu_iommu::Vtd::new(config).is_err());
});
rule!("10.4.3", eim_follows_the_configuration, {
    assert_eq!([field(ECAP, 4, 1, plain), field(ECAP, 4, 1, |config| config.eim = false)], [1, 0]);
});
rule!("10.4.3", eim_implies_ir, {
    let config = config(|config| config.interrupt_remapping = false);
    assert!(emu_iommu::Vtd::new(config).is_err());
});
rule!("10.4.3", pt_follows_the_configuration, {
    assert_eq!([field(ECAP, 6, 1, plain), field(ECAP, 6, 1, |config| config.pass_through = false)], [1, 0]);
});
rule!("10.4.3", sc_follows_the_configuration, {
    assert_eq!([field(ECAP, 7, 1, plain), field(ECAP, 7, 1, |config| config.snoop_control = false)], [1, 0]);
});
rule!("10.4.3", iro_leads_to_the_iotlb_registers, assert_eq!(field(ECAP, 8, 10, plain) * 16, IVA));
rule!("10.4.3", iotlb_and_fault_registers_do_not_overlap, {
    let (iro, fro) = (field(ECAP, 8, 10, plain) * 16, field(CAP, 24, 10, plain) * 16);
    assert!(iro + 16 <= fro || fro + 16 * 8 <= iro);
});
rule!("10.4.3", mhmv_is_15_with_interrupt_remapping, {
    assert_eq!([field(ECAP, 20, 4, plain), field(ECAP, 20, 4, without_queue)], [15, 0]);
});
