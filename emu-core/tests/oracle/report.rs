//! Both processors side by side; a failing case made small and told.

use crate::case::{Bits, CODE, Case, Outcome, State, WRITABLE_LEN, X87State};
use crate::compare::differences;
use crate::guest::Guest;
use crate::native::Native;
use iced_x86::{FastFormatter, Instruction};
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
        Ok(Self { native: Native::new()?, guest: Guest::new() })
    }

    /// Whether the host's kernel lets programs run such code.
    pub(crate) fn host_runs(&mut self, bits: Bits) -> bool {
        const NOP: u8 = 0x90;
        let state = State {
            gprs: [0; 16],
            rip: CODE,
            rflags: 0x202,
            ymm: [[0; 2]; 16],
            mxcsr: 0x1f80,
            x87: X87State::INIT,
        };
        let case = Case { bits, state, code: vec![NOP], memory: vec![0; WRITABLE_LEN] };
        self.native.run(&case).vector == 3
    }

    /// Runs a case on both.
    pub(crate) fn try_case(&mut self, insn: &Instruction, case: &Case, all_flags: bool) -> Verdict {
        let host = self.native.run(case);
        let ours = self.guest.run(case);
        let differences = differences(insn, case.bits, &host, &ours, all_flags);
        Verdict { faulted: host.vector != 3, differences, host }
    }

    /// A failing case, made as simple as it can be while it still fails.
    pub(crate) fn explain(&mut self, index: u64, insn: &Instruction, case: &Case, all_flags: bool) -> String {
        let mut small = case.clone();
        let mut keep = |change: &dyn Fn(&mut Case), machines: &mut Self| {
            let mut simpler = small.clone();
            change(&mut simpler);
            if !machines.try_case(insn, &simpler, all_flags).differences.is_empty() {
                small = simpler;
            }
        };
        keep(&|case| case.memory.fill(0), self);
        keep(&|case| case.state.rflags = 0x202, self);
        for n in 0..16 {
            // A branch must not be led into its own bytes, and RSP stays in the sandbox.
            if n != 4 && insn.flow_control() == iced_x86::FlowControl::Next {
                keep(&|case| case.state.gprs[n] = 0, self);
            }
        }
        let verdict = self.try_case(insn, &small, all_flags);
        tell(index, insn, &small, &verdict)
    }
}

fn tell(index: u64, insn: &Instruction, case: &Case, verdict: &Verdict) -> String {
    let mut assembly = String::new();
    FastFormatter::new().format(insn, &mut assembly);
    let mut text =
        format!("case {index}: {assembly}    {:?} in {:?}    {:02x?}\n", insn.code(), case.bits, case.code);
    let state = &case.state;
    let _ = writeln!(text, "  rip {:#x} rflags {:#x}", state.rip, state.rflags);
    let x87 = &state.x87;
    let _ = writeln!(text, "  fcw {:#x} fsw {:#x} ftw {:#x}", x87.control, x87.status, x87.valid);
    let [st0, st1, ..] = x87.st;
    let _ = writeln!(text, "  st0 {st0:#x} st1 {st1:#x} mxcsr {:#x}", state.mxcsr);
    let nonzero = state.gprs.iter().enumerate().filter(|(_, value)| **value != 0);
    let list: Vec<String> = nonzero.map(|(n, value)| format!("gpr{n}={value:#x}")).collect();
    let _ = writeln!(text, "  {}", list.join(" "));
    let _ = writeln!(text, "  host: vector {} rip {:#x}", verdict.host.vector, verdict.host.state.rip);
    for difference in &verdict.differences {
        let _ = writeln!(text, "  {difference}");
    }
    text
}
