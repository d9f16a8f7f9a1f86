//! The UDP echo service (RFC 862) of the guest `debian`: a Linux program without a library, because busybox has none that
//! answers every sender and every length. System calls by number: arch/x86/entry/syscalls/syscall_64.tbl of the kernel.

#![no_std]
#![no_main]

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

const SENDTO: usize = 44;
const RECVFROM: usize = 45;
const SOCKET: usize = 41;
const BIND: usize = 49;
const EXIT: usize = 60;

const AF_INET: usize = 2;
const SOCK_DGRAM: usize = 2;
/// The echo port.
const PORT: u16 = 7;
/// The longest datagram.
const LEN_MAX: usize = 65536;

static mut BUFFER: [u8; LEN_MAX] = [0; LEN_MAX];

// The kernel enters with the stack aligned; a function expects a return address below that.
global_asm!(".globl _start", "_start:", "xor ebp, ebp", "call {serve}", "ud2", serve = sym serve);

/// struct sockaddr_in.
#[repr(C)]
struct Address {
    family: u16,
    port: [u8; 2],
    address: [u8; 4],
    zero: [u8; 8],
}

fn call(number: usize, arguments: [usize; 6]) -> isize {
    let [a, b, c, d, e, f] = arguments;
    let result: isize;
    // SAFETY: system calls keep all registers but these; the pointers among the arguments are to live objects.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    result
}

extern "C" fn serve() -> ! {
    let mut address = Address { family: AF_INET as u16, port: PORT.to_be_bytes(), address: [0; 4], zero: [0; 8] };
    let address_len = size_of::<Address>();
    let socket = call(SOCKET, [AF_INET, SOCK_DGRAM, 0, 0, 0, 0]);
    let bound = call(BIND, [socket as usize, &raw const address as usize, address_len, 0, 0, 0]);
    if socket < 0 || bound < 0 {
        exit(1);
    }
    loop {
        let mut len = address_len as u32;
        let (buffer, from) = (&raw mut BUFFER as usize, &raw mut address as usize);
        let got = call(RECVFROM, [socket as usize, buffer, LEN_MAX, 0, from, &raw mut len as usize]);
        if got >= 0 {
            call(SENDTO, [socket as usize, buffer, got as usize, 0, from, len as usize]);
        }
    }
}

fn exit(status: usize) -> ! {
    loop {
        call(EXIT, [status, 0, 0, 0, 0, 0]);
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    exit(2)
}
