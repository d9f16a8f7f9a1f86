//! A guest whose memory is mapped by tables that tests write: one address with tables of its own, in each paging mode.
//! Nothing is tested here.

use super::CODE;
use super::guest::{Guest, INNER_STACK, Mode};
use crate::access::Width::{B4, B8};
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::regs::{RBX, RSP, TableRegister};
use crate::cpu::{CpuState, Fault};
use crate::trace::TraceEvent;

/// Bits of a paging-structure entry.
pub(super) const P: u64 = 1;
pub(super) const W: u64 = 2;
pub(super) const U: u64 = 4;
pub(super) const A: u64 = 1 << 5;
pub(super) const D: u64 = 1 << 6;
pub(super) const PS: u64 = 1 << 7;
pub(super) const G: u64 = 1 << 8;
pub(super) const XD: u64 = 1 << 63;
/// Present, writable, user.
pub(super) const ALL: u64 = P | W | U;

/// Bits of the error code: present, write, user, reserved, instruction.
pub(super) mod code {
    pub(in crate::cpu::tests) const P: u32 = 1;
    pub(in crate::cpu::tests) const W: u32 = 2;
    pub(in crate::cpu::tests) const U: u32 = 4;
    pub(in crate::cpu::tests) const R: u32 = 8;
    pub(in crate::cpu::tests) const I: u32 = 16;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paging {
    Legacy,
    Pae,
    FourLevel,
}

pub(super) const MODES: [Paging; 3] = [Paging::Legacy, Paging::Pae, Paging::FourLevel];

/// Tables that map the first megabytes onto themselves, and those of the tested address from the root's child down.
pub(super) const ROOT: u64 = 0x1000;
pub(super) const LOW: [u64; 3] = [0x2000, 0x3000, 0x4000];
pub(super) const TESTED: [u64; 3] = [0x7000, 0x6000, 0x5000];
/// What is mapped at the tested address: two pages.
pub(super) const TARGET: u64 = 0x60_0000;

impl Paging {
    /// An address whose tables are its own from the root on.
    pub(super) fn lin(self) -> u64 {
        match self {
            Self::Legacy => 0x40_0000,
            Self::Pae => 0x4000_0000,
            Self::FourLevel => 0x80_0000_0000,
        }
    }

    pub(super) fn entry_len(self) -> u64 {
        if self == Self::Legacy { 4 } else { 8 }
    }

    /// Where the entries of the tested address are, from the root to the leaf.
    pub(super) fn path(self) -> Vec<u64> {
        let [pdpt, directory, table] = TESTED;
        match self {
            Self::Legacy => vec![ROOT + 4, table],
            Self::Pae => vec![ROOT + 8, directory, table],
            Self::FourLevel => vec![ROOT + 8, pdpt, directory, table],
        }
    }

    /// A guest whose code page is a user page at CPL 3 and a supervisor page else.
    pub(super) fn guest(self, cpl: u8) -> Tested {
        let mode = if self == Self::FourLevel { Mode::Long } else { Mode::Protected32 };
        let mut guest = Guest::new(mode, cpl, &[]);
        guest.cpu.set_idtr(TableRegister { base: 0, limit: 0 });
        guest.bus.put(0x1000, &[0; 0x7000]);
        let rights = if cpl == 3 { ALL } else { P | W };
        let mut put = |at: u64, value: u64| {
            guest.bus.put(at, &value.to_le_bytes()[..self.entry_len() as usize]);
        };
        let [pdpt, directory, table] = LOW;
        let chain = match self {
            Self::Legacy => vec![(ROOT, table)],
            Self::Pae => vec![(ROOT, directory), (directory, table)],
            Self::FourLevel => vec![(ROOT, pdpt), (pdpt, directory), (directory, table)],
        };
        for (at, next) in chain {
            put(at, next | if self == Self::Pae && at == ROOT { P } else { ALL });
        }
        for page in 0..512 {
            put(table + page * self.entry_len(), page << 12 | rights);
        }
        let controls = cr0::PE | cr0::PG | cr0::WP | cr0::NE;
        let (cr4, efer) = match self {
            Self::Legacy => (0, 0),
            Self::Pae => (cr4::PAE, efer::NXE),
            Self::FourLevel => (cr4::PAE, efer::NXE | efer::LME),
        };
        guest.cpu.set_control(controls, ROOT, cr4, efer);
        guest.cpu.set_gpr(RBX, self.lin());
        guest.cpu.set_gpr(RSP, INNER_STACK[0]);
        let mut tested = Tested { paging: self, guest, state: None };
        tested.map(&vec![ALL; self.path().len()]);
        tested.state = Some(tested.guest.cpu.state());
        tested
    }
}

/// A guest, and its state before each access.
pub(super) struct Tested {
    pub(super) paging: Paging,
    pub(super) guest: Guest,
    state: Option<CpuState>,
}

impl Tested {
    /// Writes the tested address's entries, given the bits that are not addresses, from the root to the leaf.
    pub(super) fn map(&mut self, bits: &[u64]) {
        let path = self.paging.path();
        for (depth, (at, bits)) in path.iter().zip(bits).enumerate() {
            let next = path.get(depth + 1).map_or(TARGET, |next| next & !0xfff);
            // The entries of PAE's root have few bits.
            let bits = if self.paging == Paging::Pae && depth == 0 { bits & !(W | U) } else { *bits };
            self.entry(*at, next | bits);
        }
        let leaf = path[path.len() - 1];
        let bits = bits[bits.len() - 1];
        self.entry(leaf + self.paging.entry_len(), (TARGET + 0x1000) | bits);
        self.guest.cpu.set_control_again();
        self.load_pdptes();
    }

    pub(super) fn entry(&mut self, at: u64, value: u64) {
        let len = self.paging.entry_len() as usize;
        self.guest.bus.put(at, &value.to_le_bytes()[..len]);
    }

    /// As a load of CR3 does.
    pub(super) fn load_pdptes(&mut self) {
        if self.paging == Paging::Pae {
            let cr3 = self.guest.cpu.control()[2];
            self.guest.cpu.load_pdptes(&self.guest.bus, cr3).unwrap();
        }
    }

    /// The entries of the tested address now.
    pub(super) fn entries(&self) -> Vec<u64> {
        let width = if self.paging == Paging::Legacy { B4 } else { B8 };
        self.paging.path().iter().map(|at| self.guest.read(*at, width)).collect()
    }

    /// Executes instructions at [`CODE`] and then turns on the spot; the first exception. So far from the limit nothing is
    /// stepped: accesses go by the TLB's tags if they may.
    pub(super) fn exec(&mut self, program: &[u8]) -> Option<Fault> {
        self.exec_for(program, 400)
    }

    /// Likewise, of `insns` instructions.
    pub(super) fn exec_for(&mut self, program: &[u8], insns: u64) -> Option<Fault> {
        let mut bytes = program.to_vec();
        bytes.extend([0x90, 0xeb, 0xfe]);
        self.guest.bus.put(CODE, &bytes);
        self.guest.cpu.set_rip(CODE);
        self.guest.bus.records.clear();
        self.guest.run(insns);
        self.guest.bus.records.iter().find_map(|(_, event)| match *event {
            TraceEvent::CpuException { vector, error, address, .. } => Some(Fault { vector, error, address }),
            _ => None,
        })
    }

    /// Puts the processor back as it was, under these controls.
    pub(super) fn rewind(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.state.clone().unwrap();
        change(&mut state);
        self.guest.cpu.restore(state).unwrap();
        self.load_pdptes();
    }
}

impl crate::cpu::Cpu {
    /// Drops all translations.
    pub(super) fn set_control_again(&mut self) {
        let [cr0, _, cr3, cr4, efer] = self.control();
        self.set_control(cr0, cr3, cr4, efer);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
    Fetch,
}

impl Access {
    pub(super) fn program(self) -> &'static [u8] {
        match self {
            // mov al, [rbx] ; mov [rbx], al ; jmp rbx
            Self::Read => &[0x8a, 0x03],
            Self::Write => &[0x88, 0x03],
            Self::Fetch => &[0xff, 0xe3],
        }
    }
}

/// MOV of RAX to control registers.
pub(super) const MOV_CR0: &[u8] = &[0x0f, 0x22, 0xc0];
pub(super) const MOV_CR3: &[u8] = &[0x0f, 0x22, 0xd8];
pub(super) const MOV_CR4: &[u8] = &[0x0f, 0x22, 0xe0];
