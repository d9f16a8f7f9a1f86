//! One 8259A: priorities, initialization and operation commands (8259A data sheet). The pair's wiring is not here.

use super::spec::{
    ICW1, ICW1_LEVEL, ICW1_NEEDS_ICW4, ICW1_SINGLE, ICW4_AUTO_EOI, ICW4_FULLY_NESTED, OCW3, OCW3_ISR,
    OCW3_MASK_MODE, OCW3_POLL, OCW3_READ, OCW3_SPECIAL_MASK, SPURIOUS,
};
use super::state::{ChipState, Stage};
use emu_core::trace::RecordId;

impl ChipState {
    /// Inputs that follow their line.
    fn level_triggered(&self) -> u8 {
        if self.icw1 & ICW1_LEVEL != 0 { 0xff } else { self.elcr }
    }

    /// IRR. An edge must still be high when it is acknowledged.
    pub(super) fn irr(&self) -> u8 {
        self.lines & (self.edges | self.level_triggered())
    }

    /// An input's level.
    pub(super) fn set_line(&mut self, input: u8, high: bool, cause: Option<RecordId>) {
        let bit = 1 << (input & 7);
        let rises = high && self.lines & bit == 0;
        self.lines = if high { self.lines | bit } else { self.lines & !bit };
        if rises {
            self.edges |= bit;
            self.causes[usize::from(input & 7)] = cause;
        } else if !high {
            self.edges &= !bit;
        }
    }

    /// The set of inputs of `set` with the highest priority.
    fn first(&self, set: u8) -> Option<u8> {
        (1..=8).map(|step| (self.lowest + step) & 7).find(|input| set >> input & 1 != 0)
    }

    /// The input that interrupts now, if one does. `cascaded` inputs come from a slave: in special fully nested mode
    /// their being in service does not keep out the slave's more urgent ones.
    pub(super) fn pending(&self, cascaded: u8) -> Option<u8> {
        if self.stage != Stage::Ready {
            return None;
        }
        let input = self.first(self.irr() & !self.imr)?;
        let mut blocking = self.isr;
        if self.special_mask {
            blocking &= !self.imr;
        }
        if self.icw4 & ICW4_FULLY_NESTED != 0 {
            blocking &= !(cascaded & 1 << input);
        }
        let served = self.first(blocking);
        let rank = |input: u8| input.wrapping_sub(self.lowest + 1) & 7;
        served.is_none_or(|served| rank(input) < rank(served)).then_some(input)
    }

    /// The acknowledge cycle for `input`.
    pub(super) fn enter_service(&mut self, input: u8) {
        self.edges &= !(1 << input);
        if self.icw4 & ICW4_AUTO_EOI == 0 {
            self.isr |= 1 << input;
        } else if self.rotate_on_auto_eoi {
            self.lowest = input;
        }
    }

    /// The vector of an input.
    pub(super) const fn vector(&self, input: u8) -> u8 {
        self.base | input
    }

    /// A write to the command port.
    pub(super) fn write_command(&mut self, value: u8) {
        if value & ICW1 != 0 {
            self.initialize(value);
        } else if value & OCW3 != 0 {
            if value & OCW3_READ != 0 {
                self.read_isr = value & OCW3_ISR != 0;
            }
            if value & OCW3_MASK_MODE != 0 {
                self.special_mask = value & OCW3_SPECIAL_MASK != 0;
            }
            self.poll = value & OCW3_POLL != 0;
        } else {
            self.ocw2(value);
        }
    }

    /// ICW1 resets everything but lines and ELCR. Inputs that are high must rise again.
    fn initialize(&mut self, value: u8) {
        *self = Self {
            lines: self.lines,
            elcr: self.elcr,
            causes: self.causes,
            icw1: value,
            base: self.base,
            icw3: self.icw3,
            stage: Stage::Icw2,
            lowest: SPURIOUS,
            ..Self::default()
        };
    }

    /// Ends of interrupts and rotation of priorities: R, SL and EOI in bits 7:5, an input in bits 2:0.
    fn ocw2(&mut self, value: u8) {
        let named = value & 7;
        match value >> 5 {
            0 => self.rotate_on_auto_eoi = false,
            1 => drop(self.end_first()),
            3 => self.isr &= !(1 << named),
            4 => self.rotate_on_auto_eoi = true,
            5 => {
                if let Some(input) = self.end_first() {
                    self.lowest = input;
                }
            }
            6 => self.lowest = named,
            7 => {
                self.isr &= !(1 << named);
                self.lowest = named;
            }
            _ => {}
        }
    }

    /// The non-specific end of interrupt. In special mask mode it passes over masked inputs.
    fn end_first(&mut self) -> Option<u8> {
        let candidates = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let input = self.first(candidates)?;
        self.isr &= !(1 << input);
        Some(input)
    }

    /// A write to the data port: the next initialization word, or the mask.
    pub(super) fn write_data(&mut self, value: u8) {
        let last = |chip: &Self| {
            if chip.icw1 & ICW1_NEEDS_ICW4 != 0 { Stage::Icw4 } else { Stage::Ready }
        };
        match self.stage {
            Stage::Ready => self.imr = value,
            Stage::Icw2 => {
                self.base = value & 0xf8;
                self.stage = if self.icw1 & ICW1_SINGLE != 0 { last(self) } else { Stage::Icw3 };
            }
            Stage::Icw3 => {
                self.icw3 = value;
                self.stage = last(self);
            }
            Stage::Icw4 => {
                self.icw4 = value;
                self.stage = Stage::Ready;
            }
        }
    }
}
