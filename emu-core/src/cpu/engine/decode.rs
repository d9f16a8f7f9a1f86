//! From RIP to a block: fetch through the instruction TLB, decode with iced-x86, specialise.

use super::block::{Block, Cold, ModeKey, STOP, SlowForm};
use super::cache::BlockCache;
use super::specialise::{self, Decoded};
use super::{CostTable, CpuConfig, dispatch, fuse, jit};
use crate::addr::{Gpa, Lin, PAGE_SIZE};
use crate::cpu::exec::{self, Exec};
use crate::cpu::regs::{CODE_PAGE, Seg};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault, is_canonical};
use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, FlowControl, Instruction, Mnemonic};
use std::cell::Cell;

/// Instructions in a block at most.
const BLOCK_MAX: usize = 64;
/// Bytes in an instruction at most.
const INSN_MAX: usize = 15;

impl Cpu {
    /// Derives the mode key: after any change of CS, CPL or mode.
    pub(crate) fn update_mode_key(&mut self) {
        let size = self.code_size();
        let cs = self.seg(Seg::Cs);
        let flat = size == CodeSize::Bits64 || (self.seg_base(Seg::Cs) == 0 && cs.limit == u32::MAX);
        let mut key = match size {
            CodeSize::Bits16 => 0,
            CodeSize::Bits32 => 1,
            CodeSize::Bits64 => 2,
        };
        if self.cpl == 3 {
            key |= ModeKey::USER;
        }
        if flat {
            key |= ModeKey::FLAT_CODE;
        }
        self.engine.mode = ModeKey(key);
    }

    /// Linear address of the next instruction, if CS allows fetching there.
    pub(crate) fn fetch_address(&self) -> Result<Lin, Fault> {
        if self.engine.mode.is_64() {
            return if is_canonical(self.rip) { Ok(Lin(self.rip)) } else { Err(Fault::GP0) };
        }
        if self.rip > u64::from(self.seg(Seg::Cs).limit) {
            return Err(Fault::GP0);
        }
        Ok(Lin(self.seg_base(Seg::Cs).wrapping_add(self.rip) & 0xffff_ffff))
    }

    /// The block at RIP, decoded if need be, and the code page set for it.
    pub(super) fn find_block(&mut self, bus: &mut dyn CpuBus) -> Result<*const Block, Fault> {
        let lin = self.fetch_address()?;
        let page = self.fetch_page(bus, lin)?;
        self.regs[CODE_PAGE as usize] = self.rip.wrapping_sub(lin.page_offset());
        let gpa = page.plus(lin.page_offset());
        let mode = self.engine.mode;
        if let Some(block) = self.engine.cache.find(gpa, mode) {
            return Ok(block);
        }
        let block = self.decode_block(bus, lin, gpa)?;
        self.engine.stats.blocks_decoded += 1;
        if block.crossing {
            return Ok(self.engine.cache.keep_once(block));
        }
        let (block, first) = self.engine.cache.insert(bus.mem(), block);
        if first {
            self.mmu.drop_write_tags(gpa.page_base());
        }
        Ok(block)
    }

    fn decode_block(&mut self, bus: &mut dyn CpuBus, lin: Lin, gpa: Gpa) -> Result<Block, Fault> {
        let mode = self.engine.mode;
        let room = (PAGE_SIZE - gpa.page_offset()) as usize;
        let mut bytes = [0xff; PAGE_SIZE as usize];
        let bytes = &mut bytes[..room.min(BLOCK_MAX * INSN_MAX)];
        // Where no memory answers the bus floats to all-ones, which does not decode.
        let _ = bus.mem_ref().read(gpa, bytes);
        let mut builder = Builder::new(gpa, mode);
        let mut decoder = Decoder::with_ip(mode.bits(), bytes, gpa.page_offset(), DecoderOptions::NONE);
        let mut insn = Instruction::default();
        while builder.cold.len() < BLOCK_MAX && decoder.can_decode() {
            let at = decoder.position();
            let stops = self.engine.stops.may_stop_at(gpa.page_offset() + at as u64);
            if stops && !builder.cold.is_empty() {
                break;
            }
            builder.stops |= stops;
            decoder.decode_out(&mut insn);
            if insn.is_invalid()
                && decoder.last_error() == DecoderError::NoMoreBytes
                && bytes.len() - at < INSN_MAX
            {
                if builder.cold.is_empty() {
                    self.decode_crossing(bus, lin, gpa, &mut builder)?;
                }
                break;
            }
            let too_long = is_too_long(&insn, mode, &bytes[at..]);
            builder.push(&insn, decoder.position(), too_long, &self.config);
            if insn.is_invalid() || ends_block(&insn) {
                builder.ended = true;
                break;
            }
            if stops {
                break;
            }
        }
        Ok(builder.finish(self.engine.jit.as_ref().map(|jit| jit.hot)))
    }

    /// The first instruction reaches into the next page: its own block, which is not entered in the cache's page map of
    /// the second page and so is decoded anew each time.
    fn decode_crossing(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        gpa: Gpa,
        builder: &mut Builder,
    ) -> Result<(), Fault> {
        let mut next = lin.page_base().plus(PAGE_SIZE);
        if !self.engine.mode.is_64() {
            next = Lin(next.0 & 0xffff_ffff);
        } else if !is_canonical(next.0) {
            return Err(Fault::GP0);
        }
        let head = (PAGE_SIZE - gpa.page_offset()) as usize;
        let second = self.translate_code(bus, next)?;
        let mut bytes = [0xff; 2 * INSN_MAX];
        let _ = bus.mem_ref().read(gpa, &mut bytes[..head]);
        let _ = bus.mem_ref().read(second, &mut bytes[head..head + INSN_MAX]);
        let options = DecoderOptions::NONE;
        let mut decoder =
            Decoder::with_ip(self.engine.mode.bits(), &bytes[..head + INSN_MAX], gpa.page_offset(), options);
        let insn = decoder.decode();
        let too_long = is_too_long(&insn, self.engine.mode, &bytes);
        builder.push(&insn, head, too_long, &self.config);
        builder.ended = insn.is_invalid() || ends_block(&insn);
        builder.crossing = true;
        Ok(())
    }
}

struct Builder {
    gpa: Gpa,
    mode: ModeKey,
    ops: Vec<super::Op>,
    cold: Vec<Cold>,
    bytes: usize,
    /// Whether the last two instructions have fast forms of the sort that can be paired.
    last_are_hot: [bool; 2],
    /// The last instruction decides itself where execution goes on.
    ended: bool,
    crossing: bool,
    /// A debugger may wait for its one instruction.
    stops: bool,
}

impl Builder {
    fn new(gpa: Gpa, mode: ModeKey) -> Self {
        Self {
            gpa,
            mode,
            ops: Vec::new(),
            cold: Vec::new(),
            bytes: 0,
            last_are_hot: [false; 2],
            ended: false,
            crossing: false,
            stops: false,
        }
    }

    fn push(&mut self, insn: &Instruction, end: usize, too_long: bool, config: &CpuConfig) {
        let plain = !too_long && !config.cpuid.lacks(insn.code());
        let Decoded { op, slow, hot } = if too_long {
            specialise::cold(insn, SlowForm::Exec(too_long_fault))
        } else if !plain {
            specialise::cold(insn, SlowForm::Exec(without_its_feature(insn)))
        } else {
            specialise::specialise(insn, self.mode)
        };
        self.ops.push(op);
        self.last_are_hot = [self.last_are_hot[1], hot];
        self.cold.push(Cold {
            insn: *insn,
            slow,
            plain,
            cycles: u32::from(cost(insn, &config.cost)).max(1),
            cycles_ahead: 0,
        });
        self.bytes = end;
    }

    /// `hot` is after how many runs the block is compiled, if there is a compiler.
    fn finish(mut self, hot: Option<u32>) -> Block {
        if let ([.., first, _], [.., before, last]) = (&mut self.ops[..], &self.cold[..])
            && self.last_are_hot == [true, true]
            && let Some(handler) = fuse::fused(&before.insn, &last.insn)
        {
            first.run = handler;
        }
        let mut ahead = 0;
        for cold in self.cold.iter_mut().rev() {
            ahead += cold.cycles;
            cold.cycles_ahead = ahead;
        }
        // The last instruction's end, which may lie in the next page.
        let next = self.cold.last().map_or(0, |cold| cold.insn.next_ip());
        self.ops.push(dispatch::sentinel(next, self.ended));
        let first = self.ops[0].run;
        if hot.is_some() && self.mode.is_64() && !self.crossing {
            self.ops[0].run = jit::gate;
        }
        Block {
            ops: self.ops.into_boxed_slice(),
            cold: self.cold.into_boxed_slice(),
            gpa: self.gpa,
            bytes: self.bytes as u16,
            cycles: if self.stops { STOP } else { ahead },
            mode: self.mode,
            crossing: self.crossing,
            links: [Cell::new(BlockCache::no_link()), Cell::new(BlockCache::no_link())],
            ended: self.ended,
            first,
            hot: Cell::new(hot.unwrap_or(0)),
            entry: Cell::new(0),
        }
    }
}

/// Whether what did not decode goes on behind its fifteenth byte. Given as many the decoder calls it merely invalid; given
/// one less it misses the rest.
fn is_too_long(insn: &Instruction, mode: ModeKey, bytes: &[u8]) -> bool {
    if !insn.is_invalid() || insn.len() < INSN_MAX {
        return false;
    }
    let mut decoder = Decoder::new(mode.bits(), &bytes[..INSN_MAX - 1], DecoderOptions::NONE);
    decoder.decode_out(&mut Instruction::default());
    decoder.last_error() == DecoderError::NoMoreBytes
}

/// What an instruction is to a processor that does not have it: of counts of zeros only the prefix is new.
fn without_its_feature(insn: &Instruction) -> Exec {
    let older = match insn.mnemonic() {
        Mnemonic::Tzcnt => exec::lookup(Code::Bsf_r32_rm32),
        Mnemonic::Lzcnt => exec::lookup(Code::Bsr_r32_rm32),
        _ => None,
    };
    older.unwrap_or(exec::undefined)
}

/// More than 15 bytes: #GP(0) (SDM vol. 2A, 2.3.11).
fn too_long_fault(_: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    Err(Fault::GP0)
}

/// Whether nothing may follow in the same block: control goes elsewhere, or what decoding and interrupts depend on may
/// change, or one instruction counts as several.
fn ends_block(insn: &Instruction) -> bool {
    if insn.flow_control() != FlowControl::Next {
        return true;
    }
    let repeats = insn.has_rep_prefix() || insn.has_repne_prefix();
    if repeats && insn.is_string_instruction() {
        return true;
    }
    if insn.op_count() > 0 && insn.op0_register().is_segment_register() {
        return true;
    }
    if insn.op0_register().is_cr() || insn.op0_register().is_dr() {
        return true;
    }
    matches!(
        insn.mnemonic(),
        Mnemonic::Sti
            | Mnemonic::Cli
            | Mnemonic::Popf
            | Mnemonic::Popfd
            | Mnemonic::Popfq
            | Mnemonic::Lds
            | Mnemonic::Les
            | Mnemonic::Lfs
            | Mnemonic::Lgs
            | Mnemonic::Lss
            | Mnemonic::Lgdt
            | Mnemonic::Lidt
            | Mnemonic::Lldt
            | Mnemonic::Ltr
            | Mnemonic::Lmsw
            | Mnemonic::Clts
            | Mnemonic::Invlpg
            | Mnemonic::Invpcid
            | Mnemonic::Invd
            | Mnemonic::Wbinvd
            | Mnemonic::Wrmsr
            | Mnemonic::Stac
            | Mnemonic::Clac
            | Mnemonic::Swapgs
            | Mnemonic::Wrfsbase
            | Mnemonic::Wrgsbase
            | Mnemonic::Xsetbv
            | Mnemonic::Monitor
            | Mnemonic::Mwait
            | Mnemonic::Hlt
            | Mnemonic::Rsm
    )
}

fn cost(insn: &Instruction, costs: &CostTable) -> u16 {
    if matches!(insn.code(), Code::INVALID) {
        return costs.simple;
    }
    match insn.mnemonic() {
        Mnemonic::Mul | Mnemonic::Imul | Mnemonic::Mulx => return costs.multiply,
        Mnemonic::Div | Mnemonic::Idiv => return costs.divide,
        Mnemonic::Pause => return costs.pause,
        Mnemonic::Cpuid
        | Mnemonic::Rdmsr
        | Mnemonic::Wrmsr
        | Mnemonic::Invlpg
        | Mnemonic::Invpcid
        | Mnemonic::Wbinvd => {
            return costs.system;
        }
        _ => {}
    }
    if insn.op0_register().is_cr() || insn.op1_register().is_cr() {
        return costs.system;
    }
    if insn.op0_register().is_segment_register() {
        return costs.far;
    }
    match insn.flow_control() {
        FlowControl::Interrupt => costs.far,
        _ if insn.is_jmp_far()
            || insn.is_call_far()
            || insn.is_jmp_far_indirect()
            || insn.is_call_far_indirect() =>
        {
            costs.far
        }
        FlowControl::Return if !matches!(insn.mnemonic(), Mnemonic::Ret) => costs.far,
        _ if insn.op0_register().is_vector_register() || insn.op1_register().is_vector_register() => {
            costs.vector
        }
        _ => costs.simple,
    }
}
