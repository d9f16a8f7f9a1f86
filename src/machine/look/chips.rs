//! The small chips, in the words of their data sheets, and the event queue.

use super::Machine;
use crate::view::table::{FACTS, REGISTERS, View};
use crate::view::text;
use emu_devices::pic::{ChipState, Stage};
use emu_devices::pit::Access;
use emu_devices::rtc::Calendar;

/// The names of the bits that are set.
fn bits(value: u64, names: &[(u64, &str)]) -> String {
    let set: Vec<&str> = names.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| *name).collect();
    set.join(" ")
}

/// The inputs whose bits are set.
fn inputs(value: u8) -> String {
    let set: Vec<String> = (0..8).filter(|bit| value >> bit & 1 != 0).map(|bit| format!("IR{bit}")).collect();
    set.join(" ")
}

impl Machine {
    /// The 8259 pair (8259A data sheet).
    #[must_use]
    pub fn show_pic(&self) -> View {
        let pic = self.platform.board.pic.state();
        let mut view = View::default();
        for (name, chip) in [("master", &pic.master), ("slave", &pic.slave)] {
            show_8259(&mut view, name, chip);
        }
        view.section("output", FACTS).fact("INTR", if pic.intr { "high" } else { "low" });
        view
    }

    /// The 8254 (data sheet 231244).
    #[must_use]
    pub fn show_pit(&self) -> View {
        const MODES: [&str; 6] = [
            "0, interrupt on terminal count",
            "1, hardware one-shot",
            "2, rate generator",
            "3, square wave",
            "4, software strobe",
            "5, hardware strobe",
        ];
        let pit = self.platform.devices.pit.state();
        let mut view = View::default();
        for (index, counter) in pit.counters.iter().enumerate() {
            let section = view.section(format!("counter {index}, port {:#x}", 0x40 + index), FACTS);
            if !counter.programmed {
                section.fact("mode", "not programmed");
                continue;
            }
            section.fact("mode", MODES.get(usize::from(counter.mode)).unwrap_or(&"?"));
            section.fact("counts in", if counter.bcd { "BCD" } else { "binary" });
            section.fact(
                "access",
                match counter.access {
                    Access::Low => "low byte",
                    Access::High => "high byte",
                    Access::Both => "low byte, then high byte",
                },
            );
            section.fact("count written", counter.register.map_or("none".to_owned(), |n| n.to_string()));
            section.fact("gate", if counter.gate { "high" } else { "low" });
            if counter.null {
                section.fact("null count", "the count written last is not loaded yet");
            }
            if let Some(latched) = counter.latched {
                section.fact("latched count", latched);
            }
            if let Some(run) = counter.run.as_ref().filter(|run| run.count > 0) {
                let hz = 1_193_182 / u64::from(run.count);
                section.fact("counting from", format!("{}, about {hz} times a second", run.count));
            }
        }
        let ports = view.section("outputs", FACTS);
        ports.fact("OUT0", if pit.out0 { "high" } else { "low" });
        ports.fact("port 0x61", format!("{:#04x}", pit.port_b));
        view
    }

    /// The CMOS clock (MC146818A data sheet).
    #[must_use]
    pub fn show_rtc(&self) -> View {
        const B: &[(u64, &str)] = &[
            (0x80, "SET"),
            (0x40, "PIE"),
            (0x20, "AIE"),
            (0x10, "UIE"),
            (8, "SQWE"),
            (4, "DM"),
            (2, "24/12"),
            (1, "DSE"),
        ];
        let rtc = self.platform.devices.rtc.state();
        let mut view = View::default();
        let section = view.section("registers by index", REGISTERS);
        let rate = format!("divider {}, rate {}", rtc.a >> 4 & 7, rtc.a & 15);
        section.register(0xa, "A", rtc.a.into(), 8, &rate);
        section.register(0xb, "B", rtc.b.into(), 8, &bits(rtc.b.into(), B));
        let flags = bits(rtc.flags.into(), &[(0x40, "PF"), (0x20, "AF"), (0x10, "UF")]);
        section.register(0xc, "C", rtc.flags.into(), 8, &flags);
        section.register(
            0x70,
            "index port",
            rtc.index.into(),
            8,
            if rtc.index & 0x80 != 0 { "NMI off" } else { "" },
        );
        let facts = view.section("clock", FACTS);
        match &rtc.calendar {
            Calendar::Running { base } => {
                facts.fact("runs", format!("{base} s after 1970 at {}", rtc.since));
            }
            Calendar::Held(bytes) => {
                facts.fact("held", format!("{bytes:02x?}"));
            }
        }
        facts.fact("IRQ pin", if rtc.irq { "high" } else { "low" });
        view
    }

    /// The 16550 (PC16550D data sheet).
    #[must_use]
    pub fn show_uart(&self) -> View {
        let uart = self.platform.devices.uart.state();
        let mut view = View::default();
        let section = view.section("COM1, registers by offset", REGISTERS);
        let ier = bits(uart.ier.into(), &[(1, "ERBFI"), (2, "ETBEI"), (4, "ELSI"), (8, "EDSSI")]);
        section.register(1, "IER", uart.ier.into(), 8, &ier);
        section.register(
            2,
            "FCR",
            uart.fcr.into(),
            8,
            if uart.fcr & 1 != 0 { "FIFOs on" } else { "FIFOs off" },
        );
        let parity = ["no", "odd", "no", "even", "no", "mark", "no", "space"][usize::from(uart.lcr >> 3 & 7)];
        let stop = if uart.lcr & 4 != 0 { 2 } else { 1 };
        let lcr = format!("{} bits, {parity} parity, {stop} stop", 5 + (uart.lcr & 3));
        section.register(3, "LCR", uart.lcr.into(), 8, &lcr);
        let mcr = [(1, "DTR"), (2, "RTS"), (4, "OUT1"), (8, "OUT2"), (16, "LOOP")];
        section.register(4, "MCR", uart.mcr.into(), 8, &bits(uart.mcr.into(), &mcr));
        let lines = [(0x10, "CTS"), (0x20, "DSR"), (0x40, "RI"), (0x80, "DCD")];
        section.register(6, "MSR lines", uart.lines.into(), 8, &bits(uart.lines.into(), &lines));
        section.register(7, "SCR", uart.scratch.into(), 8, "");
        let facts = view.section("line", FACTS);
        let divisor = if uart.divisor == 0 { 65_536 } else { u32::from(uart.divisor) };
        facts.fact("speed", format!("{} baud, divisor {}", 115_200 / divisor, uart.divisor));
        facts.fact("receive FIFO", format!("{} characters", uart.rx.len()));
        facts.fact("transmit FIFO", format!("{} characters", uart.tx.len()));
        facts.fact("interrupt pin", if uart.intr { "high" } else { "low" });
        view
    }

    /// Power management (ACPI 6.5, 4.8; ICH9 data sheet, 13.8).
    #[must_use]
    pub fn show_acpi(&self) -> View {
        let pm = self.platform.devices.acpi_pm.state();
        let mut view = View::default();
        let section = view.section("registers by offset from PMBASE", REGISTERS);
        let events = [
            (1, "TMR"),
            (0x20, "GBL"),
            (0x100, "PWRBTN"),
            (0x200, "SLPBTN"),
            (0x400, "RTC"),
            (0x8000, "WAK"),
        ];
        section.register(0, "PM1_STS", pm.status.into(), 16, &bits(pm.status.into(), &events));
        section.register(2, "PM1_EN", pm.enable.into(), 16, &bits(pm.enable.into(), &events));
        let control = bits(pm.control.into(), &[(1, "SCI_EN"), (2, "BM_RLD"), (4, "GBL_RLS")]);
        section.register(4, "PM1_CNT", pm.control.into(), 16, &control);
        section.register(0x28, "GPE0_EN", pm.gpe_enable, 64, "");
        view.section("output", FACTS).fact("SCI", if pm.sci { "high" } else { "low" });
        view
    }

    /// The keyboard controller (8042).
    #[must_use]
    pub fn show_kbc(&self) -> View {
        let kbc = self.platform.devices.kbc.state();
        let mut view = View::default();
        let command = bits(
            kbc.ram[0].into(),
            &[
                (1, "keyboard interrupt"),
                (2, "mouse interrupt"),
                (4, "system flag"),
                (0x10, "keyboard off"),
                (0x40, "translate"),
            ],
        );
        let section = view.section("8042", REGISTERS);
        section.register(0, "command byte", kbc.ram[0].into(), 8, &command);
        section.register(0x60, "output", kbc.output.into(), 8, if kbc.full { "full" } else { "empty" });
        view
    }

    /// What is going to happen, and when.
    #[must_use]
    pub fn show_events(&self) -> View {
        let mut view = View::default();
        let section = view.section("events, earliest first", &["time", "in", "chip", "token", "cause"]);
        for (when, event) in self.platform.board.fabric.events.iter() {
            section.row([
                text::time(when),
                format!("+{}", when.since(self.now())),
                event.slot.to_string(),
                format!("token {}", event.token),
                event.cause.map_or(String::new(), |cause| format!("<- {cause}")),
            ]);
        }
        view
    }
}

fn show_8259(view: &mut View, name: &str, chip: &ChipState) {
    let section = view.section(format!("8259 {name}"), REGISTERS);
    for (place, name, value) in [
        (0, "IRR", chip.lines & (chip.edges | chip.elcr)),
        (1, "ISR", chip.isr),
        (2, "IMR", chip.imr),
        (3, "ELCR", chip.elcr),
        (4, "lines", chip.lines),
    ] {
        section.register(place, name, value.into(), 8, &inputs(value));
    }
    let first = chip.base & 0xf8;
    let ready = match chip.stage {
        Stage::Ready => format!("vectors {first:#x} to {:#x}", first | 7),
        _ => "not initialized".to_owned(),
    };
    section.register(5, "ICW2", chip.base.into(), 8, &ready);
    section.register(6, "ICW4", chip.icw4.into(), 8, if chip.icw4 & 2 != 0 { "automatic EOI" } else { "" });
}
