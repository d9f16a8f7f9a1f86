//! Both processors side by side; a failing case made small and told.

use crate::case::{BREAKPOINT, Bits, CODE, Case, Outcome, Segments, State, Trial, WRITABLE_LEN};
use crate::compare::differences;
use crate::guest::Guest;
use crate::native::{self, Native};
use iced_x86::FastFormatter;
use std::fmt::Write;

/// The host's processor and ours.
pub(crate) struct Machines {
    native: Native,
    guest: Guest,
}

/// What came of a case.
pub(crate) struct Verdict {
    /// It ended in something else than the breakpoint behind it.
    pub(crate) faulted: bool,
    /// Empty if all is well.
    pub(crate) differences: Vec<String>,
    host: Outcome,
}

impl Machines {
    /// Both.
    pub(crate) fn new() -> Result<Self, String> {
        Ok(Self { native: Native::new()?, guest: Guest::new(native::cpu_number()) })
    }

    /// Whether the host's kernel lets programs run such code.
    pub(crate) fn host_runs(&mut self, bits: Bits) -> bool {
        const NOP: u8 = 0x90;
        let case = Case { bits, state: State::blank(CODE), code: vec![NOP], memory: vec![0; WRITABLE_LEN] };
        self.native.run(&case).vector == BREAKPOINT
    }

    /// A new processor of ours: what the old one has decoded of millions of cases makes it slow.
    pub(crate) fn renew(&mut self) {
        self.guest = Guest::new(native::cpu_number());
    }

    /// Runs a trial on both.
    pub(crate) fn run(&mut self, trial: &Trial, all_flags: bool) -> Verdict {
        let host = self.native.run(&trial.case);
        let ours = self.guest.run(&trial.case);
        let differences = differences(trial, &host, &ours, all_flags);
        Verdict { faulted: host.vector != BREAKPOINT, differences, host }
    }

    /// A failing trial, made as simple as it can be while it still fails.
    pub(crate) fn explain(&mut self, index: u64, trial: &Trial, all_flags: bool) -> String {
        let mut small = trial.clone();
        let mut keep = |change: &dyn Fn(&mut Case), machines: &mut Self| {
            let mut simpler = small.clone();
            change(&mut simpler.case);
            if !machines.run(&simpler, all_flags).differences.is_empty() {
                small = simpler;
            }
        };
        keep(&|case| case.memory.fill(0), self);
        keep(&|case| case.state.rflags = 0x202, self);
        for n in 0..16 {
            // A branch must not be led into its own bytes, and RSP stays in the sandbox.
            if n != 4 && trial.insns[0].flow_control() == iced_x86::FlowControl::Next {
                keep(&|case| case.state.gprs[n] = 0, self);
            }
        }
        while small.insns.len() > 1 {
            let mut shorter = small.clone();
            let last = shorter.insns.pop().map_or(0, |insn| insn.len());
            shorter.undefined.pop();
            shorter.case.code.truncate(shorter.case.code.len() - last);
            if self.run(&shorter, all_flags).differences.is_empty() {
                break;
            }
            small = shorter;
        }
        let verdict = self.run(&small, all_flags);
        tell(index, &small, &verdict)
    }
}

fn tell(index: u64, trial: &Trial, verdict: &Verdict) -> String {
    let case = &trial.case;
    let mut text = format!("case {index} in {:?}\n", case.bits);
    for insn in &trial.insns {
        let mut assembly = String::new();
        FastFormatter::new().format(insn, &mut assembly);
        let at = (insn.ip() - case.state.rip) as usize;
        let bytes = &case.code[at..case.code.len().min(at + insn.len())];
        let _ = writeln!(text, "  {assembly}    {:?} {bytes:02x?}", insn.code());
    }
    let state = &case.state;
    let _ = writeln!(text, "  rip {:#x} rflags {:#x}", state.rip, state.rflags);
    let x87 = &state.x87;
    let _ = writeln!(text, "  fcw {:#x} fsw {:#x} ftw {:#x}", x87.control, x87.status, x87.valid);
    let [st0, st1, ..] = x87.st;
    let _ = writeln!(text, "  st0 {st0:#x} st1 {st1:#x} mxcsr {:#x}", state.mxcsr);
    let Segments { selectors, bases: [fs, gs] } = state.segments;
    let _ = writeln!(text, "  es ss ds fs gs {selectors:x?} fs base {fs:#x} gs base {gs:#x}");
    let nonzero = state.gprs.iter().enumerate().filter(|(_, value)| **value != 0);
    let list: Vec<String> = nonzero.map(|(n, value)| format!("gpr{n}={value:#x}")).collect();
    let _ = writeln!(text, "  {}", list.join(" "));
    let _ = writeln!(text, "  host: vector {} rip {:#x}", verdict.host.vector, verdict.host.state.rip);
    for difference in &verdict.differences {
        let _ = writeln!(text, "  {difference}");
    }
    text
}
