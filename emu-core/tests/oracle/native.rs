//! Runs a case on the host's processor, inside this process, without a line of assembly but one INT3.
//!
//! A breakpoint starts the case: its signal handler swaps the interrupted registers for the case's, and the kernel loads
//! them when the handler returns. The case ends in an exception, whose handler takes the registers out again and puts
//! this function's own back. Memory is a private sandbox at a fixed low address; code is written through one mapping
//! and executed through another, so no page is ever writable and executable.
#![allow(unsafe_code, reason = "the host's processor is asked what an instruction does")]

use crate::case::{
    Bits, CODE, CODE_LEN, CPU_NUMBER, Case, DATA, INT3, Outcome, READ_ONLY_LEN, Segments, State, USER_CS_32,
    USER_CS_64, WRITABLE_LEN, X87State, read_only_bytes,
};
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

/// Signals that an exception can become.
const SIGNALS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
/// Size of the stack that handlers run on.
const HANDLER_STACK: usize = 256 << 10;
const ALIGNMENT_CHECK: u64 = 1 << 18;

/// Where the signal context keeps the general registers, in the order of [`State::gprs`].
const GREGS: [c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// What the next signal means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing of ours.
    Idle,
    /// The breakpoint that starts a case.
    Start,
    /// The exception that ends it.
    End,
}

/// What the runner and the handler tell each other.
struct Exchange {
    phase: Phase,
    code_selector: u16,
    state: State,
    vector: u8,
    error: u32,
    cr2: u64,
    host: [libc::greg_t; 23],
    host_mxcsr: u32,
    host_segments: Segments,
}

struct Shared(UnsafeCell<Exchange>);

// SAFETY: used by the one live `Native` (it is not `Sync`, and `TAKEN` lets no second one exist) and by the handler of
// the signals that its own thread raises, never by both at once.
unsafe impl Sync for Shared {}

static SHARED: Shared = Shared(UnsafeCell::new(Exchange {
    phase: Phase::Idle,
    code_selector: 0,
    state: State::blank(0),
    vector: 0,
    error: 0,
    cr2: 0,
    host: [0; 23],
    host_mxcsr: 0,
    host_segments: Segments::FLAT,
}));

static TAKEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// The host's processor.
pub(crate) struct Native {
    /// The code pages, writable.
    code: *mut u8,
    /// Where the last case's instruction lies in them.
    last: (usize, usize),
    old_actions: Vec<(c_int, libc::sigaction)>,
    old_stack: libc::stack_t,
    _stack: Vec<u8>,
}

fn check(ok: bool, what: &str) -> Result<(), String> {
    if ok { Ok(()) } else { Err(format!("{what}: {}", io::Error::last_os_error())) }
}

/// Maps `len` bytes at exactly `at`, or anywhere if that is 0.
fn map(at: u64, len: usize, protection: c_int, file: Option<c_int>) -> Result<*mut u8, String> {
    let placed = if at == 0 { 0 } else { libc::MAP_FIXED_NOREPLACE };
    let kind = if file.is_some() { libc::MAP_SHARED } else { libc::MAP_PRIVATE | libc::MAP_ANONYMOUS };
    let flags = kind | placed | libc::MAP_POPULATE;
    let wanted = ptr::without_provenance_mut::<c_void>(at as usize);
    // SAFETY: a new mapping; MAP_FIXED_NOREPLACE replaces none that exists.
    let got = unsafe { libc::mmap(wanted, len, protection, flags, file.unwrap_or(-1), 0) };
    check(got != libc::MAP_FAILED && (at == 0 || got.addr() as u64 == at), "mmap")?;
    Ok(got.cast())
}

impl Native {
    /// Prepares the sandbox and the handlers. They serve this thread only.
    pub(crate) fn new() -> Result<Self, String> {
        let may_set_bases = linux_lets_programs_set_bases();
        check(may_set_bases, "RDFSBASE and its kin, a processor with FSGSBASE under Linux 5.9")?;
        stay_on_this_processor()?;
        let free = !TAKEN.swap(true, std::sync::atomic::Ordering::SeqCst);
        check(free, "a second native runner")?;
        // SAFETY: a plain system call with a constant name.
        let file = unsafe { libc::memfd_create(c"oracle-code".as_ptr(), libc::MFD_CLOEXEC) };
        check(file >= 0, "memfd_create")?;
        // SAFETY: `file` was just opened.
        check(unsafe { libc::ftruncate(file, CODE_LEN as libc::off_t) } == 0, "ftruncate")?;
        let code = map(0, CODE_LEN, libc::PROT_READ | libc::PROT_WRITE, Some(file))?;
        map(CODE, CODE_LEN, libc::PROT_READ | libc::PROT_EXEC, Some(file))?;
        let data = map(DATA, WRITABLE_LEN + READ_ONLY_LEN, libc::PROT_READ | libc::PROT_WRITE, None)?;
        // SAFETY: both mappings are new, this long, and known to nobody else; `file` is ours and no longer needed.
        unsafe {
            libc::close(file);
            code.write_bytes(INT3, CODE_LEN);
            let read_only = data.add(WRITABLE_LEN);
            ptr::copy_nonoverlapping(read_only_bytes().as_ptr(), read_only, READ_ONLY_LEN);
            check(libc::mprotect(read_only.cast(), READ_ONLY_LEN, libc::PROT_READ) == 0, "mprotect")?;
        }
        let mut stack = vec![0; HANDLER_STACK];
        let new_stack = libc::stack_t { ss_sp: stack.as_mut_ptr().cast(), ss_flags: 0, ss_size: stack.len() };
        let mut old_stack = libc::stack_t { ss_sp: ptr::null_mut(), ss_flags: 0, ss_size: 0 };
        // SAFETY: the stack lives as long as the runner, which puts the old one back when it is dropped.
        check(unsafe { libc::sigaltstack(&new_stack, &mut old_stack) } == 0, "sigaltstack")?;
        let mut native = Self { code, last: (0, 0), old_actions: Vec::new(), old_stack, _stack: stack };
        for signal in SIGNALS {
            native.old_actions.push((signal, install(signal)?));
        }
        Ok(native)
    }

    /// Executes the case.
    pub(crate) fn run(&mut self, case: &Case) -> Outcome {
        let (at, len) = ((case.state.rip - CODE) as usize, case.code.len());
        assert!(at + len <= CODE_LEN && case.memory.len() == WRITABLE_LEN, "inside the sandbox");
        let data = ptr::with_exposed_provenance_mut::<u8>(DATA as usize);
        let shared = SHARED.0.get();
        // SAFETY: the copies stay inside the mappings that `new` made. The exchange is ours until the breakpoint, and
        // again after it. The breakpoint returns with all registers restored but those that a call may change, which
        // are declared; the instruction itself can reach nothing but the sandbox, by how cases are made.
        unsafe {
            self.code.add(self.last.0).write_bytes(INT3, self.last.1);
            ptr::copy_nonoverlapping(case.code.as_ptr(), self.code.add(at), len);
            ptr::copy_nonoverlapping(case.memory.as_ptr(), data, WRITABLE_LEN);
            (*shared).state = case.state.clone();
            (*shared).code_selector = match case.bits {
                Bits::B32 => USER_CS_32,
                Bits::B64 => USER_CS_64,
            };
            (*shared).phase = Phase::Start;
            std::arch::asm!("int3", clobber_abi("sysv64"));
        }
        self.last = (at, len);
        let mut memory = vec![0; WRITABLE_LEN];
        // SAFETY: as above; the handler is done.
        let exchange = unsafe {
            ptr::copy_nonoverlapping(data, memory.as_mut_ptr(), WRITABLE_LEN);
            &*shared
        };
        let cr2 = if exchange.vector == 14 { exchange.cr2 } else { 0 };
        Outcome { state: exchange.state.clone(), vector: exchange.vector, error: exchange.error, cr2, memory }
    }
}

impl Drop for Native {
    fn drop(&mut self) {
        for (signal, action) in &self.old_actions {
            // SAFETY: puts back what was there before.
            unsafe { libc::sigaction(*signal, action, ptr::null_mut()) };
        }
        // SAFETY: as above, and the sandbox is ours; nothing points into it any more.
        unsafe {
            libc::sigaltstack(&self.old_stack, ptr::null_mut());
            for (at, len) in [(CODE, CODE_LEN), (DATA, WRITABLE_LEN + READ_ONLY_LEN)] {
                libc::munmap(ptr::with_exposed_provenance_mut(at as usize), len);
            }
            libc::munmap(self.code.cast(), CODE_LEN);
        }
        TAKEN.store(false, std::sync::atomic::Ordering::SeqCst);
    }
}

/// Whether programs may execute RDFSBASE and its kin.
fn linux_lets_programs_set_bases() -> bool {
    // HWCAP2_FSGSBASE, in Linux's asm/hwcap2.h.
    const FSGSBASE: libc::c_ulong = 1 << 1;
    // SAFETY: only looks at what the kernel told the process at its start.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & FSGSBASE != 0 }
}

/// Linux's segment of that name keeps its limit only as long as the thread stays where it is.
fn stay_on_this_processor() -> Result<(), String> {
    // SAFETY: an all-zero set is an empty one, and the calls only read it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        let here = libc::sched_getcpu();
        check(here >= 0, "sched_getcpu")?;
        libc::CPU_SET(here as usize, &mut set);
        check(libc::sched_setaffinity(0, size_of_val(&set), &set) == 0, "sched_setaffinity")
    }
}

/// The limit of [`CPU_NUMBER`]'s segment.
pub(crate) fn cpu_number() -> u32 {
    let limit: u32;
    // SAFETY: reads a descriptor's limit into a register.
    unsafe {
        std::arch::asm!("lsl {0:e}, {1:e}", out(reg) limit, in(reg) u32::from(CPU_NUMBER), options(nostack, nomem));
    }
    limit
}

/// What the registers hold but SS, which signal contexts have.
///
/// # Safety
/// The kernel must let programs read the bases.
unsafe fn segments() -> Segments {
    let (es, ds, fs, gs): (u16, u16, u16, u16);
    let (fs_base, gs_base);
    // SAFETY: reads registers, and the caller vouches that it may.
    unsafe {
        std::arch::asm!(
            "mov {0:x}, es", "mov {1:x}, ds", "mov {2:x}, fs", "mov {3:x}, gs",
            "rdfsbase {4}", "rdgsbase {5}",
            out(reg) es, out(reg) ds, out(reg) fs, out(reg) gs, out(reg) fs_base, out(reg) gs_base,
            options(nostack, nomem, preserves_flags),
        );
    }
    Segments { selectors: [es, 0, ds, fs, gs], bases: [fs_base, gs_base] }
}

/// Loads them. Selectors first: they bring bases with them.
///
/// # Safety
/// As for [`segments`]; and FS leads to what this thread calls its own, so nothing that may look there runs before it is put back.
unsafe fn set_segments(segments: &Segments) {
    let Segments { selectors: [es, _, ds, fs, gs], bases: [fs_base, gs_base] } = *segments;
    // SAFETY: 64-bit code does not look at DS and ES, and the kernel keeps all of them for the thread; the caller answers for FS.
    unsafe {
        std::arch::asm!(
            "mov es, {0:x}", "mov ds, {1:x}", "mov fs, {2:x}", "mov gs, {3:x}",
            "wrfsbase {4}", "wrgsbase {5}",
            in(reg) es, in(reg) ds, in(reg) fs, in(reg) gs, in(reg) fs_base, in(reg) gs_base,
            options(nostack, nomem, preserves_flags),
        );
    }
}

fn install(signal: c_int) -> Result<libc::sigaction, String> {
    // SAFETY: all-zero is a valid `sigaction`; the handler has the signature that SA_SIGINFO asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let mut old: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_signal as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        check(libc::sigaction(signal, &action, &mut old) == 0, "sigaction")?;
        Ok(old)
    }
}

extern "C" fn on_signal(signal: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: with SA_SIGINFO the kernel gives the interrupted context, whose floating-point part is on the same stack
    // frame. The exchange is the handler's while the runner waits at its breakpoint. A case may have set RFLAGS.AC,
    // which the kernel leaves set: it is cleared before anything misaligned can happen.
    unsafe {
        std::arch::asm!("pushfq", "and dword ptr [rsp], {}", "popfq", const !(ALIGNMENT_CHECK as i32));
        let context = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext;
        let exchange = &mut *SHARED.0.get();
        match exchange.phase {
            Phase::Idle => {
                // Not of our making: let it kill the process as it would have.
                libc::signal(signal, libc::SIG_DFL);
            }
            Phase::Start => {
                exchange.host = context.gregs;
                exchange.host_mxcsr = (*context.fpregs).mxcsr;
                exchange.host_segments = segments();
                load(context, &exchange.state);
                let [_, ss, ..] = exchange.state.segments.selectors;
                set_stack_and_code(context, ss, exchange.code_selector);
                exchange.phase = Phase::End;
                set_segments(&exchange.state.segments);
            }
            Phase::End => {
                let segments = segments();
                set_segments(&exchange.host_segments);
                exchange.state.segments = segments;
                take(context, exchange);
                context.gregs = exchange.host;
                (*context.fpregs).mxcsr = exchange.host_mxcsr;
                load_x87(&mut *context.fpregs, &X87State::INIT);
                exchange.phase = Phase::Idle;
            }
        }
    }
}

/// Where the signal context has SS and CS among its other selectors.
const SS_SHIFT: u32 = 48;

fn set_stack_and_code(context: &mut libc::mcontext_t, ss: u16, cs: u16) {
    let selectors = &mut context.gregs[libc::REG_CSGSFS as usize];
    let others = *selectors as u64 & !(0xffff << SS_SHIFT | 0xffff);
    *selectors = (others | u64::from(ss) << SS_SHIFT | u64::from(cs)) as libc::greg_t;
}

/// Makes the context that of a case.
///
/// # Safety
/// `context.fpregs` must point to the frame's floating-point state.
unsafe fn load(context: &mut libc::mcontext_t, state: &State) {
    for (index, value) in GREGS.iter().zip(state.gprs) {
        context.gregs[*index as usize] = value as libc::greg_t;
    }
    context.gregs[libc::REG_RIP as usize] = state.rip as libc::greg_t;
    context.gregs[libc::REG_EFL as usize] = state.rflags as libc::greg_t;
    // SAFETY: the caller vouches for it.
    let fp = unsafe { &mut *context.fpregs };
    fp.mxcsr = state.mxcsr;
    load_x87(fp, &state.x87);
    for (register, [low, _]) in fp._xmm.iter_mut().zip(state.ymm) {
        register.element = std::array::from_fn(|n| (low >> (32 * n)) as u32);
    }
    // SAFETY: as above.
    if let Some((components, high)) = unsafe { upper_halves(context) } {
        *components |= AVX_COMPONENT;
        for (place, [_, value]) in high.iter_mut().zip(state.ymm) {
            *place = value.to_le_bytes();
        }
    }
}

/// The bit of the upper halves in the header of the frame's XSAVE area.
const AVX_COMPONENT: u64 = 1 << 2;

/// Which components the frame's XSAVE area has, and the upper halves of the vector registers in it; nothing if the host does not
/// save them.
///
/// # Safety
/// As for [`load`].
unsafe fn upper_halves(context: &mut libc::mcontext_t) -> Option<(&mut u64, &mut [[u8; 16]; 16])> {
    // What Linux writes into the bytes that FXSAVE leaves to software (its asm/sigcontext.h).
    const MAGIC: u32 = 0x4650_5853;
    const MAGIC_AT: usize = 464;
    const FEATURES_AT: usize = 472;
    const HEADER_AT: usize = 512;
    const UPPER_HALVES_AT: usize = 576;
    let area = context.fpregs.cast::<u8>();
    // SAFETY: the caller vouches for 512 bytes; the magic number says that the components that it names follow, and these
    // two never overlap. The kernel aligns the area to 64 bytes.
    unsafe {
        let has_more = area.add(MAGIC_AT).cast::<u32>().read() == MAGIC;
        if !has_more || area.add(FEATURES_AT).cast::<u64>().read() & AVX_COMPONENT == 0 {
            return None;
        }
        Some((&mut *area.add(HEADER_AT).cast(), &mut *area.add(UPPER_HALVES_AT).cast()))
    }
}

fn load_x87(fp: &mut libc::_libc_fpstate, x87: &X87State) {
    (fp.cwd, fp.swd, fp.ftw) = (x87.control, x87.status, x87.valid.into());
    (fp.fop, fp.rip, fp.rdp) = (0, 0, 0);
    for (register, value) in fp._st.iter_mut().zip(x87.st) {
        register.significand = std::array::from_fn(|n| (value >> (16 * n)) as u16);
        register.exponent = (value >> 64) as u16;
    }
}

fn take_x87(fp: &libc::_libc_fpstate) -> X87State {
    let value = |register: &libc::_libc_fpxreg| {
        let start = u128::from(register.exponent) << 64;
        (0..4).fold(start, |all, n| all | u128::from(register.significand[n]) << (16 * n))
    };
    X87State {
        control: fp.cwd,
        status: fp.swd,
        valid: fp.ftw as u8,
        st: std::array::from_fn(|n| value(&fp._st[n])),
        last: (fp.fop, fp.rip, fp.rdp),
    }
}

/// Takes the outcome of a case out of the context.
///
/// # Safety
/// As for [`load`].
unsafe fn take(context: &mut libc::mcontext_t, exchange: &mut Exchange) {
    for (index, value) in GREGS.iter().zip(&mut exchange.state.gprs) {
        *value = context.gregs[*index as usize] as u64;
    }
    exchange.state.rip = context.gregs[libc::REG_RIP as usize] as u64;
    exchange.state.rflags = context.gregs[libc::REG_EFL as usize] as u64;
    let selectors = context.gregs[libc::REG_CSGSFS as usize] as u64;
    exchange.state.segments.selectors[1] = (selectors >> SS_SHIFT) as u16;
    exchange.vector = context.gregs[libc::REG_TRAPNO as usize] as u8;
    exchange.error = context.gregs[libc::REG_ERR as usize] as u32;
    exchange.cr2 = context.gregs[libc::REG_CR2 as usize] as u64;
    // SAFETY: the caller vouches for it.
    let fp = unsafe { &*context.fpregs };
    exchange.state.mxcsr = fp.mxcsr;
    exchange.state.x87 = take_x87(fp);
    for (register, value) in fp._xmm.iter().zip(&mut exchange.state.ymm) {
        let low = (0..4).fold(0, |all, n| all | u128::from(register.element[n]) << (32 * n));
        *value = [low, 0];
    }
    // SAFETY: as above.
    if let Some((components, high)) = unsafe { upper_halves(context) }
        && *components & AVX_COMPONENT != 0
    {
        for ([_, value], bytes) in exchange.state.ymm.iter_mut().zip(high) {
            *value = u128::from_le_bytes(*bytes);
        }
    }
}
