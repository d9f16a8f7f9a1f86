//! A piece of the ROM in one code size: the assembler, marks whose addresses the code itself may use, and what every stage needs:
//! its POST code and line of text, numbered checks, and the way out when one fails.

use super::{Check, Variant, at};
use iced_x86::code_asm::{
    AsmRegister32, CodeAssembler, CodeLabel, ah, al, bl, byte_ptr, cl, dword_ptr, dx, eax, ebx, ecx, esi,
    esp, si,
};
use iced_x86::{BlockEncoderOptions, IcedError};

/// Instructions one after the other, as `mnemonic(operands);`.
macro_rules! code {
    ($a:expr => $($name:ident($($operand:expr),* $(,)?);)*) => {
        { $($a.$name($($operand),*)?;)* }
    };
}
pub(super) use code;

/// A place whose address code can use as a number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark(usize);

/// Where the machine's test ports are: POST codes, the exit device, COM1.
const POST: u32 = 0x80;
const EXIT: i32 = 0xf4;
const COM1: i32 = 0x3f8;
const LSR: i32 = 0x3fd;

/// Code of one size under construction.
pub(super) struct Part {
    pub(super) a: CodeAssembler,
    /// Jumped to when a check fails.
    pub(super) fail: CodeLabel,
    /// Prints the text at CS:SI, or ESI.
    print: CodeLabel,
    marks: Vec<CodeLabel>,
    known: Vec<u32>,
    base: u32,
    variant: Variant,
    current: Check,
}

/// What was assembled.
pub(super) struct Made<T> {
    pub(super) bytes: Vec<u8>,
    /// What the builder answered: addresses for others.
    pub(super) answer: T,
}

/// Assembles what `build` emits for `base`, twice: the second time marks have their addresses.
pub(super) fn assemble<T>(
    bits: u32,
    base: u32,
    variant: &Variant,
    build: impl Fn(&mut Part) -> Result<T, IcedError>,
) -> Result<Made<T>, IcedError> {
    let mut known = Vec::new();
    loop {
        let mut a = CodeAssembler::new(bits)?;
        let (fail, print) = (a.create_label(), a.create_label());
        let current = Check { stage: 0, number: 0 };
        let variant = variant.clone();
        let mut part = Part { a, fail, print, marks: Vec::new(), known, base, variant, current };
        let answer = build(&mut part)?;
        part.routines()?;
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let result = part.a.assemble_options(u64::from(base), options)?;
        let addresses: Result<Vec<u32>, IcedError> =
            part.marks.iter().map(|mark| Ok(result.label_ip(mark)? as u32)).collect();
        let addresses = addresses?;
        if addresses == part.known {
            return Ok(Made { bytes: result.inner.code_buffer, answer });
        }
        known = addresses;
    }
}

impl Part {
    /// A mark to be set later.
    pub(super) fn mark(&mut self) -> Mark {
        self.marks.push(self.a.create_label());
        Mark(self.marks.len() - 1)
    }

    /// The mark is at the next instruction.
    pub(super) fn set(&mut self, mark: Mark) -> Result<(), IcedError> {
        self.a.set_label(&mut self.marks[mark.0])?;
        // An instruction holds one label at most, and several marks may be at one place.
        self.a.zero_bytes()
    }

    /// A mark at the next instruction.
    pub(super) fn here(&mut self) -> Result<Mark, IcedError> {
        let mark = self.mark();
        self.set(mark)?;
        Ok(mark)
    }

    /// The address of a mark: in the first pass, one that is encoded as long.
    pub(super) fn address(&self, mark: Mark) -> u32 {
        self.known.get(mark.0).copied().unwrap_or(self.base | 0x1234)
    }

    /// The same as a label, for branches.
    pub(super) fn label(&self, mark: Mark) -> CodeLabel {
        self.marks[mark.0]
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) -> Result<(), IcedError> {
        self.a.db(bytes)
    }

    /// Entries one after the other, which execution passes over.
    pub(super) fn table(&mut self, entries: impl Iterator<Item = Vec<u8>>) -> Result<Mark, IcedError> {
        let over = self.mark();
        let behind = self.label(over);
        self.a.jmp(behind)?;
        let begin = self.here()?;
        for entry in entries {
            self.raw(&entry)?;
        }
        self.set(over)?;
        Ok(begin)
    }

    /// Calls what was written to [`at::SNIPPET`], with no register changed: far in 16-bit code, near in 64-bit code.
    pub(super) fn call_snippet(&mut self) -> Result<(), IcedError> {
        let [low, high, ..] = at::SNIPPET.to_le_bytes();
        if self.a.bitness() == 16 {
            return self.raw(&[0x9a, low, high, 0, 0]);
        }
        self.a.call(u64::from(at::SNIPPET))
    }

    /// A far jump whose offset is 32 bits wide in 32-bit code, 16 in 16-bit code.
    pub(super) fn jump_far(&mut self, selector: u16, offset: u32) -> Result<(), IcedError> {
        let mut bytes = vec![0xea];
        bytes.extend(&offset.to_le_bytes()[..self.a.bitness() as usize / 8]);
        bytes.extend(selector.to_le_bytes());
        self.raw(&bytes)
    }

    /// A stage begins: its code at the POST port, its line on COM1.
    pub(super) fn stage(&mut self, code: u8, text: &str) -> Result<(), IcedError> {
        self.current = Check { stage: code, number: 0 };
        code! { self.a =>
            mov(byte_ptr(at::STAGE), u32::from(code)); mov(al, u32::from(code)); out(POST, al);
        }
        self.say(&format!("{code:02x} {text}\r\n"))
    }

    /// Prints. Only flags and segments survive.
    pub(super) fn say(&mut self, text: &str) -> Result<(), IcedError> {
        let (string, over) = (self.mark(), self.mark());
        let (target, address, print) = (self.label(over), self.address(string), self.print);
        if self.a.bitness() == 16 {
            self.a.mov(si, address & 0xffff)?;
        } else {
            self.a.mov(esi, address)?;
        }
        code! { self.a => call(print); jmp(target); }
        self.set(string)?;
        self.raw(text.as_bytes())?;
        self.raw(&[0])?;
        self.set(over)
    }

    /// The next check begins; registers and flags stay.
    pub(super) fn check(&mut self) -> Result<(), IcedError> {
        self.current.number += 1;
        self.a.mov(dword_ptr(at::CHECK), u32::from(self.current.number))
    }

    /// Whether the current check is left out.
    fn skips(&self) -> bool {
        self.variant.skip.contains(&self.current)
    }

    /// What is compared with: another number where the variant asks for a wrong one.
    fn wanted(&self, value: u32) -> u32 {
        if self.variant.wrong == Some(self.current) { !value } else { value }
    }

    /// Fails unless equal. Flags are lost.
    pub(super) fn word_is(&mut self, address: u32, value: u32) -> Result<(), IcedError> {
        if !self.skips() {
            let (fail, value) = (self.fail, self.wanted(value));
            code! { self.a => cmp(dword_ptr(address), value); jne(fail); }
        }
        Ok(())
    }

    /// Fails unless EAX has that value.
    pub(super) fn eax_is(&mut self, value: u32) -> Result<(), IcedError> {
        self.register_is(eax, value)
    }

    /// Fails unless the register has that value.
    pub(super) fn register_is(&mut self, register: AsmRegister32, value: u32) -> Result<(), IcedError> {
        if !self.skips() {
            let (fail, value) = (self.fail, self.wanted(value));
            code! { self.a => cmp(register, value); jne(fail); }
        }
        Ok(())
    }

    /// Ends the run: the exit status is the code, doubled, plus one.
    pub(super) fn exit_with_eax(&mut self) -> Result<(), IcedError> {
        let mark = self.mark();
        let stay = self.label(mark);
        code! { self.a => mov(dx, EXIT); out(dx, eax); cli(); }
        self.set(mark)?;
        code! { self.a => hlt(); jmp(stay); }
        Ok(())
    }

    /// The failure's way out: "FAIL stage:check", what the last exception was, and the exit code.
    fn routines(&mut self) -> Result<(), IcedError> {
        let number = self.mark();
        let hex = self.label(number);
        let mut fail = self.fail;
        self.a.set_label(&mut fail)?;
        self.a.zero_bytes()?;
        let words = [
            ("FAIL ", at::STAGE, 2),
            (":", at::CHECK, 4),
            (", last exception ", at::VECTOR, 2),
            (" error ", at::ERROR, 4),
            (" at ", at::FAULT_CS, 4),
            (":", at::FAULT_IP, 8),
        ];
        for (text, address, digits) in words {
            self.say(text)?;
            code! { self.a => mov(ebx, dword_ptr(address)); mov(ecx, digits); call(hex); }
        }
        self.say("\r\n")?;
        code! { self.a => mov(eax, dword_ptr(at::CHECK)); shl(eax, 8); or(eax, dword_ptr(at::STAGE)); }
        self.exit_with_eax()?;
        // ECX digits of EBX, the last ones.
        self.set(number)?;
        let each = self.mark();
        let again = self.label(each);
        code! { self.a => mov(eax, ecx); shl(cl, 2); ror(ebx, cl); mov(ecx, eax); }
        self.set(each)?;
        let low = self.mark();
        let put = self.label(low);
        code! { self.a => rol(ebx, 4); mov(al, bl); and(al, 15); add(al, 0x30); cmp(al, 0x3a); jb(put); add(al, 0x27); }
        self.set(low)?;
        self.put_al()?;
        code! { self.a => dec(ecx); jnz(again); ret(); }
        let mut print = self.print;
        self.a.set_label(&mut print)?;
        self.a.zero_bytes()?;
        let (each, done) = (self.mark(), self.mark());
        let (again, end) = (self.label(each), self.label(done));
        self.set(each)?;
        if self.a.bitness() == 16 {
            code! { self.a => mov(al, byte_ptr(si).cs()); inc(si); }
        } else {
            code! { self.a => mov(al, byte_ptr(esi)); inc(esi); }
        }
        code! { self.a => test(al, al); jz(end); }
        self.put_al()?;
        self.a.jmp(again)?;
        self.set(done)?;
        self.a.ret()?;
        Ok(())
    }

    /// Sends AL to COM1 when the line is ready. DX is lost.
    fn put_al(&mut self) -> Result<(), IcedError> {
        let wait = self.here()?;
        let again = self.label(wait);
        code! { self.a =>
            mov(ah, al); mov(dx, LSR); in_(al, dx); test(al, 0x20); jz(again);
            mov(al, ah); mov(dx, COM1); out(dx, al);
        }
        Ok(())
    }

    /// What the next instruction raises is expected: [`Self::raised`] must follow it.
    pub(super) fn expect(&mut self) -> Result<Expected, IcedError> {
        self.check()?;
        let (resume, insn) = (self.mark(), self.mark());
        let address = self.address(resume);
        code! { self.a => mov(dword_ptr(at::RESUME), address); mov(dword_ptr(at::SAVED_SP), esp); }
        self.set(insn)?;
        Ok(Expected { resume, insn })
    }

    /// The instruction just emitted has raised that vector with that error code at itself, else the check fails.
    pub(super) fn raised(&mut self, expected: Expected, vector: u8, error: u32) -> Result<(), IcedError> {
        self.raised_anywhere(&expected, vector, error)?;
        let insn = self.address(expected.insn);
        self.word_is(at::FAULT_IP, insn)
    }

    /// The same wherever the return address points.
    pub(super) fn raised_anywhere(
        &mut self,
        expected: &Expected,
        vector: u8,
        error: u32,
    ) -> Result<(), IcedError> {
        if !self.skips() {
            let fail = self.fail;
            self.a.jmp(fail)?;
        }
        self.set(expected.resume)?;
        self.a.mov(dword_ptr(at::RESUME), 0)?;
        self.word_is(at::VECTOR, u32::from(vector))?;
        self.word_is(at::ERROR, error)
    }
}

/// An exception that is about to happen.
pub(super) struct Expected {
    resume: Mark,
    insn: Mark,
}
