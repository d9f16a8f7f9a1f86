//! The two check sequences of Ethernet packets: the Internet checksum (RFC 1071) and the frame check sequence (IEEE
//! 802.3, 3.2.9).

/// The ones' complement sum of 16-bit words, most significant byte first, an odd last byte padded with zero.
pub(super) fn ones_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u64;
    for pair in bytes.chunks(2) {
        sum += u64::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u64::from(*low));
    }
    fold(sum)
}

/// Adds two ones' complement sums.
pub(super) fn ones_add(a: u16, b: u16) -> u16 {
    fold(u64::from(a) + u64::from(b))
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

const CRC_TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 != 0 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// The frame check sequence, in the order in which it goes over the wire.
pub(super) fn frame_check(frame: &[u8]) -> [u8; 4] {
    let crc = frame.iter().fold(!0u32, |crc, byte| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)]);
    (!crc).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_check_of_the_standard_vector() {
        assert_eq!(frame_check(b"123456789"), 0xcbf4_3926u32.to_le_bytes());
    }

    #[test]
    fn ones_sum_matches_rfc_1071() {
        assert_eq!(ones_sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(ones_sum(&[0xff, 0xff, 0x00, 0x01]), 1);
        assert_eq!(ones_sum(&[0x12]), 0x1200);
        assert_eq!(ones_sum(&[]), 0);
        assert_eq!(ones_add(0xffff, 2), 2);
    }
}
