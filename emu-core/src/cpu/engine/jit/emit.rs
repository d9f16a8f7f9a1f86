//! The compiling builder: it notes what the other builders do, as Cranelift's intermediate code.
//!
//! General registers and flags live in [`Cpu`](crate::cpu::Cpu) between operations: each register is stored when it is set and loaded when it is
//! first read, each flag word is stored only where somebody may look. So compiled code can stop in front of any operation, and the
//! interpreter goes on from there: that is what it does wherever the TLB's tags do not allow an access.

use super::layout;
use super::words::{Origin, Words, narrow, number, sign_extend};
use crate::access::Width;
use crate::cpu::engine::Op;
use crate::cpu::flags::Condition;
use crate::cpu::regs::{CODE_PAGE, RSP};
use crate::cpu::sem::{Builder, Flow, Sem, Shift};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, Type, Value, types};
use cranelift_frontend::FunctionBuilder;

/// Emits one instruction.
pub(in crate::cpu::engine) type EmitFn = fn(&mut Emit<'_>, &Op) -> Flow<Value>;

/// The emitter of `S`.
pub(in crate::cpu::engine) fn emit<S: Sem>(emit: &mut Emit<'_>, op: &Op) -> Flow<Value> {
    match S::run(emit, op) {
        Ok(flow) => flow,
        Err(never) => match never {},
    }
}

/// An access that can't be made ends compiled code; the rest of the instruction is emitted nevertheless.
pub(in crate::cpu::engine) enum Never {}

/// Slots of the register file that an operation can name: general registers, zero, the code page, segment bases.
pub(super) const SLOTS: usize = 24;

/// Where compiled code stops in front of an operation.
struct Exit {
    block: Block,
    /// The operation's address.
    op: usize,
    /// Flags that are not stored yet.
    flags: Option<Words>,
}

/// Emits a block's code.
pub(in crate::cpu::engine) struct Emit<'a> {
    pub(super) f: FunctionBuilder<'a>,
    pub(super) cpu: Value,
    /// Address of the guest block.
    pub(super) this: Value,
    /// What registers hold, as far as known.
    pub(super) regs: [Option<Value>; SLOTS],
    /// Registers that were read or written at all.
    pub(super) touched: u32,
    /// The flags, unless they are in memory only.
    pub(super) words: Option<Words>,
    /// Memory has them.
    pub(super) stored: bool,
    /// Where the current context's tags start.
    pub(super) tags: Option<Value>,
    /// The condition of the branch just emitted.
    pub(super) choice: Option<Value>,
    /// Operands of the last difference without a borrow.
    difference: Option<(Value, Value, Value)>,
    /// Address of the current operation.
    op: usize,
    exits: Vec<Exit>,
    /// Where the current operation stops, once it needs to know.
    exit: Option<Block>,
}

/// The processor's own fields: aligned, there, and nothing else.
pub(super) fn own() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// Guest memory behind a tag: there, but of any alignment.
fn guest() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

const fn type_of(width: Width) -> Type {
    match width {
        Width::B1 => types::I8,
        Width::B2 => types::I16,
        Width::B4 => types::I32,
        Width::B8 => types::I64,
    }
}

/// Which tag an access asks.
#[derive(Clone, Copy)]
enum Tag {
    Read,
    Write,
}

impl<'a> Emit<'a> {
    pub(super) fn new(f: FunctionBuilder<'a>, cpu: Value, this: Value) -> Self {
        Self {
            f,
            cpu,
            this,
            regs: [None; SLOTS],
            touched: 0,
            words: None,
            stored: true,
            tags: None,
            choice: None,
            difference: None,
            op: 0,
            exits: Vec::new(),
            exit: None,
        }
    }

    /// Begins with the operation at an address.
    pub(super) fn begin(&mut self, op: usize) {
        self.op = op;
        self.exit = None;
    }

    pub(super) fn constant(&mut self, value: u64) -> Value {
        self.f.ins().iconst(types::I64, value as i64)
    }

    pub(super) fn load_own(&mut self, at: usize) -> Value {
        self.f.ins().load(types::I64, own(), self.cpu, at as i32)
    }

    pub(super) fn store_own(&mut self, at: usize, value: Value) {
        self.f.ins().store(own(), value, self.cpu, at as i32);
    }

    /// A whole register.
    pub(super) fn full(&mut self, slot: u8) -> Value {
        let slot = usize::from(slot);
        self.touched |= 1 << slot;
        if let Some(value) = self.regs[slot] {
            return value;
        }
        let value = self.load_own(layout::register(slot));
        self.regs[slot] = Some(value);
        value
    }

    pub(super) fn set_full(&mut self, slot: u8, value: Value) {
        let slot = usize::from(slot);
        self.touched |= 1 << slot;
        self.regs[slot] = Some(value);
        self.store_own(layout::register(slot), value);
    }

    /// The flags.
    pub(super) fn words(&mut self) -> Words {
        if let Some(words) = self.words {
            return words;
        }
        let [result, carries, adjust] = layout::FLAGS.map(|at| self.load_own(at));
        let words = Words { result, carries, adjust, origin: Origin::Any };
        self.words = Some(words);
        words
    }

    /// A loop's head has the flags as such.
    pub(super) fn carry_words(&mut self, [result, carries, adjust]: [Value; 3]) {
        self.set_words(Words { result, carries, adjust, origin: Origin::Any });
    }

    fn set_words(&mut self, words: Words) {
        self.words = Some(words);
        self.stored = false;
    }

    fn store_words(&mut self, words: Words) {
        for (at, value) in layout::FLAGS.into_iter().zip([words.result, words.carries, words.adjust]) {
            self.store_own(at, value);
        }
    }

    /// Stores the flags if memory does not have them.
    pub(super) fn spill(&mut self) {
        if let Some(words) = self.words.filter(|_| !self.stored) {
            self.store_words(words);
            self.stored = true;
        }
    }

    /// Something else may have changed everything.
    pub(super) fn forget(&mut self) {
        self.regs = [None; SLOTS];
        self.words = None;
        self.stored = true;
        self.tags = None;
        self.difference = None;
    }

    /// Where to go in order to stop in front of the current operation.
    fn stop(&mut self) -> Block {
        if let Some(block) = self.exit {
            return block;
        }
        let block = self.f.create_block();
        self.f.set_cold_block(block);
        let flags = self.words.filter(|_| !self.stored);
        self.exits.push(Exit { block, op: self.op, flags });
        self.exit = Some(block);
        block
    }

    /// Goes on only if a condition does not hold; else the interpreter does the current operation.
    pub(super) fn stop_if(&mut self, condition: Value) {
        let stop = self.stop();
        let on = self.f.create_block();
        self.f.ins().brif(condition, stop, &[], on, &[]);
        self.f.switch_to_block(on);
    }

    /// Ends here: the interpreter does the operation at an address, and what follows.
    pub(super) fn hand_over(&mut self, op: usize) {
        self.spill();
        self.store_own(layout::RUNNING, self.this);
        let op = self.constant(op as u64);
        self.f.ins().return_(&[op]);
    }

    /// Fills in where operations stop.
    pub(super) fn finish_exits(&mut self) {
        for Exit { block, op, flags } in std::mem::take(&mut self.exits) {
            self.f.switch_to_block(block);
            self.words = flags;
            self.stored = flags.is_none();
            self.hand_over(op);
        }
    }

    /// The host address of an access, where its tag allows it.
    fn host(&mut self, lin: Value, width: Width, tag: Tag) -> Value {
        let tags = match self.tags {
            Some(tags) => tags,
            None => {
                let all = self.load_own(layout::TAGS);
                let first = self.load_own(layout::TAGS_FIRST);
                let first = self.f.ins().ishl_imm_u(first, layout::TAG_LOG2);
                let tags = self.f.ins().iadd(all, first);
                self.tags = Some(tags);
                tags
            }
        };
        let place = self.f.ins().ushr_imm_u(lin, 12 - layout::TAG_LOG2);
        let place = self.f.ins().band_imm_u(place, layout::TAG_MASK);
        let entry = self.f.ins().iadd(tags, place);
        let last = match width {
            Width::B1 => lin,
            _ => self.f.ins().iadd_imm_u(lin, width.bytes() as i64 - 1),
        };
        let page = self.f.ins().band_imm_s(last, !0xfff);
        let at = match tag {
            Tag::Read => layout::TAG_READ,
            Tag::Write => layout::TAG_WRITE,
        };
        let allowed = self.f.ins().load(types::I64, own(), entry, at as i32);
        let differs = self.f.ins().icmp(IntCC::NotEqual, allowed, page);
        self.stop_if(differs);
        let addend = self.f.ins().load(types::I64, own(), entry, layout::TAG_ADDEND as i32);
        self.f.ins().iadd(lin, addend)
    }

    fn read(&mut self, host: Value, width: Width) -> Value {
        let value = self.f.ins().load(type_of(width), guest(), host, 0);
        if width == Width::B8 { value } else { self.f.ins().uextend(types::I64, value) }
    }

    fn write(&mut self, host: Value, width: Width, value: Value) {
        let value = narrow(&mut self.f, value, width);
        self.f.ins().store(guest(), value, host, 0);
    }

    fn address(&mut self, op: &Op) -> Value {
        let offset = self.offset(op);
        if op.seg_base == crate::cpu::regs::ZERO {
            return offset;
        }
        let base = self.full(op.seg_base);
        self.f.ins().iadd(offset, base)
    }

    fn known(&self, value: Value) -> Option<u64> {
        let dfg = &self.f.func.dfg;
        let inst = dfg.value_def(value).inst()?;
        match dfg.insts[inst] {
            cranelift_codegen::ir::InstructionData::UnaryImm { imm, .. } => Some(imm.bits() as u64),
            _ => None,
        }
    }
}

impl Builder for Emit<'_> {
    type V = Value;
    type C = Value;
    type Stop = Never;

    fn imm(&mut self, value: u64) -> Value {
        self.constant(value)
    }

    fn reg(&mut self, slot: u8, width: Width) -> Value {
        match width {
            Width::B1 => {
                let full = self.full(slot >> 1);
                let shifted = if slot & 1 == 0 { full } else { self.f.ins().ushr_imm_u(full, 8) };
                self.f.ins().band_imm_u(shifted, 0xff)
            }
            Width::B2 | Width::B4 => {
                let full = self.full(slot);
                self.cut(full, width)
            }
            Width::B8 => self.full(slot),
        }
    }

    fn set_reg(&mut self, slot: u8, width: Width, value: Value) {
        let (slot, shift, mask) = match width {
            Width::B1 => (slot >> 1, u32::from(slot & 1) * 8, 0xff_i64),
            Width::B2 => (slot, 0, 0xffff),
            Width::B4 | Width::B8 => return self.set_full(slot, value),
        };
        let full = self.full(slot);
        let kept = self.f.ins().band_imm_s(full, !(mask << shift));
        let new = self.f.ins().band_imm_u(value, mask);
        let new = if shift == 0 { new } else { self.f.ins().ishl_imm_u(new, i64::from(shift)) };
        let merged = self.f.ins().bor(kept, new);
        self.set_full(slot, merged);
    }

    fn offset(&mut self, op: &Op) -> Value {
        use crate::cpu::regs::ZERO;
        let mut sum = None;
        if op.base != ZERO {
            sum = Some(self.full(op.base));
        }
        if op.index != ZERO {
            let index = self.full(op.index);
            let scale = i64::from(op.scale & 3);
            let index = if scale == 0 { index } else { self.f.ins().ishl_imm_u(index, scale) };
            sum = Some(match sum {
                Some(base) => self.f.ins().iadd(base, index),
                None => index,
            });
        }
        match sum {
            None => self.constant(op.imm),
            Some(sum) if op.imm == 0 => sum,
            Some(sum) => self.f.ins().iadd_imm_s(sum, op.imm as i64),
        }
    }

    fn load(&mut self, op: &Op, width: Width) -> Result<Value, Never> {
        let at = self.address(op);
        let host = self.host(at, width, Tag::Read);
        Ok(self.read(host, width))
    }

    fn store(&mut self, op: &Op, width: Width, value: Value) -> Result<(), Never> {
        let at = self.address(op);
        let host = self.host(at, width, Tag::Write);
        self.write(host, width, value);
        Ok(())
    }

    fn update(
        &mut self,
        op: &Op,
        width: Width,
        change: impl FnOnce(&mut Self, Value) -> Value,
    ) -> Result<(), Never> {
        let at = self.address(op);
        let host = self.host(at, width, Tag::Write);
        let old = self.read(host, width);
        let new = change(self, old);
        self.write(host, width, new);
        Ok(())
    }

    fn push(&mut self, width: Width, value: Value) -> Result<(), Never> {
        let sp = self.full(RSP);
        let sp = self.f.ins().iadd_imm_s(sp, -(width.bytes() as i64));
        let host = self.host(sp, width, Tag::Write);
        self.write(host, width, value);
        self.set_full(RSP, sp);
        Ok(())
    }

    fn pop(&mut self, width: Width) -> Result<Value, Never> {
        let sp = self.full(RSP);
        let host = self.host(sp, width, Tag::Read);
        let value = self.read(host, width);
        self.release(width.bytes());
        Ok(value)
    }

    fn top(&mut self) -> Result<Value, Never> {
        let sp = self.full(RSP);
        let host = self.host(sp, Width::B8, Tag::Read);
        Ok(self.read(host, Width::B8))
    }

    fn target(&mut self, rip: Value) -> Result<(), Never> {
        let high = self.f.ins().ishl_imm_u(rip, 16);
        let extended = self.f.ins().sshr_imm_u(high, 16);
        let differs = self.f.ins().icmp(IntCC::NotEqual, extended, rip);
        self.stop_if(differs);
        Ok(())
    }

    fn release(&mut self, bytes: u64) {
        let sp = self.full(RSP);
        let sp = self.f.ins().iadd_imm_s(sp, bytes as i64);
        self.set_full(RSP, sp);
    }

    fn add(&mut self, a: Value, b: Value) -> Value {
        self.f.ins().iadd(a, b)
    }

    fn sub(&mut self, a: Value, b: Value) -> Value {
        let result = self.f.ins().isub(a, b);
        self.difference = Some((a, b, result));
        result
    }

    fn and(&mut self, a: Value, b: Value) -> Value {
        self.f.ins().band(a, b)
    }

    fn or(&mut self, a: Value, b: Value) -> Value {
        self.f.ins().bor(a, b)
    }

    fn xor(&mut self, a: Value, b: Value) -> Value {
        self.f.ins().bxor(a, b)
    }

    fn cut(&mut self, value: Value, width: Width) -> Value {
        if width == Width::B8 {
            return value;
        }
        let narrow = narrow(&mut self.f, value, width);
        let cut = self.f.ins().uextend(types::I64, narrow);
        if let Some((a, b, result)) = self.difference
            && result == value
        {
            self.difference = Some((a, b, cut));
        }
        cut
    }

    fn sext(&mut self, value: Value, width: Width) -> Value {
        sign_extend(&mut self.f, value, width)
    }

    fn sign(&mut self, value: Value) -> Value {
        self.f.ins().sshr_imm_u(value, 63)
    }

    fn carry(&mut self) -> Value {
        let words = self.words();
        words.cf(&mut self.f)
    }

    fn condition(&mut self, condition: Condition) -> Value {
        let words = self.words();
        words.holds(&mut self.f, condition)
    }

    fn select(&mut self, condition: Value, yes: Value, no: Value) -> Value {
        self.f.ins().select(condition, yes, no)
    }

    /// Both ways are emitted: the answer only says that there are two.
    fn choose(&mut self, taken: Value) -> Flow<Value> {
        self.choice = Some(taken);
        Flow::Taken
    }

    fn flags_add(&mut self, width: Width, a: Value, b: Value, result: Value) {
        let words = Words::add(&mut self.f, width, a, b, result);
        self.set_words(words);
    }

    fn flags_sub(&mut self, width: Width, a: Value, b: Value, result: Value) {
        let words = Words::sub(&mut self.f, width, a, b, result);
        let origin = if self.difference == Some((a, b, result)) {
            Origin::Difference(width, a, b)
        } else {
            words.origin
        };
        self.set_words(Words { origin, ..words });
    }

    fn flags_logic(&mut self, width: Width, result: Value) {
        let words = Words::logic(&mut self.f, width, result);
        self.set_words(words);
    }

    fn flags_inc(&mut self, width: Width, a: Value, result: Value) {
        let old = self.words();
        let one = self.constant(1);
        let words = Words::add(&mut self.f, width, a, one, result);
        self.keep_cf(old, words);
    }

    fn flags_dec(&mut self, width: Width, a: Value, result: Value) {
        let old = self.words();
        let one = self.constant(1);
        let words = Words::sub(&mut self.f, width, a, one, result);
        self.keep_cf(old, words);
    }

    fn shift(&mut self, kind: Shift, width: Width, value: Value, count: Value) -> Value {
        match self.known(count) {
            Some(0) => value,
            Some(_) => {
                let (result, words) = self.shifted(kind, width, value, count);
                self.set_words(words);
                result
            }
            None => {
                let old = self.words();
                let (result, words) = self.shifted(kind, width, value, count);
                let moves = self.f.ins().icmp_imm_s(IntCC::NotEqual, count, 0);
                let words = Words::select(&mut self.f, moves, words, old);
                self.set_words(words);
                self.f.ins().select(moves, result, value)
            }
        }
    }

    fn multiply(&mut self, width: Width, a: Value, b: Value) -> Value {
        let (a, b) = (self.sext(a, width), self.sext(b, width));
        let product = self.f.ins().imul(a, b);
        let result = self.cut(product, width);
        let lost = if width == Width::B8 {
            let high = self.f.ins().smulhi(a, b);
            let sign = self.sign(product);
            self.f.ins().icmp(IntCC::NotEqual, high, sign)
        } else {
            let extended = self.sext(result, width);
            self.f.ins().icmp(IntCC::NotEqual, extended, product)
        };
        let lost = number(&mut self.f, lost);
        let words = Words::result_with(&mut self.f, width, result, lost, lost);
        self.set_words(words);
        result
    }

    fn rip(&mut self, page_offset: u64) -> Value {
        let page = self.full(CODE_PAGE);
        self.f.ins().iadd_imm_s(page, page_offset as i64)
    }
}

impl Emit<'_> {
    fn keep_cf(&mut self, old: Words, new: Words) {
        let (cf, of) = (old.cf(&mut self.f), new.of(&mut self.f));
        let words = new.with_cf_of(&mut self.f, cf, of);
        self.set_words(words);
    }

    fn bit(&mut self, value: Value, at: Value) -> Value {
        let shifted = self.f.ins().ushr(value, at);
        self.f.ins().band_imm_u(shifted, 1)
    }

    /// Result and flags of a shift by a count that is not zero, as in `sem::fast`.
    fn shifted(&mut self, kind: Shift, width: Width, value: Value, count: Value) -> (Value, Words) {
        let top = self.constant(u64::from(width.bits()) - 1);
        let before = self.f.ins().iadd_imm_s(count, -1);
        match kind {
            Shift::Left => {
                let last = self.f.ins().ishl(value, before);
                let cf = self.bit(last, top);
                let wide = self.f.ins().ishl(value, count);
                let result = self.cut(wide, width);
                let sign = self.bit(result, top);
                let of = self.f.ins().bxor(sign, cf);
                (result, Words::result_with(&mut self.f, width, result, cf, of))
            }
            Shift::Right => {
                let cf = self.bit(value, before);
                let result = self.f.ins().ushr(value, count);
                let sign = self.bit(value, top);
                let once = self.f.ins().icmp_imm_s(IntCC::Equal, count, 1);
                let once = number(&mut self.f, once);
                let of = self.f.ins().band(once, sign);
                (result, Words::result_with(&mut self.f, width, result, cf, of))
            }
            Shift::Arithmetic => {
                let signed = self.sext(value, width);
                let last = self.f.ins().sshr(signed, before);
                let cf = self.f.ins().band_imm_u(last, 1);
                let wide = self.f.ins().sshr(signed, count);
                let result = self.cut(wide, width);
                let of = self.constant(0);
                (result, Words::result_with(&mut self.f, width, result, cf, of))
            }
            Shift::RotateLeft | Shift::RotateRight => self.rotated(kind, width, value, count),
        }
    }

    fn rotated(&mut self, kind: Shift, width: Width, value: Value, count: Value) -> (Value, Words) {
        let left = kind == Shift::RotateLeft;
        let old = self.words();
        let short = narrow(&mut self.f, value, width);
        let turned = if left { self.f.ins().rotl(short, count) } else { self.f.ins().rotr(short, count) };
        let result = if width == Width::B8 { turned } else { self.f.ins().uextend(types::I64, turned) };
        let (top, below) = (width.bits() as i64 - 1, width.bits() as i64 - 2);
        let bit = |emit: &mut Self, at: i64| {
            let shifted = emit.f.ins().ushr_imm_u(result, at);
            emit.f.ins().band_imm_u(shifted, 1)
        };
        let (cf, other) =
            if left { (bit(self, 0), bit(self, top)) } else { (bit(self, top), bit(self, below)) };
        let of = self.f.ins().bxor(cf, other);
        (result, old.with_cf_of(&mut self.f, cf, of))
    }
}
