//! Instructions a second: an integer loop, memory-heavy code, code spread over many pages, floating point, copies. Figures are throughput in
//! guest instructions; compare them within one run only.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use emu_core::cpu::{Cpu, CpuConfig};
use emu_core::testing::{FlatBus, identity_map, long_mode};
use emu_core::{Gpa, VirtTime};
use std::hint::black_box;

const CODE: u64 = 0x10_0000;
const STACK: u64 = 0x20_0000;
const RCX: u8 = 1;
const RDX: u8 = 2;
const RBX: u8 = 3;
const RSP: u8 = 4;
const RSI: u8 = 6;
const RDI: u8 = 7;

/// A xorshift generator, twelve register instructions a turn, without end.
#[rustfmt::skip]
const INTEGER: &[u8] = &[
    0x48, 0x89, 0xd8,       // mov rax, rbx
    0x48, 0xc1, 0xe0, 13,   // shl rax, 13
    0x48, 0x31, 0xc3,       // xor rbx, rax
    0x48, 0x89, 0xd8,       // mov rax, rbx
    0x48, 0xc1, 0xe8, 7,    // shr rax, 7
    0x48, 0x31, 0xc3,       // xor rbx, rax
    0x48, 0x89, 0xd8,       // mov rax, rbx
    0x48, 0xc1, 0xe0, 17,   // shl rax, 17
    0x48, 0x31, 0xc3,       // xor rbx, rax
    0x48, 0x01, 0xde,       // add rsi, rbx
    0x48, 0xff, 0xc9,       // dec rcx
    0xeb, 0xda,             // jmp
];

/// Loads, stores, read-modify-writes and the stack, eleven instructions a turn over three arrays of 32 KiB.
#[rustfmt::skip]
const MEMORY: &[u8] = &[
    0x48, 0x8b, 0x04, 0xcf,         // mov rax, [rdi+rcx*8]
    0x48, 0x03, 0x04, 0xce,         // add rax, [rsi+rcx*8]
    0x48, 0x89, 0x04, 0xca,         // mov [rdx+rcx*8], rax
    0x50,                           // push rax
    0x5b,                           // pop rbx
    0x48, 0x01, 0x5c, 0xcf, 0x08,   // add [rdi+rcx*8+8], rbx
    0x0f, 0xb6, 0x44, 0x0e, 0x03,   // movzx eax, byte [rsi+rcx+3]
    0x88, 0x44, 0x0a, 0x05,         // mov [rdx+rcx+5], al
    0xff, 0xc9,                     // dec ecx
    0x81, 0xe1, 0xff, 0x0f, 0, 0,   // and ecx, 4095
    0xeb, 0xda,                     // jmp
];

/// Sums and products of doubles in memory, eight instructions a turn.
#[rustfmt::skip]
const FLOATS: &[u8] = &[
    0xf2, 0x0f, 0x10, 0x04, 0xcf,   // movsd xmm0, [rdi+rcx*8]
    0xf2, 0x0f, 0x59, 0xc2,         // mulsd xmm0, xmm2
    0xf2, 0x0f, 0x58, 0xc3,         // addsd xmm0, xmm3
    0xf2, 0x0f, 0x11, 0x04, 0xce,   // movsd [rsi+rcx*8], xmm0
    0x0f, 0x28, 0x0a,               // movaps xmm1, [rdx]
    0xff, 0xc9,                     // dec ecx
    0x81, 0xe1, 0xff, 0x0f, 0, 0,   // and ecx, 4095
    0xeb, 0xe1,                     // jmp
];

/// A copy of 4000 bytes by REP MOVSB; each byte counts as an instruction.
#[rustfmt::skip]
const COPY: &[u8] = &[
    0x48, 0x89, 0xd6,               // mov rsi, rdx
    0xbf, 0, 0, 0x50, 0,            // mov edi, 0x500000
    0xb9, 0xa0, 0x0f, 0, 0,         // mov ecx, 4000
    0xf3, 0xa4,                     // rep movsb
    0xeb, 0xef,                     // jmp
];

/// 64 pages, in each a call to the next and a return: the cost of crossing pages.
fn spread() -> Vec<u8> {
    let mut code = vec![0xcc; 65 * 4096];
    code[..7].copy_from_slice(&[0xe8, 0xfb, 0x0f, 0, 0, 0xeb, 0xf9]); // call +4096 ; jmp back
    for page in 1..64 {
        let at = page * 4096;
        code[at..at + 6].copy_from_slice(&[0xe8, 0xfb, 0x0f, 0, 0, 0xc3]); // call +4096 ; ret
    }
    code[64 * 4096] = 0xc3;
    code
}

fn machine(program: &[u8]) -> (Box<Cpu>, FlatBus) {
    let mut bus = FlatBus::new(16 << 20);
    identity_map(&mut bus.mem, Gpa(0x1000));
    bus.put(CODE, program);
    let mut cpu = Cpu::new(CpuConfig::default());
    long_mode(&mut cpu, Gpa(0x1000));
    cpu.set_rip(CODE);
    for (register, value) in [(RSP, STACK), (RBX, 0x9e37_79b9), (RCX, 4095), (RDX, 0x30_0000)] {
        cpu.set_gpr(register, value);
    }
    cpu.set_xmm_bits(2, 1.000_001f64.to_bits().into());
    cpu.set_xmm_bits(3, 0.1f64.to_bits().into());
    cpu.set_gpr(RSI, 0x40_0000);
    cpu.set_gpr(RDI, 0x50_0000);
    (cpu, bus)
}

fn engine(criterion: &mut Criterion) {
    const INSNS: u64 = 10_000_000;
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(INSNS)).sample_size(10);
    let programs = [
        ("integer", INTEGER.to_vec()),
        ("memory", MEMORY.to_vec()),
        ("pages", spread()),
        ("floats", FLOATS.to_vec()),
        ("copy", COPY.to_vec()),
    ];
    for (name, program) in programs {
        let (mut cpu, mut bus) = machine(&program);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let limit = cpu.insns() + INSNS;
                black_box(cpu.run(&mut bus, VirtTime::NEVER, limit));
                assert_eq!(cpu.insns(), limit);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, engine);
criterion_main!(benches);
