//! I/O ports: which chip answers, and what the trace says of it.

use super::board::Board;
use super::layout;
use super::platform::Platform;
use emu_core::cpu::Reply;
use emu_core::trace::TraceEvent;
use emu_core::{IoError, Slot, Width};
use emu_devices::debug_port;
use emu_devices::pci::{CONFIG_ADDRESS, Space};
use std::ops::RangeInclusive;

/// Ports that never move, by chip.
mod fixed {
    use super::RangeInclusive;

    pub(super) const PIC: [u16; 6] = [0x20, 0x21, 0xa0, 0xa1, 0x4d0, 0x4d1];
    pub(super) const PIT: [u16; 5] = [0x40, 0x41, 0x42, 0x43, 0x61];
    pub(super) const KBC: [u16; 3] = [0x60, 0x64, 0x92];
    pub(super) const RTC: [u16; 2] = [0x70, 0x71];
    /// SMI command and status, reset control.
    pub(super) const POWER: [u16; 3] = [0xb2, 0xb3, 0xcf9];
    pub(super) const COM1: RangeInclusive<u16> = 0x3f8..=0x3ff;
    pub(super) const CONFIG_DATA: RangeInclusive<u16> = 0xcfc..=0xcff;
}

/// Who answers a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Pic,
    Pit,
    Kbc,
    Rtc,
    Uart(u16),
    /// By the port that it has when PMBASE is not moved.
    AcpiPm(u16),
    DebugPort,
    Nic(u64),
    ConfigAddress,
    ConfigData,
    Nobody,
}

impl Answer {
    fn slot(self) -> Slot {
        match self {
            Self::Pic => Slot::Pic,
            Self::Pit => Slot::Pit,
            Self::Kbc => Slot::Kbc,
            Self::Rtc => Slot::Rtc,
            Self::Uart(_) => Slot::Uart(0),
            Self::AcpiPm(_) => Slot::AcpiPm,
            Self::DebugPort => Slot::DebugPort,
            Self::Nic(_) => Slot::Nic(0),
            Self::ConfigAddress | Self::ConfigData => Slot::Pci,
            Self::Nobody => Slot::Cpu(0),
        }
    }
}

impl Platform {
    fn who(&self, port: u16, width: Width) -> Answer {
        match port {
            CONFIG_ADDRESS if width == Width::B4 => Answer::ConfigAddress,
            _ if fixed::PIC.contains(&port) => Answer::Pic,
            _ if fixed::PIT.contains(&port) => Answer::Pit,
            _ if fixed::KBC.contains(&port) => Answer::Kbc,
            _ if fixed::RTC.contains(&port) => Answer::Rtc,
            _ if fixed::POWER.contains(&port) => Answer::AcpiPm(port),
            _ if fixed::COM1.contains(&port) => Answer::Uart(port - fixed::COM1.start()),
            _ if fixed::CONFIG_DATA.contains(&port) => Answer::ConfigData,
            _ if debug_port::register_name(port).is_some() => Answer::DebugPort,
            _ => self.window_at(port),
        }
    }

    /// Ports that configuration space places.
    fn window_at(&self, port: u16) -> Answer {
        let port = u64::from(port);
        if let Some(offset) = self.devices.lpc.pm_ports().and_then(|window| window.offset_of(Space::Io, port))
        {
            return Answer::AcpiPm(layout::PM_PORTS + offset as u16);
        }
        let mut windows = self.devices.nic_windows();
        windows.find_map(|window| window.offset_of(Space::Io, port)).map_or(Answer::Nobody, Answer::Nic)
    }

    /// IN.
    pub(super) fn read_port_space(&mut self, port: u16, width: Width) -> Reply {
        let answer = self.who(port, width);
        if answer == Answer::ConfigData {
            return match self.devices.config_ports.data_target(port, width) {
                Some(at) => self.read_config(at, width),
                None => Reply { value: width.mask(), cost: self.board.timing.port.0 },
            };
        }
        let read = self.board.fabric.tracer.announce();
        let Board { fabric, pic, .. } = &mut self.board;
        let devices = &mut self.devices;
        let mut env = fabric.env();
        let result = match answer {
            Answer::Pic => pic.read(&mut env, port, width),
            Answer::Pit => devices.pit.read(&mut env, port, width),
            Answer::Kbc => devices.kbc.read(&mut env, port, width),
            Answer::Rtc => devices.rtc.read(&mut env, port, width),
            Answer::Uart(offset) => devices.uart.read(&mut env, offset, width),
            Answer::AcpiPm(port) => devices.acpi_pm.read(&mut env, port, width),
            Answer::DebugPort => devices.debug_port.read(&mut env, port, width),
            Answer::Nic(offset) => self.with_nic(|nic, ctx, _| nic.io_read(ctx, offset, width)),
            Answer::ConfigAddress => devices.config_ports.read_address(port, width).map(u64::from),
            Answer::ConfigData | Answer::Nobody => Err(IoError::NoRegister),
        };
        let value = self.port_answer(answer, port, width, false, result);
        let event = TraceEvent::PortRead { port, width, value: value as u32 };
        self.board.fabric.tracer.tell(read, answer.slot(), event);
        Reply { value, cost: self.board.timing.port.0 }
    }

    /// OUT. What it sets in motion has it as its cause.
    pub(super) fn write_port_space(&mut self, port: u16, width: Width, value: u32) -> Reply {
        let answer = self.who(port, width);
        if answer == Answer::ConfigData {
            return match self.devices.config_ports.data_target(port, width) {
                Some(at) => self.write_config(at, width, value),
                None => Reply { value: 0, cost: self.board.timing.port.0 },
            };
        }
        let id = self.board.fabric.env().trace(answer.slot(), TraceEvent::PortWrite { port, width, value });
        self.board.fabric.tracer.set_cause(Some(id));
        let Board { fabric, pic, .. } = &mut self.board;
        let devices = &mut self.devices;
        let mut env = fabric.env();
        let wide = u64::from(value);
        let result = match answer {
            Answer::Pic => pic.write(&mut env, port, width, wide),
            Answer::Pit => devices.pit.write(&mut env, port, width, wide),
            Answer::Kbc => devices.kbc.write(&mut env, port, width, wide),
            Answer::Rtc => devices.rtc.write(&mut env, port, width, wide),
            Answer::Uart(offset) => devices.uart.write(&mut env, offset, width, wide),
            Answer::AcpiPm(port) => devices.acpi_pm.write(&mut env, port, width, wide),
            Answer::DebugPort => devices.debug_port.write(&mut env, port, width, wide),
            Answer::Nic(offset) => self.with_nic(|nic, ctx, _| nic.io_write(ctx, offset, width, wide)),
            Answer::ConfigAddress => devices.config_ports.write_address(port, width, value),
            Answer::ConfigData | Answer::Nobody => Err(IoError::NoRegister),
        };
        self.port_answer(answer, port, width, true, result.map(|()| 0));
        Reply { value: 0, cost: self.board.timing.port.0 }
    }

    /// Probing an empty port is what every kernel does; it is in the trace as the access itself. Only a chip's refusal
    /// is worth a record of its own.
    fn port_answer(
        &mut self,
        answer: Answer,
        port: u16,
        width: Width,
        write: bool,
        result: Result<u64, IoError>,
    ) -> u64 {
        match (answer, result) {
            (Answer::Nobody, _) => width.mask(),
            (_, result) => self.answer(answer.slot(), u64::from(port), width, write, result),
        }
    }
}
