//! The card's registers by name, for people: `explain`, `inspect` and the trace's text form. Meanings are short; the
//! manual's section says where the rest is.

use super::mmio::canonical;
use super::spec::*;
use crate::inspect::bit_names;

/// What a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterInfo {
    /// The manual's name.
    pub name: &'static str,
    /// Its offset in the memory BAR; the first word's of an array.
    pub offset: u32,
    /// How many 32-bit words there are.
    pub words: u32,
    /// The manual's section.
    pub section: &'static str,
    /// What it is for, in a few words.
    pub what: &'static str,
    /// Bits with a name.
    pub bits: &'static [(u32, &'static str)],
}

const CTRL_BITS: &[(u32, &str)] = &[
    (CTRL_FD, "FD"),
    (1 << 3, "LRST"),
    (1 << 5, "ASDE"),
    (CTRL_SLU, "SLU"),
    (1 << 7, "ILOS"),
    (CTRL_FRCSPD, "FRCSPD"),
    (CTRL_FRCDPX, "FRCDPX"),
    (CTRL_RST, "RST"),
    (CTRL_RFCE, "RFCE"),
    (CTRL_TFCE, "TFCE"),
    (CTRL_VME, "VME"),
    (CTRL_PHY_RST, "PHY_RST"),
];
const STATUS_BITS: &[(u32, &str)] =
    &[(1 << 0, "FD"), (STATUS_LU, "LU"), (STATUS_TXOFF, "TXOFF"), (1 << 6, "100M"), (1 << 7, "1000M")];
const EECD_BITS: &[(u32, &str)] = &[
    (EECD_SK, "SK"),
    (EECD_CS, "CS"),
    (EECD_DI, "DI"),
    (EECD_DO, "DO"),
    (EECD_REQ, "REQ"),
    (EECD_GNT, "GNT"),
    (EECD_PRES, "PRES"),
];
const EERD_BITS: &[(u32, &str)] = &[(EERD_START, "START"), (EERD_DONE, "DONE")];
const MDIC_BITS: &[(u32, &str)] =
    &[(1 << 26, "WRITE"), (1 << 27, "READ"), (MDIC_READY, "R"), (MDIC_INTERRUPT, "I"), (MDIC_ERROR, "E")];
/// Interrupt causes.
const ICR_BITS: &[(u32, &str)] = &[
    (ICR_TXDW, "TXDW"),
    (ICR_TXQE, "TXQE"),
    (ICR_LSC, "LSC"),
    (1 << 3, "RXSEQ"),
    (ICR_RXDMT0, "RXDMT0"),
    (ICR_RXO, "RXO"),
    (ICR_RXT0, "RXT0"),
    (ICR_MDAC, "MDAC"),
    (1 << 10, "RXCFG"),
    (ICR_PHYINT, "PHYINT"),
    (1 << 13, "GPI_SDP6"),
    (1 << 14, "GPI_SDP7"),
    (ICR_TXD_LOW, "TXD_LOW"),
    (ICR_SRPD, "SRPD"),
];
const RCTL_BITS: &[(u32, &str)] = &[
    (RCTL_EN, "EN"),
    (RCTL_SBP, "SBP"),
    (RCTL_UPE, "UPE"),
    (RCTL_MPE, "MPE"),
    (RCTL_LPE, "LPE"),
    (RCTL_BAM, "BAM"),
    (RCTL_VFE, "VFE"),
    (RCTL_CFIEN, "CFIEN"),
    (RCTL_CFI, "CFI"),
    (RCTL_DPF, "DPF"),
    (RCTL_PMCF, "PMCF"),
    (RCTL_BSEX, "BSEX"),
    (RCTL_SECRC, "SECRC"),
];
const TCTL_BITS: &[(u32, &str)] =
    &[(TCTL_EN, "EN"), (TCTL_PSP, "PSP"), (TCTL_SWXOFF, "SWXOFF"), (1 << 24, "RTLC"), (1 << 25, "NRTU")];
const RXCSUM_BITS: &[(u32, &str)] = &[(RXCSUM_IPOFL, "IPOFL"), (RXCSUM_TUOFL, "TUOFL")];

const fn row(
    name: &'static str,
    offset: u32,
    words: u32,
    section: &'static str,
    what: &'static str,
    bits: &'static [(u32, &'static str)],
) -> RegisterInfo {
    RegisterInfo { name, offset, words, section, what, bits }
}

/// Every register.
pub const REGISTERS: [RegisterInfo; 130] = [
    row("CTRL", CTRL, 1, "13.4.1", "device control", CTRL_BITS),
    row("STATUS", STATUS, 1, "13.4.2", "device status", STATUS_BITS),
    row("EECD", EECD, 1, "13.4.3", "EEPROM wires", EECD_BITS),
    row("EERD", EERD, 1, "13.4.4", "EEPROM read: data 31:16, address 15:8", EERD_BITS),
    row("CTRL_EXT", CTRL_EXT, 1, "13.4.6", "extended device control", &[]),
    row(
        "MDIC",
        MDIC,
        1,
        "13.4.7",
        "PHY access: opcode 27:26, PHY 25:21, register 20:16, data 15:0",
        MDIC_BITS,
    ),
    row("FCAL", FCAL, 1, "13.4.8", "flow control address, low", &[]),
    row("FCAH", FCAH, 1, "13.4.9", "flow control address, high", &[]),
    row("FCT", FCT, 1, "13.4.10", "flow control type", &[]),
    row("VET", VET, 1, "13.4.11", "VLAN ether type", &[]),
    row("ICR", ICR, 1, "13.4.17", "interrupt causes; reading clears", ICR_BITS),
    row("ITR", ITR, 1, "13.4.18", "interrupt throttling, in 256 ns", &[]),
    row("ICS", ICS, 1, "13.4.19", "interrupt cause set", ICR_BITS),
    row("IMS", IMS, 1, "13.4.20", "interrupt mask; ones written are set", ICR_BITS),
    row("IMC", IMC, 1, "13.4.21", "interrupt mask clear", ICR_BITS),
    row("RCTL", RCTL, 1, "13.4.22", "receive control", RCTL_BITS),
    row("FCTTV", FCTTV, 1, "13.4.12", "quanta in PAUSE frames sent", &[]),
    row("TXCW", TXCW, 1, "13.4.13", "TBI transmit configuration", &[]),
    row("RXCW", RXCW, 1, "13.4.14", "TBI receive configuration", &[]),
    row("TCTL", TCTL, 1, "13.4.33", "transmit control", TCTL_BITS),
    row("TIPG", TIPG, 1, "13.4.34", "inter-packet gap", &[]),
    row("AIT", AIT, 1, "13.4.35", "adaptive inter-frame spacing", &[]),
    row("LEDCTL", LEDCTL, 1, "13.4.15", "LED control", &[]),
    row("PBA", PBA, 1, "13.4.16", "packet buffer: receive KiB 15:0, transmit KiB 31:16", &[]),
    row("FCRTL", FCRTL, 1, "13.4.23", "FIFO level that sends XON", &[]),
    row("FCRTH", FCRTH, 1, "13.4.24", "FIFO level that sends XOFF", &[]),
    row("RDBAL", RDBAL, 1, "13.4.25", "receive ring base, low", &[]),
    row("RDBAH", RDBAH, 1, "13.4.26", "receive ring base, high", &[]),
    row("RDLEN", RDLEN, 1, "13.4.27", "receive ring length in bytes", &[]),
    row("RDH", RDH, 1, "13.4.28", "receive head: the card's", &[]),
    row("RDT", RDT, 1, "13.4.29", "receive tail: software's", &[]),
    row("RDTR", RDTR, 1, "13.4.30", "receive interrupt delay, in 1.024 us", &[]),
    row("RXDCTL", RXDCTL, 1, "13.4", "receive descriptor thresholds", &[]),
    row("RADV", RADV, 1, "13.4.31", "receive interrupt delay at most, in 1.024 us", &[]),
    row("RSRPD", RSRPD, 1, "13.4.32", "size of a small packet", &[]),
    row("TXDMAC", TXDMAC, 1, "13.4", "transmit DMA control", &[]),
    row("TDBAL", TDBAL, 1, "13.4.36", "transmit ring base, low", &[]),
    row("TDBAH", TDBAH, 1, "13.4.37", "transmit ring base, high", &[]),
    row("TDLEN", TDLEN, 1, "13.4.38", "transmit ring length in bytes", &[]),
    row("TDH", TDH, 1, "13.4.39", "transmit head: the card's", &[]),
    row("TDT", TDT, 1, "13.4.40", "transmit tail: software's", &[]),
    row("TIDV", TIDV, 1, "13.4", "transmit interrupt delay, in 1.024 us", &[]),
    row("TXDCTL", TXDCTL, 1, "13.4", "transmit descriptor thresholds", &[]),
    row("TADV", TADV, 1, "13.4", "transmit interrupt delay at most, in 1.024 us", &[]),
    row("TSPMT", TSPMT, 1, "13.4", "segmentation pad and threshold", &[]),
    row("CRCERRS", 0x4000, 1, "13.7", "CRC errors", &[]),
    row("ALGNERRC", 0x4004, 1, "13.7", "alignment errors", &[]),
    row("SYMERRS", 0x4008, 1, "13.7", "symbol errors", &[]),
    row("RXERRC", 0x400c, 1, "13.7", "receive errors", &[]),
    row("MPC", 0x4010, 1, "13.7", "missed: FIFO full", &[]),
    row("SCC", 0x4014, 1, "13.7", "single collisions", &[]),
    row("ECOL", 0x4018, 1, "13.7", "excessive collisions", &[]),
    row("MCC", 0x401c, 1, "13.7", "multiple collisions", &[]),
    row("LATECOL", 0x4020, 1, "13.7", "late collisions", &[]),
    row("COLC", 0x4028, 1, "13.7", "collisions", &[]),
    row("DC", 0x4030, 1, "13.7", "deferred", &[]),
    row("TNCRS", 0x4034, 1, "13.7", "sent without carrier sense", &[]),
    row("SEC", 0x4038, 1, "13.7", "sequence errors", &[]),
    row("CEXTERR", 0x403c, 1, "13.7", "carrier extension errors", &[]),
    row("RLEC", 0x4040, 1, "13.7", "length errors", &[]),
    row("XONRXC", 0x4048, 1, "13.7", "XON received", &[]),
    row("XONTXC", 0x404c, 1, "13.7", "XON sent", &[]),
    row("XOFFRXC", 0x4050, 1, "13.7", "XOFF received", &[]),
    row("XOFFTXC", 0x4054, 1, "13.7", "XOFF sent", &[]),
    row("FCRUC", 0x4058, 1, "13.7", "PAUSE received but not obeyed", &[]),
    row("PRC64", 0x405c, 1, "13.7", "received of 64 bytes", &[]),
    row("PRC127", 0x4060, 1, "13.7", "received of 65 to 127", &[]),
    row("PRC255", 0x4064, 1, "13.7", "received of 128 to 255", &[]),
    row("PRC511", 0x4068, 1, "13.7", "received of 256 to 511", &[]),
    row("PRC1023", 0x406c, 1, "13.7", "received of 512 to 1023", &[]),
    row("PRC1522", 0x4070, 1, "13.7", "received of 1024 and more", &[]),
    row("GPRC", 0x4074, 1, "13.7", "good packets received", &[]),
    row("BPRC", 0x4078, 1, "13.7", "broadcasts received", &[]),
    row("MPRC", 0x407c, 1, "13.7", "multicasts received", &[]),
    row("GPTC", 0x4080, 1, "13.7", "good packets sent", &[]),
    row("GORCL", 0x4088, 1, "13.7", "good octets received, low", &[]),
    row("GORCH", 0x408c, 1, "13.7", "good octets received, high", &[]),
    row("GOTCL", 0x4090, 1, "13.7", "good octets sent, low", &[]),
    row("GOTCH", 0x4094, 1, "13.7", "good octets sent, high", &[]),
    row("RNBC", 0x40a0, 1, "13.7", "received while no descriptor was free", &[]),
    row("RUC", 0x40a4, 1, "13.7", "too short", &[]),
    row("RFC", 0x40a8, 1, "13.7", "fragments", &[]),
    row("ROC", 0x40ac, 1, "13.7", "too long", &[]),
    row("RJC", 0x40b0, 1, "13.7", "jabber", &[]),
    row("MGTPRC", 0x40b4, 1, "13.7", "management packets received", &[]),
    row("MGTPDC", 0x40b8, 1, "13.7", "management packets dropped", &[]),
    row("MGTPTC", 0x40bc, 1, "13.7", "management packets sent", &[]),
    row("TORL", 0x40c0, 1, "13.7", "octets received, low", &[]),
    row("TORH", 0x40c4, 1, "13.7", "octets received, high", &[]),
    row("TOTL", 0x40c8, 1, "13.7", "octets sent, low", &[]),
    row("TOTH", 0x40cc, 1, "13.7", "octets sent, high", &[]),
    row("TPR", 0x40d0, 1, "13.7", "packets received", &[]),
    row("TPT", 0x40d4, 1, "13.7", "packets sent", &[]),
    row("PTC64", 0x40d8, 1, "13.7", "sent of 64 bytes", &[]),
    row("PTC127", 0x40dc, 1, "13.7", "sent of 65 to 127", &[]),
    row("PTC255", 0x40e0, 1, "13.7", "sent of 128 to 255", &[]),
    row("PTC511", 0x40e4, 1, "13.7", "sent of 256 to 511", &[]),
    row("PTC1023", 0x40e8, 1, "13.7", "sent of 512 to 1023", &[]),
    row("PTC1522", 0x40ec, 1, "13.7", "sent of 1024 and more", &[]),
    row("MPTC", 0x40f0, 1, "13.7", "multicasts sent", &[]),
    row("BPTC", 0x40f4, 1, "13.7", "broadcasts sent", &[]),
    row("TSCTC", 0x40f8, 1, "13.7", "segmentation contexts", &[]),
    row("TSCTFC", 0x40fc, 1, "13.7", "segmentations failed", &[]),
    row("RXCSUM", RXCSUM, 1, "13.4", "receive checksum: start 7:0", RXCSUM_BITS),
    row("MTA", MTA, MTA_WORDS, "13.5.1", "multicast table", &[]),
    row("RA", RA, RA_WORDS, "13.5.2", "receive addresses, low and high words", &[]),
    row("VFTA", VFTA, VFTA_WORDS, "13.5.4", "VLAN filter table", &[]),
    row("WUC", WUC, 1, "13.6", "wake-up control", &[]),
    row("WUFC", WUFC, 1, "13.6", "wake-up filters", &[]),
    row("WUS", WUS, 1, "13.6", "wake-up status", &[]),
    row("MANC", MANC, 1, "13.4", "management control", &[]),
    row("IPAV", IPAV, 1, "13.6", "IP addresses valid", &[]),
    row("IP4AT", IP4AT, IP4AT_WORDS, "13.6", "IPv4 addresses of the wake-up filter", &[]),
    row("IP6AT", IP6AT, IP6AT_WORDS, "13.6", "IPv6 address of the wake-up filter", &[]),
    row("WUPL", WUPL, 1, "13.6", "wake-up packet length", &[]),
    row("WUPM", WUPM, WUPM_WORDS, "13.6", "wake-up packet", &[]),
    row("FFLT", FFLT, FFLT_WORDS, "13.6", "flexible filter lengths", &[]),
    row("FFMT", FFMT, FFT_WORDS, "13.6", "flexible filter masks", &[]),
    row("FFVT", FFVT, FFT_WORDS, "13.6", "flexible filter values", &[]),
    row("RDFH", RDFH, 1, "13.8", "receive FIFO head", &[]),
    row("RDFT", RDFH + 0x8, 1, "13.8", "receive FIFO tail", &[]),
    row("RDFHS", RDFH + 0x10, 1, "13.8", "receive FIFO head, saved", &[]),
    row("RDFTS", RDFH + 0x18, 1, "13.8", "receive FIFO tail, saved", &[]),
    row("RDFPC", RDFH + 0x20, 1, "13.8", "receive FIFO packets", &[]),
    row("TDFH", TDFH, 1, "13.8", "transmit FIFO head", &[]),
    row("TDFT", TDFH + 0x8, 1, "13.8", "transmit FIFO tail", &[]),
    row("TDFHS", TDFH + 0x10, 1, "13.8", "transmit FIFO head, saved", &[]),
    row("TDFTS", TDFH + 0x18, 1, "13.8", "transmit FIFO tail, saved", &[]),
    row("TDFPC", TDFH + 0x20, 1, "13.8", "transmit FIFO packets", &[]),
    row("PBM", PBM, PBM_SIZE / 4, "13.8", "packet buffer memory", &[]),
];

/// The register at an offset in the memory BAR, under whatever alias; `None` where there is none.
#[must_use]
pub fn register_info(offset: u64) -> Option<&'static RegisterInfo> {
    let offset = canonical(u32::try_from(offset).ok()? & !3);
    let offset = if offset == CTRL_DUP { CTRL } else { offset };
    REGISTERS.iter().find(|info| (info.offset..info.offset + info.words * 4).contains(&offset))
}

/// The names of the interrupt causes that are set, separated by blanks.
#[must_use]
pub fn icr_names(causes: u32) -> String {
    let names: Vec<(u64, &str)> = ICR_BITS.iter().map(|(bit, name)| (u64::from(*bit), *name)).collect();
    bit_names(causes.into(), &names)
}

/// The name of the register at an offset in the memory BAR.
#[must_use]
pub fn register_name(offset: u64) -> Option<&'static str> {
    register_info(offset).map(|info| info.name)
}
