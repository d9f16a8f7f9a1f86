//! XSAVE and its relatives: state by components, in the standard and in the compacted form, and XCR0, which says which there are.
//! SDM vol. 1, chapter 13; vol. 2.
//!
//! Whether a component is in use is told by what is in it, so the initial state is never saved where the manual lets it be left
//! out. What was not modified since the last restore is saved all the same.

use super::Exec;
use super::sse_state::{MXCSR_MASK, area, get, put, restored_x87, save_x87};
use super::system::privileged;
use crate::cpu::control::{cr0, cr4};
use crate::cpu::mmu::Intent;
use crate::cpu::regs::{RAX, RCX, RDX};
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault, X87};
use iced_x86::{Code, Instruction};

/// Components, at their bits of XCR0.
pub(in crate::cpu) mod component {
    pub(in crate::cpu) const X87: u64 = 1 << 0;
    pub(in crate::cpu) const SSE: u64 = 1 << 1;
    /// The upper halves of the YMM registers.
    pub(in crate::cpu) const AVX: u64 = 1 << 2;
}

/// Legacy area and header.
const EXTENDED: usize = 576;
/// Upper halves of sixteen registers.
const AVX_LEN: usize = 256;
const AREA_MAX: usize = EXTENDED + AVX_LEN;
/// In the header: which components are not in their initial state, and which form the area has.
const XSTATE_BV: usize = 512;
const XCOMP_BV: usize = 520;
const HEADER_END: usize = 576;
/// XCOMP_BV bit 63: compacted.
const COMPACTED: u64 = 1 << 63;
const MXCSR_INIT: u32 = 0x1f80;

pub(super) fn lookup(code: Code) -> Option<Exec> {
    Some(match code {
        Code::Xsave_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Standard, false),
        Code::Xsave64_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Standard, true),
        Code::Xsaveopt_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Optimized, false),
        Code::Xsaveopt64_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Optimized, true),
        Code::Xsavec_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Compacted, false),
        Code::Xsavec64_mem => |cpu, bus, insn| save(cpu, bus, insn, Form::Compacted, true),
        Code::Xsaves_mem => {
            |cpu, bus, insn| supervisor(cpu, bus, insn, |c, b, i| save(c, b, i, Form::Compacted, false))
        }
        Code::Xsaves64_mem => {
            |cpu, bus, insn| supervisor(cpu, bus, insn, |c, b, i| save(c, b, i, Form::Compacted, true))
        }
        Code::Xrstor_mem => |cpu, bus, insn| restore(cpu, bus, insn, false, false),
        Code::Xrstor64_mem => |cpu, bus, insn| restore(cpu, bus, insn, true, false),
        Code::Xrstors_mem => {
            |cpu, bus, insn| supervisor(cpu, bus, insn, |c, b, i| restore(c, b, i, false, true))
        }
        Code::Xrstors64_mem => {
            |cpu, bus, insn| supervisor(cpu, bus, insn, |c, b, i| restore(c, b, i, true, true))
        }
        Code::Xgetbv => |cpu, _, _| get_control(cpu),
        Code::Xsetbv => |cpu, _, _| set_control(cpu),
        _ => return None,
    })
}

/// How an area is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Every component at its place.
    Standard,
    /// The same without those in their initial state.
    Optimized,
    /// One behind the other, without those in their initial state.
    Compacted,
}

/// XSAVES and XRSTORS are for the system alone.
fn supervisor(cpu: &mut Cpu, bus: &mut dyn CpuBus, insn: &Instruction, body: Exec) -> Result<(), Fault> {
    check(cpu)?;
    privileged(cpu)?;
    body(cpu, bus, insn)
}

/// #UD unless the system has said that it knows XSAVE, #NM while the registers are another task's.
fn check(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Fault::UNDEFINED);
    }
    if cpu.cr0 & cr0::TS != 0 { Err(Fault::DEVICE) } else { Ok(()) }
}

impl Cpu {
    /// Components that there are.
    pub(in crate::cpu) fn xcr0_supported(&self) -> u64 {
        let avx = if self.config.cpuid.has("avx") { component::AVX } else { 0 };
        component::X87 | component::SSE | avx
    }

    /// Length of the standard form's area for these components.
    pub(in crate::cpu) fn xsave_len(components: u64) -> usize {
        if components & component::AVX != 0 { AREA_MAX } else { EXTENDED }
    }

    /// Components that are not in their initial state.
    fn components_in_use(&self) -> u64 {
        let mut initial = self.x87;
        initial.init();
        initial.registers = [Default::default(); 8];
        let in_use = |used: bool, component: u64| if used { component } else { 0 };
        let ymm = &self.vectors.ymm[..self.vector_registers()];
        in_use(self.x87 != initial, component::X87)
            | in_use(ymm.iter().any(|ymm| ymm[0] | ymm[1] != 0), component::SSE)
            | in_use(ymm.iter().any(|ymm| ymm[2] | ymm[3] != 0), component::AVX)
    }

    /// Vector registers that can be reached.
    fn vector_registers(&self) -> usize {
        if self.code_size() == CodeSize::Bits64 { 16 } else { 8 }
    }

    /// The components that EDX:EAX asks for, among those that XCR0 allows.
    fn requested_components(&self) -> u64 {
        self.xcr0 & ((self.gpr(RDX) & 0xffff_ffff) << 32 | self.gpr(RAX) & 0xffff_ffff)
    }
}

/// Checks the area's alignment; answers its linear address.
fn area_of(cpu: &Cpu, insn: &Instruction, len: usize, intent: Intent) -> Result<crate::addr::Lin, Fault> {
    let (seg, at) = cpu.memory_operand(insn);
    let lin = cpu.linear(seg, at, len as u64, intent)?;
    if lin.0.is_multiple_of(64) { Ok(lin) } else { Err(Fault::GP0) }
}

fn save(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    form: Form,
    wide: bool,
) -> Result<(), Fault> {
    check(cpu)?;
    let requested = cpu.requested_components();
    let len = Cpu::xsave_len(requested);
    let lin = area_of(cpu, insn, len, Intent::Write)?;
    let context = cpu.data_context();
    cpu.probe(bus, lin, len as u64, Intent::Write, context)?;
    // What is not written stays: the area as it is, changed, is what is stored.
    let mut image = [0; AREA_MAX];
    cpu.load_bytes_lin(bus, lin, &mut image[..len], context)?;
    let in_use = cpu.components_in_use();
    let has_mxcsr = cpu.vectors.mxcsr != MXCSR_INIT;
    let (written, state) = match form {
        Form::Standard => {
            (requested, u64::from_le_bytes(at(&image, XSTATE_BV)) & !requested | requested & in_use)
        }
        Form::Optimized => {
            (requested & in_use, u64::from_le_bytes(at(&image, XSTATE_BV)) & !requested | requested & in_use)
        }
        Form::Compacted => {
            let sse = if has_mxcsr { component::SSE } else { 0 };
            let saved = requested & (in_use | sse);
            (saved, saved)
        }
    };
    write_components(cpu, &mut image, written, wide);
    let mxcsr = match form {
        Form::Standard | Form::Optimized => requested & (component::SSE | component::AVX) != 0,
        Form::Compacted => written & component::SSE != 0,
    };
    if mxcsr {
        image[area::MXCSR..area::MXCSR + 4].copy_from_slice(&cpu.vectors.mxcsr.to_le_bytes());
        image[area::MXCSR_MASK..area::MXCSR_MASK + 4].copy_from_slice(&MXCSR_MASK.to_le_bytes());
    }
    image[XSTATE_BV..XSTATE_BV + 8].copy_from_slice(&state.to_le_bytes());
    if form == Form::Compacted {
        image[XCOMP_BV..XCOMP_BV + 8].copy_from_slice(&(requested | COMPACTED).to_le_bytes());
    }
    cpu.store_bytes_lin(bus, lin, &image[..len], context)
}

fn at<const N: usize>(image: &[u8; AREA_MAX], start: usize) -> [u8; N] {
    std::array::from_fn(|n| image[start + n])
}

/// The only component beyond the legacy area comes first there in both forms.
fn write_components(cpu: &Cpu, image: &mut [u8; AREA_MAX], components: u64, wide: bool) {
    let mut legacy: [u8; area::LEN] = at(image, 0);
    if components & component::X87 != 0 {
        save_x87(&cpu.x87, &mut legacy, wide);
    }
    for (n, ymm) in cpu.vectors.ymm.iter().take(cpu.vector_registers()).enumerate() {
        if components & component::SSE != 0 {
            put(&mut legacy, area::XMM + 16 * n, ymm[0].to_le_bytes());
            put(&mut legacy, area::XMM + 16 * n + 8, ymm[1].to_le_bytes());
        }
        if components & component::AVX != 0 {
            let start = EXTENDED + 16 * n;
            image[start..start + 8].copy_from_slice(&ymm[2].to_le_bytes());
            image[start + 8..start + 16].copy_from_slice(&ymm[3].to_le_bytes());
        }
    }
    image[..area::LEN].copy_from_slice(&legacy);
}

/// What the header says, if it may say so (SDM vol. 1, 13.8, 13.12).
struct Header {
    state: u64,
    compacted: bool,
}

impl Header {
    fn read(cpu: &Cpu, image: &[u8; AREA_MAX], must_be_compacted: bool) -> Result<Self, Fault> {
        let state = u64::from_le_bytes(at(image, XSTATE_BV));
        let form = u64::from_le_bytes(at(image, XCOMP_BV));
        let compacted = form & COMPACTED != 0;
        let reserved = if compacted { XCOMP_BV + 8..HEADER_END } else { XCOMP_BV..XCOMP_BV + 16 };
        let layout = if compacted { form & !COMPACTED } else { cpu.xcr0 };
        let valid = layout & !cpu.xcr0 == 0
            && state & !layout == 0
            && image[reserved].iter().all(|byte| *byte == 0)
            && (compacted || !must_be_compacted);
        if valid { Ok(Self { state, compacted }) } else { Err(Fault::GP0) }
    }
}

fn restore(
    cpu: &mut Cpu,
    bus: &mut dyn CpuBus,
    insn: &Instruction,
    wide: bool,
    must_be_compacted: bool,
) -> Result<(), Fault> {
    check(cpu)?;
    let requested = cpu.requested_components();
    let len = Cpu::xsave_len(requested);
    let lin = area_of(cpu, insn, len, Intent::Read)?;
    let mut image = [0; AREA_MAX];
    cpu.load_bytes_lin(bus, lin, &mut image[..len], cpu.data_context())?;
    let header = Header::read(cpu, &image, must_be_compacted)?;
    let legacy: [u8; area::LEN] = at(&image, 0);
    let stored = u32::from_le_bytes(get(&legacy, area::MXCSR));
    // The standard form's MXCSR counts whatever the header says of SSE.
    let vectors = requested & (component::SSE | component::AVX);
    let mxcsr = match (header.compacted, requested & component::SSE != 0) {
        (false, _) if vectors != 0 => Some(stored),
        (true, true) if header.state & component::SSE != 0 => Some(stored),
        (true, true) => Some(MXCSR_INIT),
        _ => None,
    };
    if mxcsr.is_some_and(|value| value & !MXCSR_MASK != 0) {
        return Err(Fault::GP0);
    }
    cpu.vectors.mxcsr = mxcsr.unwrap_or(cpu.vectors.mxcsr);
    if requested & component::X87 != 0 {
        cpu.x87 =
            if header.state & component::X87 != 0 { restored_x87(&legacy, wide) } else { initial_x87() };
    }
    let count = cpu.vector_registers();
    for (n, ymm) in cpu.vectors.ymm.iter_mut().take(count).enumerate() {
        let loaded = |component: u64, start: usize| {
            if header.state & component != 0 { u64::from_le_bytes(at(&image, start)) } else { 0 }
        };
        if requested & component::SSE != 0 {
            ymm[0] = loaded(component::SSE, area::XMM + 16 * n);
            ymm[1] = loaded(component::SSE, area::XMM + 16 * n + 8);
        }
        if requested & component::AVX != 0 {
            ymm[2] = loaded(component::AVX, EXTENDED + 16 * n);
            ymm[3] = loaded(component::AVX, EXTENDED + 16 * n + 8);
        }
    }
    Ok(())
}

/// The initial state of the x87 component, registers and all.
fn initial_x87() -> X87 {
    let mut x87 = X87::RESET;
    x87.init();
    x87
}

fn get_control(cpu: &mut Cpu) -> Result<(), Fault> {
    if cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Fault::UNDEFINED);
    }
    let value = match cpu.gpr(RCX) as u32 {
        0 => cpu.xcr0,
        1 => cpu.xcr0 & cpu.components_in_use(),
        _ => return Err(Fault::GP0),
    };
    cpu.set_gpr(RAX, value & 0xffff_ffff);
    cpu.set_gpr(RDX, value >> 32);
    Ok(())
}

fn set_control(cpu: &mut Cpu) -> Result<(), Fault> {
    if cpu.cr4 & cr4::OSXSAVE == 0 {
        return Err(Fault::UNDEFINED);
    }
    privileged(cpu)?;
    let value = (cpu.gpr(RDX) & 0xffff_ffff) << 32 | cpu.gpr(RAX) & 0xffff_ffff;
    let lacks_sse = value & component::AVX != 0 && value & component::SSE == 0;
    let valid = value & component::X87 != 0 && value & !cpu.xcr0_supported() == 0 && !lacks_sse;
    if cpu.gpr(RCX) as u32 != 0 || !valid {
        return Err(Fault::GP0);
    }
    cpu.xcr0 = value;
    Ok(())
}
