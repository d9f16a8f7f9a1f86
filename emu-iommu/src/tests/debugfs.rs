//! Linux's own files of the unit: each line is read again by the format that the kernel's source prints it with.

use super::*;
use crate::DEBUGFS_FILES;
use crate::testing::{from_source, irte};

const BASE: Gpa = Gpa(0xfed9_0000);
/// Where the kernel of this test has its statuses.
const STATUSES: Gpa = Gpa(0x9000);

/// A unit that translates and remaps, with a queue whose third descriptor waits.
fn unit() -> (Rig, Gpa) {
    let (mut rig, domain) = Rig::with_nic(IommuConfig::default(), 4);
    rig.map(&domain, 0x1000, 0x5000, Rights::Rw);
    rig.submit(&[[0x11, 0], [0xd2, 0], [2 << 32 | 0x25, STATUSES.0 + 8]]);
    let table = rig.tables.interrupt_table(&mut rig.mem, 0).unwrap();
    rig.mem.write_u64(table.plus(16 * 16), irte(0x31, 5)[0]).unwrap();
    rig.mem.write_u64(table.plus(16 * 16 + 8), from_source(NIC)).unwrap();
    rig.write(IRTA, table.0 | 7);
    rig.write(GCMD, u64::from(TE | QIE | SIRTP));
    rig.write(GCMD, u64::from(TE | QIE | IRE));
    (rig, table)
}

fn file(rig: &Rig, name: &str) -> Vec<String> {
    let text = rig.vtd.debugfs(&rig.mem, BASE, name).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The fields of a line by a format of literal text and `{}` for numbers in hexadecimal without prefix; blanks count.
fn scan(format: &str, line: &str) -> Option<Vec<u64>> {
    let (mut values, mut rest) = (Vec::new(), line);
    let mut parts = format.split("{}");
    rest = rest.strip_prefix(parts.next()?)?;
    for part in parts {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        values.push(u64::from_str_radix(&rest[..end], 16).ok()?);
        rest = rest[end..].strip_prefix(part)?;
    }
    rest.is_empty().then_some(values)
}

#[test]
fn registers_are_those_that_a_guest_reads_in_the_kernels_order() {
    let (mut rig, _) = unit();
    let lines = file(&rig, "iommu_regset");
    assert_eq!(lines[0], "IOMMU: dmar0 Register Base Address: fed90000");
    assert_eq!(lines[1], "Name\t\t\tOffset\t\tContents");
    let rows: Vec<&String> = lines[2..].iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 17 + 27 + 20 + 3);
    for row in rows {
        let (name, rest) = row.split_once('\t').unwrap();
        assert!(name.len() >= 16, "{row:?}");
        let values = scan("0x{}\t\t0x{}", rest).unwrap_or_else(|| panic!("{row:?}"));
        let [offset, value] = values[..] else { panic!("{row:?}") };
        let wide = is_wide(offset) || offset >= 0x100 || (0xc0..0xdc).contains(&offset);
        let width = if wide { Width::B8 } else { Width::B4 };
        let mut env = rig.fabric.env();
        let read = rig.vtd.read(&mut env, &mut rig.mem, offset, width);
        let ones = if wide { u64::MAX } else { u32::MAX.into() };
        assert_eq!(read.unwrap_or(ones), value, "{name}");
    }
    assert!(lines[2].starts_with("VER             \t0x00\t\t0x"), "{:?}", lines[2]);
}

#[test]
fn the_translation_structures_have_a_line_for_each_device() {
    let (rig, _) = unit();
    let lines = file(&rig, "dmar_translation_struct");
    assert_eq!(lines[0], "IOMMU dmar0: Root Table Address: 0x100000");
    assert_eq!(lines[1], "B.D.F\tRoot_entry\t\t\t\tContext_entry\t\t\t\tPASID\tPASID_table_entry");
    let format = "{}:{}.{}\t0x{}:0x{}\t0x{}:0x{}\t-{}    \t0x{}:0x{}:0x{}";
    let fields = scan(format, &lines[2]).unwrap_or_else(|| panic!("{:?}", lines[2]));
    assert_eq!(fields[..3], [0, 3, 0]);
    assert_eq!(fields[5..8], [0x102, 0x10_1001, 1], "domain 1, 4 levels; PASID -1");
    assert_eq!(lines[3..], [""]);
    let (mut off, _) = unit();
    off.write(GCMD, u64::from(QIE));
    assert_eq!(file(&off, "dmar_translation_struct"), ["DMA Remapping is not enabled on dmar0"]);
}

#[test]
fn the_interrupt_table_has_its_present_entries() {
    let (rig, table) = unit();
    let lines = file(&rig, "ir_translation_struct");
    assert_eq!(lines[0], "Remapped Interrupt supported on IOMMU: dmar0");
    assert_eq!(lines[1], format!(" IR table address:{:x}", table.0));
    assert_eq!(lines[2], " Entry SrcID   DstID    Vct IRTE_high\t\tIRTE_low");
    assert_eq!(lines[3], " 16    00:03.0 00000500 31  0000000000040018\t0000050000310001");
    assert_eq!(lines[4..], ["", "****", ""]);
}

#[test]
fn the_queue_has_all_its_descriptors_and_what_they_wait_for() {
    let (rig, _) = unit();
    let lines = file(&rig, "invalidation_queue");
    assert_eq!(lines[0], "Invalidation queue on IOMMU: dmar0");
    assert_eq!(lines[1], " Base: 0x8000\tHead: 3\tTail: 3");
    assert_eq!(lines[2], "Index\t\tqw0\t\t\tqw1\t\t\tstatus");
    assert_eq!(lines[3], "    0\t0000000000000011\t0000000000000000\t0000000000000000");
    assert_eq!(lines[5], "    2\t0000000200000025\t0000000000009008\t0000000000000002");
    assert_eq!(lines.len(), 3 + 256 + 1);
    for name in DEBUGFS_FILES {
        assert!(rig.vtd.debugfs(&rig.mem, BASE, name).is_some());
    }
    assert_eq!(rig.vtd.debugfs(&rig.mem, BASE, "latency"), None);
}

#[test]
fn devices_queue_entries_and_faults_are_listed() {
    let (mut rig, table) = unit();
    let devices = rig.vtd.devices(&rig.mem);
    let [device] = &devices[..] else { panic!("{devices:?}") };
    assert_eq!((device.bdf, device.domain, device.how.as_str()), (NIC, Some(1), "second stage, 4 levels"));
    let entries = rig.vtd.queue_entries(&rig.mem, 2);
    assert_eq!(entries, [(1, [0xd2, 0], false), (2, [2 << 32 | 0x25, STATUSES.0 + 8], false)]);
    assert_eq!(rig.vtd.interrupt_table_entries(&rig.mem).len(), 1);
    assert_eq!(table.page_offset(), 0);
    assert_eq!(rig.put(0x9123), Err(5));
    let line = "DMAR: [DMA Write NO_PASID] Request device [00:03.0] fault addr 0x9000 [fault reason 0x05] PTE Write \
                access is not set";
    assert_eq!(rig.vtd.fault_lines(), [(0, line.to_owned())]);
}
