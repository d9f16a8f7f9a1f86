use super::*;

#[test]
fn a_legacy_descriptor_sends_its_frame_at_line_rate() {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_TXDW);
    let data = frame(PEER, 0x0800, 100);
    bench.poke(TX_BUFFERS, &data);
    let command = u64::from(TXD_EOP | TXD_IFCS | TXD_RS);
    bench.set_desc(TX_RING, 0, [TX_BUFFERS, command << 24 | 100]);
    bench.write(TDT, 1);
    assert_eq!(bench.cable.sent, []);
    bench.settle();
    let timing = Timing::default();
    let start = timing.descriptor_fetch.plus(timing.transmit_start);
    let wire = VirtDuration::from_ns((8 + 100 + 4) * 8);
    assert_eq!(bench.cable.sent, [(VirtTime::ZERO.after(start).after(wire), data)]);
    assert_eq!(bench.desc(TX_RING, 0)[1] & TXD_DD, TXD_DD);
    assert_eq!(bench.read(TDH), 1);
    assert_eq!(bench.read(ICR), ICR_TXDW | ICR_TXQE);
}
