//! 32-bit protected mode: what its stages have in common. Handlers that record a frame and go on where that is expected, and the way
//! to level 3 and back.

use super::model::Width;
use super::part::{Expected, Mark, Part, code};
use super::tables::sel;
use super::tasks::Vm86;
use super::{at, debug, gates, long, paging, segments, shifts, tasks};
use iced_x86::IcedError;
use iced_x86::code_asm::{ax, ds, dword_ptr, eax, es, esp, fs, gs, ss};

/// What tables need to know.
pub(super) struct Code32 {
    pub(super) stubs: Vec<u32>,
    pub(super) gate: u32,
    pub(super) gate16: u32,
    pub(super) ring1: u32,
    pub(super) task: u32,
    pub(super) task16: u32,
}

/// From the jump out of 16-bit code to 64-bit code.
pub(super) fn build(part: &mut Part, vm86: &Vm86) -> Result<Code32, IcedError> {
    let begin = part.mark();
    let start = part.label(begin);
    part.a.jmp(start)?;
    let stubs = handlers(part)?;
    let gate = gates::target(part)?;
    let gate16 = gates::target16(part)?;
    let ring1 = gates::target_ring1(part)?;
    let task = tasks::body(part)?;
    let task16 = tasks::body16(part)?;
    part.set(begin)?;
    flat(part)?;
    code! { part.a => mov(esp, at::STACK); lidt(iced_x86::code_asm::fword_ptr(at::IDTR)); }
    // The gate that 16-bit code put in place of #GP's.
    gates::restore_general_protection(part, stubs[13])?;
    part.stage(0x20, "32-bit code: shifts by one and by immediate counts")?;
    shifts::by_immediate(part, &[Width(8), Width(16), Width(32)])?;
    segments::stages(part)?;
    gates::stages(part)?;
    paging::stages(part)?;
    tasks::stages(part, vm86)?;
    debug::stage(part)?;
    long::enter(part)?;
    let stubs = stubs.iter().map(|stub| part.address(*stub)).collect();
    Ok(Code32 {
        stubs,
        gate: part.address(gate),
        gate16: part.address(gate16),
        ring1: part.address(ring1),
        task: part.address(task),
        task16: part.address(task16),
    })
}

/// Flat segments, FS and GS null.
pub(super) fn flat(part: &mut Part) -> Result<(), IcedError> {
    code! { part.a =>
        mov(eax, u32::from(sel::DATA32)); mov(ds, ax); mov(es, ax); mov(ss, ax); xor(eax, eax); mov(fs, ax); mov(gs, ax);
    }
    Ok(())
}

fn handlers(part: &mut Part) -> Result<Vec<Mark>, IcedError> {
    let common = part.mark();
    let (all, fail) = (part.label(common), part.fail);
    let mut stubs = Vec::new();
    for vector in 0..at::VECTORS {
        stubs.push(part.here()?);
        if !matches!(vector, 8 | 10..=14 | 17) {
            part.a.push(0)?;
        }
        code! { part.a => push(vector as i32); jmp(all); }
    }
    part.set(common)?;
    code! { part.a =>
        cld(); mov(eax, u32::from(sel::DATA32)); mov(ds, ax); mov(es, ax); mov(dword_ptr(at::HANDLER_SP), esp);
        pushfd(); pop(dword_ptr(at::HANDLER_FLAGS));
    }
    for place in [at::VECTOR, at::ERROR, at::FAULT_IP, at::FAULT_CS, at::FAULT_FLAGS] {
        part.a.pop(dword_ptr(place))?;
    }
    code! { part.a =>
        mov(eax, dword_ptr(esp)); mov(dword_ptr(at::FAULT_SP), eax);
        mov(eax, u32::from(sel::DATA32)); mov(ss, ax);
        mov(eax, dword_ptr(at::RESUME)); test(eax, eax); jz(fail); mov(esp, dword_ptr(at::SAVED_SP)); jmp(eax);
    }
    Ok(stubs)
}

/// On at the next instruction at level 3, with RFLAGS' upper part as given. What comes back from there is expected from here on.
pub(super) fn to_user(part: &mut Part, flags: u32) -> Result<Expected, IcedError> {
    let expected = part.expect()?;
    let inside = part.mark();
    let target = part.address(inside);
    code! { part.a =>
        mov(eax, u32::from(sel::USER_DATA)); mov(ds, ax); mov(es, ax);
        push(u32::from(sel::USER_DATA) as i32); push(at::STACK3 as i32); push((flags | 2) as i32); push(u32::from(sel::USER_CODE32) as i32);
        push(target as i32); iretd();
    }
    part.set(inside)?;
    Ok(expected)
}

/// Back to level 0 by the one software interrupt that level 3 may use.
pub(super) fn to_kernel(part: &mut Part, expected: &Expected) -> Result<(), IcedError> {
    part.raw(&[0xcd, 0x20])?;
    part.raised_anywhere(expected, 0x20, 0)
}
