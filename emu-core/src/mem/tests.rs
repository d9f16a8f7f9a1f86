//! Physical memory and the address map.

use super::*;
use crate::slot::Slot;

#[test]
fn high_ram_goes_on_where_low_ram_ended() {
    let mem = PhysMem::new(LOW_RAM_END + (1 << 20)).unwrap();
    assert_eq!(
        mem.ram_ranges(),
        [(Gpa(0), Gpa(LOW_RAM_END)), (Gpa(HIGH_RAM_BASE), Gpa(HIGH_RAM_BASE + (1 << 20)))]
    );
    assert!(mem.read_u32(Gpa(HIGH_RAM_BASE)).is_ok());
    assert_eq!(mem.read_u32(Gpa(LOW_RAM_END)), Err(Unbacked(Gpa(LOW_RAM_END))));
    assert_eq!(mem.read_u32(Gpa(LOW_RAM_END - 2)), Err(Unbacked(Gpa(LOW_RAM_END - 2))));
}

#[test]
fn a_write_that_leaves_ram_writes_nothing() {
    let mut mem = PhysMem::new(1 << 20).unwrap();
    assert!(mem.write(Gpa((1 << 20) - 2), &[1, 2, 3, 4]).is_err());
    assert_eq!(mem.read_u32(Gpa((1 << 20) - 4)), Ok(0));
}

#[test]
fn rom_ends_at_four_gib_is_shadowed_below_one_mib_and_refuses_writes() {
    let mut mem = PhysMem::new(1 << 20).unwrap();
    let mut image = vec![0; 64 << 10];
    image[0xfff0] = 0xea;
    mem.load_rom(&image).unwrap();
    for gpa in [0xffff_fff0, 0xf_fff0] {
        let mut byte = [0];
        mem.read(Gpa(gpa), &mut byte).unwrap();
        assert_eq!(byte, [0xea], "at {gpa:#x}");
    }
    assert!(mem.write(Gpa(0xffff_fff0), &[0]).is_err());
}

#[test]
fn writes_to_code_pages_are_reported_once_and_page_by_page() {
    let mut mem = PhysMem::new(1 << 20).unwrap();
    mem.set_code(Gpa(0x2000), true);
    mem.write(Gpa(0x1ffe), &[0; 4]).unwrap();
    assert_eq!(mem.take_code_writes(), [SeenWrite { gpa: Gpa(0x2000), len: 2 }]);
    assert!(!mem.has_code_writes());
    assert_eq!(mem.take_dirty(), [Gpa(0x1000), Gpa(0x2000)]);
}

#[test]
fn dirty_pages_are_told_once_in_order_wherever_they_lie() {
    let mut mem = PhysMem::new(LOW_RAM_END + (1 << 20)).unwrap();
    for gpa in [HIGH_RAM_BASE + 0x1000, LOW_RAM_END - 8, 8, HIGH_RAM_BASE] {
        mem.write_u64(Gpa(gpa), 1).unwrap();
    }
    mem.mark_dirty(Gpa(0));
    let pages = [0, LOW_RAM_END - 0x1000, HIGH_RAM_BASE, HIGH_RAM_BASE + 0x1000];
    assert_eq!(mem.take_dirty(), pages.map(Gpa));
    assert_eq!(mem.take_dirty(), []);
    mem.mark_dirty(Gpa(0x1234));
    assert_eq!(mem.take_dirty(), [Gpa(0x1000)]);
}

#[test]
fn a_page_put_back_is_not_dirty_and_tells_decoded_code_what_changed() {
    let mut mem = PhysMem::new(1 << 20).unwrap();
    mem.set_code(Gpa(0x2000), true);
    let mut page = [0; PAGE_SIZE as usize];
    mem.put_back(Gpa(0x2000), &page).unwrap();
    assert!(!mem.has_code_writes(), "nothing has changed");
    (page[5], page[9]) = (1, 1);
    mem.put_back(Gpa(0x2000), &page).unwrap();
    mem.put_back(Gpa(0x3000), &page).unwrap();
    assert_eq!(mem.take_code_writes(), [SeenWrite { gpa: Gpa(0x2005), len: 5 }]);
    assert_eq!(mem.take_dirty(), []);
    assert_eq!(mem.read_u64(Gpa(0x3000)), Ok(1 << 40));
    assert!(mem.put_back(Gpa(1 << 20), &page).is_err());
}

#[test]
fn regions_do_not_overlap_and_are_found_by_any_byte() {
    let region = |base, len, bar| Region { base: Gpa(base), len, slot: Slot::Nic(0), bar };
    let mut map = AddressMap::default();
    map.add(region(0x1000, 0x1000, 0)).unwrap();
    map.add(region(0x4000, 0x10, 1)).unwrap();
    assert_eq!(map.add(region(0x1fff, 1, 2)), Err(region(0x1000, 0x1000, 0)));
    assert_eq!(map.find(Gpa(0x1fff)), Some((region(0x1000, 0x1000, 0), 0xfff)));
    assert_eq!(map.find(Gpa(0x400f)), Some((region(0x4000, 0x10, 1), 0xf)));
    assert_eq!(map.find(Gpa(0x4010)), None);
    assert_eq!(map.find(Gpa(0xfff)), None);
    map.remove(Slot::Nic(0), 0);
    assert_eq!(map.find(Gpa(0x1000)), None);
}

#[test]
fn impossible_sizes_are_refused() {
    for size in [0, 4095, (1 << 20) + 1, 65 << 30] {
        assert!(matches!(PhysMem::new(size), Err(MemError::Size(_))), "{size:#x}");
    }
}
