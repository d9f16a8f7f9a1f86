//! Int 10h: text of 80 columns and 25 rows, in memory at 0xB8000. What is written as a teletype also goes to COM1; what is
//! put somewhere on the screen does not.

use super::post::bda;
use super::rom::{Carry, Rom, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeLabel, ah, al, ax, bh, bl, bp, bx, byte_ptr, ch, cl, cx, dh, di, dl, ds, dx, es, si, word_ptr,
};

const COLUMNS: i32 = 80;
const ROWS: i32 = 25;
const BUFFER: i32 = 0xb800;
/// A space in light grey on black.
const BLANK: i32 = 0x0720;
/// The mode: 80x25 in colour.
const MODE: i32 = 3;

/// Near routines; all keep all registers.
pub(super) struct Video {
    /// Prints AL.
    pub(super) teletype: CodeLabel,
    /// Prints the ROM's text at AX.
    pub(super) print: CodeLabel,
    /// Clears the screen and puts the cursor into its first cell.
    pub(super) clear: CodeLabel,
}

pub(super) fn install(rom: &mut Rom, serial_put: CodeLabel) -> Result<Video, IcedError> {
    let cell = cell(rom)?;
    let teletype = teletype(rom, serial_put, cell)?;
    let print = print(rom, teletype)?;
    let clear = clear(rom)?;
    let cases = [
        (0x00, set_mode(rom, clear)?),
        (0x01, cursor_shape(rom)?),
        (0x02, set_cursor(rom)?),
        (0x03, get_cursor(rom)?),
        (0x05, nothing_to_do(rom)?),
        (0x06, scroll(rom, cell, Direction::Up)?),
        (0x07, scroll(rom, cell, Direction::Down)?),
        (0x08, read_cell(rom, cell)?),
        (0x09, write_cells(rom, cell, true)?),
        (0x0a, write_cells(rom, cell, false)?),
        (0x0e, write_teletype(rom, teletype)?),
        (0x0f, get_mode(rom)?),
        (0x13, write_string(rom, cell, teletype)?),
    ];
    rom.handler(0x10)?;
    rom.enter()?;
    for (function, label) in cases {
        code! { rom.a => cmp(ah, function); je(label); }
    }
    // Callers recognise an unknown function by registers that are as before.
    rom.leave(Carry::Set)?;
    Ok(Video { teletype, print, clear })
}

/// DI becomes the offset of row AH, column CL.
fn cell(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ax); mov(al, COLUMNS); mul(ah);
        movzx(di, cl); add(di, ax); shl(di, 1);
        pop(ax); ret();
    }
    Ok(label)
}

fn teletype(rom: &mut Rom, serial_put: CodeLabel, cell: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut back, mut feed, mut home, mut check, mut store, mut done] =
        [(); 6].map(|()| rom.a.create_label());
    code! { rom.a =>
        call(serial_put);
        pusha(); push(ds); push(es);
        push(bda::SEGMENT); pop(ds); push(BUFFER); pop(es);
        mov(dx, word_ptr(bda::CURSOR));
        cmp(al, 7); je(done);
        cmp(al, 8); je(back);
        cmp(al, 10); je(feed);
        cmp(al, 13); je(home);
        mov(ah, dh); mov(cl, dl); call(cell);
        mov(byte_ptr(di).es(), al);
        inc(dl); cmp(dl, COLUMNS); jb(store);
        mov(dl, 0);
        set_label(&mut feed); inc(dh);
        set_label(&mut check); cmp(dh, ROWS); jb(store);
        mov(dh, ROWS - 1);
        push(es); pop(ds);
        xor(di, di); mov(si, COLUMNS * 2); mov(cx, COLUMNS * (ROWS - 1)); cld();
    }
    rom.a.rep().movsw()?;
    code! { rom.a => mov(ax, BLANK); mov(cx, COLUMNS); }
    rom.a.rep().stosw()?;
    code! { rom.a =>
        push(bda::SEGMENT); pop(ds); jmp(store);
        set_label(&mut back); test(dl, dl); jz(done); dec(dl); jmp(store);
        set_label(&mut home); mov(dl, 0);
        set_label(&mut store); mov(word_ptr(bda::CURSOR), dx);
        set_label(&mut done); pop(es); pop(ds); popa();
        ret();
    }
    Ok(label)
}

fn print(rom: &mut Rom, teletype: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let (mut next, mut done) = (rom.a.create_label(), rom.a.create_label());
    code! { rom.a =>
        push(ax); push(si); mov(si, ax);
        set_label(&mut next); mov(al, byte_ptr(si).cs()); inc(si);
        test(al, al); jz(done);
        call(teletype); jmp(next);
        set_label(&mut done); pop(si); pop(ax); ret();
    }
    Ok(label)
}

fn clear(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        pusha(); push(ds); push(es);
        push(bda::SEGMENT); pop(ds); mov(word_ptr(bda::CURSOR), 0);
        push(BUFFER); pop(es); xor(di, di); mov(ax, BLANK); mov(cx, COLUMNS * ROWS); cld();
    }
    rom.a.rep().stosw()?;
    code! { rom.a => pop(es); pop(ds); popa(); ret(); }
    Ok(label)
}

/// Whatever is asked for, text is what there is. Bit 7 asks to leave the screen as it is.
fn set_mode(rom: &mut Rom, clear: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut keep = rom.a.create_label();
    code! { rom.a =>
        test(al, 0x80); jnz(keep); call(clear);
        set_label(&mut keep); mov(al, 0x30);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn cursor_shape(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => push(ds); push(bda::SEGMENT); pop(ds); mov(word_ptr(bda::CURSOR_SHAPE), cx); pop(ds); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// A place that is not on the screen is not taken.
fn set_cursor(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut off_screen = rom.a.create_label();
    code! { rom.a =>
        cmp(dh, ROWS); jae(off_screen); cmp(dl, COLUMNS); jae(off_screen);
        push(ds); push(bda::SEGMENT); pop(ds); mov(word_ptr(bda::CURSOR), dx); pop(ds);
        set_label(&mut off_screen); nop();
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn get_cursor(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ds); push(bda::SEGMENT); pop(ds);
        mov(dx, word_ptr(bda::CURSOR)); mov(cx, word_ptr(bda::CURSOR_SHAPE));
        pop(ds);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Select a page: there is one.
fn nothing_to_do(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Which way text moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// AL rows (0: all) of the window from CH, CL to DH, DL; what comes free has attribute BH.
fn scroll(rom: &mut Rom, cell: CodeLabel, direction: Direction) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut wide, mut high, mut some, mut row, mut fill, mut next, mut nothing] =
        [(); 7].map(|()| rom.a.create_label());
    code! { rom.a =>
        pusha(); push(ds); push(es); push(BUFFER); pop(ds); push(BUFFER); pop(es); cld();
        cmp(dl, COLUMNS); jb(wide); mov(dl, COLUMNS - 1); set_label(&mut wide);
        cmp(dh, ROWS); jb(high); mov(dh, ROWS - 1); set_label(&mut high);
        cmp(cl, dl); ja(nothing); cmp(ch, dh); ja(nothing);
        mov(ah, dh); sub(ah, ch); inc(ah);
        test(al, al); jz(some); cmp(al, ah); ja(some); mov(ah, al);
        set_label(&mut some); mov(al, ah);
        mov(bl, if direction == Direction::Up { ch } else { dh });
        set_label(&mut row); mov(ah, bl);
    }
    match direction {
        Direction::Up => code! { rom.a => add(ah, al); cmp(ah, dh); ja(fill); },
        Direction::Down => code! { rom.a => sub(ah, al); jb(fill); cmp(ah, ch); jb(fill); },
    }
    code! { rom.a =>
        call(cell); mov(si, di); mov(ah, bl); call(cell);
        push(cx); mov(ch, 0); neg(cl); add(cl, dl); inc(cl);
    }
    rom.a.rep().movsw()?;
    code! { rom.a =>
        pop(cx); jmp(next);
        set_label(&mut fill); mov(ah, bl); call(cell);
        push(ax); push(cx); mov(ah, bh); mov(al, 0x20); mov(ch, 0); neg(cl); add(cl, dl); inc(cl);
    }
    rom.a.rep().stosw()?;
    code! { rom.a => pop(cx); pop(ax); set_label(&mut next); }
    match direction {
        Direction::Up => code! { rom.a => inc(bl); cmp(bl, dh); jbe(row); },
        Direction::Down => code! { rom.a => dec(bl); cmp(bl, ch); jge(row); },
    }
    code! { rom.a => set_label(&mut nothing); pop(es); pop(ds); popa(); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// ES becomes the screen, DI the cell at the cursor. Changes CX.
fn at_cursor(rom: &mut Rom, cell: CodeLabel) -> Result<(), IcedError> {
    code! { rom.a =>
        push(bda::SEGMENT); pop(es); mov(cx, word_ptr(bda::CURSOR).es());
        push(ax); mov(ah, ch); call(cell); pop(ax);
        push(BUFFER); pop(es);
    }
    Ok(())
}

fn read_cell(rom: &mut Rom, cell: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => push(cx); push(di); push(es); }
    at_cursor(rom, cell)?;
    code! { rom.a => mov(ax, word_ptr(di).es()); pop(es); pop(di); pop(cx); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// AL, CX times from the cursor on, which stays; not beyond the screen.
fn write_cells(rom: &mut Rom, cell: CodeLabel, with_attribute: bool) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut next, mut done] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a => push(cx); push(di); push(es); push(cx); }
    at_cursor(rom, cell)?;
    code! { rom.a =>
        pop(cx);
        set_label(&mut next); jcxz(done); cmp(di, COLUMNS * ROWS * 2); jae(done);
        mov(byte_ptr(di).es(), al);
    }
    if with_attribute {
        rom.a.mov(byte_ptr(di + 1).es(), bl)?;
    }
    code! { rom.a =>
        add(di, 2); dec(cx); jmp(next);
        set_label(&mut done); pop(es); pop(di); pop(cx);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn write_teletype(rom: &mut Rom, teletype: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    rom.a.call(teletype)?;
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn get_mode(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => mov(ax, COLUMNS << 8 | MODE); mov(bh, 0); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// CX characters at ES:BP from DX on. AL bit 0: the cursor follows; bit 1: each is followed by its attribute, else all
/// have that in BL.
fn write_string(rom: &mut Rom, cell: CodeLabel, teletype: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut next, mut plain, mut stays, mut done] = [(); 4].map(|()| rom.a.create_label());
    code! { rom.a =>
        pusha(); push(ds); push(es); cld();
        push(es); push(bda::SEGMENT); pop(ds); push(word_ptr(bda::CURSOR));
        mov(word_ptr(bda::CURSOR), dx);
        mov(si, word_ptr(bp)); mov(dx, cx); mov(ah, al);
        set_label(&mut next); test(dx, dx); jz(done); dec(dx);
        mov(bp, ax); mov(ax, word_ptr(bda::CURSOR)); mov(cl, al); call(cell); mov(ax, bp);
        mov(al, byte_ptr(si).es()); inc(si);
        test(ah, 2); jz(plain); mov(bl, byte_ptr(si).es()); inc(si);
        set_label(&mut plain);
        push(es); push(BUFFER); pop(es);
        cmp(al, 0x20); mov(cl, byte_ptr(di + 1).es()); jb(stays); mov(cl, bl);
        set_label(&mut stays); mov(byte_ptr(di + 1).es(), cl); pop(es);
        call(teletype); jmp(next);
        set_label(&mut done); pop(dx); pop(es);
        test(ah, 1); mov(bx, word_ptr(bda::CURSOR)); cmovz(bx, dx); mov(word_ptr(bda::CURSOR), bx);
        pop(es); pop(ds); popa();
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}
