//! Services that only say what there is: equipment (int 11h), conventional memory (int 12h), disks (int 13h: none), and those
//! for ports, cassettes and printers of which there are none (int 14h, 17h).

use super::post::bda;
use super::rom::{Carry, Rom, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{ah, ax, byte_ptr, ds, word_ptr};

/// Disk status: bad command.
const BAD_COMMAND: i32 = 1;

pub(super) fn install(rom: &mut Rom) -> Result<(), IcedError> {
    for (vector, word) in [(0x11, bda::EQUIPMENT), (0x12, bda::MEMORY_KIB)] {
        rom.handler(vector)?;
        code! { rom.a =>
            push(ds); mov(ax, bda::SEGMENT); mov(ds, ax);
            mov(ax, word_ptr(word)); pop(ds);
            iret();
        }
    }
    disks(rom)?;
    let unknown = rom.handler(0x14)?;
    rom.vector(0x17, unknown);
    rom.enter()?;
    code! { rom.a => mov(ah, 0x86); }
    rom.leave(Carry::Set)
}

/// Function 15h, "what type is this drive", says that there is none; everything else fails.
fn disks(rom: &mut Rom) -> Result<(), IcedError> {
    let mut no_type = rom.a.create_label();
    rom.handler(0x13)?;
    rom.enter()?;
    code! { rom.a =>
        cmp(ah, 0x15); je(no_type);
        push(ds); push(bda::SEGMENT); pop(ds);
        mov(byte_ptr(bda::DISK_STATUS), BAD_COMMAND); pop(ds);
        mov(ah, BAD_COMMAND);
    }
    rom.leave(Carry::Set)?;
    code! { rom.a => set_label(&mut no_type); mov(ah, 0); }
    rom.leave(Carry::Clear)
}
