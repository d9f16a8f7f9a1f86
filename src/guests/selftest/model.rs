//! What instructions compute, from the manual's pseudo code (SDM vol. 2), for the sums that the ROM compares with. Nothing here is shared
//! with the processor.

/// Flags.
pub(super) const CF: u32 = 1;
pub(super) const PF: u32 = 4;
pub(super) const AF: u32 = 0x10;
pub(super) const ZF: u32 = 0x40;
pub(super) const SF: u32 = 0x80;
pub(super) const OF: u32 = 0x800;
pub(super) const ALL: u32 = CF | PF | AF | ZF | SF | OF;

/// Operands of one width in bits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Width(pub(super) u32);

impl Width {
    pub(super) fn mask(self) -> u64 {
        u64::MAX >> (64 - self.0)
    }

    fn top(self, value: u64) -> bool {
        value >> (self.0 - 1) & 1 != 0
    }

    /// `value` with its upper bits those of its sign.
    pub(super) fn signed(self, value: u64) -> i64 {
        (value << (64 - self.0)) as i64 >> (64 - self.0)
    }

    /// SF, ZF and PF of a result.
    pub(super) fn of_result(self, result: u64) -> u32 {
        let result = result & self.mask();
        let sign = if self.top(result) { SF } else { 0 };
        let zero = if result == 0 { ZF } else { 0 };
        let parity = if (result as u8).count_ones().is_multiple_of(2) { PF } else { 0 };
        sign | zero | parity
    }
}

fn when(flag: u32, holds: bool) -> u32 {
    if holds { flag } else { 0 }
}

/// Addition with carry in: result and flags.
pub(super) fn add(width: Width, a: u64, b: u64, carry: u64) -> (u64, u32) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let wide = u128::from(a) + u128::from(b) + u128::from(carry);
    let result = wide as u64 & width.mask();
    let overflow = width.top(!(a ^ b) & (a ^ result));
    let flags = when(CF, wide >> width.0 != 0) | when(AF, (a ^ b ^ result) & 16 != 0) | when(OF, overflow);
    (result, flags | width.of_result(result))
}

/// Subtraction with borrow in.
pub(super) fn sub(width: Width, a: u64, b: u64, borrow: u64) -> (u64, u32) {
    let (a, b) = (a & width.mask(), b & width.mask());
    let result = a.wrapping_sub(b).wrapping_sub(borrow) & width.mask();
    let overflow = width.top((a ^ b) & (a ^ result));
    let below = u128::from(a) < u128::from(b) + u128::from(borrow);
    let flags = when(CF, below) | when(AF, (a ^ b ^ result) & 16 != 0) | when(OF, overflow);
    (result, flags | width.of_result(result))
}

/// Group 2 of the opcode map, in its order; 6 is SHL once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shift {
    Rol,
    Ror,
    Rcl,
    Rcr,
    Shl,
    Shr,
    Sar,
}

/// One bit at a time, as the manual has it: result, flags, and which of these are defined.
pub(super) fn shift(kind: Shift, width: Width, value: u64, count: u32, before: u32) -> (u64, u32, u32) {
    let masked = count & if width.0 == 64 { 63 } else { 31 };
    let times = match kind {
        Shift::Rcl | Shift::Rcr => masked % (width.0 + 1),
        _ => masked,
    };
    let start = value & width.mask();
    let (mut value, mut carry) = (start, before & CF);
    for _ in 0..times {
        let (high, low) = (u32::from(width.top(value)), value as u32 & 1);
        let into = |bit: u32| u64::from(bit) << (width.0 - 1);
        (value, carry) = match kind {
            Shift::Rol => (value << 1 | u64::from(high), high),
            Shift::Ror => (value >> 1 | into(low), low),
            Shift::Rcl => (value << 1 | u64::from(carry), high),
            Shift::Rcr => (value >> 1 | into(carry), low),
            Shift::Shl => (value << 1, high),
            Shift::Shr => (value >> 1, low),
            Shift::Sar => (value >> 1 | into(high), low),
        };
        value &= width.mask();
    }
    let second = value << 1;
    let overflow = match kind {
        Shift::Rol | Shift::Rcl | Shift::Shl => width.top(value) != (carry != 0),
        Shift::Ror | Shift::Rcr => width.top(value ^ second),
        Shift::Shr => width.top(start),
        Shift::Sar => false,
    };
    let rotates = matches!(kind, Shift::Rol | Shift::Ror | Shift::Rcl | Shift::Rcr);
    let flags = if masked == 0 {
        before
    } else if rotates {
        before & !(CF | OF) | carry | when(OF, overflow)
    } else {
        carry | when(OF, overflow) | width.of_result(value)
    };
    (value, flags, defined(rotates, kind, width, masked))
}

/// Which flags a shift by a masked count leaves defined.
fn defined(rotates: bool, kind: Shift, width: Width, masked: u32) -> u32 {
    let overflow = when(OF, masked <= 1);
    if masked == 0 {
        return ALL;
    }
    if rotates {
        return overflow | PF | ZF | SF | AF | CF;
    }
    // CF is not defined for SHL and SHR by the width or more.
    let carry = when(CF, kind == Shift::Sar || masked < width.0);
    overflow | carry | PF | ZF | SF
}

/// SHLD and SHRD by a count that is not greater than the width.
pub(super) fn double_shift(left: bool, width: Width, a: u64, b: u64, masked: u32, before: u32) -> (u64, u32) {
    if masked == 0 {
        return (a & width.mask(), before);
    }
    let (a, b) = (a & width.mask(), b & width.mask());
    let (result, carry) = if left {
        (a << masked | b >> (width.0 - masked), a >> (width.0 - masked) & 1)
    } else {
        (a >> masked | b << (width.0 - masked), a >> (masked - 1) & 1)
    };
    let result = result & width.mask();
    (result, carry as u32 | when(OF, width.top(a ^ result)) | width.of_result(result))
}

/// DAA and DAS: AL and flags.
pub(super) fn decimal(subtract: bool, al: u8, flags: u32) -> (u8, u32) {
    let (mut result, mut carry, mut half) = (al, false, false);
    if al & 15 > 9 || flags & AF != 0 {
        half = true;
        carry = if subtract { flags & CF != 0 || al < 6 } else { flags & CF != 0 || al > 0xf9 };
        result = if subtract { result.wrapping_sub(6) } else { result.wrapping_add(6) };
    }
    if al > 0x99 || flags & CF != 0 {
        carry = true;
        result = if subtract { result.wrapping_sub(0x60) } else { result.wrapping_add(0x60) };
    }
    (result, when(CF, carry) | when(AF, half) | Width(8).of_result(u64::from(result)))
}

/// AAA and AAS: AX and flags.
pub(super) fn ascii(subtract: bool, ax: u16, flags: u32) -> (u16, u32) {
    if ax & 15 > 9 || flags & AF != 0 {
        let ax = if subtract { ax.wrapping_sub(6).wrapping_sub(0x100) } else { ax.wrapping_add(0x106) };
        (ax & 0xff0f, AF | CF)
    } else {
        (ax & 0xff0f, 0)
    }
}

/// The sum that the ROM makes of results and flags.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(pub(super) u32);

impl Sum {
    pub(super) fn fold(&mut self, value: u32) {
        self.0 = self.0.rotate_left(5) ^ value;
    }
}
