//! Tests of the peer: a client that is another smoltcp would agree with it by nature, so requests are written byte by byte,
//! and only TCP is spoken by smoltcp on both sides.

use super::*;
use crate::packet::{Layout, be16};
use etherparse::PacketBuilder;

const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const PEER_MAC: [u8; 6] = [0x52, 0x54, 0, 0x65, 0x43, 0x21];
const GUEST: [u8; 4] = [192, 0, 2, 2];
const PEER: [u8; 4] = [192, 0, 2, 1];

fn peer() -> Peer {
    let config = PeerConfig {
        names: [("www.example.org".to_owned(), [192, 0, 2, 80].into())].into(),
        boot_file: Some("boot.ipxe".to_owned()),
        ..PeerConfig::default()
    };
    let files = [("boot.ipxe".to_owned(), (0..1500u32).map(|n| n as u8).collect())].into();
    Peer::new(config, files).unwrap()
}

/// Frames that come back, with their arrival.
fn answers(peer: &mut Peer, until: VirtTime) -> Vec<(VirtTime, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(when) = peer.next_arrival().filter(|when| *when <= until) {
        frames.extend(peer.receive(when).map(|frame| (when, frame.bytes)));
    }
    frames
}

fn ms(ms: u64) -> VirtTime {
    VirtTime::ZERO.after(VirtDuration::from_ms(ms))
}

fn udp(ip: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let mac = if ip == [255; 4] { [0xff; 6] } else { PEER_MAC };
    let from = if ip == [255; 4] { [0; 4] } else { GUEST };
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(GUEST_MAC, mac)
        .ipv4(from, ip, 64)
        .udp(ports.0, ports.1)
        .write(&mut frame, payload)
        .unwrap();
    frame
}

fn arp_reply() -> Vec<u8> {
    let mut frame =
        [&PEER_MAC[..], &GUEST_MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &GUEST_MAC, &GUEST, &PEER_MAC, &PEER]
            .concat();
    frame.resize(60, 0);
    frame
}

/// The datagrams that come back for one sent at `at`.
fn ask(peer: &mut Peer, at: VirtTime, frame: &[u8]) -> Vec<Vec<u8>> {
    peer.send(at, &arp_reply());
    peer.send(at, frame);
    answers(peer, at.after(VirtDuration::from_ms(10)))
        .into_iter()
        .filter(|(_, frame)| Layout::of(frame).is_some_and(|layout| layout.protocol == Some(17)))
        .map(|(_, frame)| {
            let layout = Layout::of(&frame).unwrap();
            assert!(layout.is_sealed(&frame));
            layout.data(&frame).to_vec()
        })
        .collect()
}

#[test]
fn it_answers_arp_and_ping_after_its_delay() {
    let mut peer = peer();
    let mut request = arp_reply();
    request[..6].fill(0xff);
    request[21] = 1;
    peer.send(ms(1), &request);
    let mut ping = Vec::new();
    PacketBuilder::ethernet2(GUEST_MAC, PEER_MAC)
        .ipv4(GUEST, PEER, 64)
        .icmpv4_echo_request(7, 9)
        .write(&mut ping, b"hello")
        .unwrap();
    peer.send(ms(2), &ping);
    let frames = answers(&mut peer, ms(9));
    assert_eq!(frames.len(), 2);
    assert_eq!((&frames[0].1[6..12], be16(&frames[0].1, 20)), (&PEER_MAC[..], 2));
    // 10 us and 576 bit times.
    assert_eq!(frames[0].0.as_ns(), 1_010_576);
    let layout = Layout::of(&frames[1].1).unwrap();
    assert_eq!((layout.data(&frames[1].1), layout.is_sealed(&frames[1].1)), (&b"hello"[..], true));
    assert_eq!(be16(&frames[1].1, 38), 7);
}

#[test]
fn it_gives_the_same_client_the_same_address() {
    const REQUESTED: u8 = 50;
    let message = |kind: u8, wanted: Option<[u8; 4]>| {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[1, 1, 6]);
        message[4..8].copy_from_slice(&[1, 2, 3, 4]);
        message[28..34].copy_from_slice(&GUEST_MAC);
        message[236..240].copy_from_slice(&[99, 130, 83, 99]);
        message.extend([53, 1, kind]);
        if let Some(wanted) = wanted {
            message.extend([REQUESTED, 4]);
            message.extend(wanted);
        }
        message.push(255);
        udp([255; 4], (68, 67), &message)
    };
    let mut peer = peer();
    for (kind, wanted, answer, address) in [
        (1, None, 2, [192, 0, 2, 100]),
        (3, Some([192, 0, 2, 100]), 5, [192, 0, 2, 100]),
        (3, Some([10, 9, 8, 7]), 6, [0; 4]),
    ] {
        let replies = ask(&mut peer, ms(u64::from(kind) * 100), &message(kind, wanted));
        assert_eq!(replies.len(), 1, "{kind}");
        assert_eq!(replies[0][242], answer);
        assert_eq!((&replies[0][4..8], &replies[0][16..20]), (&[1, 2, 3, 4][..], &address[..]));
        assert_eq!(replies[0].windows(9).any(|nine| nine == b"boot.ipxe"), answer != 6);
    }
    let mut reports = Vec::new();
    peer.report(&mut reports);
    assert_eq!(reports[0].get("addresses given"), Some(1));
}

#[test]
fn it_knows_names() {
    let query = |name: &str, kind: u8| {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        udp(PEER, (5353, 53), &query)
    };
    let mut peer = peer();
    for (name, kind, code, answers) in
        [("WWW.example.org", 1, 0, 1), ("www.example.org", 28, 0, 0), ("nobody.example.org", 1, 3, 0)]
    {
        let reply = ask(&mut peer, ms(1), &query(name, kind)).remove(0);
        assert_eq!((&reply[..2], reply[3] & 0xf, reply[7]), (&[0xab, 0xcd][..], code, answers), "{name}");
        assert_eq!(reply.ends_with(&[0, 4, 192, 0, 2, 80]), answers == 1);
    }
}

#[test]
fn it_serves_a_file_by_tftp_and_sends_again_what_is_not_acknowledged() {
    let mut peer = peer();
    let request = udp(PEER, (2000, 69), b"\0\x01boot.ipxe\0octet\0blksize\x001000\0tsize\x000\0");
    let replies = ask(&mut peer, ms(1), &request);
    assert_eq!(replies, [b"\0\x06blksize\x001000\0tsize\x001500\0".to_vec()]);
    let port = 49152;
    let mut file = Vec::new();
    for block in 0..2u16 {
        let ack = [&[0, 4][..], &block.to_be_bytes()].concat();
        let mut at = ms(10 + u64::from(block) * 900);
        let data = ask(&mut peer, at, &udp(PEER, (2000, port), &ack)).remove(0);
        assert_eq!((be16(&data, 0), be16(&data, 2)), (3, block + 1));
        at = at.after(VirtDuration::from_ms(600));
        let again: Vec<_> = answers(&mut peer, at);
        assert_eq!(again.len(), 1, "once more after half a second");
        file.extend_from_slice(&data[4..]);
    }
    assert_eq!(file, peer.files["boot.ipxe"]);
    assert!(ask(&mut peer, ms(1600), &udp(PEER, (2000, port), &[0, 4, 0, 2])).is_empty());
    let missing = ask(&mut peer, ms(3100), &udp(PEER, (2001, 69), b"\0\x01nothing\0octet\0"));
    assert_eq!(&missing[0][..4], [0, 5, 0, 1]);
}

/// A TCP client that says `request` and takes all that comes.
fn fetch(peer: &mut Peer, request: &[u8]) -> Vec<u8> {
    use smoltcp::iface::{Config, Interface, SocketSet};
    use smoltcp::socket::tcp;
    use smoltcp::time::Instant;
    use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
    let mut port = host::testing::port();
    let mut interface = Interface::new(
        Config::new(HardwareAddress::Ethernet(EthernetAddress(GUEST_MAC))),
        &mut port,
        Instant::ZERO,
    );
    interface
        .update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::v4(192, 0, 2, 2), 24)).unwrap());
    let buffer = || tcp::SocketBuffer::new(vec![0; 32 << 10]);
    let mut sockets = SocketSet::new(Vec::new());
    let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
    sockets
        .get_mut::<tcp::Socket<'_>>(handle)
        .connect(interface.context(), (IpAddress::v4(192, 0, 2, 1), 80), 40000)
        .unwrap();
    let mut got = Vec::new();
    let mut said = 0;
    let mut now = ms(1);
    for _ in 0..20_000 {
        interface.poll(Instant::from_micros(now.as_ns() as i64 / 1000), &mut port, &mut sockets);
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if socket.can_send() {
            said += socket.send_slice(&request[said..]).unwrap();
        }
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), got.extend_from_slice(bytes))).unwrap();
        }
        if socket.state() == tcp::State::CloseWait {
            return got;
        }
        for frame in host::testing::sent(&mut port) {
            peer.send(now, &frame);
        }
        now = now.after(VirtDuration::from_us(50));
        for (_, frame) in answers(peer, now) {
            host::testing::give(&mut port, frame);
        }
    }
    panic!("after {} bytes nothing comes any more", got.len());
}

#[test]
fn it_serves_files_and_made_bytes_by_http() {
    for (path, status, body) in [
        ("/boot.ipxe", "200", (0..1500u32).map(|n| n as u8).collect()),
        ("/bytes/300000", "200", (0..300_000).map(http::made_byte).collect::<Vec<u8>>()),
        ("/nothing", "404", b"no such file\n".to_vec()),
    ] {
        let reply = fetch(&mut peer(), format!("GET {path} HTTP/1.1\r\nHost: peer\r\n\r\n").as_bytes());
        let head = format!("HTTP/1.1 {status}");
        assert!(reply.starts_with(head.as_bytes()), "{path}");
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(reply[end..] == body, "{path}");
    }
}

#[test]
fn it_tells_what_was_put() {
    let body: Vec<u8> = (0..200_000).map(http::made_byte).collect();
    let mut request = format!("PUT /x HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    request.extend(&body);
    let reply = String::from_utf8(fetch(&mut peer(), &request)).unwrap();
    let hash = body.iter().fold(http::FNV_START, |hash, byte| http::fnv(hash, *byte));
    assert!(reply.ends_with(&format!("200000 bytes, hash {hash:016x}\n")), "{reply}");
}

#[test]
fn a_peer_goes_on_from_its_state() {
    let mut first = peer();
    let request = udp(PEER, (2000, 69), b"\0\x01boot.ipxe\0octet\0");
    first.send(ms(1), &arp_reply());
    first.send(ms(1), &request);
    let mut second = peer();
    second.restore(first.state()).unwrap();
    assert_eq!(answers(&mut first, ms(4000)), answers(&mut second, ms(4000)));
    assert_eq!(first.state(), second.state());
    let broken = BackendState::Peer(PeerState { heard: Some(Vec::new()), arrived: 1 });
    assert_eq!(second.restore(broken), Err(BackendRestoreError::Position(1)));
}

#[test]
fn nonsense_frames_are_nothing_to_it() {
    let mut peer = peer();
    let mut dice = 1u64;
    for n in 0..3000u64 {
        let mut frame = if n % 2 == 0 {
            udp(PEER, (n as u16, [53, 67, 69][n as usize % 3]), &[n as u8; 300])
        } else {
            arp_reply()
        };
        for _ in 0..4 {
            dice = dice.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (dice >> 33) as usize % frame.len();
            frame[at] = (dice >> 20) as u8;
        }
        let len = (dice >> 40) as usize % (frame.len() + 1);
        peer.send(ms(n), &frame[..len]);
    }
    answers(&mut peer, ms(10_000));
}
