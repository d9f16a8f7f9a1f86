//! The ends: nothing to boot (int 18h and 19h), a jump to the reset vector, and an exception that real-mode code has no
//! handler for, after which it would repeat for ever.

use super::rom::{Rom, code};
use super::video::Video;
use crate::firmware::acpi::S5_TYPE;
use crate::machine::layout;
use emu_devices::acpi_pm::spec::{PM1_CONTROL, RESET, RESET_CPU, RESET_SYSTEM, SLEEP_ENABLE};
use emu_devices::debug_port::spec::EXIT;
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, al, ax, bp, cx, dx, sp, word_ptr};

/// Where other code jumps.
pub(super) struct End {
    /// With IP, CS and flags of the interrupted code on the stack: says where it was, and ends the run with a status of
    /// failure.
    pub(super) exception: CodeLabel,
    /// Resets the machine.
    pub(super) reset: CodeLabel,
}

pub(super) fn install(rom: &mut Rom, video: &Video) -> Result<End, IcedError> {
    nothing_to_boot(rom, video)?;
    let reset = rom.here()?;
    let mut stay = rom.a.create_label();
    code! { rom.a =>
        mov(dx, i32::from(RESET)); mov(al, i32::from(RESET_SYSTEM)); out(dx, al);
        mov(al, i32::from(RESET_SYSTEM | RESET_CPU)); out(dx, al);
        cli(); set_label(&mut stay); hlt(); jmp(stay);
    }
    let exception = exception(rom, video)?;
    Ok(End { exception, reset })
}

/// Switches the machine off, as there is nobody to choose another disk.
fn nothing_to_boot(rom: &mut Rom, video: &Video) -> Result<(), IcedError> {
    let text = rom.text("\r\nNothing else to boot: off.\r\n");
    let off = SLEEP_ENABLE | u16::from(S5_TYPE) << 10;
    let handler = rom.handler(0x18)?;
    rom.vector(0x19, handler);
    let mut stay = rom.a.create_label();
    code! { rom.a =>
        mov(ax, text); call(video.print);
        mov(dx, i32::from(layout::PM_PORTS + PM1_CONTROL)); mov(ax, i32::from(off)); out(dx, ax);
        cli(); set_label(&mut stay); hlt(); jmp(stay);
    }
    Ok(())
}

fn exception(rom: &mut Rom, video: &Video) -> Result<CodeLabel, IcedError> {
    let text = rom.text("\r\nUnhandled exception at ");
    let hex = hexadecimal(rom, video.teletype)?;
    let label = rom.here()?;
    let mut stay = rom.a.create_label();
    code! { rom.a =>
        mov(bp, sp);
        mov(ax, text); call(video.print);
        mov(ax, word_ptr(bp + 2)); call(hex);
        mov(al, i32::from(b':')); call(video.teletype);
        mov(ax, word_ptr(bp)); call(hex);
        mov(al, 13); call(video.teletype); mov(al, 10); call(video.teletype);
        mov(dx, i32::from(EXIT)); mov(al, 1); out(dx, al);
        cli(); set_label(&mut stay); hlt(); jmp(stay);
    }
    Ok(label)
}

/// Prints AX in four digits. Changes AX and CX.
fn hexadecimal(rom: &mut Rom, teletype: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut digit = rom.a.create_label();
    code! { rom.a =>
        mov(cx, 4);
        set_label(&mut digit); rol(ax, 4); push(ax);
        and(al, 15); cmp(al, 10); sbb(al, 0x69); das(); call(teletype);
        pop(ax); loop_(digit);
        ret();
    }
    Ok(label)
}
