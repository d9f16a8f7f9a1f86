//! Breakpoints and traps by the debug registers. SDM vol. 3B, chapter 18.2.

use crate::cpu::regs::Seg;
use crate::cpu::{CodeSize, Cpu};

impl Cpu {
    /// Whether an enabled instruction breakpoint is set at the instruction about to be executed; DR6 says which.
    pub(crate) fn instruction_breakpoint(&mut self) -> bool {
        let lin = if self.code_size() == CodeSize::Bits64 {
            self.rip
        } else {
            self.seg_base(Seg::Cs).wrapping_add(self.rip) & 0xffff_ffff
        };
        let mut hit = 0;
        for n in 0..4 {
            let enabled = self.dr[7] >> (2 * n) & 3 != 0;
            let on_execution = self.dr[7] >> (16 + 4 * n) & 3 == 0;
            if enabled && on_execution && self.dr[n] == lin {
                hit |= 1 << n;
            }
        }
        if hit != 0 {
            self.dr[6] = self.dr[6] & !0xf | hit;
        }
        hit != 0
    }
}
