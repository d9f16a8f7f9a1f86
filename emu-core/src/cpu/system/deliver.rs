//! Exceptions and interrupts on their way through the IDT.

use crate::cpu::{Activity, Cpu, CpuBus, Fault};

impl Cpu {
    /// Delivers an exception raised by the instruction at RIP.
    pub(crate) fn raise(&mut self, bus: &mut dyn CpuBus, fault: Fault) {
        let _ = (bus, fault);
        self.activity = Activity::Shutdown;
    }

    /// Delivers a hardware interrupt or an NMI between instructions.
    pub(crate) fn interrupt(&mut self, bus: &mut dyn CpuBus, vector: u8) {
        let _ = (bus, vector);
    }

    /// Reports pending debug conditions as a #DB trap between instructions.
    pub(crate) fn debug_trap(&mut self, bus: &mut dyn CpuBus) {
        let _ = bus;
        self.pending_debug = 0;
    }
}
