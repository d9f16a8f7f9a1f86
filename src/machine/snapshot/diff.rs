//! What two snapshots differ in: registers and fields by path, pages by address, with the guest's name for the place.

use super::Snapshot;
use super::leaves::leaves;
use crate::error::Error;
use crate::view::symbols::Symbols;
use emu_core::{Gpa, PAGE_SIZE};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// One thing in which two snapshots differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Where: `nic.regs.rctl`.
    pub path: String,
    /// In the first; `None` if only the second has it.
    pub a: Option<String>,
    /// In the second.
    pub b: Option<String>,
}

/// A page in which two snapshots differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageDifference {
    /// The page.
    pub page: Gpa,
    /// The first byte that differs.
    pub first: Gpa,
    /// How many bytes do.
    pub bytes: usize,
    /// That byte in both.
    pub values: [u8; 2],
    /// What the guest calls the place, if that is known.
    pub name: Option<String>,
}

/// All in which two snapshots differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Fields of the scenario and of every part.
    pub fields: Vec<Field>,
    /// Pages.
    pub pages: Vec<PageDifference>,
}

impl Difference {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.pages.is_empty()
    }

    /// Names the places in pages by symbols of physical addresses.
    pub fn name_pages(&mut self, symbols: &Symbols) {
        for page in &mut self.pages {
            page.name = symbols.name(page.first.0);
        }
    }
}

/// Fields in which two states differ, in the order in which states are written; what only the second has comes last.
pub(crate) fn fields(prefix: &str, a: &impl Serialize, b: &impl Serialize) -> Vec<Field> {
    let (a, b) = (leaves(prefix, a), leaves(prefix, b));
    let of_b: BTreeMap<&str, &str> = b.iter().map(|(path, value)| (&path[..], &value[..])).collect();
    let of_a: BTreeSet<&str> = a.iter().map(|(path, _)| &path[..]).collect();
    let changed = a.iter().filter_map(|(path, value)| {
        let other = of_b.get(&path[..]).copied();
        (other != Some(value)).then(|| Field {
            path: path.clone(),
            a: Some(value.clone()),
            b: other.map(str::to_owned),
        })
    });
    let new = b.iter().filter(|(path, _)| !of_a.contains(&path[..]));
    let new = new.map(|(path, value)| Field { path: path.clone(), a: None, b: Some(value.clone()) });
    changed.chain(new).collect()
}

/// Compares two snapshots.
pub fn diff(a: &mut Snapshot, b: &mut Snapshot) -> Result<Difference, Error> {
    let (of_a, of_b) = (&a.state, &b.state);
    let mut all = fields("scenario", &of_a.scenario, &of_b.scenario);
    all.extend(fields("rom", &of_a.rom, &of_b.rom));
    all.extend(fields("watched", &of_a.watched, &of_b.watched));
    all.extend(fields("", &of_a.parts, &of_b.parts));
    Ok(Difference { fields: all, pages: pages(a, b)? })
}

/// Pages in which they differ, by address.
fn pages(a: &mut Snapshot, b: &mut Snapshot) -> Result<Vec<PageDifference>, Error> {
    let mut left = BTreeMap::new();
    a.each_page(|page, bytes| {
        left.insert(page, bytes.to_vec());
    })?;
    let zeros = vec![0; PAGE_SIZE as usize];
    let mut found = Vec::new();
    b.each_page(|page, bytes| {
        let ours = left.remove(&page);
        found.extend(page_difference(page, ours.as_deref().unwrap_or(&zeros), bytes));
    })?;
    found.extend(left.iter().filter_map(|(page, bytes)| page_difference(*page, bytes, &zeros)));
    found.sort_by_key(|difference| difference.page);
    Ok(found)
}

fn page_difference(page: Gpa, a: &[u8], b: &[u8]) -> Option<PageDifference> {
    let differs = |at: &usize| a[*at] != b[*at];
    let first = (0..a.len().min(b.len())).find(differs)?;
    let bytes = (first..a.len().min(b.len())).filter(differs).count();
    Some(PageDifference {
        page,
        first: page.plus(first as u64),
        bytes,
        values: [a[first], b[first]],
        name: None,
    })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.fields.iter().map(|field| field.path.len()).max().unwrap_or(0).min(48);
        for Field { path, a, b } in &self.fields {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            writeln!(f, "{path:width$}  {} -> {}", side(a), side(b))?;
        }
        for PageDifference { page, first, bytes, values: [a, b], name } in &self.pages {
            let name = name.as_ref().map_or_else(String::new, |name| format!("  {name}"));
            writeln!(
                f,
                "page {:#x}  {bytes} bytes, the first at {:#x}: {a:02x} -> {b:02x}{name}",
                page.0, first.0
            )?;
        }
        Ok(())
    }
}
