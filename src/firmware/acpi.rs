//! ACPI tables of the board: RSDP, XSDT, FADT, FACS, MADT, MCFG, DMAR ([`super::dmar`]) and a DSDT with the PCI root, its interrupt routing and S5.
//!
//! Manual: ACPI specification 6.5, chapter 5; VT-d specification, chapter 8 (DMAR). Everything that they say is what
//! [`crate::machine::layout`] lays out.

use super::dmar::Described;
use crate::machine::layout;
use acpi_tables::aml::{
    AddressSpace, AddressSpaceCacheable, Arg, Device, EISAName, IO, If, Memory32Fixed, Method, Name, Package,
    Path, ResourceTemplate, Return, Scope, Store,
};
use acpi_tables::fadt::{FADTBuilder, Flags, PmProfile};
use acpi_tables::madt::{EnabledStatus, IoApic, ProcessorLocalApic};
use acpi_tables::mcfg::MCFG;
use acpi_tables::rsdp::Rsdp;
use acpi_tables::sdt::Sdt;
use acpi_tables::xsdt::XSDT;
use acpi_tables::{Aml, AmlSink, gas};
use emu_core::mem::{LOW_RAM_END, PhysMem, Unbacked};
use emu_core::{Gpa, Pin};
use emu_devices::pci::PciBridge;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Where the RSDP lies: Xen under Multiboot searches only 0xE0000-0xFFFFF.
pub const RSDP: Gpa = Gpa(0xe_0000);
/// Where the other tables lie, and room for them.
pub const TABLES: Gpa = Gpa(0xe_0040);
/// End of that room.
pub const END: Gpa = Gpa(0xe_8000);

const OEM: [u8; 6] = *b"GLSBOX";
const OEM_TABLE: [u8; 8] = *b"GLASSBOX";

/// What decides the tables' contents.
#[derive(Clone, Copy, Debug)]
pub struct Platform<'a> {
    /// DMA remapping.
    pub remapping: Described<'a>,
    /// There is a bridge to conventional PCI.
    pub bridge: bool,
    /// I/O APIC id.
    pub ioapic_id: u8,
}

/// Writes all tables; answers where the RSDP is.
pub fn write(mem: &mut PhysMem, platform: &Platform<'_>) -> Result<Gpa, Unbacked> {
    let mut place = Place { mem, next: TABLES };
    let facs = place.put(&facs(), 64)?;
    let dsdt = place.put(&bytes(&dsdt(platform.bridge)), 16)?;
    let fadt = place.put(&bytes(&fadt(facs, dsdt)), 16)?;
    let madt = place.put(&bytes(&madt(platform)), 16)?;
    let mut mcfg = MCFG::new(OEM, OEM_TABLE, 1);
    mcfg.add_ecam(layout::ECAM.0, 0, 0, 255);
    let mcfg = place.put(&bytes(&mcfg), 16)?;
    let mut xsdt = XSDT::new(OEM, OEM_TABLE, 1);
    for table in [fadt, madt, mcfg] {
        xsdt.add_entry(table.0);
    }
    if platform.remapping.has_units() {
        let dmar = platform.remapping.table(OEM, OEM_TABLE, platform.ioapic_id);
        xsdt.add_entry(place.put(&bytes(&dmar), 16)?.0);
    }
    let xsdt = place.put(&bytes(&xsdt), 16)?;
    place.mem.write(RSDP, &bytes(&Rsdp::new(OEM, xsdt.0)))?;
    Ok(RSDP)
}

/// Puts tables one after the other.
struct Place<'a> {
    mem: &'a mut PhysMem,
    next: Gpa,
}

impl Place<'_> {
    fn put(&mut self, table: &[u8], align: u64) -> Result<Gpa, Unbacked> {
        let at = Gpa(self.next.0.next_multiple_of(align));
        self.next = at.plus(table.len() as u64);
        assert!(self.next <= END, "the tables outgrew their place");
        self.mem.write(at, table)?;
        Ok(at)
    }
}

fn bytes(table: &dyn Aml) -> Vec<u8> {
    let mut bytes = Vec::new();
    table.to_aml_bytes(&mut bytes);
    bytes
}

/// Firmware ACPI Control Structure (5.2.10): a signature, a length, version 2; no waking vector.
fn facs() -> [u8; 64] {
    let mut facs = [0; 64];
    facs[..4].copy_from_slice(b"FACS");
    facs[4] = 64;
    facs[32] = 2;
    facs
}

/// IAPC_BOOT_ARCH bit 0: legacy devices (5.2.9.3).
const BOOT_LEGACY: u16 = 1;
/// PM1 event block, control block, timer and general-purpose events, from the start of the power management ports.
const PM1_EVENT: u16 = 0x00;
const PM1_CONTROL: u16 = 0x04;
const PM_TIMER: u16 = 0x08;
const GPE0: u16 = 0x20;
/// Reset control register, and the value that resets.
const RESET_PORT: u16 = 0xcf9;
const RESET_VALUE: u8 = 6;
/// CMOS byte with the century.
const CENTURY: u8 = 0x32;
/// The sleep type that switches the machine off.
pub const S5_TYPE: u8 = 5;
/// System control interrupt.
const SCI: u8 = 9;

fn fadt(facs: Gpa, dsdt: Gpa) -> impl Aml {
    let port = |offset: u16| u32::from(layout::PM_PORTS + offset);
    let io = |port: u16, bytes: u8| {
        let access = if bytes == 4 { gas::AccessSize::DwordAccess } else { gas::AccessSize::WordAccess };
        gas::GAS::new(gas::AddressSpace::SystemIo, bytes * 8, 0, access, u64::from(port))
    };
    let mut fadt = FADTBuilder::new(OEM, OEM_TABLE, 1)
        .firmware_ctrl_32(facs.0 as u32)
        .dsdt_32(dsdt.0 as u32)
        .dsdt_64(dsdt.0)
        .preferred_pm_profile(PmProfile::Desktop)
        .flag(Flags::Wbinvd)
        .flag(Flags::ProcC1)
        .flag(Flags::SlpButton)
        .flag(Flags::PwrButton)
        .flag(Flags::TmrValExt)
        .flag(Flags::ResetRegSup);
    fadt.sci_int = u16::from(SCI).into();
    fadt.pm1a_evt_blk = port(PM1_EVENT).into();
    fadt.pm1_evt_len = 4;
    fadt.pm1a_cnt_blk = port(PM1_CONTROL).into();
    fadt.pm1_cnt_len = 2;
    fadt.pm_tmr_blk = port(PM_TIMER).into();
    fadt.pm_tmr_len = 4;
    fadt.gpe0_blk = port(GPE0).into();
    fadt.gpe0_blk_len = 16;
    fadt.p_lvl2_lat = 0xffff.into();
    fadt.p_lvl3_lat = 0xffff.into();
    fadt.century = CENTURY;
    fadt.iapc_boot_arch = BOOT_LEGACY.into();
    fadt.reset_reg =
        gas::GAS::new(gas::AddressSpace::SystemIo, 8, 0, gas::AccessSize::ByteAccess, u64::from(RESET_PORT));
    fadt.reset_value = RESET_VALUE;
    fadt.x_pm1a_evt_blk = io(layout::PM_PORTS + PM1_EVENT, 4);
    fadt.x_pm1a_cnt_blk = io(layout::PM_PORTS + PM1_CONTROL, 2);
    fadt.x_pm_tmr_blk = io(layout::PM_PORTS + PM_TIMER, 4);
    fadt.x_gpe0_blk = io(layout::PM_PORTS + GPE0, 16);
    fadt.finalize()
}

/// Interrupt source override (5.2.12.5).
#[derive(IntoBytes, Immutable, FromBytes)]
#[repr(C, packed)]
struct Override {
    kind: u8,
    len: u8,
    bus: u8,
    irq: u8,
    gsi: [u8; 4],
    flags: [u8; 2],
}

/// Local APIC NMI (5.2.12.7).
#[derive(IntoBytes, Immutable, FromBytes)]
#[repr(C, packed)]
struct LapicNmi {
    kind: u8,
    len: u8,
    processor: u8,
    flags: [u8; 2],
    lint: u8,
}

/// MPS INTI flags: active high and level-triggered.
const HIGH_LEVEL: u16 = 0b1101;

fn madt(platform: &Platform<'_>) -> impl Aml {
    let mut table = Sdt::new(*b"APIC", 44, 5, OEM, OEM_TABLE, 1);
    table.write_u32(36, layout::LAPIC.0 as u32);
    // PCAT_COMPAT: there is an 8259 pair, to be masked.
    table.write_u32(40, 1);
    table.append_slice(&bytes(&ProcessorLocalApic::new(0, 0, EnabledStatus::Enabled)));
    table.append_slice(&bytes(&IoApic::new(platform.ioapic_id, layout::IOAPIC.0 as u32, 0)));
    let overrides = [(0, 2, 0u16), (SCI, u32::from(SCI), HIGH_LEVEL)];
    for (irq, gsi, flags) in overrides {
        let entry =
            Override { kind: 2, len: 10, bus: 0, irq, gsi: gsi.to_le_bytes(), flags: flags.to_le_bytes() };
        table.append(entry);
    }
    table.append(LapicNmi { kind: 4, len: 6, processor: 0xff, flags: [0; 2], lint: 1 });
    table
}

/// Devices on bus 0 whose INTA is routed. All four pins are swizzled as the chipset does it: INTA of every device to PIRQA and
/// so on.
const ROUTED_DEVICES: u32 = 32;

/// Rows of _PRT: which interrupt each pin of each device has.
struct Routing(Vec<[u32; 4]>);

impl Routing {
    /// By the interrupts of PIRQA-D. On the bus behind a bridge pins go round by device number before they become the bridge's own.
    fn new(interrupts: [u32; 4], behind: bool) -> Self {
        let rows = (0..ROUTED_DEVICES).flat_map(|device| {
            (0..4).map(move |pin| {
                let own = if behind { PciBridge::swizzle(device as u8, Pin(pin)) } else { Pin(pin) };
                [device << 16 | 0xffff, u32::from(pin), 0, interrupts[usize::from(own.0)]]
            })
        });
        Self(rows.collect())
    }

    fn rows(&self) -> Vec<Package<'_>> {
        self.0.iter().map(|row| Package::new(row.iter().map(|value| value as &dyn Aml).collect())).collect()
    }

    fn package<'a>(rows: &'a [Package<'a>]) -> Package<'a> {
        Package::new(rows.iter().map(|row| row as &dyn Aml).collect())
    }
}

/// The method _PRT of the root bus, or of the bus behind the bridge (ACPI 6.5, 6.2.13): which interrupt each pin has, by
/// whichever interrupt controllers are in use.
struct Prt {
    behind: bool,
}

impl Aml for Prt {
    fn to_aml_bytes(&self, sink: &mut dyn AmlSink) {
        let by_ioapic =
            Routing::new([0, 1, 2, 3].map(|pirq| u32::from(layout::PIRQA_GSI) + pirq), self.behind);
        let by_pic = Routing::new(layout::PIRQ_IRQS.map(u32::from), self.behind);
        let (by_ioapic, by_pic) = (by_ioapic.rows(), by_pic.rows());
        let (by_ioapic, by_pic) = (Routing::package(&by_ioapic), Routing::package(&by_pic));
        let by_ioapic = Return::new(&by_ioapic);
        let by_pic = Return::new(&by_pic);
        let uses_ioapic = Path::new("\\PICF");
        let choice = If::new(&uses_ioapic, vec![&by_ioapic]);
        Method::new("_PRT".into(), 0, false, vec![&choice, &by_pic]).to_aml_bytes(sink);
    }
}

fn dsdt(bridge: bool) -> impl Aml {
    let mut table = Sdt::new(*b"DSDT", 36, 2, OEM, OEM_TABLE, 1);
    // _PIC tells which interrupt controllers the system uses (ACPI 6.5, 5.8.1): 0 for the 8259 pair, 1 for the I/O APIC.
    let pair = 0u8;
    Name::new(Path::new("\\PICF"), &pair).to_aml_bytes(&mut table);
    let (model, told) = (Path::new("\\PICF"), Arg(0));
    let store = Store::new(&model, &told);
    Method::new(Path::new("\\_PIC"), 1, false, vec![&store]).to_aml_bytes(&mut table);

    let (id, cid) = (EISAName::new("PNP0A08"), EISAName::new("PNP0A03"));
    let hid = Name::new("_HID".into(), &id);
    let cid = Name::new("_CID".into(), &cid);
    let zero = 0u8;
    let uid = Name::new("_UID".into(), &zero);
    let bus_number = Name::new("_BBN".into(), &zero);
    let segment = Name::new("_SEG".into(), &zero);
    let buses = AddressSpace::new_bus_number(0u16, 255);
    let config = IO::new(0xcf8, 0xcf8, 1, 8);
    let low_ports = AddressSpace::new_io(0u16, 0xcf7, None);
    let high_ports = AddressSpace::new_io(0xd00u16, 0xffff, None);
    let window = |start: u64, end: u64| {
        AddressSpace::new_memory(
            AddressSpaceCacheable::NotCacheable,
            true,
            start as u32,
            (end - 1) as u32,
            None,
        )
    };
    // Above the most RAM that there can be below 4 GiB, around ECAM, below the chipset's registers.
    let below = window(LOW_RAM_END, layout::ECAM.0);
    let above = window(layout::ECAM.0 + layout::ECAM_SIZE, layout::IOAPIC.0);
    let resources = ResourceTemplate::new(vec![&buses, &config, &low_ports, &high_ports, &below, &above]);
    let resources = Name::new("_CRS".into(), &resources);

    let routing = Prt { behind: false };
    let bridge_routing = Prt { behind: true };
    let bridge_address = u32::from(layout::BRIDGE.device()) << 16 | u32::from(layout::BRIDGE.function());
    let bridge_address = Name::new("_ADR".into(), &bridge_address);
    let behind = Device::new("PCIB".into(), vec![&bridge_address, &bridge_routing]);
    let mut inside: Vec<&dyn Aml> = vec![&hid, &cid, &uid, &bus_number, &segment, &resources, &routing];
    if bridge {
        inside.push(&behind);
    }
    let root = Device::new("PCI0".into(), inside);

    let board_id = EISAName::new("PNP0C02");
    let board_hid = Name::new("_HID".into(), &board_id);
    let ecam = Memory32Fixed::new(true, layout::ECAM.0 as u32, layout::ECAM_SIZE as u32);
    let pm = IO::new(layout::PM_PORTS, layout::PM_PORTS, 1, 128);
    let board_resources = ResourceTemplate::new(vec![&ecam, &pm]);
    let board_resources = Name::new("_CRS".into(), &board_resources);
    let board = Device::new("MBRD".into(), vec![&board_hid, &board_resources]);
    let scope = Scope::new(Path::new("\\_SB_"), vec![&root, &board]);
    scope.to_aml_bytes(&mut table);

    let sleep = Package::new(vec![&S5_TYPE, &S5_TYPE, &zero, &zero]);
    Name::new(Path::new("\\_S5_"), &sleep).to_aml_bytes(&mut table);
    table
}
