//! AES instructions, legacy and VEX: rounds, the key schedule's help, and its inverse. SDM vol. 1, 12.13; FIPS 197 for the cipher.

use super::Exec;
use super::sse_int::binary;
use super::xmm::{join, lanes};
use iced_x86::Code;

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Aesenc_xmm_xmmm128 => {
            |cpu, bus, insn| binary(cpu, bus, insn, |state, key| mix_columns(encrypt(state), FORWARD) ^ key)
        }
        Code::Aesenclast_xmm_xmmm128 => {
            |cpu, bus, insn| binary(cpu, bus, insn, |state, key| encrypt(state) ^ key)
        }
        Code::Aesdec_xmm_xmmm128 => {
            |cpu, bus, insn| binary(cpu, bus, insn, |state, key| mix_columns(decrypt(state), INVERSE) ^ key)
        }
        Code::Aesdeclast_xmm_xmmm128 => {
            |cpu, bus, insn| binary(cpu, bus, insn, |state, key| decrypt(state) ^ key)
        }
        Code::Aesimc_xmm_xmmm128 => {
            |cpu, bus, insn| binary(cpu, bus, insn, |_, key| mix_columns(key, INVERSE))
        }
        Code::Aeskeygenassist_xmm_xmmm128_imm8 => |cpu, bus, insn| {
            cpu.check_vector(insn)?;
            let [key, _] = cpu.read_vector(bus, insn, 1)?;
            cpu.set_result(insn, [schedule(key, insn.immediate8()), 0]);
            Ok(())
        },
        _ => return None,
    })
}

/// First rows of the matrices of MixColumns and of its inverse (FIPS 197, 5.1.3, 5.3.3).
const FORWARD: [u8; 4] = [2, 3, 1, 1];
const INVERSE: [u8; 4] = [14, 11, 13, 9];

/// A product in the field of AES.
const fn times(a: u8, b: u8) -> u8 {
    let (mut power, mut rest, mut product) = (a, b, 0);
    while rest != 0 {
        if rest & 1 != 0 {
            product ^= power;
        }
        power = power << 1 ^ if power & 0x80 != 0 { 0x1b } else { 0 };
        rest >>= 1;
    }
    product
}

/// SubBytes: the inverse in the field, then an affine map (FIPS 197, 5.1.1).
const SUBSTITUTION: [u8; 256] = {
    let mut table = [0x63; 256];
    let mut value = 1;
    while value < 256 {
        let mut inverse = 1u8;
        while times(inverse, value as u8) != 1 {
            inverse += 1;
        }
        let turned = inverse
            ^ inverse.rotate_left(1)
            ^ inverse.rotate_left(2)
            ^ inverse.rotate_left(3)
            ^ inverse.rotate_left(4);
        table[value] = turned ^ 0x63;
        value += 1;
    }
    table
};

/// SubBytes backwards.
const INVERSE_SUBSTITUTION: [u8; 256] = {
    let mut table = [0; 256];
    let mut value = 0;
    while value < 256 {
        table[SUBSTITUTION[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Byte `n` of the result is the substitute of the byte that lies `turn` columns further for every row down.
fn shift_and_substitute(state: u128, table: &[u8; 256], turn: usize) -> u128 {
    let bytes = state.to_le_bytes();
    let at = |n: usize| bytes[(n + turn * 4 * (n % 4)) % 16];
    u128::from_le_bytes(std::array::from_fn(|n| table[usize::from(at(n))]))
}

/// ShiftRows and SubBytes.
fn encrypt(state: u128) -> u128 {
    shift_and_substitute(state, &SUBSTITUTION, 1)
}

/// Both backwards.
fn decrypt(state: u128) -> u128 {
    shift_and_substitute(state, &INVERSE_SUBSTITUTION, 3)
}

/// Every column times a matrix whose rows are the first one turned.
fn mix_columns(state: u128, first_row: [u8; 4]) -> u128 {
    let bytes = state.to_le_bytes();
    u128::from_le_bytes(std::array::from_fn(|n| {
        let (column, row) = (n / 4 * 4, n % 4);
        (0..4).fold(0, |sum, k| sum ^ times(bytes[column + k], first_row[(k + 4 - row) % 4]))
    }))
}

/// AESKEYGENASSIST: words 1 and 3 substituted, each as it is and turned by a byte with the round's constant.
fn schedule(key: u128, constant: u8) -> u128 {
    let substitute = |word: u64| {
        let bytes = (word as u32).to_le_bytes().map(|byte| SUBSTITUTION[usize::from(byte)]);
        u32::from_le_bytes(bytes)
    };
    join::<4>(lanes::<4>(key).skip(1).step_by(2).flat_map(|word| {
        let substituted = substitute(word);
        [substituted, substituted.rotate_right(8) ^ u32::from(constant)].map(u64::from)
    }))
}
