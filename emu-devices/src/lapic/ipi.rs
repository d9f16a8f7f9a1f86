//! Who an interrupt is for (SDM vol. 3A, 12.6.2 and 12.12.10), and sending interprocessor interrupts (12.6.1).

use super::spec::{ERROR_SEND_VECTOR, FIRST_VECTOR, ICR_ASSERT, ICR_LEVEL, ICR_LOGICAL};
use super::{Lapic, Mode};
use emu_core::device::{Env, Signal};
use emu_core::{DeliveryMode, DestinationMode, Interrupt, TriggerMode};

/// ICR destination shorthands, bits 19:18.
const SELF: u8 = 1;
const ALL: u8 = 2;
const ALL_BUT_SELF: u8 = 3;

/// The indexes in `lapics` that an interrupt goes to. `from` is the index of the sender of an IPI, whose `shorthand`
/// counts; 0 for anything else. Of several that a lowest-priority interrupt names, the one with the lowest arbitration
/// priority takes it, the first among equals.
pub fn destinations(
    lapics: &[Lapic],
    from: u8,
    interrupt: &Interrupt,
    shorthand: u8,
) -> impl Iterator<Item = usize> {
    let interrupt = *interrupt;
    let meant = move |index: usize, lapic: &Lapic| {
        let own = index == usize::from(from);
        lapic.is_on()
            && match shorthand & 3 {
                SELF => own,
                ALL => true,
                ALL_BUT_SELF => !own,
                _ => lapic.matches(interrupt.dest, interrupt.dest_mode),
            }
    };
    let arbitrate = interrupt.mode == DeliveryMode::LowestPriority;
    let winner = lapics
        .iter()
        .enumerate()
        .filter(|(index, lapic)| arbitrate && lapic.software_enabled() && meant(*index, lapic))
        .min_by_key(|(_, lapic)| lapic.arbitration_priority())
        .map(|(index, _)| index);
    lapics
        .iter()
        .enumerate()
        .filter(move |(index, lapic)| if arbitrate { winner == Some(*index) } else { meant(*index, lapic) })
        .map(|(index, _)| index)
}

impl Lapic {
    /// Whether a destination names this APIC.
    #[must_use]
    pub fn matches(&self, dest: u32, mode: DestinationMode) -> bool {
        match (self.mode(), mode) {
            (Mode::Disabled, _) => false,
            (Mode::XApic, DestinationMode::Physical) => {
                dest == self.config.id & 0xff || dest == 0xff || dest == u32::MAX
            }
            // Messages with only 8 bits of destination name everybody by 0xFF in x2APIC mode as well.
            (Mode::X2Apic, DestinationMode::Physical) => {
                dest == self.config.id || dest == u32::MAX || dest == 0xff
            }
            (Mode::XApic, DestinationMode::Logical) => self.matches_logical_xapic(dest),
            (Mode::X2Apic, DestinationMode::Logical) => {
                let own = self.logical_id();
                dest == u32::MAX || dest >> 16 == own >> 16 && dest & own & 0xffff != 0
            }
        }
    }

    /// Flat: any common bit. Cluster: same cluster (or all of them) and a common bit of the lower nibble.
    fn matches_logical_xapic(&self, dest: u32) -> bool {
        let own = self.state.ldr >> 24;
        if dest == u32::MAX {
            return true;
        }
        match self.state.dfr >> 28 {
            0xf => dest & own != 0,
            0 => (dest >> 4 == own >> 4 || dest >> 4 == 0xf) && dest & own & 0xf != 0,
            _ => false,
        }
    }

    /// LDR: software's in xAPIC mode, made from the id in x2APIC mode (12.12.10.2).
    pub(super) fn logical_id(&self) -> u32 {
        match self.mode() {
            Mode::Disabled | Mode::XApic => self.state.ldr,
            Mode::X2Apic => (self.config.id >> 4 & 0xffff) << 16 | 1 << (self.config.id & 0xf),
        }
    }

    /// Sends what the ICR says. The level de-assert form of INIT and the reserved modes do nothing, as since the
    /// Pentium 4.
    pub(super) fn send_ipi(&mut self, env: &mut Env<'_>) {
        let icr = self.state.icr;
        let vector = icr as u8;
        let Some(mode) = DeliveryMode::from_bits((icr >> 8) as u8) else { return };
        match mode {
            DeliveryMode::Fixed | DeliveryMode::LowestPriority if vector < FIRST_VECTOR => {
                self.error(env, ERROR_SEND_VECTOR);
                return;
            }
            DeliveryMode::Init if icr & ICR_LEVEL != 0 && icr & ICR_ASSERT == 0 => return,
            DeliveryMode::ExtInt => return,
            DeliveryMode::Fixed
            | DeliveryMode::LowestPriority
            | DeliveryMode::Smi
            | DeliveryMode::Nmi
            | DeliveryMode::Init
            | DeliveryMode::StartUp => {}
        }
        let dest_mode =
            if icr & ICR_LOGICAL != 0 { DestinationMode::Logical } else { DestinationMode::Physical };
        let dest = match self.mode() {
            Mode::Disabled | Mode::XApic => (icr >> 56) as u32,
            Mode::X2Apic => (icr >> 32) as u32,
        };
        let interrupt = Interrupt { vector, mode, trigger: TriggerMode::Edge, dest_mode, dest };
        let shorthand = (icr >> 18) as u8 & 3;
        env.signal(Signal::Ipi { from: self.config.index, interrupt, shorthand });
    }

    /// SELF IPI: a fixed, edge-triggered interrupt to itself.
    pub(super) fn send_self_ipi(&mut self, env: &mut Env<'_>, vector: u8) {
        if vector < FIRST_VECTOR {
            self.error(env, ERROR_SEND_VECTOR);
            return;
        }
        let interrupt = Interrupt {
            vector,
            mode: DeliveryMode::Fixed,
            trigger: TriggerMode::Edge,
            dest_mode: DestinationMode::Physical,
            dest: self.config.id,
        };
        env.signal(Signal::Ipi { from: self.config.index, interrupt, shorthand: SELF });
    }
}
