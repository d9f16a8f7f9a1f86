//! Looking into a stopped machine: registers with their names and meaning, rings, tables, translations. Nothing changes by being
//! looked at.

mod chips;
mod fabric;
mod modules;
mod processor;

use crate::view::table::{REGISTERS, View};
use emu_core::Gpa;
use emu_devices::Register;

use super::Machine;

/// A chip's registers as a section.
fn registers(view: &mut View, title: &str, bits: usize, registers: impl Iterator<Item = Register>) {
    let section = view.section(title, REGISTERS);
    for register in registers {
        section.register(register.offset, &register.name, register.value, bits, &register.meaning);
    }
}

impl Machine {
    /// What is on the screen in text mode: 25 rows of 80 columns.
    #[must_use]
    pub fn show_screen(&self) -> String {
        const BUFFER: Gpa = Gpa(0xb_8000);
        let mut cells = [0; 80 * 25 * 2];
        if self.platform.board.mem.read(BUFFER, &mut cells).is_err() {
            return String::new();
        }
        let mut out = String::new();
        for row in cells.chunks(80 * 2) {
            let characters = row.iter().step_by(2).map(|byte| match byte {
                0x20..0x7f => char::from(*byte),
                0 => ' ',
                _ => '.',
            });
            out.push_str(characters.collect::<String>().trim_end());
            out.push('\n');
        }
        out
    }

    /// Guest memory from a physical address on, 16 bytes a row, as far as there is any.
    #[must_use]
    pub fn show_memory(&self, from: Gpa, len: u64) -> View {
        const ROW: u64 = 16;
        let mut view = View::default();
        let section = view.section(format!("memory from {from}"), &["address", "bytes", "text"]);
        for at in (0..len).step_by(ROW as usize) {
            let (gpa, mut bytes) = (from.plus(at), [0; ROW as usize]);
            let part = &mut bytes[..(len - at).min(ROW) as usize];
            if self.platform.board.mem.read(gpa, part).is_err() {
                section.row([gpa.to_string(), "no memory".to_owned()]);
                break;
            }
            let digits: Vec<String> = part.iter().map(|byte| format!("{byte:02x}")).collect();
            let printable = |byte: &u8| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' };
            section.row([gpa.to_string(), digits.join(" "), part.iter().map(printable).collect()]);
        }
        view
    }
}
