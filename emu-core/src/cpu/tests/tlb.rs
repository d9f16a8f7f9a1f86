//! What the TLB may go on serving after the tables have changed, and what ends that: INVLPG, INVPCID, loads of control
//! registers. SDM vol. 3A, 4.10.

use super::CODE;
use super::guest::{Guest, Mode};
use super::mapped::{ALL, Access, G, MOV_CR3, MOV_CR4, P, PS, Paging, ROOT, TARGET, U, W, XD};
use crate::access::Width::B8;
use crate::cpu::control::cr4;
use crate::cpu::regs::{RAX, RBX, RCX, RDX, RSI, TableRegister};
use crate::cpu::{Activity, Fault};

/// A page whose mapping changes from one whose first byte is 1 to one whose first byte is 2, and what a program does
/// before it looks again.
struct Stale<'a> {
    /// Leaf bits beside ALL.
    global: bool,
    /// PCID in use when the page was first looked at, and whether PCIDs are on.
    pcid: u64,
    flush: &'a [u8],
    /// RAX and RBX, the operands of the flush.
    operands: (u64, u64),
    /// The old mapping is served.
    stale: bool,
}

/// Where INVPCID finds its descriptor.
const DESCRIPTOR: u64 = 0x18_0000;

fn check_stale(case: &Stale<'_>) {
    let mut tested = Paging::FourLevel.guest(0);
    let lin = tested.paging.lin();
    tested.guest.bus.put(TARGET, &[1]);
    tested.guest.bus.put(TARGET + 0x2000, &[2]);
    tested.map(&[ALL, ALL, ALL, ALL | if case.global { G } else { 0 }]);
    tested.rewind(|state| {
        state.cr4 |= cr4::PGE | cr4::PCIDE;
        state.cr3 |= case.pcid;
    });
    tested.exec(Access::Read.program());
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, 1);
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, (TARGET + 0x2000) | ALL | if case.global { G } else { 0 });
    // Not before something is flushed.
    tested.exec(Access::Read.program());
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, 1, "nothing told the processor");
    tested.guest.cpu.set_gpr(RAX, case.operands.0);
    tested.guest.cpu.set_gpr(RBX, case.operands.1);
    assert_eq!(tested.exec(case.flush), None, "{:x?}", case.flush);
    // Back to the first PCID without flushing it.
    let [_, _, cr3, ..] = tested.guest.cpu.control();
    if cr3 & 0xfff != case.pcid {
        tested.guest.cpu.set_gpr(RAX, ROOT | case.pcid | 1 << 63);
        assert_eq!(tested.exec(MOV_CR3), None);
    }
    tested.guest.cpu.set_gpr(RBX, lin);
    tested.exec(Access::Read.program());
    let want = if case.stale { 1 } else { 2 };
    assert_eq!(
        tested.guest.cpu.gpr(RAX) & 0xff,
        want,
        "{:x?} {:x?} pcid {:x} global {}",
        case.flush,
        case.operands,
        case.pcid,
        case.global
    );
}

const INVLPG: &[u8] = &[0x0f, 0x01, 0x3b];
/// INVPCID RAX, [RBX].
const INVPCID: &[u8] = &[0x66, 0x0f, 0x38, 0x82, 0x03];

#[test]
fn a_stale_translation_is_served_until_the_right_thing_is_flushed() {
    let lin = Paging::FourLevel.lin();
    let stale = |global, pcid, flush, operands, stale| Stale { global, pcid, flush, operands, stale };
    let controls = cr4::PAE | cr4::PGE | cr4::PCIDE;
    for case in [
        // INVLPG: of any address in the page, of another page, of a global page.
        stale(false, 0, INVLPG, (0, lin + 0xfff), false),
        stale(false, 0, INVLPG, (0, lin + 0x1000), true),
        stale(true, 5, INVLPG, (0, lin), false),
        // MOV CR3: of its PCID what is not global, unless bit 63 is set.
        stale(false, 5, MOV_CR3, (ROOT | 5, lin), false),
        stale(true, 5, MOV_CR3, (ROOT | 5, lin), true),
        stale(false, 5, MOV_CR3, (ROOT | 5 | 1 << 63, lin), true),
        stale(false, 5, MOV_CR3, (ROOT | 6, lin), true),
        // A change of CR4.PGE, or of CR0.WP and back, flushes all; writing the same does not.
        stale(true, 0, MOV_CR4, (controls & !cr4::PGE, lin), false),
        stale(true, 0, MOV_CR4, (controls, lin), true),
        stale(false, 5, MOV_CR4, (controls | cr4::SMEP, lin), false),
    ] {
        check_stale(&case);
    }
}

#[test]
fn invpcid_flushes_an_address_a_pcid_everything_or_all_but_global() {
    let lin = Paging::FourLevel.lin();
    // Kind; PCID and address of the descriptor; global; whether the entry of PCID 5 survives.
    for (kind, pcid, address, global, stale) in [
        (0u64, 5u64, lin, false, false),
        (0, 5, lin + 0x1000, false, true),
        (0, 6, lin, false, true),
        (0, 5, lin, true, true),
        (1, 5, 0, false, false),
        (1, 6, 0, false, true),
        (1, 5, 0, true, true),
        (2, 0, 0, true, false),
        (3, 0, 0, false, false),
        (3, 0, 0, true, true),
    ] {
        let mut program = vec![0x48, 0xb9];
        program.extend(pcid.to_le_bytes());
        program.extend([0x48, 0x89, 0x0b, 0x48, 0xb9]);
        program.extend(address.to_le_bytes());
        program.extend([0x48, 0x89, 0x4b, 0x08]);
        program.extend(INVPCID);
        check_invpcid(&program, kind, (pcid, global, stale));
    }
}

/// The program stores the descriptor first, so it is run instruction by instruction.
fn check_invpcid(program: &[u8], kind: u64, (pcid, global, stale): (u64, bool, bool)) {
    let mut tested = Paging::FourLevel.guest(0);
    let lin = tested.paging.lin();
    tested.guest.bus.put(TARGET, &[1]);
    tested.guest.bus.put(TARGET + 0x2000, &[2]);
    let leaf_bits = ALL | if global { G } else { 0 };
    tested.map(&[ALL, ALL, ALL, leaf_bits]);
    tested.rewind(|state| {
        state.cr4 |= cr4::PGE | cr4::PCIDE;
        state.cr3 |= 5;
    });
    tested.exec(Access::Read.program());
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, (TARGET + 0x2000) | leaf_bits);
    tested.guest.cpu.set_gpr(RAX, kind);
    tested.guest.cpu.set_gpr(RBX, DESCRIPTOR);
    tested.guest.bus.put(CODE, program);
    tested.guest.cpu.set_rip(CODE);
    tested.guest.bus.records.clear();
    tested.guest.run(5);
    assert_eq!(tested.guest.cpu.rip(), CODE + program.len() as u64, "{:?}", tested.guest.exceptions());
    tested.guest.cpu.set_gpr(RBX, lin);
    tested.exec(Access::Read.program());
    let want = if stale { 1 } else { 2 };
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, want, "kind {kind} pcid {pcid} global {global}");
}

#[test]
fn invpcid_refuses_what_it_can_not_mean() {
    for (cpl, kind, descriptor, pcide, vector) in [
        (0, 0u64, [5u64, 0x1000], true, None),
        (0, 4, [5, 0], true, Some(13)),
        (0, 1, [0x1000, 0], true, Some(13)),
        (0, 0, [5, 1 << 47], true, Some(13)),
        (0, 1, [5, 0], false, Some(13)),
        (0, 2, [0, 0], false, None),
        (3, 2, [0, 0], true, Some(13)),
    ] {
        let mut tested = Paging::FourLevel.guest(cpl);
        let bytes: Vec<u8> = descriptor.iter().flat_map(|word| word.to_le_bytes()).collect();
        tested.guest.bus.put(DESCRIPTOR, &bytes);
        tested.rewind(|state| {
            state.cr4 |= if pcide { cr4::PCIDE } else { 0 };
            state.gprs[RAX as usize] = kind;
            state.gprs[RBX as usize] = DESCRIPTOR;
        });
        assert_eq!(tested.exec(INVPCID).map(|fault| fault.vector), vector, "{kind} {descriptor:x?}");
    }
}

#[test]
fn invlpg_drops_the_whole_of_a_large_page() {
    let mut tested = Paging::FourLevel.guest(0);
    tested.map(&[ALL, ALL, ALL | PS]);
    let (lin, at) = (tested.paging.lin(), tested.paging.path()[2]);
    tested.entry(at, TARGET | ALL | PS);
    tested.guest.bus.put(TARGET + 0x5000, &[1]);
    tested.guest.bus.put(TARGET + 0x20_5000, &[2]);
    tested.rewind(|state| state.gprs[RBX as usize] = lin + 0x5000);
    tested.exec(Access::Read.program());
    tested.entry(at, (TARGET + 0x20_0000) | ALL | PS);
    tested.guest.cpu.set_gpr(RBX, lin + 0x1f_0000);
    tested.exec(INVLPG);
    tested.guest.cpu.set_gpr(RBX, lin + 0x5000);
    tested.exec(Access::Read.program());
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, 2);
}

#[test]
fn stac_and_clac_decide_even_over_pages_that_were_just_used() {
    // stac ; mov al, [rbx] twice ; clac ; mov al, [rbx]
    let mut tested = Paging::FourLevel.guest(0);
    tested.rewind(|state| state.cr4 |= cr4::SMAP);
    let program = [0x0f, 0x01, 0xcb, 0x8a, 0x03, 0x8a, 0x03, 0x0f, 0x01, 0xca, 0x8a, 0x03];
    assert_eq!(tested.exec(&program).and_then(|fault| fault.error), Some(1));
    assert_eq!(tested.guest.cpu.rip(), CODE + 10);
}

#[test]
fn what_a_supervisor_cached_is_not_for_programs() {
    // The same page, first at level 0, then at level 3.
    let mut tested = Paging::FourLevel.guest(3);
    tested.map(&[ALL, ALL, ALL, P | W]);
    let user = tested.guest.cpu.state();
    let mut system = user.clone();
    (system.cpl, system.segs[1].rights) = (0, system.segs[1].rights & !0x60);
    tested.guest.cpu.restore(system).unwrap();
    assert_eq!(tested.exec(Access::Read.program()), None);
    let tlb = tested.guest.cpu.state().tlb;
    tested.guest.cpu.restore(crate::cpu::CpuState { tlb, ..user }).unwrap();
    assert_eq!(tested.exec(Access::Read.program()).and_then(|fault| fault.error), Some(5));
}

#[test]
fn a_jump_into_a_page_that_is_no_longer_executable_faults_once_it_is_flushed() {
    // The target jumps back: jmp rcx.
    let mut tested = Paging::FourLevel.guest(0);
    tested.guest.bus.put(TARGET, &[0xff, 0xe1]);
    tested.guest.cpu.set_gpr(1, CODE);
    tested.exec(Access::Fetch.program());
    tested.guest.run(20);
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, TARGET | ALL | XD);
    tested.guest.run(20);
    assert_eq!(tested.guest.exceptions(), [], "stale");
    tested.exec(INVLPG);
    let fault = tested.exec(Access::Fetch.program());
    assert_eq!(fault.and_then(|fault| fault.error), Some(0x11));
}

/// Calls of a page whose translation the program itself changes between them.
#[test]
fn code_goes_on_from_the_old_page_until_it_is_flushed() {
    // Four times call rbx ; mov [rcx], rdx, the entry ; invlpg [rbx] or nop [rbx] ; call rbx
    for (flush, want) in [(INVLPG, 2), (&[0x0f, 0x1f, 0x03][..], 1)] {
        let mut tested = Paging::FourLevel.guest(0);
        // mov al, n ; ret
        tested.guest.bus.put(TARGET, &[0xb0, 1, 0xc3]);
        tested.guest.bus.put(TARGET + 0x2000, &[0xb0, 2, 0xc3]);
        tested.guest.cpu.set_gpr(RCX, tested.paging.path()[3]);
        tested.guest.cpu.set_gpr(RDX, (TARGET + 0x2000) | ALL);
        let mut program = [0xff, 0xd3].repeat(4);
        program.extend([0x48, 0x89, 0x11]);
        program.extend(flush);
        program.extend([0xff, 0xd3]);
        assert_eq!(tested.exec(&program), None);
        assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, want, "{flush:x?}");
    }
}

/// A computed branch within a page, and then within another page at the same address.
#[test]
fn a_computed_branch_stays_in_the_page_that_is_there_now() {
    let mut tested = Paging::FourLevel.guest(0);
    for (page, n) in [(TARGET, 1), (TARGET + 0x2000, 2)] {
        // lea rax, [rbx + 16] ; jmp rax ; ... mov sil, n ; ret
        tested.guest.bus.put(page, &[0x48, 0x8d, 0x43, 0x10, 0xff, 0xe0]);
        tested.guest.bus.put(page + 16, &[0x40, 0xb6, n, 0xc3]);
    }
    tested.guest.cpu.set_gpr(RCX, tested.paging.path()[3]);
    tested.guest.cpu.set_gpr(RDX, (TARGET + 0x2000) | ALL);
    // Four times call rbx ; mov [rcx], rdx, the entry ; invlpg [rbx] ; call rbx
    let program = [&[0xff, 0xd3].repeat(4)[..], &[0x48, 0x89, 0x11], INVLPG, &[0xff, 0xd3]].concat();
    assert_eq!(tested.exec(&program), None);
    assert_eq!(tested.guest.cpu.gpr(RSI) & 0xff, 2);
}

#[test]
fn another_pcid_has_other_tables_even_if_nothing_is_flushed() {
    // A second root, whose tested address leads to another page.
    let mut tested = Paging::FourLevel.guest(0);
    let low = tested.guest.read(ROOT, B8);
    let tables = 0x70_0000;
    tested.entry(tables, low);
    tested.entry(tables + 8, (tables + 0x1000) | ALL);
    tested.entry(tables + 0x1000, (tables + 0x2000) | ALL);
    tested.entry(tables + 0x2000, (tables + 0x3000) | ALL);
    tested.entry(tables + 0x3000, (TARGET + 0x2000) | ALL);
    tested.guest.bus.put(TARGET, &[1]);
    tested.guest.bus.put(TARGET + 0x2000, &[2]);
    tested.rewind(|state| {
        state.cr4 |= cr4::PCIDE;
        state.cr3 |= 5;
        state.gprs[RCX as usize] = tables | 6 | 1 << 63;
        state.gprs[RDX as usize] = ROOT | 5 | 1 << 63;
    });
    // mov al, [rbx] twice ; mov cr3, rcx ; mov ah, [rbx] ; mov cr3, rdx ; mov al, [rbx]
    let read = [0x8a, 0x03];
    let program = [&read[..], &read, &[0x0f, 0x22, 0xd9], &[0x8a, 0x23], &[0x0f, 0x22, 0xda], &read].concat();
    assert_eq!(tested.exec(&program), None);
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xffff, 0x0201);
}

#[test]
fn prevention_of_execution_begins_with_the_next_fetch() {
    // mov cr4, rax that sets SMEP, in a user page.
    let mut guest = Guest::new(Mode::Long, 0, &[0x0f, 0x22, 0xe0, 0x90, 0x90]);
    let [_, _, _, cr4, _] = guest.cpu.control();
    guest.cpu.set_gpr(RAX, cr4 | cr4::SMEP);
    guest.cpu.set_idtr(TableRegister { base: 0, limit: 0 });
    guest.run(2);
    assert_eq!(guest.exceptions().first(), Some(&(14, Some(0x11))));
    assert_eq!((guest.cpu.rip(), guest.cpu.activity()), (CODE + 3, Activity::Shutdown));
}

#[test]
fn a_page_that_became_accessible_needs_no_flush() {
    // A fault caches nothing, and a walk follows a cached entry that forbids.
    let mut tested = Paging::FourLevel.guest(0);
    tested.map(&[ALL, ALL, ALL, P]);
    tested.exec(Access::Read.program());
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, TARGET | ALL);
    assert_eq!(tested.exec(Access::Write.program()), None, "spurious faults are not raised");
    tested.entry(leaf, 0);
    tested.exec(INVLPG);
    assert!(tested.exec(Access::Read.program()).is_some());
    let mut tested = Paging::FourLevel.guest(0);
    tested.map(&[ALL, ALL, ALL, 0]);
    assert!(tested.exec(Access::Read.program()).is_some());
    tested.entry(leaf, TARGET | ALL);
    tested.rewind(|_| {});
    assert_eq!(tested.exec(Access::Read.program()), None);
}

#[test]
fn pae_goes_on_with_the_directory_pointers_that_cr3_loaded() {
    let mut tested = Paging::Pae.guest(0);
    tested.guest.bus.put(TARGET, &[1]);
    tested.entry(ROOT + 8, 0);
    assert_eq!(tested.exec(&[0x0f, 0x01, 0x3b]), None);
    assert_eq!(tested.exec(Access::Read.program()), None, "INVLPG does not read them again");
    tested.guest.cpu.set_gpr(RAX, ROOT);
    assert_eq!(tested.exec(MOV_CR3), None);
    assert_eq!(tested.exec(Access::Read.program()).and_then(|fault| fault.error), Some(0));
    // A reserved bit in one that is present refuses the load.
    for (bits, refused) in
        [(P | W, true), (P | U, true), (P | 1 << 5, true), (P | XD, true), (P | 1 << 9, false), (W, false)]
    {
        let mut tested = Paging::Pae.guest(0);
        tested.entry(ROOT + 24, bits);
        tested.guest.cpu.set_gpr(RAX, ROOT);
        let fault = tested.exec(MOV_CR3);
        assert_eq!(fault, refused.then_some(Fault::GP0), "{bits:x}");
    }
}
