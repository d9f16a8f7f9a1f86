//! From the wire to memory: filters, descriptors, FIFO, offloads, timers, refusals.

use super::*;
use emu_core::trace::{DropReason, FilterRule};
use etherparse::PacketBuilder;

const GROUP: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0xfb];
const ALL: [u8; 6] = [0xff; 6];
const OTHER: [u8; 6] = [0x02, 0, 0, 0, 0, 0x99];

/// A running card with `count` descriptors given to it.
fn with_descriptors(count: u32) -> Bench {
    let mut bench = Bench::running();
    bench.write(RDT, count);
    bench.settle();
    let _ = bench.fabric.records();
    bench
}

#[test]
fn a_frame_goes_to_memory_and_raises_the_pin() {
    let mut bench = with_descriptors(RING - 1);
    bench.write(IMS, ICR_RXT0);
    let sent = frame(MAC, 0x1234, 100);
    bench.frame_in(&sent);
    assert_eq!(bench.rx_result(0), (0, 0, 0), "nothing happens at once");
    bench.settle();
    assert_eq!(bench.rx_result(0), (RXD_DD | RXD_EOP | RXD_IXSM, 0, 100));
    assert_eq!(bench.peek(RX_BUFFERS, 100), sent);
    assert_eq!(bench.read(RDH), 1);
    assert!(bench.pin());
    assert_eq!(bench.read(ICR), ICR_RXT0);
    assert!(!bench.pin());
    assert_eq!(bench.card.stats().delivered, 1);
}

#[test]
fn without_strip_the_frame_check_sequence_follows_the_frame() {
    let mut bench = with_descriptors(2);
    bench.write(RCTL, RCTL_EN);
    let sent = frame(MAC, 0x1234, 60);
    bench.frame_in(&sent);
    bench.settle();
    assert_eq!(bench.rx_result(0).2, 64);
    assert_eq!(bench.peek(RX_BUFFERS + 60, 4), checksum::frame_check(&sent));
}

/// What a frame meets: the rule that the trace names, and whether it is delivered.
#[track_caller]
fn check_filter(setup: &[(u32, u32)], to: [u8; 6], expected: FilterRule) {
    let mut bench = with_descriptors(4);
    for (offset, value) in setup {
        bench.write(*offset, *value);
    }
    bench.frame_in(&frame(to, 0x0800, 64));
    bench.settle();
    let records = bench.fabric.records();
    let rules = find(&records, |event| match event {
        TraceEvent::FrameFilter { rule, .. } => Some(*rule),
        _ => None,
    });
    assert_eq!(rules[0].1, expected);
    let passed = !matches!(expected, FilterRule::NoMatch | FilterRule::Vlan);
    assert_eq!(bench.card.stats().delivered, u64::from(passed));
    let pif = bench.rx_result(0).0 & RXD_PIF != 0;
    let exact = matches!(expected, FilterRule::Exact(_) | FilterRule::Broadcast);
    assert_eq!(pif, passed && !exact);
}

#[test]
fn filters_admit_by_the_most_specific_rule() {
    let en = RCTL_EN | RCTL_SECRC;
    let word = |hash: u32| (MTA + (hash >> 5) * 4, 1 << (hash & 31));
    let hash = |shift: u32| ((0xfb00u32 >> shift) & 0xfff, shift);
    check_filter(&[(RCTL, en)], MAC, FilterRule::Exact(0));
    check_filter(&[(RCTL, en)], OTHER, FilterRule::NoMatch);
    check_filter(&[(RCTL, en | RCTL_UPE)], OTHER, FilterRule::UnicastPromiscuous);
    check_filter(&[(RCTL, en | RCTL_MPE)], OTHER, FilterRule::NoMatch);
    check_filter(&[(RCTL, en)], ALL, FilterRule::NoMatch);
    check_filter(&[(RCTL, en | RCTL_BAM)], ALL, FilterRule::Broadcast);
    check_filter(&[(RCTL, en | RCTL_MPE)], ALL, FilterRule::MulticastPromiscuous);
    check_filter(&[(RCTL, en | RCTL_UPE)], GROUP, FilterRule::NoMatch);
    check_filter(&[(RCTL, en | RCTL_MPE)], GROUP, FilterRule::MulticastPromiscuous);
    for (mo, (hash, _)) in [hash(4), hash(3), hash(2), hash(0)].into_iter().enumerate() {
        let rctl = en | (mo as u32) << RCTL_MO_SHIFT;
        check_filter(&[(RCTL, rctl), word(hash)], GROUP, FilterRule::MulticastTable);
        check_filter(&[(RCTL, rctl), word(hash ^ 1)], GROUP, FilterRule::NoMatch);
    }
    let low = u32::from_le_bytes([OTHER[0], OTHER[1], OTHER[2], OTHER[3]]);
    let high = u32::from(OTHER[4]) | u32::from(OTHER[5]) << 8;
    let other = |high| [(RCTL, en), (RA + 15 * 8, low), (RA + 15 * 8 + 4, high)];
    check_filter(&other(high | RAH_AV), OTHER, FilterRule::Exact(15));
    check_filter(&other(high), OTHER, FilterRule::NoMatch);
    check_filter(&other(high | RAH_AV | 1 << RAH_AS_SHIFT), OTHER, FilterRule::NoMatch);
    let peer = (RA + 8, u32::from_le_bytes([PEER[0], PEER[1], PEER[2], PEER[3]]));
    let source = (RA + 12, u32::from(PEER[4]) | u32::from(PEER[5]) << 8 | RAH_AV | 1 << RAH_AS_SHIFT);
    check_filter(&[(RCTL, en), peer, source], OTHER, FilterRule::Exact(1));
}

#[test]
fn vlan_filter_and_strip() {
    let tagged = |tag: u16| {
        let mut frame = frame(MAC, 0x0800, 64);
        frame.splice(12..12, [0x81, 0x00, (tag >> 8) as u8, tag as u8]);
        frame
    };
    for (rctl, tag, listed, expected) in [
        (0, 0x2064, 0x065, true),
        (RCTL_VFE, 0x2064, 0x064, true),
        (RCTL_VFE, 0x2064, 0x065, false),
        (RCTL_VFE | RCTL_CFIEN, 0x3064, 0x064, false),
        (RCTL_VFE | RCTL_CFIEN | RCTL_CFI, 0x3064, 0x064, true),
    ] {
        let mut bench = with_descriptors(4);
        bench.write(VET, 0x8100);
        bench.write(CTRL, CTRL_SLU | CTRL_FD | CTRL_VME);
        bench.write(RCTL, RCTL_EN | RCTL_SECRC | rctl);
        bench.write(VFTA + (listed >> 5) * 4, 1 << (listed & 31));
        bench.frame_in(&tagged(tag));
        bench.settle();
        if expected {
            assert_eq!(bench.rx_result(0).0 & (RXD_VP | RXD_DD), RXD_VP | RXD_DD);
            assert_eq!(bench.rx_result(0).2, 64);
            assert_eq!((bench.desc(RX_RING, 0)[1] >> 48) as u16, tag);
            assert_eq!(bench.peek(RX_BUFFERS, 64), frame(MAC, 0x0800, 64));
        } else {
            assert_eq!(bench.rx_result(0), (0, 0, 0));
        }
    }
    let mut bench = with_descriptors(4);
    bench.write(VET, 0x8100);
    bench.frame_in(&tagged(5));
    bench.settle();
    assert_eq!(bench.peek(RX_BUFFERS, 68), tagged(5), "without VME the tag stays");
}

#[test]
fn checksum_offload_tells_good_from_bad() {
    let build = |protocol: &str| {
        let ip = PacketBuilder::ethernet2(PEER, MAC).ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64);
        let mut out = Vec::new();
        let payload = b"odd length payload 123";
        match protocol {
            "tcp" => ip.tcp(1, 2, 3, 4).write(&mut out, &payload[..]),
            "udp" => ip.udp(1, 2).write(&mut out, &payload[..21]),
            _ => ip.icmpv4_echo_request(1, 2).write(&mut out, &payload[..]),
        }
        .expect("fits");
        out.resize(out.len().max(64), 0);
        out
    };
    let (ip, tu) = (RXCSUM_IPOFL, RXCSUM_TUOFL);
    // (protocol, byte to spoil, RXCSUM) to (status, errors)
    for (protocol, spoilt, rxcsum, status, errors) in [
        ("tcp", None, ip | tu, RXD_IPCS | RXD_TCPCS, 0),
        ("tcp", Some(60), ip | tu, RXD_IPCS | RXD_TCPCS, RXD_TCPE),
        ("tcp", Some(18), ip | tu, RXD_IPCS | RXD_TCPCS, RXD_IPE),
        ("tcp", Some(60), ip, RXD_IPCS, 0),
        ("tcp", Some(60), tu, RXD_TCPCS, RXD_TCPE),
        ("tcp", Some(60), 0, RXD_IXSM, 0),
        ("udp", None, ip | tu, RXD_IPCS | RXD_TCPCS, 0),
        ("udp", Some(45), ip | tu, RXD_IPCS | RXD_TCPCS, RXD_TCPE),
        ("icmp", None, ip | tu, RXD_IPCS, 0),
        ("icmp", None, tu, RXD_IXSM, 0),
    ] {
        let mut bench = with_descriptors(4);
        bench.write(RXCSUM, rxcsum);
        let mut frame = build(protocol);
        if let Some(at) = spoilt {
            frame[at] ^= 0x40;
        }
        bench.frame_in(&frame);
        bench.settle();
        let got = bench.rx_result(0);
        let expected = (RXD_DD | RXD_EOP | status, errors);
        assert_eq!((got.0, got.1), expected, "{protocol} {spoilt:?} {rxcsum:#x}");
    }
}

#[test]
fn packet_checksum_starts_where_told_and_covers_the_fcs() {
    let mut bench = with_descriptors(4);
    bench.write(RXCSUM, 14);
    let sent = frame(MAC, 0x1234, 60);
    bench.frame_in(&sent);
    bench.settle();
    let mut covered = sent[14..].to_vec();
    covered.extend(checksum::frame_check(&sent));
    assert_eq!((bench.desc(RX_RING, 0)[1] >> 16) as u16, !checksum::ones_sum(&covered));
}

#[test]
fn a_long_frame_spans_descriptors_and_only_the_last_says_end() {
    let mut bench = with_descriptors(7);
    bench.write(RCTL, RCTL_EN | RCTL_SECRC | 3 << RCTL_BSIZE_SHIFT);
    let sent = frame(MAC, 0x1234, 600);
    bench.frame_in(&sent);
    bench.settle();
    let mid = (RXD_DD | RXD_IXSM, 0, 256);
    assert_eq!([0, 1, 2].map(|i| bench.rx_result(i)), [mid, mid, (mid.0 | RXD_EOP, 0, 88)]);
    let parts = [(0u64, 256), (1, 256), (2, 88)];
    let got: Vec<u8> =
        parts.iter().flat_map(|(i, len)| bench.peek(RX_BUFFERS + i * 0x4000, *len).to_vec()).collect();
    assert_eq!(got, sent);
    let records = bench.fabric.records();
    assert!(
        records.iter().any(|r| r.event == TraceEvent::FrameDelivered { packet: 0, len: 600, descriptors: 3 })
    );
}

#[test]
fn buffer_sizes_follow_bsize_and_bsex() {
    let mut bench = Bench::running();
    for (bits, expected) in [
        (0, 2048),
        (1 << 16, 1024),
        (2 << 16, 512),
        (3 << 16, 256),
        (RCTL_BSEX | 1 << 16, 16384),
        (RCTL_BSEX | 2 << 16, 8192),
        (RCTL_BSEX | 3 << 16, 4096),
    ] {
        bench.write(RCTL, bits);
        assert_eq!(bench.card.buffer_size(), expected);
    }
}

#[track_caller]
fn drops(bench: &mut Bench) -> Vec<DropReason> {
    let records = bench.fabric.records();
    find(&records, |event| match event {
        TraceEvent::FrameDrop { reason, .. } => Some(*reason),
        _ => None,
    })
    .into_iter()
    .map(|(_, reason)| reason)
    .collect()
}

#[test]
fn frames_that_cannot_be_received_say_why() {
    for (setup, len, expected) in [
        (vec![(RCTL, 0)], 60, Some(DropReason::ReceiverOff)),
        (vec![(CTRL, 0)], 60, Some(DropReason::LinkDown)),
        (vec![], 59, Some(DropReason::BadLength)),
        (vec![(RCTL, RCTL_EN | RCTL_SBP)], 59, None),
        (vec![], 60, None),
        (vec![], 1518, None),
        (vec![], 1519, Some(DropReason::TooLong)),
        (vec![(RCTL, RCTL_EN | RCTL_LPE)], 9000, None),
        (vec![(RCTL, RCTL_EN | RCTL_LPE)], 16381, Some(DropReason::BadLength)),
    ] {
        let mut bench = with_descriptors(7);
        for (offset, value) in &setup {
            bench.write(*offset, *value);
        }
        bench.frame_in(&frame(MAC, 0x1234, len));
        bench.settle();
        assert_eq!(drops(&mut bench), Vec::from_iter(expected), "{setup:?} {len}");
    }
}

#[test]
fn frames_wait_in_the_fifo_for_descriptors_and_overflow_loses_them() {
    let mut bench = Bench::running();
    bench.write(PBA, 2);
    for _ in 0..3 {
        bench.frame_in(&frame(MAC, 0x1234, 1100));
    }
    bench.settle();
    assert_eq!(drops(&mut bench), [DropReason::FifoFull, DropReason::FifoFull]);
    assert_eq!(bench.read(ICR), ICR_RXO);
    assert_eq!((bench.read(0x4010), bench.read(0x40a0)), (2, 1), "MPC and RNBC");
    assert_eq!((bench.read(0x4010), bench.read(0x40a0)), (0, 0), "cleared by reading");
    let doorbell = bench.write(RDT, 2);
    bench.settle();
    assert_eq!(bench.rx_result(0).2, 1100);
    assert_eq!(bench.card.stats().delivered, 1);
    let records = bench.fabric.records();
    let fetch = find(&records, |e| matches!(e, TraceEvent::DescFetch { .. }).then_some(()));
    assert_eq!(fetch[0].0.cause, Some(doorbell));
    assert_eq!(bench.card.rx.fifo_bytes, 0);
}

#[test]
fn the_ring_wraps_and_a_full_one_holds_all_but_one() {
    let mut bench = with_descriptors(RING - 1);
    for round in 0..5u32 {
        for _ in 0..RING - 1 {
            bench.frame_in(&frame(MAC, 0x1234, 100));
        }
        bench.settle();
        let head = (RING - 1) * (round + 1) % RING;
        assert_eq!(bench.read(RDH), head);
        bench.write(RDT, (head + RING - 1) % RING);
        bench.settle();
    }
    assert_eq!(bench.card.stats().delivered, u64::from(5 * (RING - 1)));
    assert_eq!(drops(&mut bench), []);
}

#[test]
fn rxdmt0_comes_when_free_descriptors_fall_to_the_threshold() {
    for (rdmts, expected) in [(0, 3), (1, 5), (2, 6)] {
        let mut bench = with_descriptors(7);
        bench.write(RCTL, RCTL_EN | rdmts << RCTL_RDMTS_SHIFT);
        let mut frames = 0;
        while bench.read(ICR) & ICR_RXDMT0 == 0 && frames < 8 {
            bench.frame_in(&frame(MAC, 0x1234, 100));
            bench.settle();
            frames += 1;
        }
        assert_eq!(frames, expected, "RDMTS {rdmts}");
    }
}

#[test]
fn the_packet_timer_restarts_and_the_absolute_one_does_not() {
    let unit = |n: u64| VirtDuration::from_ns(1024 * n);
    let mut bench = with_descriptors(7);
    bench.write(RDTR, 20);
    bench.write(RADV, 50);
    let mut told = Vec::new();
    let start = bench.fabric.now;
    for step in 0..120 {
        if step % 15 == 0 && step < 90 {
            bench.frame_in(&frame(MAC, 0x1234, 100));
        }
        bench.run(unit(1));
        if bench.read(ICR) & ICR_RXT0 != 0 {
            told.push(bench.fabric.now.since(start).0 / unit(1).0);
        }
    }
    // Frames at 0, 15, 30, 45, 60, 75: the absolute timer fires at 50, the next packet's at 60 starts it anew.
    assert_eq!(told, [51, 96]);
}

#[test]
fn flushing_and_small_packets_bypass_the_timers() {
    let mut bench = with_descriptors(7);
    bench.write(RDTR, 1000);
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.settle();
    assert_eq!(bench.read(ICR), 0);
    bench.write(RDTR, 1000 | FLUSH_PARTIAL);
    assert_eq!(bench.read(ICR), ICR_RXT0);
    bench.write(RSRPD, 64);
    bench.frame_in(&frame(MAC, 0x1234, 64));
    bench.settle();
    assert_eq!(bench.read(ICR), ICR_SRPD);
}

#[test]
fn a_write_back_threshold_gathers_descriptors_until_the_timer() {
    let mut bench = with_descriptors(7);
    bench.write(RXDCTL, DCTL_GRAN | 3 << 16);
    bench.write(RDTR, 1000);
    for _ in 0..2 {
        bench.frame_in(&frame(MAC, 0x1234, 100));
    }
    bench.settle();
    assert_eq!(bench.rx_result(0), (0, 0, 0), "two of three");
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.settle();
    assert_eq!([0, 1, 2].map(|i| bench.rx_result(i).2), [100; 3]);
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.run(VirtDuration::from_ms(2));
    assert_eq!(bench.rx_result(3).2, 100, "the timer forces the rest");
}

#[test]
fn without_bus_mastering_frames_wait_and_the_trace_says_so() {
    let mut bench = with_descriptors(4);
    bench.config_write(pci::COMMAND, Width::B2, 3);
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.settle();
    assert_eq!(bench.rx_result(0), (0, 0, 0));
    assert!(bench.fabric.records().iter().any(|r| matches!(r.event, TraceEvent::DmaBlocked { .. })));
    bench.config_write(pci::COMMAND, Width::B2, 7);
    bench.settle();
    assert_eq!(bench.rx_result(0).2, 100);
    assert_eq!(bench.card.stats().delivered, 1);
}

#[test]
fn a_refused_data_write_is_lost_unknown_to_the_card() {
    let mut bench = with_descriptors(4);
    bench.fabric.memory.refused.push(RX_BUFFERS..RX_BUFFERS + 0x1000);
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.settle();
    assert_eq!(drops(&mut bench), [DropReason::DmaRefused]);
    assert_eq!(bench.rx_result(0).2, 100, "a posted write tells nobody");
    assert_eq!(bench.card.stats().delivered, 1);
}

#[test]
fn a_refused_descriptor_fetch_stops_the_ring_until_the_tail_is_written() {
    let mut bench = Bench::running();
    bench.fabric.memory.refused.push(RX_RING..RX_RING + 0x80);
    bench.write(RDT, 4);
    bench.frame_in(&frame(MAC, 0x1234, 100));
    bench.settle();
    assert_eq!(bench.config_read(pci::STATUS, Width::B2) & pci::STATUS_MASTER_ABORT as u32, 0x2000);
    bench.fabric.memory.refused.clear();
    bench.settle();
    assert_eq!(bench.rx_result(0), (0, 0, 0));
    bench.write(RDT, 4);
    bench.settle();
    assert_eq!(bench.rx_result(0).2, 100);
}

#[test]
fn rings_that_make_no_sense_have_no_descriptors() {
    for (len, head, tail) in [(0, 0, 5), (128, 9, 2), (128, 2, 9), (128, 0xffff, 0xffff)] {
        let mut bench = Bench::running();
        bench.write(RDLEN, len);
        bench.write(RDT, tail);
        bench.write(RDH, head);
        bench.frame_in(&frame(MAC, 0x1234, 100));
        assert_eq!(bench.run(VirtDuration::from_ms(1)), 0, "{len} {head} {tail}");
    }
}

#[test]
fn statistics_count_by_size_and_kind() {
    let mut bench = with_descriptors(7);
    for (to, len) in [(MAC, 60), (MAC, 61), (ALL, 1514), (OTHER, 100)] {
        bench.frame_in(&frame(to, 0x1234, len));
    }
    bench.settle();
    let expected = [
        (0x405c, 1),
        (0x4060, 1),
        (0x4070, 1),
        (0x4074, 3),
        (0x4078, 1),
        (0x40d0, 4),
        (0x40c0, 64 + 65 + 1518 + 104),
    ];
    for (offset, count) in expected {
        assert_eq!(bench.read(offset), count, "{offset:#x}");
    }
    assert_eq!(bench.read(0x40c0), 64 + 65 + 1518 + 104, "a low word stays until the high one is read");
    bench.read(0x40c4);
    assert_eq!(bench.read(0x40c0), 0);
}

#[test]
fn a_full_fifo_asks_for_silence_and_an_empty_one_ends_it() {
    let mut bench = Bench::running();
    bench.write(CTRL, CTRL_SLU | CTRL_FD | CTRL_TFCE);
    bench.write(FCTTV, 0x680);
    bench.write(FCRTH, 2048);
    bench.write(FCRTL, FCRTL_XONE | 512);
    for _ in 0..2 {
        bench.frame_in(&frame(MAC, 0x1234, 1500));
    }
    bench.settle();
    bench.write(RDT, 4);
    bench.settle();
    let quanta: Vec<_> =
        bench.cable.sent.iter().map(|(_, f)| (f[..6].to_vec(), f[12..18].to_vec())).collect();
    let pause = |high, low| (vec![1, 0x80, 0xc2, 0, 0, 1], vec![0x88, 0x08, 0, 1, high, low]);
    assert_eq!(quanta, [pause(6, 0x80), pause(0, 0)]);
}
