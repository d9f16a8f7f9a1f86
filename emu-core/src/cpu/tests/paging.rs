//! Paging: permissions and error codes in each of its modes, accessed and dirty bits, page sizes, reserved bits, accesses
//! across pages, and what the TLB may go on serving. SDM vol. 3A, 4.3 to 4.10.

use super::CODE;
use super::guest::{Guest, INNER_STACK, Mode, segment, sel};
use crate::access::Width::{B1, B4, B8};
use crate::addr::Gpa;
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::flags::bit::{AC, ONE};
use crate::cpu::regs::{RAX, RBX, RSP, Seg, TableRegister};
use crate::cpu::{CpuState, Fault};
use crate::trace::TraceEvent;

/// Bits of a paging-structure entry.
const P: u64 = 1;
const W: u64 = 2;
const U: u64 = 4;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const G: u64 = 1 << 8;
const XD: u64 = 1 << 63;
/// Present, writable, user.
const ALL: u64 = P | W | U;

/// Bits of the error code: present, write, user, reserved, instruction.
mod code {
    pub(super) const P: u32 = 1;
    pub(super) const W: u32 = 2;
    pub(super) const U: u32 = 4;
    pub(super) const R: u32 = 8;
    pub(super) const I: u32 = 16;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paging {
    Legacy,
    Pae,
    FourLevel,
}

const MODES: [Paging; 3] = [Paging::Legacy, Paging::Pae, Paging::FourLevel];

/// Tables that map the first megabytes onto themselves, and those of the tested address from the root's child down.
const ROOT: u64 = 0x1000;
const LOW: [u64; 3] = [0x2000, 0x3000, 0x4000];
const TESTED: [u64; 3] = [0x7000, 0x6000, 0x5000];
/// What is mapped at the tested address: two pages.
const TARGET: u64 = 0x60_0000;

impl Paging {
    /// An address whose tables are its own from the root on.
    fn lin(self) -> u64 {
        match self {
            Self::Legacy => 0x40_0000,
            Self::Pae => 0x4000_0000,
            Self::FourLevel => 0x80_0000_0000,
        }
    }

    fn entry_len(self) -> u64 {
        if self == Self::Legacy { 4 } else { 8 }
    }

    /// Where the entries of the tested address are, from the root to the leaf.
    fn path(self) -> Vec<u64> {
        let [pdpt, directory, table] = TESTED;
        match self {
            Self::Legacy => vec![ROOT + 4, table],
            Self::Pae => vec![ROOT + 8, directory, table],
            Self::FourLevel => vec![ROOT + 8, pdpt, directory, table],
        }
    }

    /// A guest whose code page is a user page at CPL 3 and a supervisor page else.
    fn guest(self, cpl: u8) -> Tested {
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
struct Tested {
    paging: Paging,
    guest: Guest,
    state: Option<CpuState>,
}

impl Tested {
    /// Writes the tested address's entries, given the bits that are not addresses, from the root to the leaf.
    fn map(&mut self, bits: &[u64]) {
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

    fn entry(&mut self, at: u64, value: u64) {
        let len = self.paging.entry_len() as usize;
        self.guest.bus.put(at, &value.to_le_bytes()[..len]);
    }

    /// As a load of CR3 does.
    fn load_pdptes(&mut self) {
        if self.paging == Paging::Pae {
            let cr3 = self.guest.cpu.control()[2];
            self.guest.cpu.load_pdptes(&self.guest.bus, cr3).unwrap();
        }
    }

    /// The entries of the tested address now.
    fn entries(&self) -> Vec<u64> {
        let width = if self.paging == Paging::Legacy { B4 } else { B8 };
        self.paging.path().iter().map(|at| self.guest.read(*at, width)).collect()
    }

    /// Executes one instruction at [`CODE`] and one behind it; the first exception of them.
    fn exec(&mut self, program: &[u8]) -> Option<Fault> {
        let mut bytes = program.to_vec();
        bytes.extend([0x90, 0xeb, 0xfe]);
        self.guest.bus.put(CODE, &bytes);
        self.guest.cpu.set_rip(CODE);
        self.guest.bus.records.clear();
        self.guest.run(2);
        self.guest.bus.records.iter().find_map(|(_, event)| match *event {
            TraceEvent::CpuException { vector, error, address, .. } => Some(Fault { vector, error, address }),
            _ => None,
        })
    }

    /// Puts the processor back as it was, under these controls.
    fn rewind(&mut self, change: impl FnOnce(&mut CpuState)) {
        let mut state = self.state.clone().unwrap();
        change(&mut state);
        self.guest.cpu.restore(state).unwrap();
        self.load_pdptes();
    }
}

impl crate::cpu::Cpu {
    /// Drops all translations.
    fn set_control_again(&mut self) {
        let [cr0, _, cr3, cr4, efer] = self.control();
        self.set_control(cr0, cr3, cr4, efer);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Fetch,
}

impl Access {
    fn program(self) -> &'static [u8] {
        match self {
            // mov al, [rbx] ; mov [rbx], al ; jmp rbx
            Self::Read => &[0x8a, 0x03],
            Self::Write => &[0x88, 0x03],
            Self::Fetch => &[0xff, 0xe3],
        }
    }
}

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
        let fault = tested.exec(access.program());
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

const MOV_CR3: &[u8] = &[0x0f, 0x22, 0xd8];
const MOV_CR4: &[u8] = &[0x0f, 0x22, 0xe0];
const MOV_CR0: &[u8] = &[0x0f, 0x22, 0xc0];
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

/// A load of a control register in 4-level paging and whether it is refused.
#[test]
fn control_registers_refuse_what_does_not_fit_together() {
    let base0 = cr0::PE | cr0::PG | cr0::WP | cr0::NE | cr0::ET;
    let base4 = cr4::PAE;
    for (program, value, pcide, refused) in [
        (MOV_CR0, base0, false, false),
        (MOV_CR0, base0 & !cr0::PE, false, true),
        (MOV_CR0, base0 | cr0::NW, false, true),
        (MOV_CR0, base0 | cr0::NW | cr0::CD, false, false),
        (MOV_CR0, base0 | 1 << 32, false, true),
        // Paging cannot be left from 64-bit code.
        (MOV_CR0, base0 & !cr0::PG, false, true),
        (MOV_CR4, base4, false, false),
        (MOV_CR4, 0, false, true),
        (MOV_CR4, base4 | 1 << 11, false, false),
        (MOV_CR4, base4 | 1 << 13, false, true),
        (MOV_CR4, base4 | 1 << 32, false, true),
        (MOV_CR4, base4 | cr4::PCIDE, false, false),
        (MOV_CR3, ROOT, false, false),
        (MOV_CR3, ROOT | 0xfff, false, false),
        (MOV_CR3, ROOT | 1 << 46, false, true),
        (MOV_CR3, ROOT | 1 << 63, false, true),
        (MOV_CR3, ROOT | 1 << 63, true, false),
        (MOV_CR3, ROOT | 1 << 62, true, true),
    ] {
        let mut tested = Paging::FourLevel.guest(0);
        tested.rewind(|state| {
            state.cr4 |= if pcide { cr4::PCIDE } else { 0 };
            state.gprs[RAX as usize] = value;
        });
        let before = tested.guest.cpu.control();
        let fault = tested.exec(program);
        assert_eq!(fault, refused.then_some(Fault::GP0), "{program:x?} {value:x}");
        if refused {
            assert_eq!(tested.guest.cpu.control(), before);
        }
    }
    // PCIDs cannot be turned on while CR3 names one, nor outside of long mode.
    let mut tested = Paging::FourLevel.guest(0);
    tested.rewind(|state| {
        state.cr3 |= 1;
        state.gprs[RAX as usize] = cr4::PAE | cr4::PCIDE;
    });
    assert_eq!(tested.exec(MOV_CR4), Some(Fault::GP0));
    let mut tested = Paging::Pae.guest(0);
    tested.guest.cpu.set_gpr(RAX, cr4::PAE | cr4::PCIDE);
    assert_eq!(tested.exec(MOV_CR4), Some(Fault::GP0));
    // CR3 reads without bit 63.
    let mut tested = Paging::FourLevel.guest(0);
    tested.rewind(|state| {
        state.cr4 |= cr4::PCIDE;
        state.gprs[RAX as usize] = ROOT | 7 | 1 << 63;
    });
    tested.exec(MOV_CR3);
    assert_eq!(tested.guest.cpu.control()[2], ROOT | 7);
}

#[test]
fn long_mode_is_entered_and_left_by_its_rules() {
    // mov cr0, eax with LME and without PAE ; with both ; from 64-bit descriptors.
    let on = cr0::PE | cr0::PG | cr0::ET;
    for (cr4, efer, refused) in
        [(0, efer::LME, true), (cr4::PAE, efer::LME, false), (cr4::PAE, 0, false), (0, 0, false)]
    {
        let mut guest = Guest::new(Mode::Protected32, 0, MOV_CR0);
        // Four-level, PAE and 32-bit tables in one: entries that point to tables of themselves do not matter here.
        guest.bus.put(0x1000, &[0; 0x1000]);
        guest.cpu.set_control(cr0::PE, 0x1000, cr4, efer);
        guest.cpu.set_gpr(RAX, on);
        guest.step();
        let refused_now = guest.exceptions().first() == Some(&(13, Some(0)));
        assert_eq!(refused_now, refused, "{cr4:x} {efer:x}");
        let [_, _, _, _, now] = guest.cpu.control();
        assert_eq!(now & efer::LMA != 0, efer & efer::LME != 0 && !refused);
    }
    // From compatibility mode paging can be turned off, and LMA goes.
    let mut guest = Guest::new(Mode::Compatibility, 0, MOV_CR0);
    guest.cpu.set_gpr(RAX, cr0::PE | cr0::ET);
    guest.step();
    assert_eq!((guest.cpu.control()[0] & cr0::PG, guest.cpu.control()[4] & efer::LMA), (0, 0));
    assert_eq!(guest.cpu.rip(), CODE + 3);
    // With PCIDs on it can't.
    let mut guest = Guest::new(Mode::Compatibility, 0, MOV_CR0);
    let [cr0, _, cr3, cr4, efer] = guest.cpu.control();
    guest.cpu.set_control(cr0, cr3, cr4 | cr4::PCIDE, efer);
    guest.cpu.set_gpr(RAX, cr0::PE | cr0::ET);
    guest.step();
    assert_eq!(guest.exceptions(), [(13, Some(0))]);
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
