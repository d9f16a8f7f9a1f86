//! pcapng: several sections and interfaces, each with its own time resolution and offset.

use super::{Capture, CaptureError, CapturedFrame, Place};
use pcap_file::DataLink;
use pcap_file::pcapng::{Block, PcapNgParseError, PcapNgParser};
use std::time::Duration;

pub(super) fn read(place: &Place<'_>, bytes: &[u8]) -> Result<Capture, CaptureError> {
    let mut capture = Capture::default();
    let (mut rest, mut parser) = match PcapNgParser::new(bytes) {
        Ok(parsed) => parsed,
        Err(error) => return Err(place.content(bytes, 0, error)),
    };
    let mut last_time = 0;
    while !rest.is_empty() {
        let frames = capture.frames.len();
        match parser.next_block(rest) {
            Ok((after, block)) => {
                let interface = |id: u32| parser.interfaces().get(id as usize).map(|found| found.linktype);
                if let Some((frame, id)) = frame_of(block, last_time) {
                    match interface(id) {
                        Some(DataLink::ETHERNET) => {}
                        Some(other) => return Err(place.link_type(rest, u32::from(other))),
                        None => return Err(place.content(rest, frames, format!("no interface {id}"))),
                    }
                    last_time = frame.time_ns;
                    capture.frames.push(frame);
                }
                rest = after;
            }
            Err(PcapNgParseError::IncompleteBuffer(..)) => {
                capture.cut_at = Some(place.offset(rest));
                break;
            }
            Err(error) => return Err(place.content(rest, frames, error)),
        }
    }
    Ok(capture)
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The frame that a block holds, if it is one of the three kinds that hold any, and its interface. A simple packet has no
/// time: it gets that of the frame before.
fn frame_of(block: Block<'_>, last_time: u64) -> Option<(CapturedFrame, u32)> {
    let (time_ns, bytes, original_len, interface) = match block {
        Block::EnhancedPacket(packet) => {
            (nanoseconds(packet.timestamp), packet.data, packet.original_len, packet.interface_id)
        }
        Block::Packet(packet) => {
            (nanoseconds(packet.timestamp), packet.data, packet.original_len, u32::from(packet.interface_id))
        }
        Block::SimplePacket(packet) => (last_time, packet.data, packet.original_len, 0),
        _ => return None,
    };
    Some((CapturedFrame { time_ns, bytes: bytes.into_owned(), original_len, interface }, interface))
}
