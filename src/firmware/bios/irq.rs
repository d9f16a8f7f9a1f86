//! Hardware interrupts that nobody has asked for, and exceptions. 8259A data sheet.
//!
//! The timer's handler is in `clock`. In real mode IRQ 0-7 share vectors with exceptions; whether the controller has one
//! in service tells them apart.

use super::rom::{Rom, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, ah, al, ax};

pub(super) const MASTER: i32 = 0x20;
pub(super) const SLAVE: i32 = 0xa0;
/// OCW2: end of the interrupt that is in service.
pub(super) const EOI: i32 = 0x20;
/// OCW3: the next read is of the in-service register.
const READ_IN_SERVICE: i32 = 0x0b;

/// Where the controllers' inputs start, as on every PC.
pub(super) const MASTER_BASE: u8 = 0x08;
pub(super) const SLAVE_BASE: u8 = 0x70;

/// Divide error and invalid opcode: their handler's return would repeat them.
const ENDLESS: [u8; 2] = [0, 6];
/// Stack fault and general protection, which would repeat as well; IRQ 4 and 5 have the same vectors.
const FAULTS: [u8; 2] = [0x0c, 0x0d];

pub(super) fn install(rom: &mut Rom, exception: CodeLabel) -> Result<(), IcedError> {
    for vector in ENDLESS {
        rom.vector(vector, exception);
    }
    keyboard(rom)?;
    let unexpected = unexpected_on_master(rom, None)?;
    for line in 2..8 {
        rom.vector(MASTER_BASE + line, unexpected);
    }
    let or_fault = unexpected_on_master(rom, Some(exception))?;
    for vector in FAULTS {
        rom.vector(vector, or_fault);
    }
    let slave = unexpected_on_slave(rom)?;
    for line in 0..8 {
        rom.vector(SLAVE_BASE + line, slave);
    }
    Ok(())
}

/// IRQ 1: what the controller has, it must give away before it can interrupt again.
fn keyboard(rom: &mut Rom) -> Result<(), IcedError> {
    rom.handler(MASTER_BASE + 1)?;
    code! { rom.a =>
        push(ax); in_(al, 0x60); mov(al, EOI); out(MASTER, al); pop(ax);
        iret();
    }
    Ok(())
}

/// The line is masked: a level that nobody lowers would interrupt for ever. Without anything in service it is spurious,
/// or the exception of the same vector.
fn unexpected_on_master(rom: &mut Rom, exception: Option<CodeLabel>) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut nothing = rom.a.create_label();
    code! { rom.a =>
        push(ax);
        mov(al, READ_IN_SERVICE); out(MASTER, al); in_(al, MASTER);
        test(al, al); jz(nothing);
        mov(ah, al); in_(al, MASTER + 1); or(al, ah); out(MASTER + 1, al);
        mov(al, EOI); out(MASTER, al);
        pop(ax); iret();
        set_label(&mut nothing); pop(ax);
    }
    match exception {
        Some(exception) => rom.a.jmp(exception)?,
        None => rom.a.iret()?,
    }
    Ok(label)
}

fn unexpected_on_slave(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut spurious = rom.a.create_label();
    code! { rom.a =>
        push(ax);
        mov(al, READ_IN_SERVICE); out(SLAVE, al); in_(al, SLAVE);
        test(al, al); jz(spurious);
        mov(ah, al); in_(al, SLAVE + 1); or(al, ah); out(SLAVE + 1, al);
        mov(al, EOI); out(SLAVE, al);
        set_label(&mut spurious); mov(al, EOI); out(MASTER, al);
        pop(ax); iret();
    }
    Ok(label)
}
