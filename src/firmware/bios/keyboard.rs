//! Int 16h: the serial port as a keyboard. What it has received goes into the BIOS data area's ring of 15 keys first,
//! so that a key can be looked at before it is taken.

use super::post::bda;
use super::rom::{Carry, Rom, caller_flags, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, ah, al, ax, bx, ds, si, word_ptr};

/// Scan codes of the keys that programs ask for by them.
const KEYS: [(i32, i32); 5] = [(13, 0x1c0d), (10, 0x1c0d), (8, 0x0e08), (0x7f, 0x0e08), (27, 0x011b)];
/// Zero flag.
const ZERO: i32 = 0x40;

pub(super) fn install(rom: &mut Rom, serial_get: CodeLabel) -> Result<(), IcedError> {
    let fill = fill(rom, serial_get)?;
    let (read, look, shift) = (read(rom, fill)?, look(rom, fill)?, shift(rom)?);
    rom.handler(0x16)?;
    rom.enter()?;
    // The second of each is for keyboards with more keys.
    for (function, label) in
        [(0x00, read), (0x10, read), (0x01, look), (0x11, look), (0x02, shift), (0x12, shift)]
    {
        code! { rom.a => cmp(ah, function); je(label); }
    }
    rom.a.mov(ah, 0x86)?;
    rom.leave(Carry::Set)
}

/// SI becomes the place behind SI in the ring. DS is the BIOS data area.
fn step(rom: &mut Rom) -> Result<(), IcedError> {
    let mut inside = rom.a.create_label();
    code! { rom.a =>
        add(si, 2); cmp(si, bda::KEYS_END); jb(inside); mov(si, bda::KEYS);
        set_label(&mut inside); nop();
    }
    Ok(())
}

/// Moves received characters into the ring while there is room. DS is the BIOS data area. Changes AX and SI.
fn fill(rom: &mut Rom, serial_get: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut store, mut done] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a => push(bx); mov(bx, word_ptr(bda::KEYS_TAIL)); mov(si, bx); }
    step(rom)?;
    code! { rom.a =>
        cmp(si, word_ptr(bda::KEYS_HEAD)); je(done);
        mov(ah, 0); call(serial_get); jc(done);
    }
    for (character, key) in KEYS {
        let mut other = rom.a.create_label();
        code! { rom.a =>
            cmp(al, character); jne(other); mov(ax, key); jmp(store);
            set_label(&mut other); nop();
        }
    }
    code! { rom.a =>
        set_label(&mut store); mov(word_ptr(bx), ax); mov(word_ptr(bda::KEYS_TAIL), si);
        pop(bx); jmp(label);
        set_label(&mut done); pop(bx); ret();
    }
    Ok(label)
}

/// Waits for a key, asleep, and takes it: looks again at every tick.
fn read(rom: &mut Rom, fill: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut wait, mut there] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a =>
        push(si); push(ds); push(bda::SEGMENT); pop(ds);
        set_label(&mut wait); call(fill);
        mov(si, word_ptr(bda::KEYS_HEAD)); cmp(si, word_ptr(bda::KEYS_TAIL)); jne(there);
        sti(); hlt(); cli(); jmp(wait);
        set_label(&mut there); mov(ax, word_ptr(si));
    }
    step(rom)?;
    code! { rom.a => mov(word_ptr(bda::KEYS_HEAD), si); pop(ds); pop(si); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// The next key in AX with the zero flag clear, or the zero flag set.
fn look(rom: &mut Rom, fill: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut none, mut done] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a =>
        push(si); push(ds); push(bda::SEGMENT); pop(ds);
        push(ax); call(fill); pop(ax);
        mov(si, word_ptr(bda::KEYS_HEAD)); cmp(si, word_ptr(bda::KEYS_TAIL)); je(none);
        mov(ax, word_ptr(si)); and(caller_flags(), !ZERO & 0xff); jmp(done);
        set_label(&mut none); or(caller_flags(), ZERO);
        set_label(&mut done); pop(ds); pop(si);
    }
    rom.leave(Carry::AsBefore)?;
    Ok(label)
}

/// No shift key is held.
fn shift(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    rom.a.mov(ax, 0)?;
    rom.leave(Carry::Clear)?;
    Ok(label)
}
