//! The floating-point oracle: SSE and x87 arithmetic run on the host's processor and on ours from the same bytes, on operands
//! that cancel, align, round halfway and meet at the edges of their formats; every result and every flag must be equal.
//!
//! `tests/oracle` tries every instruction and every fault a little; this one tries arithmetic much. Each program loads a
//! state, executes one instruction and stores the state, so the x87 unit's unmasked exceptions are compared too: FNSAVE
//! takes them away before they are raised. SSE's are masked here and left to `tests/oracle`. Functions that processors
//! approximate are compared with `reference.txt`, which was made with numbers of 500 bits and more. SSE4.2's comparisons of
//! strings are here because their interesting cases are as rare by chance; and when all these instructions may run at all,
//! and how their state is saved.
//!
//! `FLOAT_ORACLE_SEED` and `FLOAT_ORACLE_CASES` choose the run.

#![allow(clippy::expect_used, reason = "a sandbox that cannot be built fails the test")]

mod area;
mod available;
mod extended_state;
mod guest;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod host;
mod machine;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod operands;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod pairs;
mod reference;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[path = "../oracle/rng.rs"]
mod rng;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod sse;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod strings;
mod x87;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod x87_compare;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compared {
    use crate::area::{Area, Program};
    use crate::guest::Guest;
    use crate::host::Host;
    use crate::rng::Rng;
    use crate::{operands, sse, strings, x87_compare};

    /// Cases of the quick suite, of each unit.
    const CASES: u64 = 200_000;
    const SEED: u64 = 0x0f10_a7ed;
    /// Failures that are told.
    const FAILURES_MAX: usize = 12;

    fn setting(name: &str, default: u64) -> u64 {
        std::env::var(name).map_or(default, |text| text.parse().expect("a decimal number"))
    }

    /// Runs every program on both processors in turn; `fill` makes the state before, `differences` compares those after.
    fn check(
        unit: &str,
        programs: &[Program],
        fill: fn(&Program, &mut Rng) -> Area,
        differences: fn(&Program, &Area, [&Area; 2]) -> Vec<String>,
    ) {
        let (seed, cases) = (setting("FLOAT_ORACLE_SEED", SEED), setting("FLOAT_ORACLE_CASES", CASES));
        println!("{unit}: {cases} cases of {} instructions, FLOAT_ORACLE_SEED={seed}", programs.len());
        let host = Host::new(programs).expect("a sandbox in this process");
        let mut guest = Guest::new(programs);
        let mut failures: Vec<(usize, String)> = Vec::new();
        for index in 0..cases {
            let which = (index % programs.len() as u64) as usize;
            let program = &programs[which];
            let before = fill(program, &mut Rng::new(seed, index));
            let (mut native, mut ours) = (before, before);
            host.run(which, &mut native);
            guest.run(which, &mut ours);
            let lines = differences(program, &before, [&native, &ours]);
            if !lines.is_empty() && failures.iter().all(|(seen, _)| *seen != which) {
                let told = format!("case {index}, {}:\n  {}\n", program.name, lines.join("\n  "));
                failures.push((which, told + &format!("  before {before:02x?}\n")));
                if failures.len() >= FAILURES_MAX {
                    break;
                }
            }
        }
        let told: String = failures.iter().map(|(_, text)| text.as_str()).collect();
        assert!(failures.is_empty(), "FLOAT_ORACLE_SEED={seed}\n{told}");
    }

    #[test]
    fn sse_computes_what_the_host_does() {
        check("SSE", &sse::programs(), sse::fill, sse::differences);
    }

    #[test]
    fn strings_compare_as_on_the_host() {
        let programs = strings::programs();
        if programs.is_empty() {
            println!("strings: skipped, the host has no SSE4.2");
            return;
        }
        check("strings", &programs, strings::fill, strings::differences);
    }

    #[test]
    fn the_x87_unit_computes_what_the_host_does() {
        check("x87", &x87_compare::programs(), operands::x87_state, x87_compare::differences);
    }
}
