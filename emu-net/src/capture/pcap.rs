//! Classic pcap: both byte orders, microseconds and nanoseconds. Frames shorter than they were on the wire are what a
//! snapshot length leaves, not errors.

use super::{Capture, CaptureError, CapturedFrame, Place};
use pcap_file::DataLink;
use pcap_file::pcap::{PcapParseError, PcapParser, PcapTsResolution};

/// The four magic numbers, as bytes: little- and big-endian, microseconds and nanoseconds.
const MAGICS: [[u8; 4]; 4] =
    [[0xd4, 0xc3, 0xb2, 0xa1], [0xa1, 0xb2, 0xc3, 0xd4], [0x4d, 0x3c, 0xb2, 0xa1], [0xa1, 0xb2, 0x3c, 0x4d]];

pub(super) fn is_pcap(bytes: &[u8]) -> bool {
    MAGICS.iter().any(|magic| bytes.starts_with(magic))
}

pub(super) fn read(place: &Place<'_>, bytes: &[u8]) -> Result<Capture, CaptureError> {
    let (mut rest, parser) = match PcapParser::new(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Err(place.content(bytes, 0, error)),
    };
    let header = parser.header();
    if header.datalink != DataLink::ETHERNET {
        return Err(place.link_type(bytes, u32::from(header.datalink)));
    }
    let unit = match header.ts_resolution {
        PcapTsResolution::MicroSecond => 1000,
        PcapTsResolution::NanoSecond => 1,
    };
    let mut capture = Capture::default();
    while !rest.is_empty() {
        match parser.next_raw_packet(rest) {
            Ok((after, packet)) => {
                let seconds = u64::from(packet.ts_sec) * 1_000_000_000;
                capture.frames.push(CapturedFrame {
                    time_ns: seconds + u64::from(packet.ts_frac) * unit,
                    bytes: packet.data.into_owned(),
                    original_len: packet.orig_len,
                    interface: 0,
                });
                rest = after;
            }
            Err(PcapParseError::IncompleteBuffer(..)) => {
                capture.cut_at = Some(place.offset(rest));
                break;
            }
            Err(error) => return Err(place.content(rest, capture.frames.len(), error)),
        }
    }
    Ok(capture)
}
