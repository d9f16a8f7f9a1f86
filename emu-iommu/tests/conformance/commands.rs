//! 10.4.4, 10.4.5: each command of GCMD, the status that answers it, and what it does.

use crate::unit::*;
use emu_core::Gpa;
use emu_iommu::spec::register::*;
use emu_iommu::testing::{VtdTables, irte, remappable};

/// The command's bit is followed by its status bit, both ways.
fn follows(bit: u32) {
    let mut unit = Unit::new();
    unit.command(bit);
    assert_eq!(unit.status(), bit);
    unit.command(0);
    assert_eq!(unit.status(), 0);
}

/// A command of a capability that is not there is not seen.
fn ignored(bit: u32) {
    let mut unit = Unit::with(without_queue);
    unit.command(bit);
    assert_eq!(unit.status(), 0);
}

/// An empty root table elsewhere.
fn elsewhere(unit: &mut Unit) -> u64 {
    VtdTables::new(&mut unit.mem, Gpa(0x80_0000)).unwrap().root().0
}

rule!("10.4.4", global_command_reads_as_zero, {
    let mut unit = Unit::remapping();
    assert_eq!(unit.read(GCMD), 0);
});
rule!("10.4.4", te_is_followed_by_tes, follows(TE));
rule!("10.4.4", qie_is_followed_by_qies, follows(QIE));
rule!("10.4.4", ire_is_followed_by_ires, follows(IRE));
rule!("10.4.4", cfi_is_followed_by_cfis, follows(CFI));
rule!("10.4.4", te_off_lets_requests_through_as_they_are, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.command(QIE);
    assert_eq!((unit.get(IOVA), unit.put(0x1234)), (Ok(IOVA), Ok(0x1234)));
});
rule!("10.4.4", te_off_reads_no_tables, {
    let mut unit = Unit::translating();
    unit.command(QIE);
    unit.root(0, |_| 0);
    assert_eq!((unit.get(IOVA), unit.vtd.stats().walk_reads), (Ok(IOVA), 0));
});
rule!("10.4.4", te_off_and_on_keeps_what_is_cached, {
    let mut unit = Unit::translating();
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.entry(0, |_| MOVED | 3);
    unit.command(QIE);
    unit.command(QIE | TE);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("10.4.4", srtp_sets_rtps_for_good, {
    let mut unit = Unit::new();
    unit.command(SRTP);
    assert_eq!(unit.status(), SRTP);
    unit.command(0);
    assert_eq!(unit.status(), SRTP);
});
rule!("10.4.6", root_table_pointer_is_latched_only_by_srtp, {
    let mut unit = Unit::translating();
    let empty = elsewhere(&mut unit);
    unit.write(RTADDR, empty);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    unit.command(TE | QIE | SRTP);
    unit.submit(&[CONTEXT_GLOBAL, IOTLB_GLOBAL]);
    assert_eq!(unit.get(IOVA), Err(1));
});
rule!("10.4.4", srtp_may_be_given_again_while_translating, {
    let mut unit = Unit::translating();
    unit.command(TE | QIE | SRTP);
    assert_eq!((unit.status(), unit.get(IOVA)), (TE | QIE | SRTP, Ok(FRAME)));
});
rule!("10.4.4", srtp_leaves_the_caches_to_software, {
    // CAP.ESRTPS is clear: no invalidation is implied.
    let mut unit = Unit::translating();
    assert_eq!(unit.read(CAP) >> 63, 0);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
    let empty = elsewhere(&mut unit);
    unit.write(RTADDR, empty);
    unit.command(TE | QIE | SRTP);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("10.4.4", sirtp_sets_irtps_for_good, {
    let mut unit = Unit::new();
    unit.command(SIRTP);
    assert_eq!(unit.status(), SIRTP);
    unit.command(0);
    assert_eq!(unit.status(), SIRTP);
});
rule!("10.4.30", interrupt_table_pointer_is_latched_only_by_sirtp, {
    let mut unit = Unit::remapping();
    unit.irte(0, irte(0x31, 1));
    unit.write(IRTA, NOWHERE | 7);
    assert_eq!(unit.interrupt(NIC, remappable(0)).unwrap().vector, 0x31);
    unit.command(TE | QIE | IRE | SIRTP);
    unit.submit(&[IEC_GLOBAL]);
    assert_eq!(unit.interrupt(NIC, remappable(0)), Err(vec![0x23]));
});
rule!("10.4.4", sirtp_leaves_the_cache_to_software, {
    // CAP.ESIRTPS is clear: no invalidation is implied.
    let mut unit = Unit::remapping();
    assert_eq!(unit.read(CAP) >> 62 & 1, 0);
    unit.irte(0, irte(0x31, 1));
    assert_eq!(unit.interrupt(NIC, remappable(0)).unwrap().vector, 0x31);
    unit.write(IRTA, NOWHERE | 7);
    unit.command(TE | QIE | IRE | SIRTP);
    assert_eq!(unit.interrupt(NIC, remappable(0)).unwrap().vector, 0x31);
});
rule!("10.4.4", commands_may_come_together_with_what_stays_on, {
    // As Xen writes them: what GSTS says, and the new command.
    let mut unit = Unit::remapping();
    unit.command(TE | QIE | IRE | SRTP | SIRTP);
    assert_eq!(unit.status(), TE | QIE | IRE | SRTP | SIRTP);
    assert_eq!(unit.get(IOVA), Ok(FRAME));
});
rule!("10.4.4", wbf_does_nothing_without_rwbf, ignored(1 << 27));
rule!("10.4.4", sfl_does_nothing_without_afl, ignored(1 << 29));
rule!("10.4.4", eafl_does_nothing_without_afl, ignored(1 << 28));
rule!("10.4.4", qie_does_nothing_without_qi, ignored(QIE));
rule!("10.4.4", ire_does_nothing_without_ir, ignored(IRE));
rule!("10.4.4", sirtp_does_nothing_without_ir, ignored(SIRTP));
rule!("10.4.4", cfi_does_nothing_without_ir, ignored(CFI));
rule!("10.4.4", reserved_commands_do_nothing, ignored(0x7f_ffff));
rule!("10.4.4", ire_off_lets_messages_through_as_they_are, {
    let mut unit = Unit::remapping();
    unit.command(TE | QIE);
    let told = unit.interrupt(NIC, emu_core::Msi { address: 0xfee0_5000, data: 0x31 }).unwrap();
    assert_eq!((told.vector, told.dest), (0x31, 5));
});
rule!("10.4.5", statuses_are_seen_at_the_first_read, {
    let mut unit = Unit::new();
    unit.write(GCMD, u64::from(TE | SRTP | QIE | SIRTP | IRE));
    assert_eq!(unit.status(), TE | SRTP | QIE | SIRTP | IRE);
});
