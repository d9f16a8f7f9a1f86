//! Snapshots: taken in the middle of everything, and not believed when they come back.

use super::*;

/// A busy card: frames waiting and half delivered, a packet half segmented, timers and throttling running.
fn busy(span: VirtDuration) -> Bench {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_RXT0 | ICR_TXDW);
    bench.write(ITR, 50);
    bench.write(RDTR, 5);
    bench.write(TIDV, 5);
    bench.write(RCTL, RCTL_EN | 3 << RCTL_BSIZE_SHIFT);
    bench.write(RDT, 5);
    let command = u64::from(TXD_EOP | TXD_IFCS | TXD_RS | TXD_IDE) << 24;
    for index in 0..6 {
        bench.set_desc(TX_RING, index, [TX_BUFFERS, command | 1400]);
    }
    bench.write(TDT, 6);
    for _ in 0..5 {
        bench.frame_in(&frame(MAC, 0x1234, 700));
    }
    bench.write(MDIC, MDIC_READ << 26 | 1 << 21 | 1 << 16);
    bench.run(span);
    bench
}

/// Makes a state impossible.
type Forgery = fn(&mut E1000State);
/// What can be seen of a run: its trace, where it ended, what was sent when.
type Outcome = (Vec<TraceRecord>, E1000State, Vec<(VirtTime, Vec<u8>)>);

/// The rest of a run.
fn rest(bench: &mut Bench) -> Outcome {
    let _ = bench.fabric.records();
    bench.run(VirtDuration::from_ms(1));
    (bench.fabric.records(), bench.card.state(), std::mem::take(&mut bench.cable.sent))
}

#[test]
fn a_card_goes_on_from_a_snapshot_as_if_nothing_had_been() {
    for ns in [0, 300, 500, 700, 1_000, 2_000, 5_000, 12_000, 26_000, 60_000] {
        let mut bench = busy(VirtDuration::from_ns(ns));
        let text = ron::to_string(&bench.card.state()).expect("serializes");
        let state: E1000State = ron::from_str(&text).expect("parses");
        assert_eq!(state, bench.card.state());
        let fresh = E1000::new(E1000Config::with_mac(MAC));
        let mut other = busy(VirtDuration::from_ns(ns));
        other.card = fresh;
        other.card.restore(state).expect("valid");
        assert_eq!(other.card, bench.card);
        assert_eq!(rest(&mut other), rest(&mut bench), "after {ns} ns");
    }
}

#[test]
fn impossible_states_are_refused_and_change_nothing() {
    let mut bench = busy(VirtDuration::from_us(2));
    let good = bench.card.state();
    assert!(!good.rx.fifo.is_empty() && !good.tx.fifo.is_empty());
    let forgeries: [(&str, Forgery); 16] = [
        ("config", |s| s.config.bytes[0] ^= 1),
        ("mta", |s| s.tables.mta.truncate(5)),
        ("packet buffer", |s| s.tables.packet_buffer = vec![(5, 0), (5, 0)]),
        ("packet buffer", |s| s.tables.packet_buffer = vec![(1 << 20, 0)]),
        ("eeprom", |s| s.eeprom.words.clear()),
        ("phy", |s| s.phy.regs.push(0)),
        ("stats", |s| s.stats.words.clear()),
        ("count", |s| s.stats.received = u64::MAX),
        ("mask", |s| s.irq.ims = !0),
        ("ring", |s| s.rx.ring.head = 1 << 20),
        ("ring", |s| s.tx.ring.len = 7),
        ("rctl", |s| s.regs.rctl = !0),
        ("delay", |s| s.regs.tidv = !0),
        ("receive fifo", |s| s.rx.fifo_bytes += 1),
        ("transmit fifo", |s| s.tx.fifo.clear()),
        ("progress", |s| s.rx.done = !0),
    ];
    for (what, forge) in forgeries {
        let mut forged = good.clone();
        forge(&mut forged);
        let error = bench.card.restore(forged).expect_err(what);
        assert!(!error.to_string().is_empty());
        assert_eq!(bench.card.state(), good, "{what}");
    }
}

#[test]
fn a_reset_is_a_new_card_with_no_events() {
    let mut bench = busy(VirtDuration::from_us(2));
    bench.write(ICS, ICR_RXT0);
    bench.on(|card, ctx, _| card.reset(ctx));
    assert_eq!(bench.card, E1000::new(E1000Config::with_mac(MAC)));
    assert_eq!(bench.run(VirtDuration::from_s(10)), 0);
}
