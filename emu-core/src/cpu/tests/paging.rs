//! Paging: permissions and error codes in each of its modes, accessed and dirty bits, page sizes, reserved bits, accesses
//! across pages. SDM vol. 3A, 4.3 to 4.8.

use super::guest::{Guest, Mode, segment, sel};
use super::mapped::{A, ALL, Access, D, MODES, P, PS, Paging, TARGET, Tested, U, W, XD, code};
use crate::access::Width::{B1, B4, B8};
use crate::addr::Gpa;
use crate::cpu::Fault;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::flags::bit::{AC, ONE};
use crate::cpu::regs::{RAX, RBX, RSP, Seg};

/// What decides over an access.
#[derive(Clone, Copy, Debug)]
struct Rules {
    user_mode: bool,
    wp: bool,
    smep: bool,
    smap: bool,
    ac: bool,
    nxe: bool,
    /// Of the page: writable, user, not executable.
    page: (bool, bool, bool),
}

/// The error code that an access must raise, from the prose of 4.6.1 and 4.7; `None` if it goes through.
fn expected(rules: &Rules, access: Access) -> Option<u32> {
    let (writable, user_page, xd) = rules.page;
    let xd = xd && rules.nxe;
    let allowed = match (access, rules.user_mode) {
        // Supervisor-mode accesses.
        (Access::Read, false) => !(user_page && rules.smap && !rules.ac),
        (Access::Write, false) => (writable || !rules.wp) && !(user_page && rules.smap && !rules.ac),
        (Access::Fetch, false) => !(xd || user_page && rules.smep),
        // User-mode accesses.
        (Access::Read, true) => user_page,
        (Access::Write, true) => user_page && writable,
        (Access::Fetch, true) => user_page && !xd,
    };
    let bits = code::P
        | if access == Access::Write { code::W } else { 0 }
        | if rules.user_mode { code::U } else { 0 }
        | if access == Access::Fetch && (rules.nxe || rules.smep) { code::I } else { 0 };
    (!allowed).then_some(bits)
}

fn bits(n: u32, from: u32) -> bool {
    n >> from & 1 != 0
}

fn check_rules(tested: &mut Tested, rules: &Rules, level: usize) {
    let (writable, user, xd) = rules.page;
    let mut entries = vec![ALL; tested.paging.path().len()];
    entries[level] =
        P | if writable { W } else { 0 } | if user { U } else { 0 } | if xd && rules.nxe { XD } else { 0 };
    tested.map(&entries);
    for access in [Access::Read, Access::Write, Access::Fetch] {
        tested.rewind(|state| {
            state.cr0 = cr0::PE | cr0::PG | cr0::NE | cr0::ET | if rules.wp { cr0::WP } else { 0 };
            state.cr4 |= if rules.smep { cr4::SMEP } else { 0 } | if rules.smap { cr4::SMAP } else { 0 };
            state.efer = state.efer & !efer::NXE | if rules.nxe { efer::NXE } else { 0 };
            state.rflags = ONE | if rules.ac { AC } else { 0 };
        });
        let fault = tested.exec_for(access.program(), 2);
        let lin = tested.paging.lin();
        let want = expected(rules, access).map(|error| Fault::page(error, crate::addr::Lin(lin)));
        assert_eq!(fault, want, "{access:?} of level {level} under {rules:?}");
        if want.is_some() {
            assert_eq!(tested.guest.cpu.control()[1], lin, "CR2");
        }
    }
}

#[test]
fn every_combination_of_rights_and_controls_decides_as_the_manual_says() {
    for paging in MODES {
        for cpl in [0, 3] {
            let mut tested = paging.guest(cpl);
            tested.guest.bus.put(TARGET, &[0xeb, 0xfe]);
            // PAE's root has no rights.
            let first = usize::from(paging == Paging::Pae);
            for level in first..paging.path().len() {
                for n in 0..256u32 {
                    let legacy = paging == Paging::Legacy;
                    let rules = Rules {
                        user_mode: cpl == 3,
                        wp: bits(n, 0),
                        smep: bits(n, 1),
                        smap: bits(n, 2),
                        ac: bits(n, 3),
                        nxe: bits(n, 4) && !legacy,
                        page: (bits(n, 5), bits(n, 6), bits(n, 7) && !legacy),
                    };
                    check_rules(&mut tested, &rules, level);
                }
            }
        }
    }
}

#[test]
fn an_absent_entry_of_any_level_says_so_whatever_else_it_holds() {
    for paging in MODES {
        for cpl in [0, 3] {
            let mut tested = paging.guest(cpl);
            for level in 0..paging.path().len() {
                let mut entries = vec![ALL; paging.path().len()];
                // Reserved bits of an absent entry do not count.
                entries[level] = if paging == Paging::Legacy { 0xffe } else { 0x7ff0_0000_0000_0ffe };
                tested.map(&entries);
                for access in [Access::Read, Access::Write, Access::Fetch] {
                    tested.rewind(|_| {});
                    let user = if cpl == 3 { code::U } else { 0 };
                    let error = match access {
                        Access::Read => user,
                        Access::Write => user | code::W,
                        Access::Fetch => user | if paging == Paging::Legacy { 0 } else { code::I },
                    };
                    let fault = tested.exec(access.program());
                    assert_eq!(
                        fault.and_then(|fault| fault.error),
                        Some(error),
                        "{paging:?} {level} {access:?}"
                    );
                }
            }
        }
    }
}

/// A bit of an entry of a level that must be zero.
struct Reserved {
    paging: Paging,
    level: usize,
    /// Bits set beside those that make the entry valid.
    bits: u64,
    nxe: bool,
    reserved: bool,
}

#[test]
fn reserved_bits_of_a_present_entry_fault_as_such() {
    use Paging::{FourLevel, Legacy, Pae};
    let reserved = |paging, level, bits, nxe, reserved| Reserved { paging, level, bits, nxe, reserved };
    for case in [
        // Address bits beyond the 46 that there are, XD without NXE, PS where no page can be.
        reserved(FourLevel, 0, 1 << 46, true, true),
        reserved(FourLevel, 1, 1 << 51, true, true),
        reserved(FourLevel, 2, 1 << 50, true, true),
        reserved(FourLevel, 3, 1 << 46, true, true),
        reserved(FourLevel, 3, 1 << 52, true, false),
        reserved(FourLevel, 3, 0x7ff << 52, true, false),
        reserved(FourLevel, 0, XD, false, true),
        reserved(FourLevel, 3, XD, false, true),
        reserved(FourLevel, 0, PS, true, true),
        reserved(FourLevel, 3, PS, true, false),
        // 1 GiB and 2 MiB pages: address bits below their size, save PAT's 12.
        reserved(FourLevel, 1, PS | 1 << 13, true, true),
        reserved(FourLevel, 1, PS | 1 << 29, true, true),
        reserved(FourLevel, 2, PS | 1 << 13, true, true),
        reserved(FourLevel, 2, PS | 1 << 20, true, true),
        reserved(Pae, 1, 1 << 46, true, true),
        reserved(Pae, 1, 1 << 52, true, true),
        reserved(Pae, 2, 1 << 62, true, true),
        reserved(Pae, 2, XD, false, true),
        reserved(Pae, 1, PS | 1 << 13, true, true),
        // Without PSE the bit is ignored.
        reserved(Legacy, 0, PS, false, false),
        reserved(Legacy, 1, PS, false, false),
    ] {
        for cpl in [0, 3] {
            let mut tested = case.paging.guest(cpl);
            let mut entries = vec![ALL; case.paging.path().len()];
            entries[case.level] |= case.bits;
            tested.map(&entries);
            tested
                .rewind(|state| state.efer = state.efer & !efer::NXE | if case.nxe { efer::NXE } else { 0 });
            let fault = tested.exec(Access::Write.program());
            let user = if cpl == 3 { code::U } else { 0 };
            let want = case.reserved.then_some(code::P | code::W | code::R | user);
            let what = format!("{:?} level {} bits {:x}", case.paging, case.level, case.bits);
            assert_eq!(fault.and_then(|fault| fault.error), want, "{what}");
        }
    }
    // A 4 MiB page: bit 21.
    let mut tested = Legacy.guest(0);
    tested.map(&[ALL | PS | 1 << 21, ALL]);
    tested.rewind(|state| state.cr4 |= cr4::PSE);
    let fault = tested.exec(Access::Read.program());
    assert_eq!(fault.and_then(|fault| fault.error), Some(code::P | code::R));
}

#[test]
fn accessed_and_dirty_are_set_by_what_went_through_and_by_nothing_else() {
    for paging in MODES {
        for (access, leaf) in [(Access::Read, A), (Access::Write, A | D), (Access::Fetch, A)] {
            let mut tested = paging.guest(0);
            tested.guest.bus.put(TARGET, &[0xeb, 0xfe]);
            assert_eq!(tested.exec(access.program()), None);
            let found: Vec<u64> = tested.entries().iter().map(|entry| entry & (A | D)).collect();
            let mut want = vec![A; found.len()];
            want[found.len() - 1] = leaf;
            if paging == Paging::Pae {
                want[0] = 0;
            }
            assert_eq!(found, want, "{paging:?} {access:?}");
        }
        // A refused write leaves the page clean.
        let mut tested = paging.guest(0);
        let mut entries = vec![ALL; paging.path().len()];
        *entries.last_mut().unwrap() = P;
        tested.map(&entries);
        assert!(tested.exec(Access::Write.program()).is_some());
        assert_eq!(tested.entries().last().unwrap() & D, 0, "{paging:?}");
        // A write after a read sets D through the cached translation.
        let mut tested = paging.guest(0);
        tested.exec(Access::Read.program());
        assert_eq!(tested.entries().last().unwrap() & (A | D), A);
        tested.exec(Access::Write.program());
        assert_eq!(tested.entries().last().unwrap() & (A | D), A | D, "{paging:?}");
    }
}

#[test]
fn cached_translations_set_accessed_and_dirty_no_second_time() {
    let mut tested = Paging::FourLevel.guest(0);
    tested.exec(Access::Write.program());
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, TARGET | ALL);
    tested.exec(Access::Write.program());
    assert_eq!(tested.entries()[3] & (A | D), 0, "no INVLPG, no walk");
    tested.exec(&[0x0f, 0x01, 0x3b]);
    tested.exec(Access::Read.program());
    assert_eq!(tested.entries()[3] & (A | D), A);
}

#[test]
fn an_update_needs_to_write_even_if_it_would_not_change() {
    // add [rbx], 0 ; cmpxchg [rbx], cl that fails ; xchg
    for program in [&[0x80, 0x03, 0][..], &[0x0f, 0xb0, 0x0b], &[0x86, 0x03]] {
        let mut tested = Paging::FourLevel.guest(0);
        tested.map(&[ALL, ALL, ALL, P]);
        let fault = tested.exec(program);
        assert_eq!(fault.and_then(|fault| fault.error), Some(code::P | code::W), "{program:x?}");
    }
}

/// A large page: its entries, and where the tested address plus an offset must lead.
#[test]
fn large_pages_map_by_their_own_address_bits() {
    use Paging::{FourLevel, Legacy, Pae};
    for (paging, entries, base, offset, gpa) in [
        // 4 MiB, and beyond 4 GiB by PSE-36.
        (Legacy, vec![ALL | PS], 0xffc0_0000u64, 0x3f_f123, 0xffff_f123u64),
        (Legacy, vec![ALL | PS], 0x8040_0000 | 0xab << 13, 0x123, 0xab_8040_0123),
        // 2 MiB ; 1 GiB
        (Pae, vec![ALL, ALL | PS], 0x12_3460_0000, 0x1f_fff0, 0x12_347f_fff0),
        (FourLevel, vec![ALL, ALL, ALL | PS], 0x1234_5660_0000, 0x1f_fff0, 0x1234_567f_fff0),
        (FourLevel, vec![ALL, ALL | PS], 0x1234_4000_0000, 0x3fff_fff0, 0x1234_7fff_fff0),
        // PAT of a large page is no address bit.
        (FourLevel, vec![ALL, ALL, ALL | PS], 0x1234_5660_1000, 0x10, 0x1234_5660_0010),
    ] {
        let mut tested = paging.guest(0);
        tested.map(&entries);
        let last = entries.len() - 1;
        let at = paging.path()[last];
        tested.entry(at, base | entries[last]);
        tested.rewind(|state| {
            state.cr4 |= cr4::PSE;
            state.gprs[RBX as usize] += offset;
        });
        assert_eq!(tested.exec(Access::Write.program()), None, "{paging:?} {entries:x?}");
        assert_eq!(tested.guest.bus.stores.first().map(|store| store.0), Some(Gpa(gpa)), "{paging:?}");
        let width = if paging == Legacy { B4 } else { B8 };
        assert_eq!(tested.guest.read(at, width) & (A | D), A | D, "dirty in the large page's entry");
    }
}

#[test]
fn an_access_into_an_absent_second_page_does_nothing() {
    // mov [rbx], rax at 4 bytes before the end ; push rax ; movups ; add ; rep stos
    let lin = Paging::FourLevel.lin();
    for (program, register, address, write) in [
        (&[0x48, 0x89, 0x03][..], RBX, lin + 0xffc, true),
        (&[0x48, 0x8b, 0x03], RBX, lin + 0xffc, false),
        (&[0x48, 0x01, 0x03], RBX, lin + 0xffc, true),
        (&[0x0f, 0x11, 0x03], RBX, lin + 0xffc, true),
        (&[0x50], RSP, lin + 0x1004, true),
        (&[0x48, 0xab], 7, lin + 0xffc, true),
    ] {
        let mut tested = Paging::FourLevel.guest(0);
        let second = tested.paging.path()[3] + 8;
        tested.entry(second, 0);
        tested.rewind(|state| {
            state.cr4 |= cr4::OSFXSR;
            state.gprs[usize::from(register)] = address;
            state.gprs[RAX as usize] = u64::MAX;
        });
        tested.guest.bus.put(TARGET + 0xff0, &[0x55; 16]);
        let before = tested.guest.cpu.gpr(register);
        let fault = tested.exec(program).unwrap();
        let error = if write { code::W } else { 0 };
        assert_eq!((fault.error, fault.address.map(|lin| lin.0)), (Some(error), Some(lin + 0x1000)));
        assert_eq!(tested.guest.read(TARGET + 0xff8, B8), 0x5555_5555_5555_5555, "{program:x?}");
        assert_eq!(tested.guest.cpu.gpr(register), before);
        assert_eq!(tested.guest.read(second, B8), 0);
    }
}

#[test]
fn an_access_across_two_good_pages_reaches_both() {
    let mut tested = Paging::FourLevel.guest(0);
    // The second page lies before the first one in memory.
    let second = tested.paging.path()[3] + 8;
    tested.entry(second, 0x50_0000 | ALL);
    tested.rewind(|state| {
        state.gprs[RBX as usize] += 0xffd;
        state.gprs[RAX as usize] = 0x0807_0605_0403_0201;
    });
    assert_eq!(tested.exec(&[0x48, 0x89, 0x03]), None);
    assert_eq!(tested.guest.read(TARGET + 0xffd, B1), 1);
    assert_eq!(
        (tested.guest.read(TARGET + 0xffc, B4) >> 8, tested.guest.read(0x50_0000, B4)),
        (0x030201, 0x0706_0504)
    );
    tested.rewind(|state| state.gprs[RBX as usize] += 0xffd);
    tested.exec(&[0x48, 0x8b, 0x03]);
    assert_eq!(tested.guest.cpu.gpr(RAX), 0x0807_0605_0403_0201);
}

#[test]
fn the_processors_own_accesses_are_supervisors_and_heed_smap() {
    // A program loads a segment whose descriptor lies in a supervisor page: no fault. In a user page under SMAP: a fault
    // without U, and AC does not help.
    for (rights, smap, want) in [
        (P | W, false, None),
        (P | W, true, None),
        (ALL, false, None),
        (ALL, true, Some(code::P)),
        (0, true, Some(0)),
    ] {
        let mut tested = Paging::FourLevel.guest(3);
        tested.map(&[ALL, ALL, ALL, rights]);
        let table = tested.paging.lin();
        tested.guest.bus.put(TARGET + 0x20, &segment(0, 0xf_ffff, 0xf3, 0xc).to_le_bytes());
        tested.rewind(|state| {
            state.gdtr.base = table;
            state.cr4 |= if smap { cr4::SMAP } else { 0 };
            state.rflags = ONE | AC;
            state.gprs[RAX as usize] = 0x23;
        });
        let fault = tested.exec(&[0x8e, 0xc0]);
        assert_eq!(fault.and_then(|fault| fault.error), want, "{rights:x} {smap}");
    }
}

#[test]
fn compatibility_mode_wraps_at_four_gigabytes() {
    // mov eax, es:[ebx] with ES based 16 bytes below the end: two bytes of nothing, two from address 0.
    let mut guest = Guest::new(Mode::Compatibility, 0, &[0x26, 0x8b, 0x03]);
    guest.describe(sel::FREE, segment(0xffff_fff0, 0xff, 0x93, 0x4));
    guest.load(Seg::Es, sel::FREE);
    guest.cpu.set_gpr(RBX, 0xe);
    guest.bus.put(0, &[0x34, 0x12]);
    guest.step();
    assert_eq!((guest.exceptions(), guest.cpu.gpr(RAX)), (vec![], 0x1234_ffff));
}

#[test]
fn a_physical_address_without_memory_reads_ones_and_takes_stores_to_the_bus() {
    let mut tested = Paging::FourLevel.guest(0);
    let leaf = tested.paging.path()[3];
    tested.entry(leaf, 0xfee0_0000 | ALL);
    tested.rewind(|_| {});
    assert_eq!(tested.exec(Access::Read.program()), None);
    assert_eq!(tested.guest.cpu.gpr(RAX) & 0xff, 0xff);
    tested.exec(Access::Write.program());
    assert_eq!(tested.guest.bus.stores, [(Gpa(0xfee0_0000), B1, 0xff)]);
    // Tables there are all-ones too: reserved bits.
    tested.entry(tested.paging.path()[2], 0xfee0_0000 | ALL);
    tested.rewind(|_| {});
    let fault = tested.exec(Access::Read.program());
    assert_eq!(fault.and_then(|fault| fault.error), Some(code::P | code::R));
}
