//! Int 15h: how much memory there is and where (ACPI 6.5, 15.1), the A20 gate, waiting, and where the extended BIOS
//! data area is.

use super::EBDA;
use super::rom::{Carry, Rom, at, code};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    CodeLabel, ah, al, ax, bx, byte_ptr, cl, cs, cx, di, ds, dx, eax, ebx, ecx, edx, es, esi, si, word_ptr,
};

/// "SMAP".
const SIGNATURE: u32 = 0x534d_4150;
/// Fast A20 and reset.
const PORT_A: i32 = 0x92;
/// Its bits: the gate; the rise that resets.
const GATE: i32 = 2;
const FAST_RESET: i32 = 1;
/// Both the keyboard controller and port 0x92 have the gate.
const GATES: i32 = 3;

/// Counter clocks in a microsecond, in 65536ths: 1.193182 MHz.
const CLOCKS_PER_US: u32 = 78_196;

pub(super) fn install(rom: &mut Rom) -> Result<(), IcedError> {
    let mut unknown = rom.a.create_label();
    code! { rom.a => set_label(&mut unknown); mov(ah, 0x86); }
    rom.leave(Carry::Set)?;
    let by_ax = [
        (0xe820, memory_map(rom, unknown)?),
        (0xe801, extended_memory(rom)?),
        (0x2400, a20(rom, !GATE, 0)?),
        (0x2401, a20(rom, !0, GATE)?),
        (0x2402, a20_status(rom)?),
        (0x2403, a20_support(rom)?),
    ];
    let by_ah = [(0x86, wait(rom)?), (0x88, old_extended_memory(rom)?), (0xc1, ebda(rom)?)];
    rom.handler(0x15)?;
    rom.enter()?;
    for (function, label) in by_ax {
        code! { rom.a => cmp(ax, function); je(label); }
    }
    for (function, label) in by_ah {
        code! { rom.a => cmp(ah, function); je(label); }
    }
    rom.a.jmp(unknown)
}

/// EBX: the entry's number, and then the next one's; 0 for the first, and after the last. ES:DI: room for ECX bytes.
fn memory_map(rom: &mut Rom, unknown: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let mut last = rom.a.create_label();
    let entry = u32::from(at::E820_ENTRY);
    code! { rom.a =>
        cmp(edx, SIGNATURE); jne(unknown);
        cmp(ecx, entry); jb(unknown);
        movzx(eax, byte_ptr(u32::from(at::E820_COUNT)).cs()); cmp(ebx, eax); jae(unknown);
        push(si); push(di); push(ds); push(cs); pop(ds);
        imul_3(si, bx, i32::from(at::E820_ENTRY)); add(si, i32::from(at::E820));
        mov(cx, i32::from(at::E820_ENTRY)); cld();
    }
    rom.a.rep().movsb()?;
    code! { rom.a =>
        pop(ds); pop(di); pop(si);
        inc(ebx); cmp(ebx, eax); jb(last); xor(ebx, ebx);
        set_label(&mut last); mov(eax, SIGNATURE); mov(ecx, entry);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn extended_memory(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        mov(ax, word_ptr(u32::from(at::BELOW_16M_KIB)).cs()); mov(cx, ax);
        mov(bx, word_ptr(u32::from(at::ABOVE_16M_64KIB)).cs()); mov(dx, bx);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn old_extended_memory(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    rom.a.mov(ax, word_ptr(u32::from(at::EXTENDED_KIB)).cs())?;
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Opens or closes the gate. Never writes the bit that resets.
fn a20(rom: &mut Rom, keep: i32, set: i32) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        in_(al, PORT_A); and(al, keep & !FAST_RESET & 0xff); or(al, set); out(PORT_A, al);
        mov(ax, 0);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn a20_status(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => in_(al, PORT_A); and(ax, GATE); shr(ax, 1); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn a20_support(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => mov(ah, 0); mov(bx, GATES); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

fn ebda(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => push((EBDA >> 4) as u32); pop(es); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// CX:DX microseconds by the timer's counter 0, which counts down 65536 clocks over and over.
fn wait(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let read = read_counter(rom)?;
    let label = rom.here()?;
    let [mut again, mut fits] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a =>
        pushad(); sti();
        movzx(eax, cx); shl(eax, 16); mov(ax, dx);
        mov(edx, CLOCKS_PER_US); mul(edx);
        cmp(edx, 0xffff_u32); jbe(fits); mov(edx, 0xffff_u32);
        set_label(&mut fits); shl(edx, 16); shr(eax, 16); or(eax, edx); mov(esi, eax);
        call(read); mov(di, ax);
        set_label(&mut again); call(read);
        sub(di, ax); movzx(ecx, di); mov(di, ax);
        sub(esi, ecx); ja(again);
        popad();
        mov(ah, 0);
    }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// AX becomes what counter 0 has.
fn read_counter(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(cx);
        mov(al, 0); out(0x43, al); in_(al, 0x40); mov(cl, al); in_(al, 0x40); mov(ah, al); mov(al, cl);
        pop(cx); ret();
    }
    Ok(label)
}
