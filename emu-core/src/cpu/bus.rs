//! The processor's whole view of the world: memory, device registers, ports, interrupts, the trace.
//!
//! Registers are the processor's own; everything else is asked for here, each time with where in the run it happens.

use crate::access::Width;
use crate::addr::Gpa;
use crate::mem::PhysMem;
use crate::time::{VirtDuration, VirtTime};
use crate::trace::{RecordId, TraceEvent};

/// Where in the run something happens: the instant at which the current instruction began, and how many were retired
/// before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Virtual time.
    pub now: VirtTime,
    /// Instructions retired.
    pub insns: u64,
}

/// What a device access answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The value read, all-ones where nobody answers; 0 for writes.
    pub value: u64,
    /// What the access took beyond the instruction's own cost.
    pub cost: VirtDuration,
}

/// An event that the processor must look at between instructions, highest priority first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// INIT: reset most of the processor, and unless it is the bootstrap processor wait for a start-up IPI.
    Init,
    /// Start-up IPI with its page number.
    StartUp(u8),
    /// Non-maskable interrupt.
    Nmi,
    /// The local APIC or the 8259 pair holds INTR.
    Interrupt,
}

/// A register access that the local APIC refuses: #GP(0).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApicGp;

/// What a processor needs from the machine around it.
pub trait CpuBus {
    /// Physical memory.
    fn mem(&mut self) -> &mut PhysMem;
    /// Physical memory, to look at.
    fn mem_ref(&self) -> &PhysMem;

    /// Reads a device register. `gpa` is not backed by RAM or ROM.
    fn mmio_read(&mut self, at: Stamp, gpa: Gpa, width: Width) -> Reply;
    /// Writes a device register.
    fn mmio_write(&mut self, at: Stamp, gpa: Gpa, width: Width, value: u64) -> Reply;
    /// IN.
    fn port_read(&mut self, at: Stamp, port: u16, width: Width) -> Reply;
    /// OUT.
    fn port_write(&mut self, at: Stamp, port: u16, width: Width, value: u32) -> Reply;

    /// What waits for the processor, masked or not. Must be cheap: asked at every return to the run loop.
    fn attention(&self) -> Option<Attention>;
    /// Consumes the INIT, start-up or NMI that [`Self::attention`] showed.
    fn take_attention(&mut self, at: Stamp, attention: Attention);
    /// The interrupt acknowledge cycle: the vector, and the record that made it pending. `None` if INTR has gone.
    fn acknowledge(&mut self, at: Stamp) -> Option<(u8, Option<RecordId>)>;

    /// Reads a register of the local APIC: IA32_APIC_BASE, IA32_TSC_DEADLINE, 0x800-0x8FF.
    fn apic_msr_read(&mut self, at: Stamp, msr: u32) -> Result<u64, ApicGp>;
    /// Writes one.
    fn apic_msr_write(&mut self, at: Stamp, msr: u32, value: u64) -> Result<(), ApicGp>;
    /// The TSC now counts cycles since time zero plus `offset`: TSC-deadline mode compares with it.
    fn set_tsc_offset(&mut self, at: Stamp, offset: u64);
    /// CR8.
    fn cr8(&self) -> u64;
    /// Loads CR8 (0-15).
    fn set_cr8(&mut self, at: Stamp, value: u64);

    /// Emits a record in the processor's name, caused by the handler it is in.
    fn trace(&mut self, at: Stamp, event: TraceEvent) -> RecordId;
    /// The processor enters a handler for an interrupt whose vector `interrupt` made pending.
    fn enter_interrupt(&mut self, at: Stamp, vector: u8, rip: u64, interrupt: Option<RecordId>);
    /// The processor returns from the innermost handler.
    fn leave_interrupt(&mut self, at: Stamp, rip: u64);

    /// The instruction at `rip` has just written to a watched page: [`PhysMem::take_watched_writes`] has what.
    fn watched_write(&mut self, _at: Stamp, _rip: u64) {}

    /// Whether the run should come back at this instruction boundary for a reason that only the world knows. Asked at
    /// every return to the run loop.
    fn wants_stop(&self) -> bool {
        false
    }
}
