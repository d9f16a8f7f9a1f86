//! Any bytes as a program for the processor, run in several ways that must come to the same.
//!
//! [`check`] is what the fuzz target, the bounded test and the corpus share. [`layout`] tells which byte means what, and
//! what lies where in memory. The ways: whole blocks; one instruction at a time, asked for or as a tier; cut at random instants, where now
//! and then the processor is thrown away and another goes on from its state; with a debugger that stops at many instructions and
//! accesses. Nothing here knows what an instruction should do:
//! `tests/oracle` compares that with a host's processor.

mod layout;
mod world;

pub use layout::{HEADER_LEN, Header};

use super::FlatBus;
use crate::addr::{Gpa, PAGE_SIZE};
use crate::cpu::{Attention, Cpu, CpuConfig, CpuStops, DataStop, Exit, Tier};
use crate::time::{VirtDuration, VirtTime};
use std::fmt::Debug;

/// A program ends after this many instructions...
const INSNS: u64 = 400;
/// ...or this much virtual time, which is what ends one that faults without retiring anything.
const TIME: VirtTime = VirtTime(50_000_000);
/// More returns from a run than either could need: each follows an instruction, a device access or a cut.
const RETURNS: u32 = 20_000;

/// Pseudo-random numbers: xorshift64*.
#[derive(Clone, Copy, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Any seed will do.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(if seed == 0 { 0x9e37_79b9_7f4a_7c15 } else { seed })
    }

    /// Any number.
    pub fn roll(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `end`, which is not zero.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 16) % end
    }
}

/// Where a run comes back before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cuts {
    Nowhere,
    Everywhere,
    Random,
    /// At what a debugger waits for.
    Stops,
}

/// A way to run the same program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Way(Tier, Cuts);

/// What all others are held against.
const WHOLE: Way = Way(Tier::Interp, Cuts::Nowhere);
const OTHERS: [Way; 7] = [
    Way(Tier::Step, Cuts::Nowhere),
    Way(Tier::Interp, Cuts::Everywhere),
    Way(Tier::Interp, Cuts::Random),
    Way(Tier::Eager, Cuts::Nowhere),
    Way(Tier::Eager, Cuts::Random),
    Way(Tier::Interp, Cuts::Stops),
    Way(Tier::Eager, Cuts::Stops),
];

/// Runs the program that `bytes` are, in all ways. An error tells what differed.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let header = Header::parse(bytes);
    let code = bytes.get(HEADER_LEN..).unwrap_or_default();
    let whole = run(&header, code, WHOLE)?;
    for way in OTHERS {
        let other = run(&header, code, way)?;
        compare(&whole, &other).map_err(|what| format!("{way:?} differs from {WHOLE:?} in {what}"))?;
    }
    Ok(())
}

/// What a run left.
struct Outcome {
    cpu: Box<Cpu>,
    bus: FlatBus,
    last: Option<Exit>,
}

fn run(header: &Header, code: &[u8], way: Way) -> Result<Outcome, String> {
    let Way(tier, cuts) = way;
    let (mut cpu, mut bus) = world::make(header, code)?;
    cpu.set_tier(tier);
    let mut dice = Dice::new(header.cut_seed);
    let mut waits = true;
    if cuts == Cuts::Stops {
        cpu.set_stops(stops(cpu.linear_rip(), &mut dice));
    }
    for _ in 0..RETURNS {
        if waits && cpu.insns() >= header.interrupt_at {
            waits = false;
            bus.vector = header.vector;
            bus.attention = Some(if header.nmi { Attention::Nmi } else { Attention::Interrupt });
        }
        if cpu.insns() >= INSNS || cpu.now() >= TIME {
            return Ok(Outcome { cpu, bus, last: None });
        }
        let goal = if waits { header.interrupt_at.min(INSNS) } else { INSNS };
        let (deadline, limit) = match cuts {
            Cuts::Nowhere | Cuts::Stops => (TIME, goal),
            Cuts::Everywhere => (TIME, goal.min(cpu.insns() + 1)),
            Cuts::Random => cut(&mut cpu, tier, &mut dice, goal)?,
        };
        match cpu.run(&mut bus, deadline, limit) {
            Exit::Device | Exit::Deadline | Exit::InsnLimit | Exit::Breakpoint => {}
            Exit::Watchpoint => drop(cpu.take_data_hit()),
            Exit::Halted if waits => {
                waits = false;
                bus.vector = header.vector;
                bus.attention = Some(Attention::Interrupt);
            }
            last @ (Exit::Halted | Exit::Shutdown | Exit::Livelock) => {
                return Ok(Outcome { cpu, bus, last: Some(last) });
            }
        }
    }
    Err(format!("{way:?} hangs at {:#x} after {} instructions", cpu.rip(), cpu.insns()))
}

/// A debugger's: every third byte behind the first instruction, and a page out of four.
fn stops(rip: u64, dice: &mut Dice) -> CpuStops {
    let code = (0..100).filter(|_| dice.below(3) == 0).map(|at| rip + at).collect();
    let pages: Vec<_> = (0..64).filter(|_| dice.below(4) == 0).map(|page| page * PAGE_SIZE).collect();
    let physical = pages.into_iter().map(|page| page..page + PAGE_SIZE).collect();
    let data = vec![DataStop { linear: None, physical, read: dice.below(2) == 0, write: true }];
    CpuStops { code, data }
}

/// Where the next piece ends. Before it, one time in eight another processor takes over.
fn cut(cpu: &mut Box<Cpu>, tier: Tier, dice: &mut Dice, goal: u64) -> Result<(VirtTime, u64), String> {
    if dice.below(8) == 0 {
        let mut other = Cpu::new(CpuConfig::default());
        other.restore(cpu.state()).map_err(|error| format!("its own state is refused: {error}"))?;
        other.set_tier(tier);
        *cpu = other;
    }
    let span = dice.below(40) + 1;
    Ok(if dice.below(2) == 0 {
        (TIME, goal.min(cpu.insns() + span))
    } else {
        (cpu.now().after(VirtDuration(span * 300)).min(TIME), goal)
    })
}

fn compare(whole: &Outcome, other: &Outcome) -> Result<(), String> {
    same("how it ended", &whole.last, &other.last)?;
    for (a, b) in whole.bus.records.iter().zip(&other.bus.records) {
        if a != b {
            return Err(format!("an event: {a:x?}, {b:x?}"));
        }
    }
    same("the number of events", &whole.bus.records.len(), &other.bus.records.len())?;
    same("the state", &whole.cpu.state(), &other.cpu.state())?;
    same("port writes", &whole.bus.out, &other.bus.out)?;
    same("device writes", &whole.bus.stores, &other.bus.stores)?;
    let (mut a, mut b) = ([0; PAGE_SIZE as usize], [0; PAGE_SIZE as usize]);
    for page in 0..whole.bus.mem.ram_size() / PAGE_SIZE {
        let at = Gpa(page * PAGE_SIZE);
        let read = whole.bus.mem.read(at, &mut a).and(other.bus.mem.read(at, &mut b));
        read.map_err(|error| error.to_string())?;
        if let Some(byte) = (0..a.len()).find(|&byte| a[byte] != b[byte]) {
            return Err(format!("memory at {:#x}: {:#x}, {:#x}", at.0 + byte as u64, a[byte], b[byte]));
        }
    }
    Ok(())
}

/// The lines of two values that differ.
fn same<T: PartialEq + Debug>(what: &str, a: &T, b: &T) -> Result<(), String> {
    if a == b {
        return Ok(());
    }
    let (a, b) = (format!("{a:#x?}"), format!("{b:#x?}"));
    let differing = a.lines().zip(b.lines()).enumerate().filter(|(_, (a, b))| a != b).take(8);
    let lines = differing.map(|(line, (a, b))| format!("\n  line {line}: {} | {}", a.trim(), b.trim()));
    Err(format!("{what}:{}", lines.collect::<String>()))
}
