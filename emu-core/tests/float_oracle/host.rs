//! Runs programs on the host's processor, inside this process.
#![allow(unsafe_code, reason = "the host's processor is asked what an instruction does")]

use crate::area::{Area, Program, SLOT};
use std::io;
use std::ptr;

/// Programs, mapped so that they can be called.
pub(crate) struct Host {
    code: *mut u8,
    len: usize,
    programs: usize,
}

/// An area where a program may expect it.
#[repr(align(64))]
struct Aligned(Area);

impl Host {
    /// Writes the programs, and from then on only executes them.
    pub(crate) fn new(programs: &[Program]) -> io::Result<Self> {
        let len = programs.len() * SLOT;
        let (kind, writable) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::PROT_READ | libc::PROT_WRITE);
        // SAFETY: a new mapping, anywhere.
        let code = unsafe { libc::mmap(ptr::null_mut(), len, writable, kind, -1, 0) };
        if code == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let host = Self { code: code.cast(), len, programs: programs.len() };
        for (slot, program) in programs.iter().enumerate() {
            assert!(program.bytes.len() <= SLOT, "a program fits its slot");
            // SAFETY: the mapping has a slot for each program, and nobody else knows it yet.
            unsafe {
                let at = host.code.add(slot * SLOT);
                ptr::copy_nonoverlapping(program.bytes.as_ptr(), at, program.bytes.len());
            }
        }
        // SAFETY: the mapping is ours and this long.
        if unsafe { libc::mprotect(code, len, libc::PROT_READ | libc::PROT_EXEC) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(host)
    }

    /// Executes a program on an area.
    pub(crate) fn run(&self, program: usize, area: &mut Area) {
        assert!(program < self.programs, "one of the programs");
        let mut aligned = Aligned(*area);
        // SAFETY: the program lies in its slot, touches no memory but the area, changes only what a call may change, leaves
        // the x87 unit and MXCSR as a call must, and returns.
        unsafe {
            std::arch::asm!(
                "call {program}",
                program = in(reg) self.code.add(program * SLOT),
                in("rdi") aligned.0.as_mut_ptr(),
                clobber_abi("sysv64"),
            );
        }
        *area = aligned.0;
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and nothing runs in it any more.
        unsafe { libc::munmap(self.code.cast(), self.len) };
    }
}
