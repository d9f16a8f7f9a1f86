//! What a search has found, for people.

use crate::machine::snapshot::diff::{Field, fields};
use crate::machine::{Parts, Stop};
use crate::position::Position;
use crate::view::text;
use emu_core::trace::TraceRecord;
use std::fmt;

/// Where two runs part.
#[derive(Clone, Debug)]
pub struct Finding {
    /// After so many instructions both are the same.
    pub insns: u64,
    /// The next one, which is the first that leaves them different; or what happens before it does.
    pub instruction: String,
    /// Parts that differ from the start and were not compared.
    pub ignored: Vec<String>,
    /// The first machine before that instruction.
    pub before: Parts,
    /// Both after it.
    pub after: [Parts; 2],
    /// Whether one of them ended there.
    pub stops: [Stop; 2],
    /// The first record of each that the other has not, if there is any.
    pub records: [Option<TraceRecord>; 2],
    /// What led to the first's, the oldest first.
    pub causes: Vec<TraceRecord>,
}

/// Differing fields shown at most.
const FIELDS_MAX: usize = 40;

const GPRS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

impl Finding {
    /// Fields in which the machines differ after that instruction.
    #[must_use]
    pub fn fields(&self) -> Vec<Field> {
        let is_ignored = |field: &Field| {
            let part = field.path.split(['.', '[']).next().unwrap_or_default();
            self.ignored.iter().any(|name| name == part)
        };
        let [a, b] = &self.after;
        let mut fields = fields("", a, b);
        fields.retain(|field| !is_ignored(field));
        fields
    }

    fn write_registers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.after;
        writeln!(f, "\nregisters      {:<18}  {:<18}  {:<18}", "before", "A after", "B after")?;
        let mut row = |name: &str, values: [u64; 3]| {
            let mark = if values[1] == values[2] { "" } else { "  <--" };
            let [before, a, b] = values.map(|value| format!("{value:#x}"));
            writeln!(f, "{name:>12}   {before:<18}  {a:<18}  {b:<18}{mark}")
        };
        for (nth, name) in GPRS.iter().enumerate() {
            row(name, [self.before.cpu.gprs[nth], a.cpu.gprs[nth], b.cpu.gprs[nth]])?;
        }
        row("rip", [self.before.cpu.rip, a.cpu.rip, b.cpu.rip])?;
        row("rflags", [self.before.cpu.rflags, a.cpu.rflags, b.cpu.rflags])?;
        row("cr3", [self.before.cpu.cr3, a.cpu.cr3, b.cpu.cr3])?;
        row("time, ps", [self.before.cpu.now.0, a.cpu.now.0, b.cpu.now.0])
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Position::Time(self.before.cpu.now);
        writeln!(f, "the same until insns={} {time} record={}", self.insns, self.before.tracer.next_id)?;
        writeln!(f, "then           {}", self.instruction)?;
        if !self.ignored.is_empty() {
            writeln!(f, "not compared   {}: they differ from the start", self.ignored.join(", "))?;
        }
        for (side, stop) in ["A", "B"].iter().zip(&self.stops) {
            if *stop != Stop::Reached {
                writeln!(f, "{side} ends there by {}", stop.name())?;
            }
        }
        self.write_registers(f)?;
        let fields = self.fields();
        writeln!(f, "\nfields that differ after it")?;
        for Field { path, a, b } in fields.iter().take(FIELDS_MAX) {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            writeln!(f, "  {path}  {} | {}", side(a), side(b))?;
        }
        match fields.len() {
            0 => writeln!(f, "  none: they differ in memory or in what they told")?,
            count if count > FIELDS_MAX => writeln!(f, "  and {} more", count - FIELDS_MAX)?,
            _ => {}
        }
        writeln!(f, "\nfirst record that differs")?;
        for (side, record) in ["A", "B"].iter().zip(&self.records) {
            match record {
                Some(record) => writeln!(f, "  {side} {}", text::line(record))?,
                None => writeln!(f, "  {side} none")?,
            }
        }
        if !self.causes.is_empty() {
            writeln!(f, "\nwhat led to it")?;
            for record in &self.causes {
                writeln!(f, "    {}", text::line(record))?;
            }
        }
        Ok(())
    }
}
