//! What a debugger may read and change of a machine that stands still. Reading changes nothing that the guest or the trace could
//! tell, which is why device registers can't be read here: they have side effects. A change makes another run of it.

use super::{FrameChange, Machine, Stop};
use emu_core::cpu::{CpuRestoreError, CpuState};
use emu_core::{Gpa, Lin, PAGE_SIZE};

/// Why something can't be read or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TouchError {
    /// Nothing is mapped there, or no memory answers.
    #[error("no memory at {0:#x}")]
    NoMemory(u64),
    /// The processor can't have such registers.
    #[error("{0}")]
    Registers(#[from] CpuRestoreError),
}

impl Machine {
    /// The processor's registers.
    #[must_use]
    pub fn registers(&self) -> CpuState {
        self.cpu.state()
    }

    /// CR8, which is the local APIC's.
    #[must_use]
    pub fn cr8(&self) -> u64 {
        emu_core::cpu::CpuBus::cr8(&self.platform)
    }

    /// The linear address of the next instruction.
    #[must_use]
    pub fn linear_rip(&self) -> u64 {
        self.cpu.linear_rip()
    }

    /// Changes registers. Translations are dropped if what they depend on is changed.
    pub fn set_registers(&mut self, mut state: CpuState) -> Result<(), TouchError> {
        let [cr0, _, cr3, cr4, efer] = self.cpu.control();
        if [state.cr0, state.cr3, state.cr4, state.efer] != [cr0, cr3, cr4, efer] {
            state.tlb.data.clear();
            state.tlb.code.clear();
            state.tlb.code_page = None;
        }
        let before = self.cpu.state();
        self.cpu.rewind(state).or_else(|error| {
            self.cpu.rewind(before)?;
            Err(error)
        })?;
        Ok(())
    }

    /// Reads memory at a linear address as the processor's page tables map it; answers how many bytes could be read.
    pub fn peek(&self, from: Lin, buf: &mut [u8]) -> usize {
        self.pieces(from, buf.len(), |at, gpa, len| {
            let there = self.platform.board.mem.read(gpa, &mut buf[at..at + len]);
            there.is_ok()
        })
    }

    /// Reads physical memory; answers how many bytes could be read.
    pub fn peek_physical(&self, from: Gpa, buf: &mut [u8]) -> usize {
        let mut done = 0;
        while done < buf.len() {
            let at = from.plus(done as u64);
            let len = ((PAGE_SIZE - at.page_offset()) as usize).min(buf.len() - done);
            if self.platform.board.mem.read(at, &mut buf[done..done + len]).is_err() {
                break;
            }
            done += len;
        }
        done
    }

    /// Changes memory at a linear address, read-only pages as well.
    pub fn poke(&mut self, to: Lin, bytes: &[u8]) -> Result<(), TouchError> {
        let mut pieces = Vec::new();
        let done = self.pieces(to, bytes.len(), |at, gpa, len| {
            pieces.push((at, gpa, len));
            true
        });
        if done < bytes.len() {
            return Err(TouchError::NoMemory(to.0 + done as u64));
        }
        pieces.into_iter().try_for_each(|(at, gpa, len)| self.poke_physical(gpa, &bytes[at..at + len]))
    }

    /// Changes physical memory.
    pub fn poke_physical(&mut self, to: Gpa, bytes: &[u8]) -> Result<(), TouchError> {
        self.platform.board.mem.write(to, bytes).map_err(|_| TouchError::NoMemory(to.0))
    }

    /// Calls `with` for each piece of a linear range: its place in the range, its physical address, its length. Ends where nothing
    /// is mapped or `with` says no; answers how many bytes there were until then.
    fn pieces(&self, from: Lin, len: usize, mut with: impl FnMut(usize, Gpa, usize) -> bool) -> usize {
        let mut done = 0;
        while done < len {
            let at = Lin(from.0.wrapping_add(done as u64));
            let piece = ((PAGE_SIZE - at.page_offset()) as usize).min(len - done);
            match self.translate(at) {
                Some(gpa) if with(done, gpa, piece) => done += piece,
                _ => break,
            }
        }
        done
    }

    /// RDRAND and RDSEED follow from another seed from now on.
    pub fn set_seed(&mut self, seed: u64) {
        self.cpu.set_seed(seed);
    }

    /// One frame, counting from 0, is going to arrive otherwise than it was sent.
    pub fn change_frame(&mut self, change: Option<(u64, FrameChange)>) {
        self.platform.changed_frame = change;
    }

    /// Whether the run is over, and how.
    #[must_use]
    pub fn ended(&self) -> Option<&Stop> {
        self.platform.stop.as_ref()
    }
}
