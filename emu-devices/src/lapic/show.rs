//! The registers in words, for `inspect`.

use super::Lapic;
use super::spec::{
    DFR, EOI, ESR, ISR, LVT_LEVEL, LVT_MASKED, LVT_TIMER_DEADLINE, LVT_TIMER_MODE, LVT_TIMER_PERIODIC, Lvt,
    MSR_APIC_BASE, MSR_TSC_DEADLINE, REGISTERS, SVR, SVR_ENABLE, SVR_SUPPRESS_EOI, register_name,
};
use crate::Register;
use crate::inspect::bit_names;
use emu_core::{DeliveryMode, VirtTime};

fn entry_words(entry: Lvt, value: u32) -> String {
    let how = match entry {
        Lvt::Timer => match value & LVT_TIMER_MODE {
            0 => "one-shot".to_owned(),
            LVT_TIMER_PERIODIC => "periodic".to_owned(),
            LVT_TIMER_DEADLINE => "TSC-deadline".to_owned(),
            _ => "reserved mode".to_owned(),
        },
        Lvt::Error => "fixed".to_owned(),
        Lvt::Cmci | Lvt::Thermal | Lvt::Perf | Lvt::Lint0 | Lvt::Lint1 => {
            DeliveryMode::from_bits((value >> 8) as u8)
                .map_or_else(|| "reserved mode".to_owned(), |mode| format!("{mode:?}"))
        }
    };
    let level = if value & LVT_LEVEL != 0 { ", level" } else { "" };
    let masked = if value & LVT_MASKED != 0 { ", masked" } else { "" };
    format!("vector {:#04x}, {how}{level}{masked}", value as u8)
}

/// The vectors whose bits are set in one register of a bank.
fn vector_words(register: u16, value: u32) -> String {
    let first = u32::from(register >> 4 & 7) * 32;
    let vectors: Vec<String> =
        (0..32).filter(|bit| value >> bit & 1 != 0).map(|bit| format!("{:#04x}", first + bit)).collect();
    vectors.join(" ")
}

impl Lapic {
    /// All registers that can be read, and the two MSRs.
    pub fn registers(&self, now: VirtTime) -> impl Iterator<Item = Register> {
        let mut all = vec![
            Register::plain("IA32_APIC_BASE", MSR_APIC_BASE, self.state.base)
                .meaning(format!("{:?}", self.mode())),
            Register::plain("IA32_TSC_DEADLINE", MSR_TSC_DEADLINE, self.deadline(now)),
        ];
        for offset in REGISTERS {
            let (Some(value), Some(name)) = (self.read_register(now, offset), register_name(offset.into()))
            else {
                continue;
            };
            let words = match offset {
                SVR => bit_names(
                    value.into(),
                    &[(SVR_ENABLE.into(), "enabled"), (SVR_SUPPRESS_EOI.into(), "no-eoi-broadcast")],
                ),
                DFR if value >> 28 == 0xf => "flat".to_owned(),
                DFR => "cluster".to_owned(),
                EOI => continue,
                ISR..ESR => vector_words(offset, value),
                _ => Lvt::at(offset).map_or_else(String::new, |entry| entry_words(entry, value)),
            };
            all.push(Register::plain(name, offset, value).meaning(words));
        }
        all.into_iter()
    }
}
