//! Time: the tick (int 08h, which is IRQ 0), and int 1Ah, functions 0 to 5: ticks since midnight, the real-time clock's
//! time and date. Functions B1h are in `pci`.

use super::irq::{EOI, MASTER};
use super::post::bda;
use super::rom::{Carry, Rom, code};
use emu_devices::rtc::spec;
use iced_x86::IcedError;
use iced_x86::code_asm::{
    AsmRegister8, CodeLabel, ah, al, ax, byte_ptr, ch, cl, cx, dh, dl, ds, dword_ptr, dx, eax, ebx, edx,
    word_ptr,
};

const INDEX: i32 = spec::INDEX as i32;
const DATA: i32 = spec::DATA as i32;
const CENTURY: u8 = 0x32;
/// Ticks in a day.
const DAY: i32 = 0x18_00b0;
/// Counter clocks in a second; a tick is 65536.
const CLOCKS: u32 = 1_193_182;

/// Where time and date are in CPU registers and in the clock's, in BCD.
const TIME: [(AsmRegister8, u8); 3] = [(ch, 0x04), (cl, 0x02), (dh, 0x00)];
const DATE: [(AsmRegister8, u8); 4] = [(ch, CENTURY), (cl, 0x09), (dh, 0x08), (dl, 0x07)];

/// What answers int 1Ah, and a near routine that sets the ticks from the clock.
pub(super) struct Clock {
    /// Functions 0 to 5, by number.
    pub(super) functions: Vec<(i32, CodeLabel)>,
    pub(super) set: CodeLabel,
}

pub(super) fn install(rom: &mut Rom) -> Result<Clock, IcedError> {
    tick(rom)?;
    let settled = settled(rom)?;
    let functions = vec![
        (0, get_ticks(rom)?),
        (1, set_ticks(rom)?),
        (2, get(rom, settled, &TIME, true)?),
        (3, put(rom, &TIME)?),
        (4, get(rom, settled, &DATE, false)?),
        (5, put(rom, &DATE)?),
    ];
    Ok(Clock { functions, set: ticks_from_clock(rom, settled)? })
}

/// 18.2 times a second. Whoever wants to hear of it has int 1Ch.
fn tick(rom: &mut Rom) -> Result<(), IcedError> {
    rom.handler(super::irq::MASTER_BASE)?;
    let mut same_day = rom.a.create_label();
    code! { rom.a =>
        push(ax); push(dx); push(ds); push(bda::SEGMENT); pop(ds);
        inc(dword_ptr(bda::TICKS)); cmp(dword_ptr(bda::TICKS), DAY); jb(same_day);
        mov(dword_ptr(bda::TICKS), 0); inc(byte_ptr(bda::MIDNIGHT));
        set_label(&mut same_day); int(0x1c);
        mov(al, EOI); out(MASTER, al);
        pop(ds); pop(dx); pop(ax);
        iret();
    }
    Ok(())
}

fn get_ticks(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ds); push(bda::SEGMENT); pop(ds);
        mov(dx, word_ptr(bda::TICKS)); mov(cx, word_ptr(bda::TICKS + 2));
        mov(ax, 0); xchg(byte_ptr(bda::MIDNIGHT), al);
        pop(ds);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn set_ticks(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ds); push(bda::SEGMENT); pop(ds);
        mov(word_ptr(bda::TICKS), dx); mov(word_ptr(bda::TICKS + 2), cx); mov(byte_ptr(bda::MIDNIGHT), 0);
        pop(ds);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Waits until the clock's registers hold still. Changes AL.
fn settled(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        mov(al, i32::from(spec::A)); out(INDEX, al); in_(al, DATA);
        test(al, i32::from(spec::A_UPDATING)); jnz(label);
        ret();
    }
    Ok(label)
}

fn read_into(rom: &mut Rom, register: AsmRegister8, index: u8) -> Result<(), IcedError> {
    code! { rom.a => mov(al, i32::from(index)); out(INDEX, al); in_(al, DATA); mov(register, al); }
    Ok(())
}

fn get(
    rom: &mut Rom,
    settled: CodeLabel,
    registers: &[(AsmRegister8, u8)],
    is_time: bool,
) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => push(ax); call(settled); }
    for (register, index) in registers {
        read_into(rom, *register, *index)?;
    }
    if is_time {
        // No daylight saving.
        rom.a.mov(dl, 0)?;
    }
    rom.a.pop(ax)?;
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Updates are held off meanwhile.
fn put(rom: &mut Rom, registers: &[(AsmRegister8, u8)]) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mode = i32::from(spec::B_24_HOURS);
    code! { rom.a =>
        push(ax);
        mov(al, i32::from(spec::B)); out(INDEX, al); mov(al, mode | i32::from(spec::B_SET)); out(DATA, al);
    }
    for (register, index) in registers {
        code! { rom.a => mov(al, i32::from(*index)); out(INDEX, al); mov(al, *register); out(DATA, al); }
    }
    code! { rom.a =>
        mov(al, i32::from(spec::B)); out(INDEX, al); mov(al, mode); out(DATA, al);
        pop(ax);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// The ticks become those since midnight. Changes EAX, EBX, CX and EDX.
fn ticks_from_clock(rom: &mut Rom, settled: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => call(settled); }
    for (register, index) in TIME {
        read_into(rom, register, index)?;
    }
    code! { rom.a => xor(ebx, ebx); }
    for (register, weight) in [(ch, 3600), (cl, 60), (dh, 1)] {
        code! { rom.a =>
            mov(al, register); mov(ah, al); shr(ah, 4); and(al, 15); aad(10);
            movzx(eax, ax); imul_3(eax, eax, weight); add(ebx, eax);
        }
    }
    code! { rom.a =>
        mov(eax, CLOCKS); mul(ebx); shrd(eax, edx, 16);
        push(ds); push(bda::SEGMENT); pop(ds); mov(dword_ptr(bda::TICKS), eax); pop(ds);
        ret();
    }
    Ok(label)
}
