//! The 93C46 serial EEPROM: 64 words, read word by word through EERD, or by software that wiggles its four wires
//! through EECD. Manual 13.4.3, 13.4.4 and chapter 5 (what the words mean); National NM93C46 datasheet (the protocol).

use super::{E1000, Token, spec};
use emu_core::device::DeviceCtx;
use serde::{Deserialize, Serialize};

/// Words of a 93C46.
const EEPROM_WORDS: usize = 64;
/// What all words add up to (manual 5.6, word 3Fh).
const CHECKSUM: u16 = 0xbaba;
/// Word of the checksum.
const CHECKSUM_WORD: usize = 0x3f;

/// A program operation that starts when chip select falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Program {
    /// Writes a word.
    Write {
        /// Which.
        address: u8,
        /// What.
        value: u16,
    },
    /// Writes every word.
    WriteAll {
        /// What.
        value: u16,
    },
}

/// Where in a microwire command the EEPROM is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Microwire {
    /// Waits for a start bit.
    #[default]
    Idle,
    /// Takes opcode and address: 8 bits.
    Command {
        /// Bits so far.
        bits: u8,
        /// How many.
        count: u8,
    },
    /// Shifts out words.
    Reading {
        /// The next word.
        address: u8,
        /// What is left of this one, next bit at the top.
        shift: u16,
        /// How many bits are left.
        left: u8,
    },
    /// Takes the 16 data bits of a write.
    Writing {
        /// The command's 8 bits.
        command: u8,
        /// Bits so far.
        bits: u16,
        /// How many.
        count: u8,
    },
    /// Waits for chip select to fall.
    Armed(Program),
    /// The command is over.
    Over,
}

/// The EEPROM and its interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eeprom {
    /// The 64 words.
    pub words: Vec<u16>,
    /// EECD as software wrote it: SK, CS, DI, FWE and REQ.
    pub eecd: u32,
    /// Level of the data output.
    pub data_out: bool,
    /// Where the protocol is.
    pub microwire: Microwire,
    /// EWEN was given.
    pub write_enabled: bool,
    /// A word is being programmed.
    pub busy: bool,
    /// EERD.
    pub eerd: u32,
}

impl Eeprom {
    /// As the factory leaves it for a card of this address: the words that drivers read, and a right checksum.
    pub(super) fn new(mac: [u8; 6]) -> Self {
        let mut words = vec![0xffff; EEPROM_WORDS];
        for (word, pair) in words.iter_mut().zip(mac.chunks_exact(2)) {
            *word = u16::from_le_bytes([pair[0], pair[1]]);
        }
        // Section 5.6: no compatibility quirks, identification words valid and loaded (signature 01b), full duplex
        // default, both PAUSE directions, no wake-up.
        words[0x03] = 0x0000;
        words[0x08] = 0x0000;
        words[0x09] = 0x0000;
        words[0x0a] = 0x4403;
        words[0x0b] = 0x001e;
        words[0x0c] = 0x8086;
        words[0x0d] = 0x100e;
        words[0x0e] = 0x8086;
        words[0x0f] = 0x3000;
        words[0x24] = 0x0000;
        let sum = words[..CHECKSUM_WORD].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
        words[CHECKSUM_WORD] = CHECKSUM.wrapping_sub(sum);
        Self {
            words,
            eecd: 0,
            data_out: true,
            microwire: Microwire::Idle,
            write_enabled: false,
            busy: false,
            eerd: 0,
        }
    }

    /// The card's reset: the interface, not the words.
    pub(super) fn reset_interface(&mut self) {
        self.eecd = 0;
        self.eerd = 0;
        self.microwire = Microwire::Idle;
        self.data_out = true;
    }

    fn word(&self, address: u8) -> u16 {
        self.words.get(usize::from(address & 0x3f)).copied().unwrap_or(0xffff)
    }

    /// The station address in the first three words.
    pub(super) fn mac(&self) -> [u8; 6] {
        let mut mac = [0; 6];
        for (index, pair) in mac.chunks_exact_mut(2).enumerate() {
            pair.copy_from_slice(&self.word(index as u8).to_le_bytes());
        }
        mac
    }

    pub(super) fn eecd(&self) -> u32 {
        let granted = if self.eecd & spec::EECD_REQ != 0 { spec::EECD_GNT } else { 0 };
        let out = if self.data_out { spec::EECD_DO } else { 0 };
        self.eecd | granted | out | spec::EECD_PRES
    }

    /// Software drives the wires, if it asked for them. Answers a programming to start.
    fn write_eecd(&mut self, value: u32) -> Option<Program> {
        let wires = spec::EECD_SK | spec::EECD_CS | spec::EECD_DI;
        let before = self.eecd;
        let kept = if value & spec::EECD_REQ != 0 { wires } else { 0 };
        self.eecd = value & (kept | spec::EECD_FWE | spec::EECD_REQ);
        let rose = |bit| before & bit == 0 && self.eecd & bit != 0;
        if self.eecd & spec::EECD_CS == 0 {
            let program = match self.microwire {
                Microwire::Armed(program) if before & spec::EECD_CS != 0 => Some(program),
                _ => None,
            };
            self.microwire = Microwire::Idle;
            self.data_out = true;
            return program;
        }
        if rose(spec::EECD_CS) {
            self.data_out = !self.busy;
        }
        if rose(spec::EECD_SK) {
            self.clock(self.eecd & spec::EECD_DI != 0);
        }
        None
    }

    /// One rising edge of the clock with chip select high.
    fn clock(&mut self, data: bool) {
        self.microwire = match self.microwire {
            Microwire::Idle if data && !self.busy => Microwire::Command { bits: 0, count: 0 },
            Microwire::Idle => Microwire::Idle,
            Microwire::Command { bits, count } => {
                let bits = bits << 1 | u8::from(data);
                if count < 7 { Microwire::Command { bits, count: count + 1 } } else { self.command(bits) }
            }
            Microwire::Reading { address, shift, left } => {
                let (address, shift, left) = if left == 0 {
                    ((address + 1) & 0x3f, self.word((address + 1) & 0x3f), 16)
                } else {
                    (address, shift, left)
                };
                self.data_out = shift & 0x8000 != 0;
                Microwire::Reading { address, shift: shift << 1, left: left - 1 }
            }
            Microwire::Writing { command, bits, count } => {
                let bits = bits << 1 | u16::from(data);
                if count < 15 {
                    Microwire::Writing { command, bits, count: count + 1 }
                } else {
                    self.armed(command, bits)
                }
            }
            Microwire::Armed(_) | Microwire::Over => Microwire::Over,
        };
    }

    /// Opcode and address are complete.
    fn command(&mut self, command: u8) -> Microwire {
        let address = command & 0x3f;
        match (command >> 6, address >> 4) {
            (0b10, _) => {
                // The dummy bit that precedes the data.
                self.data_out = false;
                Microwire::Reading { address, shift: self.word(address), left: 16 }
            }
            (0b01, _) | (0b00, 0b01) => Microwire::Writing { command, bits: 0, count: 0 },
            (0b11, _) => self.armed(0b01 << 6 | address, 0xffff),
            (_, 0b10) => self.armed(0b01 << 4, 0xffff),
            (_, enable) => {
                self.write_enabled = enable == 0b11;
                Microwire::Over
            }
        }
    }

    fn armed(&self, command: u8, value: u16) -> Microwire {
        if !self.write_enabled {
            Microwire::Over
        } else if command >> 6 == 0b01 {
            Microwire::Armed(Program::Write { address: command & 0x3f, value })
        } else {
            Microwire::Armed(Program::WriteAll { value })
        }
    }

    fn program(&mut self, program: Program) {
        match program {
            Program::Write { address, value } => {
                if let Some(word) = self.words.get_mut(usize::from(address)) {
                    *word = value;
                }
            }
            Program::WriteAll { value } => self.words.fill(value),
        }
    }

    /// Whether the state is one that a run can leave.
    pub(super) fn is_sound(&self) -> bool {
        let protocol = match self.microwire {
            Microwire::Command { count, .. } => count < 8,
            Microwire::Reading { address, left, .. } => address < 64 && left <= 16,
            Microwire::Writing { count, .. } => count < 16,
            Microwire::Armed(Program::Write { address, .. }) => address < 64,
            Microwire::Armed(Program::WriteAll { .. }) | Microwire::Idle | Microwire::Over => true,
        };
        protocol && self.words.len() == EEPROM_WORDS
    }
}

impl E1000 {
    pub(super) fn write_eecd(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        if let Some(program) = self.eeprom.write_eecd(value) {
            self.eeprom.program(program);
            self.eeprom.busy = true;
            ctx.after(self.config.timing.eeprom_write, Token::EepromWritten as u32);
        }
    }

    /// The programmed word has settled.
    pub(super) fn eeprom_written(&mut self) {
        self.eeprom.busy = false;
        if self.eeprom.eecd & spec::EECD_CS != 0 && self.eeprom.microwire == Microwire::Idle {
            self.eeprom.data_out = true;
        }
    }

    pub(super) fn write_eerd(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.eeprom.eerd = value & 0xff00;
        if value & spec::EERD_START != 0 {
            self.eeprom.eerd |= spec::EERD_START;
            ctx.cancel(Token::EepromRead as u32);
            ctx.after(self.config.timing.eeprom_word, Token::EepromRead as u32);
        }
    }

    /// The word that EERD asked for is there.
    pub(super) fn eerd_done(&mut self) {
        let address = (self.eeprom.eerd >> 8) as u8;
        let data = if usize::from(address) < EEPROM_WORDS { self.eeprom.word(address) } else { 0xffff };
        self.eeprom.eerd = u32::from(data) << 16 | u32::from(address) << 8 | spec::EERD_DONE;
    }

    /// The card has read its EEPROM after a reset: the station address is in place.
    pub(super) fn load_eeprom(&mut self) {
        let mac = self.eeprom.mac();
        self.tables.ra[0] = u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]);
        self.tables.ra[1] = u32::from(mac[4]) | u32::from(mac[5]) << 8 | spec::RAH_AV;
    }
}
