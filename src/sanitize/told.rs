//! All that a sanitizer has to say at the end of a run, as text and as JSON.

use super::{Sanitizer, Severity};
use crate::view::symbols::Symbols;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// It.
#[derive(Clone, Debug, PartialEq)]
pub struct Sanitized {
    /// For people.
    pub text: String,
    /// One object: `errors`, `windows`, `notes`, `findings`, `faults`.
    pub json: Value,
    /// Findings that are errors.
    pub errors: usize,
}

impl Sanitized {
    /// In the words of the guest's symbols.
    #[must_use]
    pub fn new(sanitizer: &Sanitizer, symbols: &Symbols) -> Self {
        let findings = sanitizer.findings().all();
        let of = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
        let [errors, windows, notes] = [Severity::Error, Severity::Window, Severity::Note].map(of);
        let mut text = format!(
            "IOMMU sanitizer: {}, {}, {}\n",
            counted(errors, "error"),
            counted(windows, "window"),
            counted(notes, "note")
        );
        for finding in &findings {
            // Writing to a String cannot fail.
            let _ = write!(text, "\n{}", finding.to_text(symbols));
        }
        for fault in sanitizer.faults() {
            let _ = write!(text, "\n{}", fault.to_text(symbols));
        }
        let json = json!({
            "errors": errors,
            "windows": windows,
            "notes": notes,
            "findings": findings.iter().map(|finding| finding.to_json(symbols)).collect::<Vec<_>>(),
            "faults": sanitizer.faults().iter().map(|fault| fault.to_json(symbols)).collect::<Vec<_>>(),
        });
        Self { text, json, errors }
    }
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
