//! What drivers do before the first packet: identify, reset, EEPROM, PHY, link.

use super::*;

/// One clocked bit out and in, as Linux's e1000 wiggles it.
fn clock(bench: &mut Bench, eecd: u32) -> bool {
    bench.write(EECD, eecd & !EECD_SK);
    bench.write(EECD, eecd | EECD_SK);
    let out = bench.read(EECD) & EECD_DO != 0;
    bench.write(EECD, eecd & !EECD_SK);
    out
}

/// A microwire command of `count` bits, most significant first; the EEPROM stays selected.
fn command(bench: &mut Bench, bits: u32, count: u32) {
    bench.write(EECD, EECD_REQ);
    assert_ne!(bench.read(EECD) & EECD_GNT, 0, "grant follows request");
    bench.write(EECD, EECD_REQ | EECD_CS);
    for bit in (0..count).rev() {
        let data = if bits >> bit & 1 != 0 { EECD_DI } else { 0 };
        clock(bench, EECD_REQ | EECD_CS | data);
    }
}

fn shift_in(bench: &mut Bench) -> u16 {
    (0..16).fold(0, |word, _| word << 1 | u16::from(clock(bench, EECD_REQ | EECD_CS)))
}

fn microwire_read(bench: &mut Bench, address: u32) -> u16 {
    command(bench, 0b110 << 6 | address, 9);
    let word = shift_in(bench);
    bench.write(EECD, EECD_REQ);
    bench.write(EECD, 0);
    word
}

fn eerd_read(bench: &mut Bench, address: u32) -> u16 {
    bench.write(EERD, address << 8 | EERD_START);
    assert_eq!(bench.read(EERD) & EERD_DONE, 0, "not before its time");
    bench.run(VirtDuration::from_us(50));
    let value = bench.read(EERD);
    assert_ne!(value & EERD_DONE, 0);
    (value >> 16) as u16
}

fn phy(bench: &mut Bench, value: u32) -> u32 {
    bench.write(MDIC, value);
    assert_eq!(bench.read(MDIC) & MDIC_READY, 0, "not before its time");
    bench.run(VirtDuration::from_us(50));
    let done = bench.read(MDIC);
    assert_ne!(done & MDIC_READY, 0);
    done
}

fn phy_read(bench: &mut Bench, register: u32) -> u32 {
    phy(bench, MDIC_READ << 26 | 1 << 21 | register << 16) & 0xffff
}

fn phy_write(bench: &mut Bench, register: u32, value: u32) {
    phy(bench, MDIC_WRITE << 26 | 1 << 21 | register << 16 | value);
}

#[test]
fn configuration_space_is_that_of_an_82540em() {
    let mut bench = Bench::new();
    for (offset, width, expected) in [
        (0x00, Width::B4, 0x100e_8086),
        (0x08, Width::B4, 0x0200_0002),
        (0x2c, Width::B4, 0x001e_8086),
        (0x06, Width::B2, 0x0230),
        (0x34, Width::B1, 0xdc),
        (0x3d, Width::B1, 1),
        (0xdc, Width::B4, 0x4822_f001),
        (0xf0, Width::B4, 0x0080_0005),
    ] {
        assert_eq!(bench.config_read(offset, width), expected, "{offset:#x}");
    }
    bench.config_write(0x10, Width::B4, !0);
    bench.config_write(0x18, Width::B4, !0);
    assert_eq!(bench.config_read(0x10, Width::B4), 0xfffe_0000);
    assert_eq!(bench.config_read(0x18, Width::B4), 0xffff_ffc1);
    bench.config_write(0x10, Width::B4, 0xfeb0_0000);
    bench.config_write(0x18, Width::B4, 0xc000);
    let places: Vec<_> = bench.card.bars().iter().flatten().map(|w| (w.bar, w.base, w.size)).collect();
    assert_eq!(places, [(MMIO_BAR, 0xfeb0_0000, 0x2_0000), (IO_BAR, 0xc000, 64)]);
}

#[test]
fn linux_resets_through_the_io_bar_and_reads_the_eeprom_bit_by_bit() {
    let mut bench = Bench::new();
    bench.write(IMC, !0);
    bench.write(RCTL, 0);
    bench.write(TCTL, TCTL_PSP);
    bench.write(MTA, 0x1234);
    let ctrl = bench.read(CTRL);
    bench
        .on(|card, ctx, _| {
            card.io_write(ctx, IOADDR, Width::B4, CTRL.into())?;
            card.io_write(ctx, IODATA, Width::B4, (ctrl | CTRL_RST).into())
        })
        .expect("ports");
    assert_eq!(bench.read(CTRL), CTRL_RESET, "RST clears itself");
    assert_eq!((bench.read(TCTL), bench.read(MTA), bench.read(RA)), (0, 0, 0));
    bench.run(VirtDuration::from_ms(5));
    assert_eq!(bench.read(RA), u32::from_le_bytes([MAC[0], MAC[1], MAC[2], MAC[3]]));
    assert_eq!(bench.read(RA + 4), RAH_AV | u32::from(MAC[4]) | u32::from(MAC[5]) << 8);

    let words: Vec<u16> = (0..64).map(|address| microwire_read(&mut bench, address)).collect();
    assert_eq!(words.iter().fold(0u16, |sum, word| sum.wrapping_add(*word)), 0xbaba);
    let mac: Vec<u8> = words[..3].iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(mac, MAC);
    let by_eerd: Vec<u16> = (0..64).map(|address| eerd_read(&mut bench, address)).collect();
    assert_eq!(by_eerd, words);
}

#[test]
fn a_microwire_read_goes_on_to_the_next_word() {
    let mut bench = Bench::new();
    command(&mut bench, 0b110 << 6 | 0x3e, 9);
    let words = bench.card.eeprom_words().to_vec();
    let got: Vec<u16> = (0..3).map(|_| shift_in(&mut bench)).collect();
    assert_eq!(got, [words[0x3e], words[0x3f], words[0]]);
}

#[test]
fn the_eeprom_is_written_only_when_enabled_and_takes_its_time() {
    let mut bench = Bench::new();
    let write = |bench: &mut Bench, value: u32| {
        command(bench, (0b101 << 6 | 0x20) << 16 | value, 25);
        bench.write(EECD, EECD_REQ);
    };
    write(&mut bench, 0x1234);
    assert_eq!(microwire_read(&mut bench, 0x20), 0xffff, "not enabled");
    command(&mut bench, 0b100 << 6 | 0x30, 9);
    bench.write(EECD, EECD_REQ);
    write(&mut bench, 0x1234);
    bench.write(EECD, EECD_REQ | EECD_CS);
    assert_eq!(bench.read(EECD) & EECD_DO, 0, "busy");
    bench.run(VirtDuration::from_ms(10));
    assert_ne!(bench.read(EECD) & EECD_DO, 0, "ready");
    bench.write(EECD, EECD_REQ);
    assert_eq!(microwire_read(&mut bench, 0x20), 0x1234);
    bench.on(|card, ctx, _| card.reset(ctx));
    assert_eq!(bench.card.eeprom_words()[0x20], 0x1234, "it outlives a reset");
}

#[test]
fn without_a_request_the_eeprom_wires_do_nothing() {
    let mut bench = Bench::new();
    bench.write(EECD, EECD_CS | EECD_SK | EECD_DI);
    assert_eq!(bench.read(EECD), EECD_PRES | EECD_DO);
}

#[test]
fn the_phy_identifies_itself_and_shows_a_gigabit_link() {
    let mut bench = Bench::new();
    for (register, expected) in [
        (0, 0x1140),
        (1, 0x796d),
        (2, 0x0141),
        (3, 0x0c20),
        (4, 0x0de1),
        (5, 0x45e1),
        (9, 0x0e00),
        (10, 0x3c00),
        (15, 0x3000),
        (17, 0xac00),
    ] {
        assert_eq!(phy_read(&mut bench, register), expected, "PHY register {register}");
    }
    assert_ne!(phy(&mut bench, MDIC_READ << 26 | 2 << 21 | 1 << 16) & MDIC_ERROR, 0, "nobody at address 2");
}

#[test]
fn link_follows_slu_and_status_shows_speed() {
    let mut bench = Bench::new();
    assert_eq!(bench.read(STATUS) & STATUS_LU, 0);
    bench.write(CTRL, CTRL_SLU | CTRL_FD);
    assert_eq!(bench.read(STATUS), 0x283);
    assert_eq!(bench.read(ICR), ICR_LSC);
    assert!(bench.card.link_up());
}

#[test]
fn restarting_autonegotiation_drops_the_link_and_tells_when_it_is_back() {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_LSC);
    assert_eq!(phy_read(&mut bench, 1) & 4, 4);
    phy_write(&mut bench, 0, 0x1340);
    assert!(!bench.card.link_up());
    assert_eq!(bench.read(ICR), ICR_LSC);
    assert_eq!(phy_read(&mut bench, 1) & 0x24, 0);
    bench.run(VirtDuration::from_ms(499));
    assert!(!bench.card.link_up());
    bench.run(VirtDuration::from_ms(2));
    assert!(bench.card.link_up() && bench.pin());
    assert_eq!(bench.read(ICR), ICR_LSC);
    phy_read(&mut bench, 1);
    assert_eq!(phy_read(&mut bench, 1) & 0x24, 0x24);
}

#[test]
fn the_link_bit_latches_low_until_read() {
    let mut bench = Bench::running();
    phy_write(&mut bench, 0, 0x1340);
    bench.run(VirtDuration::from_s(1));
    assert_eq!(phy_read(&mut bench, 1) & 4, 0, "it was down");
    assert_eq!(phy_read(&mut bench, 1) & 4, 4, "it is up");
}

#[test]
fn a_phy_reset_bit_has_cleared_itself_by_the_next_access() {
    let mut bench = Bench::running();
    phy_write(&mut bench, 4, 0x0041);
    phy_write(&mut bench, 9, 0);
    phy_write(&mut bench, 0, 0x9140);
    assert_eq!(phy_read(&mut bench, 0), 0x1140);
    bench.run(VirtDuration::from_s(1));
    assert_eq!(bench.read(STATUS) & 0xc1, 1, "10 Mb/s, full duplex: all that was advertised");
    bench.write(CTRL, CTRL_SLU | CTRL_FD | CTRL_PHY_RST);
    bench.write(CTRL, CTRL_SLU | CTRL_FD);
    bench.run(VirtDuration::from_s(1));
    assert_eq!(bench.read(STATUS), 0x283, "CTRL.PHY_RST brings the defaults back");
}

/// Linux's loopback test of a card with this PHY: reset, negotiation off, loopback, without a pause between them.
#[test]
fn the_control_register_takes_writes_right_after_a_reset() {
    let mut bench = Bench::running();
    for control in [0x9140, 0x8140, 0x4140] {
        phy_write(&mut bench, 0, control);
    }
    assert_eq!(phy_read(&mut bench, 0), 0x4140);
    assert!(bench.card.loops_back());
}

#[test]
fn forced_speed_needs_no_negotiation_and_power_down_no_link() {
    let mut bench = Bench::running();
    phy_write(&mut bench, 0, 0x2100);
    bench.run(VirtDuration::from_s(1));
    assert_eq!(bench.read(STATUS) & 0xc3, 0x43, "100 Mb/s");
    phy_write(&mut bench, 0, 0x0900);
    bench.run(VirtDuration::from_s(1));
    assert!(!bench.card.link_up());
}

#[test]
fn mdio_can_interrupt_when_it_is_through() {
    let mut bench = Bench::running();
    bench.write(MDIC, MDIC_READ << 26 | 1 << 21 | MDIC_INTERRUPT);
    bench.settle();
    assert_eq!(bench.read(ICR), ICR_MDAC);
}

/// The patterns of Linux's `ethtool -t` (register test): what is written must read back under the mask.
#[test]
fn registers_keep_the_bits_that_the_register_test_of_linux_expects() {
    let mut bench = Bench::new();
    let all = 0xffff_ffff;
    let mut table = vec![
        (FCAL, all, all),
        (FCAH, 0xffff, all),
        (FCT, 0xffff, all),
        (VET, 0xffff, all),
        (RDTR, 0xffff, all),
        (RDBAH, all, all),
        (RDLEN, 0x000f_ff80, 0x000f_ffff),
        (RDH, 0xffff, 0xffff),
        (RDT, 0xffff, 0xffff),
        (FCRTH, 0xfff8, 0xfff8),
        (FCTTV, 0xffff, 0xffff),
        (TIPG, 0x3fff_ffff, 0x3fff_ffff),
        (TDBAH, all, all),
        (TDLEN, 0x000f_ff80, 0x000f_ffff),
        (RDBAL, 0xffff_fff0, all),
        (TXCW, 0xc000_ffff, 0xffff),
        (TDBAL, 0xffff_fff0, all),
        (TIDV, 0xffff, 0xffff),
    ];
    table.extend((0..15).map(|index| (RA + index * 8 + 4, 0x8003_ffff, all)));
    table.extend((0..128).map(|index| (MTA + index * 4, all, all)));
    for (offset, mask, write) in table {
        for pattern in [0x5a5a_5a5a, 0xa5a5_a5a5, 0, all] {
            bench.write(offset, pattern & write);
            assert_eq!(bench.read(offset), pattern & write & mask, "{offset:#x}");
        }
    }
    for (offset, mask, value) in
        [(RCTL, 0x06df_b3fe, 0x003f_fffb), (RCTL, all, 0), (TCTL, all, 0), (RCTL, 0x06df_b3fe, all)]
    {
        bench.write(offset, value & mask);
        assert_eq!(bench.read(offset) & mask, value & mask, "{offset:#x}");
    }
    let status = bench.read(STATUS);
    bench.write(STATUS, all);
    assert_eq!(bench.read(STATUS), status);
}

#[test]
fn old_82542_places_reach_the_same_registers() {
    let mut bench = Bench::new();
    for (old, new) in [
        (0x0108, RDTR),
        (0x0114, RDBAH),
        (0x0424, TDBAH),
        (0x0440, TIDV),
        (0x0168, FCRTH),
        (0x0040, RA),
        (0x0204, MTA + 4),
        (0x07fc, VFTA + 0x1fc),
        (0x8008, RDFH + 8),
    ] {
        bench.write(old, 0x18);
        assert_eq!(bench.read(new), 0x18, "{old:#x}");
        assert_eq!(register_name(old.into()), register_name(new.into()));
    }
}

#[test]
fn accesses_that_make_no_sense_are_refused() {
    let mut bench = Bench::new();
    let mut access = |offset, width, write| {
        bench.on(|card, ctx, _| match write {
            false => card.mmio_read(ctx, offset, width).map(|_| ()),
            true => card.mmio_write(ctx, offset, width, 0),
        })
    };
    use emu_core::IoError::{Misaligned, NoRegister, Width as WrongWidth};
    for (offset, width, write, expected) in [
        (0x000c, Width::B4, false, Err(NoRegister)),
        (0x000c, Width::B4, true, Err(NoRegister)),
        (0x2_0000, Width::B4, false, Err(NoRegister)),
        (u64::MAX, Width::B8, true, Err(NoRegister)),
        (0x0002, Width::B4, false, Err(Misaligned)),
        (0x0004, Width::B8, true, Err(Misaligned)),
        (0x0000, Width::B2, true, Err(WrongWidth)),
        (0x0000, Width::B1, false, Ok(())),
        (0x2800, Width::B8, false, Ok(())),
        (0x2800, Width::B8, true, Ok(())),
    ] {
        assert_eq!(access(offset, width, write), expected, "{offset:#x} {width:?} {write}");
    }
}

#[test]
fn a_quadword_write_is_two_registers() {
    let mut bench = Bench::new();
    bench
        .on(|card, ctx, _| card.mmio_write(ctx, TDBAL.into(), Width::B8, 0x1_2345_6780))
        .expect("two registers");
    assert_eq!((bench.read(TDBAL), bench.read(TDBAH)), (0x2345_6780, 1));
}

#[test]
fn every_register_in_the_table_can_be_read_and_found_by_its_offset() {
    let bench = Bench::new();
    for info in &REGISTERS {
        for word in [0, info.words - 1] {
            let offset = info.offset + word * 4;
            assert!(bench.card.peek(offset).is_some(), "{} at {offset:#x}", info.name);
            assert_eq!(register_name(offset.into()), Some(info.name));
        }
    }
    assert_eq!(register_name(0xc), None);
    let shown: Vec<_> = bench.card.registers().filter(|r| r.name == "CTRL" || r.name == "RA[0]").collect();
    assert_eq!(shown.len(), 2);
    assert_eq!((shown[0].value, shown[0].meaning.as_str()), (u64::from(CTRL_RESET), "FD"));
}

#[test]
fn waking_from_d3_resets_the_card() {
    let mut bench = Bench::running();
    let no_soft_reset = bench.config_read(0xe0, Width::B2) & 8;
    assert_eq!(no_soft_reset, 0, "with it Linux and Xen would not take this for a reset");
    bench.write(IMS, ICR_LSC);
    bench.write(ICS, ICR_LSC);
    assert!(bench.pin());
    let link = bench.read(STATUS) & STATUS_LU;
    bench.config_write(0xe0, Width::B2, 3);
    assert_eq!(bench.card.bars(), [None; 6]);
    assert!(!bench.card.bus_master() && !bench.pin());
    bench.config_write(0xe0, Width::B2, 0);
    assert_eq!(bench.config_read(pci::COMMAND, Width::B2), 0);
    assert_eq!((bench.read(RCTL), bench.read(RDLEN), bench.read(IMS)), (0, 0, 0));
    assert!(!bench.pin());
    bench.write(CTRL, CTRL_SLU | CTRL_FD);
    assert_eq!(bench.read(STATUS) & STATUS_LU, link, "the PHY has kept its link");
}
