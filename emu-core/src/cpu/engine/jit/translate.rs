//! From a decoded block to a function: charges, operations, and where it goes on.
//!
//! The function is called with the processor, what helpers need and the block itself, whose instructions are not charged yet. It answers
//! null to leave the chain, the address of an operation to go on with in the interpreter, or that of a block plus [`BLOCK`] to go
//! on with at its start; or it goes on itself, with the next block's function.

use super::emit::{Emit, SLOTS, own};
use super::{Helpers, layout};
use crate::addr::PAGE_SIZE;
use crate::cpu::engine::block::{Block, NEXT, Op, TAKEN};
use crate::cpu::engine::specialise;
use crate::cpu::sem::Flow;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{
    self, AbiParam, BlockArg, Function, InstBuilder, SigRef, Signature, Value, types,
};
use cranelift_codegen::isa::{CallConv, TargetIsa};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// Marks a block's address among answers.
pub(super) const BLOCK: u64 = 1;

/// The signature with so many words in and one out.
pub(super) fn signature(convention: CallConv, words: usize) -> Signature {
    let mut signature = Signature::new(convention);
    signature.params.extend(std::iter::repeat_n(AbiParam::new(types::I64), words));
    signature.returns.push(AbiParam::new(types::I64));
    signature
}

/// How an operation is compiled.
enum Form {
    /// Emitted.
    Hot(super::EmitFn),
    /// A call of its fast form, which may refuse.
    Vector(usize),
    /// A call of its slow form.
    Slow,
}

fn form(block: &Block, index: usize) -> Form {
    let cold = &block.cold[index];
    if !cold.plain {
        return Form::Slow;
    }
    if let Some(emit) = specialise::emitter(&cold.insn, block.mode) {
        return Form::Hot(emit);
    }
    match specialise::vector(&cold.insn, block.mode) {
        Some(hot) => Form::Vector((hot.quick as *const ()).addr()),
        None => Form::Slow,
    }
}

/// Whether there is anything in a block that compiling makes quicker.
fn gains(forms: &[Form]) -> bool {
    forms.iter().any(|form| matches!(form, Form::Hot(_)))
}

/// What a loop carries from one turn to the next.
struct Loop {
    head: ir::Block,
    slots: Vec<usize>,
}

struct Translation<'a, 'b> {
    emit: Emit<'a>,
    block: &'b Block,
    helpers: &'b Helpers,
    context: Value,
    function: SigRef,
    calls: [SigRef; 5],
    turn: Option<Loop>,
}

/// Writes the function of `block` into `function`. Answers false if it is not worth one.
pub(super) fn translate(
    function: &mut Function,
    builder: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    helpers: &Helpers,
    block: &Block,
) -> bool {
    let forms: Vec<Form> = (0..block.cold.len()).map(|index| form(block, index)).collect();
    if !gains(&forms) {
        return false;
    }
    let mut slots = None;
    if loops(block) {
        // Once to see which registers the loop needs.
        slots = Some(write(function, builder, isa, helpers, block, &forms, None));
        function.clear();
    }
    write(function, builder, isa, helpers, block, &forms, slots);
    true
}

/// Whether a block's last instruction branches to its first.
fn loops(block: &Block) -> bool {
    let last = &block.ops[block.cold.len() - 1];
    let insn = &block.cold[block.cold.len() - 1].insn;
    (insn.is_jcc_short_or_near() || insn.is_jmp_short_or_near()) && last.imm == block.gpa.page_offset()
}

/// Answers which registers were touched.
fn write(
    function: &mut Function,
    builder: &mut FunctionBuilderContext,
    isa: &dyn TargetIsa,
    helpers: &Helpers,
    block: &Block,
    forms: &[Form],
    slots: Option<u32>,
) -> u32 {
    function.signature = signature(CallConv::Tail, 3);
    let mut f = FunctionBuilder::new(function, builder);
    let first = f.create_block();
    let [cpu, context, this] = [(); 3].map(|()| f.append_block_param(first, types::I64));
    f.switch_to_block(first);
    let tail = f.import_signature(signature(CallConv::Tail, 3));
    let host = isa.default_call_conv();
    let calls = [0, 1, 2, 3, 4].map(|words| f.import_signature(signature(host, words)));
    let mut translation = Translation {
        emit: Emit::new(f, cpu, this),
        block,
        helpers,
        context,
        function: tail,
        calls,
        turn: None,
    };
    translation.start(slots);
    translation.operations(forms);
    let Emit { mut f, touched, .. } = translation.emit;
    f.seal_all_blocks();
    f.finalize(isa.frontend_config());
    touched
}

impl Translation<'_, '_> {
    fn op_at(&self, index: usize) -> usize {
        (&raw const self.block.ops[index]).expose_provenance()
    }

    /// Charges the block, or leaves it to the interpreter to find that the budget does not cover it.
    fn charge(&mut self) {
        let budget = self.emit.load_own(layout::BUDGET);
        let left = self.emit.f.ins().iadd_imm_s(budget, -i64::from(self.block.cycles));
        let over = self.emit.f.ins().icmp_imm_s(IntCC::SignedLessThan, left, 0);
        let (leave, on) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.set_cold_block(leave);
        self.emit.f.ins().brif(over, leave, &[], on, &[]);
        self.emit.f.switch_to_block(leave);
        self.with_flags_as_they_are(|translation| {
            translation.emit.spill();
            let block = translation.emit.f.ins().bor_imm_u(translation.emit.this, BLOCK as i64);
            translation.emit.f.ins().return_(&[block]);
        });
        self.emit.f.switch_to_block(on);
        self.emit.store_own(layout::BUDGET, left);
        let insns = self.emit.load_own(layout::INSNS);
        let insns = self.emit.f.ins().iadd_imm_s(insns, i64::from(self.block.len()));
        self.emit.store_own(layout::INSNS, insns);
    }

    /// What a side way stores it does not store for the main way.
    fn with_flags_as_they_are(&mut self, side: impl FnOnce(&mut Self)) {
        let (words, stored) = (self.emit.words, self.emit.stored);
        side(self);
        (self.emit.words, self.emit.stored) = (words, stored);
    }

    fn start(&mut self, slots: Option<u32>) {
        self.charge();
        let Some(touched) = slots else { return };
        let slots: Vec<usize> = (0..SLOTS).filter(|slot| touched >> slot & 1 != 0).collect();
        let values = self.carried(&slots);
        let head = self.emit.f.create_block();
        self.emit.f.ins().jump(head, &values);
        self.emit.f.switch_to_block(head);
        for slot in &slots {
            self.emit.regs[*slot] = Some(self.emit.f.append_block_param(head, types::I64));
        }
        let words = [(); 3].map(|()| self.emit.f.append_block_param(head, types::I64));
        self.emit.carry_words(words);
        self.turn = Some(Loop { head, slots });
    }

    /// Registers and flags as a loop's head takes them.
    fn carried(&mut self, slots: &[usize]) -> Vec<BlockArg> {
        let mut values: Vec<BlockArg> =
            slots.iter().map(|slot| BlockArg::Value(self.emit.full(*slot as u8))).collect();
        let words = self.emit.words();
        values.extend([words.result, words.carries, words.adjust].map(BlockArg::Value));
        values
    }

    fn operations(&mut self, forms: &[Form]) {
        let mut flow = Flow::Next;
        for (index, form) in forms.iter().enumerate() {
            self.emit.begin(self.op_at(index));
            flow = match form {
                Form::Hot(emit) => emit(&mut self.emit, &self.block.ops[index]),
                Form::Vector(run) => self.vector(*run, index),
                Form::Slow => self.slow(index),
            };
        }
        self.end(flow);
        self.emit.finish_exits();
    }

    fn call(&mut self, helper: usize, words: &[Value]) -> Value {
        let callee = self.emit.constant(helper as u64);
        let call = self.emit.f.ins().call_indirect(self.calls[words.len()], callee, words);
        self.emit.f.inst_results(call)[0]
    }

    /// Tries an operation's fast form; general registers and flags stay as they are.
    fn vector(&mut self, run: usize, index: usize) -> Flow<Value> {
        let op = self.emit.constant(self.op_at(index) as u64);
        let done = self.call(run, &[self.emit.cpu, op]);
        let refused = self.emit.f.ins().icmp_imm_s(IntCC::Equal, done, 0);
        self.emit.stop_if(refused);
        Flow::Next
    }

    /// Does an operation the slow way. Leaves if that says so.
    fn slow(&mut self, index: usize) -> Flow<Value> {
        self.emit.spill();
        let op = self.emit.constant(self.op_at(index) as u64);
        let goes_on = self.call(self.helpers.slow, &[self.emit.cpu, self.context, self.emit.this, op]);
        self.emit.forget();
        let (leave, on) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.set_cold_block(leave);
        self.emit.f.ins().brif(goes_on, on, &[], leave, &[]);
        self.emit.f.switch_to_block(leave);
        self.leave();
        self.emit.f.switch_to_block(on);
        Flow::Next
    }

    fn leave(&mut self) {
        let null = self.emit.constant(0);
        self.emit.f.ins().return_(&[null]);
    }

    /// Behind the last operation.
    fn end(&mut self, flow: Flow<Value>) {
        let last = &self.block.ops[self.block.cold.len() - 1];
        let sentinel = &self.block.ops[self.block.cold.len()];
        match flow {
            Flow::Taken => match self.emit.choice.take() {
                None => self.follow(TAKEN, last.imm),
                Some(condition) => self.branch(condition, last),
            },
            Flow::NotTaken => self.follow(NEXT, last.aux),
            Flow::To(rip) => {
                self.emit.spill();
                let target = self.call(self.helpers.jump, &[self.emit.cpu, self.emit.this, rip]);
                self.go_on_if_any(target);
            }
            Flow::Next if self.block.ended => self.emit.hand_over(self.op_at(self.block.cold.len())),
            Flow::Next => self.follow(NEXT, sentinel.aux),
        }
    }

    fn branch(&mut self, condition: Value, last: &Op) {
        if self.turn.is_none() {
            self.emit.spill();
        }
        let (taken, not_taken) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.ins().brif(condition, taken, &[], not_taken, &[]);
        self.emit.f.switch_to_block(taken);
        self.with_flags_as_they_are(|translation| translation.follow(TAKEN, last.imm));
        self.emit.f.switch_to_block(not_taken);
        self.follow(NEXT, last.aux);
    }

    /// To where one of the block's links leads, `page_offset` from the code page.
    fn follow(&mut self, link: usize, page_offset: u64) {
        if let Some(Loop { head, slots }) = self.turn.take() {
            if page_offset == self.block.gpa.page_offset() {
                self.charge();
                let values = self.carried(&slots);
                self.emit.f.ins().jump(head, &values);
                return;
            }
            self.turn = Some(Loop { head, slots });
        }
        self.emit.spill();
        if page_offset >= PAGE_SIZE {
            return self.follow_by_call(link);
        }
        let at = layout::link(link);
        let mine = self.emit.f.ins().load(types::I64, own(), self.emit.this, (at + layout::LINK_CODE) as i32);
        let now = self.emit.load_own(layout::CODE_GENERATION);
        let dead = self.emit.f.ins().icmp(IntCC::NotEqual, mine, now);
        let (ask, on) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.set_cold_block(ask);
        self.emit.f.ins().brif(dead, ask, &[], on, &[]);
        self.emit.f.switch_to_block(ask);
        self.follow_by_call(link);
        self.emit.f.switch_to_block(on);
        let target =
            self.emit.f.ins().load(types::I64, own(), self.emit.this, (at + layout::LINK_BLOCK) as i32);
        self.go_on(target);
    }

    fn follow_by_call(&mut self, link: usize) {
        let link = self.emit.constant(link as u64);
        let words = [self.emit.cpu, self.context, self.emit.this, link];
        let target = self.call(self.helpers.follow, &words);
        self.go_on_if_any(target);
    }

    fn go_on_if_any(&mut self, target: Value) {
        let (leave, on) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.set_cold_block(leave);
        self.emit.f.ins().brif(target, on, &[], leave, &[]);
        self.emit.f.switch_to_block(leave);
        self.leave();
        self.emit.f.switch_to_block(on);
        self.go_on(target);
    }

    /// To the function of a block, or back to the interpreter if it has none.
    fn go_on(&mut self, target: Value) {
        let entry = self.emit.f.ins().load(types::I64, own(), target, layout::ENTRY as i32);
        let (compiled, other) = (self.emit.f.create_block(), self.emit.f.create_block());
        self.emit.f.set_cold_block(other);
        self.emit.f.ins().brif(entry, compiled, &[], other, &[]);
        self.emit.f.switch_to_block(other);
        let block = self.emit.f.ins().bor_imm_u(target, BLOCK as i64);
        self.emit.f.ins().return_(&[block]);
        self.emit.f.switch_to_block(compiled);
        let words = [self.emit.cpu, self.context, target];
        self.emit.f.ins().return_call_indirect(self.function, entry, &words);
    }
}

/// The function that the host calls with the words of a block's function and that function's address.
pub(super) fn entrance(function: &mut Function, builder: &mut FunctionBuilderContext, isa: &dyn TargetIsa) {
    function.signature = signature(isa.default_call_conv(), 4);
    let mut f = FunctionBuilder::new(function, builder);
    let first = f.create_block();
    let [cpu, context, block, entry] = [(); 4].map(|()| f.append_block_param(first, types::I64));
    f.switch_to_block(first);
    let inner = f.import_signature(signature(CallConv::Tail, 3));
    let call = f.ins().call_indirect(inner, entry, &[cpu, context, block]);
    let answer = f.inst_results(call)[0];
    f.ins().return_(&[answer]);
    f.seal_all_blocks();
    f.finalize(isa.frontend_config());
}
