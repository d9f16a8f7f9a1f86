//! Interrupts from being told to being ended: IRR, ISR, priorities, EOI (SDM vol. 3A, 12.8), and the requests that
//! bypass them: NMI, SMI, INIT, start-up, ExtINT.

use super::spec::{
    ERROR_RECEIVE_VECTOR, FIRST_VECTOR, LVT_LEVEL, LVT_LOW_ACTIVE, LVT_MASKED, LVT_REMOTE_IRR, Lvt,
    SVR_SUPPRESS_EOI,
};
use super::state::{Latch, Vectors};
use super::{Lapic, Mode};
use bitvec::order::Lsb0;
use bitvec::view::BitView;
use emu_core::device::{Env, Signal};
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{DeliveryMode, Interrupt, TriggerMode};

/// What waits for the processor besides maskable interrupts, highest priority first (SDM vol. 3A, table 7-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// Reset most of the processor and wait for a start-up IPI.
    Init,
    /// Start at this page number, if waiting for it; otherwise to be dropped.
    StartUp(u8),
    /// System management interrupt.
    Smi,
    /// Non-maskable interrupt.
    Nmi,
}

/// The highest vector in a set. Asked between instructions, when sets are mostly empty.
fn highest(vectors: &Vectors) -> Option<u8> {
    if *vectors == [0; 4] {
        return None;
    }
    vectors.view_bits::<Lsb0>().last_one().and_then(|bit| u8::try_from(bit).ok())
}

fn set(vectors: &mut Vectors, vector: u8, value: bool) {
    vectors.view_bits_mut::<Lsb0>().set(usize::from(vector), value);
}

fn has(vectors: &Vectors, vector: u8) -> bool {
    vectors.view_bits::<Lsb0>()[usize::from(vector)]
}

impl Latch {
    /// Keeps the first cause until taken.
    fn raise(&mut self, cause: Option<RecordId>) {
        if !self.set {
            *self = Self { set: true, cause };
        }
    }

    fn take(&mut self) -> Option<RecordId> {
        std::mem::take(self).cause
    }
}

impl Lapic {
    /// Takes in an interrupt that is meant for this APIC; false if it is off for it. The environment's cause is the
    /// record of whoever sent it.
    pub fn accept(&mut self, env: &mut Env<'_>, interrupt: &Interrupt) -> bool {
        let maskable = matches!(interrupt.mode, DeliveryMode::Fixed | DeliveryMode::LowestPriority);
        if !self.is_on() || maskable && !self.software_enabled() {
            return false;
        }
        let id = env.trace(self.slot(), TraceEvent::LapicAccept { interrupt: *interrupt });
        env.on_behalf_of(id, |env| self.deliver(env, interrupt.mode, interrupt.vector, interrupt.trigger));
        true
    }

    /// Does what a delivery mode says, on behalf of the current cause.
    pub(super) fn deliver(
        &mut self,
        env: &mut Env<'_>,
        mode: DeliveryMode,
        vector: u8,
        trigger: TriggerMode,
    ) {
        let cause = env.tracer.cause();
        match mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority => self.raise(env, vector, trigger),
            DeliveryMode::Smi => self.state.smi.raise(cause),
            DeliveryMode::Nmi => self.state.nmi.raise(cause),
            DeliveryMode::Init => self.state.init.raise(cause),
            DeliveryMode::StartUp => {
                self.state.start_up.raise(cause);
                self.state.start_up_page = vector;
            }
            DeliveryMode::ExtInt => self.state.ext_int.raise(cause),
        }
    }

    /// Sets an IRR bit. One that is set already swallows the second interrupt and keeps the first one's cause.
    fn raise(&mut self, env: &mut Env<'_>, vector: u8, trigger: TriggerMode) {
        if vector < FIRST_VECTOR {
            self.error(env, ERROR_RECEIVE_VECTOR);
            return;
        }
        set(&mut self.state.tmr, vector, trigger == TriggerMode::Level);
        if !has(&self.state.irr, vector) {
            set(&mut self.state.irr, vector, true);
            let id = env.trace(self.slot(), TraceEvent::LapicIrr { vector, trigger });
            self.state.causes.insert(vector, id);
        }
    }

    /// Notes an error and, if it is a new one, fires the LVT error entry (12.5.3). A vector error of that very entry
    /// is noted and goes no further.
    pub(super) fn error(&mut self, env: &mut Env<'_>, bit: u32) {
        let new = self.state.errors & bit == 0;
        self.state.errors |= bit;
        if new {
            self.fire(env, Lvt::Error);
        }
    }

    /// The maskable interrupt that the processor should take now, if its own IF allows: the highest in IRR whose class
    /// is above the processor priority's (12.8.3.1).
    #[must_use]
    pub fn pending(&self) -> Option<u8> {
        if !self.is_on() {
            return None;
        }
        highest(&self.state.irr).filter(|vector| vector >> 4 > self.processor_priority() >> 4)
    }

    /// The processor acknowledges: the vector moves from IRR to ISR. Answers it with its [`TraceEvent::LapicIsr`]
    /// record, whose cause is the record that made it pending. With nothing left to deliver it is the spurious vector,
    /// which enters nothing (12.9).
    pub fn acknowledge(&mut self, env: &mut Env<'_>) -> (u8, Option<RecordId>) {
        let Some(vector) = self.pending() else { return (self.state.svr as u8, None) };
        set(&mut self.state.irr, vector, false);
        set(&mut self.state.isr, vector, true);
        let event = TraceEvent::LapicIsr { vector };
        let slot = self.slot();
        let id = match self.state.causes.remove(&vector) {
            Some(cause) => env.on_behalf_of(cause, |env| env.trace(slot, event)),
            None => env.trace(slot, event),
        };
        (vector, Some(id))
    }

    /// EOI: the highest in-service interrupt ends; if it was level-triggered, the I/O APICs are told (12.8.5).
    pub(super) fn end_of_interrupt(&mut self, env: &mut Env<'_>) {
        let Some(vector) = highest(&self.state.isr) else { return };
        set(&mut self.state.isr, vector, false);
        let level = has(&self.state.tmr, vector);
        let broadcast = level && self.state.svr & SVR_SUPPRESS_EOI == 0;
        let id = env.trace(self.slot(), TraceEvent::LapicEoi { vector, broadcast });
        if broadcast {
            env.signal_for(id, Signal::Eoi { vector });
        }
        if level {
            env.on_behalf_of(id, |env| self.end_lint(env, vector));
        }
    }

    /// A level-triggered LINT pin whose vector ended may interrupt again.
    fn end_lint(&mut self, env: &mut Env<'_>, vector: u8) {
        for (pin, entry) in [Lvt::Lint0, Lvt::Lint1].into_iter().enumerate() {
            let value = &mut self.state.lvt[entry as usize];
            if *value & LVT_REMOTE_IRR != 0 && *value as u8 == vector {
                *value &= !LVT_REMOTE_IRR;
                self.sample_lint(env, pin, entry);
            }
        }
    }

    /// PPR: the higher of the task priority and the class in service.
    pub(super) fn processor_priority(&self) -> u8 {
        let service = highest(&self.state.isr).unwrap_or(0) & 0xf0;
        if self.state.tpr & 0xf0 >= service { self.state.tpr } else { service }
    }

    /// APR (12.6.2.4): what lowest-priority delivery compares.
    pub(super) fn arbitration_priority(&self) -> u8 {
        let service = highest(&self.state.isr).unwrap_or(0) & 0xf0;
        let request = highest(&self.state.irr).unwrap_or(0) & 0xf0;
        let task = self.state.tpr;
        if task & 0xf0 >= request && task & 0xf0 > service {
            task
        } else {
            (task & 0xf0).max(service).max(request)
        }
    }

    pub(super) fn set_tpr(&mut self, env: &mut Env<'_>, value: u8) {
        if self.state.tpr != value {
            self.state.tpr = value;
            env.trace(self.slot(), TraceEvent::LapicTpr { value });
        }
    }

    /// CR8: the upper half of TPR (12.8.6).
    #[must_use]
    pub const fn cr8(&self) -> u64 {
        (self.state.tpr >> 4) as u64
    }

    /// Loads CR8; the lower half of TPR becomes 0. Bits above 3 are the processor's to refuse.
    pub fn set_cr8(&mut self, env: &mut Env<'_>, value: u64) {
        self.set_tpr(env, (value as u8) << 4);
    }

    /// What waits besides maskable interrupts, the most urgent.
    #[must_use]
    pub const fn request(&self) -> Option<Request> {
        let state = &self.state;
        if state.init.set {
            Some(Request::Init)
        } else if state.start_up.set {
            Some(Request::StartUp(state.start_up_page))
        } else if state.smi.set {
            Some(Request::Smi)
        } else if state.nmi.set {
            Some(Request::Nmi)
        } else {
            None
        }
    }

    /// The processor takes a request; answers its cause. INIT resets this APIC too, except its id and base.
    pub fn take_request(&mut self, env: &mut Env<'_>, request: Request) -> Option<RecordId> {
        match request {
            Request::Init => {
                let cause = self.state.init.take();
                self.reset_registers(env);
                cause
            }
            Request::StartUp(_) => self.state.start_up.take(),
            Request::Smi => self.state.smi.take(),
            Request::Nmi => self.state.nmi.take(),
        }
    }

    /// Whether the processor sees INTR from the 8259 pair, which then has the vector. Not subject to priorities.
    #[must_use]
    pub fn ext_int_pending(&self) -> bool {
        if self.mode() == Mode::Disabled {
            return self.state.lint[0];
        }
        let lint0 = self.state.lvt[Lvt::Lint0 as usize];
        let through = lint0 & LVT_MASKED == 0 && lint0 >> 8 & 7 == u32::from(DeliveryMode::ExtInt.bits());
        self.state.ext_int.set || through && self.lint_asserted(0, lint0)
    }

    /// The processor has asked the 8259 pair for its vector. Answers who sent the ExtINT message, if one did.
    pub fn acknowledge_ext_int(&mut self) -> Option<RecordId> {
        self.state.ext_int.take()
    }

    /// The LINT0 (0, the 8259 pair's INTR) or LINT1 (1, NMI) pin goes high or low. Others do not exist.
    pub fn set_lint(&mut self, env: &mut Env<'_>, pin: usize, high: bool) {
        let (Some(level), Some(entry)) = (self.state.lint.get_mut(pin), [Lvt::Lint0, Lvt::Lint1].get(pin))
        else {
            return;
        };
        let before = std::mem::replace(level, high);
        if before == high {
            return;
        }
        if self.mode() == Mode::Disabled {
            if pin == 1 && high {
                self.state.nmi.raise(env.tracer.cause());
            }
            return;
        }
        let value = self.state.lvt[*entry as usize];
        let fixed = value >> 8 & 7 == 0;
        if fixed && value & LVT_LEVEL != 0 {
            self.sample_lint(env, pin, *entry);
        } else if self.lint_asserted(pin, value) && value >> 8 & 7 != u32::from(DeliveryMode::ExtInt.bits()) {
            self.fire(env, *entry);
        }
    }

    fn lint_asserted(&self, pin: usize, entry: u32) -> bool {
        self.state.lint[pin] != (entry & LVT_LOW_ACTIVE != 0)
    }

    /// A level-triggered fixed LINT entry interrupts once for as long as its remote IRR stands.
    pub(super) fn sample_lint(&mut self, env: &mut Env<'_>, pin: usize, entry: Lvt) {
        let value = self.state.lvt[entry as usize];
        let level = value >> 8 & 7 == 0 && value & LVT_LEVEL != 0;
        if level && value & (LVT_MASKED | LVT_REMOTE_IRR) == 0 && self.lint_asserted(pin, value) {
            self.state.lvt[entry as usize] |= LVT_REMOTE_IRR;
            self.deliver(env, DeliveryMode::Fixed, value as u8, TriggerMode::Level);
        }
    }
}
