//! Makes cases: random encodings of a given instruction, and registers that lead its memory operand to where it gets
//! interesting.

mod segments;
mod sequence;

pub(crate) use sequence::{extend, is_of_x87, places};

use crate::case::{Bits, CODE, CODE_LEN, Case, DATA, READ_ONLY_LEN, Segments, State, Trial, WRITABLE_LEN};
use crate::compare::undefined_flags;
use crate::rng::Rng;
use iced_x86::{
    Code, ConstantOffsets, CpuidFeature, Decoder, DecoderOptions, EncodingKind, Instruction, MandatoryPrefix,
    Mnemonic, OpCodeOperandKind, OpCodeTableKind, OpKind, Register,
};

const RAX: usize = 0;
const RCX: usize = 1;
const RDX: usize = 2;
const RSP: usize = 4;
const RBP: usize = 5;
const RSI: usize = 6;
const RDI: usize = 7;
const INSN_MAX: usize = 15;
/// CF, PF, AF, ZF, SF, OF, DF.
const FLAGS: u64 = 0xcd5;
const ALIGNMENT_CHECK: u64 = 1 << 18;
const TRAP: u64 = 1 << 8;

/// All exceptions masked in MXCSR.
const MXCSR_MASKS: u32 = 0x1f80;

/// A trial of `code` alone. `None` if the dice fell so that the encoding means something else.
pub(crate) fn generate(code: Code, bits: Bits, rng: &mut Rng) -> Option<Trial> {
    let rip = place(rng);
    let mut bytes = encode(code, bits, rng);
    let (insn, offsets) = decode(&bytes, rip, bits)?;
    if insn.code() != code || repeats_a_loop(&insn) || (bits == Bits::B64 && unsafe_here(&insn, &bytes)) {
        return None;
    }
    bytes.truncate(insn.len());
    let mut maker = Maker {
        rng,
        bits,
        rip,
        bytes,
        insn,
        offsets,
        state: State::blank(rip),
        memory: vec![0; WRITABLE_LEN],
    };
    maker.fill();
    maker.aim();
    maker.aim_implicit();
    maker.aim_selector();
    maker.aim_branch()?;
    const X87_SSE_AND_AVX: u64 = 7;
    let asks = maker.state.gprs[RAX] & 0xffff_ffff | maker.state.gprs[RDX] << 32;
    if maker.is_xsave() && asks & !X87_SSE_AND_AVX != 0 {
        return None;
    }
    let (insn, _) = decode(&maker.bytes, rip, bits)?;
    if insn.code() != code || insn.len() != maker.bytes.len() || splits_a_lock(&insn, &maker.state) {
        return None;
    }
    let Maker { mut bytes, mut state, memory, .. } = maker;
    let room = (CODE + CODE_LEN as u64 - rip) as usize;
    if bytes.len() > room {
        // What the end of the code cuts off has no first fault if its prefixes are wrong too.
        if insn.has_lock_prefix() {
            return None;
        }
        bytes.truncate(room);
    }
    for value in &mut state.gprs {
        *value &= bits.mask();
    }
    let case = Case { bits, state, code: bytes, memory };
    Some(Trial { case, insns: vec![insn], undefined: vec![undefined_flags(&insn)] })
}

/// Mostly in the middle of the code, sometimes across the two pages or at their end.
fn place(rng: &mut Rng) -> u64 {
    let offset = match rng.below(100) {
        0..10 => 0xff0 + rng.below(20),
        10..12 => CODE_LEN as u64 - 1 - rng.below(INSN_MAX as u64),
        _ => 0x800 + rng.below(64),
    };
    CODE + offset
}

/// Decodes as the processor will, at its true address.
pub(crate) fn decode(bytes: &[u8], rip: u64, bits: Bits) -> Option<(Instruction, ConstantOffsets)> {
    let mut decoder = Decoder::with_ip(bits.number(), bytes, rip, DecoderOptions::NONE);
    let insn = decoder.decode();
    let offsets = decoder.get_constant_offsets(&insn);
    (!insn.is_invalid()).then_some((insn, offsets))
}

/// Encodings on which Intel's and AMD's processors differ: an operand-size prefix on a near branch, PAUSE with REX.B (an
/// XCHG for AMD); and F3 before BSF and BSR, which newer ones take for TZCNT and LZCNT.
fn unsafe_here(insn: &Instruction, bytes: &[u8]) -> bool {
    (insn.mnemonic() == Mnemonic::Pause && bytes[..insn.len()].iter().any(|byte| byte & 0xf1 == 0x41))
        || insn.op_kinds().any(|kind| kind == OpKind::NearBranch16)
        || (insn.has_rep_prefix() && matches!(insn.mnemonic(), Mnemonic::Bsf | Mnemonic::Bsr))
}

/// A repeat prefix on LOOPE or LOOPNE, which AMD's processors take for more than nothing.
fn repeats_a_loop(insn: &Instruction) -> bool {
    (insn.has_rep_prefix() || insn.has_repne_prefix())
        && matches!(insn.mnemonic(), Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne)
}

/// Prefixes, opcode and fifteen random bytes behind it, of which the decoder takes what it needs.
fn encode(code: Code, bits: Bits, rng: &mut Rng) -> Vec<u8> {
    let op = code.op_code();
    if op.encoding() == EncodingKind::VEX {
        return encode_vex(code, bits, rng);
    }
    let mut bytes = Vec::new();
    if op.operand_size() == 16 || op.mandatory_prefix() == MandatoryPrefix::P66 {
        bytes.push(0x66);
    }
    let other_address = if bits == Bits::B64 { 32 } else { 16 };
    if op.address_size() == other_address || (op.address_size() == 0 && rng.percent(10)) {
        bytes.push(0x67);
    }
    match op.mandatory_prefix() {
        MandatoryPrefix::PF2 => bytes.push(0xf2),
        MandatoryPrefix::PF3 => bytes.push(0xf3),
        MandatoryPrefix::None | MandatoryPrefix::PNP | MandatoryPrefix::P66 => {
            if rng.percent(if op.can_use_rep_prefix() { 60 } else { 2 }) {
                bytes.push(rng.pick(&[0xf2, 0xf3]));
            }
        }
    }
    if rng.percent(if op.can_use_lock_prefix() { 15 } else { 1 }) {
        bytes.push(0xf0);
    }
    if rng.percent(12) {
        bytes.push(rng.pick(&[0x64, 0x64, 0x65, 0x65, 0x2e, 0x36, 0x3e, 0x26]));
    }
    let wide = op.operand_size() == 64 && !op.default_op_size64();
    if bits == Bits::B64 && (wide || rng.percent(50)) {
        bytes.push(0x40 | rng.below(8) as u8 | u8::from(wide || rng.percent(20)) << 3);
    }
    match op.table() {
        OpCodeTableKind::T0F => bytes.push(0x0f),
        OpCodeTableKind::T0F38 => bytes.extend([0x0f, 0x38]),
        OpCodeTableKind::T0F3A => bytes.extend([0x0f, 0x3a]),
        _ => {}
    }
    if op.op_code_len() == 2 {
        bytes.push((op.op_code() >> 8) as u8);
    }
    // Where the opcode holds a register's number it is the first of eight.
    let first = op.op_code() as u8;
    let holds_register = (0..op.op_count()).any(|n| is_in_opcode(op.op_kind(n)));
    bytes.push(if holds_register { first + rng.below(8) as u8 } else { first });
    let mut tail: [u8; INSN_MAX] = std::array::from_fn(|_| rng.next() as u8);
    if op.group_index() >= 0 {
        tail[0] = tail[0] & !0x38 | (op.group_index() as u8) << 3;
    }
    bytes.extend(tail);
    bytes
}

fn is_in_opcode(kind: OpCodeOperandKind) -> bool {
    use OpCodeOperandKind::{r8_opcode, r16_opcode, r32_opcode, r64_opcode, sti_opcode};
    matches!(kind, r8_opcode | r16_opcode | r32_opcode | r64_opcode | sti_opcode)
}

/// The same with VEX: of two bytes where that says all.
fn encode_vex(code: Code, bits: Bits, rng: &mut Rng) -> Vec<u8> {
    let op = code.op_code();
    let mut bytes = Vec::new();
    if rng.percent(10) {
        bytes.push(0x67);
    }
    if rng.percent(12) {
        bytes.push(rng.pick(&[0x64, 0x64, 0x65, 0x65, 0x2e, 0x36, 0x3e, 0x26]));
    }
    let map = match op.table() {
        OpCodeTableKind::T0F => 1,
        OpCodeTableKind::T0F38 => 2,
        _ => 3,
    };
    let prefix = match op.mandatory_prefix() {
        MandatoryPrefix::P66 => 1,
        MandatoryPrefix::PF3 => 2,
        MandatoryPrefix::PF2 => 3,
        MandatoryPrefix::None | MandatoryPrefix::PNP => 0,
    };
    let dice = rng.next() as u8;
    // Where W does not count in 32-bit code it is #UD for AMD's processors.
    let w = if op.is_wig() { dice & 1 } else { op.w() as u8 };
    let l = if op.is_lig() { dice >> 1 & 1 } else { op.l() as u8 };
    // R, X and B are inverted, as is the third register; outside of 64-bit mode there are eight.
    let source = if rng.percent(50) { 0x78 } else { dice & 0x78 };
    let (extensions, source) = match bits {
        Bits::B64 => (rng.pick(&[0xe0, 0xe0, dice & 0xe0]), source),
        Bits::B32 => (0xe0, source | 0x40),
    };
    let rest = source | l << 2 | prefix;
    if map == 1 && w == 0 && extensions & 0x60 == 0x60 && rng.percent(50) {
        bytes.extend([0xc5, extensions & 0x80 | rest]);
    } else {
        bytes.extend([0xc4, extensions | map, w << 7 | rest]);
    }
    bytes.push(op.op_code() as u8);
    let mut tail: [u8; INSN_MAX] = std::array::from_fn(|_| rng.next() as u8);
    if op.group_index() >= 0 {
        tail[0] = tail[0] & !0x38 | (op.group_index() as u8) << 3;
    }
    bytes.extend(tail);
    bytes
}

/// A locked access across cache lines makes some kernels punish the process.
fn splits_a_lock(insn: &Instruction, state: &State) -> bool {
    let locks = insn.has_lock_prefix() || insn.mnemonic() == Mnemonic::Xchg;
    if !locks || !insn.op_kinds().any(|kind| kind == OpKind::Memory) {
        return false;
    }
    if matches!(insn.mnemonic(), Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc)
        && insn.op1_kind() == OpKind::Register
    {
        // The bit string reaches elsewhere; only its alignment counts.
        return !operand_address(insn, state).is_multiple_of(8);
    }
    let at = operand_address(insn, state);
    at % 64 + insn.memory_size().size() as u64 > 64
}

fn register(state: &State, register: Register) -> u64 {
    let value = state.gprs[register.full_register().number()];
    match register.size() {
        1 => value & 0xff,
        2 => value & 0xffff,
        4 => value & 0xffff_ffff,
        _ => value,
    }
}

/// Linear address of the memory operand.
fn operand_address(insn: &Instruction, state: &State) -> u64 {
    let mut at = insn.memory_displacement64();
    if !insn.is_ip_rel_memory_operand() {
        if insn.memory_base() != Register::None {
            at = at.wrapping_add(register(state, insn.memory_base()));
        }
        if insn.memory_index() != Register::None {
            let index = register(state, insn.memory_index());
            at = at.wrapping_add(index.wrapping_mul(u64::from(insn.memory_index_scale())));
        }
    }
    at &= address_mask(insn);
    at.wrapping_add(segments::base_of(insn, state))
}

fn address_mask(insn: &Instruction) -> u64 {
    let registers = insn.memory_base().size().max(insn.memory_index().size());
    let bytes = if registers == 0 { insn.memory_displ_size() as usize } else { registers };
    match bytes {
        2 => 0xffff,
        4 => 0xffff_ffff,
        _ => u64::MAX,
    }
}

struct Maker<'a> {
    rng: &'a mut Rng,
    bits: Bits,
    rip: u64,
    bytes: Vec<u8>,
    insn: Instruction,
    offsets: ConstantOffsets,
    state: State,
    memory: Vec<u8>,
}

impl Maker<'_> {
    /// Random registers, flags and memory.
    fn fill(&mut self) {
        for n in 0..16 {
            self.state.gprs[n] = self.rng.value();
        }
        self.state.rflags |= self.rng.next() & FLAGS;
        if self.rng.percent(3) {
            self.state.rflags |= ALIGNMENT_CHECK;
        }
        if self.rng.percent(4) {
            self.state.rflags |= TRAP;
        }
        for chunk in self.memory.chunks_exact_mut(8) {
            chunk.copy_from_slice(&self.rng.next().to_le_bytes());
        }
        for register in &mut self.state.ymm {
            *register = [self.rng.vector(), self.rng.vector()];
        }
        if self.rng.percent(60) {
            // Rounding, flushing and flags at random; the exceptions masked in most cases.
            self.state.mxcsr = self.rng.next() as u32 & 0xffff;
            if self.rng.percent(80) {
                self.state.mxcsr |= MXCSR_MASKS;
            }
        }
        self.fill_x87();
        self.state.segments = Segments::random(self.bits, self.rng);
        if self.is_xsave() {
            self.state.gprs[RAX] = self.rng.below(8) | self.rng.next() << 32;
            self.state.gprs[RDX] = self.rng.next() << 32;
        }
        self.state.gprs[RSP] = self.stack_target();
        if matches!(self.insn.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) && self.rng.percent(60) {
            // Else nearly every quotient overflows.
            let divisor_like = self.rng.value();
            self.state.gprs[RDX] = self.rng.pick(&[0, 0, u64::MAX, divisor_like >> 40]);
        }
    }

    /// Random x87 registers; the exceptions masked in most cases, and none waiting in nearly all.
    fn fill_x87(&mut self) {
        let rng = &mut *self.rng;
        let x87 = &mut self.state.x87;
        for register in &mut x87.st {
            *register = rng.extended();
        }
        let some = rng.next() as u8;
        x87.valid = rng.pick(&[0, 0xff, 0xff, some, some | 0x0f, some | 0xf0]);
        x87.control = 0x40 | rng.pick(&[0x300, 0x300, 0x200, 0]) | rng.pick(&[0, 0, 0x400, 0x800, 0xc00]);
        x87.control |= if rng.percent(75) { 0x3f } else { rng.next() as u16 & 0x3f };
        const CONDITIONS_AND_TOP: u16 = 0x7f00;
        x87.status = rng.next() as u16 & CONDITIONS_AND_TOP;
        if rng.percent(10) {
            x87.status |= rng.next() as u16 & 0x7f;
        }
        if x87.status & !x87.control & 0x3f != 0 {
            x87.status |= 0x8080;
        }
    }

    /// Whether the operand is FXSAVE's or XSAVE's area.
    fn is_area(&self) -> bool {
        self.is_xsave()
            || matches!(
                self.insn.mnemonic(),
                Mnemonic::Fxsave | Mnemonic::Fxsave64 | Mnemonic::Fxrstor | Mnemonic::Fxrstor64
            )
    }

    fn is_xsave(&self) -> bool {
        let features = self.insn.cpuid_features();
        features.iter().any(|feature| {
            matches!(feature, CpuidFeature::XSAVE | CpuidFeature::XSAVEOPT | CpuidFeature::XSAVEC)
        })
    }

    /// Aligned and inside the data in most cases, with something in it that may be restored.
    fn area_target(&mut self) -> u64 {
        if self.rng.percent(10) {
            return self.target(64);
        }
        let target = DATA + 64 * self.rng.below((WRITABLE_LEN as u64 - 896) / 64);
        let mxcsr = if self.rng.percent(95) { self.rng.next() & 0xffff } else { self.rng.next() };
        self.put(target + 24, &(mxcsr as u32).to_le_bytes());
        let mut header = [0; 64];
        header[0] = self.rng.below(8) as u8;
        if self.rng.percent(40) {
            header[8] = self.rng.below(8) as u8;
            header[15] = 0x80;
        }
        if self.rng.percent(10) {
            // Something that is reserved: never a component that the host may have and we not.
            let at = self.rng.pick(&[7, 14, 16, 23, 24, 63]);
            header[at] |= 0x40;
        }
        self.put(target + 512, &header);
        target
    }

    /// Whether an operand is a vector register.
    fn is_vector(&self) -> bool {
        (0..self.insn.op_count()).any(|n| self.insn.op_register(n).is_vector_register())
    }

    /// Where an access of `len` bytes is worth trying.
    fn target(&mut self, len: u64) -> u64 {
        let writable = WRITABLE_LEN as u64;
        let near = |rng: &mut Rng, at: u64| at.wrapping_sub(len).wrapping_add(rng.below(2 * len.max(4)));
        match self.rng.below(100) {
            0..60 => DATA + 64 + self.rng.below(writable - 128),
            60..70 => DATA + (64 + self.rng.below(writable - 128)) / len.max(1) * len.max(1),
            70..78 => near(self.rng, DATA + 0x1000),
            78..84 => near(self.rng, DATA + writable),
            84..88 => near(self.rng, DATA + writable + READ_ONLY_LEN as u64),
            88..91 => near(self.rng, DATA),
            91..94 => DATA + writable + self.rng.below(READ_ONLY_LEN as u64),
            94..96 => CODE + self.rng.below(CODE_LEN as u64),
            96..98 => DATA + 0x8000 + self.rng.below(0x1000),
            // Past the last canonical address, or around the end of the segment.
            _ => near(self.rng, if self.bits == Bits::B64 { 1 << 47 } else { 1 << 32 }),
        }
    }

    fn stack_target(&mut self) -> u64 {
        let at = self.target(8);
        if self.rng.percent(70) { at & !7 } else { at }
    }

    /// Puts a value into the data pages, if it lies there.
    fn put(&mut self, at: u64, value: &[u8]) {
        let offset = at.wrapping_sub(DATA) as usize;
        if let Some(place) = self.memory.get_mut(offset..).and_then(|rest| rest.get_mut(..value.len())) {
            place.copy_from_slice(value);
        }
    }

    /// Makes the explicit memory operand lead to a target, by its displacement or a register.
    fn aim(&mut self) {
        if !self.insn.op_kinds().any(|kind| kind == OpKind::Memory) {
            return;
        }
        let target = if self.is_area() {
            self.area_target()
        } else {
            self.target(self.insn.memory_size().size() as u64)
        };
        let (base, index) = (self.insn.memory_base(), self.insn.memory_index());
        if index.is_vector_register() {
            return self.aim_gather();
        }
        let scale = u64::from(self.insn.memory_index_scale());
        let offset = target.wrapping_sub(segments::base_of(&self.insn, &self.state));
        if self.insn.is_ip_rel_memory_operand() {
            self.patch_displacement(offset.wrapping_sub(self.insn.next_ip()));
        } else if base == Register::None && index == Register::None {
            self.patch_displacement(offset);
        } else if base != Register::None && base != index {
            let scaled =
                if index == Register::None { 0 } else { register(&self.state, index).wrapping_mul(scale) };
            let rest = offset.wrapping_sub(scaled).wrapping_sub(self.insn.memory_displacement64());
            self.set_address_register(base, rest);
        } else {
            let times = if base == Register::None { scale } else { scale + 1 };
            let rest = offset.wrapping_sub(self.insn.memory_displacement64());
            let rest = if index.size() == 4 { rest & 0xffff_ffff } else { rest };
            self.set_address_register(index, rest / times);
        }
        self.aim_operands(target);
    }

    /// Makes every index of a gather lead to a target of its own.
    fn aim_gather(&mut self) {
        // Where a trap may come between its elements is left open.
        self.state.rflags &= !TRAP;
        let (base, index) = (self.insn.memory_base(), self.insn.memory_index());
        let offset =
            self.insn.memory_displacement64().wrapping_add(segments::base_of(&self.insn, &self.state));
        let mut from = offset;
        if base != Register::None {
            self.set_address_register(base, (DATA + 0x1000).wrapping_sub(offset));
            from = offset.wrapping_add(register(&self.state, base));
        }
        let scale = i64::from(self.insn.memory_index_scale());
        let wide = self.insn.op_code().op_kind(1) == OpCodeOperandKind::mem_vsib64x
            || self.insn.op_code().op_kind(1) == OpCodeOperandKind::mem_vsib64y;
        let mut lanes: Vec<u8> = Vec::new();
        while lanes.len() < 32 {
            let at = (self.target(8).wrapping_sub(from) as i64 / scale).to_le_bytes();
            lanes.extend(if wide { &at[..] } else { &at[..4] });
        }
        for (half, bytes) in self.state.ymm[index.number()].iter_mut().zip(lanes.chunks_exact(16)) {
            *half = bytes.iter().rev().fold(0, |all, byte| all << 8 | u128::from(*byte));
        }
    }

    /// With 32-bit addresses the upper half must not matter.
    fn set_address_register(&mut self, register: Register, value: u64) {
        let full = &mut self.state.gprs[register.full_register().number()];
        *full =
            if register.size() == 4 { value & 0xffff_ffff | self.rng.next() & !0xffff_ffff } else { value };
    }

    fn patch_displacement(&mut self, value: u64) {
        let (at, len) = (self.offsets.displacement_offset(), self.offsets.displacement_size());
        self.bytes[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }

    /// Other operands that make something happen at `target`.
    fn aim_operands(&mut self, target: u64) {
        if let Some(bytes) = self.selector_in_memory() {
            return self.put(target, &bytes);
        }
        match self.insn.mnemonic() {
            Mnemonic::Cmpxchg | Mnemonic::Cmpxchg8b if self.rng.percent(50) => {
                let low = self.state.gprs[RAX] & 0xffff_ffff;
                let pair = match self.insn.mnemonic() {
                    Mnemonic::Cmpxchg8b => self.state.gprs[RDX] << 32 | low,
                    _ => self.state.gprs[RAX],
                };
                self.put(target, &pair.to_le_bytes());
            }
            Mnemonic::Cmpxchg16b if self.rng.percent(50) => {
                let (low, high) = (self.state.gprs[RAX], self.state.gprs[RDX]);
                self.put(target, &[low.to_le_bytes(), high.to_le_bytes()].concat());
            }
            Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc
                if self.insn.op1_kind() == OpKind::Register && self.rng.percent(80) =>
            {
                // A bit not too far away.
                let address = [self.insn.memory_base(), self.insn.memory_index()];
                let index = self.insn.op1_register();
                if address.iter().all(|register| register.full_register() != index.full_register()) {
                    let near = self.rng.below(0x8000).wrapping_sub(0x4000);
                    self.state.gprs[index.full_register().number()] = near;
                }
            }
            Mnemonic::Jmp | Mnemonic::Call => {
                let to = self.branch_target();
                self.put(target, &to.to_le_bytes());
            }
            _ if self.is_vector() => {
                let value = [self.rng.vector(), self.rng.vector()].map(u128::to_le_bytes);
                self.put(target, value.as_flattened());
            }
            _ => {
                let value = self.rng.value();
                self.put(target, &value.to_le_bytes());
            }
        }
    }

    /// Registers that an instruction uses without naming them.
    fn aim_implicit(&mut self) {
        let insn = self.insn;
        if insn.is_string_instruction() {
            let len = insn.memory_size().size() as u64;
            for (register, base) in [(RSI, segments::base_of(&insn, &self.state)), (RDI, 0)] {
                let at = self.target(len).wrapping_sub(base);
                let upper = if self.rng.percent(50) && is_short_string(&insn) { self.rng.next() } else { 0 };
                self.state.gprs[register] = at | upper & !0xffff_ffff;
            }
            if self.rng.percent(25) {
                let overlap = self.rng.below(4 * len + 8).wrapping_sub(2 * len + 4);
                self.state.gprs[RDI] = self.state.gprs[RSI].wrapping_add(overlap);
            }
            let most = if self.rng.percent(20) { 700 } else { 20 };
            let count = self.rng.below(most);
            let upper = if is_short_string(&insn) { self.rng.next() & !0xffff_ffff } else { 0 };
            self.state.gprs[RCX] = count | upper;
            if self.rng.percent(50) {
                let at = self.state.gprs[RDI] & 0xffff_ffff;
                let run = [self.state.gprs[RAX] as u8; 128];
                self.put(at, &run);
                self.put(self.state.gprs[RSI] & 0xffff_ffff, &run);
            }
        }
        match insn.mnemonic() {
            Mnemonic::Leave => self.state.gprs[RBP] = self.stack_target(),
            Mnemonic::Enter => {
                self.state.gprs[RBP] = self.stack_target();
                if self.rng.percent(70) {
                    let at = self.offsets.immediate_offset();
                    self.bytes[at + 1] = 0;
                }
            }
            Mnemonic::Loop | Mnemonic::Loope | Mnemonic::Loopne if self.rng.percent(50) => {
                self.state.gprs[RCX] = self.rng.below(3) | self.rng.pick(&[0, 1 << 32]);
            }
            Mnemonic::Jrcxz | Mnemonic::Jecxz if self.rng.percent(50) => {
                self.state.gprs[RCX] = self.rng.pick(&[0, 1 << 32]);
            }
            Mnemonic::Ret => {
                let to = self.branch_target();
                self.put(self.state.gprs[RSP], &to.to_le_bytes());
            }
            Mnemonic::Jmp | Mnemonic::Call if insn.op0_kind() == OpKind::Register => {
                let to = self.branch_target();
                self.state.gprs[insn.op0_register().full_register().number()] = to;
            }
            _ => {}
        }
    }

    /// Somewhere in the code, but not into the instruction itself: what it would execute there is not known.
    fn branch_target(&mut self) -> u64 {
        match self.rng.below(20) {
            0 => DATA + self.rng.below(WRITABLE_LEN as u64),
            1 => DATA + 0x8000 + self.rng.below(0x1000),
            2 => (1 << 47) - 2 + self.rng.below(4),
            _ => loop {
                let to = CODE + self.rng.below(CODE_LEN as u64);
                if !(self.rip..self.rip + INSN_MAX as u64).contains(&to) {
                    return to;
                }
            },
        }
    }

    /// Relative branches likewise.
    fn aim_branch(&mut self) -> Option<()> {
        let is_near =
            |kind| matches!(kind, OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64);
        if !self.insn.op_kinds().any(is_near) {
            return Some(());
        }
        let (at, len) = (self.offsets.immediate_offset(), self.offsets.immediate_size());
        let (next, own) = (self.insn.next_ip(), self.rip..self.insn.next_ip());
        let relative = if len == 1 {
            i64::from(self.rng.next() as i8)
        } else {
            self.branch_target().wrapping_sub(next) as i64
        };
        if own.contains(&next.wrapping_add(relative as u64)) {
            return None;
        }
        self.bytes[at..at + len].copy_from_slice(&relative.to_le_bytes()[..len]);
        Some(())
    }
}

/// Whether a string instruction has 32-bit addresses.
fn is_short_string(insn: &Instruction) -> bool {
    insn.op_kinds().any(|kind| matches!(kind, OpKind::MemorySegESI | OpKind::MemoryESEDI))
}
