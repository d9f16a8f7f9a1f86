//! Each feature of both formats, byte by byte, and garbage.

use super::*;
use emu_core::VirtTime;
use proptest::prelude::*;

/// Little- or big-endian, as the file under construction is.
#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn half(self, value: u16) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }

    fn word(self, value: u32) -> Vec<u8> {
        if self.big { value.to_be_bytes().to_vec() } else { value.to_le_bytes().to_vec() }
    }
}

const BOTH: [Order; 2] = [Order { big: false }, Order { big: true }];

/// A pcap file of one frame of `kept` bytes out of `len`.
fn pcap(order: Order, magic: u32, link: u32, kept: usize, len: u32) -> Vec<u8> {
    let mut file = order.word(magic);
    file.extend([order.half(2), order.half(4)].concat());
    for field in [0, 0, 96, link, 7, 5, kept as u32, len] {
        file.extend(order.word(field));
    }
    file.extend(vec![0xaa; kept]);
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let len = order.word(12 + body.len() as u32);
    [order.word(kind), len.clone(), body.to_vec(), len].concat()
}

fn section(order: Order) -> Vec<u8> {
    let body = [order.word(0x1a2b_3c4d), order.half(1), order.half(0), vec![0xff; 8]].concat();
    block(order, 0x0a0d_0d0a, &body)
}

fn interface(order: Order, link: u16, options: &[u8]) -> Vec<u8> {
    block(order, 1, &[order.half(link), order.half(0), order.word(0), options.to_vec()].concat())
}

/// An option of one byte.
fn option(order: Order, code: u16, value: u8) -> Vec<u8> {
    [order.half(code), order.half(1), vec![value, 0, 0, 0], order.half(0), order.half(0)].concat()
}

fn enhanced(order: Order, interface: u32, time: u64, frame: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for field in [interface, (time >> 32) as u32, time as u32, frame.len() as u32, frame.len() as u32] {
        body.extend(order.word(field));
    }
    body.extend(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    block(order, 6, &body)
}

#[test]
fn pcap_is_read_in_both_orders_and_resolutions() {
    for order in BOTH {
        for (magic, time_ns) in [(0xa1b2_c3d4, 7_000_005_000), (0xa1b2_3c4d, 7_000_000_005)] {
            let capture = read_capture("x", &pcap(order, magic, 1, 60, 60)).unwrap();
            assert_eq!((capture.frames.len(), capture.frames[0].time_ns, capture.cut_at), (1, time_ns, None));
        }
    }
}

#[test]
fn a_frame_cut_by_the_snapshot_length_keeps_its_true_length() {
    let capture = read_capture("x", &pcap(BOTH[0], 0xa1b2_c3d4, 1, 96, 1514)).unwrap();
    assert_eq!((capture.frames[0].bytes.len(), capture.frames[0].original_len), (96, 1514));
}

#[test]
fn a_file_that_ends_too_soon_keeps_what_is_before_the_cut() {
    let mut file = pcap(BOTH[0], 0xa1b2_c3d4, 1, 60, 60);
    let whole = file.len();
    file.extend(&[1, 2, 3]);
    let capture = read_capture("x", &file).unwrap();
    assert_eq!((capture.frames.len(), capture.cut_at), (1, Some(whole as u64)));
}

#[test]
fn only_ethernet_can_be_replayed() {
    let error = read_capture("x.pcap", &pcap(BOTH[0], 0xa1b2_c3d4, 113, 60, 60)).unwrap_err();
    assert_eq!(error.to_string(), "x.pcap: link type 113 at byte 0: only Ethernet can be replayed");
    let file = [section(BOTH[0]), interface(BOTH[0], 113, &[]), enhanced(BOTH[0], 0, 0, &[0; 60])].concat();
    assert!(matches!(read_capture("x", &file), Err(CaptureError::LinkType { link_type: 113, .. })));
}

#[test]
fn what_is_no_capture_is_named() {
    let error = read_capture("notes.txt", b"hello, world").unwrap_err();
    assert!(error.to_string().starts_with("notes.txt: not a capture"), "{error}");
    assert!(read_capture("empty", b"").is_err());
}

#[test]
fn pcapng_times_follow_each_interfaces_resolution() {
    const RESOLUTION: u16 = 9;
    for order in BOTH {
        // Microseconds by default; 10^-9; 2^-10.
        for (options, raw, time_ns) in [
            (vec![], 5_000_001, 5_000_001_000),
            (option(order, RESOLUTION, 9), 5_000_000_001, 5_000_000_001),
            (option(order, RESOLUTION, 0x8a), 1024 + 512, 1_500_000_000),
        ] {
            let file = [section(order), interface(order, 1, &options), enhanced(order, 0, raw, &[0xbb; 61])]
                .concat();
            let capture = read_capture("x", &file).unwrap();
            assert_eq!((capture.frames[0].time_ns, capture.frames[0].bytes.len()), (time_ns, 61));
        }
    }
}

#[test]
fn sections_interfaces_and_simple_packets_are_read() {
    let order = BOTH[0];
    let simple = block(order, 3, &[order.word(60), vec![0xcc; 60]].concat());
    let file = [
        section(order),
        interface(order, 1, &[]),
        interface(order, 1, &option(order, 9, 9)),
        enhanced(order, 1, 1000, &[1; 60]),
        simple,
        section(BOTH[1]),
        interface(BOTH[1], 1, &[]),
        enhanced(BOTH[1], 0, 2, &[2; 60]),
    ]
    .concat();
    let capture = read_capture("x", &file).unwrap();
    let times: Vec<_> = capture.frames.iter().map(|frame| (frame.time_ns, frame.bytes[0])).collect();
    assert_eq!(times, [(1000, 1), (1000, 0xcc), (2000, 2)]);
}

#[test]
fn what_is_written_can_be_read() {
    let mut bytes = Vec::new();
    let mut writer = CaptureWriter::new(&mut bytes).unwrap();
    for time in [0, 1_500, 3_000_000_000_000_000] {
        writer.frame(VirtTime(time), Direction::FromGuest, &[time as u8; 77], None).unwrap();
    }
    writer.finish().unwrap();
    let capture = read_capture("x", &bytes).unwrap();
    let times: Vec<_> = capture.frames.iter().map(|frame| frame.time_ns).collect();
    assert_eq!(times, [0, 1, 3_000_000_000_000]);
    assert_eq!(capture.frames[1].bytes, [0xdc; 77]);
}

#[test]
fn shipped_captures_hold_what_their_readme_says() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../traces");
    let readme = std::fs::read_to_string(folder.join("README.md")).unwrap();
    let mut checked = 0;
    for line in readme.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let (name, frames) = (cells[1].trim_matches('`'), cells[2].parse::<usize>().unwrap());
        let bytes = std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read_capture(name, &bytes).unwrap().frames.len(), frames, "{name}");
        checked += 1;
    }
    assert!(checked >= 3, "the README names only {checked} captures");
}

proptest! {
    #[test]
    fn garbage_behind_any_header_is_an_error_or_a_capture(
        kind in 0..4usize,
        garbage in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let order = BOTH[kind & 1];
        let mut file = if kind < 2 { section(order) } else { pcap(order, 0xa1b2_c3d4, 1, 60, 60) };
        file.extend(garbage);
        let _ = read_capture("x", &file);
    }

    #[test]
    fn a_damaged_capture_is_an_error_or_a_capture(at in 0..200usize, byte in any::<u8>()) {
        let order = BOTH[0];
        let mut file =
            [section(order), interface(order, 1, &[]), enhanced(order, 0, 7, &[1; 60])].concat();
        let at = at % file.len();
        file[at] = byte;
        let _ = read_capture("x", &file);
    }
}
