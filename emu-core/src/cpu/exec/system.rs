//! System instructions: segments and far transfers, tables, control and debug registers, flags, MSRs, CPUID, HLT. What they
//! do is in `cpu::system`; here they are taken apart.

use super::{Exec, gpr_index, gpr_width, undefined};
use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::flags::bit;
use crate::cpu::mmu::Intent;
use crate::cpu::regs::{RAX, RBX, RCX, RDX, Seg, TableRegister};
use crate::cpu::system::deliver::Source;
use crate::cpu::system::descriptor::Selector;
use crate::cpu::system::far::FarPointer;
use crate::cpu::{Activity, CodeSize, Cpu, CpuBus, Fault, Shadow, is_canonical};
use crate::trace::TraceEvent;
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    let exec: Exec = match code.mnemonic() {
        Mnemonic::Int => software_interrupt,
        Mnemonic::Int3 => |cpu, bus, _| interrupt(cpu, bus, 3, Source::Software),
        Mnemonic::Int1 => |cpu, bus, _| interrupt(cpu, bus, 1, Source::Privileged),
        Mnemonic::Into => into,
        Mnemonic::Iret => |cpu, bus, _| cpu.iret(bus, Width::B2),
        Mnemonic::Iretd => |cpu, bus, _| cpu.iret(bus, Width::B4),
        Mnemonic::Iretq => |cpu, bus, _| cpu.iret(bus, Width::B8),
        Mnemonic::Jmp if is_far(code) => far_jump,
        Mnemonic::Call if is_far(code) => far_call,
        Mnemonic::Retf => far_return,
        Mnemonic::Mov => return mov(code),
        Mnemonic::Push => push_segment,
        Mnemonic::Pop => pop_segment,
        Mnemonic::Lds | Mnemonic::Les | Mnemonic::Lss | Mnemonic::Lfs | Mnemonic::Lgs => load_far_pointer,
        Mnemonic::Pushf => |cpu, bus, _| push_flags(cpu, bus, Width::B2),
        Mnemonic::Pushfd => |cpu, bus, _| push_flags(cpu, bus, Width::B4),
        Mnemonic::Pushfq => |cpu, bus, _| push_flags(cpu, bus, Width::B8),
        Mnemonic::Popf => |cpu, bus, _| pop_flags(cpu, bus, Width::B2),
        Mnemonic::Popfd => |cpu, bus, _| pop_flags(cpu, bus, Width::B4),
        Mnemonic::Popfq => |cpu, bus, _| pop_flags(cpu, bus, Width::B8),
        Mnemonic::Cli => cli,
        Mnemonic::Sti => sti,
        Mnemonic::Clac => |cpu, _, _| set_ac(cpu, false),
        Mnemonic::Stac => |cpu, _, _| set_ac(cpu, true),
        Mnemonic::Hlt => halt,
        Mnemonic::Lgdt | Mnemonic::Lidt => load_table,
        Mnemonic::Sgdt | Mnemonic::Sidt => store_table,
        Mnemonic::Lldt | Mnemonic::Ltr => load_system_register,
        Mnemonic::Sldt | Mnemonic::Str => store_system_register,
        Mnemonic::Lar | Mnemonic::Lsl => look_at_descriptor,
        Mnemonic::Verr | Mnemonic::Verw => verify,
        Mnemonic::Arpl => arpl,
        Mnemonic::Lmsw => lmsw,
        Mnemonic::Smsw => smsw,
        Mnemonic::Clts => clts,
        Mnemonic::Invlpg => invlpg,
        Mnemonic::Invpcid => invpcid,
        Mnemonic::Invd | Mnemonic::Wbinvd => |cpu, _, _| privileged(cpu),
        Mnemonic::Rdmsr => rdmsr,
        Mnemonic::Wrmsr => wrmsr,
        Mnemonic::Rdtsc | Mnemonic::Rdtscp => rdtsc,
        // No counters are announced, so none exists.
        Mnemonic::Rdpmc => |_, _, _| Err(Fault::GP0),
        Mnemonic::Cpuid => cpuid,
        Mnemonic::Syscall => |cpu, _, _| cpu.syscall(),
        Mnemonic::Sysret => |cpu, _, _| cpu.sysret(false),
        Mnemonic::Sysretq => |cpu, _, _| cpu.sysret(true),
        Mnemonic::Sysenter => |cpu, _, _| cpu.sysenter(),
        Mnemonic::Sysexit => |cpu, _, _| cpu.sysexit(false),
        Mnemonic::Sysexitq => |cpu, _, _| cpu.sysexit(true),
        Mnemonic::Swapgs => |cpu, _, _| cpu.swapgs(),
        Mnemonic::Rdfsbase | Mnemonic::Rdgsbase => read_base,
        Mnemonic::Wrfsbase | Mnemonic::Wrgsbase => write_base,
        Mnemonic::Ud0 | Mnemonic::Ud1 | Mnemonic::Ud2 | Mnemonic::Rsm => undefined,
        _ => return None,
    };
    Some(exec)
}

fn is_far(code: Code) -> bool {
    code.is_jmp_far() || code.is_jmp_far_indirect() || code.is_call_far() || code.is_call_far_indirect()
}

/// #GP(0) unless CPL is 0.
pub(super) fn privileged(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cpl == 0 { Ok(()) } else { Err(Fault::GP0) }
}

/// #UD outside of protected mode.
pub(super) fn protected_only(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.protected() { Ok(()) } else { Err(Fault::UNDEFINED) }
}

/// User-mode instruction prevention.
fn prevented_for_users(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cpl > 0 && cpu.cr4 & cr4::UMIP != 0 { Err(Fault::GP0) } else { Ok(()) }
}

fn interrupt(cpu: &mut Cpu, bus: &mut dyn CpuBus, vector: u8, source: Source) -> Result<(), Fault> {
    cpu.software_interrupt(bus, vector, source)
}

/// INT n: unlike INT3 and INTO it is for IOPL to allow in virtual-8086 mode.
fn software_interrupt(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    if cpu.vm86() && cpu.iopl() < 3 {
        return Err(Fault::GP0);
    }
    interrupt(cpu, bus, insn.immediate8(), Source::Software)
}

fn into(cpu: &mut Cpu, bus: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    if cpu.flags.of() { interrupt(cpu, bus, 4, Source::Software) } else { Ok(()) }
}

/// The far pointer of a jump or call, immediate or in memory.
fn far_pointer(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<FarPointer, Fault> {
    match insn.op0_kind() {
        OpKind::FarBranch16 => Ok(FarPointer {
            selector: Selector(insn.far_branch_selector()),
            offset: u64::from(insn.far_branch16()),
            width: Width::B2,
        }),
        OpKind::FarBranch32 => Ok(FarPointer {
            selector: Selector(insn.far_branch_selector()),
            offset: u64::from(insn.far_branch32()),
            width: Width::B4,
        }),
        _ => pointer_in_memory(cpu, bus, insn),
    }
}

/// Offset first, then selector; it lies well on the size of its offset (SDM vol. 3A, table 6-7).
fn pointer_in_memory(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<FarPointer, Fault> {
    let width = match insn.memory_size().size() {
        4 => Width::B2,
        6 => Width::B4,
        _ => Width::B8,
    };
    let (seg, at) = cpu.memory_operand(insn);
    let mut bytes = [0; 10];
    let len = width.bytes() as usize;
    let lin = cpu.linear(seg, at, len as u64 + 2, Intent::Read)?;
    cpu.check_alignment(lin, len as u64)?;
    cpu.load_bytes_lin(bus, lin, &mut bytes[..len + 2], cpu.data_context())?;
    let selector = Selector(u16::from_le_bytes([bytes[len], bytes[len + 1]]));
    let mut offset = [0; 8];
    offset[..len].copy_from_slice(&bytes[..len]);
    Ok(FarPointer { selector, offset: u64::from_le_bytes(offset), width })
}

fn far_jump(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let to = far_pointer(cpu, bus, insn)?;
    cpu.far_jump(bus, to)
}

fn far_call(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let to = far_pointer(cpu, bus, insn)?;
    cpu.far_call(bus, to)
}

fn far_return(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = match insn.code() {
        Code::Retfw | Code::Retfw_imm16 => Width::B2,
        Code::Retfd | Code::Retfd_imm16 => Width::B4,
        _ => Width::B8,
    };
    let release = if insn.op_count() > 0 { insn.immediate(0) } else { 0 };
    cpu.far_return(bus, width, release)
}

/// MOV to and from segment, control and debug registers.
fn mov(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 | Code::Mov_Sreg_r64m16 => move_to_segment,
        Code::Mov_rm16_Sreg | Code::Mov_r32m16_Sreg | Code::Mov_r64m16_Sreg => move_from_segment,
        Code::Mov_r32_cr | Code::Mov_r64_cr => move_from_control,
        Code::Mov_cr_r32 | Code::Mov_cr_r64 => move_to_control,
        Code::Mov_r32_dr | Code::Mov_r64_dr => move_from_debug,
        Code::Mov_dr_r32 | Code::Mov_dr_r64 => move_to_debug,
        _ => return None,
    })
}

fn segment_of(register: Register) -> Result<Seg, Fault> {
    Seg::from_iced(register).ok_or(Fault::UNDEFINED)
}

/// A load of SS by MOV or POP holds interrupts and debug exceptions off for one instruction; LSS needs not, as it loads
/// the pointer too.
fn load_with_shadow(cpu: &mut Cpu, bus: &mut dyn CpuBus, seg: Seg, selector: u16) -> Result<(), Fault> {
    cpu.load_segment(bus, seg, selector)?;
    if seg == Seg::Ss {
        cpu.shadow = Shadow::Debug;
        cpu.leave_after_instruction();
    }
    Ok(())
}

fn move_to_segment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let seg = segment_of(insn.op0_register())?;
    if seg == Seg::Cs {
        return Err(Fault::UNDEFINED);
    }
    let selector = cpu.read_operand(bus, insn, 1, Width::B2)?;
    load_with_shadow(cpu, bus, seg, selector as u16)
}

fn move_from_segment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let selector = cpu.reg(insn.op1_register());
    cpu.write_operand(bus, insn, 0, Width::B2, selector)
}

/// Width of a push or pop of a segment register.
fn stack_operand(insn: &Instruction) -> Width {
    Width::from_bytes(insn.stack_pointer_increment().unsigned_abs() as usize).unwrap_or(Width::B2)
}

fn push_segment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let selector = cpu.reg(insn.op0_register());
    cpu.push(bus, stack_operand(insn), selector)
}

fn pop_segment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let width = stack_operand(insn);
    let at = cpu.stack_offset(0);
    let selector = cpu.load(bus, Seg::Ss, at, width)? as u16;
    // The stack is the one in use before SS is loaded.
    let sp = cpu.stack_offset(width.bytes());
    let seg = segment_of(insn.op0_register())?;
    load_with_shadow(cpu, bus, seg, selector)?;
    cpu.set_stack_pointer(sp);
    Ok(())
}

fn load_far_pointer(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let seg = match insn.mnemonic() {
        Mnemonic::Lds => Seg::Ds,
        Mnemonic::Les => Seg::Es,
        Mnemonic::Lss => Seg::Ss,
        Mnemonic::Lfs => Seg::Fs,
        _ => Seg::Gs,
    };
    let pointer = pointer_in_memory(cpu, bus, insn)?;
    cpu.load_segment(bus, seg, pointer.selector.0)?;
    cpu.set_reg(insn.op0_register(), pointer.offset);
    Ok(())
}

fn push_flags(cpu: &mut Cpu, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
    if cpu.vm86() && cpu.iopl() < 3 {
        return Err(Fault::GP0);
    }
    let flags = cpu.rflags() & !(bit::VM | bit::RF);
    cpu.push(bus, width, flags & width.mask())
}

fn pop_flags(cpu: &mut Cpu, bus: &mut dyn CpuBus, width: Width) -> Result<(), Fault> {
    if cpu.vm86() && cpu.iopl() < 3 {
        return Err(Fault::GP0);
    }
    let value = cpu.pop(bus, width)?;
    // VIP and VIF are cleared rather than loaded (SDM vol. 2B, "POPF").
    let flags = cpu.loadable_flags(value & !(bit::VIF | bit::VIP), width, 0);
    cpu.set_rflags(flags);
    Ok(())
}

fn cli(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    interrupt_flag_allowed(cpu)?;
    cpu.system_flags &= !bit::IF;
    Ok(())
}

/// Interrupts stay off for one more instruction if they were off.
fn sti(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    interrupt_flag_allowed(cpu)?;
    if cpu.system_flags & bit::IF == 0 {
        cpu.system_flags |= bit::IF;
        cpu.shadow = Shadow::Interrupts;
        cpu.leave_after_instruction();
    }
    Ok(())
}

fn interrupt_flag_allowed(cpu: &Cpu) -> Result<(), Fault> {
    let real = cpu.cr0 & cr0::PE == 0;
    if real || cpu.cpl <= cpu.iopl() { Ok(()) } else { Err(Fault::GP0) }
}

fn set_ac(cpu: &mut Cpu, on: bool) -> Result<(), Fault> {
    if cpu.cpl != 0 {
        return Err(Fault::UNDEFINED);
    }
    let flags = cpu.rflags() & !bit::AC | if on { bit::AC } else { 0 };
    cpu.set_rflags(flags);
    Ok(())
}

fn halt(cpu: &mut Cpu, bus: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    cpu.activity = Activity::Halted;
    cpu.leave_after_instruction();
    let at = cpu.stamp();
    bus.trace(at, TraceEvent::CpuHalt { rip: cpu.rip });
    Ok(())
}

/// LGDT and LIDT: a 16-bit limit, then a base of 24, 32 or 64 bits.
fn load_table(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let wide = cpu.code_size() == CodeSize::Bits64;
    let (seg, at) = cpu.memory_operand(insn);
    let mut bytes = [0; 10];
    cpu.load_bytes(bus, seg, at, &mut bytes[..if wide { 10 } else { 6 }])?;
    let limit = u16::from_le_bytes([bytes[0], bytes[1]]);
    let mut base = [0; 8];
    base.copy_from_slice(&bytes[2..]);
    let mut base = u64::from_le_bytes(base);
    if matches!(insn.code(), Code::Lgdt_m1632_16 | Code::Lidt_m1632_16) {
        base &= 0xff_ffff;
    }
    if wide && !is_canonical(base) {
        return Err(Fault::GP0);
    }
    let table = TableRegister { base, limit };
    if insn.mnemonic() == Mnemonic::Lgdt {
        cpu.gdtr = table;
    } else {
        cpu.idtr = table;
    }
    Ok(())
}

fn store_table(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    prevented_for_users(cpu)?;
    let table = if insn.mnemonic() == Mnemonic::Sgdt { cpu.gdtr } else { cpu.idtr };
    let (seg, at) = cpu.memory_operand(insn);
    let mut bytes = [0; 10];
    bytes[..2].copy_from_slice(&table.limit.to_le_bytes());
    bytes[2..].copy_from_slice(&table.base.to_le_bytes());
    let len = if cpu.code_size() == CodeSize::Bits64 { 10 } else { 6 };
    let lin = cpu.linear(seg, at, len as u64, Intent::Write)?;
    // A word, then a base that wants a doubleword's boundary (SDM vol. 3A, 3.5.1).
    cpu.check_alignment(Lin(lin.0.wrapping_add(2)), 4)?;
    cpu.store_bytes_lin(bus, lin, &bytes[..len], cpu.data_context())
}

fn load_system_register(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    protected_only(cpu)?;
    privileged(cpu)?;
    let selector = cpu.read_operand(bus, insn, 0, Width::B2)? as u16;
    if insn.mnemonic() == Mnemonic::Lldt { cpu.load_ldtr(bus, selector) } else { cpu.load_tr(bus, selector) }
}

fn store_system_register(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    protected_only(cpu)?;
    prevented_for_users(cpu)?;
    let selector = if insn.mnemonic() == Mnemonic::Sldt { cpu.ldtr.selector } else { cpu.tr.selector };
    cpu.write_operand(bus, insn, 0, Width::B2, u64::from(selector))
}

fn set_zf(cpu: &mut Cpu, zf: bool) {
    let flags = cpu.rflags() & !bit::ZF | if zf { bit::ZF } else { 0 };
    cpu.set_rflags(flags);
}

fn look_at_descriptor(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    protected_only(cpu)?;
    let selector = cpu.read_operand(bus, insn, 1, Width::B2)? as u16;
    let found = if insn.mnemonic() == Mnemonic::Lar {
        cpu.access_rights(bus, selector)?
    } else {
        cpu.segment_limit(bus, selector)?
    };
    if let Some(value) = found {
        cpu.set_reg(insn.op0_register(), value);
    }
    set_zf(cpu, found.is_some());
    Ok(())
}

fn verify(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    protected_only(cpu)?;
    let selector = cpu.read_operand(bus, insn, 0, Width::B2)? as u16;
    let allowed = cpu.verify(bus, selector, insn.mnemonic() == Mnemonic::Verw)?;
    set_zf(cpu, allowed);
    Ok(())
}

fn arpl(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    protected_only(cpu)?;
    // Written only if it changes.
    let dest = cpu.read_operand(bus, insn, 0, Width::B2)?;
    let source = cpu.read_operand(bus, insn, 1, Width::B2)?;
    let raised = dest & 3 < source & 3;
    let selector = dest & !3 | source & 3;
    if raised && insn.op0_kind() == OpKind::Register {
        // With an operand size of 32 bits too, the rest of the register stays.
        cpu.set_gpr_part(gpr_index(insn.op0_register()) as u8, Width::B2, selector);
    } else if raised {
        cpu.write_operand(bus, insn, 0, Width::B2, selector)?;
    }
    set_zf(cpu, raised);
    Ok(())
}

fn move_from_control(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = match insn.op1_register() {
        Register::CR0 => cpu.cr0,
        Register::CR2 => cpu.cr2,
        Register::CR3 => cpu.cr3,
        Register::CR4 => cpu.cr4,
        Register::CR8 => bus.cr8(),
        _ => return Err(Fault::UNDEFINED),
    };
    cpu.set_reg(insn.op0_register(), value);
    Ok(())
}

fn move_to_control(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.reg(insn.op1_register());
    match insn.op0_register() {
        Register::CR0 => cpu.load_cr0(bus, value),
        Register::CR2 => {
            cpu.cr2 = value;
            Ok(())
        }
        Register::CR3 => cpu.load_cr3(bus, value),
        Register::CR4 => cpu.load_cr4(bus, value),
        Register::CR8 => {
            if value > 15 {
                return Err(Fault::GP0);
            }
            let at = cpu.stamp();
            bus.set_cr8(at, value);
            cpu.after_device_access(crate::time::VirtDuration::ZERO);
            Ok(())
        }
        _ => Err(Fault::UNDEFINED),
    }
}

/// DR4 and DR5 are DR6 and DR7 unless CR4.DE says that they don't exist.
fn debug_register(cpu: &mut Cpu, register: Register) -> Result<usize, Fault> {
    let number = register.number();
    if number > 7 || matches!(number, 4 | 5) && cpu.cr4 & cr4::DE != 0 {
        return Err(Fault::UNDEFINED);
    }
    privileged(cpu)?;
    if cpu.dr[7] & 1 << 13 != 0 {
        // General detect: BD says why.
        cpu.dr[6] |= 1 << 13;
        return Err(Fault::DEBUG);
    }
    Ok(if matches!(number, 4 | 5) { number + 2 } else { number })
}

fn move_from_debug(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let number = debug_register(cpu, insn.op1_register())?;
    cpu.set_reg(insn.op0_register(), cpu.dr[number]);
    Ok(())
}

fn move_to_debug(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let number = debug_register(cpu, insn.op0_register())?;
    let value = cpu.reg(insn.op1_register());
    if number >= 6 && value >> 32 != 0 {
        return Err(Fault::GP0);
    }
    cpu.dr[number] = match number {
        6 => value & 0xe00f | 0xffff_0ff0,
        7 => value & 0xffff_2fff | 0x400,
        _ => value,
    };
    cpu.update_watches();
    Ok(())
}

fn lmsw(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let value = cpu.read_operand(bus, insn, 0, Width::B2)?;
    // PE can be set but not cleared.
    let low = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    let new = cpu.cr0 & (!low | cr0::PE) | value & low;
    cpu.load_cr0(bus, new)
}

fn smsw(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    prevented_for_users(cpu)?;
    let value = cpu.cr0;
    if insn.op0_kind() == OpKind::Register {
        cpu.set_reg(insn.op0_register(), value & gpr_width(insn.op0_register()).mask());
        return Ok(());
    }
    cpu.write_operand(bus, insn, 0, Width::B2, value & 0xffff)
}

fn clts(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    cpu.cr0 &= !cr0::TS;
    Ok(())
}

fn invlpg(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let (seg, offset) = cpu.memory_operand(insn);
    let base = cpu.seg_base_if_used(seg);
    let lin = cpu.implicit(base.wrapping_add(offset));
    let pcid = cpu.pcid();
    cpu.mmu.flush_page(lin, pcid, true);
    Ok(())
}

fn invpcid(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let kind = cpu.reg(insn.op0_register());
    let (seg, at) = cpu.memory_operand(insn);
    let mut bytes = [0; 16];
    cpu.load_bytes(bus, seg, at, &mut bytes)?;
    let word = u128::from_le_bytes(bytes);
    let (descriptor, lin) = (word as u64, (word >> 64) as u64);
    let pcid = (descriptor & 0xfff) as u16;
    let no_pcids = cpu.cr4 & cr4::PCIDE == 0 && pcid != 0;
    if descriptor >> 12 != 0 || kind > 3 || kind < 2 && no_pcids || kind == 0 && !is_canonical(lin) {
        return Err(Fault::GP0);
    }
    match kind {
        0 => cpu.mmu.flush_page(Lin(lin), pcid, false),
        1 => cpu.mmu.flush_pcid(pcid),
        2 => cpu.mmu.flush_all(),
        _ => cpu.mmu.flush_non_global(),
    }
    Ok(())
}

/// EDX:EAX, upper halves cleared.
fn set_edx_eax(cpu: &mut Cpu, value: u64) {
    cpu.set_gpr(RAX, value & 0xffff_ffff);
    cpu.set_gpr(RDX, value >> 32);
}

fn rdmsr(cpu: &mut Cpu, bus: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let number = cpu.gpr(RCX) as u32;
    let value = cpu.read_msr(bus, number)?;
    set_edx_eax(cpu, value);
    Ok(())
}

fn wrmsr(cpu: &mut Cpu, bus: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    privileged(cpu)?;
    let number = cpu.gpr(RCX) as u32;
    let value = cpu.gpr(RDX) << 32 | cpu.gpr(RAX) & 0xffff_ffff;
    cpu.write_msr(bus, number, value)
}

fn rdtsc(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    if cpu.cpl != 0 && cpu.cr4 & cr4::TSD != 0 && cpu.cr0 & cr0::PE != 0 {
        return Err(Fault::GP0);
    }
    let tsc = cpu.tsc();
    set_edx_eax(cpu, tsc);
    if insn.mnemonic() == Mnemonic::Rdtscp {
        let aux = u64::from(cpu.msrs.tsc_aux);
        cpu.set_gpr(RCX, aux);
    }
    Ok(())
}

fn cpuid(cpu: &mut Cpu, _: &mut dyn CpuBus, _: &Instruction) -> Result<(), Fault> {
    let out = cpu.cpuid(cpu.gpr(RAX) as u32, cpu.gpr(RCX) as u32);
    for (register, value) in [RAX, RBX, RCX, RDX].into_iter().zip(out) {
        cpu.set_gpr(register, u64::from(value));
    }
    Ok(())
}

fn base_allowed(cpu: &Cpu) -> Result<(), Fault> {
    let allowed = cpu.cr4 & cr4::FSGSBASE != 0 && cpu.code_size() == CodeSize::Bits64;
    if allowed { Ok(()) } else { Err(Fault::UNDEFINED) }
}

fn read_base(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    base_allowed(cpu)?;
    let seg = if insn.mnemonic() == Mnemonic::Rdfsbase { Seg::Fs } else { Seg::Gs };
    let base = cpu.seg_base(seg);
    cpu.set_reg(insn.op0_register(), base);
    Ok(())
}

fn write_base(cpu: &mut Cpu, _: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    base_allowed(cpu)?;
    let base = cpu.reg(insn.op0_register());
    if !is_canonical(base) {
        return Err(Fault::GP0);
    }
    let seg = if insn.mnemonic() == Mnemonic::Wrfsbase { Seg::Fs } else { Seg::Gs };
    cpu.regs[seg.base_slot() as usize] = base;
    Ok(())
}
