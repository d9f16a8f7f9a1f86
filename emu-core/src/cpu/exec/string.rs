//! String instructions, with and without REP. SDM vol. 2, "MOVS", "REP".
//!
//! Each iteration counts as an instruction of its own: it commits its registers, and an interrupt, a fault or a deadline may
//! come after it. RIP then still names the instruction, which goes on from the registers.

use super::Exec;
use crate::access::Width;
use crate::addr::PAGE_SIZE;
use crate::cpu::flags::{Flags, bit};
use crate::cpu::mmu::{Intent, fast_copy, fast_fill, fast_load, fast_store};
use crate::cpu::regs::{RAX, RCX, RDI, RDX, RSI, Seg};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    if !code.op_code().is_instruction() || !is_string(code) {
        return None;
    }
    Some(match code.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Movsw | Mnemonic::Movsd | Mnemonic::Movsq => {
            |cpu, bus, insn| repeat(cpu, bus, insn, movs, Some(Bulk::Copy))
        }
        Mnemonic::Stosb | Mnemonic::Stosw | Mnemonic::Stosd | Mnemonic::Stosq => {
            |cpu, bus, insn| repeat(cpu, bus, insn, stos, Some(Bulk::Fill))
        }
        Mnemonic::Lodsb | Mnemonic::Lodsw | Mnemonic::Lodsd | Mnemonic::Lodsq => {
            |cpu, bus, insn| repeat(cpu, bus, insn, lods, None)
        }
        Mnemonic::Cmpsb | Mnemonic::Cmpsw | Mnemonic::Cmpsd | Mnemonic::Cmpsq => {
            |cpu, bus, insn| repeat(cpu, bus, insn, cmps, None)
        }
        Mnemonic::Scasb | Mnemonic::Scasw | Mnemonic::Scasd | Mnemonic::Scasq => {
            |cpu, bus, insn| repeat(cpu, bus, insn, scas, None)
        }
        Mnemonic::Insb | Mnemonic::Insw | Mnemonic::Insd => |cpu, bus, insn| repeat_port(cpu, bus, insn, ins),
        Mnemonic::Outsb | Mnemonic::Outsw | Mnemonic::Outsd => {
            |cpu, bus, insn| repeat_port(cpu, bus, insn, outs)
        }
        _ => return None,
    })
}

/// MOVSD and CMPSD are also the names of SSE2 instructions.
fn is_string(code: Code) -> bool {
    let mut insn = Instruction::default();
    insn.set_code(code);
    insn.is_string_instruction()
}

/// Fewer iterations are not worth the preparation.
const BULK_MIN: u64 = 4;

/// What of the instruction an iteration needs.
#[derive(Clone, Copy)]
struct Shape {
    /// Element.
    width: Width,
    /// Of addresses and the count.
    mask: u64,
    /// Segment of the source; the destination's is always ES.
    seg: Seg,
    /// Forward or backward, by one element.
    step: u64,
}

/// One iteration. Answers whether a REPE or REPNE condition lets it go on, or `None` if the instruction has none.
type Body = fn(&mut Cpu, &mut dyn CpuBus, Shape) -> Result<Option<bool>, Fault>;

fn shape(cpu: &Cpu, insn: &Instruction) -> Shape {
    let kinds = [insn.op0_kind(), insn.op1_kind()];
    let mask = if kinds.iter().any(|kind| matches!(kind, OpKind::MemorySegSI | OpKind::MemoryESDI)) {
        0xffff
    } else if kinds.iter().any(|kind| matches!(kind, OpKind::MemorySegESI | OpKind::MemoryESEDI)) {
        0xffff_ffff
    } else {
        u64::MAX
    };
    let width = Width::from_bytes(insn.memory_size().size()).unwrap_or(Width::B1);
    let down = cpu.system_flags & bit::DF != 0;
    let step = if down { width.bytes().wrapping_neg() } else { width.bytes() };
    let seg = cpu.operand_segment(insn);
    Shape { width, mask, seg, step }
}

/// What many iterations together come to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bulk {
    /// MOVS: a copy.
    Copy,
    /// STOS: a fill.
    Fill,
}

/// Does all iterations at once that lie in the present pages, are affordable and can't fault, but for the last, which goes the usual
/// way.
fn many(cpu: &mut Cpu, shape: Shape, bulk: Bulk, cycles: u16) {
    let room = |register: u8| {
        let at = cpu.gpr(register) & shape.mask;
        (PAGE_SIZE - at % PAGE_SIZE) / shape.width.bytes()
    };
    let left = (cpu.gpr(RCX) & shape.mask) - 1;
    let wanted = match bulk {
        Bulk::Copy => left.min(room(RDI)).min(room(RSI)),
        Bulk::Fill => left.min(room(RDI)),
    };
    if wanted < BULK_MIN || shape.step != shape.width.bytes() || cpu.code_size() != CodeSize::Bits64 {
        return;
    }
    let count = cpu.affordable_iterations(wanted, cycles);
    if count > 0 && do_many(cpu, shape, bulk, count).is_some() {
        cpu.count_iterations(count, cycles);
        let left = cpu.gpr(RCX).wrapping_sub(count);
        set_index(cpu, RCX, shape.mask, left);
    }
}

/// Moves the data and the registers that point to it, or nothing.
fn do_many(cpu: &mut Cpu, shape: Shape, bulk: Bulk, count: u64) -> Option<()> {
    let to = cpu.gpr(RDI) & shape.mask;
    let len = count * shape.width.bytes();
    match bulk {
        Bulk::Copy => {
            let base = if matches!(shape.seg, Seg::Fs | Seg::Gs) { cpu.seg_base(shape.seg) } else { 0 };
            let at = cpu.gpr(RSI);
            fast_copy(&cpu.mmu, to, base.wrapping_add(at & shape.mask), len as usize)?;
            set_index(cpu, RSI, shape.mask, at.wrapping_add(len));
        }
        Bulk::Fill => {
            fast_fill(&cpu.mmu, to, shape.width, cpu.gpr(RAX) & shape.width.mask(), count as usize)?;
        }
    }
    let next = cpu.gpr(RDI).wrapping_add(len);
    set_index(cpu, RDI, shape.mask, next);
    Some(())
}

fn repeat(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    body: Body,
    bulk: Option<Bulk>,
) -> Result<(), Fault> {
    let shape = shape(cpu, insn);
    if !insn.has_rep_prefix() && !insn.has_repne_prefix() {
        return body(cpu, bus, shape).map(drop);
    }
    let wanted = !insn.has_repne_prefix();
    let cycles = cpu.config.cost.simple;
    while cpu.gpr(RCX) & shape.mask != 0 {
        if let Some(bulk) = bulk {
            many(cpu, shape, bulk, cycles);
        }
        let condition = body(cpu, bus, shape)?;
        let count = cpu.gpr(RCX).wrapping_sub(1);
        set_index(cpu, RCX, shape.mask, count);
        if count & shape.mask == 0 || condition.is_some_and(|holds| holds != wanted) {
            break;
        }
        if !cpu.next_iteration(cycles) {
            cpu.next_rip = cpu.rip;
            // What comes between iterations returns with RF set (SDM vol. 3B, 18.3.1.1).
            cpu.system_flags |= bit::RF;
            cpu.leave_after_instruction();
            break;
        }
    }
    Ok(())
}

/// The permission to use the port is asked for even if the count is zero.
fn repeat_port(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, body: Body) -> Result<(), Fault> {
    let width = shape(cpu, insn).width;
    cpu.check_io(bus, cpu.gpr(RDX) as u16, width)?;
    repeat(cpu, bus, insn, body, None)
}

/// Sets RSI, RDI or RCX by the address size's rules for partial registers.
fn set_index(cpu: &mut Cpu, register: u8, mask: u64, value: u64) {
    let width = match mask {
        0xffff => Width::B2,
        0xffff_ffff => Width::B4,
        _ => Width::B8,
    };
    cpu.set_gpr_part(register, width, value);
}

fn advance(cpu: &mut Cpu, register: u8, shape: Shape) {
    let value = cpu.gpr(register).wrapping_add(shape.step);
    set_index(cpu, register, shape.mask, value);
}

/// The source element; through the TLB tag where addresses are flat.
fn load_source(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<u64, Fault> {
    let at = cpu.gpr(RSI) & shape.mask;
    if cpu.code_size() == CodeSize::Bits64 {
        let base = if matches!(shape.seg, Seg::Fs | Seg::Gs) { cpu.seg_base(shape.seg) } else { 0 };
        if let Some(value) = fast_load(&cpu.mmu, base.wrapping_add(at), shape.width) {
            return Ok(value);
        }
    }
    cpu.load(bus, shape.seg, at, shape.width)
}

fn load_destination(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<u64, Fault> {
    let at = cpu.gpr(RDI) & shape.mask;
    cpu.load(bus, Seg::Es, at, shape.width)
}

fn store_destination(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape, value: u64) -> Result<(), Fault> {
    let at = cpu.gpr(RDI) & shape.mask;
    if cpu.code_size() == CodeSize::Bits64 && fast_store(&cpu.mmu, at, shape.width, value).is_some() {
        return Ok(());
    }
    cpu.store(bus, Seg::Es, at, shape.width, value)
}

fn movs(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let value = load_source(cpu, bus, shape)?;
    store_destination(cpu, bus, shape, value)?;
    advance(cpu, RSI, shape);
    advance(cpu, RDI, shape);
    Ok(None)
}

fn stos(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let value = cpu.gpr(RAX) & shape.width.mask();
    store_destination(cpu, bus, shape, value)?;
    advance(cpu, RDI, shape);
    Ok(None)
}

fn lods(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let value = load_source(cpu, bus, shape)?;
    cpu.set_gpr_part(RAX, shape.width, value);
    advance(cpu, RSI, shape);
    Ok(None)
}

fn compare(cpu: &mut Cpu, width: Width, a: u64, b: u64) -> Option<bool> {
    let difference = a.wrapping_sub(b) & width.mask();
    cpu.flags = Flags::sub(width, a, b, difference);
    Some(difference == 0)
}

fn cmps(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let first = load_source(cpu, bus, shape)?;
    let second = load_destination(cpu, bus, shape)?;
    advance(cpu, RSI, shape);
    advance(cpu, RDI, shape);
    Ok(compare(cpu, shape.width, first, second))
}

fn scas(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let element = load_destination(cpu, bus, shape)?;
    advance(cpu, RDI, shape);
    let accumulator = cpu.gpr(RAX) & shape.width.mask();
    Ok(compare(cpu, shape.width, accumulator, element))
}

/// The destination must be writable before the port is read: a port may not be read twice.
fn ins(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let port = cpu.gpr(RDX) as u16;
    let at = cpu.gpr(RDI) & shape.mask;
    let lin = cpu.linear(Seg::Es, at, shape.width.bytes(), Intent::Write)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, shape.width.bytes(), Intent::Write, context)?;
    let value = cpu.port_in(bus, port, shape.width);
    cpu.store(bus, Seg::Es, at, shape.width, value)?;
    advance(cpu, RDI, shape);
    Ok(None)
}

fn outs(cpu: &mut Cpu, bus: &mut dyn CpuBus, shape: Shape) -> Result<Option<bool>, Fault> {
    let port = cpu.gpr(RDX) as u16;
    let value = load_source(cpu, bus, shape)?;
    cpu.port_out(bus, port, shape.width, value);
    advance(cpu, RSI, shape);
    Ok(None)
}
