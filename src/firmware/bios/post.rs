//! Power-on: vectors, the BIOS data area, the chips as a PC's BIOS leaves them, and the jump to what is to be started.

use super::irq::{MASTER, MASTER_BASE, SLAVE, SLAVE_BASE};
use super::rom::{Rom, at, code};
use super::{EBDA, SEGMENT, serial};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeLabel, al, ax, byte_ptr, cx, di, ds, dx, eax, ebp, ebx, ecx, edi, edx, es, esi, fs, gs, si, sp, ss,
    word_ptr,
};

/// The BIOS data area: offsets from its segment (IBM PC AT Technical Reference, "BIOS data area").
pub(super) mod bda {
    pub(in super::super) const SEGMENT: i32 = 0x40;
    pub(super) const COM1: i32 = 0x00;
    pub(super) const EBDA: i32 = 0x0e;
    pub(in super::super) const EQUIPMENT: i32 = 0x10;
    pub(in super::super) const MEMORY_KIB: i32 = 0x13;
    pub(in super::super) const KEYS_HEAD: i32 = 0x1a;
    pub(in super::super) const KEYS_TAIL: i32 = 0x1c;
    pub(in super::super) const KEYS: i32 = 0x1e;
    pub(in super::super) const KEYS_END: i32 = 0x3e;
    pub(super) const VIDEO_MODE: i32 = 0x49;
    pub(super) const COLUMNS: i32 = 0x4a;
    pub(super) const PAGE_SIZE: i32 = 0x4c;
    pub(in super::super) const CURSOR: i32 = 0x50;
    pub(in super::super) const CURSOR_SHAPE: i32 = 0x60;
    pub(super) const CRT_PORT: i32 = 0x63;
    pub(in super::super) const TICKS: i32 = 0x6c;
    pub(in super::super) const MIDNIGHT: i32 = 0x70;
    pub(in super::super) const DISK_STATUS: i32 = 0x74;
    pub(super) const KEYS_HEAD_FIRST: i32 = 0x80;
    pub(super) const KEYS_END_LAST: i32 = 0x82;
    pub(super) const ROWS_LESS_ONE: i32 = 0x84;
    pub(super) const CHARACTER_HEIGHT: i32 = 0x85;
    pub(super) const LEN: i32 = 0x100;
}

/// Equipment: a coprocessor, 80x25 in colour, one serial port.
const EQUIPMENT: i32 = 1 << 1 | 2 << 4 | 1 << 9;
/// The stack until the jump: where boot sectors expect to be loaded, and below.
const STACK: i32 = 0x7c00;

/// Near routines of other files.
pub(super) struct Parts {
    pub(super) serial: CodeLabel,
    pub(super) screen: CodeLabel,
    pub(super) print: CodeLabel,
    pub(super) set_clock: CodeLabel,
    pub(super) set_up_pci: CodeLabel,
}

/// The power-on code.
pub(super) fn code(rom: &mut Rom, parts: &Parts) -> Result<CodeLabel, IcedError> {
    let greeting = rom.text("Glassbox BIOS\r\n");
    let label = rom.here()?;
    code! { rom.a => cli(); cld(); xor(ax, ax); mov(ss, ax); mov(sp, STACK); }
    vectors(rom)?;
    data_areas(rom)?;
    interrupt_controllers(rom)?;
    timer(rom)?;
    code! { rom.a =>
        call(parts.serial); call(parts.screen);
        mov(ax, greeting); call(parts.print);
        call(parts.set_clock); call(parts.set_up_pci);
    }
    jump(rom)?;
    Ok(label)
}

/// All 256, from the ROM's table.
fn vectors(rom: &mut Rom) -> Result<(), IcedError> {
    let mut next = rom.a.create_label();
    code! { rom.a =>
        mov(es, ax); mov(di, ax); mov(si, i32::from(at::VECTORS)); mov(cx, 256);
        set_label(&mut next);
        mov(ax, word_ptr(si).cs()); add(si, 2); stosw(); mov(ax, i32::from(SEGMENT)); stosw();
        loop_(next);
    }
    Ok(())
}

fn data_areas(rom: &mut Rom) -> Result<(), IcedError> {
    let ebda_segment = (EBDA >> 4) as i32;
    code! { rom.a => push(bda::SEGMENT); pop(es); xor(di, di); xor(ax, ax); mov(cx, bda::LEN / 2); }
    rom.a.rep().stosw()?;
    code! { rom.a => mov(ax, ebda_segment); mov(es, ax); xor(di, di); xor(ax, ax); mov(cx, 512); }
    rom.a.rep().stosw()?;
    // Its first byte is its length in KiB.
    code! { rom.a => mov(byte_ptr(0).es(), 1); push(bda::SEGMENT); pop(ds); }
    let words = [
        (bda::COM1, i32::from(serial::COM1)),
        (bda::EBDA, ebda_segment),
        (bda::EQUIPMENT, EQUIPMENT),
        (bda::MEMORY_KIB, (EBDA >> 10) as i32),
        (bda::KEYS_HEAD, bda::KEYS),
        (bda::KEYS_TAIL, bda::KEYS),
        (bda::KEYS_HEAD_FIRST, bda::KEYS),
        (bda::KEYS_END_LAST, bda::KEYS_END),
        (bda::COLUMNS, 80),
        (bda::PAGE_SIZE, 4096),
        (bda::CURSOR_SHAPE, 0x0607),
        (bda::CRT_PORT, 0x3d4),
        (bda::CHARACTER_HEIGHT, 16),
    ];
    for (offset, value) in words {
        rom.a.mov(word_ptr(offset), value)?;
    }
    code! { rom.a => mov(byte_ptr(bda::VIDEO_MODE), 3); mov(byte_ptr(bda::ROWS_LESS_ONE), 24); }
    Ok(())
}

/// Initialisation words (8259A data sheet): edges, cascade on input 2, no automatic end. Timer, keyboard and cascade are
/// let through; lines 10 and 11, where PCI interrupts are led, are levels.
fn interrupt_controllers(rom: &mut Rom) -> Result<(), IcedError> {
    let words = [
        (MASTER, 0x11),
        (MASTER + 1, i32::from(MASTER_BASE)),
        (MASTER + 1, 4),
        (MASTER + 1, 1),
        (SLAVE, 0x11),
        (SLAVE + 1, i32::from(SLAVE_BASE)),
        (SLAVE + 1, 2),
        (SLAVE + 1, 1),
        (MASTER + 1, 0xf8),
        (SLAVE + 1, 0xff),
    ];
    for (port, value) in words {
        code! { rom.a => mov(al, value); out(port, al); }
    }
    code! { rom.a => mov(al, 0x0c); mov(dx, 0x4d1); out(dx, al); }
    Ok(())
}

/// Counter 0 ticks every 65536 clocks, in mode 2, whose count can be read off as time; counter 1 is the refresh that some look at.
fn timer(rom: &mut Rom) -> Result<(), IcedError> {
    for (port, value) in [(0x43, 0x34), (0x40, 0), (0x40, 0), (0x43, 0x54), (0x41, 18)] {
        code! { rom.a => mov(al, value); out(port, al); }
    }
    Ok(())
}

/// To what the tables say, without interrupts.
fn jump(rom: &mut Rom) -> Result<(), IcedError> {
    let word = |index: u16| word_ptr(u32::from(at::START + index * 2)).cs();
    code! { rom.a =>
        mov(ax, word(3)); mov(ss, ax); mov(sp, word(2));
        mov(ds, ax); mov(es, ax); mov(fs, ax); mov(gs, ax);
        push(word(1)); push(word(0));
        xor(eax, eax); xor(ebx, ebx); xor(ecx, ecx); xor(edx, edx); xor(esi, esi); xor(edi, edi); xor(ebp, ebp);
        retf();
    }
    Ok(())
}
