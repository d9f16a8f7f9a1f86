//! IN and OUT. SDM vol. 2.

use super::{Exec, gpr_width};
use crate::access::Width;
use crate::cpu::regs::RAX;
use crate::cpu::{Cpu, CpuBus, Fault};
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code.mnemonic() {
        Mnemonic::In => input,
        Mnemonic::Out => output,
        _ => return None,
    })
}

/// The port: an immediate byte, or DX.
fn port(cpu: &Cpu, insn: &Instruction, n: u32) -> u16 {
    if insn.op_kind(n) == OpKind::Register {
        cpu.reg(insn.op_register(n)) as u16
    } else {
        u16::from(insn.immediate8())
    }
}

fn input(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (port, width) = (port(cpu, insn, 1), gpr_width(insn.op0_register()));
    cpu.check_io(bus, port, width)?;
    let value = cpu.port_in(bus, port, width);
    cpu.set_gpr_part(RAX, width, value);
    Ok(())
}

fn output(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction) -> Result<(), Fault> {
    let (port, width) = (port(cpu, insn, 0), gpr_width(insn.op1_register()));
    cpu.check_io(bus, port, width)?;
    let value = cpu.reg(insn.op1_register());
    cpu.port_out(bus, port, width, value);
    Ok(())
}

impl Cpu {
    /// Reads ports; permission is checked.
    pub(super) fn port_in(&mut self, bus: &mut dyn CpuBus, port: u16, width: Width) -> u64 {
        let at = self.stamp();
        let reply = bus.port_read(at, port, width);
        self.watch_ports(port, width);
        self.heed_watches(bus);
        self.after_device_access(reply.cost);
        reply.value & width.mask()
    }

    /// Writes ports; permission is checked.
    pub(super) fn port_out(&mut self, bus: &mut dyn CpuBus, port: u16, width: Width, value: u64) {
        let at = self.stamp();
        let reply = bus.port_write(at, port, width, (value & width.mask()) as u32);
        self.watch_ports(port, width);
        self.heed_watches(bus);
        self.after_device_access(reply.cost);
    }
}
