//! The host-processor oracle: random instructions, alone and in sequences, run on the host and on our processor, and registers, flags,
//! segment bases, memory and faults must be equal. It happens in a process of its own.
//!
//! `ORACLE_SEED` and `ORACLE_CASES` choose the run, `ORACLE_ONLY=imul` the (first) instruction, by the start of iced's name of the
//! code; `ORACLE_ALL_FLAGS=1` also compares flags that the manual leaves undefined. A failure names seed and index.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]
#![allow(clippy::expect_used, reason = "a sandbox that cannot be built fails the test")]

mod case;
mod compare;
mod coverage;
mod generate;
mod guard;
mod guest;
mod native;
mod report;
mod rng;
mod table;

use case::Bits;
use iced_x86::Code;

/// Cases of the quick suite, and of the long one.
const CASES: u64 = 120_000;
const CASES_LONG: u64 = 20_000_000;
const SEED: u64 = 0x61a5_5b0c;
/// Failures that are told, each of another instruction.
const FAILURES_MAX: usize = 12;
/// Our processor is made anew after so many cases.
const RENEWAL: u64 = 20_000;
/// One case in so many is a sequence.
const SEQUENCES: u64 = 3;

#[test]
fn instructions_do_what_the_host_does() {
    guard::run("instructions_do_what_the_host_does", CASES, compare);
}

#[test]
#[ignore = "takes a quarter of an hour"]
fn twenty_million_cases_do_what_the_host_does() {
    guard::run("twenty_million_cases_do_what_the_host_does", CASES_LONG, compare);
}

/// Codes of both modes, and those of each.
struct Codes {
    all: Vec<(Code, Bits)>,
    of: [Vec<Code>; 2],
}

impl Codes {
    fn new(only: &str, host_runs_32: bool) -> Self {
        let modes: &[Bits] = if host_runs_32 { &[Bits::B64, Bits::B32] } else { &[Bits::B64] };
        let named = |code: &Code| format!("{code:?}").to_lowercase().starts_with(only);
        let all = modes
            .iter()
            .flat_map(|bits| table::codes(*bits).into_iter().filter(named).map(move |code| (code, *bits)));
        Self { all: all.collect(), of: [Bits::B64, Bits::B32].map(table::codes) }
    }

    fn of(&self, bits: Bits) -> &[Code] {
        &self.of[usize::from(bits == Bits::B32)]
    }
}

fn compare(default_cases: u64, progress: &guard::Progress) {
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a decimal number"))
    };
    let (seed, cases) = (setting("ORACLE_SEED", SEED), setting("ORACLE_CASES", default_cases));
    let all_flags = setting("ORACLE_ALL_FLAGS", 0) != 0;
    let only = std::env::var("ORACLE_ONLY").unwrap_or_default().to_lowercase();
    let mut machines = report::Machines::new().expect("a sandbox in this process");
    let host_runs_32 = machines.host_runs(Bits::B32);
    if !host_runs_32 {
        println!("oracle: this kernel runs no 32-bit code, so only 64-bit mode is tried");
    }
    let codes = Codes::new(&only, host_runs_32);
    assert!(!codes.all.is_empty(), "no instruction starts with {only:?}");
    println!("oracle: {cases} cases of {} instructions, ORACLE_SEED={seed}", codes.all.len());
    let mut failures = Vec::new();
    let (mut run, mut insns, mut faulted) = (0, 0, 0);
    let mut runs = vec![0; codes.all.len()];
    for index in 0..cases {
        progress.at(index);
        let which = (index % codes.all.len() as u64) as usize;
        let (code, bits) = codes.all[which];
        let mut rng = rng::Rng::new(seed, index);
        // Some encodings are dead ends; the next throw of the same dice is as good.
        let Some(mut trial) = (0..100).find_map(|_| generate::generate(code, bits, &mut rng)) else {
            continue;
        };
        if compare::result_is_undefined(&trial.insns[0], &trial.case) {
            continue;
        }
        if rng.below(SEQUENCES) == 0 && !all_flags {
            generate::extend(&mut trial, codes.of(bits), &mut rng);
        }
        run += 1;
        runs[which] += 1;
        if run % RENEWAL == 0 {
            machines.renew();
        }
        insns += trial.insns.len();
        let verdict = machines.run(&trial, all_flags);
        faulted += u64::from(verdict.faulted);
        if !verdict.differences.is_empty() && failures.iter().all(|(seen, _)| *seen != (code, bits)) {
            failures.push(((code, bits), machines.explain(index, &trial, all_flags)));
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
    }
    println!("oracle: {run} cases of {insns} instructions run, {faulted} of them to a fault");
    let told: String = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(failures.is_empty(), "ORACLE_SEED={seed}\n{told}");
    assert!(!only.is_empty() || run >= cases - cases / 50, "too many dead ends: {run} of {cases}");
    let never = codes.all.iter().zip(runs).filter(|(_, runs)| *runs == 0).map(|(code, _)| code);
    let never: Vec<_> = never.collect();
    assert!(cases < CASES || never.is_empty(), "never run: {never:?}");
}
