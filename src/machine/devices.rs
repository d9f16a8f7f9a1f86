//! The chips that stand on the board, and what hangs at the card's cable.

use emu_core::VirtTime;
use emu_devices::acpi_pm::AcpiPm;
use emu_devices::debug_port::DebugPort;
use emu_devices::e1000::E1000;
use emu_devices::kbc::Kbc;
use emu_devices::pci::{ConfigPorts, HostBridge, LpcBridge};
use emu_devices::pit::Pit;
use emu_devices::rtc::Rtc;
use emu_devices::uart::Uart;
use emu_net::matching::{self, Request};
use emu_net::{BackendRestoreError, BackendState, CaptureWriter, Direction, NetBackend};
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// All of them, by name.
#[derive(Debug)]
pub(super) struct Devices {
    pub(super) nic: E1000,
    pub(super) host_bridge: HostBridge,
    pub(super) lpc: LpcBridge,
    pub(super) config_ports: ConfigPorts,
    pub(super) pit: Pit,
    pub(super) rtc: Rtc,
    pub(super) uart: Uart,
    pub(super) acpi_pm: AcpiPm,
    pub(super) kbc: Kbc,
    pub(super) debug_port: DebugPort,
}

/// The card's cable: a far end, and a tap that writes down what the card sends.
pub(super) struct Cable {
    pub(super) far_end: Box<dyn NetBackend>,
    tap: Option<CaptureWriter<Box<dyn Write + Send>>>,
    /// The tap's first error; told when the capture is finished.
    broken: Option<io::Error>,
    /// Frames that the card has sent.
    pub(super) sent: u64,
    /// What is expected to be answered.
    pub(super) questions: Option<Questions>,
}

/// Requests on their way to an address that is expected to answer them. Watched from outside: a run that goes on from a
/// snapshot starts with none.
#[derive(Debug)]
pub(super) struct Questions {
    address: [u8; 4],
    open: Vec<Request>,
}

impl Questions {
    pub(super) fn to(address: Ipv4Addr) -> Self {
        Self { address: address.octets(), open: Vec::new() }
    }

    fn asked(&mut self, frame: &[u8]) {
        self.open.extend(matching::request(frame, self.address));
    }

    /// One reply answers one request, the oldest.
    fn answered(&mut self, frame: &[u8]) {
        if let Some(at) = self.open.iter().position(|request| request.is_answered_by(frame)) {
            self.open.remove(at);
        }
    }

    /// How many have no answer.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }
}

impl std::fmt::Debug for Cable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cable").field("sent", &self.sent).finish_non_exhaustive()
    }
}

impl Cable {
    pub(super) fn new(far_end: Box<dyn NetBackend>) -> Self {
        Self { far_end, tap: None, broken: None, sent: 0, questions: None }
    }

    /// Writes down everything sent from now on.
    pub(super) fn tap(&mut self, out: Box<dyn Write + Send>) -> io::Result<()> {
        self.tap = Some(CaptureWriter::new(out)?);
        Ok(())
    }

    /// Closes the tap; says if anything could not be written.
    pub(super) fn finish_tap(&mut self) -> io::Result<()> {
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        self.tap.take().map_or(Ok(()), |mut tap| tap.finish())
    }
}

impl NetBackend for Cable {
    fn send(&mut self, now: VirtTime, frame: &[u8]) {
        self.sent += 1;
        if let Some(questions) = &mut self.questions {
            questions.answered(frame);
        }
        if let Some(tap) = &mut self.tap
            && self.broken.is_none()
        {
            self.broken = tap.frame(now, Direction::FromGuest, frame, None).err();
        }
        self.far_end.send(now, frame);
    }

    fn next_arrival(&self) -> Option<VirtTime> {
        self.far_end.next_arrival()
    }

    fn receive(&mut self, now: VirtTime) -> Option<Vec<u8>> {
        let frame = self.far_end.receive(now)?;
        if let Some(questions) = &mut self.questions {
            questions.asked(&frame);
        }
        Some(frame)
    }

    fn is_exhausted(&self) -> bool {
        self.far_end.is_exhausted()
    }

    fn state(&self) -> BackendState {
        self.far_end.state()
    }

    fn restore(&mut self, state: BackendState) -> Result<(), BackendRestoreError> {
        self.far_end.restore(state)
    }
}
