//! Signals on their way: pins to the interrupt controllers, messages through the remapper to local APICs. In the order in
//! which they were raised, after the chip that raised them has returned.

use super::board::Board;
use super::layout;
use super::platform::Platform;
use super::run::Stop;
use emu_core::device::{Env, Signal};
use emu_core::{Bdf, Interrupt, Msi, Pin, Slot, Width};
use emu_devices::lapic::{Lapic, destinations};
use emu_devices::pci::{self, PciFunction};

/// PIRQx_ROUT bit 7: the wire does not reach the 8259 pair.
const PIRQ_OFF: u8 = 0x80;

/// More than any chip raises for one call; a guest that found a loop between chips must not hang the host.
const SIGNALS_MAX: usize = 100_000;

impl Platform {
    /// Lets every raised signal take effect, and those that it raises.
    pub(super) fn route_signals(&mut self) {
        for _ in 0..SIGNALS_MAX {
            let Some((signal, cause)) = self.board.fabric.signals.pop() else { return };
            let before = self.board.fabric.tracer.set_cause(cause);
            self.route(signal);
            self.board.fabric.tracer.set_cause(before);
        }
        self.stop = Some(Stop::SignalStorm);
    }

    fn route(&mut self, signal: Signal) {
        match signal {
            Signal::Pin { slot, pin, high } => self.route_pin(slot, pin, high),
            Signal::Msi { source, msi } => self.board.route_message(source, msi),
            Signal::Interrupt(interrupt) => self.board.tell(0, &interrupt, 0),
            Signal::Ipi { from, interrupt, shorthand } => self.board.tell(from, &interrupt, shorthand),
            Signal::Eoi { vector } => {
                let Board { fabric, ioapic, .. } = &mut self.board;
                ioapic.eoi(&mut fabric.env(), vector);
            }
            Signal::PicIntr { high } => {
                let Board { fabric, lapics, .. } = &mut self.board;
                if let Some(lapic) = lapics.first_mut() {
                    lapic.set_lint(&mut fabric.env(), 0, high);
                }
            }
            Signal::Reset => self.stop = Some(Stop::Reset),
            Signal::PowerOff { code } => self.stop = Some(Stop::PowerOff { code }),
        }
    }

    fn route_pin(&mut self, slot: Slot, pin: Pin, high: bool) {
        let Board { fabric, ioapic, pic, .. } = &mut self.board;
        if let Slot::Nic(_) = slot {
            // INTA-D are wired to PIRQA-D: I/O APIC pins of their own, and the 8259 inputs that the LPC bridge chose.
            let pin = self.devices.nic_pin(pin).0;
            ioapic.set_pin(&mut fabric.env(), layout::PIRQA_GSI + pin, high);
            let pirq = pci::spec::LPC_PIRQA + u16::from(pin);
            let route = self.devices.lpc.config().read(pirq, Width::B1) as u8;
            if route & PIRQ_OFF == 0 {
                pic.set_pin(&mut fabric.env(), route & 0xf, high);
            }
            return;
        }
        let Some(wire) = layout::wire(slot, pin) else { return };
        ioapic.set_pin(&mut fabric.env(), wire.gsi, high);
        if let Some(irq) = wire.irq {
            pic.set_pin(&mut fabric.env(), irq, high);
        }
    }
}

impl Board {
    /// A message through the remapper, or as it is without one.
    fn route_message(&mut self, source: Bdf, msi: Msi) {
        let Self { fabric, mem, remapping, .. } = self;
        let remapped = match remapping.unit_for(source) {
            Some(iommu) => iommu.remap(&mut fabric.env(), mem, source, msi).map(|(interrupt, _)| interrupt),
            None => Interrupt::from_compatibility(msi),
        };
        if let Some(interrupt) = remapped {
            self.tell(0, &interrupt, 0);
        }
    }

    /// Tells every local APIC that an interrupt names.
    fn tell(&mut self, from: u8, interrupt: &Interrupt, shorthand: u8) {
        let Self { fabric, lapics, .. } = self;
        let named: Vec<usize> = destinations(lapics, from, interrupt, shorthand).collect();
        for index in named {
            accept(&mut fabric.env(), &mut lapics[index], interrupt);
        }
    }
}

fn accept(env: &mut Env<'_>, lapic: &mut Lapic, interrupt: &Interrupt) {
    // An APIC that is switched off does not answer, and nobody is told.
    let _ = lapic.accept(env, interrupt);
}
