use super::*;

#[test]
fn a_frame_goes_to_memory_and_raises_the_pin() {
    let mut bench = Bench::running();
    bench.write(IMS, ICR_RXT0);
    bench.write(RDT, RING - 1);
    bench.settle();
    let sent = frame(MAC, 0x0800, 100);
    bench.frame_in(&sent);
    assert_eq!(bench.rx_result(0), (0, 0, 0), "nothing happens at once");
    bench.settle();
    let (status, errors, len) = bench.rx_result(0);
    assert_eq!((status & (RXD_DD | RXD_EOP), errors, len), (RXD_DD | RXD_EOP, 0, 100));
    assert_eq!(bench.peek(RX_BUFFERS, 100), sent);
    assert_eq!(bench.read(RDH), 1);
    assert!(bench.pin());
    assert_eq!(bench.read(ICR), ICR_RXT0);
    assert!(!bench.pin());
}
