//! The end: what the run amounted to, told to the machine.
//!
//! Port 0xf4 is the isa-debug-exit convention (QEMU hw/misc/debugexit.c): a write of `v` ends the machine
//! with status `v << 1 | 1`. Where there is no such port, the power goes off by ACPI (S5 through PM1a_CNT,
//! ACPI 6.4, 4.8.3.2.1) where QEMU has it.

use crate::console;
use crate::cpu::{halt_forever, outb, outw};
use crate::log;
use core::panic::PanicInfo;

const DEBUG_EXIT: u16 = 0xf4;
const PM1A_CNT: u16 = 0x604;
const PM1_CNT_SLP_EN: u16 = 1 << 13;

/// What the guest ends with; the number is the value written to port 0xf4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Verdict {
    /// Everything went as the mode says.
    Success = 0,
    /// A CPU exception that nothing should have raised.
    Exception = 1,
    /// The guest's own code failed an assertion.
    Panic = 2,
    /// The command line makes no sense.
    Usage = 3,
    /// No 8086:100e, or it does not behave.
    Nic = 4,
    /// No VT-d unit, or it does not behave.
    Vtd = 5,
    /// The link did not come up.
    Link = 6,
    /// The mode's experiment was not finished, or not with the result that it must have.
    Experiment = 7,
    /// A DMA or interrupt fault that no experiment wanted.
    Fault = 8,
    /// No source of time to calibrate the timer with.
    Timer = 9,
}

/// Ends the machine.
pub fn exit(verdict: Verdict) -> ! {
    console::release();
    log!("demo: exit {} ({:?})", verdict as u8, verdict);
    outb(DEBUG_EXIT, verdict as u8);
    outw(PM1A_CNT, PM1_CNT_SLP_EN);
    halt_forever()
}

/// Prints why, and ends the machine.
#[macro_export]
macro_rules! fail {
    ($verdict:ident, $($argument:tt)*) => {{
        $crate::log!($($argument)*);
        $crate::exit::exit($crate::exit::Verdict::$verdict)
    }};
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    log!("demo: {info}");
    exit(Verdict::Panic)
}
