//! Configuration space as firmware and drivers use it.

use super::*;
use emu_core::testing::FakeFabric;
use emu_core::trace::TraceEvent;
use emu_core::{Bdf, Slot};

/// A function with every kind of BAR and both capabilities.
struct Sample(ConfigSpace);

impl Sample {
    fn new() -> Self {
        let mut config = ConfigSpace::new(Identity {
            vendor: 0x8086,
            device: 0x1234,
            revision: 3,
            class: 0x02_0000,
            subsystem_vendor: 0x1111,
            subsystem: 0x2222,
        });
        config.allow(spec::COMMAND, Width::B2, 0x0557);
        config.add_bar(0, BarKind::Memory32, 128 << 10);
        config.add_bar(1, BarKind::Io, 64);
        config.add_bar(2, BarKind::Memory64, 1 << 33);
        config.add_power_management(0xdc, 0xc822);
        config.add_msi(0xf0);
        Self(config)
    }
}

impl PciFunction for Sample {
    fn config(&self) -> &ConfigSpace {
        &self.0
    }

    fn config_read(&mut self, _: &mut DeviceCtx<'_>, offset: u16, width: Width) -> u32 {
        self.0.read(offset, width)
    }

    fn config_write(&mut self, _: &mut DeviceCtx<'_>, offset: u16, width: Width, value: u32) {
        self.0.write(offset, width, value);
    }
}

/// Each step writes and then reads back the same place.
#[track_caller]
fn check(config: &mut ConfigSpace, steps: &[(u16, Width, u32, u32)]) {
    for (offset, width, value, expected) in steps {
        config.write(*offset, *width, *value);
        assert_eq!(config.read(*offset, *width), *expected, "{offset:#x} after {value:#x}");
    }
}

#[test]
fn bars_answer_sizing_with_their_size_and_type() {
    check(
        &mut Sample::new().0,
        &[
            (0x10, Width::B4, !0, 0xfffe_0000),
            (0x10, Width::B4, 0xfeb5_4321, 0xfeb4_0000),
            (0x14, Width::B4, !0, 0xffff_ffc1),
            (0x14, Width::B4, 0xc07f, 0xc041),
            (0x18, Width::B4, !0, 0x0000_0004),
            (0x1c, Width::B4, !0, 0xffff_fffe),
            (0x20, Width::B4, !0, 0),
            (0x30, Width::B4, !0, 0),
        ],
    );
}

#[test]
fn byte_enables_reach_only_their_bytes() {
    let mut config = Sample::new().0;
    config.write(0x10, Width::B4, 0xfeb4_0000);
    config.write(0x13, Width::B1, 0xc0);
    assert_eq!(config.read(0x10, Width::B4), 0xc0b4_0000);
    config.write(0x12, Width::B2, 0x1236);
    assert_eq!(config.read(0x10, Width::B4), 0x1236_0000);
    assert_eq!(config.read(0x11, Width::B2), 0x3600);
    assert_eq!(config.read(0x02, Width::B1), 0x34);
    assert_eq!(config.read(0x0a, Width::B2), 0x0200);
}

#[test]
fn identity_is_read_only_and_extended_space_is_all_ones() {
    check(
        &mut Sample::new().0,
        &[
            (0x00, Width::B4, 0, 0x1234_8086),
            (0x08, Width::B4, 0, 0x0200_0003),
            (0x2c, Width::B4, 0, 0x2222_1111),
            (0x34, Width::B1, 0, 0xdc),
            (0x100, Width::B4, 0, 0xffff_ffff),
            (0xffe, Width::B2, 0, 0xffff),
            (0xfe, Width::B4, 0, 0xffff_0000),
        ],
    );
}

#[test]
fn status_errors_clear_on_writing_one_and_interrupt_status_is_read_only() {
    let mut config = Sample::new().0;
    config.raise_status(spec::STATUS_MASTER_ABORT | spec::STATUS_TARGET_ABORT);
    config.set_interrupt_status(true);
    check(
        &mut config,
        &[
            (spec::STATUS, Width::B2, 0, 0x3018),
            (spec::STATUS, Width::B2, 0x2008, 0x1018),
            (spec::STATUS, Width::B2, 0xffff, 0x0018),
        ],
    );
}

#[test]
fn command_and_power_state_decide_what_is_decoded() {
    let mut config = Sample::new().0;
    config.write(0x10, Width::B4, 0xfeb4_0000);
    config.write(0x14, Width::B4, 0xc041);
    config.write(0x1c, Width::B4, 0x8);
    let decoded = |config: &ConfigSpace| {
        config.windows().iter().flatten().map(|w| (w.bar, w.base, w.size)).collect::<Vec<_>>()
    };
    let mem = [(0, 0xfeb4_0000, 0x2_0000), (2, 0x8_0000_0000, 0x2_0000_0000)];
    let io = (1, 0xc040, 64);
    assert_eq!(decoded(&config), []);
    config.write(spec::COMMAND, Width::B2, 2);
    assert_eq!(decoded(&config), mem);
    config.write(spec::COMMAND, Width::B2, 7);
    assert_eq!(decoded(&config), [mem[0], io, mem[1]]);
    assert!(config.bus_master());
    config.write(0xe0, Width::B2, 3);
    assert_eq!(decoded(&config), []);
    assert!(!config.bus_master());
    config.write(0xe0, Width::B2, 1);
    assert_eq!(config.power_state(), 3, "D1 does not exist: the write is discarded");
    config.write(0xe0, Width::B2, 0);
    assert_eq!(config.command(), 0, "D3hot to D0 is a reset");
    assert_eq!(config.read(0x10, Width::B4), 0);
}

#[test]
fn io_windows_beyond_the_64_kib_of_ports_are_not_decoded() {
    let mut config = Sample::new().0;
    config.write(spec::COMMAND, Width::B2, 1);
    config.write(0x14, Width::B4, !0);
    assert_eq!(config.windows(), [None; BARS]);
}

#[test]
fn a_window_knows_the_offset_of_an_address() {
    let window = Window { bar: 0, space: Space::Memory, base: 0x1000, size: 0x100 };
    assert_eq!(window.offset_of(Space::Memory, 0x10ff), Some(0xff));
    assert_eq!(window.offset_of(Space::Memory, 0x1100), None);
    assert_eq!(window.offset_of(Space::Memory, 0xfff), None);
    assert_eq!(window.offset_of(Space::Io, 0x1000), None);
}

#[test]
fn msi_is_what_software_programmed_and_replaces_intx() {
    let mut config = Sample::new().0;
    assert!(config.intx_enabled());
    config.write(0xf4, Width::B4, 0xfee0_1007);
    config.write(0xf8, Width::B4, 0x1);
    config.write(0xfc, Width::B2, 0x4031);
    assert_eq!(config.msi(), None);
    config.write(0xf2, Width::B2, 0xffff);
    assert_eq!(config.read(0xf2, Width::B2), 0x00f1);
    assert_eq!(config.msi(), Some(emu_core::Msi { address: 0x1_fee0_1004, data: 0x4031 }));
    assert!(!config.intx_enabled());
    config.write(0xf2, Width::B2, 0);
    config.write(spec::COMMAND, Width::B2, u32::from(spec::COMMAND_INTX_DISABLE));
    assert!(!config.intx_enabled());
}

#[test]
fn capabilities_are_linked_in_the_order_they_were_added() {
    let config = Sample::new().0;
    assert_eq!(config.read(0xdc, Width::B4), 0xc822_f001);
    assert_eq!(config.read(0xf0, Width::B4), 0x0080_0005);
}

#[test]
fn mechanism_one_latches_dwords_only() {
    let mut ports = ConfigPorts::default();
    ports.write_address(0xcf8, Width::B4, 0xffff_ffff).expect("dword");
    assert_eq!(ports.read_address(0xcf8, Width::B4), Ok(0x80ff_fffc));
    assert!(ports.write_address(0xcf9, Width::B1, 6).is_err(), "the reset register is another chip's");
    assert!(ports.write_address(0xcfb, Width::B1, 1).is_err());
    assert_eq!(ports.read_address(0xcf8, Width::B4), Ok(0x80ff_fffc));

    ports.write_address(0xcf8, Width::B4, 0x8001_2a40).expect("dword");
    let target = |port, width| ports.data_target(port, width).map(|at| (at.bdf.to_string(), at.offset));
    let here = "01:05.2".to_owned();
    assert_eq!(target(0xcfc, Width::B4), Some((here.clone(), 0x40)));
    assert_eq!(target(0xcfe, Width::B2), Some((here.clone(), 0x42)));
    assert_eq!(target(0xcff, Width::B1), Some((here, 0x43)));
    assert_eq!(target(0xcff, Width::B2), None);
    assert_eq!(target(0xd00, Width::B1), None);
    ports.write_address(0xcf8, Width::B4, 0x0001_2a40).expect("dword");
    assert_eq!(ports.data_target(0xcfc, Width::B4), None);
}

#[test]
fn ecam_offsets_name_function_and_register() {
    let at =
        |offset, width| ConfigAddress::from_ecam(offset, width).map(|at| (at.bdf.to_string(), at.offset));
    assert_eq!(at(0x0012_a040, Width::B4), Some(("01:05.2".to_owned(), 0x40)));
    assert_eq!(at(0x0ff_ffffe, Width::B2), Some(("ff:1f.7".to_owned(), 0xffe)));
    assert_eq!(at(0x3, Width::B2), None);
    assert_eq!(at(0x0, Width::B8), None);
    assert_eq!(at(0x1000_0000, Width::B4), None);
}

#[test]
fn accesses_are_traced_and_say_when_the_map_changes() {
    let mut fabric = FakeFabric::new(0);
    let bdf = Bdf::new(0, 3, 0);
    let mut sample = Sample::new();
    let at = |offset| ConfigAddress { bdf, offset };
    let mut ctx = fabric.ctx(Slot::Nic(0), bdf);
    assert!(!write(Some(&mut sample), &mut ctx, at(0x10), Width::B4, 0xfeb4_0000));
    assert!(write(Some(&mut sample), &mut ctx, at(spec::COMMAND), Width::B2, 2));
    assert!(write(Some(&mut sample), &mut ctx, at(0x13), Width::B1, 0xc0));
    assert!(!write(Some(&mut sample), &mut ctx, at(0x3c), Width::B1, 11));
    assert!(!write(None, &mut ctx, at(0x10), Width::B4, 0));
    assert_eq!(read(Some(&mut sample), &mut ctx, at(0x3c), Width::B1), 0);
    assert_eq!(read(None, &mut ctx, at(0), Width::B2), 0xffff);
    let records = fabric.records();
    assert_eq!(records.len(), 7);
    let written = TraceEvent::PciWrite { bdf, offset: 4, width: Width::B2, value: 2 };
    assert_eq!(records[1].event, written);
    assert_eq!(records[6].event, TraceEvent::PciRead { bdf, offset: 0, width: Width::B2, value: 0xffff });
}

#[test]
fn host_bridge_places_ecam() {
    let mut bridge = HostBridge::new(Some(0xe000_0000), 0x8000_0000);
    let place = |bridge: &HostBridge| bridge.ecam().map(|w| (w.base, w.size));
    assert_eq!(place(&bridge), Some((0xe000_0000, 0x1000_0000)));
    assert_eq!(bridge.config().read(0, Width::B4), 0x29c0_8086);
    assert_eq!(bridge.config().read(0xb0, Width::B2), 0x8000);
    bridge.config.write(0x60, Width::B4, 0xb400_0005);
    assert_eq!(place(&bridge), Some((0xb400_0000, 0x0400_0000)));
    bridge.config.write(0x60, Width::B4, 0xb400_0007);
    assert_eq!(place(&bridge), None);
    bridge.config.write(0x60, Width::B4, 0);
    assert_eq!(place(&bridge), None);
    bridge.reset();
    assert_eq!(place(&bridge), Some((0xe000_0000, 0x1000_0000)));
    assert_eq!(HostBridge::new(None, 0).ecam(), None);
}

#[test]
fn lpc_bridge_places_the_acpi_ports() {
    let mut bridge = LpcBridge::new(Some(0x600));
    let place = |bridge: &LpcBridge| bridge.pm_ports().map(|w| (w.space, w.base, w.size));
    assert_eq!(place(&bridge), Some((Space::Io, 0x600, 128)));
    assert_eq!(bridge.config().read(0x40, Width::B4), 0x601);
    bridge.config.write(0x40, Width::B4, 0x0000_b0ff);
    assert_eq!(bridge.config().read(0x40, Width::B4), 0xb081);
    bridge.config.write(0x44, Width::B1, 0);
    assert_eq!(place(&bridge), None);
    assert_eq!(bridge.config().read(0x60, Width::B4), 0x8080_8080);
}

#[test]
fn state_goes_through_ron_and_read_only_bits_are_not_believed() {
    let mut sample = Sample::new().0;
    sample.write(0x10, Width::B4, 0xfeb4_0000);
    sample.set_interrupt_status(true);
    let text = ron::to_string(&sample.state()).expect("serializes");
    let state: ConfigState = ron::from_str(&text).expect("parses");
    let mut restored = Sample::new().0;
    restored.restore(&state).expect("valid");
    assert_eq!(restored, sample);

    let mut forged = state.clone();
    forged.bytes[0] ^= 1;
    assert!(restored.restore(&forged).is_err());
    forged.bytes.truncate(255);
    assert!(restored.restore(&forged).is_err());
    assert_eq!(restored, sample, "a refused state changes nothing");
}

fn bridge() -> PciBridge {
    PciBridge::new(1, 0xfeb0_0000..=0xfebf_ffff)
}

fn program(bridge: &mut PciBridge, steps: &[(u16, Width, u32)]) {
    let mut fabric = FakeFabric::new(0);
    for (offset, width, value) in steps {
        bridge.config_write(&mut fabric.ctx(Slot::Pci, Bdf::new(0, 30, 0)), *offset, *width, *value);
    }
}

#[test]
fn a_bridge_speaks_for_the_first_bus_behind_it() {
    let mut bridge = bridge();
    assert_eq!((bridge.buses(), bridge.requester()), (Some(1..=1), Some(Bdf::new(1, 0, 0))));
    assert!(bridge.forwards_up());
    program(&mut bridge, &[(spec::SECONDARY_BUS, Width::B1, 5), (spec::SUBORDINATE_BUS, Width::B1, 7)]);
    assert_eq!((bridge.buses(), bridge.requester()), (Some(5..=7), Some(Bdf::new(5, 0, 0))));
    program(&mut bridge, &[(spec::COMMAND, Width::B2, u32::from(spec::COMMAND_MEMORY))]);
    assert!(!bridge.forwards_up(), "it is no bus master");
    program(&mut bridge, &[(spec::COMMAND, Width::B2, 7), (spec::SECONDARY_BUS, Width::B1, 0)]);
    assert!(!bridge.forwards_up() && bridge.buses().is_none(), "no bus has a number");
}

#[test]
fn a_bridge_forwards_what_its_windows_hold() {
    let memory = |base, size| Window { bar: 0, space: Space::Memory, base, size };
    let ports = |base, size| Window { bar: 1, space: Space::Io, base, size };
    let mut bridge = bridge();
    for (window, passes) in [
        (memory(0xfeb0_0000, 0x2_0000), true),
        (memory(0xfebe_0000, 0x2_0000), true),
        (memory(0xfebf_0000, 0x2_0000), false),
        (memory(0xfea0_0000, 0x2_0000), false),
        (ports(0xc000, 64), false),
    ] {
        assert_eq!(bridge.forwards_down(&window), passes, "{window:?}");
    }
    // A prefetchable window above 4 GiB, and ports.
    program(
        &mut bridge,
        &[
            (spec::PREFETCH_BASE, Width::B4, 0x0010_0000),
            (spec::PREFETCH_BASE_UPPER, Width::B4, 1),
            (spec::PREFETCH_LIMIT_UPPER, Width::B4, 1),
            (spec::IO_BASE, Width::B2, 0xd0c0),
        ],
    );
    for (window, passes) in [
        (memory(0x1_0000_0000, 0x10_0000), true),
        (memory(0x1_0020_0000, 0x10_0000), false),
        (ports(0xc000, 64), true),
        (ports(0xdfc0, 64), true),
        (ports(0xe000, 64), false),
    ] {
        assert_eq!(bridge.forwards_down(&window), passes, "{window:?}");
    }
    program(&mut bridge, &[(spec::BRIDGE_CONTROL, Width::B2, u32::from(spec::BRIDGE_ISA_ENABLE))]);
    assert!(bridge.forwards_down(&ports(0xc000, 64)) && !bridge.forwards_down(&ports(0xc100, 64)));
    program(&mut bridge, &[(spec::COMMAND, Width::B2, u32::from(spec::COMMAND_MASTER))]);
    assert!(!bridge.forwards_down(&memory(0xfeb0_0000, 0x2_0000)), "memory is switched off");
}

#[test]
fn pins_behind_a_bridge_go_round_by_device() {
    let pins = |device| [0, 1, 2, 3].map(|pin| PciBridge::swizzle(device, emu_core::Pin(pin)).0);
    assert_eq!((pins(0), pins(2), pins(7)), ([0, 1, 2, 3], [2, 3, 0, 1], [3, 0, 1, 2]));
}

#[test]
fn a_bridge_says_that_it_leads_from_express_to_pci() {
    let bridge = bridge();
    let config = bridge.config();
    assert_eq!(config.read(spec::HEADER_TYPE, Width::B1), 1);
    assert_eq!(config.read(0x08, Width::B4) >> 8, 0x06_0400);
    let first = config.read(spec::CAPABILITIES, Width::B1) as u16;
    let express = config.read(first + 1, Width::B1) as u16;
    assert_eq!(config.read(express, Width::B1), u32::from(spec::CAP_EXPRESS));
    let kind = config.read(express + spec::EXPRESS_CAPABILITIES, Width::B2) >> 4 & 0xf;
    assert_eq!(kind, u32::from(spec::EXPRESS_TO_PCI));
}
