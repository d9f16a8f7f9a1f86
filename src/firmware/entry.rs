//! How a guest starts, as plain data.

use emu_core::Gpa;
use emu_core::cpu::Cpu;
use emu_core::cpu::control::{cr0, cr4, efer};
use emu_core::cpu::regs::{RBX, RSI, RSP, Seg, Segment, SystemSegment, TableRegister, rights};
use emu_core::mem::LOW_RAM_END;

/// The processor's state at a guest's first instruction; what is not named is as after reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// At the reset vector.
    Reset,
    /// 16-bit real mode, all segments alike.
    Real {
        /// Value of CS and the data segments.
        segment: u16,
        /// IP.
        ip: u16,
    },
    /// 32-bit protected mode without paging, flat segments.
    Protected {
        /// EIP.
        eip: u32,
        /// EAX: a loader's magic number.
        eax: u32,
        /// EBX: the loader's information.
        ebx: u32,
        /// ESP.
        esp: u32,
    },
    /// 64-bit mode with an identity mapping.
    Long {
        /// RIP.
        rip: u64,
        /// RSI: Linux's boot parameters.
        rsi: u64,
        /// RSP.
        rsp: u64,
        /// Page tables.
        cr3: Gpa,
        /// GDT with [`GDT`] in it.
        gdt: Gpa,
    },
}

/// Selector of the flat code segment.
const CODE: u16 = 0x10;
/// Of the flat data segment.
const DATA: u16 = 0x18;
/// Of the TSS.
const TSS: u16 = 0x20;

/// A GDT with flat 64-bit code and data where the Linux boot protocol wants them.
pub(super) const GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];

/// Present data, writable and accessed, flat.
const FLAT: u16 = rights::P | rights::S | rights::RW | rights::ACCESSED | rights::G;

fn segment(selector: u16, rights: u16) -> Segment {
    Segment { selector, limit: u32::MAX, rights, null: false }
}

impl Entry {
    /// Puts the processor there.
    pub fn apply(self, cpu: &mut Cpu) {
        if self != Self::Reset {
            cpu.set_memory_types(LOW_RAM_END);
        }
        match self {
            Self::Reset => {}
            Self::Real { segment: selector, ip } => {
                for seg in Seg::ALL {
                    let rights = cpu.seg(seg).rights;
                    let base = u64::from(selector) << 4;
                    cpu.set_seg(seg, base, Segment { rights, ..Segment::real(selector) });
                }
                cpu.set_rip(u64::from(ip));
            }
            Self::Protected { eip, eax, ebx, esp } => {
                cpu.set_control(cr0::PE, 0, 0, 0);
                flat_segments(cpu, rights::DB);
                cpu.set_gpr(0, u64::from(eax));
                cpu.set_gpr(RBX, u64::from(ebx));
                cpu.set_gpr(RSP, u64::from(esp));
                cpu.set_rip(u64::from(eip));
            }
            Self::Long { rip, rsi, rsp, cr3, gdt } => {
                let controls = cr0::PE | cr0::PG | cr0::NE;
                cpu.set_control(controls, cr3.0, cr4::PAE, efer::LME);
                flat_segments(cpu, rights::L);
                cpu.set_gdtr(TableRegister { base: gdt.0, limit: GDT.len() as u16 * 8 - 1 });
                cpu.set_gpr(RSI, rsi);
                cpu.set_gpr(RSP, rsp);
                cpu.set_rip(rip);
            }
        }
    }
}

fn flat_segments(cpu: &mut Cpu, code: u16) {
    for seg in Seg::ALL {
        let segment = match seg {
            Seg::Cs => segment(CODE, FLAT | rights::CODE | code),
            Seg::Es | Seg::Ss | Seg::Ds | Seg::Fs | Seg::Gs => segment(DATA, FLAT | rights::DB),
        };
        cpu.set_seg(seg, 0, segment);
    }
    // PVH asks for a busy 32-bit TSS at 0.
    cpu.set_tr(SystemSegment { selector: TSS, base: 0, limit: 0x67, rights: rights::P | 11, null: false });
}
