//! Records as waveforms (value change dump, IEEE 1364-2005, clause 18): interrupt lines, the card's heads and tails, the local
//! APIC's IRR and ISR, what the processor is doing. For GTKWave and its like.

use super::file::Meta;
use emu_core::trace::{CpuMode, Ring, TraceEvent, TraceRecord};
use emu_core::{Pin, Slot};
use emu_devices::e1000::spec;
use std::io::{self, Write};

/// Vectors.
const VECTORS: u16 = 256;

/// A signal, its name and its width.
type Row = (Signal, &'static str, u16);

/// Signals by scope.
const SIGNALS: [(&str, &[Row]); 6] = [
    (
        "wire",
        &[
            (Signal::FrameIn, "frame_in", 32),
            (Signal::FrameOut, "frame_out", 32),
            (Signal::FrameDrop, "frame_dropped", 32),
        ],
    ),
    (
        "e1000",
        &[
            (Signal::RxHead, "rdh", 16),
            (Signal::RxTail, "rdt", 16),
            (Signal::TxHead, "tdh", 16),
            (Signal::TxTail, "tdt", 16),
            (Signal::Icr, "icr", 32),
            (Signal::Ims, "ims", 32),
            (Signal::Inta, "inta", 1),
        ],
    ),
    (
        "iommu",
        &[
            (Signal::IotlbHits, "iotlb_hits", 32),
            (Signal::IotlbMisses, "iotlb_misses", 32),
            (Signal::Faults, "faults", 32),
        ],
    ),
    (
        "lines",
        &[
            (Signal::PitLine, "pit", 1),
            (Signal::RtcLine, "rtc", 1),
            (Signal::UartLine, "uart0", 1),
            (Signal::AcpiLine, "acpi_sci", 1),
            (Signal::PicIntr, "pic_intr", 1),
        ],
    ),
    ("lapic0", &[(Signal::Irr, "irr", VECTORS), (Signal::Isr, "isr", VECTORS), (Signal::Tpr, "tpr", 8)]),
    ("cpu0", &[(Signal::Vector, "vector", 8), (Signal::Halted, "halted", 1), (Signal::Mode, "mode", 3)]),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Signal {
    FrameIn,
    FrameOut,
    FrameDrop,
    RxHead,
    RxTail,
    TxHead,
    TxTail,
    Icr,
    Ims,
    Inta,
    IotlbHits,
    IotlbMisses,
    Faults,
    PitLine,
    RtcLine,
    UartLine,
    AcpiLine,
    PicIntr,
    Irr,
    Isr,
    Tpr,
    Vector,
    Halted,
    Mode,
}

impl Signal {
    /// What the file calls it: one printable character.
    fn code(self) -> char {
        char::from(b'!' + self as u8)
    }
}

/// Writes the file. A signal is unknown (`x`) until a record speaks of it.
#[derive(Debug, Default)]
pub struct Vcd {
    now: Option<u64>,
    rx_len: u64,
    tx_len: u64,
    icr: u32,
    hits: u64,
    misses: u64,
    faults: u64,
    irr: Vector256,
    isr: Vector256,
    /// Handlers entered and not left, innermost last.
    handlers: Vec<u8>,
}

/// One bit a vector.
#[derive(Clone, Copy, Debug, Default)]
struct Vector256([u64; 4]);

impl Vector256 {
    fn set(&mut self, vector: u8, on: bool) {
        let (word, bit) = (usize::from(vector / 64), 1 << (vector % 64));
        self.0[word] = if on { self.0[word] | bit } else { self.0[word] & !bit };
    }

    fn bits(self) -> String {
        self.0.iter().rev().map(|word| format!("{word:064b}")).collect()
    }
}

impl Vcd {
    pub(super) fn begin(&mut self, out: &mut dyn Write, meta: &Meta) -> io::Result<()> {
        writeln!(out, "$version glassbox {} $end", meta.version)?;
        if !meta.title.is_empty() {
            writeln!(out, "$comment {} $end", meta.title.replace('$', " "))?;
        }
        writeln!(out, "$timescale 1ps $end")?;
        for (scope, signals) in SIGNALS {
            writeln!(out, "$scope module {scope} $end")?;
            for (signal, name, width) in signals {
                let range = if *width > 1 { format!(" [{}:0]", width - 1) } else { String::new() };
                writeln!(out, "$var wire {width} {} {name}{range} $end", signal.code())?;
            }
            writeln!(out, "$upscope $end")?;
        }
        writeln!(out, "$enddefinitions $end")
    }

    /// The last moment, so that a viewer shows the end.
    pub(super) fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.now.map_or(Ok(()), |now| writeln!(out, "#{}", now + 1))
    }

    pub(super) fn record(&mut self, out: &mut dyn Write, record: &TraceRecord) -> io::Result<()> {
        let changes = self.changes(record);
        if changes.is_empty() {
            return Ok(());
        }
        let now = record.time.0.max(self.now.unwrap_or(0));
        if self.now != Some(now) {
            writeln!(out, "#{now}")?;
            self.now = Some(now);
        }
        for (signal, bits) in changes {
            let blank = if bits.len() == 1 { "" } else { " " };
            let radix = if bits.len() == 1 { "" } else { "b" };
            writeln!(out, "{radix}{bits}{blank}{}", signal.code())?;
        }
        Ok(())
    }

    fn changes(&mut self, record: &TraceRecord) -> Vec<(Signal, String)> {
        let number = |signal, value: u64, width: usize| {
            let bits = format!("{value:0width$b}");
            vec![(signal, bits[bits.len() - width..].to_owned())]
        };
        let line = |signal, high: bool| vec![(signal, u8::from(high).to_string())];
        match record.event {
            TraceEvent::FrameIn { packet, .. } => number(Signal::FrameIn, packet, 32),
            TraceEvent::FrameOut { packet, .. } => number(Signal::FrameOut, packet, 32),
            TraceEvent::FrameDrop { packet, .. } => number(Signal::FrameDrop, packet, 32),
            TraceEvent::DescWriteBack { ring: Ring::Rx, index, .. } => {
                number(Signal::RxHead, next(index, self.rx_len), 16)
            }
            TraceEvent::DescWriteBack { ring: Ring::Tx, index, .. } => {
                number(Signal::TxHead, next(index, self.tx_len), 16)
            }
            TraceEvent::NicCause { icr, ims, .. } => {
                self.icr = icr;
                let mut both = number(Signal::Icr, icr.into(), 32);
                both.extend(number(Signal::Ims, ims.into(), 32));
                both
            }
            TraceEvent::MmioRead { offset, value, .. } if matches!(record.source, Slot::Nic(_)) => {
                if offset != u64::from(spec::ICR) {
                    return Vec::new();
                }
                self.icr &= !(value as u32);
                number(Signal::Icr, self.icr.into(), 32)
            }
            TraceEvent::MmioWrite { offset, value, .. } if matches!(record.source, Slot::Nic(_)) => {
                match u32::try_from(offset) {
                    Ok(spec::RDT) => number(Signal::RxTail, value, 16),
                    Ok(spec::TDT) => number(Signal::TxTail, value, 16),
                    Ok(spec::RDLEN) => {
                        self.rx_len = value / 16;
                        number(Signal::RxHead, 0, 16)
                    }
                    Ok(spec::TDLEN) => {
                        self.tx_len = value / 16;
                        number(Signal::TxHead, 0, 16)
                    }
                    _ => Vec::new(),
                }
            }
            TraceEvent::IotlbHit { .. } => {
                self.hits += 1;
                number(Signal::IotlbHits, self.hits, 32)
            }
            TraceEvent::IotlbMiss { .. } => {
                self.misses += 1;
                number(Signal::IotlbMisses, self.misses, 32)
            }
            TraceEvent::RemapFault { .. } => {
                self.faults += 1;
                number(Signal::Faults, self.faults, 32)
            }
            TraceEvent::PinLevel { pin, high } => match (record.source, pin) {
                (Slot::Nic(0), Pin(0)) => line(Signal::Inta, high),
                (Slot::Pit, Pin(0)) => line(Signal::PitLine, high),
                (Slot::Rtc, Pin(0)) => line(Signal::RtcLine, high),
                (Slot::Uart(0), Pin(0)) => line(Signal::UartLine, high),
                (Slot::AcpiPm, Pin(0)) => line(Signal::AcpiLine, high),
                _ => Vec::new(),
            },
            TraceEvent::PicIntr { high } => line(Signal::PicIntr, high),
            _ => self.processor_changes(record),
        }
    }

    fn processor_changes(&mut self, record: &TraceRecord) -> Vec<(Signal, String)> {
        let byte = |signal, value: u8| (signal, format!("{value:08b}"));
        if !matches!(record.source, Slot::Cpu(0) | Slot::Lapic(0)) {
            return Vec::new();
        }
        match record.event {
            TraceEvent::LapicIrr { vector, .. } => {
                self.irr.set(vector, true);
                vec![(Signal::Irr, self.irr.bits())]
            }
            TraceEvent::LapicIsr { vector } => {
                self.irr.set(vector, false);
                self.isr.set(vector, true);
                vec![(Signal::Irr, self.irr.bits()), (Signal::Isr, self.isr.bits())]
            }
            TraceEvent::LapicEoi { vector, .. } => {
                self.isr.set(vector, false);
                vec![(Signal::Isr, self.isr.bits())]
            }
            TraceEvent::LapicTpr { value } => vec![byte(Signal::Tpr, value)],
            TraceEvent::CpuInterrupt { vector, .. } => {
                self.handlers.push(vector);
                vec![byte(Signal::Vector, vector), (Signal::Halted, "0".to_owned())]
            }
            TraceEvent::CpuIret { .. } if record.cause.is_some() => {
                self.handlers.pop();
                vec![byte(Signal::Vector, self.handlers.last().copied().unwrap_or(0))]
            }
            TraceEvent::CpuHalt { .. } => vec![(Signal::Halted, "1".to_owned())],
            TraceEvent::CpuMode { mode } => vec![(Signal::Mode, format!("{:03b}", mode_code(mode)))],
            _ => Vec::new(),
        }
    }
}

/// The head after a descriptor of a ring of `len`.
fn next(index: u32, len: u64) -> u64 {
    (u64::from(index) + 1).checked_rem(len).unwrap_or(u64::from(index) + 1)
}

/// In the order in which a boot goes through them.
fn mode_code(mode: CpuMode) -> u8 {
    match mode {
        CpuMode::Real => 0,
        CpuMode::Virtual8086 => 1,
        CpuMode::Protected16 => 2,
        CpuMode::Protected32 => 3,
        CpuMode::Compatibility => 4,
        CpuMode::Long64 => 5,
    }
}
