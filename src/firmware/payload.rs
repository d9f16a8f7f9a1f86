//! A bzImage's payload: the kernel proper, an ELF file, compressed in one of several ways. Which one it is, its first bytes
//! tell, as they tell the kernel's own unpacker (boot.rst, "payload_offset").

use super::LoadError;
use std::io::Read;

pub(super) const WHAT: &str = "Linux payload";

/// The most that an unpacked kernel may have: far above any, far below what would hurt the host.
const MAX: u64 = 512 << 20;

/// Unpacks `payload`, which starts at `offset` of the file.
pub(super) fn unpack(payload: &[u8], offset: u64) -> Result<Vec<u8>, LoadError> {
    let refuse = |reason: String| LoadError::Header { what: WHAT, offset, reason };
    // Behind the compressed stream lies its unpacked length, which the readers don't expect but leave alone.
    let reader: Box<dyn Read + '_> = match payload {
        [0x7f, b'E', b'L', b'F', ..] => return Ok(payload.to_vec()),
        [0x1f, 0x8b, ..] => Box::new(flate2::read::GzDecoder::new(payload)),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Box::new(lzma_rust2::XzReader::new(payload, false)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(payload);
            Box::new(decoder.map_err(|error| refuse(format!("zstd: {error}")))?)
        }
        [b'B', b'Z', b'h', ..] => {
            return Err(refuse("compressed with bzip2; only the whole bzImage can boot".into()));
        }
        [0x02, 0x21, 0x4c, 0x18, ..] => return unpack_lz4(payload).map_err(refuse),
        _ => return Err(refuse("neither ELF nor compressed with gzip, xz, zstd or LZ4".into())),
    };
    let mut kernel = Vec::new();
    let read = reader.take(MAX + 1).read_to_end(&mut kernel);
    read.map_err(|error| refuse(format!("damaged: {error}")))?;
    if kernel.len() as u64 > MAX {
        return Err(refuse(format!("unpacks to more than {} MiB", MAX >> 20)));
    }
    Ok(kernel)
}

/// LZ4's legacy frame (lz4_Frame_format.md): blocks of 8 MiB when unpacked, each behind its length. The kernel's build
/// puts the unpacked length of everything behind them.
fn unpack_lz4(payload: &[u8]) -> Result<Vec<u8>, String> {
    const BLOCK: usize = 8 << 20;
    let mut rest = payload.get(4..payload.len().saturating_sub(4)).unwrap_or_default();
    let mut kernel = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        let Some((block, after)) = after.split_at_checked(len) else {
            return Err(format!("damaged: a block of {len} bytes goes beyond the end"));
        };
        let plain = lz4_flex::block::decompress(block, BLOCK).map_err(|error| format!("damaged: {error}"))?;
        if (kernel.len() + plain.len()) as u64 > MAX {
            return Err(format!("unpacks to more than {} MiB", MAX >> 20));
        }
        kernel.extend(plain);
        rest = after;
    }
    Ok(kernel)
}
