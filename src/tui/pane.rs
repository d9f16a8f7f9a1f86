//! What the panes show: the same views as `glassbox inspect`, and for the line that is chosen the same words as `glassbox explain`.

use super::drive::Drive;
use crate::view::symbols::Symbols;
use crate::view::table::{Section, View};
use crate::view::{bits, explain};

/// A part of the machine that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pane {
    /// The processor and its code.
    Cpu,
    /// The network card and its rings.
    Card,
    /// The VT-d unit.
    Iommu,
    /// Local APIC, I/O APIC and 8259.
    Interrupts,
    /// What the guest has sent to its serial port.
    Serial,
    /// What is going to happen, and the small chips.
    Rest,
}

impl Pane {
    /// All, in the order of their keys.
    pub(super) const ALL: [Self; 6] =
        [Self::Cpu, Self::Card, Self::Iommu, Self::Interrupts, Self::Serial, Self::Rest];

    /// Its title.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Cpu => "CPU",
            Self::Card => "NIC",
            Self::Iommu => "IOMMU",
            Self::Interrupts => "Interrupts",
            Self::Serial => "Serial",
            Self::Rest => "Chips",
        }
    }

    /// Its lines at this moment.
    pub(super) fn lines(self, drive: &Drive, symbols: &Symbols) -> Vec<Line> {
        let machine = drive.machine();
        let mut lines = Vec::new();
        match self {
            Self::Cpu => {
                // The code about to run comes first: it is what a step changes.
                let view = machine.show_cpu_with(symbols);
                let mut sections: Vec<&Section> = view.sections().collect();
                sections.rotate_right(1);
                for section in sections {
                    add_section(&mut lines, section, None);
                }
            }
            Self::Card => add(&mut lines, &machine.show_e1000(), Some("e1000")),
            Self::Iommu => add(&mut lines, &machine.show_iommu(), Some("iommu")),
            Self::Interrupts => {
                add(&mut lines, &machine.show_apic(), Some("lapic"));
                add(&mut lines, &machine.show_ioapic(), Some("ioapic"));
                add(&mut lines, &machine.show_pic(), None);
            }
            Self::Serial => {
                let plain = |text| Line { text, is_title: false, words: Vec::new() };
                lines.extend(drive.said().lines().into_iter().map(plain));
            }
            Self::Rest => {
                for view in [
                    machine.show_events(),
                    machine.show_pci(),
                    machine.show_pit(),
                    machine.show_rtc(),
                    machine.show_uart(),
                    machine.show_acpi(),
                    machine.show_kbc(),
                ] {
                    add(&mut lines, &view, None);
                }
            }
        }
        lines
    }
}

/// A line of a pane.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) is_title: bool,
    /// What it is, for the one that is chosen.
    words: Vec<String>,
}

impl Line {
    /// What it is, in words: of a register every bit, else the line itself, cell by cell.
    pub(super) fn words(&self) -> &[String] {
        &self.words
    }
}

/// Adds a view's lines; `chip` is what `explain` calls its registers' chip.
fn add(lines: &mut Vec<Line>, view: &View, chip: Option<&str>) {
    for section in view.sections() {
        add_section(lines, section, chip);
    }
}

fn add_section(lines: &mut Vec<Line>, section: &Section, chip: Option<&str>) {
    if !section.title().is_empty() {
        lines.push(Line { text: section.title().to_owned(), is_title: true, words: Vec::new() });
    }
    let chip = chip.filter(|_| section.has_registers());
    for (text, row) in section.lines().zip(section.rows()) {
        lines.push(Line { text, is_title: false, words: words(chip, row) });
    }
}

/// Registers are `place`, `name`, `value`, `meaning`.
fn words(chip: Option<&str>, row: &[String]) -> Vec<String> {
    let cells = || row.iter().filter(|cell| !cell.is_empty()).cloned().collect();
    let (Some(chip), [place, name, value, ..]) = (chip, row) else { return cells() };
    let number = value.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    if chip == "ioapic" && name.starts_with("RTE") {
        let told = number.map_or_else(String::new, bits::redirection);
        return vec![format!("I/O APIC entry {}, {value}", &name[3..]), told];
    }
    match explain::register(&format!("{chip}.{place}"), number) {
        Ok(told) => {
            let meaning = row.get(3).filter(|meaning| !meaning.is_empty()).cloned();
            told.lines().map(|line| line.trim_start().to_owned()).chain(meaning).collect()
        }
        Err(_) => cells(),
    }
}
