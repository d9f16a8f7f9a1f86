//! Where two runs part: the first instruction after which the machines differ, and the first trace record that does.
//!
//! Both machines run side by side from their start. Where they were last the same is kept as a checkpoint; from the first look at
//! which they differ the search halves the way between the two, going back to the checkpoint each time. What is compared is cheap:
//! the machine part by part ([`crate::machine::Digest`]), and one number for all records so far.
//!
//! Two scenarios differ by intent, and some parts show it before the first instruction (another capture's name, another unit's
//! capabilities): what differs from the start is told and left out of the comparison.

mod causes;
mod report;
mod side;

pub use report::Finding;

use crate::error::Error;
use crate::machine::{Checkpoint, Machine, Stop};
use emu_core::trace::TraceRecord;
use side::{Look, Side};
use std::collections::BTreeSet;

/// Instructions until the first look; then twice as many each time.
const FIRST_STRIDE: u64 = 1 << 16;
/// Instructions between two looks at most: what is gone back and run again at the end.
const STRIDE_MAX: u64 = 1 << 26;
/// Instructions between two looks for a record that differs.
const RECORDS_STRIDE: u64 = 1 << 20;

/// What both have in common.
struct Same {
    a: Checkpoint,
    b: Checkpoint,
    chains: [side::Chain; 2],
    insns: u64,
}

/// Two runs on their way.
struct Pair {
    a: Side,
    b: Side,
    /// Parts that are not compared: they differ from the start.
    ignored: BTreeSet<String>,
}

impl Pair {
    fn look(&mut self) -> [Look; 2] {
        [self.a.look(&self.ignored), self.b.look(&self.ignored)]
    }

    /// Runs both to an instruction; `true` if they are still the same there.
    fn run_to(&mut self, insns: u64) -> bool {
        self.a.run_to(Some(insns));
        self.b.run_to(Some(insns));
        let [a, b] = self.look();
        a == b
    }

    fn keep(&mut self, insns: u64) -> Same {
        let chains = [self.a.chain(), self.b.chain()];
        Same { a: self.a.machine.checkpoint(), b: self.b.machine.checkpoint(), chains, insns }
    }

    fn go_back(&mut self, same: &Same) -> Result<(), Error> {
        self.a.go_back(&same.a, &same.chains[0])?;
        self.b.go_back(&same.b, &same.chains[1])
    }
}

/// Where two machines that have not run yet are going to part; `None` if they never do. `told` hears how far the search is.
pub fn bisect(a: Machine, b: Machine, mut told: impl FnMut(u64, u64)) -> Result<Option<Finding>, Error> {
    let mut pair = Pair { a: Side::new(a), b: Side::new(b), ignored: BTreeSet::new() };
    let [start_a, start_b] = [pair.a.machine.digest(), pair.b.machine.digest()];
    pair.ignored.extend(start_a.differing(&start_b));
    let mut same = pair.keep(0);
    let mut stride = FIRST_STRIDE;
    let mut differs_at = loop {
        let insns = same.insns.saturating_add(stride);
        told(same.insns, insns);
        if !pair.run_to(insns) {
            break insns.min(pair.a.machine.insns().max(pair.b.machine.insns()));
        }
        if pair.a.stop != Stop::Reached {
            return Ok(None);
        }
        same = pair.keep(insns);
        stride = (stride * 2).min(STRIDE_MAX);
    };
    while differs_at - same.insns > 1 {
        let middle = same.insns + (differs_at - same.insns) / 2;
        told(same.insns, differs_at);
        pair.go_back(&same)?;
        if pair.run_to(middle) {
            same = pair.keep(middle);
        } else {
            differs_at = middle;
        }
    }
    finding(pair, &same).map(Some)
}

/// Both are the same at `same`, and one instruction later they are not.
fn finding(mut pair: Pair, same: &Same) -> Result<Finding, Error> {
    pair.go_back(same)?;
    let instruction = pair.a.instruction();
    let before = pair.a.machine.parts();
    pair.a.log();
    pair.b.log();
    pair.a.run_to(Some(same.insns + 1));
    pair.b.run_to(Some(same.insns + 1));
    let after = [pair.a.machine.parts(), pair.b.machine.parts()];
    let stops = [pair.a.stop.clone(), pair.b.stop.clone()];
    let mut ignored: Vec<String> = pair.ignored.iter().cloned().collect();
    ignored.sort();
    let records = first_records(&mut pair);
    let causes = match records.iter().flatten().find_map(|record| record.cause) {
        Some(cause) => causes::chain(&mut pair.a, cause)?,
        None => Vec::new(),
    };
    Ok(Finding { insns: same.insns, instruction, ignored, before, after, stops, records, causes })
}

/// The first record of each in which they differ, running on as far as it takes.
fn first_records(pair: &mut Pair) -> [Option<TraceRecord>; 2] {
    let mut left: [std::collections::VecDeque<TraceRecord>; 2] = Default::default();
    loop {
        left[0].extend(pair.a.take_log());
        left[1].extend(pair.b.take_log());
        let [ours, theirs] = &mut left;
        while let (Some(a), Some(b)) = (ours.front(), theirs.front()) {
            if a != b {
                return [Some(*a), Some(*b)];
            }
            ours.pop_front();
            theirs.pop_front();
        }
        let ended = [&pair.a, &pair.b].map(|side| side.stop != Stop::Reached);
        if ended == [true, true] {
            return [ours.front().copied(), theirs.front().copied()];
        }
        for side in [&mut pair.a, &mut pair.b] {
            let next = side.machine.insns().saturating_add(RECORDS_STRIDE);
            side.run_to(Some(next));
        }
    }
}
