//! Register offsets and bits of the 82540EM. Section and table numbers are those of Intel's "PCI/PCI-X Family of Gigabit
//! Ethernet Controllers Software Developer's Manual" (317453, revision 4.0), chapter 13 unless said otherwise.
//!
//! Names and meanings for people are in `names.rs`; what registers do is in the other files.

/// Bytes of the memory BAR (4.1).
pub const MMIO_SIZE: u64 = 128 << 10;
/// Bytes of the I/O BAR: IOADDR, IODATA and reserved space (13.2.2 and 4.1).
pub const IO_SIZE: u64 = 64;
/// Offset in the I/O BAR: which register IODATA means, 32 bits, RW.
pub const IOADDR: u64 = 0x0;
/// Offset in the I/O BAR: the register, 32 bits.
pub const IODATA: u64 = 0x4;

/// Device control, RW, reset 0x201 (13.4.1).
pub const CTRL: u32 = 0x0000;
/// The same register again (13.2, table 13-2).
pub const CTRL_DUP: u32 = 0x0004;
/// Device status, RO (13.4.2).
pub const STATUS: u32 = 0x0008;
/// EEPROM control and data, RW (13.4.3).
pub const EECD: u32 = 0x0010;
/// EEPROM read, RW (13.4.4).
pub const EERD: u32 = 0x0014;
/// Extended device control, RW (13.4.6).
pub const CTRL_EXT: u32 = 0x0018;
/// MDI control, RW (13.4.7).
pub const MDIC: u32 = 0x0020;
/// Flow control address low, RW (13.4.8).
pub const FCAL: u32 = 0x0028;
/// Flow control address high, RW, 16 bits.
pub const FCAH: u32 = 0x002c;
/// Flow control type, RW, 16 bits (13.4.10).
pub const FCT: u32 = 0x0030;
/// VLAN ether type, RW, 16 bits (13.4.11).
pub const VET: u32 = 0x0038;
/// Interrupt cause read, cleared by reading, RW1C (13.4.17).
pub const ICR: u32 = 0x00c0;
/// Interrupt throttling, RW, 16 bits, 256 ns (13.4.18).
pub const ITR: u32 = 0x00c4;
/// Interrupt cause set, WO (13.4.19).
pub const ICS: u32 = 0x00c8;
/// Interrupt mask set and read, RW (13.4.20).
pub const IMS: u32 = 0x00d0;
/// Interrupt mask clear, WO (13.4.21).
pub const IMC: u32 = 0x00d8;
/// Receive control, RW (13.4.22).
pub const RCTL: u32 = 0x0100;
/// Flow control transmit timer value, RW, 16 bits (13.4.12).
pub const FCTTV: u32 = 0x0170;
/// Transmit configuration word of the TBI interface, RW (13.4.13).
pub const TXCW: u32 = 0x0178;
/// Receive configuration word of the TBI interface, RO.
pub const RXCW: u32 = 0x0180;
/// Transmit control, RW (13.4.33).
pub const TCTL: u32 = 0x0400;
/// Transmit inter-packet gap, RW (13.4.34).
pub const TIPG: u32 = 0x0410;
/// Adaptive IFS throttle, RW, 16 bits (13.4.35).
pub const AIT: u32 = 0x0458;
/// LED control, RW, reset 0x07068302 (13.4.15).
pub const LEDCTL: u32 = 0x0e00;
/// Packet buffer allocation: receive KiB in bits 15:0, transmit KiB in 31:16 RO (13.4.16).
pub const PBA: u32 = 0x1000;
/// Flow control receive threshold low, RW (13.4.23).
pub const FCRTL: u32 = 0x2160;
/// Flow control receive threshold high, RW (13.4.24).
pub const FCRTH: u32 = 0x2168;
/// Receive data FIFO head, tail, saved head, saved tail and packet count, RW, diagnostic (13.8).
pub const RDFH: u32 = 0x2410;
/// Receive descriptor base low, RW, 16-byte aligned (13.4.25).
pub const RDBAL: u32 = 0x2800;
/// Receive descriptor base high, RW.
pub const RDBAH: u32 = 0x2804;
/// Receive descriptor ring length in bytes, RW, a multiple of 128 (13.4.27).
pub const RDLEN: u32 = 0x2808;
/// Receive descriptor head, RW, 16 bits.
pub const RDH: u32 = 0x2810;
/// Receive descriptor tail, RW, 16 bits.
pub const RDT: u32 = 0x2818;
/// Receive interrupt delay, RW, 1.024 us (13.4.30).
pub const RDTR: u32 = 0x2820;
/// Receive descriptor control, RW (13.4).
pub const RXDCTL: u32 = 0x2828;
/// Receive interrupt absolute delay, RW, 1.024 us (13.4.31).
pub const RADV: u32 = 0x282c;
/// Receive small packet detect, RW, 12 bits (13.4.32).
pub const RSRPD: u32 = 0x2c00;
/// Transmit DMA control, RW (13.4).
pub const TXDMAC: u32 = 0x3000;
/// Transmit data FIFO head; tail, saved head, saved tail and packet count follow, RW, diagnostic (13.8).
pub const TDFH: u32 = 0x3410;
/// Transmit descriptor base low, RW, 16-byte aligned (13.4.36).
pub const TDBAL: u32 = 0x3800;
/// Transmit descriptor base high, RW.
pub const TDBAH: u32 = 0x3804;
/// Transmit descriptor ring length in bytes, RW, a multiple of 128.
pub const TDLEN: u32 = 0x3808;
/// Transmit descriptor head, RW, 16 bits.
pub const TDH: u32 = 0x3810;
/// Transmit descriptor tail, RW, 16 bits.
pub const TDT: u32 = 0x3818;
/// Transmit interrupt delay, RW, 1.024 us (13.4).
pub const TIDV: u32 = 0x3820;
/// Transmit descriptor control, RW (13.4).
pub const TXDCTL: u32 = 0x3828;
/// Transmit interrupt absolute delay, RW, 1.024 us (13.4).
pub const TADV: u32 = 0x382c;
/// TCP segmentation pad and minimum threshold, RW (13.4).
pub const TSPMT: u32 = 0x3830;
/// First statistics register; all are RO and cleared by reading (13.7).
pub const STATS: u32 = 0x4000;
/// Statistics registers, with the holes between them.
pub const STATS_WORDS: u32 = 64;
/// Receive checksum control, RW (13.4).
pub const RXCSUM: u32 = 0x5000;
/// Multicast table array, 128 words, RW (13.5.1).
pub const MTA: u32 = 0x5200;
/// Words of the multicast table.
pub const MTA_WORDS: u32 = 128;
/// Receive addresses, 16 pairs of low and high word, RW (13.5.2).
pub const RA: u32 = 0x5400;
/// Words of the receive addresses.
pub const RA_WORDS: u32 = 32;
/// VLAN filter table array, 128 words, RW (13.5.4).
pub const VFTA: u32 = 0x5600;
/// Words of the VLAN filter table.
pub const VFTA_WORDS: u32 = 128;
/// Wake-up control, RW (13.6).
pub const WUC: u32 = 0x5800;
/// Wake-up filter control, RW.
pub const WUFC: u32 = 0x5808;
/// Wake-up status, RO here: wake-up is not modelled.
pub const WUS: u32 = 0x5810;
/// Management control, RW (13.4).
pub const MANC: u32 = 0x5820;
/// IP address valid, RW (13.6).
pub const IPAV: u32 = 0x5838;
/// IPv4 address table, RW.
pub const IP4AT: u32 = 0x5840;
/// Words of the IPv4 address table with its holes.
pub const IP4AT_WORDS: u32 = 8;
/// IPv6 address table, RW.
pub const IP6AT: u32 = 0x5880;
/// Words of the IPv6 address table.
pub const IP6AT_WORDS: u32 = 4;
/// Wake-up packet length, RO.
pub const WUPL: u32 = 0x5900;
/// Wake-up packet memory, RO: 32 words.
pub const WUPM: u32 = 0x5a00;
/// Words of the wake-up packet memory.
pub const WUPM_WORDS: u32 = 32;
/// Flexible filter length table, RW.
pub const FFLT: u32 = 0x5f00;
/// Words of the flexible filter length table with its holes.
pub const FFLT_WORDS: u32 = 8;
/// Flexible filter mask table, RW.
pub const FFMT: u32 = 0x9000;
/// Flexible filter value table, RW.
pub const FFVT: u32 = 0x9800;
/// Words of each of the two with their holes.
pub const FFT_WORDS: u32 = 256;
/// Packet buffer memory, RW, diagnostic (13.8).
pub const PBM: u32 = 0x10000;
/// Bytes of the packet buffer.
pub const PBM_SIZE: u32 = 64 << 10;

/// CTRL: full duplex.
pub const CTRL_FD: u32 = 1 << 0;
/// CTRL: set link up; with the internal PHY, obey its link indication.
pub const CTRL_SLU: u32 = 1 << 6;
/// CTRL: speed when forced, bits 9:8.
pub const CTRL_SPEED_SHIFT: u32 = 8;
/// CTRL: force speed.
pub const CTRL_FRCSPD: u32 = 1 << 11;
/// CTRL: force duplex.
pub const CTRL_FRCDPX: u32 = 1 << 12;
/// CTRL: reset all but the PHY and PCI configuration; clears itself.
pub const CTRL_RST: u32 = 1 << 26;
/// CTRL: obey received PAUSE frames.
pub const CTRL_RFCE: u32 = 1 << 27;
/// CTRL: send PAUSE frames.
pub const CTRL_TFCE: u32 = 1 << 28;
/// CTRL: VLAN mode: strip and insert tags.
pub const CTRL_VME: u32 = 1 << 30;
/// CTRL: hold the PHY in reset.
pub const CTRL_PHY_RST: u32 = 1 << 31;
/// CTRL after reset: full duplex, 1000 Mb/s.
pub const CTRL_RESET: u32 = 0x201;

/// STATUS: link up.
pub const STATUS_LU: u32 = 1 << 1;
/// STATUS: transmission paused.
pub const STATUS_TXOFF: u32 = 1 << 4;

/// EECD: clock, chip select, data in, data out.
pub const EECD_SK: u32 = 1 << 0;
/// EECD: chip select.
pub const EECD_CS: u32 = 1 << 1;
/// EECD: data to the EEPROM.
pub const EECD_DI: u32 = 1 << 2;
/// EECD: data from the EEPROM; RO.
pub const EECD_DO: u32 = 1 << 3;
/// EECD: flash write enable, bits 5:4.
pub const EECD_FWE: u32 = 3 << 4;
/// EECD: software wants the EEPROM.
pub const EECD_REQ: u32 = 1 << 6;
/// EECD: software has it; RO.
pub const EECD_GNT: u32 = 1 << 7;
/// EECD: there is an EEPROM; RO.
pub const EECD_PRES: u32 = 1 << 8;

/// EERD: start.
pub const EERD_START: u32 = 1 << 0;
/// EERD: done.
pub const EERD_DONE: u32 = 1 << 4;

/// CTRL_EXT: read the EEPROM again; clears itself.
pub const CTRL_EXT_EE_RST: u32 = 1 << 13;

/// MDIC: write.
pub const MDIC_WRITE: u32 = 1;
/// MDIC: read.
pub const MDIC_READ: u32 = 2;
/// MDIC: ready.
pub const MDIC_READY: u32 = 1 << 28;
/// MDIC: interrupt when ready.
pub const MDIC_INTERRUPT: u32 = 1 << 29;
/// MDIC: error.
pub const MDIC_ERROR: u32 = 1 << 30;

/// ICR: transmit descriptor written back.
pub const ICR_TXDW: u32 = 1 << 0;
/// ICR: transmit queue empty.
pub const ICR_TXQE: u32 = 1 << 1;
/// ICR: link status change.
pub const ICR_LSC: u32 = 1 << 2;
/// ICR: receive descriptors fell to the threshold.
pub const ICR_RXDMT0: u32 = 1 << 4;
/// ICR: receiver overrun.
pub const ICR_RXO: u32 = 1 << 6;
/// ICR: receive timer expired: frames are in memory.
pub const ICR_RXT0: u32 = 1 << 7;
/// ICR: MDIO access complete.
pub const ICR_MDAC: u32 = 1 << 9;
/// ICR: PHY interrupt.
pub const ICR_PHYINT: u32 = 1 << 12;
/// ICR: transmit descriptors fell to the low threshold.
pub const ICR_TXD_LOW: u32 = 1 << 15;
/// ICR: small packet received.
pub const ICR_SRPD: u32 = 1 << 16;
/// ICR: every bit that ICS can set; Linux's self-test expects the reserved ones among them to work.
pub const ICR_ALL: u32 = 0x0001_ffff;

/// RCTL: receiver enable.
pub const RCTL_EN: u32 = 1 << 1;
/// RCTL: store bad packets.
pub const RCTL_SBP: u32 = 1 << 2;
/// RCTL: unicast promiscuous.
pub const RCTL_UPE: u32 = 1 << 3;
/// RCTL: multicast promiscuous.
pub const RCTL_MPE: u32 = 1 << 4;
/// RCTL: long packets, up to 16384 bytes.
pub const RCTL_LPE: u32 = 1 << 5;
/// RCTL: loopback mode, bits 7:6; 0 is none.
pub const RCTL_LBM: u32 = 3 << 6;
/// RCTL: free descriptor threshold, bits 9:8: 1/2, 1/4, 1/8 of the ring.
pub const RCTL_RDMTS_SHIFT: u32 = 8;
/// RCTL: which 12 bits of the address index the multicast table, bits 13:12.
pub const RCTL_MO_SHIFT: u32 = 12;
/// RCTL: accept broadcast.
pub const RCTL_BAM: u32 = 1 << 15;
/// RCTL: buffer size, bits 17:16.
pub const RCTL_BSIZE_SHIFT: u32 = 16;
/// RCTL: VLAN filter enable.
pub const RCTL_VFE: u32 = 1 << 18;
/// RCTL: compare the tag's CFI bit.
pub const RCTL_CFIEN: u32 = 1 << 19;
/// RCTL: what the CFI bit must be.
pub const RCTL_CFI: u32 = 1 << 20;
/// RCTL: discard PAUSE frames.
pub const RCTL_DPF: u32 = 1 << 22;
/// RCTL: pass MAC control frames.
pub const RCTL_PMCF: u32 = 1 << 23;
/// RCTL: buffer size times 16.
pub const RCTL_BSEX: u32 = 1 << 25;
/// RCTL: strip the FCS.
pub const RCTL_SECRC: u32 = 1 << 26;
/// RCTL: every bit there is.
pub const RCTL_MASK: u32 = 0x06df_fffe;

/// TCTL: transmitter enable.
pub const TCTL_EN: u32 = 1 << 1;
/// TCTL: pad short packets.
pub const TCTL_PSP: u32 = 1 << 3;
/// TCTL: send an XOFF; clears itself.
pub const TCTL_SWXOFF: u32 = 1 << 22;
/// TCTL: every bit there is.
pub const TCTL_MASK: u32 = 0x03ff_fffa;

/// PBA after reset: 48 KiB for receive.
pub const PBA_RESET: u32 = 48;
/// RDTR and TIDV: write back now; clears itself.
pub const FLUSH_PARTIAL: u32 = 1 << 31;
/// RXDCTL and TXDCTL: thresholds count descriptors, not cache lines.
pub const DCTL_GRAN: u32 = 1 << 24;
/// RXCSUM: IP checksum offload.
pub const RXCSUM_IPOFL: u32 = 1 << 8;
/// RXCSUM: TCP and UDP checksum offload.
pub const RXCSUM_TUOFL: u32 = 1 << 9;
/// RAH: address valid.
pub const RAH_AV: u32 = 1 << 31;
/// RAH: what the address is compared to, bits 17:16: 0 destination, 1 source.
pub const RAH_AS_SHIFT: u32 = 16;
/// FCRTL: send an XON when the FIFO has drained.
pub const FCRTL_XONE: u32 = 1 << 31;
/// MANC after reset: ARP interception as the EEPROM says: off.
pub const MANC_RESET: u32 = 0;

/// Descriptors are 16 bytes (3.2.3 and 3.3.3).
pub const DESC_SIZE: u64 = 16;
/// Receive status, bits 39:32 of the second quadword: done (table 3-2).
pub const RXD_DD: u8 = 1 << 0;
/// Receive status: end of packet.
pub const RXD_EOP: u8 = 1 << 1;
/// Receive status: ignore the checksum bits.
pub const RXD_IXSM: u8 = 1 << 2;
/// Receive status: the packet had a VLAN tag, now in the special field.
pub const RXD_VP: u8 = 1 << 3;
/// Receive status: TCP or UDP checksum was calculated.
pub const RXD_TCPCS: u8 = 1 << 5;
/// Receive status: IP checksum was calculated.
pub const RXD_IPCS: u8 = 1 << 6;
/// Receive status: passed an inexact filter.
pub const RXD_PIF: u8 = 1 << 7;
/// Receive descriptor errors: the FCS did not fit, stored because of RCTL.SBP.
pub const RXD_CE: u8 = 1 << 0;
/// Receive errors, bits 47:40: TCP or UDP checksum (table 3-3).
pub const RXD_TCPE: u8 = 1 << 5;
/// Receive errors: IP checksum.
pub const RXD_IPE: u8 = 1 << 6;

/// Transmit command, bits 31:24 of the second quadword: end of packet (3.3.3.1).
pub const TXD_EOP: u8 = 1 << 0;
/// Transmit command: insert the FCS.
pub const TXD_IFCS: u8 = 1 << 1;
/// Legacy transmit command: insert a checksum.
pub const TXD_IC: u8 = 1 << 2;
/// Data and context command: TCP segmentation.
pub const TXD_TSE: u8 = 1 << 2;
/// Transmit command: report status.
pub const TXD_RS: u8 = 1 << 3;
/// Transmit command: report once the packet has left.
pub const TXD_RPS: u8 = 1 << 4;
/// Transmit command: not a legacy descriptor.
pub const TXD_DEXT: u8 = 1 << 5;
/// Transmit command: insert a VLAN tag.
pub const TXD_VLE: u8 = 1 << 6;
/// Transmit command: delay the interrupt.
pub const TXD_IDE: u8 = 1 << 7;
/// Context command: the packet is TCP, not UDP (3.3.6).
pub const TUCMD_TCP: u8 = 1 << 0;
/// Context command: the packet is IPv4.
pub const TUCMD_IP: u8 = 1 << 1;
/// Packet options of a data descriptor: insert the IP checksum (3.3.7).
pub const POPTS_IXSM: u8 = 1 << 0;
/// Packet options: insert the TCP or UDP checksum.
pub const POPTS_TXSM: u8 = 1 << 1;
/// Transmit status, bit 32 of the second quadword: done.
pub const TXD_DD: u64 = 1 << 32;
