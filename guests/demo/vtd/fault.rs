//! Faults: recorded by the unit, announced by its own interrupt, kept for the main program.
//!
//! VT-d specification revision 4.1: 7.1 (fault conditions and reasons), 7.2.1 (primary fault logging), 7.3
//! (fault event).

use super::{Unit, remap, spec};
use crate::cpu;
use crate::mem::{Mmio, Shared};
use crate::pci::Bdf;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// Records kept until the main program looks; more are counted only.
const KEPT: usize = 32;

/// One fault record.
#[derive(Clone, Copy)]
pub struct Fault {
    /// Who asked.
    pub source: Bdf,
    /// The page that was asked for; of an interrupt request, the index is in bits 63:48.
    pub address: u64,
    /// Why it was refused: a code of Table 7-1 or 7-2.
    pub reason: u8,
    /// Whether it was a read.
    pub read: bool,
}

impl Fault {
    fn reason_text(&self) -> &'static str {
        match self.reason {
            0x01 => "root entry not present",
            0x02 => "context entry not present",
            0x03 => "context entry invalid",
            0x04 => "address beyond the domain's width",
            0x05 => "no permission to write",
            0x06 => "no permission to read",
            0x07 => "second-level table not readable",
            0x08 => "root table not readable",
            0x09 => "context table not readable",
            0x0a => "reserved bits in the root entry",
            0x0b => "reserved bits in the context entry",
            0x0c => "reserved bits in a second-level entry",
            0x0d => "translation request blocked",
            0x20 => "reserved bits in the interrupt request",
            0x21 => "interrupt index beyond the table",
            0x22 => "interrupt entry not present",
            0x23 => "interrupt table not readable",
            0x24 => "reserved bits in the interrupt entry",
            0x25 => "compatibility format interrupt blocked",
            0x26 => "interrupt from the wrong source",
            _ => "unknown reason",
        }
    }

    /// Whether an interrupt request was refused, not a DMA.
    pub fn is_interrupt(&self) -> bool {
        (0x20..0x30).contains(&self.reason)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "reason {:#04x} ({}), source {}, ", self.reason, self.reason_text(), self.source)?;
        if self.is_interrupt() {
            write!(f, "interrupt index {}", self.address >> 48)
        } else {
            write!(f, "{} of {:#x}", if self.read { "read" } else { "write" }, self.address)
        }
    }
}

/// The unit's fault registers, as the handler needs them.
#[derive(Clone, Copy)]
struct Records {
    registers: Mmio,
    offset: u64,
    count: u32,
}

const NO_FAULT: Fault = Fault { source: Bdf(0), address: 0, reason: 0, read: false };

static RECORDS: Shared<Option<Records>> = Shared::new(None);
/// Touched by the handler, and by the main program with interrupts off.
static FAULTS: Shared<[Fault; KEPT]> = Shared::new([NO_FAULT; KEPT]);
/// How many of `FAULTS` are to be taken.
static PENDING: AtomicUsize = AtomicUsize::new(0);
static INTERRUPTS: AtomicU32 = AtomicU32::new(0);
static SEEN: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Empties the records that are left from before, and has new ones announced by `vector`.
pub(super) fn enable(unit: Unit, vector: u8, destination: u8) {
    let records = Records {
        registers: unit.registers,
        offset: (unit.cap >> spec::CAP_FRO_SHIFT & spec::CAP_FRO_MASK) * spec::FRCD_SIZE,
        count: (unit.cap >> spec::CAP_NFR_SHIFT & spec::CAP_NFR_MASK) as u32 + 1,
    };
    for record in 0..records.count {
        records.free(record);
    }
    let status = unit.registers.read32(spec::FSTS);
    unit.registers.write32(spec::FSTS, status);
    RECORDS.set(Some(records));
    unit.registers.write32(spec::FEDATA, u32::from(vector));
    unit.registers.write32(spec::FEADDR, remap::compatibility_address(destination));
    unit.registers.write32(spec::FEUADDR, 0);
    unit.registers.write32(spec::FECTL, 0);
}

impl Records {
    fn base(&self, record: u32) -> u64 {
        self.offset + u64::from(record) * spec::FRCD_SIZE
    }

    fn free(&self, record: u32) {
        self.registers.write32(self.base(record) + spec::FRCD_STATUS, spec::FRCD_F);
    }

    fn take(&self, record: u32) -> Option<Fault> {
        let base = self.base(record);
        let status = self.registers.read32(base + spec::FRCD_STATUS);
        if status & spec::FRCD_F == 0 {
            return None;
        }
        let fault = Fault {
            source: Bdf(self.registers.read32(base + spec::FRCD_SOURCE) as u16),
            address: self.registers.read64(base) & !0xfff,
            reason: (status & spec::FRCD_REASON_MASK) as u8,
            read: status & spec::FRCD_READ != 0,
        };
        self.free(record);
        Some(fault)
    }
}

/// The handler of `idt::FAULT_VECTOR`: takes all records, from the first pending one on.
pub fn handle_interrupt() {
    INTERRUPTS.fetch_add(1, Ordering::Relaxed);
    let Some(records) = RECORDS.get() else { return };
    let status = records.registers.read32(spec::FSTS);
    let first = status >> spec::FSTS_FRI_SHIFT & spec::FSTS_FRI_MASK;
    for step in 0..records.count {
        let Some(fault) = records.take((first + step) % records.count) else { break };
        keep(fault);
    }
    // Overflow is cleared last, so that what it stands for is not recorded into a full set of records again.
    records.registers.write32(spec::FSTS, status & (spec::FSTS_PFO | spec::FSTS_PPF));
}

fn keep(fault: Fault) {
    SEEN.fetch_add(1, Ordering::Relaxed);
    let len = PENDING.load(Ordering::Relaxed);
    if len == KEPT {
        LOST.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let mut faults = FAULTS.get();
    faults[len] = fault;
    FAULTS.set(faults);
    PENDING.store(len + 1, Ordering::Release);
}

/// The oldest fault that has not been taken yet.
pub fn take() -> Option<Fault> {
    if !pending() {
        return None;
    }
    cpu::without_interrupts(|| {
        let mut faults = FAULTS.get();
        let oldest = faults[0];
        faults.copy_within(1.., 0);
        FAULTS.set(faults);
        PENDING.fetch_sub(1, Ordering::Relaxed);
        Some(oldest)
    })
}

/// Whether there is a fault to take.
pub fn pending() -> bool {
    PENDING.load(Ordering::Acquire) != 0
}

/// How many fault interrupts came, how many faults they announced, and how many of those were not kept.
pub fn counts() -> (u32, u32, u32) {
    (INTERRUPTS.load(Ordering::Relaxed), SEEN.load(Ordering::Relaxed), LOST.load(Ordering::Relaxed))
}
