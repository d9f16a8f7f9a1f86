//! What all x87 instructions share: when they may run at all, stack faults, exception flags, where the last one was.
//! SDM vol. 1, 8.4-8.7.
//!
//! With CR0.NE clear an exception would reach the system by FERR# and the 8259s; that pin is not wired, and waiting
//! exceptions are passed over as if IGNNE# were asserted.

use crate::cpu::control::cr0;
use crate::cpu::softfloat::{Env, Extended, F32, F64, F80, Format, Unpacked, flag};
use crate::cpu::x87::{X87, status};
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Instruction, MemorySize, OpKind, Register};

use super::operand_width;

/// Bytes of an instruction at most.
const INSN_MAX: usize = 15;

/// What an instruction does once it may.
pub(super) type Body = fn(&mut Cpu, &mut dyn CpuBus, &Instruction) -> Result<(), Fault>;

/// An instruction that computes or moves, with what comes before and after.
macro_rules! x87 {
    ($body:expr) => {
        |cpu, bus, insn| $crate::cpu::exec::x87::execute(cpu, bus, insn, $body)
    };
}
pub(super) use x87;

/// Runs a waiting, non-control instruction.
pub(super) fn execute(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    body: Body,
) -> Result<(), Fault> {
    cpu.check_x87()?;
    body(cpu, bus, insn)?;
    cpu.x87.instruction = cpu.rip();
    if cpu.x87.waits() {
        cpu.x87.opcode = opcode(cpu, bus, insn)?;
        if insn.op0_kind() == OpKind::Memory {
            cpu.x87.operand = cpu.memory_operand(insn).1;
        }
    }
    Ok(())
}

/// The low bits of the escape byte, and the byte behind it: as they stand in memory, because an address can be encoded in several ways.
fn opcode(cpu: &Cpu, bus: &dyn CpuBus, insn: &Instruction) -> Result<u16, Fault> {
    let mut bytes = [0; INSN_MAX];
    cpu.fetched(bus, cpu.fetch_address()?, &mut bytes[..insn.len()]);
    // No prefix looks like an escape.
    let escape = bytes.iter().position(|byte| byte & 0xf8 == 0xd8);
    let pair = escape.and_then(|at| bytes.get(at..at + 2));
    Ok(pair.map_or(0, |pair| u16::from(pair[0] & 7) << 8 | u16::from(pair[1])))
}

impl Cpu {
    /// #NM while the registers are not to be touched.
    pub(super) fn check_x87_present(&self) -> Result<(), Fault> {
        if self.cr0 & (cr0::EM | cr0::TS) != 0 { Err(Fault::DEVICE) } else { Ok(()) }
    }

    /// #MF if an exception waits.
    pub(super) fn check_x87_exceptions(&self) -> Result<(), Fault> {
        if self.x87.waits() && self.cr0 & cr0::NE != 0 { Err(Fault::X87) } else { Ok(()) }
    }

    /// Both, in their order.
    pub(super) fn check_x87(&self) -> Result<(), Fault> {
        self.check_x87_present()?;
        self.check_x87_exceptions()
    }

    /// The environment of an operation.
    pub(super) fn x87_env(&self) -> Env {
        Env::from_control_word(self.x87.control)
    }

    /// The floating-point or integer memory operand, taken apart exactly.
    pub(super) fn x87_memory(&mut self, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<Unpacked, Fault> {
        let bits = self.read_operand(bus, insn, 0, operand_width(insn, 0))?;
        Ok(match insn.memory_size() {
            MemorySize::Float32 => F32::unpack(bits),
            MemorySize::Float64 => F64::unpack(bits),
            MemorySize::Int16 => Unpacked::integer(i64::from(bits as i16)),
            MemorySize::Int32 => Unpacked::integer(i64::from(bits as i32)),
            _ => Unpacked::integer(bits as i64),
        })
    }
}

/// Which ST(i) a register is.
pub(super) fn index(register: Register) -> usize {
    register as usize - Register::ST0 as usize
}

impl X87 {
    /// Sets the flags that an operation reports, and C1 if it rounded up.
    pub(super) fn report(&mut self, env: &Env) {
        let reported = env.reported();
        self.set_condition(status::C1, env.rounded_up && reported & flag::INEXACT != 0);
        self.raise(u16::from(reported));
    }

    /// Reports an operation; gives its result unless an unmasked exception came before it.
    pub(super) fn finish<T>(&mut self, env: &Env, result: T) -> Option<T> {
        self.report(env);
        (!env.stops_before()).then_some(result)
    }

    /// An empty register was to be read. Gives what stands for its value if that is masked.
    pub(super) fn underflow(&mut self) -> Option<Extended> {
        self.stack_fault(false)
    }

    fn stack_fault(&mut self, overflow: bool) -> Option<Extended> {
        self.set_condition(status::C1, overflow);
        self.raise(status::SF | u16::from(flag::INVALID));
        self.masks_invalid().then(F80::indefinite)
    }

    /// Whether there is room for one more.
    pub(super) fn has_room(&self) -> bool {
        self.get(7).is_none()
    }

    /// Pushes what `value` gives, or what stands for it if there is no room.
    pub(super) fn push_if_room(&mut self, value: impl FnOnce(&mut Self) -> Option<Extended>) {
        let value = if self.has_room() { value(self) } else { self.stack_fault(true) };
        if let Some(value) = value {
            self.push(value);
        }
    }

    /// Puts a result into ST(`n`), if there is one, and then pops if asked.
    pub(super) fn put(&mut self, n: usize, result: Option<Extended>, pop: bool) {
        if let Some(result) = result {
            self.set(n, result);
            if pop {
                self.pop();
            }
        }
    }
}
