//! From memory to the wire: every kind of descriptor, segmentation, checksums, reports, timers, refusals.

use super::*;
use etherparse::PacketBuilder;

const SEND: u8 = TXD_EOP | TXD_IFCS | TXD_RS;

fn legacy(at: u64, len: usize, command: u8) -> [u64; 2] {
    [at, u64::from(command) << 24 | len as u64]
}

fn data(at: u64, len: usize, command: u8, options: u8) -> [u64; 2] {
    [at, u64::from(options) << 40 | u64::from(command | TXD_DEXT) << 24 | 1 << 20 | len as u64]
}

/// A context for Ethernet, IPv4 and a transport with its checksum at `offset` in its header.
fn context(command: u8, offset: u64, payload: usize, header: u64, mss: u64) -> [u64; 2] {
    let low = 14 | 24 << 8 | 33 << 16 | 34 << 32 | (34 + offset) << 40;
    [low, payload as u64 | u64::from(command | TXD_DEXT) << 24 | header << 40 | mss << 48]
}

impl Bench {
    /// Puts descriptors at the start of the ring and rings.
    fn send(&mut self, descs: &[[u64; 2]]) {
        for (index, raw) in descs.iter().enumerate() {
            self.set_desc(TX_RING, index as u32, *raw);
        }
        self.write(TDT, descs.len() as u32);
        self.settle();
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        self.cable.sent.iter().map(|(_, frame)| frame.clone()).collect()
    }

    fn done(&self, index: u32) -> bool {
        self.desc(TX_RING, index)[1] & TXD_DD != 0
    }
}

#[test]
fn a_legacy_descriptor_sends_its_frame_at_line_rate() {
    let mut bench = Bench::running();
    let data = frame(PEER, 0x0800, 100);
    bench.poke(TX_BUFFERS, &data);
    bench.send(&[legacy(TX_BUFFERS, 100, SEND), legacy(TX_BUFFERS, 100, SEND)]);
    let timing = Timing::default();
    let start = timing.descriptor_fetch.plus(timing.transmit_start);
    let wire = VirtDuration::from_ns((8 + 100 + 4) * 8);
    let first = VirtTime::ZERO.after(start).after(wire);
    let second = first.after(VirtDuration::from_ns(12 * 8)).after(wire);
    assert_eq!(bench.cable.sent, [(first, data.clone()), (second, data)]);
    assert!(bench.done(0) && bench.done(1));
    assert_eq!(bench.read(TDH), 2);
    assert_eq!(bench.read(ICR), ICR_TXDW | ICR_TXQE);
}

#[test]
fn short_packets_are_padded_only_if_asked() {
    for (tctl, len) in [(TCTL_EN | TCTL_PSP, 60), (TCTL_EN, 30)] {
        let mut bench = Bench::running();
        bench.write(TCTL, tctl);
        bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 30));
        bench.send(&[legacy(TX_BUFFERS, 30, SEND)]);
        assert_eq!(bench.sent()[0].len(), len);
        assert_eq!(bench.sent()[0][..30], frame(PEER, 0x0800, 30));
    }
}

#[test]
fn a_packet_gathers_many_descriptors_and_reports_where_told() {
    let mut bench = Bench::running();
    let whole = frame(PEER, 0x0800, 300);
    bench.poke(TX_BUFFERS, &whole[..100]);
    bench.poke(TX_BUFFERS + 0x1000, &whole[100..101]);
    bench.poke(TX_BUFFERS + 0x2000, &whole[101..]);
    bench.send(&[
        legacy(TX_BUFFERS, 100, TXD_IFCS),
        legacy(TX_BUFFERS + 0x1000, 1, TXD_IFCS | TXD_RS),
        legacy(0, 0, TXD_IFCS),
        legacy(TX_BUFFERS + 0x2000, 199, TXD_EOP | TXD_IFCS),
    ]);
    assert_eq!(bench.sent(), [whole]);
    assert_eq!([0, 1, 2, 3].map(|index| bench.done(index)), [false, true, false, false]);
}

#[test]
fn a_legacy_checksum_goes_where_cso_says() {
    let mut bench = Bench::running();
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC, PEER).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.udp(7, 7).write(&mut packet, b"some payload of odd size 1").expect("fits");
    let good = packet.clone();
    // Software leaves the pseudo-header sum in the field.
    let pseudo = checksum::ones_sum(&packet[26..34]) + 17 + (packet.len() - 34) as u16;
    packet[40..42].copy_from_slice(&pseudo.to_be_bytes());
    bench.poke(TX_BUFFERS, &packet);
    let mut desc = legacy(TX_BUFFERS, packet.len(), SEND | TXD_IC);
    desc[1] |= 34 << 40 | 40 << 16;
    bench.send(&[desc]);
    assert_eq!(bench.sent()[0][..good.len()], good);
}

#[test]
fn a_checksum_outside_the_frame_is_left_alone() {
    let mut bench = Bench::running();
    let packet = frame(PEER, 0x0800, 100);
    bench.poke(TX_BUFFERS, &packet);
    let with = |start: u64, offset: u64| {
        let mut desc = legacy(TX_BUFFERS, 100, SEND | TXD_IC);
        desc[1] |= start << 40 | offset << 16;
        desc
    };
    bench.send(&[with(200, 20), with(20, 99), with(20, 255)]);
    assert_eq!(bench.sent(), [packet.clone(), packet.clone(), packet]);
}

#[test]
fn data_descriptors_insert_ip_and_transport_checksums() {
    let mut bench = Bench::running();
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC, PEER).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.tcp(80, 1025, 0x1000, 500).ack(7).write(&mut packet, b"hello, wire").expect("fits");
    let good = packet.clone();
    packet[24..26].fill(0);
    let pseudo = checksum::ones_sum(&packet[26..34]) + 6 + (packet.len() - 34) as u16;
    packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
    bench.poke(TX_BUFFERS, &packet);
    let half = 20;
    bench.send(&[
        context(TUCMD_TCP | TUCMD_IP, 16, 0, 0, 0),
        data(TX_BUFFERS, half, TXD_IFCS, POPTS_IXSM | POPTS_TXSM),
        data(TX_BUFFERS + half as u64, packet.len() - half, SEND, 0),
        data(TX_BUFFERS, packet.len(), SEND, 0),
    ]);
    assert_eq!(bench.sent()[0][..good.len()], good);
    assert_eq!(bench.sent()[1][..packet.len()], packet, "without POPTS nothing is touched");
}

/// The frames that segmentation must make, built independently.
fn segments(payload: &[u8], mss: usize) -> Vec<Vec<u8>> {
    let count = payload.len().div_ceil(mss);
    let build = |(index, part): (usize, &[u8])| {
        let mut ip =
            etherparse::Ipv4Header::new(0, 64, etherparse::IpNumber::TCP, [10, 0, 0, 1], [10, 0, 0, 2])
                .expect("fits");
        ip.identification = 0xfffe_u16.wrapping_add(index as u16);
        ip.dont_fragment = true;
        let mut tcp =
            etherparse::TcpHeader::new(80, 1025, 0xffff_ff00_u32.wrapping_add((index * mss) as u32), 500);
        (tcp.ack, tcp.acknowledgment_number) = (true, 7);
        (tcp.psh, tcp.fin) = (index + 1 == count, index + 1 == count);
        let ip = etherparse::IpHeaders::Ipv4(ip, Default::default());
        let builder = PacketBuilder::ethernet2(MAC, PEER).ip(ip).tcp_header(tcp);
        let mut out = Vec::new();
        builder.write(&mut out, part).expect("fits");
        out
    };
    payload.chunks(mss).enumerate().map(build).collect()
}

/// What software hands over for segmentation: the headers of the first segment with PSH and FIN, no lengths in the
/// pseudo-header sum, and all of the payload.
fn unsegmented(payload: &[u8]) -> Vec<u8> {
    let mut packet = segments(payload, payload.len()).remove(0);
    packet[16..18].fill(0);
    packet[24..26].fill(0);
    let pseudo = checksum::ones_sum(&packet[26..34]) + 6;
    packet[50..52].copy_from_slice(&pseudo.to_be_bytes());
    packet
}

fn check_segmentation(payload_len: usize, mss: usize, cuts: &[usize]) {
    let payload: Vec<u8> = (0..payload_len).map(|index| (index * 7) as u8).collect();
    let packet = unsegmented(&payload);
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &packet);
    let command = TXD_TSE | TUCMD_TCP | TUCMD_IP;
    let mut descs = vec![context(command, 16, payload_len, 54, mss as u64)];
    let mut edges = vec![0];
    edges.extend_from_slice(cuts);
    edges.push(packet.len());
    for pair in edges.windows(2) {
        let last = pair[1] == packet.len();
        let command = TXD_TSE | if last { SEND } else { 0 };
        let options = if pair[0] == 0 { POPTS_IXSM | POPTS_TXSM } else { 0 };
        descs.push(data(TX_BUFFERS + pair[0] as u64, pair[1] - pair[0], command, options));
    }
    bench.send(&descs);
    bench.run(VirtDuration::from_ms(10));
    let expected: Vec<Vec<u8>> = segments(&payload, mss)
        .into_iter()
        .map(|mut frame| {
            frame.resize(frame.len().max(60), 0);
            frame
        })
        .collect();
    let sent = bench.sent();
    assert_eq!(sent.len(), expected.len());
    for (index, (got, want)) in sent.iter().zip(&expected).enumerate() {
        assert_eq!(got, want, "segment {index}");
    }
    assert!(bench.done(descs.len() as u32 - 1));
    assert_eq!(bench.read(0x40f8), 1, "TSCTC");
}

#[test]
fn segmentation_makes_the_frames_that_a_stack_would_have_made() {
    check_segmentation(5000, 1448, &[54]);
    check_segmentation(4344, 1448, &[54]);
    check_segmentation(100, 1448, &[54]);
    check_segmentation(5000, 1448, &[]);
    check_segmentation(5000, 1448, &[20, 54, 1000, 1001]);
    check_segmentation(60000, 1460, &[54, 30000]);
    check_segmentation(50, 1, &[54]);
}

#[test]
fn udp_segmentation_sets_lengths() {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ethernet2(MAC, PEER).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
    builder.udp(9, 9).write(&mut packet, &[0x55; 150]).expect("fits");
    packet[24..26].fill(0);
    let pseudo = checksum::ones_sum(&packet[26..34]) + 17;
    packet[40..42].copy_from_slice(&pseudo.to_be_bytes());
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &packet);
    bench.send(&[
        context(TXD_TSE | TUCMD_IP, 6, 150, 42, 100),
        data(TX_BUFFERS, packet.len(), SEND | TXD_TSE, POPTS_IXSM | POPTS_TXSM),
    ]);
    for (frame, len) in bench.sent().iter().zip([100u16, 50]) {
        assert_eq!(frame[16..18], (28 + len).to_be_bytes());
        assert_eq!(frame[38..40], (8 + len).to_be_bytes());
        assert_eq!(checksum::ones_sum(&frame[14..34]), 0xffff);
        let pseudo = checksum::ones_add(checksum::ones_sum(&frame[26..34]), 17 + 8 + len);
        assert_eq!(checksum::ones_add(pseudo, checksum::ones_sum(&frame[34..42 + usize::from(len)])), 0xffff);
    }
    assert_eq!(bench.sent().len(), 2);
}

#[test]
fn vlan_tags_are_inserted_in_vlan_mode_only() {
    for (ctrl, tagged) in [(CTRL_VME, true), (0, false)] {
        let mut bench = Bench::running();
        bench.write(CTRL, CTRL_SLU | CTRL_FD | ctrl);
        bench.write(VET, 0x8100);
        let packet = frame(PEER, 0x0800, 100);
        bench.poke(TX_BUFFERS, &packet);
        let mut desc = legacy(TX_BUFFERS, 100, SEND | TXD_VLE);
        desc[1] |= 0x2064 << 48;
        bench.send(&[desc]);
        let mut expected = packet;
        if tagged {
            expected.splice(12..12, [0x81, 0x00, 0x20, 0x64]);
        }
        assert_eq!(bench.sent(), [expected]);
    }
}

#[test]
fn without_ifcs_the_last_four_bytes_are_the_frame_check_sequence() {
    let mut bench = Bench::running();
    let packet = frame(PEER, 0x0800, 100);
    let mut good = packet.clone();
    good.extend(checksum::frame_check(&packet));
    bench.poke(TX_BUFFERS, &good);
    bench.poke(TX_BUFFERS + 0x1000, &frame(PEER, 0x0800, 104));
    let command = TXD_EOP | TXD_RS;
    bench.send(&[legacy(TX_BUFFERS, 104, command), legacy(TX_BUFFERS + 0x1000, 104, command)]);
    assert_eq!(bench.sent(), [packet], "the far end drops a frame whose FCS is wrong");
    assert!(bench.done(1));
}

#[test]
fn delayed_reports_interrupt_by_the_timers() {
    let unit = |n: u64| VirtDuration::from_ns(1024 * n);
    let mut bench = Bench::running();
    bench.write(TIDV, 20);
    bench.write(TADV, 50);
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    let mut told = Vec::new();
    let start = bench.fabric.now;
    for step in 0..120 {
        if step % 15 == 0 && step < 90 {
            let index = step / 15;
            bench.set_desc(TX_RING, index, legacy(TX_BUFFERS, 100, SEND | TXD_IDE));
            bench.write(TDT, index + 1);
        }
        bench.run(unit(1));
        if bench.read(ICR) & ICR_TXDW != 0 {
            told.push(bench.fabric.now.since(start).0 / unit(1).0);
        }
    }
    assert_eq!(told, [51, 96]);
    assert!(bench.done(5));
}

#[test]
fn one_report_without_delay_brings_the_delayed_ones_along() {
    let mut bench = Bench::running();
    bench.write(TIDV, 1000);
    bench.write(TXDCTL, DCTL_GRAN | 4 << 16);
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    bench.send(&[legacy(TX_BUFFERS, 100, SEND | TXD_IDE)]);
    assert!(!bench.done(0), "the write-back threshold is 4");
    bench.set_desc(TX_RING, 1, legacy(TX_BUFFERS, 100, SEND));
    bench.write(TDT, 2);
    bench.settle();
    assert!(bench.done(0) && bench.done(1));
    assert_eq!(bench.read(ICR) & ICR_TXDW, ICR_TXDW);
    bench.set_desc(TX_RING, 2, legacy(TX_BUFFERS, 100, SEND | TXD_IDE));
    bench.write(TDT, 3);
    bench.settle();
    assert!(!bench.done(2));
    bench.write(TIDV, 1000 | FLUSH_PARTIAL);
    bench.settle();
    assert!(bench.done(2), "FPD flushes");
}

#[test]
fn rps_waits_for_the_wire_and_rs_for_the_fifo() {
    for (command, early) in [(TXD_RS, true), (TXD_RPS, false)] {
        let mut bench = Bench::running();
        bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 1500));
        bench.set_desc(TX_RING, 0, legacy(TX_BUFFERS, 1500, TXD_EOP | TXD_IFCS | command));
        bench.write(TDT, 1);
        bench.run(VirtDuration::from_us(5));
        assert_eq!((bench.done(0), bench.cable.sent.len()), (early, 0));
        bench.settle();
        assert_eq!((bench.done(0), bench.cable.sent.len()), (true, 1));
    }
}

#[test]
fn txd_low_comes_at_the_low_threshold() {
    let mut bench = Bench::running();
    bench.write(TDLEN, 32 * 16);
    bench.write(TXDCTL, 1 << 25 | DCTL_GRAN);
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 1000));
    for index in 0..12 {
        bench.set_desc(TX_RING, index, legacy(TX_BUFFERS, 1000, TXD_EOP | TXD_IFCS));
    }
    bench.write(TDT, 12);
    let mut left = None;
    while left.is_none() {
        bench.run(VirtDuration::from_ns(100));
        if bench.read(ICR) & ICR_TXD_LOW != 0 {
            left = Some(12 - bench.read(TDH));
        }
    }
    assert_eq!(left, Some(8));
}

#[test]
fn a_full_fifo_holds_the_dma_back_until_the_wire_has_taken_a_frame() {
    let mut bench = Bench::running();
    bench.write(PBA, 60);
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 1500));
    for index in 0..7 {
        bench.set_desc(TX_RING, index, legacy(TX_BUFFERS, 1500, SEND));
    }
    bench.write(TDT, 7);
    bench.run(VirtDuration::from_us(10));
    assert_eq!(bench.read(TDH), 3, "4 KiB of FIFO");
    bench.run(VirtDuration::from_us(90));
    assert_eq!((bench.read(TDH), bench.cable.sent.len()), (7, 7));
}

#[test]
fn nothing_is_sent_while_off_unlinked_or_paused() {
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    bench.write(TCTL, TCTL_PSP);
    bench.send(&[legacy(TX_BUFFERS, 100, SEND)]);
    assert_eq!(bench.sent().len(), 0);
    bench.write(CTRL, 0);
    bench.write(TCTL, TCTL_EN);
    bench.settle();
    assert_eq!((bench.sent().len(), bench.read(TDH)), (0, 0));
    bench.write(FCAL, 0x00c2_8001);
    bench.write(FCAH, 0x0100);
    bench.write(FCT, 0x8808);
    bench.write(CTRL, CTRL_SLU | CTRL_FD | CTRL_RFCE);
    let mut pause = frame([1, 0x80, 0xc2, 0, 0, 1], 0x8808, 60);
    pause[14..18].copy_from_slice(&[0, 1, 1, 0]);
    bench.frame_in(&pause);
    bench.settle();
    assert_eq!((bench.sent().len(), bench.read(STATUS) & STATUS_TXOFF), (0, STATUS_TXOFF));
    bench.run(VirtDuration::from_us(60));
    assert_eq!((bench.sent().len(), bench.read(STATUS) & STATUS_TXOFF), (1, 0), "256 quanta are 131 us");
    assert_eq!(bench.read(0x4050), 1, "XOFFRXC");
}

#[test]
fn swxoff_sends_a_pause_frame() {
    let mut bench = Bench::running();
    bench.write(FCTTV, 0x1234);
    bench.write(TCTL, TCTL_EN | TCTL_SWXOFF);
    bench.settle();
    assert_eq!(bench.read(TCTL), TCTL_EN);
    assert_eq!(bench.sent()[0][12..18], [0x88, 0x08, 0, 1, 0x12, 0x34]);
    assert_eq!(bench.sent()[0][6..12], MAC);
}

#[test]
fn loopback_brings_frames_back_and_keeps_the_wire_out() {
    let mut bench = Bench::running();
    bench.write(RDT, 4);
    bench.write(RCTL, RCTL_EN | RCTL_SECRC | RCTL_LBM);
    let packet = frame(MAC, 0x0800, 100);
    bench.poke(TX_BUFFERS, &packet);
    bench.send(&[legacy(TX_BUFFERS, 100, SEND)]);
    assert_eq!(bench.sent().len(), 0);
    assert_eq!(bench.peek(RX_BUFFERS, 100), packet);
    bench.frame_in(&packet);
    bench.settle();
    assert_eq!(bench.read(RDH), 1);
}

#[test]
fn without_bus_mastering_the_packet_waits() {
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    bench.config_write(pci::COMMAND, Width::B2, 3);
    bench.send(&[legacy(TX_BUFFERS, 100, SEND)]);
    assert_eq!(bench.sent().len(), 0);
    bench.config_write(pci::COMMAND, Width::B2, 7);
    bench.settle();
    assert_eq!(bench.sent().len(), 1);
    assert!(bench.done(0));
}

#[test]
fn a_refused_data_read_spoils_its_packet_only() {
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    bench.fabric.memory.refused.push(0x9_0000..0x9_1000);
    bench.send(&[
        legacy(TX_BUFFERS, 50, TXD_IFCS),
        legacy(0x9_0000, 50, SEND),
        legacy(TX_BUFFERS, 100, SEND),
    ]);
    assert_eq!(bench.sent(), [frame(PEER, 0x0800, 100)]);
    assert!(bench.done(1) && bench.done(2));
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & 0x2000, 0x2000);
}

#[test]
fn packets_longer_than_the_hardware_takes_are_dropped() {
    let mut bench = Bench::running();
    bench.send(&[
        data(TX_BUFFERS, 16_288, SEND, 0),
        data(TX_BUFFERS, 16_289, SEND, 0),
        data(TX_BUFFERS, 0x7_0000, SEND, 0),
        context(TXD_TSE | TUCMD_TCP | TUCMD_IP, 16, 1000, 54, 0),
        data(TX_BUFFERS, 1000, SEND | TXD_TSE, 3),
        data(TX_BUFFERS, 0, SEND, 0),
    ]);
    bench.run(VirtDuration::from_ms(1));
    assert_eq!(bench.sent().iter().map(Vec::len).collect::<Vec<_>>(), [16_288]);
    assert_eq!((bench.read(TDH), bench.done(5)), (6, true));
    assert_eq!(bench.read(0x40fc), 1, "TSCTFC: a segment size of 0 makes no frames");
}

#[test]
fn the_ring_wraps() {
    let mut bench = Bench::running();
    bench.poke(TX_BUFFERS, &frame(PEER, 0x0800, 100));
    for round in 0..20u32 {
        bench.set_desc(TX_RING, round % RING, legacy(TX_BUFFERS, 100, SEND));
        bench.write(TDT, (round + 1) % RING);
        bench.settle();
    }
    assert_eq!(bench.sent().len(), 20);
    assert_eq!(bench.read(TDH), 20 % RING);
}

#[test]
fn inspection_shows_whose_each_descriptor_is() {
    use emu_core::trace::Ring;
    let mut bench = Bench::running();
    bench.write(CTRL, 0);
    bench.set_desc(TX_RING, 0, context(TXD_TSE, 16, 1000, 54, 500));
    bench.set_desc(TX_RING, 1, data(TX_BUFFERS, 100, SEND, 0));
    bench.write(TDT, 2);
    let memory = bench.fabric.memory.bytes.clone();
    let shown = bench.card.descriptors(Ring::Tx, 3, |iova, bytes| {
        bytes.copy_from_slice(&memory[iova.0 as usize..][..16]);
        true
    });
    let meanings: Vec<_> = shown.iter().map(|d| (d.owner, d.meaning.as_str())).collect();
    assert_eq!(
        meanings,
        [
            (Owner::Card, "context header 54 payload 1000 MSS 500"),
            (Owner::Card, "data buffer 0x80000 length 100 EOP IFCS RS"),
            (Owner::Software, "legacy buffer 0x0 length 0 "),
        ]
    );
    bench.write(RDT, 4);
    bench.settle();
    let shown = bench.card.descriptors(Ring::Rx, 8, |_, _| false);
    let owners: Vec<_> = shown.iter().map(|d| d.owner).collect();
    assert_eq!(owners[..5], [Owner::OnChip, Owner::OnChip, Owner::OnChip, Owner::OnChip, Owner::Software]);
}
