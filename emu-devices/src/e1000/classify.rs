//! What the receiver says about a frame in its descriptor: VLAN tag, packet checksum, IP and TCP or UDP checksums.
//! Manual 3.2.3 (status, errors), 3.2.9 (receive checksum offloading), chapter 9 (VLAN stripping).

use super::checksum::{frame_check, ones_add, ones_sum};
use super::rx::Inbound;
use super::{E1000, spec};
use emu_core::trace::{FilterRule, RecordId};

const TYPE_IPV4: u16 = 0x0800;
const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;
/// LLC and SNAP header of encapsulated Ethernet (RFC 1042).
const SNAP: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
/// Values of the length field; above them it is a type.
const LENGTH_MAX: u16 = 1500;

impl E1000 {
    /// Makes an admitted frame ready for memory.
    pub(super) fn classify(&self, packet: u64, cause: RecordId, rule: FilterRule, frame: &[u8]) -> Inbound {
        let mut bytes = frame.to_vec();
        bytes.extend_from_slice(&frame_check(frame));
        let (mut status, mut special) = (0, 0);
        if let Some(tag) = self.vlan_tag(frame).filter(|_| self.regs.ctrl & spec::CTRL_VME != 0) {
            bytes.drain(12..16);
            status |= spec::RXD_VP;
            special = tag;
        }
        if !matches!(rule, FilterRule::Exact(_) | FilterRule::Broadcast) {
            status |= spec::RXD_PIF;
        }
        let start = (self.regs.rxcsum & 0xff) as usize;
        let checksum = !ones_sum(bytes.get(start..).unwrap_or(&[]));
        let (offload, errors) = self.offload(&bytes[..bytes.len() - 4]);
        if self.regs.rctl & spec::RCTL_SECRC != 0 {
            bytes.truncate(bytes.len() - 4);
        }
        Inbound { packet, cause, bytes, status: status | offload, errors, checksum, special }
    }

    /// Status and error bits of the checksum offload.
    fn offload(&self, frame: &[u8]) -> (u8, u8) {
        let (mut status, mut errors) = (0, 0);
        if let Some(ip) = self.ipv4(frame) {
            if self.regs.rxcsum & spec::RXCSUM_IPOFL != 0 {
                status |= spec::RXD_IPCS;
                errors |= if ones_sum(ip.header) == 0xffff { 0 } else { spec::RXD_IPE };
            }
            if self.regs.rxcsum & spec::RXCSUM_TUOFL != 0
                && let Some(good) = ip.transport_is_good()
            {
                status |= spec::RXD_TCPCS;
                errors |= if good { 0 } else { spec::RXD_TCPE };
            }
        }
        (if status == 0 { spec::RXD_IXSM } else { status }, errors)
    }

    /// The IPv4 packet in a frame whose tag may or may not be stripped.
    fn ipv4<'a>(&self, frame: &'a [u8]) -> Option<Ipv4<'a>> {
        let mut at = 12;
        let mut kind = half(frame, at)?;
        if u32::from(kind) == self.regs.vet {
            at += 4;
            kind = half(frame, at)?;
        }
        if kind <= LENGTH_MAX && frame.get(at + 2..at + 8)? == SNAP {
            at += 8;
            kind = half(frame, at)?;
        }
        if kind == TYPE_IPV4 { Ipv4::parse(frame.get(at + 2..)?) } else { None }
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

/// An IPv4 packet whose lengths fit.
struct Ipv4<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    fragment: bool,
}

impl<'a> Ipv4<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let first = *packet.first()?;
        let header_len = usize::from(first & 0xf) * 4;
        let total = usize::from(half(packet, 2)?);
        if first >> 4 != 4 || header_len < 20 || total < header_len {
            return None;
        }
        let packet = packet.get(..total)?;
        let (header, payload) = packet.split_at(header_len);
        // More fragments, or an offset: the transport checksum covers more than this frame.
        let fragment = half(header, 6)? & 0x3fff != 0;
        Some(Self { header, payload, fragment })
    }

    /// Whether the TCP or UDP checksum is right; `None` where there is none to check.
    fn transport_is_good(&self) -> Option<bool> {
        let protocol = self.header[9];
        let checked = match protocol {
            PROTOCOL_TCP => self.payload.len() >= 20,
            PROTOCOL_UDP => half(self.payload, 6)? != 0,
            _ => false,
        };
        if !checked || self.fragment {
            return None;
        }
        let pseudo = ones_add(ones_sum(&self.header[12..20]), u16::from(protocol));
        let length = ones_add(pseudo, self.payload.len() as u16);
        Some(ones_add(length, ones_sum(self.payload)) == 0xffff)
    }
}
