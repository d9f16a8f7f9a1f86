//! What `inspect` shows: sections of rows under named columns, as text or as JSON.

use serde_json::{Map, Value, json};
use std::fmt;

/// A view of a part of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    sections: Vec<Section>,
}

/// Rows under columns. A column without a name is not there in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    title: String,
    columns: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

/// The columns of a list of registers.
pub const REGISTERS: &[&str] = &["place", "name", "value", "meaning"];

/// The columns of a list of facts.
pub const FACTS: &[&str] = &["name", "value"];

impl View {
    /// Opens a section.
    pub fn section(&mut self, title: impl Into<String>, columns: &'static [&'static str]) -> &mut Section {
        self.sections.push(Section { title: title.into(), columns, rows: Vec::new() });
        let last = self.sections.len() - 1;
        &mut self.sections[last]
    }

    /// Its sections, in order.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }

    /// One sentence.
    #[must_use]
    pub fn remark(words: &str) -> Self {
        let mut view = Self::default();
        view.section(words, FACTS);
        view
    }

    /// What is different in another view of the same kind: rows that only this has are marked `-`, those that only the other has
    /// `+`. Sections without a difference are left out.
    #[must_use]
    pub fn diff(&self, other: &Self) -> Self {
        let mut view = Self::default();
        let titles: Vec<&String> = self.sections.iter().map(|section| &section.title).collect();
        let new = other.sections.iter().filter(|section| !titles.contains(&&section.title));
        for section in self.sections.iter().chain(new) {
            let rows_of = |view: &Self| -> Vec<Vec<String>> {
                let found = view.sections.iter().find(|known| known.title == section.title);
                found.map(|found| found.rows.clone()).unwrap_or_default()
            };
            let (ours, theirs) = (rows_of(self), rows_of(other));
            let only = |mark: &str, rows: &[Vec<String>], others: &[Vec<String>]| -> Vec<Vec<String>> {
                let marked = |row: &Vec<String>| {
                    let mut row = row.clone();
                    if let Some(first) = row.first_mut() {
                        first.insert_str(0, mark);
                    }
                    row
                };
                rows.iter().filter(|row| !others.contains(row)).map(marked).collect()
            };
            let mut rows = only("- ", &ours, &theirs);
            rows.extend(only("+ ", &theirs, &ours));
            if !rows.is_empty() {
                view.sections.push(Section { title: section.title.clone(), columns: section.columns, rows });
            }
        }
        if view.sections.is_empty() {
            view.section("no difference", FACTS);
        }
        view
    }

    /// An array of sections: `title`, and `rows` as objects by column.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let row = |columns: &[&str], cells: &[String]| {
            let named = columns.iter().zip(cells).filter(|(_, cell)| !cell.is_empty());
            Value::Object(named.map(|(name, cell)| ((*name).to_owned(), json!(cell))).collect::<Map<_, _>>())
        };
        let section = |section: &Section| {
            let rows: Vec<Value> = section.rows.iter().map(|cells| row(section.columns, cells)).collect();
            json!({"title": section.title, "rows": rows})
        };
        self.sections.iter().map(section).collect()
    }
}

impl Section {
    /// What it is about.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Whether its rows are registers.
    #[must_use]
    pub fn has_registers(&self) -> bool {
        self.columns == REGISTERS
    }

    /// Its rows.
    pub fn rows(&self) -> impl Iterator<Item = &[String]> {
        self.rows.iter().map(Vec::as_slice)
    }

    /// Its rows as lines in which the columns line up.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let width = |column: usize| {
            let lengths = self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            lengths.max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        self.rows.iter().map(move |row| {
            let cells: Vec<String> =
                row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            format!("  {}", cells.join("  ").trim_end())
        })
    }

    /// Adds a row; what is missing at its end is empty.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) -> &mut Self {
        self.rows.push(cells.into());
        self
    }

    /// Adds a fact.
    pub fn fact(&mut self, name: &str, value: impl fmt::Display) -> &mut Self {
        self.row([name.to_owned(), value.to_string()])
    }

    /// Adds a register; its value has as many digits as `bits` need.
    pub fn register(&mut self, place: u64, name: &str, value: u64, bits: usize, meaning: &str) -> &mut Self {
        let value = format!("{value:#0width$x}", width = bits / 4 + 2);
        self.row([format!("{place:#x}"), name.to_owned(), value, meaning.to_owned()])
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, section) in self.sections.iter().enumerate() {
            if !section.title.is_empty() {
                writeln!(f, "{}{}", if at > 0 { "\n" } else { "" }, section.title)?;
            }
            for line in section.lines() {
                writeln!(f, "{line}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_has_the_rows_of_each_side() {
        let view = |domain: &str| {
            let mut view = View::default();
            view.section("same", FACTS).fact("mode", 3);
            view.section("cache", FACTS).fact("way 0", 1).fact("domain", domain);
            view
        };
        assert_eq!(view("1").diff(&view("2")).to_string(), "cache\n  - domain  1\n  + domain  2\n");
        assert_eq!(view("1").diff(&view("1")).to_string(), "no difference\n");
    }

    #[test]
    fn columns_line_up_and_json_has_their_names() {
        let mut view = View::default();
        view.section("registers", REGISTERS)
            .register(8, "STATUS", 3, 32, "FD LU")
            .register(0, "CTRL", 0x41, 32, "");
        view.section("facts", FACTS).fact("mode", 3);
        let text =
            "registers\n  0x8  STATUS  0x00000003  FD LU\n  0x0  CTRL    0x00000041\n\nfacts\n  mode  3\n";
        assert_eq!(view.to_string(), text);
        assert_eq!(
            view.to_json(),
            json!([
                {"title": "registers", "rows": [
                    {"place": "0x8", "name": "STATUS", "value": "0x00000003", "meaning": "FD LU"},
                    {"place": "0x0", "name": "CTRL", "value": "0x00000041"},
                ]},
                {"title": "facts", "rows": [{"name": "mode", "value": "3"}]},
            ])
        );
    }
}
