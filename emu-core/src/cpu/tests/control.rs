//! Loads of control registers: which combinations are refused, and the ways into long mode and out of it. SDM vol. 3A, 2.5,
//! 4.10.1 and 10.8.5; vol. 2B, "MOV--Move to/from Control Registers".

use super::CODE;
use super::guest::{Guest, Mode};
use super::mapped::{MOV_CR0, MOV_CR3, MOV_CR4, Paging, ROOT};
use crate::cpu::Fault;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::regs::RAX;

/// A load of a control register in 4-level paging and whether it is refused.
#[test]
fn control_registers_refuse_what_does_not_fit_together() {
    let base0 = cr0::PE | cr0::PG | cr0::WP | cr0::NE | cr0::ET;
    let base4 = cr4::PAE;
    for (program, value, pcide, refused) in [
        (MOV_CR0, base0, false, false),
        (MOV_CR0, base0 & !cr0::PE, false, true),
        (MOV_CR0, base0 | cr0::NW, false, true),
        (MOV_CR0, base0 | cr0::NW | cr0::CD, false, false),
        (MOV_CR0, base0 | 1 << 32, false, true),
        // Paging cannot be left from 64-bit code.
        (MOV_CR0, base0 & !cr0::PG, false, true),
        (MOV_CR4, base4, false, false),
        (MOV_CR4, 0, false, true),
        (MOV_CR4, base4 | 1 << 11, false, false),
        (MOV_CR4, base4 | 1 << 13, false, true),
        (MOV_CR4, base4 | 1 << 32, false, true),
        (MOV_CR4, base4 | cr4::PCIDE, false, false),
        // What CPUID does not announce: VME, PVI, 57-bit addresses, SMX, keys, CET, user interrupts.
        (MOV_CR4, base4 | 1, false, true),
        (MOV_CR4, base4 | 1 << 1, false, true),
        (MOV_CR4, base4 | 1 << 12, false, true),
        (MOV_CR4, base4 | 1 << 14, false, true),
        (MOV_CR4, base4 | 1 << 19, false, true),
        (MOV_CR4, base4 | 1 << 22, false, true),
        (MOV_CR4, base4 | 1 << 23, false, true),
        (MOV_CR4, base4 | 1 << 24, false, true),
        (MOV_CR4, base4 | 1 << 25, false, true),
        (MOV_CR3, ROOT, false, false),
        (MOV_CR3, ROOT | 0xfff, false, false),
        (MOV_CR3, ROOT | 1 << 46, false, true),
        (MOV_CR3, ROOT | 1 << 63, false, true),
        (MOV_CR3, ROOT | 1 << 63, true, false),
        (MOV_CR3, ROOT | 1 << 62, true, true),
    ] {
        let mut tested = Paging::FourLevel.guest(0);
        tested.rewind(|state| {
            state.cr4 |= if pcide { cr4::PCIDE } else { 0 };
            state.gprs[RAX as usize] = value;
        });
        let before = tested.guest.cpu.control();
        let fault = tested.exec(program);
        assert_eq!(fault, refused.then_some(Fault::GP0), "{program:x?} {value:x}");
        if refused {
            assert_eq!(tested.guest.cpu.control(), before);
        }
    }
    // PCIDs cannot be turned on while CR3 names one, nor outside of long mode.
    let mut tested = Paging::FourLevel.guest(0);
    tested.rewind(|state| {
        state.cr3 |= 1;
        state.gprs[RAX as usize] = cr4::PAE | cr4::PCIDE;
    });
    assert_eq!(tested.exec(MOV_CR4), Some(Fault::GP0));
    let mut tested = Paging::Pae.guest(0);
    tested.guest.cpu.set_gpr(RAX, cr4::PAE | cr4::PCIDE);
    assert_eq!(tested.exec(MOV_CR4), Some(Fault::GP0));
    // CR3 reads without bit 63.
    let mut tested = Paging::FourLevel.guest(0);
    tested.rewind(|state| {
        state.cr4 |= cr4::PCIDE;
        state.gprs[RAX as usize] = ROOT | 7 | 1 << 63;
    });
    tested.exec(MOV_CR3);
    assert_eq!(tested.guest.cpu.control()[2], ROOT | 7);
}

#[test]
fn long_mode_is_entered_and_left_by_its_rules() {
    // mov cr0, eax with LME and without PAE ; with both ; from 64-bit descriptors.
    let on = cr0::PE | cr0::PG | cr0::ET;
    for (cr4, efer, refused) in
        [(0, efer::LME, true), (cr4::PAE, efer::LME, false), (cr4::PAE, 0, false), (0, 0, false)]
    {
        let mut guest = Guest::new(Mode::Protected32, 0, MOV_CR0);
        // Four-level, PAE and 32-bit tables in one: entries that point to tables of themselves do not matter here.
        guest.bus.put(0x1000, &[0; 0x1000]);
        guest.cpu.set_control(cr0::PE, 0x1000, cr4, efer);
        guest.cpu.set_gpr(RAX, on);
        guest.step();
        let refused_now = guest.exceptions().first() == Some(&(13, Some(0)));
        assert_eq!(refused_now, refused, "{cr4:x} {efer:x}");
        let [_, _, _, _, now] = guest.cpu.control();
        assert_eq!(now & efer::LMA != 0, efer & efer::LME != 0 && !refused);
    }
    // From compatibility mode paging can be turned off, and LMA goes.
    let mut guest = Guest::new(Mode::Compatibility, 0, MOV_CR0);
    guest.cpu.set_gpr(RAX, cr0::PE | cr0::ET);
    guest.step();
    assert_eq!((guest.cpu.control()[0] & cr0::PG, guest.cpu.control()[4] & efer::LMA), (0, 0));
    assert_eq!(guest.cpu.rip(), CODE + 3);
    // With PCIDs on it can't.
    let mut guest = Guest::new(Mode::Compatibility, 0, MOV_CR0);
    let [cr0, _, cr3, cr4, efer] = guest.cpu.control();
    guest.cpu.set_control(cr0, cr3, cr4 | cr4::PCIDE, efer);
    guest.cpu.set_gpr(RAX, cr0::PE | cr0::ET);
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(0))]);
}
