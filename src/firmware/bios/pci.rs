//! PCI: what int 1Ah, functions B1h answer (PCI BIOS Specification 2.1, chapter 4), and giving devices their addresses
//! and interrupt lines before anything is started, as firmware does (PCI 2.3, 6.2.5.1).

use super::rom::{Carry, Rom, code};
use crate::machine::layout;
use emu_core::mem::LOW_RAM_END;
use emu_devices::pci::spec;
use iced_x86::IcedError;
use iced_x86::code_asm::{CodeLabel, ah, al, ax, bl, bx, cl, cx, di, dl, dx, eax, ebp, ecx, edx, esi, si};

const CONFIG_ADDRESS: i32 = 0xcf8;
const CONFIG_DATA: i32 = 0xcfc;
const ENABLE: u32 = 0x8000_0000;
/// "PCI ".
const SIGNATURE: u32 = 0x2049_4350;

const FUNCTION_NOT_SUPPORTED: i32 = 0x81;
const DEVICE_NOT_FOUND: i32 = 0x86;
const BAD_REGISTER: i32 = 0x87;

/// Where devices' ports and memory go, up to ECAM.
const PORTS: u32 = 0xc000;
const MEMORY: u32 = LOW_RAM_END as u32;

/// Near routines for what is in this file.
#[derive(Clone, Copy)]
struct Config {
    /// Points the data port at register DI of function BX; DX becomes that port. Keeps all else.
    select: CodeLabel,
}

/// Answers AH=B1h by AL, and the near routine that sets devices up.
pub(super) struct Pci {
    pub(super) functions: CodeLabel,
    pub(super) set_up: CodeLabel,
}

pub(super) fn install(rom: &mut Rom) -> Result<Pci, IcedError> {
    let config = Config { select: select(rom)? };
    let find = find(rom, config)?;
    let bad_register = refuse(rom, BAD_REGISTER)?;
    let not_supported = refuse(rom, FUNCTION_NOT_SUPPORTED)?;
    let mut cases =
        vec![(0x01, present(rom)?), (0x02, find_device(rom, find)?), (0x03, find_class(rom, find)?)];
    for (index, size) in [1, 2, 4].into_iter().enumerate() {
        cases.push((0x08 + index as i32, read(rom, config, size, bad_register)?));
        cases.push((0x0b + index as i32, write(rom, config, size, bad_register)?));
    }
    let functions = rom.here()?;
    for (function, label) in cases {
        code! { rom.a => cmp(al, function); je(label); }
    }
    rom.a.jmp(not_supported)?;
    let assign = assign(rom, config)?;
    Ok(Pci { functions, set_up: set_up(rom, config, assign)? })
}

fn refuse(rom: &mut Rom, why: i32) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    rom.a.mov(ah, why)?;
    rom.leave(Carry::Set)?;
    Ok(label)
}

fn select(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(eax);
        movzx(eax, bx); shl(eax, 8); or(eax, ENABLE);
        mov(dx, di); and(dl, 0xfc); mov(al, dl);
        mov(dx, CONFIG_ADDRESS); out(dx, eax);
        mov(dx, di); and(dx, 3); add(dx, CONFIG_DATA);
        pop(eax); ret();
    }
    Ok(label)
}

/// Version 2.1, mechanism 1, bus 0 is the last.
fn present(rom: &mut Rom) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a => mov(edx, SIGNATURE); mov(ax, 1); mov(bx, 0x210); mov(cl, 0); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// The function with number SI among those whose register DI (0 or 8), shifted right by as many bits, is EBP: in BX, or
/// carry. Changes EAX, CX, DX and SI.
fn find(rom: &mut Rom, config: Config) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut next, mut other, mut found] = [(); 3].map(|()| rom.a.create_label());
    code! { rom.a =>
        mov(cx, di); mov(bx, 0);
        set_label(&mut next); call(config.select); in_(eax, dx);
        shr(eax, cl); cmp(eax, ebp); jne(other);
        test(si, si); jz(found); dec(si);
        set_label(&mut other); inc(bl); jnz(next);
        stc(); ret();
        set_label(&mut found); clc(); ret();
    }
    Ok(label)
}

/// Calls [`find`] for EBP and DI, and answers.
fn search(rom: &mut Rom, find: CodeLabel) -> Result<(), IcedError> {
    let mut none = rom.a.create_label();
    code! { rom.a =>
        call(find); pop(si); pop(di); pop(edx); pop(ecx); pop(eax); pop(ebp);
        mov(ah, 0); jc(none);
    }
    rom.leave(Carry::Clear)?;
    code! { rom.a => set_label(&mut none); mov(ah, DEVICE_NOT_FOUND); }
    rom.leave(Carry::Set)
}

/// Device CX of vendor DX.
fn find_device(rom: &mut Rom, find: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ebp); push(eax); push(ecx); push(edx); push(di); push(si);
        movzx(ebp, cx); shl(ebp, 16); movzx(edx, dx); or(ebp, edx); mov(di, 0);
    }
    search(rom, find)?;
    Ok(label)
}

/// Class code ECX.
fn find_class(rom: &mut Rom, find: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    code! { rom.a =>
        push(ebp); push(eax); push(ecx); push(edx); push(di); push(si);
        mov(ebp, ecx); and(ebp, 0xff_ffff_u32); mov(di, 8);
    }
    search(rom, find)?;
    Ok(label)
}

/// Jumps away unless DI is a register that `size` bytes can be read at.
fn check_register(rom: &mut Rom, size: i32, bad_register: CodeLabel) -> Result<(), IcedError> {
    code! { rom.a => test(di, 0xff00 | (size - 1)); jnz(bad_register); }
    Ok(())
}

/// (E)CX becomes register DI of function BX.
fn read(rom: &mut Rom, config: Config, size: i32, bad_register: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    check_register(rom, size, bad_register)?;
    code! { rom.a => push(dx); push(eax); call(config.select); }
    match size {
        1 => code! { rom.a => in_(al, dx); mov(cl, al); },
        2 => code! { rom.a => in_(ax, dx); mov(cx, ax); },
        _ => code! { rom.a => in_(eax, dx); mov(ecx, eax); },
    }
    code! { rom.a => pop(eax); pop(dx); mov(ah, 0); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Register DI of function BX becomes CL, CX or ECX.
fn write(rom: &mut Rom, config: Config, size: i32, bad_register: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    check_register(rom, size, bad_register)?;
    code! { rom.a => push(dx); push(eax); call(config.select); mov(eax, ecx); }
    match size {
        1 => rom.a.out(dx, al)?,
        2 => rom.a.out(dx, ax)?,
        _ => rom.a.out(dx, eax)?,
    }
    code! { rom.a => pop(eax); pop(dx); mov(ah, 0); }
    rom.leave(Carry::Clear)?;
    Ok(label)
}

/// Gives every function on bus 0 its addresses and its interrupt line, and lets it answer. Changes all registers.
fn set_up(rom: &mut Rom, config: Config, assign: CodeLabel) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut function, mut bar, mut next] = [(); 3].map(|()| rom.a.create_label());
    let decode = i32::from(spec::COMMAND_IO | spec::COMMAND_MEMORY);
    let lpc = i32::from(layout::LPC.0);
    code! { rom.a =>
        mov(esi, MEMORY); mov(ebp, PORTS); mov(bx, 0);
        set_label(&mut function);
        mov(di, 0); call(config.select); in_(ax, dx); cmp(ax, -1); je(next);
        mov(di, i32::from(spec::HEADER_TYPE)); call(config.select); in_(al, dx); test(al, 0x7f); jnz(next);
        mov(di, i32::from(spec::BAR0));
        set_label(&mut bar); call(assign); cmp(di, i32::from(spec::BAR0) + 24); jb(bar);
        mov(di, i32::from(spec::COMMAND)); call(config.select); in_(ax, dx); or(ax, decode); out(dx, ax);
        mov(di, i32::from(spec::INTERRUPT_PIN)); call(config.select); in_(al, dx);
        test(al, al); jz(next);
        movzx(di, al); add(di, i32::from(spec::LPC_PIRQA) - 1); push(bx); mov(bx, lpc);
        call(config.select); in_(al, dx); pop(bx);
        test(al, 0x80); jnz(next);
        mov(di, i32::from(spec::INTERRUPT_LINE)); call(config.select); out(dx, al);
        set_label(&mut next); inc(bl); jnz(function);
        ret();
    }
    Ok(label)
}

/// Gives base address register DI of function BX the next place, from ESI for memory and EBP for ports. DI becomes the
/// next register. Changes EAX, ECX, EDX.
fn assign(rom: &mut Rom, config: Config) -> Result<CodeLabel, IcedError> {
    let label = rom.here()?;
    let [mut port, mut done] = [(); 2].map(|()| rom.a.create_label());
    code! { rom.a =>
        call(config.select); mov(eax, 0xffff_ffff_u32); out(dx, eax); in_(eax, dx);
        test(eax, eax); jz(done);
        mov(ecx, eax); test(al, 1); jnz(port);
        and(ecx, 0xffff_fff0_u32); neg(ecx);
        dec(ecx); add(esi, ecx); not(ecx); and(esi, ecx);
        push(eax); mov(eax, esi); out(dx, eax); pop(eax);
        neg(ecx); add(esi, ecx);
        and(al, 6); cmp(al, 4); jne(done);
        add(di, 4); call(config.select); xor(eax, eax); out(dx, eax); jmp(done);
        set_label(&mut port);
        and(ecx, 0xffff_fffc_u32); or(ecx, 0xffff_0000_u32); neg(ecx);
        dec(ecx); add(ebp, ecx); not(ecx); and(ebp, ecx);
        mov(eax, ebp); out(dx, eax);
        neg(ecx); add(ebp, ecx);
        set_label(&mut done); add(di, 4); ret();
    }
    Ok(label)
}
