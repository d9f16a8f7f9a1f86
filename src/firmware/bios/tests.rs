//! Each service, called by a program that starts as a kernel would and reports its registers on the debug console.

use super::rom::code;
use crate::firmware::{MemoryKind, memory_map};
use crate::machine::{Goal, Machine, Stop};
use crate::scenario::{Guest, Limits, Scenario};
use crate::units::{Bytes, Span};
use emu_core::mem::PhysMem;
use emu_core::{VirtDuration, VirtTime};
use emu_devices::debug_port::spec::{CONSOLE, EXIT};
use iced_x86::IcedError;
use iced_x86::code_asm::*;
use std::io::Write;

const MEMORY: u64 = 64 << 20;
const GREETING: &str = "Glassbox BIOS\r\n";

/// What a program left behind.
struct Left {
    stop: Stop,
    serial: String,
    /// What it wrote to the debug console before its registers.
    said: Vec<u8>,
    registers: Vec<u8>,
    time: VirtTime,
}

impl Left {
    fn dword(&self, index: usize) -> u32 {
        u32::from_le_bytes(self.registers[2 + index * 4..][..4].try_into().unwrap())
    }

    fn es(&self) -> u16 {
        u16::from_le_bytes(self.registers[..2].try_into().unwrap())
    }

    fn ebx(&self) -> u32 {
        self.dword(4)
    }

    fn edx(&self) -> u32 {
        self.dword(5)
    }

    fn ecx(&self) -> u32 {
        self.dword(6)
    }

    fn eax(&self) -> u32 {
        self.dword(7)
    }

    fn ax(&self) -> u16 {
        self.eax() as u16
    }

    fn carry(&self) -> bool {
        self.registers[34] & 1 != 0
    }

    fn zero(&self) -> bool {
        self.registers[34] & 0x40 != 0
    }

    fn refused(&self) -> bool {
        self.carry() && self.eax() >> 8 & 0xff == 0x86
    }
}

/// A bzImage of protocol 2.07 whose setup code is the program.
fn bzimage(program: &[u8]) -> Vec<u8> {
    const CODE: usize = 0x280;
    let mut file = vec![0; 5 * 512 + 16];
    file[0x1f1] = 4;
    file[0x1fe..0x202].copy_from_slice(&[0x55, 0xaa, 0xeb, 0x7e]);
    file[0x202..0x208].copy_from_slice(b"HdrS\x07\x02");
    file[0x211] = 1;
    file[0x22c..0x230].copy_from_slice(&u32::MAX.to_le_bytes());
    file[0x238] = 0xff;
    file[CODE..CODE + program.len()].copy_from_slice(program);
    file
}

fn machine(program: &[u8]) -> Machine {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&bzimage(program)).unwrap();
    let guest = Guest::Kernel { kernel: file.path().to_owned(), initrd: None };
    let limits = Limits { time: Some(Span(VirtDuration::from_ms(2000))), insns: None };
    Machine::new(Scenario { guest, limits, memory: Bytes(MEMORY), iommu: None, ..Scenario::default() })
        .unwrap()
}

/// Runs a program, then lets it say its registers and end.
fn run(program: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Left {
    let mut a = CodeAssembler::new(16).unwrap();
    program(&mut a).unwrap();
    ending(&mut a).unwrap();
    let mut machine = machine(&a.assemble(0x80).unwrap());
    let stop = machine.run(&Goal::default());
    let mut said = machine.take_debugcon();
    let registers = said.split_off(said.len().saturating_sub(36));
    let serial = String::from_utf8(machine.take_serial()).unwrap();
    let time = machine.now();
    Left { stop, serial: serial.strip_prefix(GREETING).unwrap().to_owned(), said, registers, time }
}

fn ending(a: &mut CodeAssembler) -> Result<(), IcedError> {
    let mut next = a.create_label();
    code! { a =>
        pushf(); pushad(); push(es); mov(si, sp); mov(cx, 36);
        set_label(&mut next); mov(al, byte_ptr(si).ss()); out(i32::from(CONSOLE), al); inc(si); loop_(next);
        mov(al, 0); out(i32::from(EXIT), al);
    }
    Ok(())
}

/// Calls a service.
fn call(vector: i32, function: i32) -> Left {
    run(|a| {
        code! { a => mov(eax, function); int(vector); }
        Ok(())
    })
}

#[test]
fn it_says_how_much_memory_there_is() {
    assert_eq!(call(0x12, 0).ax(), 639);
    assert_eq!(call(0x15, 0x8800).ax(), 63 << 10);
    let e801 = call(0x15, 0xe801);
    assert!(!e801.carry());
    assert_eq!((e801.ax(), e801.ecx() as u16), (15 << 10, 15 << 10));
    assert_eq!((e801.ebx() as u16, e801.edx() as u16), (48 << 4, 48 << 4));
    assert_eq!(call(0x15, 0xc100).es(), 0x9fc0);
}

#[test]
fn the_memory_map_is_the_machines() {
    let left = run(|a| {
        let [mut next, mut byte, mut done] = [(); 3].map(|()| a.create_label());
        code! { a =>
            push(0x2000); pop(es); xor(ebx, ebx);
            set_label(&mut next);
            mov(eax, 0xe820); mov(edx, 0x534d_4150); mov(ecx, 24); mov(di, 0); int(0x15); jc(done);
            mov(si, di);
            set_label(&mut byte); mov(al, byte_ptr(si).es()); out(i32::from(CONSOLE), al); inc(si); loop_(byte);
            test(ebx, ebx); jnz(next);
            set_label(&mut done); nop();
        }
        Ok(())
    });
    let expected = memory_map(&PhysMem::new(MEMORY).unwrap(), &[]);
    let entries: Vec<_> = left.said.chunks(20).collect();
    assert_eq!(entries.len(), expected.len());
    for (entry, range) in entries.iter().zip(&expected) {
        assert_eq!(entry[..8], range.base.0.to_le_bytes());
        assert_eq!(entry[8..16], range.len.to_le_bytes());
        assert_eq!(entry[16..], (range.kind as u32).to_le_bytes());
    }
    assert!(expected.iter().any(|range| range.kind == MemoryKind::AcpiTables));
    assert!(!left.carry());
}

#[test]
fn what_there_is_not_is_refused() {
    for function in [0x5300, 0xc000, 0xe820, 0x2404, 0x8700] {
        assert!(call(0x15, function).refused(), "int 15h, {function:#x}");
    }
    for (vector, function) in [(0x14, 0), (0x16, 0x300), (0x17, 0), (0x1a, 0x600)] {
        assert!(call(vector, function).refused(), "int {vector:#x}, {function:#x}");
    }
    let disk = call(0x13, 0x201);
    assert!(disk.carry());
    assert_eq!(disk.eax() >> 8, 1);
    // VESA: unknown functions leave AL.
    assert_eq!(call(0x10, 0x4f00).ax(), 0x4f00);
    assert_eq!(call(0x11, 0).ax(), 0x0222);
}

#[test]
fn the_a20_gate_is_port_92s() {
    assert_eq!(call(0x15, 0x2402).ax(), 1);
    assert_eq!(call(0x15, 0x2403).ebx() & 0xffff, 3);
    let shut = run(|a| {
        code! { a => mov(ax, 0x2400); int(0x15); in_(al, 0x92); mov(bl, al); mov(ax, 0x2402); int(0x15); }
        Ok(())
    });
    assert_eq!((shut.ax(), shut.ebx() & 3, shut.carry()), (0, 0, false));
}

/// Row `row` of the screen, to the debug console.
fn say_row(a: &mut CodeAssembler, row: i32) -> Result<(), IcedError> {
    let mut next = a.create_label();
    code! { a =>
        push(0xb800); pop(ds); mov(si, row * 160); mov(cx, 160);
        set_label(&mut next); lodsb(); out(i32::from(CONSOLE), al); loop_(next);
    }
    Ok(())
}

#[test]
fn teletype_output_is_on_the_screen_and_on_the_line() {
    let left = run(|a| {
        for character in *b"one\r\ntwx\x08o" {
            code! { a => mov(ah, 0x0e); mov(al, i32::from(character)); int(0x10); }
        }
        say_row(a, 2)?;
        code! { a => mov(ah, 3); mov(bh, 0); int(0x10); }
        Ok(())
    });
    assert_eq!(left.serial, "one\r\ntwx\x08o");
    assert_eq!(left.said[..8], *b"t\x07w\x07o\x07 \x07");
    assert_eq!(left.edx() & 0xffff, 0x0203);
}

#[test]
fn the_screen_scrolls() {
    let left = run(|a| {
        code! { a => mov(ah, 2); mov(dx, 0x1800); int(0x10); }
        for character in *b"a\r\nb\r\nc" {
            code! { a => mov(ah, 0x0e); mov(al, i32::from(character)); int(0x10); }
        }
        // Columns 0 and 1 of the last three rows go down by one, in yellow.
        code! { a => mov(ax, 0x0701); mov(bh, 14); mov(cx, 0x1600); mov(dx, 0x1801); int(0x10); }
        for row in 22..25 {
            say_row(a, row)?;
        }
        Ok(())
    });
    let rows: Vec<_> = left.said.chunks(160).map(|row| &row[..6]).collect();
    assert_eq!(rows, [b" \x0e \x0e \x07", b"a\x07 \x07 \x07", b"b\x07 \x07 \x07"]);
}

#[test]
fn characters_are_put_in_colour() {
    let left = run(|a| {
        code! { a =>
            mov(ah, 2); mov(dx, 0x184e); int(0x10);
            mov(ax, 0x092a); mov(bx, 0x1e); mov(cx, 500); int(0x10);
            mov(ax, 0x0800); int(0x10); push(ax);
        }
        say_row(a, 24)?;
        code! { a => pop(ax); }
        Ok(())
    });
    assert_eq!(left.said[156..], *b"*\x1e*\x1e");
    assert_eq!(left.ax(), 0x1e2a);
    assert_eq!(left.serial, "");
}

#[test]
fn a_string_is_written_where_it_is_wanted() {
    let left = run(|a| {
        code! { a =>
            push(0x2000); pop(es); mov(di, 0x10); cld();
            mov(ax, 0x1e41); stosw(); mov(ax, 0x1f42); stosw();
            mov(ax, 0x1302); mov(cx, 2); mov(dx, 0x0305); push(bp); mov(bp, 0x10); int(0x10); pop(bp);
        }
        say_row(a, 3)?;
        code! { a => mov(ah, 3); int(0x10); }
        Ok(())
    });
    assert_eq!(left.said[8..16], *b" \x07A\x1eB\x1f \x07");
    assert_eq!(left.edx() & 0xffff, 0x0100);
    assert_eq!(left.serial, "AB");
}

#[test]
fn ticks_come_18_times_a_second() {
    let left = run(|a| {
        code! { a =>
            cli(); mov(ah, 0); int(0x1a); mov(bx, dx); sti();
            hlt(); hlt(); hlt(); mov(ah, 0); int(0x1a); sub(dx, bx);
        }
        Ok(())
    });
    assert_eq!((left.edx() & 0xffff, left.ax()), (3, 0));
    // The first is waiting from when the timer was set up.
    assert!((105..115).contains(&(left.time.as_ns() / 1_000_000)), "{:?}", left.time);
}

#[test]
fn date_and_time_are_the_clocks() {
    // 2026-01-01 00:00:00.
    let date = call(0x1a, 0x400);
    assert_eq!((date.ecx() & 0xffff, date.edx() & 0xffff), (0x2026, 0x0101));
    let time = run(|a| {
        code! { a =>
            mov(ax, 0x0300); mov(cx, 0x2359); mov(dx, 0x5800); int(0x1a);
            xor(cx, cx); xor(dx, dx); mov(ax, 0x0200); int(0x1a);
        }
        Ok(())
    });
    assert_eq!((time.ecx() & 0xffff, time.edx() & 0xffff), (0x2359, 0x5800));
}

#[test]
fn waiting_takes_as_long_as_it_is_told() {
    for micros in [300_i32, 250_000] {
        let left = run(|a| {
            code! { a => mov(ah, 0x86); mov(cx, micros >> 16); mov(dx, micros & 0xffff); int(0x15); }
            Ok(())
        });
        let micros = micros as u64;
        assert!(!left.carry());
        assert!(
            (micros..micros + micros / 20 + 3000).contains(&(left.time.as_ns() / 1000)),
            "{:?}",
            left.time
        );
    }
}

#[test]
fn keys_come_from_the_serial_port() {
    assert!(call(0x16, 0x100).zero());
    let left = run(|a| {
        // In loopback the line's end is its start.
        code! { a => mov(dx, 0x3fc); mov(al, 0x13); out(dx, al); mov(dx, 0x3f8); }
        for character in *b"x\r" {
            code! { a => mov(al, i32::from(character)); out(dx, al); mov(ah, 0x86); push(dx); }
            code! { a => mov(cx, 0); mov(dx, 100); int(0x15); pop(dx); }
        }
        code! { a =>
            mov(ah, 1); int(0x16); mov(bx, ax); mov(ah, 0); int(0x16); sub(bx, ax);
            mov(ah, 0x10); int(0x16); push(ax); mov(ah, 1); int(0x16); pop(ax);
        }
        Ok(())
    });
    assert_eq!((left.ebx() & 0xffff, left.ax(), left.zero()), (0, 0x1c0d, true));
}

#[test]
fn nobody_types_and_the_processor_sleeps() {
    let left = call(0x16, 0);
    assert_eq!(left.stop, Stop::Limit);
}

#[test]
fn pci_devices_are_found_with_their_addresses() {
    let present = call(0x1a, 0xb101);
    assert_eq!((present.edx(), present.eax() & 0xffff, present.ebx() & 0xffff), (0x2049_4350, 1, 0x210));
    let card = run(|a| {
        code! { a =>
            mov(ax, 0xb102); mov(cx, 0x100e); mov(dx, 0x8086); mov(si, 0); int(0x1a);
            mov(ax, 0xb10a); mov(di, 0x10); int(0x1a); mov(edx, ecx);
            mov(ax, 0xb108); mov(di, 0x3c); int(0x1a);
        }
        Ok(())
    });
    assert_eq!(card.ebx() & 0xffff, 0x0010);
    assert_eq!((card.edx(), card.ecx() & 0xff), (0xc000_0000, 11));
    let class = run(|a| {
        code! { a => mov(ax, 0xb103); mov(ecx, 0x2_0000); mov(si, 0); int(0x1a); mov(cx, 2); }
        Ok(())
    });
    assert_eq!((class.carry(), class.ebx() & 0xffff), (false, 0x0010));
    let second = run(|a| {
        code! { a => mov(ax, 0xb103); mov(ecx, 0x2_0000); mov(si, 1); int(0x1a); }
        Ok(())
    });
    assert!(second.refused());
}

#[test]
fn configuration_space_is_written_and_odd_registers_refused() {
    let left = run(|a| {
        code! { a =>
            mov(bx, 0x10);
            mov(ax, 0xb10c); mov(di, 4); mov(cx, 7); int(0x1a);
            mov(ax, 0xb109); mov(cx, 0); int(0x1a); mov(si, cx);
            mov(ax, 0xb109); mov(di, 5); int(0x1a); mov(dx, si);
        }
        Ok(())
    });
    assert_eq!((left.edx() & 0xffff, left.eax() >> 8 & 0xff, left.carry()), (7, 0x87, true));
}

#[test]
fn unexpected_interrupts_are_masked_after_the_first() {
    let left = run(|a| {
        // The clock's periodic interrupt, IRQ 8, which nobody acknowledges there.
        for (port, value) in [(0x70, 0x0b), (0x71, 0x42), (0xa1, 0xfe)] {
            code! { a => mov(al, value); out(port, al); }
        }
        code! { a => sti(); hlt(); hlt(); in_(al, 0xa1); }
        Ok(())
    });
    assert_eq!(left.ax() & 0xff, 0xff);
}

#[test]
fn an_end_is_an_end() {
    for vector in [0x18, 0x19] {
        let left = call(vector, 0);
        assert_eq!(left.stop, Stop::PowerOff { code: 0 });
        assert_eq!(left.serial, "\r\nNothing else to boot: off.\r\n");
    }
    let reset = run(|a| {
        code! { a => push(0xf000); push(0xfff0); retf(); }
        Ok(())
    });
    assert_eq!(reset.stop, Stop::Reset);
}

#[test]
fn exceptions_that_would_repeat_end_the_run() {
    let divide = run(|a| {
        code! { a => xor(bx, bx); div(bx); }
        Ok(())
    });
    assert_eq!(divide.stop, Stop::PowerOff { code: 3 });
    assert_eq!(divide.serial, "\r\nUnhandled exception at 9020:0082\r\n");
    let protection = run(|a| {
        code! { a => mov(eax, dword_ptr(0xfffe)); }
        Ok(())
    });
    assert_eq!(protection.serial, "\r\nUnhandled exception at 9020:0080\r\n");
}
