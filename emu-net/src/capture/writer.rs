//! Capturing: pcapng with virtual time in nanoseconds and each frame's direction. The same run writes the same bytes.

use emu_core::VirtTime;
use pcap_file::DataLink;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
};
use pcap_file::pcapng::blocks::opt_common::CommonOption;
use pcap_file::pcapng::{PcapNgWriteError, PcapNgWriter};
use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

/// Which way a frame went, as the guest sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the guest's card.
    ToGuest,
    /// Sent by it.
    FromGuest,
}

/// The file's interfaces, by direction.
const INTERFACES: [(&str, &str); 2] =
    [("wire", "frames to the guest"), ("guest", "frames that the guest's card sends")];

impl Direction {
    /// The interface that a frame was sent at.
    const fn interface(self) -> u32 {
        match self {
            Self::ToGuest => 0,
            Self::FromGuest => 1,
        }
    }

    /// epb_flags bits 1:0 (pcapng draft, section 4.3.1).
    const fn flags(self) -> u32 {
        match self {
            Self::ToGuest => 1,
            Self::FromGuest => 2,
        }
    }
}

/// Writes frames as they pass.
pub struct CaptureWriter<W: Write> {
    writer: PcapNgWriter<W>,
}

impl<W: Write> std::fmt::Debug for CaptureWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaptureWriter").finish_non_exhaustive()
    }
}

fn host_error(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl<W: Write> CaptureWriter<W> {
    /// Writes the file's header and its two interfaces: the wire's end and the card's, as a frame's sender.
    pub fn new(out: W) -> io::Result<Self> {
        let mut writer =
            PcapNgWriter::with_endianness(out, pcap_file::Endianness::Little).map_err(host_error)?;
        for (name, what) in INTERFACES {
            let interface = InterfaceDescriptionBlock {
                linktype: DataLink::ETHERNET,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Borrowed(name)),
                    InterfaceDescriptionOption::IfDescription(Cow::Borrowed(what)),
                    InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
                ],
            };
            writer.write_pcapng_block(interface).map_err(host_error)?;
        }
        Ok(Self { writer })
    }

    /// Writes one frame, whose last bit passed at `now`, with a comment if there is something to say.
    pub fn frame(
        &mut self,
        now: VirtTime,
        direction: Direction,
        frame: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let mut options = vec![EnhancedPacketOption::Flags(direction.flags())];
        options.extend(
            comment.map(|text| EnhancedPacketOption::Common(CommonOption::Comment(Cow::Borrowed(text)))),
        );
        let block = EnhancedPacketBlock {
            interface_id: direction.interface(),
            timestamp: Duration::from_nanos(now.as_ns()),
            original_len: frame.len() as u32,
            data: Cow::Borrowed(frame),
            options,
        };
        self.writer.write_pcapng_block(block).map(drop).map_err(host_error)
    }

    /// Makes sure that everything is written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.writer.get_mut().flush()
    }
}
