//! Real mode: conditions, strings, arithmetic, shifts, decimals, products, exceptions; unreal mode; then 16-bit protected mode, and
//! on into 32-bit code. Offsets are from F000:0000.

use super::at;
use super::model::{CF, OF, PF, SF, Width, ZF};
use super::part::{Mark, Part, code};
use super::tables::sel;
use super::{forms, products, shifts, strings, sums};
use iced_x86::IcedError;
use iced_x86::code_asm::{
    al, ax, bp, bx, byte_ptr, cl, cr0, cx, di, ds, dword_ptr, dx, eax, ebx, ecx, edx, es, esp, fs, gs, si,
    sp, ss, word_ptr,
};

/// Operands here.
const WIDTHS: [Width; 3] = [Width(8), Width(16), Width(32)];

/// From power-on to 32-bit code.
pub(super) fn build(part: &mut Part) -> Result<(), IcedError> {
    set_up(part)?;
    conditions(part)?;
    flags(part)?;
    loops(part)?;
    forms::stage(part)?;
    strings::stage(part)?;
    part.stage(0x13, "arithmetic in 8, 16 and 32 bits")?;
    sums::arithmetic(part)?;
    part.stage(0x14, "shifts and rotates by all counts")?;
    shifts::by_cl(part, &WIDTHS)?;
    part.stage(0x15, "decimal adjustments")?;
    sums::decimals(part)?;
    part.stage(0x16, "multiplication and division")?;
    products::products(part, &WIDTHS)?;
    divide_errors(part)?;
    frames(part)?;
    exceptions(part)?;
    unreal(part)?;
    protected(part)
}

/// Segments, the RAM image, vectors.
fn set_up(part: &mut Part) -> Result<(), IcedError> {
    let start = part.mark();
    let begin = part.label(start);
    part.a.jmp(begin)?;
    let stubs = handlers(part)?;
    part.set(start)?;
    code! { part.a =>
        cli(); cld(); mov(al, 0xff); out(0x21, al); out(0xa1, al); xor(ax, ax); mov(ss, ax); mov(sp, at::STACK); mov(es, ax);
        mov(ax, 0xe000); mov(ds, ax); mov(fs, ax); xor(si, si); mov(di, at::RAM_IMAGE); mov(cx, at::RAM_IMAGE_LEN);
    }
    part.a.rep().movsb()?;
    code! { part.a => xor(ax, ax); mov(ds, ax); mov(gs, ax); xor(eax, eax); mov(dword_ptr(at::RESUME), eax); }
    for (vector, stub) in (0u32..).zip(stubs) {
        let offset = part.address(stub);
        code! { part.a => mov(word_ptr(vector * 4), offset); mov(word_ptr(vector * 4 + 2), 0xf000); }
    }
    serial(part)
}

/// 115200 baud, 8 bits, no interrupts.
pub(super) fn serial(part: &mut Part) -> Result<(), IcedError> {
    for (port, value) in
        [(0x3f9, 0), (0x3fb, 0x83), (0x3f8, 1), (0x3f9, 0), (0x3fb, 3), (0x3fa, 7), (0x3fc, 3)]
    {
        code! { part.a => mov(dx, port); mov(al, value); out(dx, al); }
    }
    Ok(())
}

/// One for each of 34 vectors; what they have in common records the frame, and goes on where that is expected.
fn handlers(part: &mut Part) -> Result<Vec<Mark>, IcedError> {
    let common = part.mark();
    let (all, fail) = (part.label(common), part.fail);
    let mut stubs = Vec::new();
    for vector in 0..at::VECTORS {
        stubs.push(part.here()?);
        code! { part.a => push(vector as i32); jmp(all); }
    }
    part.set(common)?;
    code! { part.a => cld(); xor(eax, eax); mov(ds, ax); mov(es, ax); mov(dword_ptr(at::ERROR), eax); }
    for place in [at::VECTOR, at::FAULT_IP, at::FAULT_CS, at::FAULT_FLAGS] {
        code! { part.a => pop(ax); mov(dword_ptr(place), eax); }
    }
    code! { part.a => mov(eax, dword_ptr(at::RESUME)); test(ax, ax); jz(fail); mov(esp, dword_ptr(at::SAVED_SP)); jmp(ax); }
    Ok(stubs)
}

/// The sixteen conditions for a set of flags, bit by bit (SDM vol. 1, appendix B).
fn holding(flags: u32) -> u32 {
    let set = |flag| flags & flag != 0;
    let less = set(SF) != set(OF);
    let even = [set(OF), set(CF), set(ZF), set(CF) || set(ZF), set(SF), set(PF), less, less || set(ZF)];
    (0..8).filter(|&pair| even[pair]).fold(0xaaaa, |all, pair| all ^ 3 << (2 * pair))
}

/// Jcc and SETcc for the sixteen conditions, with all 32 states of the flags they look at.
fn conditions(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x10, "conditions, flags, loops")?;
    let fail = part.fail;
    let (table, begin) = (part.mark(), part.mark());
    let start = part.label(begin);
    part.a.jmp(start)?;
    part.set(table)?;
    for state in 0..32u32 {
        let flags = [CF, PF, ZF, SF, OF].iter().enumerate().filter(|(bit, _)| state >> bit & 1 != 0);
        let flags = flags.fold(2, |all, (_, flag)| all | flag);
        part.raw(&(flags as u16).to_le_bytes())?;
        part.raw(&(holding(flags) as u16).to_le_bytes())?;
    }
    part.set(begin)?;
    part.check()?;
    let at_table = part.address(table);
    part.a.mov(si, at_table)?;
    let each = part.here()?;
    code! { part.a => xor(bx, bx); xor(di, di); }
    for condition in 0..16u8 {
        let not = part.mark();
        code! { part.a => push(word_ptr(si).cs()); popf(); }
        // jn(condition) over the OR, and SETcc AL.
        part.raw(&[0x70 | condition ^ 1, 4, 0x81, 0xcb])?;
        part.raw(&(1u16 << condition).to_le_bytes())?;
        part.set(not)?;
        code! { part.a => push(word_ptr(si).cs()); popf(); }
        part.raw(&[0x0f, 0x90 | condition, 0xc0])?;
        code! { part.a => movzx(ax, al); shl(ax, i32::from(condition)); or(di, ax); }
    }
    let again = part.label(each);
    let end = at_table + 32 * 4;
    code! { part.a =>
        cmp(bx, word_ptr(si + 2).cs()); jne(fail); cmp(di, bx); jne(fail);
        add(si, 4); cmp(si, end); jb(again);
    }
    Ok(())
}

/// The instructions whose only operands are flags.
fn flags(part: &mut Part) -> Result<(), IcedError> {
    // What remains of all flags set, or of none, after each: CLC, STC, CMC, CLD, STD, LAHF into AH, SAHF from 0 or from 2Ah.
    let (clc, stc, cmc, cld, std) = (0xf8, 0xf9, 0xf5, 0xfc, 0xfd);
    for (opcode, of_none, of_all) in
        [(clc, 2, 0xcd6), (stc, 3, 0xcd7), (cmc, 3, 0xcd6), (cld, 2, 0x8d7), (std, 0x402, 0xcd7)]
    {
        for (before, after) in [(2, of_none), (0xcd7, of_all)] {
            part.check()?;
            code! { part.a => mov(bx, before); push(bx); popf(); }
            part.raw(&[opcode])?;
            code! { part.a => pushf(); pop(ax); movzx(eax, ax); cld(); }
            part.eax_is(after)?;
        }
    }
    for (before, ah_in, after) in [(0xcd7u32, 0u32, 0xc02u32), (2, 0xff, 0xd7), (0x800, 0x2a, 0x802)] {
        part.check()?;
        code! { part.a => mov(bx, before); mov(eax, ah_in << 8); push(bx); popf(); sahf(); pushf(); pop(ax); movzx(eax, ax); cld(); }
        part.eax_is(after)?;
        part.check()?;
        code! { part.a => xor(eax, eax); push(bx); popf(); lahf(); cld(); }
        part.eax_is((before | 2) << 8 & 0xff00)?;
    }
    Ok(())
}

/// LOOP, LOOPE, LOOPNE, JCXZ, and their counters of 16 and 32 bits.
fn loops(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    // (opcode with prefix, count, ZF while looping, iterations)
    for (opcode, zero, iterations) in
        [(0xe2, false, 5), (0xe1, true, 5), (0xe1, false, 1), (0xe0, true, 1), (0xe0, false, 5)]
    {
        part.check()?;
        code! { part.a => mov(ecx, 0x1_0005); xor(bx, bx); }
        let each = part.here()?;
        code! { part.a => inc(bx); cmp(bx, if zero { bx } else { sp }); }
        branch(part, &[opcode], each)?;
        let left = 0x1_0000 + 5 - iterations;
        code! { part.a => cmp(bx, iterations); jne(fail); cmp(ecx, left); jne(fail); }
    }
    part.check()?;
    let (taken, wrong, counted) = (part.mark(), part.mark(), part.mark());
    let end = part.label(counted);
    part.a.mov(ecx, 0x1_0000)?;
    branch(part, &[0xe3], taken)?;
    part.set(wrong)?;
    part.a.jmp(fail)?;
    part.set(taken)?;
    branch(part, &[0x67, 0xe3], wrong)?;
    part.a.jmp(end)?;
    part.set(counted)
}

/// A short branch whose opcode the assembler would choose otherwise.
fn branch(part: &mut Part, opcode: &[u8], target: Mark) -> Result<(), IcedError> {
    let from = part.here()?;
    let distance =
        part.address(target).wrapping_sub(part.address(from).wrapping_add(opcode.len() as u32 + 1));
    part.raw(&[opcode, &[distance as u8]].concat())
}

/// #DE from divisions and AAM: at the instruction, registers as before.
fn divide_errors(part: &mut Part) -> Result<(), IcedError> {
    let fail = part.fail;
    for insn in [&[0xf6, 0xf1][..], &[0xf7, 0xf9], &[0x66, 0xf7, 0xf1], &[0xd4, 0]] {
        code! { part.a => mov(edx, 0x7fff_ffff); mov(eax, 0x8000_8000u32); mov(ecx, 0); mov(ebx, edx); }
        let expected = part.expect()?;
        part.raw(insn)?;
        part.raised(expected, 0, 0)?;
        code! { part.a => cmp(edx, ebx); jne(fail); }
    }
    // The quotient is too large by one, and just fits.
    code! { part.a => mov(ax, 0x100); mov(cl, 1); }
    let expected = part.expect()?;
    part.raw(&[0xf6, 0xf1])?;
    part.raised(expected, 0, 0)?;
    code! { part.a => mov(ax, 0xff80); mov(cl, 1); }
    part.check()?;
    part.raw(&[0xf6, 0xf9])?;
    code! { part.a => cmp(ax, 0x80); jne(fail); mov(ax, 0xff7f); }
    let expected = part.expect()?;
    part.raw(&[0xf6, 0xf9])?;
    part.raised(expected, 0, 0)
}

/// ENTER with levels, LEAVE, PUSHA, POPA, PUSH SP.
fn frames(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x17, "stack frames")?;
    let fail = part.fail;
    part.check()?;
    code! { part.a => mov(bx, sp); push(sp); pop(ax); cmp(ax, bx); jne(fail); }
    // Frame pointers of outer levels are copied: a display of 1111, 2222 below BP.
    part.check()?;
    code! { part.a => push(0x1111); push(0x2222); mov(bp, sp); add(bp, 4); mov(bx, sp); mov(di, bp); }
    part.raw(&[0xc8, 8, 0, 3])?;
    code! { part.a =>
        lea(cx, word_ptr(bx - 2)); cmp(bp, cx); jne(fail); cmp(word_ptr(bp), di); jne(fail);
        cmp(word_ptr(bp - 2), 0x1111); jne(fail); cmp(word_ptr(bp - 4), 0x2222); jne(fail); cmp(word_ptr(bp - 6), bp); jne(fail);
        lea(cx, word_ptr(bp - 14)); cmp(sp, cx); jne(fail);
        leave(); cmp(sp, bx); jne(fail); cmp(bp, di); jne(fail); add(sp, 4);
    }
    // POPA leaves SP's word out.
    part.check()?;
    code! { part.a =>
        mov(bx, sp); mov(ax, 1); mov(cx, 2); mov(dx, 3); mov(bp, 4); mov(si, 5); mov(di, 6); pusha();
        mov(bp, sp); cmp(word_ptr(bp + 6), bx); jne(fail); mov(word_ptr(bp + 6), 0); mov(word_ptr(bp + 14), 7);
        popa(); cmp(sp, bx); jne(fail); cmp(di, 6); jne(fail); cmp(cx, 2); jne(fail); cmp(bp, 4); jne(fail);
    }
    part.a.movzx(eax, ax)?;
    part.eax_is(7)?;
    // A near return pops its operand too; a far call pushes CS.
    part.check()?;
    let (called, far, over) = (part.mark(), part.mark(), part.mark());
    let (near, beyond) = (part.label(called), part.label(over));
    code! { part.a => mov(bx, sp); push(1); push(2); call(near); cmp(sp, bx); jne(fail); }
    let target = part.address(far);
    part.raw(&[&[0x9a], &(target as u16).to_le_bytes()[..], &[0, 0xf0]].concat())?;
    code! { part.a => cmp(sp, bx); jne(fail); jmp(beyond); }
    part.set(called)?;
    part.a.ret_1(4)?;
    part.set(far)?;
    code! { part.a => mov(bp, sp); cmp(word_ptr(bp + 2), 0xf000); jne(fail); retf(); }
    part.set(over)
}

/// INT, INTO, BOUND, #UD, single step, segment limits.
fn exceptions(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x18, "real-mode interrupts and exceptions")?;
    let fail = part.fail;
    let expected = part.expect()?;
    part.raw(&[0xcd, 0x20])?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    // INTO: only with OF, and as a trap.
    part.check()?;
    code! { part.a => mov(al, 0x7f); add(al, 0); }
    part.raw(&[0xce])?;
    part.a.add(al, 1)?;
    let expected = part.expect()?;
    part.raw(&[0xce])?;
    part.raised_anywhere(&expected, 4, 0)?;
    // BOUND: signed, both limits inclusive, a fault.
    code! { part.a => mov(dword_ptr(0x9000), 0x0005_fffeu32); }
    for (index, inside) in [(-2i32, true), (5, true), (6, false), (-3, false)] {
        code! { part.a => mov(bx, index); }
        if inside {
            part.check()?;
            part.raw(&[0x62, 0x1e, 0, 0x90])?;
        } else {
            let expected = part.expect()?;
            part.raw(&[0x62, 0x1e, 0, 0x90])?;
            part.raised(expected, 5, 0)?;
        }
    }
    for insn in [&[0x0f, 0x0b][..], &[0x63, 0xc0], &[0x0f, 0x00, 0xd0], &[0xf0, 0x40], &[0x8e, 0xc8]] {
        let expected = part.expect()?;
        part.raw(insn)?;
        part.raised(expected, 6, 0)?;
    }
    // TF: the trap comes after the instruction that follows POPF.
    let expected = part.expect()?;
    code! { part.a => push(0x102); popf(); nop(); nop(); }
    part.raised_anywhere(&expected, 1, 0)?;
    code! { part.a => test(byte_ptr(at::FAULT_FLAGS + 1), 1); jz(fail); }
    // A word at FFFF crosses the limit: #GP, or #SS on the stack.
    code! { part.a => mov(bx, 0xffff); mov(bp, bx); }
    let expected = part.expect()?;
    code! { part.a => mov(ax, word_ptr(bx)); }
    part.raised(expected, 13, 0)?;
    let expected = part.expect()?;
    code! { part.a => mov(ax, word_ptr(bp)); }
    part.raised(expected, 12, 0)
}

/// 4 GiB limits in real mode, by way of protected mode.
fn unreal(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x19, "unreal mode")?;
    let fail = part.fail;
    code! { part.a => mov(ebx, 0x10_0000); }
    let expected = part.expect()?;
    part.a.mov(dword_ptr(ebx), 0x1234_5678)?;
    part.raised(expected, 13, 0)?;
    part.check()?;
    lgdt(part)?;
    code! { part.a =>
        mov(eax, cr0); or(al, 1); mov(cr0, eax); mov(cx, u32::from(sel::DATA32)); mov(ds, cx); and(al, 0xfe); mov(cr0, eax);
        xor(cx, cx); mov(ds, cx); mov(ebx, 0x10_0000);
        mov(dword_ptr(ebx), 0x1234_5678); mov(dword_ptr(0), ebx); cmp(dword_ptr(ebx), 0x1234_5678); jne(fail);
    }
    Ok(())
}

fn lgdt(part: &mut Part) -> Result<(), IcedError> {
    part.raw(&[0x66, 0x0f, 0x01, 0x16])?;
    part.raw(&(at::GDTR as u16).to_le_bytes())
}

/// 16-bit protected mode, with CS still based at F0000; a fault through a 16-bit gate; then on to 32 bits.
fn protected(part: &mut Part) -> Result<(), IcedError> {
    part.stage(0x1a, "16-bit protected mode")?;
    let fail = part.fail;
    let (inside, handler) = (part.mark(), part.mark());
    let target = part.address(inside);
    let address = part.address(handler);
    let gates = at::IDT;
    // All that is expected is #GP, through a 16-bit interrupt gate.
    let low = u32::from(sel::CODE16) << 16 | address & 0xffff;
    code! { part.a => mov(di, gates + 13 * 8); mov(dword_ptr(di), low); mov(dword_ptr(di + 4), 0x8600); }
    part.raw(&[0x66, 0x0f, 0x01, 0x1e])?;
    part.raw(&(at::IDTR as u16).to_le_bytes())?;
    code! { part.a => mov(eax, cr0); or(al, 1); mov(cr0, eax); }
    part.jump_far(sel::CODE16, target)?;
    part.set(handler)?;
    code! { part.a => pop(ax); movzx(eax, ax); mov(dword_ptr(at::ERROR), eax); pop(ax); movzx(eax, ax); mov(dword_ptr(at::FAULT_IP), eax);
        mov(dword_ptr(at::VECTOR), 13); mov(eax, dword_ptr(at::RESUME)); test(ax, ax); jz(fail);
        mov(esp, dword_ptr(at::SAVED_SP)); jmp(ax);
    }
    part.set(inside)?;
    part.check()?;
    code! { part.a => mov(ax, u32::from(sel::DATA16)); mov(ds, ax); mov(es, ax); mov(ss, ax); mov(sp, at::STACK); smsw(ax); test(al, 1); jz(fail); }
    // Beyond the 64 KiB limit, into code, through a null selector, and a selector beyond the table.
    code! { part.a => mov(ebx, 0x1_0000); }
    let expected = part.expect()?;
    part.a.mov(al, byte_ptr(ebx))?;
    part.raised(expected, 13, 0)?;
    let expected = part.expect()?;
    part.a.mov(byte_ptr(0).cs(), al)?;
    part.raised(expected, 13, 0)?;
    code! { part.a => xor(ax, ax); mov(es, ax); }
    let expected = part.expect()?;
    part.a.mov(al, byte_ptr(0).es())?;
    part.raised(expected, 13, 0)?;
    code! { part.a => mov(ax, 0x7f8); }
    let expected = part.expect()?;
    part.a.mov(es, ax)?;
    part.raised(expected, 13, 0x7f8)?;
    let [a, b, c, d] = at::CODE32_BASE.to_le_bytes();
    let [e, f] = sel::CODE32.to_le_bytes();
    part.raw(&[0x66, 0xea, a, b, c, d, e, f])
}

/// Back in real mode, which is the last stage.
pub(super) fn build_back(part: &mut Part) -> Result<(), IcedError> {
    // Entered in 16-bit protected mode at the part's start; paging is off and LME clear.
    let real = part.mark();
    let target = part.address(real);
    code! { part.a => mov(ax, u32::from(sel::DATA16)); mov(ds, ax); mov(es, ax); mov(ss, ax); mov(fs, ax); mov(gs, ax); }
    code! { part.a => mov(eax, cr0); and(al, 0xfe); mov(cr0, eax); }
    part.jump_far(0xf000, target)?;
    part.set(real)?;
    code! { part.a => xor(ax, ax); mov(ds, ax); mov(es, ax); mov(ss, ax); mov(sp, at::STACK); }
    part.stage(0x40, "real mode again")?;
    part.raw(&[0x0f, 0x01, 0x1e])?;
    part.raw(&(at::REAL_IDTR as u16).to_le_bytes())?;
    let fail = part.fail;
    part.check()?;
    // The vector table is as the first stage left it: INT 20h answers in the first part, which resumes where it is told, here.
    code! { part.a => smsw(ax); test(al, 1); jnz(fail); }
    let expected = part.expect()?;
    part.raw(&[0xcd, 0x20])?;
    part.raised_anywhere(&expected, 0x20, 0)?;
    // The limits are 64 KiB again.
    code! { part.a => mov(ebx, 0x10_0000); }
    let expected = part.expect()?;
    part.a.mov(eax, dword_ptr(ebx))?;
    part.raised(expected, 13, 0)?;
    part.say("selftest: passed\r\n")?;
    code! { part.a => mov(al, 0xff); out(0x80, al); xor(eax, eax); }
    part.exit_with_eax()
}
