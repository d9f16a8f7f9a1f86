//! The x87 unit itself: initialisation, control and status words, environment and whole state, WAIT. SDM vol. 1, 8.1.8-8.1.10; vol. 2A.

use super::Exec;
use crate::access::Width;
use crate::cpu::control::cr0;
use crate::cpu::mmu::Intent;
use crate::cpu::regs::RAX;
use crate::cpu::softfloat::{Extended, flag};
use crate::cpu::x87::X87;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::Wait => |cpu, _, _| wait(cpu),
        Mnemonic::Fninit => |cpu, _, _| quietly(cpu, X87::init),
        Mnemonic::Fnclex => |cpu, _, _| quietly(cpu, clear_exceptions),
        // Left from coprocessors of old; they do nothing.
        Mnemonic::Fneni | Mnemonic::Fndisi | Mnemonic::Fnsetpm => |cpu, _, _| quietly(cpu, |_| ()),
        Mnemonic::Fnstcw => store_control,
        Mnemonic::Fldcw => load_control,
        Mnemonic::Fnstsw => store_status,
        Mnemonic::Fnstenv => |cpu, bus, insn| store_environment(cpu, bus, insn),
        Mnemonic::Fldenv => |cpu, bus, insn| load_environment(cpu, bus, insn),
        Mnemonic::Fnsave => |cpu, bus, insn| save(cpu, bus, insn),
        Mnemonic::Frstor => |cpu, bus, insn| restore(cpu, bus, insn),
        _ => return None,
    })
}

/// WAIT looks at TS only if MP says so (SDM vol. 3A, table 2-2).
fn wait(cpu: &mut Cpu) -> Result<(), Fault> {
    if cpu.cr0 & (cr0::MP | cr0::TS) == cr0::MP | cr0::TS {
        return Err(Fault::DEVICE);
    }
    cpu.check_x87_exceptions()
}

/// A control instruction that waits for no exception.
fn quietly(cpu: &mut Cpu, change: fn(&mut X87)) -> Result<(), Fault> {
    cpu.check_x87_present()?;
    change(&mut cpu.x87);
    Ok(())
}

fn clear_exceptions(x87: &mut X87) {
    const CLEARED: u16 = 0x80ff;
    x87.set_status(x87.status & !CLEARED);
}

fn store_control(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87_present()?;
    let control = u64::from(cpu.x87.control);
    cpu.write_operand(bus, insn, 0, Width::B2, control)
}

fn load_control(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87()?;
    let control = cpu.read_operand(bus, insn, 0, Width::B2)?;
    cpu.x87.set_control(control as u16);
    Ok(())
}

fn store_status(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87_present()?;
    let status = u64::from(cpu.x87.status);
    if insn.op0_kind() == OpKind::Register {
        cpu.set_gpr_part(RAX, Width::B2, status);
        return Ok(());
    }
    cpu.write_operand(bus, insn, 0, Width::B2, status)
}

/// How an environment lies in memory (SDM vol. 1, figures 8-9 to 8-12).
#[derive(Clone, Copy)]
struct Layout {
    /// Seven fields of four bytes rather than two.
    wide: bool,
    /// Offsets and selectors rather than linear addresses.
    protected: bool,
}

const FIELDS: usize = 7;
/// Environment and eight registers of ten bytes.
const STATE_MAX: usize = 28 + 80;

impl Layout {
    fn of(cpu: &Cpu, insn: &Instruction) -> Self {
        let wide = matches!(
            insn.code(),
            Code::Fnstenv_m28byte | Code::Fldenv_m28byte | Code::Fnsave_m108byte | Code::Frstor_m108byte
        );
        Self { wide, protected: cpu.cr0 & cr0::PE != 0 }
    }

    const fn field_bytes(self) -> usize {
        if self.wide { 4 } else { 2 }
    }

    const fn environment_bytes(self) -> usize {
        FIELDS * self.field_bytes()
    }

    fn spell(self, x87: &X87) -> [u32; FIELDS] {
        let (ip, dp) = (x87.instruction as u32, x87.operand as u32);
        let opcode = u32::from(x87.opcode);
        let words = [x87.control, x87.status, x87.tag_word()].map(u32::from);
        let rest = match (self.protected, self.wide) {
            (true, true) => [ip, opcode << 16, dp, 0],
            (true, false) => [ip & 0xffff, 0, dp & 0xffff, 0],
            (false, true) => [ip & 0xffff, ip >> 16 << 12 | opcode, dp & 0xffff, dp >> 16 << 12],
            (false, false) => [ip & 0xffff, ip >> 16 << 12 | opcode, dp & 0xffff, dp >> 16 << 12],
        };
        // What is reserved in the wide form's words reads as ones.
        let ones = if self.wide { 0xffff_0000 } else { 0 };
        let last = if self.protected { rest[3] | ones } else { rest[3] };
        [words[0] | ones, words[1] | ones, words[2] | ones, rest[0], rest[1], rest[2], last]
    }

    fn take(self, fields: [u32; FIELDS], x87: &mut X87) {
        let [control, status, tags, ip, ip_more, dp, dp_more] = fields;
        let high = |more: u32| u64::from(more >> 12 & 0xffff) << 16;
        (x87.instruction, x87.operand) = match self.protected {
            true => (ip.into(), dp.into()),
            false => (u64::from(ip & 0xffff) | high(ip_more), u64::from(dp & 0xffff) | high(dp_more)),
        };
        x87.opcode = match (self.protected, self.wide) {
            (true, true) => (ip_more >> 16) as u16 & 0x7ff,
            (true, false) => 0,
            (false, _) => ip_more as u16 & 0x7ff,
        };
        x87.set_tag_word(tags as u16);
        x87.set_control(control as u16);
        x87.set_status(status as u16);
    }

    fn put_environment(self, x87: &X87, image: &mut [u8; STATE_MAX]) {
        for (field, place) in self.spell(x87).iter().zip(image.chunks_exact_mut(self.field_bytes())) {
            place.copy_from_slice(&field.to_le_bytes()[..self.field_bytes()]);
        }
    }

    fn get_environment(self, image: &[u8; STATE_MAX], x87: &mut X87) {
        let fields = std::array::from_fn(|n| {
            let mut bytes = [0; 4];
            let at = n * self.field_bytes();
            bytes[..self.field_bytes()].copy_from_slice(&image[at..at + self.field_bytes()]);
            u32::from_le_bytes(bytes)
        });
        self.take(fields, x87);
    }
}

/// Stores the first `len` bytes. Areas lie well on the size of a field (SDM vol. 3A, table 6-7).
fn store_area(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    layout: Layout,
    image: &[u8],
) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, image.len() as u64, Intent::Write)?;
    cpu.check_alignment(lin, layout.field_bytes() as u64)?;
    cpu.store_bytes_lin(bus, lin, image, cpu.data_context())
}

fn load_area(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    layout: Layout,
    image: &mut [u8],
) -> Result<(), Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, image.len() as u64, Intent::Read)?;
    cpu.check_alignment(lin, layout.field_bytes() as u64)?;
    cpu.load_bytes_lin(bus, lin, image, cpu.data_context())
}

/// FNSTENV masks all exceptions afterwards.
fn store_environment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87_present()?;
    let layout = Layout::of(cpu, insn);
    let mut image = [0; STATE_MAX];
    layout.put_environment(&cpu.x87, &mut image);
    store_area(cpu, bus, insn, layout, &image[..layout.environment_bytes()])?;
    let masked = cpu.x87.control | u16::from(flag::ALL);
    cpu.x87.set_control(masked);
    Ok(())
}

fn load_environment(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87()?;
    let layout = Layout::of(cpu, insn);
    let mut image = [0; STATE_MAX];
    load_area(cpu, bus, insn, layout, &mut image[..layout.environment_bytes()])?;
    layout.get_environment(&image, &mut cpu.x87);
    Ok(())
}

fn save(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87_present()?;
    let layout = Layout::of(cpu, insn);
    let mut image = [0; STATE_MAX];
    layout.put_environment(&cpu.x87, &mut image);
    let start = layout.environment_bytes();
    for (n, place) in image[start..start + 80].chunks_exact_mut(10).enumerate() {
        place.copy_from_slice(&cpu.x87.registers[cpu.x87.physical(n)].to_bytes());
    }
    store_area(cpu, bus, insn, layout, &image[..start + 80])?;
    cpu.x87.init();
    Ok(())
}

fn restore(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    cpu.check_x87()?;
    let layout = Layout::of(cpu, insn);
    let start = layout.environment_bytes();
    let mut image = [0; STATE_MAX];
    load_area(cpu, bus, insn, layout, &mut image[..start + 80])?;
    layout.get_environment(&image, &mut cpu.x87);
    for n in 0..8 {
        let physical = cpu.x87.physical(n);
        let bytes = std::array::from_fn(|at| image[start + 10 * n + at]);
        cpu.x87.registers[physical] = Extended::from_bytes(bytes);
    }
    Ok(())
}
