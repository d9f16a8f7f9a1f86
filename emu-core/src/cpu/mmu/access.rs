//! Data accesses the long way: TLB lookup, walk, page crossings, device registers. The fast path falls back to these,
//! and everything that is not hot uses nothing else.
//!
//! Each access is translated in full before any byte moves, so a fault leaves no half-done access behind.

use super::segment::is_canonical;
use super::tlb::{Context, FastEntry, Mmu, TlbEntry};
use super::walk::Access;
use crate::access::Width;
use crate::addr::{Gpa, Lin, PAGE_SIZE};
use crate::cpu::regs::Seg;
use crate::cpu::{CodeSize, Cpu, CpuBus, Fault};

/// What an instruction is about to do with its operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Read it.
    Read,
    /// Overwrite it.
    Write,
    /// Read it and write it back: faults as a write before anything is read.
    Update,
}

impl Intent {
    fn access(self) -> Access {
        match self {
            Self::Read => Access::Read,
            Self::Write | Self::Update => Access::Write,
        }
    }
}

/// Physical pieces of an access: one, or two if it crosses a page.
#[derive(Clone, Copy)]
struct Pieces {
    first: Gpa,
    /// Bytes in the first piece.
    split: usize,
    second: Gpa,
}

impl Cpu {
    /// Loads `width` at `offset` in `seg`.
    pub(crate) fn load(
        &mut self,
        bus: &mut dyn CpuBus,
        seg: Seg,
        offset: u64,
        width: Width,
    ) -> Result<u64, Fault> {
        let lin = self.linear(seg, offset, width.bytes(), Intent::Read)?;
        self.check_alignment(lin, width.bytes())?;
        self.load_lin(bus, lin, width, self.data_context())
    }

    /// Stores `width` at `offset` in `seg`.
    pub(crate) fn store(
        &mut self,
        bus: &mut dyn CpuBus,
        seg: Seg,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), Fault> {
        let lin = self.linear(seg, offset, width.bytes(), Intent::Write)?;
        self.check_alignment(lin, width.bytes())?;
        self.store_lin(bus, lin, width, value, self.data_context())
    }

    /// Loads what is going to be stored back: raises now whatever the store would raise.
    pub(crate) fn load_for_update(
        &mut self,
        bus: &mut dyn CpuBus,
        seg: Seg,
        offset: u64,
        width: Width,
    ) -> Result<u64, Fault> {
        let lin = self.linear(seg, offset, width.bytes(), Intent::Update)?;
        self.check_alignment(lin, width.bytes())?;
        let context = self.data_context();
        self.probe(bus, lin, width.bytes(), Intent::Update, context)?;
        self.load_lin(bus, lin, width, context)
    }

    /// Loads bytes at `offset` in `seg`; at most a page.
    pub(crate) fn load_bytes(
        &mut self,
        bus: &mut dyn CpuBus,
        seg: Seg,
        offset: u64,
        buf: &mut [u8],
    ) -> Result<(), Fault> {
        let lin = self.linear(seg, offset, buf.len() as u64, Intent::Read)?;
        self.load_bytes_lin(bus, lin, buf, self.data_context())
    }

    /// #AC for a misaligned access at CPL 3 with alignment checks on.
    pub(crate) fn check_alignment(&self, lin: Lin, bytes: u64) -> Result<(), Fault> {
        if self.alignment_checked() && !lin.0.is_multiple_of(bytes) { Err(Fault::ALIGNMENT) } else { Ok(()) }
    }

    /// Loads `width` at a linear address.
    pub(crate) fn load_lin(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        width: Width,
        context: Context,
    ) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        self.load_bytes_lin(bus, lin, &mut bytes[..width.bytes() as usize], context)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Loads `width` for the processor itself: data breakpoints are for programs.
    pub(crate) fn load_unwatched(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        width: Width,
        context: Context,
    ) -> Result<u64, Fault> {
        let mut bytes = [0; 8];
        let buf = &mut bytes[..width.bytes() as usize];
        let pieces = self.pieces(bus, lin, buf.len(), Access::Read, context)?;
        self.note_pieces(lin, pieces, buf.len(), false);
        self.read_pieces(bus, pieces, buf);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Stores `width` for the processor itself.
    pub(crate) fn store_unwatched(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        width: Width,
        value: u64,
        context: Context,
    ) -> Result<(), Fault> {
        let bytes = value.to_le_bytes();
        let pieces = self.pieces(bus, lin, width.bytes() as usize, Access::Write, context)?;
        self.note_pieces(lin, pieces, width.bytes() as usize, true);
        self.write_pieces(bus, pieces, &bytes[..width.bytes() as usize]);
        Ok(())
    }

    /// Stores `width` at a linear address.
    pub(crate) fn store_lin(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        width: Width,
        value: u64,
        context: Context,
    ) -> Result<(), Fault> {
        self.store_bytes_lin(bus, lin, &value.to_le_bytes()[..width.bytes() as usize], context)
    }

    /// Loads bytes at a linear address; at most a page.
    pub(crate) fn load_bytes_lin(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        buf: &mut [u8],
        context: Context,
    ) -> Result<(), Fault> {
        let pieces = self.pieces(bus, lin, buf.len(), Access::Read, context)?;
        self.watch_data(lin, buf.len() as u64, false);
        self.note_pieces(lin, pieces, buf.len(), false);
        self.read_pieces(bus, pieces, buf);
        Ok(())
    }

    /// Stores bytes at a linear address; at most a page.
    pub(crate) fn store_bytes_lin(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        buf: &[u8],
        context: Context,
    ) -> Result<(), Fault> {
        let pieces = self.pieces(bus, lin, buf.len(), Access::Write, context)?;
        self.watch_data(lin, buf.len() as u64, true);
        self.note_pieces(lin, pieces, buf.len(), true);
        self.write_pieces(bus, pieces, buf);
        Ok(())
    }

    /// Raises whatever an access of `len` bytes (at most a page) would raise, and does nothing else than a walk does.
    pub(crate) fn probe(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        len: u64,
        intent: Intent,
        context: Context,
    ) -> Result<(), Fault> {
        self.pieces(bus, lin, len as usize, intent.access(), context).map(drop)
    }

    fn pieces(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        len: usize,
        access: Access,
        context: Context,
    ) -> Result<Pieces, Fault> {
        assert!(len as u64 <= PAGE_SIZE, "an access spans at most two pages");
        let first = self.translate_data(bus, lin, access, context)?;
        let room = (PAGE_SIZE - lin.page_offset()) as usize;
        if len <= room {
            return Ok(Pieces { first, split: len, second: first });
        }
        let mut next = lin.page_base().plus(PAGE_SIZE);
        // 32-bit code's addresses wrap; those that long mode itself makes may lie anywhere.
        if next.0 == 1 << 32 && self.code_size() != CodeSize::Bits64 {
            next = Lin(0);
        }
        let second = self.translate_data(bus, next, access, context)?;
        Ok(Pieces { first, split: room, second })
    }

    /// The physical address of a byte: from the TLB if its entry permits, else by a walk that also refreshes the entry.
    pub(super) fn translate_data(
        &mut self,
        bus: &mut dyn CpuBus,
        lin: Lin,
        access: Access,
        context: Context,
    ) -> Result<Gpa, Fault> {
        let index = Mmu::data_index(context, lin.0);
        let page = lin.page_base();
        let pcid = self.pcid();
        if let Some(entry) = self.mmu.data[index]
            && entry.lin == page
            && (entry.global || entry.pcid == pcid)
            && self.entry_permits(&entry, access, context)
            && (access != Access::Write || entry.dirty)
        {
            self.install_fast(bus, index, &entry, access, context);
            return Ok(entry.gpa.plus(lin.page_offset()));
        }
        debug_assert!(self.code_size() != CodeSize::Bits64 || is_canonical(lin.0), "checked by `linear`");
        let entry = self.walk(bus, lin, access, context)?;
        self.mmu.large.note(&entry);
        self.mmu.data[index] = Some(entry);
        self.mmu.fast[index] = FastEntry::EMPTY;
        self.install_fast(bus, index, &entry, access, context);
        Ok(entry.gpa.plus(lin.page_offset()))
    }

    /// Makes the tags that an entry allows: RAM and ROM may be read directly, and written if the page holds no decoded
    /// code and nobody watches it; neither if a data breakpoint lies in it.
    fn install_fast(
        &mut self,
        bus: &mut dyn CpuBus,
        index: usize,
        entry: &TlbEntry,
        access: Access,
        context: Context,
    ) {
        let Some(page) = bus.mem_ref().host_page(entry.gpa) else { return };
        if self.is_watched(entry.lin) || self.is_stop_page(entry.lin, entry.gpa) {
            self.mmu.fast[index] = FastEntry::EMPTY;
            return;
        }
        let readable = self.entry_permits(entry, Access::Read, context);
        let writable = access == Access::Write && page.writable && !bus.mem_ref().is_seen(entry.gpa);
        if writable {
            bus.mem().mark_dirty(entry.gpa);
        }
        let fast = &mut self.mmu.fast[index];
        let tag = entry.lin.0;
        let write = if writable || fast.write == tag { tag } else { u64::MAX };
        *fast = FastEntry {
            read: if readable { tag } else { u64::MAX },
            write,
            addend: (page.host as u64).wrapping_sub(tag),
        };
    }

    /// Tells a debugger's stops of an access.
    fn note_pieces(&mut self, lin: Lin, pieces: Pieces, len: usize, write: bool) {
        let head = len.min(pieces.split);
        self.note_access(lin, pieces.first, head as u64, write);
        if head < len {
            self.note_access(lin.plus(head as u64), pieces.second, (len - head) as u64, write);
        }
    }

    fn read_pieces(&mut self, bus: &mut dyn CpuBus, pieces: Pieces, buf: &mut [u8]) {
        let (head, tail) = buf.split_at_mut(pieces.split);
        self.read_phys(bus, pieces.first, head);
        if !tail.is_empty() {
            self.read_phys(bus, pieces.second, tail);
        }
    }

    fn write_pieces(&mut self, bus: &mut dyn CpuBus, pieces: Pieces, buf: &[u8]) {
        let (head, tail) = buf.split_at(pieces.split);
        self.write_phys(bus, pieces.first, head);
        if !tail.is_empty() {
            self.write_phys(bus, pieces.second, tail);
        }
    }

    /// Reads physical bytes within one page, from memory or from device registers.
    pub(crate) fn read_phys(&mut self, bus: &mut dyn CpuBus, gpa: Gpa, buf: &mut [u8]) {
        if bus.mem_ref().read(gpa, buf).is_ok() {
            return;
        }
        let mut done = 0;
        for width in register_widths(gpa, buf.len()) {
            let at = self.stamp();
            let reply = bus.mmio_read(at, gpa.plus(done as u64), width);
            let len = width.bytes() as usize;
            buf[done..done + len].copy_from_slice(&reply.value.to_le_bytes()[..len]);
            done += len;
            self.heed_watches(bus);
            self.after_device_access(reply.cost);
        }
    }

    /// Writes physical bytes within one page, to memory or to device registers. ROM ignores them.
    pub(crate) fn write_phys(&mut self, bus: &mut dyn CpuBus, gpa: Gpa, buf: &[u8]) {
        if bus.mem().write(gpa, buf).is_ok() {
            if bus.mem_ref().has_code_writes() {
                self.code_was_written(bus);
            }
            if bus.mem_ref().has_watched_writes() {
                bus.watched_write(self.stamp(), self.rip);
                self.heed_watches(bus);
            }
            return;
        }
        if bus.mem_ref().host_page(gpa).is_some() {
            return;
        }
        let mut done = 0;
        for width in register_widths(gpa, buf.len()) {
            let len = width.bytes() as usize;
            let mut value = [0; 8];
            value[..len].copy_from_slice(&buf[done..done + len]);
            let at = self.stamp();
            let reply = bus.mmio_write(at, gpa.plus(done as u64), width, u64::from_le_bytes(value));
            done += len;
            self.heed_watches(bus);
            self.after_device_access(reply.cost);
        }
    }

    /// Pages may have come to be watched: no store may go round the watch.
    pub(crate) fn heed_watches(&mut self, bus: &mut dyn CpuBus) {
        if bus.mem_ref().has_newly_watched() && bus.mem().take_newly_watched() {
            self.mmu.drop_all_write_tags();
        }
    }
}

/// Cuts an access to device registers into naturally aligned pieces: one if it is aligned and of a register's width.
fn register_widths(gpa: Gpa, len: usize) -> impl Iterator<Item = Width> {
    let mut at = gpa.0;
    let end = gpa.0 + len as u64;
    std::iter::from_fn(move || {
        let width = [Width::B8, Width::B4, Width::B2, Width::B1]
            .into_iter()
            .find(|width| at.is_multiple_of(width.bytes()) && at + width.bytes() <= end)?;
        at += width.bytes();
        (width.bytes() > 0).then_some(width)
    })
}

impl Cpu {
    /// Translates the page that `rip` is fetched from, through the instruction TLB, and remembers it as the current code
    /// page. Only a change of page asks here, in every engine tier alike.
    pub(crate) fn fetch_page(&mut self, bus: &mut dyn CpuBus, lin: Lin) -> Result<Gpa, Fault> {
        let user = self.cpl == 3;
        let page = lin.page_base();
        if let Some(code) = self.mmu.code_page
            && code.lin == page
            && code.user == user
        {
            return Ok(code.gpa);
        }
        let gpa = self.translate_code(bus, lin)?;
        self.mmu.code_page = Some(super::tlb::CodePage { lin: page, gpa, user });
        Ok(gpa)
    }

    /// Where a page is fetched from, if the instruction TLB says so.
    pub(crate) fn cached_fetch(&self, page: Lin) -> Option<Gpa> {
        let context = if self.cpl == 3 { Context::User } else { self.system_context() };
        let pcid = self.pcid();
        self.mmu.code[Mmu::code_index(self.cpl == 3, page.0)]
            .filter(|entry| entry.lin == page && (entry.global || entry.pcid == pcid))
            .filter(|entry| self.entry_permits(entry, Access::Fetch, context))
            .map(|entry| entry.gpa)
    }

    /// Bytes of the instruction at `lin` once more, by the translations that it was fetched through, which are still there.
    pub(crate) fn fetched(&self, bus: &dyn CpuBus, lin: Lin, bytes: &mut [u8]) {
        for (n, byte) in (0..).zip(bytes) {
            let mut at = lin.plus(n);
            if self.code_size() != CodeSize::Bits64 {
                at.0 &= 0xffff_ffff;
            }
            let page = self.cached_fetch(at.page_base()).unwrap_or_default();
            let _ = bus.mem_ref().read(page.plus(at.page_offset()), std::slice::from_mut(byte));
        }
    }

    /// Translates the page of an address for fetching without making it the current one: the second page of an
    /// instruction that crosses. A page fault names the address itself.
    pub(crate) fn translate_code(&mut self, bus: &mut dyn CpuBus, lin: Lin) -> Result<Gpa, Fault> {
        let page = lin.page_base();
        if let Some(gpa) = self.cached_fetch(page) {
            return Ok(gpa);
        }
        let context = if self.cpl == 3 { Context::User } else { self.system_context() };
        let index = Mmu::code_index(self.cpl == 3, page.0);
        let entry = self.walk(bus, lin, Access::Fetch, context)?;
        self.mmu.large.note(&entry);
        if self.mmu.code[index].replace(entry).is_some() {
            // A link made through the evicted translation would skip the walk that a jump there now costs.
            self.mmu.code_generation += 1;
        }
        Ok(entry.gpa)
    }
}
