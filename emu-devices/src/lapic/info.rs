//! What each register is for, and its fields by name, for people: SDM volume 3A, chapter 12.

use super::spec::*;

/// What a register is for, and its fields: mask, name, and what it says.
pub type RegisterInfo = (&'static str, &'static [(u64, &'static str, &'static str)]);

const ENTRY: &[(u64, &str, &str)] = &[
    (0xff, "vector", ""),
    (7 << 8, "delivery mode", "0 fixed, 2 SMI, 4 NMI, 5 INIT, 7 ExtINT"),
    (LVT_STATUS as u64, "delivery status", "on its way"),
    (LVT_LOW_ACTIVE as u64, "polarity", "active low"),
    (LVT_REMOTE_IRR as u64, "remote IRR", "waits for the EOI"),
    (LVT_LEVEL as u64, "trigger mode", "level"),
    (LVT_MASKED as u64, "mask", ""),
];
const TIMER: &[(u64, &str, &str)] = &[
    (0xff, "vector", ""),
    (LVT_STATUS as u64, "delivery status", "on its way"),
    (LVT_MASKED as u64, "mask", ""),
    (LVT_TIMER_MODE as u64, "timer mode", "0 one-shot, 1 periodic, 2 TSC-deadline"),
];
const COMMAND: &[(u64, &str, &str)] = &[
    (0xff, "vector", ""),
    (7 << 8, "delivery mode", "0 fixed, 2 SMI, 4 NMI, 5 INIT, 6 start-up"),
    (ICR_LOGICAL, "destination mode", "logical"),
    (1 << 12, "delivery status", "on its way"),
    (ICR_ASSERT, "level", "assert"),
    (ICR_LEVEL, "trigger mode", "level"),
    (3 << 18, "shorthand", "0 none, 1 self, 2 all, 3 all but self"),
];
const SPURIOUS: &[(u64, &str, &str)] = &[
    (0xff, "spurious vector", ""),
    (SVR_ENABLE as u64, "APIC enable", ""),
    (SVR_FOCUS as u64, "focus processor checking", ""),
    (SVR_SUPPRESS_EOI as u64, "EOI-broadcast suppression", ""),
];
const ERRORS: &[(u64, &str, &str)] = &[
    (ERROR_SEND_VECTOR as u64, "send illegal vector", ""),
    (ERROR_RECEIVE_VECTOR as u64, "receive illegal vector", ""),
    (ERROR_REGISTER as u64, "illegal register address", ""),
];
const PRIORITY: &[(u64, &str, &str)] =
    &[(0xf0, "class", "vectors of this class and below wait"), (0xf, "sub-class", "")];

/// By offset, as in [`register_name`].
#[must_use]
pub fn register_info(offset: u64) -> Option<RegisterInfo> {
    let register = u16::try_from(offset & !0xf).ok()?;
    Some(match register {
        ID => ("this local APIC's id", &[]),
        VERSION => ("version", &[(0xff, "version", ""), (0xff << 16, "last LVT entry", "")]),
        TPR => ("task priority: what the guest wants to hear of", PRIORITY),
        APR => ("arbitration priority", PRIORITY),
        PPR => ("processor priority: the higher of the task's and the interrupt in service's", PRIORITY),
        EOI => ("end of interrupt: written when the handler is done", &[]),
        RRR => ("remote read", &[]),
        LDR => ("logical destination: the groups that this processor is in", &[]),
        DFR => ("destination format", &[(0xf << 28, "model", "15 flat, 0 cluster")]),
        SVR => ("spurious interrupt vector, and the switch of the whole local APIC", SPURIOUS),
        0x100..=0x170 => ("in service: a bit for each vector whose handler has not said EOI", &[]),
        0x180..=0x1f0 => ("trigger mode: a bit for each vector that came level-triggered", &[]),
        0x200..=0x270 => ("interrupt request: a bit for each vector that waits for the processor", &[]),
        ESR => ("errors", ERRORS),
        ICR => ("interrupt command: writing it sends an interrupt to processors", COMMAND),
        ICR_HIGH => ("interrupt command: for whom", &[(0xff << 24, "destination", "")]),
        LVT_TIMER => ("local vector table: the timer", TIMER),
        LVT_CMCI => ("local vector table: corrected machine checks", ENTRY),
        LVT_THERMAL => ("local vector table: thermal sensor", ENTRY),
        LVT_PERF => ("local vector table: performance counters", ENTRY),
        LVT_LINT0 => ("local vector table: pin LINT0, the 8259 pair", ENTRY),
        LVT_LINT1 => ("local vector table: pin LINT1, NMI", ENTRY),
        LVT_ERROR => ("local vector table: the errors of ESR", ENTRY),
        INITIAL_COUNT => ("timer: counts down from here; writing it starts", &[]),
        CURRENT_COUNT => ("timer: where it is", &[]),
        DIVIDE => ("timer: divider", &[(0xb, "divide", "bits 3, 1 and 0: 0 is 2, then 4 to 128, 7 is 1")]),
        SELF_IPI => ("sends a vector to this very processor", &[(0xff, "vector", "")]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_is_explained_and_no_bit_twice() {
        for offset in REGISTERS {
            let (_, fields) = register_info(offset.into()).unwrap_or_else(|| panic!("{offset:#x}"));
            let mut seen = 0;
            for (mask, name, _) in fields {
                assert!(*mask != 0 && mask & seen == 0, "{name} at {offset:#x}");
                seen |= mask;
            }
        }
    }
}
