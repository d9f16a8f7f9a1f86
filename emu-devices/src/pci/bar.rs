//! Base address registers: what they ask for, and the windows they open. PCI Local Bus 3.0, 6.2.5.

use super::spec;

/// Base address registers of a type 0 header.
pub const BARS: usize = 6;

/// What a BAR asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarKind {
    /// Memory below 4 GiB, not prefetchable.
    Memory32,
    /// Memory anywhere, not prefetchable; takes two registers.
    Memory64,
    /// I/O ports.
    Io,
}

/// One BAR of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bar {
    pub(super) index: u8,
    pub(super) kind: BarKind,
    pub(super) size: u64,
}

impl Bar {
    pub(super) fn offset(&self) -> u16 {
        spec::BAR0 + u16::from(self.index) * 4
    }

    pub(super) fn last_index(&self) -> u8 {
        self.index + u8::from(self.kind == BarKind::Memory64)
    }

    /// Address bits below this are the type bits.
    pub(super) fn min_size(&self) -> u64 {
        match self.kind {
            BarKind::Memory32 | BarKind::Memory64 => 16,
            BarKind::Io => 4,
        }
    }

    pub(super) fn type_bits(&self) -> u32 {
        match self.kind {
            BarKind::Memory32 => 0,
            BarKind::Memory64 => spec::BAR_64,
            BarKind::Io => spec::BAR_IO,
        }
    }

    pub(super) fn window(&self, base: u64) -> Window {
        let space = match self.kind {
            BarKind::Memory32 | BarKind::Memory64 => Space::Memory,
            BarKind::Io => Space::Io,
        };
        Window { bar: self.index, space, base, size: self.size }
    }
}

/// Which of the two address spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// Memory.
    Memory,
    /// I/O ports.
    Io,
}

/// A range of addresses that a function answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The BAR's number, or the chip's own number for a window that no BAR opens.
    pub bar: u8,
    /// Memory or ports.
    pub space: Space,
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Window {
    /// Offset of `address` inside the window, if it lies there.
    #[must_use]
    pub fn offset_of(&self, space: Space, address: u64) -> Option<u64> {
        (space == self.space).then(|| address.wrapping_sub(self.base)).filter(|offset| *offset < self.size)
    }
}

/// What a function decodes, by window number.
pub type Windows = [Option<Window>; BARS];
