//! The ROM as it is put together: code by the assembler, tables and texts at fixed offsets before it, the reset vector at its
//! end.

use super::SIZE;
use iced_x86::code_asm::{AsmMemoryOperand, CodeAssembler, CodeLabel, bp, byte_ptr, sp};
use iced_x86::{BlockEncoderOptions, IcedError};

/// Offsets of what is not code.
pub(super) mod at {
    /// IP, CS, SP and the data segments of what is started.
    pub(in super::super) const START: u16 = 0x0000;
    /// Memory above 1 MiB, in KiB: service 88h.
    pub(in super::super) const EXTENDED_KIB: u16 = 0x0008;
    /// Between 1 and 16 MiB, in KiB, and above, in 64 KiB: service E801h.
    pub(in super::super) const BELOW_16M_KIB: u16 = 0x000a;
    pub(in super::super) const ABOVE_16M_64KIB: u16 = 0x000c;
    pub(in super::super) const E820_COUNT: u16 = 0x000e;
    pub(in super::super) const E820: u16 = 0x0010;
    pub(in super::super) const E820_ENTRY: u16 = 20;
    pub(in super::super) const E820_MAX: u16 = 32;
    /// Offsets of the 256 interrupt handlers.
    pub(in super::super) const VECTORS: u16 = 0x0400;
    /// Texts, each ending in 0.
    pub(in super::super) const TEXTS: u16 = 0x0600;
    pub(in super::super) const CODE: u16 = 0x1000;
    /// Where software that knows nothing better jumps to restart the machine, and what lies behind.
    pub(in super::super) const RESET: u16 = 0xfff0;
    pub(in super::super) const DATE: u16 = 0xfff5;
    pub(in super::super) const MODEL: u16 = 0xfffe;
}

/// Instructions one after the other, as `mnemonic(operands);`.
macro_rules! code {
    ($a:expr => $($name:ident($($operand:expr),* $(,)?);)*) => {
        { $($a.$name($($operand),*)?;)* }
    };
}
pub(super) use code;

/// How a service tells its caller whether it worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carry {
    Clear,
    Set,
    /// Nobody asks.
    AsBefore,
}

/// The ROM while code is added to it.
pub(super) struct Rom {
    pub(super) a: CodeAssembler,
    vectors: Vec<(u8, CodeLabel)>,
    /// What answers a vector that nothing is installed at.
    unused: CodeLabel,
    texts: Vec<u8>,
}

/// The ROM when all of it is there, but for the tables.
pub(super) struct Image {
    pub(super) bytes: Vec<u8>,
    code: iced_x86::code_asm::CodeAssemblerResult,
}

impl Image {
    pub(super) fn offset_of(&self, label: &CodeLabel) -> Result<u16, IcedError> {
        Ok(self.code.label_ip(label)? as u16)
    }
}

impl Rom {
    pub(super) fn new() -> Result<Self, IcedError> {
        let mut a = CodeAssembler::new(16)?;
        let mut unused = a.create_label();
        code! { a => set_label(&mut unused); iret(); }
        Ok(Self { a, vectors: Vec::new(), unused, texts: Vec::new() })
    }

    /// A label at the next instruction.
    pub(super) fn here(&mut self) -> Result<CodeLabel, IcedError> {
        let mut label = self.a.create_label();
        self.a.set_label(&mut label)?;
        Ok(label)
    }

    /// The next instruction is what answers that interrupt.
    pub(super) fn handler(&mut self, vector: u8) -> Result<CodeLabel, IcedError> {
        let label = self.here()?;
        self.vectors.push((vector, label));
        Ok(label)
    }

    /// What answers that interrupt.
    pub(super) fn vector(&mut self, vector: u8, label: CodeLabel) {
        self.vectors.push((vector, label));
    }

    /// A text to print; answers where it is.
    pub(super) fn text(&mut self, text: &str) -> u32 {
        let offset = usize::from(at::TEXTS) + self.texts.len();
        self.texts.extend_from_slice(text.as_bytes());
        self.texts.push(0);
        offset as u32
    }

    /// A service's first instructions: a frame in which [`caller_flags`] are found.
    pub(super) fn enter(&mut self) -> Result<(), IcedError> {
        code! { self.a => push(bp); mov(bp, sp); }
        Ok(())
    }

    /// A service's last instructions.
    pub(super) fn leave(&mut self, carry: Carry) -> Result<(), IcedError> {
        match carry {
            Carry::Clear => self.a.and(caller_flags(), 0xfe)?,
            Carry::Set => self.a.or(caller_flags(), 1)?,
            Carry::AsBefore => {}
        }
        code! { self.a => pop(bp); iret(); }
        Ok(())
    }

    /// Everything in its place.
    pub(super) fn finish(mut self, reset: CodeLabel) -> Result<Image, IcedError> {
        let options = BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS;
        let code = self.a.assemble_options(u64::from(at::CODE), options)?;
        let mut image = Image { bytes: vec![0; SIZE], code };
        let mut set = |offset: u16, bytes: &[u8]| {
            let offset = usize::from(offset);
            image.bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        assert!(self.texts.len() <= usize::from(at::CODE - at::TEXTS), "texts run into the code");
        set(at::TEXTS, &self.texts);
        set(at::CODE, &image.code.inner.code_buffer);
        for vector in 0..=255 {
            let installed = self.vectors.iter().rfind(|(number, _)| *number == vector);
            let label = installed.map_or(&self.unused, |(_, label)| label);
            let offset = image.code.label_ip(label)? as u16;
            set(at::VECTORS + u16::from(vector) * 2, &offset.to_le_bytes());
        }
        let [low, high] = (image.code.label_ip(&reset)? as u16).to_le_bytes();
        let [segment_low, segment_high] = super::SEGMENT.to_le_bytes();
        set(at::RESET, &[0xea, low, high, segment_low, segment_high]);
        set(at::DATE, b"01/01/26");
        // An AT, as everything since says.
        set(at::MODEL, &[0xfc]);
        Ok(image)
    }
}

/// The low byte of the flags that the caller gets back: carry is its bit 0, zero its bit 6.
pub(super) fn caller_flags() -> AsmMemoryOperand {
    byte_ptr(bp + 6)
}
