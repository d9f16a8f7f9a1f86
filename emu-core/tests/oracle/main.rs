//! The host-processor oracle: random single instructions run on the host and on our processor, and registers, flags,
//! memory and faults must be equal.
//!
//! `ORACLE_SEED` and `ORACLE_CASES` choose the run, `ORACLE_ONLY=imul` an instruction (the start of iced's name of the
//! code); `ORACLE_ALL_FLAGS=1` also compares flags that the manual leaves undefined. A failure names seed and index.

#![allow(clippy::expect_used, reason = "a sandbox that cannot be built fails the test")]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod case;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compare;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod generate;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod guest;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod native;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod report;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod rng;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod table;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use case::Bits;

/// Cases of the quick suite.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const CASES: u64 = 120_000;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const SEED: u64 = 0x61a5_5b0c;
/// Failures that are told, each of another instruction.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
const FAILURES_MAX: usize = 12;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn instructions_do_what_the_host_does() {
    let setting = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |text| text.parse().expect("a decimal number"))
    };
    let (seed, cases) = (setting("ORACLE_SEED", SEED), setting("ORACLE_CASES", CASES));
    let all_flags = setting("ORACLE_ALL_FLAGS", 0) != 0;
    let only = std::env::var("ORACLE_ONLY").unwrap_or_default().to_lowercase();
    let mut codes: Vec<_> = [Bits::B64, Bits::B32]
        .into_iter()
        .flat_map(|bits| table::codes(bits).into_iter().map(move |code| (code, bits)))
        .filter(|(code, _)| format!("{code:?}").to_lowercase().starts_with(&only))
        .collect();
    assert!(!codes.is_empty(), "no instruction starts with {only:?}");
    let mut machines = report::Machines::new().expect("a sandbox in this process");
    if !machines.host_runs(Bits::B32) {
        println!("oracle: this kernel runs no 32-bit code, so only 64-bit mode is tried");
        codes.retain(|(_, bits)| *bits == Bits::B64);
    }
    println!("oracle: {cases} cases of {} instructions, ORACLE_SEED={seed}", codes.len());
    let mut failures = Vec::new();
    let (mut run, mut faulted) = (0, 0);
    for index in 0..cases {
        let (code, bits) = codes[(index % codes.len() as u64) as usize];
        let mut rng = rng::Rng::new(seed, index);
        // Some encodings are dead ends; the next throw of the same dice is as good.
        let Some((case, insn)) = (0..100).find_map(|_| generate::generate(code, bits, &mut rng)) else {
            continue;
        };
        if compare::result_is_undefined(&insn, &case) {
            continue;
        }
        run += 1;
        let verdict = machines.try_case(&insn, &case, all_flags);
        faulted += u64::from(verdict.faulted);
        if !verdict.differences.is_empty() && failures.iter().all(|(seen, _)| *seen != (code, bits)) {
            failures.push(((code, bits), machines.explain(index, &insn, &case, all_flags)));
            if failures.len() >= FAILURES_MAX {
                break;
            }
        }
    }
    println!("oracle: {run} cases run, {faulted} of them to a fault");
    let told: String = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(failures.is_empty(), "ORACLE_SEED={seed}\n{told}");
    assert!(!only.is_empty() || run >= cases - cases / 50, "too many dead ends: {run} of {cases}");
}

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
#[test]
fn instructions_do_what_the_host_does() {
    println!("oracle: skipped, the host is not x86-64 Linux");
}
