//! The page walk: 32-bit, PAE and 4-level tables, permissions, accessed and dirty bits, page-fault error codes.
//!
//! SDM vol. 3A, sections 4.3 to 4.8; error code: figure 4-12.

use super::tlb::{Context, TlbEntry};
use crate::addr::{Gpa, Lin};
use crate::cpu::control::{cr0, cr4, efer};
use crate::cpu::{Cpu, CpuBus, Fault};

/// What an access wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
    Fetch,
}

/// Bits of a paging-structure entry.
mod entry {
    pub(super) const P: u64 = 1 << 0;
    pub(super) const RW: u64 = 1 << 1;
    pub(super) const US: u64 = 1 << 2;
    pub(super) const A: u64 = 1 << 5;
    pub(super) const D: u64 = 1 << 6;
    pub(super) const PS: u64 = 1 << 7;
    pub(super) const G: u64 = 1 << 8;
    pub(super) const XD: u64 = 1 << 63;
}

/// Bits of the error code.
mod error {
    pub(super) const P: u32 = 1 << 0;
    pub(super) const WR: u32 = 1 << 1;
    pub(super) const US: u32 = 1 << 2;
    pub(super) const RSVD: u32 = 1 << 3;
    pub(super) const ID: u32 = 1 << 4;
}

/// Physical addresses have this many bits (CPUID 0x80000008).
pub(crate) const PHYS_BITS: u32 = 46;
/// Address bits 51:12 of an entry.
const ADDR: u64 = 0x000f_ffff_ffff_f000;
/// Address bits that must be zero.
const ADDR_RESERVED: u64 = ADDR & !((1 << PHYS_BITS) - 1);

/// A translation without side effects, as a debugger sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Translation {
    /// Physical address of the byte asked for.
    pub gpa: Gpa,
    /// Writable at every level.
    pub writable: bool,
    /// User-accessible at every level.
    pub user: bool,
    /// Executable.
    pub executable: bool,
    /// log2 of the page size.
    pub size_log2: u8,
}

/// One level of a walk.
#[derive(Clone, Copy)]
struct Level {
    /// Lowest address bit that its index covers.
    shift: u32,
    /// Bits of index.
    bits: u32,
    /// May map a page itself if PS is set.
    large: bool,
}

const FOUR_LEVEL: [Level; 4] = [
    Level { shift: 39, bits: 9, large: false },
    Level { shift: 30, bits: 9, large: true },
    Level { shift: 21, bits: 9, large: true },
    Level { shift: 12, bits: 9, large: false },
];
const PAE: [Level; 2] =
    [Level { shift: 21, bits: 9, large: true }, Level { shift: 12, bits: 9, large: false }];
const LEGACY: [Level; 2] =
    [Level { shift: 22, bits: 10, large: true }, Level { shift: 12, bits: 10, large: false }];

/// Entries read on the way, for the accessed bits.
struct Path {
    entries: [(Gpa, u64); 4],
    len: usize,
}

/// A walk that found its leaf.
struct Leaf {
    gpa: u64,
    rights: Rights,
    global: bool,
    size_log2: u8,
    path: Path,
}

#[derive(Clone, Copy)]
struct Rights {
    writable: bool,
    user: bool,
    executable: bool,
}

/// Why a walk found none: the P and RSVD bits of the error code.
struct Miss(u32);

impl Cpu {
    /// Translates one page for an access, setting accessed and dirty bits, or raises the page fault. The caller has
    /// looked into the TLB.
    pub(super) fn walk(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        access: Access,
        context: Context,
    ) -> Result<TlbEntry, Fault> {
        if !self.paging() {
            return Ok(unpaged(lin, context));
        }
        let leaf = self.find_leaf(bus, lin);
        let reads = leaf.as_ref().map_or(1, |leaf| leaf.path.len as u64);
        self.mmu.stats.walks += 1;
        self.mmu.stats.walk_reads += reads;
        self.charge_walk(reads);
        let leaf = match leaf {
            Ok(leaf) if self.permitted(leaf.rights, access, context) => leaf,
            Ok(_) => return Err(self.page_fault(lin, access, context, error::P)),
            Err(Miss(bits)) => return Err(self.page_fault(lin, access, context, bits)),
        };
        self.set_accessed_dirty(bus, &leaf.path, access == Access::Write);
        let dirty = access == Access::Write || leaf.path.entries[leaf.path.len - 1].1 & entry::D != 0;
        Ok(TlbEntry {
            lin: lin.page_base(),
            gpa: Gpa(leaf.gpa).page_base(),
            pcid: self.pcid(),
            global: leaf.global && self.cr4 & cr4::PGE != 0,
            writable: leaf.rights.writable,
            user: leaf.rights.user,
            executable: leaf.rights.executable,
            dirty,
            size_log2: leaf.size_log2,
        })
    }

    /// Current process-context identifier; 0 unless CR4.PCIDE.
    pub(crate) fn pcid(&self) -> u16 {
        if self.cr4 & cr4::PCIDE != 0 { (self.cr3 & 0xfff) as u16 } else { 0 }
    }

    /// Translates without touching anything: for inspectors and debuggers.
    #[must_use]
    pub fn translate(&self, bus: &dyn CpuBus, lin: Lin) -> Option<Translation> {
        if !self.paging() {
            let gpa = Gpa(lin.0 & 0xffff_ffff);
            return Some(Translation { gpa, writable: true, user: true, executable: true, size_log2: 12 });
        }
        let leaf = self.find_leaf(bus, lin).ok()?;
        let Rights { writable, user, executable } = leaf.rights;
        Some(Translation { gpa: Gpa(leaf.gpa), writable, user, executable, size_log2: leaf.size_log2 })
    }

    /// Whether an access by these rights goes through (SDM vol. 3A, 4.6.1).
    pub(super) fn entry_permits(&self, entry: &TlbEntry, access: Access, context: Context) -> bool {
        let rights = Rights { writable: entry.writable, user: entry.user, executable: entry.executable };
        self.permitted(rights, access, context)
    }

    fn permitted(&self, rights: Rights, access: Access, context: Context) -> bool {
        let user = context == Context::User;
        match access {
            _ if user && !rights.user => false,
            Access::Fetch => rights.executable && (user || !rights.user || self.cr4 & cr4::SMEP == 0),
            Access::Read | Access::Write if context == Context::Supervisor && rights.user => false,
            Access::Read => true,
            Access::Write => rights.writable || !user && self.cr0 & cr0::WP == 0,
        }
    }

    fn page_fault(&mut self, lin: Lin, access: Access, context: Context, bits: u32) -> Fault {
        let mut code = bits;
        if access == Access::Write {
            code |= error::WR;
        }
        if context == Context::User {
            code |= error::US;
        }
        let tells_fetch =
            self.cr4 & cr4::SMEP != 0 || (self.cr4 & cr4::PAE != 0 && self.efer & efer::NXE != 0);
        if access == Access::Fetch && tells_fetch {
            code |= error::ID;
        }
        Fault::page(code, lin)
    }

    fn find_leaf(&self, bus: &(impl CpuBus + ?Sized), lin: Lin) -> Result<Leaf, Miss> {
        let rights = Rights { writable: true, user: true, executable: true };
        if self.long_mode() {
            self.descend(bus, lin, &FOUR_LEVEL, self.cr3 & ADDR, 8, rights)
        } else if self.cr4 & cr4::PAE != 0 {
            let pdpte = self.mmu.pdptes[(lin.0 >> 30 & 3) as usize];
            if pdpte & entry::P == 0 {
                return Err(Miss(0));
            }
            self.descend(bus, lin, &PAE, pdpte & ADDR, 8, rights)
        } else {
            self.descend(bus, lin, &LEGACY, self.cr3 & 0xffff_f000, 4, rights)
        }
    }

    fn descend(
        &self,
        bus: &(impl CpuBus + ?Sized),
        lin: Lin,
        levels: &[Level],
        root: u64,
        entry_bytes: u64,
        mut rights: Rights,
    ) -> Result<Leaf, Miss> {
        let mut table = root;
        let mut path = Path { entries: [(Gpa(0), 0); 4], len: 0 };
        for (depth, level) in levels.iter().enumerate() {
            let index = lin.0 >> level.shift & ((1 << level.bits) - 1);
            let at = Gpa(table + index * entry_bytes);
            let value = read_entry(bus, at, entry_bytes);
            path.entries[depth] = (at, value);
            path.len = depth + 1;
            if value & entry::P == 0 {
                return Err(Miss(0));
            }
            let last = depth + 1 == levels.len();
            let maps = last
                || level.large && value & entry::PS != 0 && (entry_bytes == 8 || self.cr4 & cr4::PSE != 0);
            if value & self.reserved_bits(level, entry_bytes, last, maps) != 0 {
                return Err(Miss(error::P | error::RSVD));
            }
            rights.writable &= value & entry::RW != 0;
            rights.user &= value & entry::US != 0;
            rights.executable &= entry_bytes == 4 || value & entry::XD == 0;
            if maps {
                let gpa = page_base(value, level.shift, entry_bytes) | lin.0 & ((1 << level.shift) - 1);
                let global = value & entry::G != 0;
                return Ok(Leaf { gpa, rights, global, size_log2: level.shift as u8, path });
            }
            table = if entry_bytes == 8 { value & ADDR } else { value & 0xffff_f000 };
        }
        Err(Miss(0))
    }

    /// Bits of an entry that must be zero (SDM vol. 3A, tables 4-4 to 4-20).
    fn reserved_bits(&self, level: &Level, entry_bytes: u64, last: bool, maps: bool) -> u64 {
        if entry_bytes == 4 {
            // A 4 MiB page takes address bits 39:32 from bits 20:13 (PSE-36); only bit 21 is reserved.
            return if maps && !last { 1 << 21 } else { 0 };
        }
        let mut reserved = ADDR_RESERVED;
        if self.efer & efer::NXE == 0 {
            reserved |= entry::XD;
        }
        if !self.long_mode() {
            reserved |= 0x7ff << 52;
        }
        if maps && !last {
            // Bit 12 is PAT; the rest below the page's own address must be clear.
            reserved |= ((1 << level.shift) - 1) & !0x1fff;
        } else if !maps && !level.large {
            reserved |= entry::PS;
        }
        reserved
    }

    fn set_accessed_dirty(&mut self, bus: &mut dyn CpuBus, path: &Path, write: bool) {
        let entry_bytes = if self.long_mode() || self.cr4 & cr4::PAE != 0 { 8 } else { 4 };
        for (depth, (at, value)) in path.entries[..path.len].iter().enumerate() {
            let leaf = depth + 1 == path.len;
            let wanted = value | entry::A | if leaf && write { entry::D } else { 0 };
            if wanted != *value {
                let bytes = wanted.to_le_bytes();
                // A table in ROM or in nothing keeps its bits: there is nobody to store them.
                let _ = bus.mem().write(*at, &bytes[..entry_bytes]);
                if bus.mem_ref().has_watched_writes() {
                    bus.watched_write(self.stamp(), self.rip);
                }
            }
        }
    }

    /// Reads the four PDPTEs that a load of CR3 in PAE mode caches. `None` if one has reserved bits set: #GP(0).
    pub(crate) fn load_pdptes(&mut self, bus: &dyn CpuBus, cr3: u64) -> Option<()> {
        let table = cr3 & 0xffff_ffe0;
        let mut pdptes = [0; 4];
        for (index, pdpte) in pdptes.iter_mut().enumerate() {
            *pdpte = read_entry(bus, Gpa(table + index as u64 * 8), 8);
            let reserved = ADDR_RESERVED | 0xfff << 52 | 0x1e6;
            if *pdpte & entry::P != 0 && *pdpte & reserved != 0 {
                return None;
            }
        }
        self.mmu.pdptes = pdptes;
        Some(())
    }
}

/// Without paging every address is itself, cut to 32 bits.
fn unpaged(lin: Lin, context: Context) -> TlbEntry {
    TlbEntry {
        lin: lin.page_base(),
        gpa: Gpa(lin.0 & 0xffff_f000),
        pcid: 0,
        global: false,
        writable: true,
        user: context == Context::User,
        executable: true,
        dirty: true,
        size_log2: 12,
    }
}

/// What the page's own address bits say, for a leaf at a level of that shift.
fn page_base(value: u64, shift: u32, entry_bytes: u64) -> u64 {
    let low_clear = !((1u64 << shift) - 1);
    if entry_bytes == 8 {
        value & ADDR & low_clear
    } else if shift == 22 {
        (value & 0xffc0_0000) | (value >> 13 & 0xff) << 32
    } else {
        value & 0xffff_f000
    }
}

/// Reads a table entry; where no memory answers the bus floats to all-ones.
fn read_entry(bus: &(impl CpuBus + ?Sized), at: Gpa, bytes: u64) -> u64 {
    if bytes == 8 {
        bus.mem_ref().read_u64(at).unwrap_or(u64::MAX)
    } else {
        bus.mem_ref().read_u32(at).map_or(0xffff_ffff, u64::from)
    }
}
