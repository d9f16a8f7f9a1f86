//! Kernels that nobody has tuned this machine to, as their packages have them. The packages come from the host's apt: run by
//! name, `cargo test --test other_kernels -- --ignored`, as CI does.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

mod common;

use common::Buffer;
use emu_net::read_capture;
use etherparse::{SlicedPacket, TransportSlice};
use glassbox::machine::{Goal, Machine, Stop};
use glassbox::scenario::{Guest, Scenario};

/// Instructions between looks at what came out.
const SLICE: u64 = 4_000_000;
/// Far more than any of them needs to get where it is awaited.
const LIMIT: u64 = 1_000_000_000;

struct Run {
    machine: Machine,
    capture: Buffer,
    serial: String,
}

impl Run {
    fn new(scenario: &str) -> Self {
        let mut scenario = Scenario::load(scenario).unwrap();
        scenario.prepare(|_| ()).unwrap();
        Self::of(scenario)
    }

    fn of(scenario: Scenario) -> Self {
        let mut machine = Machine::new(scenario).unwrap();
        let capture = Buffer::default();
        machine.capture_to(Box::new(capture.clone())).unwrap();
        Self { machine, capture, serial: String::new() }
    }

    /// Runs until `done`.
    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        loop {
            let goal = Goal { slice: Some(SLICE), max_insns: Some(LIMIT), ..Goal::default() };
            let stop = self.machine.run(&goal);
            self.serial.push_str(&String::from_utf8_lossy(&self.machine.take_serial()));
            if done(self) {
                return;
            }
            assert_eq!(stop, Stop::Slice, "{}\n{}", self.serial, self.machine.show_cpu());
        }
    }

    fn frames(&self) -> Vec<Vec<u8>> {
        let capture = read_capture("sent.pcapng", &self.capture.bytes()).unwrap();
        capture.frames.into_iter().map(|frame| frame.bytes).collect()
    }
}

/// A DHCP message's options (RFC 2132) by number, if the frame is one of a client to a server (RFC 2131, 2).
fn dhcp_request(frame: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { return None };
    let message = udp.payload();
    let is_request = (udp.source_port(), udp.destination_port()) == (68, 67) && message.first() == Some(&1);
    if !is_request || message.get(236..240) != Some(&[0x63, 0x82, 0x53, 0x63]) {
        return None;
    }
    let mut options = Vec::new();
    let mut rest = &message[240..];
    loop {
        match rest {
            [0, after @ ..] => rest = after,
            [255, ..] | [] => return Some(options),
            [number, len, after @ ..] => {
                let (value, after) = after.split_at_checked(usize::from(*len))?;
                options.push((*number, value.to_vec()));
                rest = after;
            }
            [_] => return None,
        }
    }
}

fn check_checksums(frame: &[u8]) {
    let packet = SlicedPacket::from_ethernet(frame).unwrap();
    let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net else { panic!("not IPv4") };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let Some(TransportSlice::Udp(udp)) = &packet.transport else { panic!("not UDP") };
    let computed = udp.to_header().calc_checksum_ipv4(&header, udp.payload()).unwrap();
    assert_eq!(udp.checksum(), computed);
}

#[test]
#[ignore = "needs apt and the network"]
fn ipxe_asks_for_an_address_with_its_own_driver() {
    const DISCOVER: u8 = 1;
    let mut run = Run::new("ipxe");
    run.until(|run| run.frames().iter().any(|frame| dhcp_request(frame).is_some()));
    for words in ["Glassbox BIOS", "iPXE initialising devices...ok", "net0: 52:54:00:12:34:56 using 82540em"]
    {
        assert!(run.serial.contains(words), "no `{words}`:\n{}", run.serial);
    }
    assert!(run.machine.show_screen().contains("Configuring (net0 52:54:00:12:34:56)"));
    let frames = run.frames();
    let frame = frames.iter().find(|frame| dhcp_request(frame).is_some()).unwrap();
    assert_eq!(frame[..6], [0xff; 6]);
    assert_eq!(frame[6..12], [0x52, 0x54, 0x00, 0x12, 0x34, 0x56]);
    check_checksums(frame);
    let options = dhcp_request(frame).unwrap();
    assert!(options.contains(&(53, vec![DISCOVER])), "{options:?}");
    assert!(options.contains(&(60, b"PXEClient:Arch:00000:UNDI:002001".to_vec())), "{options:?}");
}

#[test]
#[ignore = "needs apt and the network"]
fn memtest86_finds_no_error() {
    let mut run = Run::new("memtest");
    // Four of its tests are through: both of addresses, both of moving inversions with fixed patterns.
    run.until(|run| run.serial.contains("#4  [Moving inversions"));
    assert!(run.serial.contains("Memtest86+ v"), "{}", run.serial);
    assert!(run.serial.contains("Errors: 0 "), "{}", run.serial);
    let screen = run.machine.show_screen();
    assert!(screen.contains("Glassbox virtual processor"), "{screen}");
    assert!(screen.lines().any(|row| row.ends_with("Errors: 0")), "{screen}");
    let counted: Vec<_> = run.serial.split("Errors: ").skip(1).map(|rest| rest.as_bytes()[0]).collect();
    assert!(counted.iter().all(|digit| *digit == b'0'), "{counted:?}");
}

#[test]
#[ignore = "needs apt and the network"]
fn linux_starts_in_real_mode_if_it_has_no_other_entry() {
    // XLF_KERNEL_64 of `xloadflags` (boot.rst).
    const XLOADFLAGS: usize = 0x236;
    const KERNEL_64: u8 = 1;
    let mut scenario = Scenario::load("debian").unwrap();
    scenario.prepare(|_| ()).unwrap();
    let Guest::Kernel { kernel, initrd } = &mut scenario.guest else { panic!("not a kernel") };
    let mut bytes = std::fs::read(&kernel).unwrap();
    bytes[XLOADFLAGS] &= !KERNEL_64;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    (*kernel, *initrd) = (file.path().to_owned(), None);
    scenario.append = "debug".to_owned();
    let mut run = Run::of(scenario);
    // Its setup code has asked the BIOS for all there is and has gone through protected mode to the unpacker.
    run.until(|run| run.machine.show_cpu().contains("64-bit mode"));
    let screen = run.machine.show_screen();
    assert!(screen.starts_with("Glassbox BIOS\nearly console in setup code\n"), "{screen}");
    assert!(screen.contains("Probing EDD (edd=off to disable)... ok\n"), "{screen}");
}
