//! gdb's `monitor` commands: what only this machine knows.

use super::target::Target;
use super::watch::Extra;
use crate::machine::{Hit, Machine, RecordStop, Stop, snapshot};
use crate::position::Position;
use crate::view::filter::Filter;
use crate::view::{Journey, names, symbol_file, text};
use emu_core::cpu::DataStop;
use emu_core::trace::{TraceKind, TraceMask};
use emu_core::{Bdf, Gpa, Iova, Lin, Slot};
use std::path::Path;

const HELP: &str = "\
inspect cpu|screen|apic|ioapic|pci|e1000|iommu|pic|pit|rtc|uart|acpi|kbc|events   a chip, register by register
inspect memory ADDRESS [BYTES]          physical memory
inspect walk BUS:DEV.FN IOVA            a DMA's translation, level by level
translate ADDRESS                       where a linear address is in physical memory
physical on|off                         whether gdb's addresses are physical
position                                where the run is
goto POSITION                           to insns=N, time=2s, packet=N, record=N or serial=TEXT, forwards or back;
                                        then `maintenance flush register-cache`
why                                     what the machine was stopped by
journey N                               the way of frame N, as far as it has come
watch iova [BUS:DEV.FN] ADDRESS [BYTES] [r|w|rw]     a device's DMA, by its own address
watch physical ADDRESS [BYTES] [r|w|rw]              memory, whoever accesses it
watch register e1000.RDT [r|w|rw]                    a device register
catch packet [N] | interrupt [VECTOR] | exception [VECTOR] | fault
catch EXPRESSION                        a trace record, as `glassbox trace --where` has it
stops                                   what `watch` and `catch` have set
delete N|all                            takes one back
snapshot FILE                           keeps this moment
symbols FILE                            writes the guest's symbols as an ELF file, for gdb's `symbol-file`";

/// Bytes of memory shown at most.
const MEMORY_MAX: u64 = 1 << 16;

/// What stopped the run, in words.
pub(super) fn describe(hit: &Hit) -> String {
    match hit {
        Hit::Code => "a breakpoint".to_owned(),
        Hit::Data(hit) => format!(
            "the processor {} {} bytes at {:#x} (physical {:#x}), insns={}",
            if hit.write { "writes" } else { "reads" },
            hit.len,
            hit.lin.0,
            hit.gpa.0,
            hit.insns
        ),
        Hit::Record { record, .. } => format!("record={}: {}", record.id.0, text::line(record)),
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    let parsed = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    parsed.map_err(|_| format!("`{text}` is no number"))
}

/// `BYTES` and `r|w|rw`, either of which may be left out.
fn range_and_ways(
    start: u64,
    words: &[&str],
    len: u64,
) -> Result<(std::ops::Range<u64>, bool, bool), String> {
    let (mut len, mut ways) = (len, (false, true));
    for word in words {
        match *word {
            "r" => ways = (true, false),
            "w" => ways = (false, true),
            "rw" => ways = (true, true),
            bytes => len = number(bytes)?,
        }
    }
    Ok((start..start.saturating_add(len), ways.0, ways.1))
}

/// `e1000.RDT`: the chip's name as records have it, with or without its index, and the register's. The card has some at
/// two places.
fn register(name: &str) -> Result<(Slot, Vec<u64>), String> {
    /// The largest window of registers is the card's.
    const WINDOW: u64 = 0x2_0000;
    let refuse =
        || format!("no register `{name}`: e1000.RDT, iommu.GSTS, lapic.EOI, ioapic.IOREGSEL for instance");
    let (chip, wanted) = name.rsplit_once('.').ok_or_else(refuse)?;
    let slot = match chip {
        "e1000" | "e1000.0" => Slot::Nic(0),
        "iommu" | "iommu0" => Slot::Iommu(0),
        "lapic" | "lapic0" => Slot::Lapic(0),
        "ioapic" => Slot::Ioapic,
        _ => return Err(refuse()),
    };
    let full = format!("{slot} {wanted}");
    let found: Vec<u64> =
        (0..WINDOW).step_by(4).filter(|offset| names::register(slot, *offset) == full).collect();
    if found.is_empty() { Err(refuse()) } else { Ok((slot, found)) }
}

fn bdf(text: &str) -> Option<Bdf> {
    let (bus, rest) = text.split_once(':')?;
    let (device, function) = rest.split_once('.')?;
    let part = |digits: &str, max: u8| u8::from_str_radix(digits, 16).ok().filter(|value| *value <= max);
    Some(Bdf::new(part(bus, 255)?, part(device, 31)?, part(function, 7)?))
}

fn inspect(machine: &Machine, words: &[&str]) -> Result<String, String> {
    Ok(match words {
        ["cpu"] => machine.show_cpu_with(&machine.symbols()).to_string(),
        ["screen"] => machine.show_screen(),
        ["apic"] => machine.show_apic().to_string(),
        ["ioapic"] => machine.show_ioapic().to_string(),
        ["pci"] => machine.show_pci().to_string(),
        ["e1000"] => machine.show_e1000().to_string(),
        ["iommu"] => machine.show_iommu().to_string(),
        ["pic"] => machine.show_pic().to_string(),
        ["pit"] => machine.show_pit().to_string(),
        ["rtc"] => machine.show_rtc().to_string(),
        ["uart"] => machine.show_uart().to_string(),
        ["acpi"] => machine.show_acpi().to_string(),
        ["kbc"] => machine.show_kbc().to_string(),
        ["events"] => machine.show_events().to_string(),
        ["memory", from, rest @ ..] => {
            let len = rest.first().map_or(Ok(256), |len| number(len))?;
            machine.show_memory(Gpa(number(from)?), len.min(MEMORY_MAX)).to_string()
        }
        ["walk", by, iova] => {
            let bdf = bdf(by).ok_or_else(|| format!("`{by}` is not of the form 00:02.0"))?;
            machine.show_walk(bdf, Iova(number(iova)?)).to_string()
        }
        _ => return Err("inspect what?".to_owned()),
    })
}

impl Target<'_> {
    /// Carries a command out; answers what to print.
    pub(super) fn monitor(&mut self, command: &str) -> Result<String, String> {
        let words: Vec<&str> = command.split_ascii_whitespace().collect();
        let machine = self.timeline.machine();
        match &words[..] {
            [] | ["help"] => Ok(HELP.to_owned()),
            ["inspect", what @ ..] => inspect(machine, what),
            ["translate", address] => {
                let address = number(address)?;
                let gpa = machine.translate(Lin(address));
                gpa.map(|gpa| format!("{:#x}", gpa.0)).ok_or_else(|| format!("{address:#x} is not mapped"))
            }
            ["physical", on @ ("on" | "off")] => {
                self.physical = *on == "on";
                Ok(format!("addresses are {}", if self.physical { "physical" } else { "linear" }))
            }
            ["position"] => Ok(position(machine)),
            ["goto", ..] => self.go_to(command.trim_start().trim_start_matches("goto").trim()),
            ["why"] => Ok(self.why.clone()),
            ["journey", packet] => self.journey(number(packet)?),
            ["watch", what @ ..] => self.watch(what),
            ["catch", what @ ..] => self.catch(what),
            ["stops"] => Ok(self.list()),
            ["delete", "all"] => {
                self.watches.extra.clear();
                Ok("none left".to_owned())
            }
            ["delete", index] => {
                let index = number(index)? as usize;
                if index >= self.watches.extra.len() {
                    return Err(format!("there is no stop {index}"));
                }
                self.watches.extra.remove(index);
                Ok(self.list())
            }
            ["snapshot", file] => {
                snapshot::save(machine, Path::new(file)).map_err(|error| error.to_string())?;
                Ok(format!("{file}: {}", position(machine)))
            }
            ["symbols", file] => {
                let symbols = machine.symbols();
                if symbols.is_empty() {
                    return Err("the guest shows no symbols yet".to_owned());
                }
                std::fs::write(file, symbol_file::elf(&symbols))
                    .map_err(|error| format!("{file}: {error}"))?;
                Ok(format!("{file}: {} symbols", symbols.len()))
            }
            _ => Err(format!("no command `{command}`")),
        }
    }

    fn go_to(&mut self, text: &str) -> Result<String, String> {
        let aim: Position =
            text.parse().map_err(|error: crate::position::PositionError| error.to_string())?;
        let stop = self.timeline.go_to(&aim);
        self.why = format!("goto {aim}");
        if stop == Stop::Reached {
            return Ok(position(self.timeline.machine()));
        }
        Ok(format!("the run ends before: {}, {}", stop.name(), position(self.timeline.machine())))
    }

    fn journey(&mut self, packet: u64) -> Result<String, String> {
        let from = packet.checked_sub(1).map_or(Position::Insns(0), Position::Packet);
        let log = self.timeline.records_since(&from);
        let journey = Journey::follow(&log, packet);
        journey.map(|journey| journey.to_text()).ok_or_else(|| format!("frame {packet} has not come in yet"))
    }

    fn add(&mut self, extra: Extra) -> Result<String, String> {
        self.watches.extra.push(extra);
        Ok(self.list())
    }

    fn watch(&mut self, words: &[&str]) -> Result<String, String> {
        match words {
            ["iova", by, address, rest @ ..] if bdf(by).is_some() => {
                let (range, read, write) = range_and_ways(number(address)?, rest, 1)?;
                self.add(Extra::Record(RecordStop::Iova { bdf: bdf(by), range, read, write }))
            }
            ["iova", address, rest @ ..] => {
                let (range, read, write) = range_and_ways(number(address)?, rest, 1)?;
                self.add(Extra::Record(RecordStop::Iova { bdf: None, range, read, write }))
            }
            ["physical", address, rest @ ..] => {
                let (range, read, write) = range_and_ways(number(address)?, rest, 1)?;
                let data = DataStop { linear: None, physical: vec![range.clone()], read, write };
                let dma = RecordStop::Physical { ranges: vec![range], read, write };
                self.add(Extra::Physical(data, dma))
            }
            ["register", name, rest @ ..] => {
                let (slot, offsets) = register(name)?;
                let (_, read, write) = range_and_ways(0, rest, 4)?;
                let ranges = offsets.into_iter().map(|offset| offset..offset + 4).collect();
                self.add(Extra::Record(RecordStop::Register { slot, ranges, read, write }))
            }
            _ => Err("watch what?".to_owned()),
        }
    }

    fn catch(&mut self, words: &[&str]) -> Result<String, String> {
        let vector = |text: &str| u8::try_from(number(text)?).map_err(|_| format!("`{text}` is no vector"));
        let stop = match words {
            ["packet"] => RecordStop::Packet(None),
            ["packet", n] => RecordStop::Packet(Some(number(n)?)),
            ["interrupt"] => RecordStop::Interrupt(None),
            ["interrupt", n] => RecordStop::Interrupt(Some(vector(n)?)),
            ["exception"] => RecordStop::Exception(None),
            ["exception", n] => RecordStop::Exception(Some(vector(n)?)),
            ["fault"] => RecordStop::Fault,
            [] => return Err("catch what?".to_owned()),
            words => {
                let condition = words.join(" ").parse().map_err(|error| format!("{error}"))?;
                let kinds = TraceKind::ALL.iter().fold(TraceMask::NONE, |mask, (kind, ..)| mask.with(*kind));
                let filter = Filter { kinds, condition: Some(condition), ..Filter::default() };
                RecordStop::Matching(Box::new(filter))
            }
        };
        self.add(Extra::Record(stop))
    }

    fn list(&self) -> String {
        if self.watches.extra.is_empty() {
            return "none".to_owned();
        }
        let line = |(index, extra): (usize, &Extra)| match extra {
            Extra::Record(record) => format!("{index}: {record}\n"),
            Extra::Physical(_, record) => format!("{index}: {record} or by the processor\n"),
        };
        self.watches.extra.iter().enumerate().map(line).collect()
    }
}

fn position(machine: &Machine) -> String {
    let parts = machine.parts();
    let frames = parts.frames_in.checked_sub(1).map_or_else(String::new, |last| format!(" packet={last}"));
    format!(
        "insns={} {} record={}{frames}",
        machine.insns(),
        Position::Time(machine.now()),
        parts.tracer.next_id
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_found_by_the_manuals_names() {
        assert!(register("e1000.RDT").is_ok_and(|(slot, at)| slot == Slot::Nic(0) && at.contains(&0x2818)));
        assert!(register("iommu.GSTS_REG").or_else(|_| register("iommu.GSTS")).is_ok());
        assert!(register("e1000.NONSENSE").is_err() && register("RDT").is_err());
    }

    #[test]
    fn ranges_and_ways_come_in_any_order() {
        assert_eq!(range_and_ways(16, &[], 4), Ok((16..20, false, true)));
        assert_eq!(range_and_ways(16, &["rw", "0x10"], 4), Ok((16..32, true, true)));
        assert!(range_and_ways(16, &["x"], 4).is_err());
    }
}
