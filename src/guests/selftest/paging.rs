//! Paging: every combination of U/S, R/W, WP, level and access, accessed and dirty bits, CR2 and error codes; 4 MiB pages; PAE with
//! no-execute. SDM vol. 3A, chapter 4.

use super::at;
use super::part::{Part, code};
use super::protected::{flat, to_kernel, to_user};
use iced_x86::IcedError;
use iced_x86::code_asm::{al, byte_ptr, cr0, cr2, cr3, cr4, dword_ptr, eax, ebx, ecx, edi, edx, ptr};

const PF: u8 = 14;
const WP: u32 = 1 << 16;
const PG: u32 = 1 << 31;
const PSE: u32 = 1 << 4;
const PAE: u32 = 1 << 5;
/// EFER and its NXE.
const EFER: u32 = 0xc000_0080;
const NXE: u32 = 1 << 11;
/// Table entries: present, writable, user, accessed, dirty, large.
const P: u32 = 1;
const RW: u32 = 2;
const US: u32 = 4;
const A: u32 = 0x20;
const D: u32 = 0x40;
const PS: u32 = 0x80;
/// The entry that is tried, and an address in its page.
const ENTRY: u32 = at::TABLE + (at::PAGE >> 12) * 4;
const PLACE: u32 = at::PAGE + 0x123;

pub(super) fn stages(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x25, "32-bit paging: permissions, accessed and dirty, CR2")?;
    tables(part)?;
    code! { part.a => mov(eax, at::DIRECTORY); mov(cr3, eax); mov(eax, cr4); or(eax, PSE); mov(cr4, eax); mov(eax, cr0); or(eax, PG); mov(cr0, eax); }
    for present in [false, true] {
        for bits in 0..32u32 {
            let (user_page, writable, protect) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
            let (user, write) = (bits & 8 != 0, bits & 16 != 0);
            if present || bits & 7 == 7 {
                let entry = if present { P } else { 0 }
                    | if writable { RW } else { 0 }
                    | if user_page { US } else { 0 };
                let allowed = present
                    && if user { user_page && (writable || !write) } else { writable || !write || !protect };
                access(part, entry, protect, user, write, allowed)?;
            }
        }
    }
    changed(part)?;
    large(part)?;
    pae(part)?;
    // Paging off again.
    code! { part.a => mov(eax, cr0); and(eax, !(PG | WP)); mov(cr0, eax); mov(eax, cr4); and(eax, !(PAE | PSE)); mov(cr4, eax); }
    Ok(())
}

/// 4 KiB pages for the first MiB onto itself, and at 4 MiB a large page onto 0.
fn tables(part: &mut Part) -> Result<(), IcedError> {
    code! { part.a => mov(edi, at::DIRECTORY); xor(eax, eax); mov(ecx, 0x2000 / 4); }
    part.a.rep().stosd()?;
    code! { part.a => mov(edi, at::TABLE); mov(eax, P | RW | US); mov(ecx, 256); }
    let each = part.here()?;
    let again = part.label(each);
    code! { part.a =>
        stosd(); add(eax, 0x1000); loop_(again);
        mov(dword_ptr(at::DIRECTORY), at::TABLE | P | RW | US);
        mov(dword_ptr(at::DIRECTORY + 4), P | RW | US | PS);
    }
    Ok(())
}

/// One access with one entry: it works and leaves its bits, or faults with its error code and address.
fn access(
    part: &mut Part,
    entry: u32,
    protect: bool,
    user: bool,
    write: bool,
    allowed: bool,
) -> Result<(), IcedError> {
    flat(part)?;
    code! { part.a => mov(dword_ptr(ENTRY), at::PAGE | entry); invlpg(ptr(PLACE)); mov(eax, cr0); and(eax, !WP); }
    if protect {
        part.a.or(eax, WP)?;
    }
    code! { part.a => mov(cr0, eax); xor(eax, eax); mov(cr2, eax); }
    let touch = |part: &mut Part| {
        if write { part.a.mov(byte_ptr(PLACE), al) } else { part.a.mov(al, byte_ptr(PLACE)) }
    };
    if allowed {
        if user {
            let expected = to_user(part, 0)?;
            touch(part)?;
            to_kernel(part, &expected)?;
        } else {
            part.check()?;
            touch(part)?;
        }
        return part.word_is(ENTRY, at::PAGE | entry | A | if write { D } else { 0 });
    }
    let expected = if user { to_user(part, 0)? } else { part.expect()? };
    touch(part)?;
    let error = entry & P | if write { 2 } else { 0 } | if user { 4 } else { 0 };
    part.raised_anywhere(&expected, PF, error)?;
    code! { part.a => mov(eax, cr2); }
    part.eax_is(PLACE)
}

/// Emits code.
type Emit = fn(&mut Part) -> Result<(), IcedError>;

/// Another page in the same place: seen after INVLPG, after CR3 was loaded, and after paging was off.
fn changed(part: &mut Part) -> Result<(), IcedError> {
    let other = at::PAGE + 0x1000;
    let offset = PLACE - at::PAGE;
    part.check()?;
    part.word_is(at::DIRECTORY, at::TABLE | P | RW | US | A)?;
    flat(part)?;
    code! { part.a => mov(dword_ptr(ENTRY), at::PAGE | P | RW); invlpg(ptr(PLACE)); mov(dword_ptr(PLACE), 1); mov(dword_ptr(other + offset), 2); }
    let by_invlpg = |part: &mut Part| part.a.invlpg(ptr(PLACE));
    let by_cr3 = |part: &mut Part| {
        code! { part.a => mov(eax, cr3); mov(cr3, eax); }
        Ok(())
    };
    let by_cr0 = |part: &mut Part| {
        code! { part.a => mov(eax, cr0); and(eax, !PG); mov(cr0, eax); or(eax, PG); mov(cr0, eax); }
        Ok(())
    };
    let ways: [(u32, u32, Emit); 3] = [(other, 2, by_invlpg), (at::PAGE, 1, by_cr3), (other, 2, by_cr0)];
    for (page, value, way) in ways {
        part.check()?;
        code! { part.a => mov(eax, dword_ptr(PLACE)); mov(dword_ptr(ENTRY), page | P | RW); }
        way(part)?;
        part.word_is(PLACE, value)?;
    }
    Ok(())
}

/// Through the large page to low memory, with its own accessed and dirty bits.
fn large(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x26, "4 MiB pages")?;
    part.check()?;
    let at_entry = at::DIRECTORY + 4;
    code! { part.a => mov(eax, dword_ptr(0x40_0000 + at::SCRATCH)); }
    part.word_is(at_entry, P | RW | US | PS | A)?;
    code! { part.a => mov(dword_ptr(0x40_0000 + at::SCRATCH), 0x1357_9bdf); }
    part.word_is(at::SCRATCH, 0x1357_9bdf)?;
    part.word_is(at_entry, P | RW | US | PS | A | D)?;
    // Beyond it there is nothing.
    let expected = part.expect()?;
    part.a.mov(eax, dword_ptr(0x80_0000))?;
    part.raised(expected, PF, 0)
}

/// Three levels; 2 MiB pages; no-execute.
fn pae(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x27, "PAE and no-execute")?;
    code! { part.a =>
        mov(eax, cr0); and(eax, !PG); mov(cr0, eax);
        mov(edi, at::PAE_PDPT); xor(eax, eax); mov(ecx, 0x2000 / 4);
    }
    part.a.rep().stosd()?;
    code! { part.a =>
        mov(dword_ptr(at::PAE_PDPT), at::PAE_DIRECTORY | P);
        mov(dword_ptr(at::PAE_DIRECTORY), P | RW | US | PS);
        mov(dword_ptr(at::PAE_DIRECTORY + 8), P | RW | US | PS); mov(dword_ptr(at::PAE_DIRECTORY + 12), 0x8000_0000u32);
        mov(ecx, EFER); rdmsr(); or(eax, NXE); wrmsr();
        mov(eax, cr4); or(eax, PAE); mov(cr4, eax); mov(eax, at::PAE_PDPT); mov(cr3, eax);
        mov(eax, cr0); or(eax, PG); mov(cr0, eax);
    }
    part.check()?;
    code! { part.a => mov(dword_ptr(at::SCRATCH), 0x2468_ace0); mov(eax, dword_ptr(0x20_0000 + at::SCRATCH)); }
    part.eax_is(0x2468_ace0)?;
    code! { part.a => mov(ebx, 0x20_0000 + at::SCRATCH); mov(edx, ebx); }
    let expected = part.expect()?;
    part.a.jmp(ebx)?;
    part.raised_anywhere(&expected, PF, 0x11)?;
    part.word_is(at::FAULT_IP, 0x20_0000 + at::SCRATCH)?;
    // A reserved bit of a large page.
    code! { part.a => mov(dword_ptr(at::PAE_DIRECTORY + 8), P | RW | US | PS | 1 << 15); invlpg(ptr(0x20_0000)); }
    let expected = part.expect()?;
    part.a.mov(eax, dword_ptr(0x20_0000))?;
    part.raised(expected, PF, 9)?;
    code! { part.a => mov(ecx, EFER); rdmsr(); and(eax, !NXE); wrmsr(); }
    Ok(())
}
