//! COM1 as the console: routines for other services. 16550 data sheet.

use super::rom::{Rom, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, al, ax, cx, dx};

/// The port; BIOS data area 40:00 names it.
pub(super) const COM1: u16 = 0x3f8;
const RBR: i32 = 0x3f8;
const IER: i32 = 0x3f9;
const FCR: i32 = 0x3fa;
const LCR: i32 = 0x3fb;
const MCR: i32 = 0x3fc;
const LSR: i32 = 0x3fd;

/// LSR: a character is there.
const DATA_READY: i32 = 1;
/// LSR: the next character can be written.
const HOLDING_EMPTY: i32 = 0x20;

/// Near routines.
pub(super) struct Serial {
    /// 115200 baud, 8N1, no interrupts.
    pub(super) init: CodeLabel,
    /// Sends AL; gives up on a line that does not move. Keeps all registers.
    pub(super) put: CodeLabel,
    /// Answers a character in AL with carry clear, or carry set. Keeps all else.
    pub(super) get: CodeLabel,
}

pub(super) fn routines(rom: &mut Rom) -> Result<Serial, IcedError> {
    let init = rom.here()?;
    for (port, value) in [(IER, 0), (LCR, 0x83), (RBR, 1), (IER, 0), (LCR, 3), (FCR, 7), (MCR, 3)] {
        code! { rom.a => mov(dx, port); mov(al, value); out(dx, al); }
    }
    code! { rom.a => ret(); }

    let put = rom.here()?;
    let (mut wait, mut ready) = (rom.a.create_label(), rom.a.create_label());
    code! { rom.a =>
        push(dx); push(cx); push(ax);
        mov(dx, LSR); mov(cx, 0xffff);
        set_label(&mut wait); in_(al, dx); test(al, HOLDING_EMPTY); jnz(ready);
        loop_(wait);
        set_label(&mut ready); pop(ax); mov(dx, RBR); out(dx, al);
        pop(cx); pop(dx);
        ret();
    }

    let get = rom.here()?;
    let (mut nothing, mut done) = (rom.a.create_label(), rom.a.create_label());
    code! { rom.a =>
        push(dx);
        mov(dx, LSR); in_(al, dx); test(al, DATA_READY); jz(nothing);
        mov(dx, RBR); in_(al, dx); clc(); jmp(done);
        set_label(&mut nothing); stc();
        set_label(&mut done); pop(dx); ret();
    }
    Ok(Serial { init, put, get })
}
