//! Physical memory: RAM below and above the 4 GiB hole, ROM, and what is known of each page.
//!
//! Every write that is not a processor's fast-path store comes through here, so that pages that hold decoded code and
//! pages changed since the last snapshot are known. Which *device* answers an address is [`map`]'s business.

mod host;
pub mod map;
#[cfg(test)]
mod tests;

pub use host::{HostPage, HostRam};
pub use map::{AddressMap, Region};

use crate::addr::{Gpa, PAGE_SIZE};

/// RAM below 4 GiB ends here at the latest: above lie PCI windows, interrupt controllers and the ROM.
pub const LOW_RAM_END: u64 = 0xc000_0000;
/// RAM beyond [`LOW_RAM_END`] goes on here.
pub const HIGH_RAM_BASE: u64 = 1 << 32;
/// Where the 4 GiB hole ends: ROM images end here.
pub const ROM_END: u64 = 1 << 32;

/// Why memory can't be had or loaded.
#[derive(Debug, thiserror::Error)]
pub enum MemError {
    /// RAM size is zero, not whole pages, or more than is modelled.
    #[error("RAM size {0:#x} is not a multiple of 4 KiB between 1 MiB and 64 GiB")]
    Size(u64),
    /// The host has no room.
    #[error("the host can't map {size:#x} bytes of guest RAM: {source}")]
    Host {
        /// Bytes asked for.
        size: u64,
        /// The host's words.
        source: std::io::Error,
    },
    /// A ROM image is empty, not whole pages, or too large for its hole.
    #[error("ROM image of {0:#x} bytes is not a multiple of 4 KiB up to 16 MiB")]
    Rom(usize),
}

/// No memory answers at (part of) that address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no memory at {0}")]
pub struct Unbacked(pub Gpa);

/// What is known of a RAM page, as bits.
mod flag {
    /// Written since the last [`super::PhysMem::take_dirty`].
    pub(super) const DIRTY: u8 = 1;
    /// Holds instructions that are in the decode cache.
    pub(super) const CODE: u8 = 2;
    /// Somebody outside of the machine wants to hear of every write.
    pub(super) const WATCHED: u8 = 4;
}

/// A write that somebody is to see: the decode cache before the next instruction, or who watches a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenWrite {
    /// The first byte written.
    pub gpa: Gpa,
    /// How many bytes, all within one page.
    pub len: u64,
}

/// Guest-physical memory.
#[derive(Debug)]
pub struct PhysMem {
    ram: HostRam,
    flags: Vec<u8>,
    /// Pages with the dirty flag, by number within RAM, in the order in which they were first written.
    dirty: Vec<u32>,
    low_end: u64,
    high_end: u64,
    rom: Option<HostRam>,
    rom_base: u64,
    code_writes: Vec<SeenWrite>,
    watched_writes: Vec<SeenWrite>,
    /// A page is watched to which processors may have write translations.
    newly_watched: bool,
}

/// Where an address lies.
enum Place {
    /// Offset into RAM, bytes until RAM's piece ends.
    Ram(u64, u64),
    /// Offset into ROM, bytes until it ends.
    Rom(u64, u64),
    /// Nowhere.
    None,
}

impl PhysMem {
    /// `size` bytes of zeroed RAM: up to 3 GiB from address 0, the rest from 4 GiB on.
    pub fn new(size: u64) -> Result<Self, MemError> {
        if !size.is_multiple_of(PAGE_SIZE) || !(1 << 20..=64 << 30).contains(&size) {
            return Err(MemError::Size(size));
        }
        let pages = usize::try_from(size / PAGE_SIZE).map_err(|_| MemError::Size(size))?;
        let low_end = size.min(LOW_RAM_END);
        Ok(Self {
            ram: HostRam::new(size)?,
            flags: vec![0; pages],
            dirty: Vec::new(),
            low_end,
            high_end: HIGH_RAM_BASE + (size - low_end),
            rom: None,
            rom_base: ROM_END,
            code_writes: Vec::new(),
            watched_writes: Vec::new(),
            newly_watched: false,
        })
    }

    /// Puts a read-only image so that its last byte is at 4 GiB - 1, where the reset vector is, and copies its last
    /// 128 KiB (or all of it) to just below 1 MiB as chipsets shadow it.
    pub fn load_rom(&mut self, image: &[u8]) -> Result<(), MemError> {
        let len = image.len() as u64;
        if len == 0 || !len.is_multiple_of(PAGE_SIZE) || len > 16 << 20 {
            return Err(MemError::Rom(image.len()));
        }
        let mut rom = HostRam::new(len)?;
        rom.write(0, image);
        self.rom = Some(rom);
        self.rom_base = ROM_END - len;
        let shadow = &image[image.len() - image.len().min(128 << 10)..];
        let base = Gpa((1 << 20) - shadow.len() as u64);
        self.write(base, shadow).map_err(|_| MemError::Rom(image.len()))
    }

    /// Bytes of RAM.
    #[must_use]
    pub fn ram_size(&self) -> u64 {
        self.ram.len()
    }

    /// RAM as `(base, end)` pieces in ascending order, for memory maps.
    #[must_use]
    pub fn ram_ranges(&self) -> Vec<(Gpa, Gpa)> {
        let mut ranges = vec![(Gpa(0), Gpa(self.low_end))];
        if self.high_end > HIGH_RAM_BASE {
            ranges.push((Gpa(HIGH_RAM_BASE), Gpa(self.high_end)));
        }
        ranges
    }

    fn place(&self, gpa: u64) -> Place {
        if gpa < self.low_end {
            Place::Ram(gpa, self.low_end - gpa)
        } else if (HIGH_RAM_BASE..self.high_end).contains(&gpa) {
            Place::Ram(gpa - HIGH_RAM_BASE + self.low_end, self.high_end - gpa)
        } else if (self.rom_base..ROM_END).contains(&gpa) {
            Place::Rom(gpa - self.rom_base, ROM_END - gpa)
        } else {
            Place::None
        }
    }

    /// Reads RAM or ROM. Nothing is read unless all of it is backed.
    pub fn read(&self, gpa: Gpa, buf: &mut [u8]) -> Result<(), Unbacked> {
        let len = buf.len() as u64;
        match self.place(gpa.0) {
            Place::Ram(offset, room) if len <= room => self.ram.read(offset, buf),
            Place::Rom(offset, room) if len <= room => {
                if let Some(rom) = &self.rom {
                    rom.read(offset, buf);
                }
            }
            Place::Ram(..) | Place::Rom(..) | Place::None => return Err(Unbacked(gpa)),
        }
        Ok(())
    }

    /// Writes RAM. Nothing is written unless all of it is backed by RAM.
    pub fn write(&mut self, gpa: Gpa, buf: &[u8]) -> Result<(), Unbacked> {
        let len = buf.len() as u64;
        let Place::Ram(offset, room) = self.place(gpa.0) else { return Err(Unbacked(gpa)) };
        if len > room {
            return Err(Unbacked(gpa));
        }
        if len == 0 {
            return Ok(());
        }
        self.ram.write(offset, buf);
        self.note_write(gpa, offset, len);
        Ok(())
    }

    /// Marks the pages of a write as dirty and remembers those that hold decoded code.
    fn note_write(&mut self, gpa: Gpa, offset: u64, len: u64) {
        let mut done = 0;
        while done < len {
            let here = (len - done).min(PAGE_SIZE - (offset + done) % PAGE_SIZE);
            let page = (offset + done) / PAGE_SIZE;
            self.note_dirty(page);
            let write = SeenWrite { gpa: gpa.plus(done), len: here };
            let flags = self.flags[page as usize];
            if flags & flag::CODE != 0 {
                self.code_writes.push(write);
            }
            if flags & flag::WATCHED != 0 {
                self.watched_writes.push(write);
            }
            done += here;
        }
    }

    fn note_dirty(&mut self, page: u64) {
        let flags = &mut self.flags[page as usize];
        if *flags & flag::DIRTY == 0 {
            *flags |= flag::DIRTY;
            self.dirty.push(page as u32);
        }
    }

    /// Reads a little-endian dword.
    pub fn read_u32(&self, gpa: Gpa) -> Result<u32, Unbacked> {
        let mut bytes = [0; 4];
        self.read(gpa, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads a little-endian qword.
    pub fn read_u64(&self, gpa: Gpa) -> Result<u64, Unbacked> {
        let mut bytes = [0; 8];
        self.read(gpa, &mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Writes a little-endian dword.
    pub fn write_u32(&mut self, gpa: Gpa, value: u32) -> Result<(), Unbacked> {
        self.write(gpa, &value.to_le_bytes())
    }

    /// Writes a little-endian qword.
    pub fn write_u64(&mut self, gpa: Gpa, value: u64) -> Result<(), Unbacked> {
        self.write(gpa, &value.to_le_bytes())
    }

    /// The host memory behind a 4 KiB page, for the software TLB; `None` where a device or nothing answers.
    #[must_use]
    pub fn host_page(&self, page: Gpa) -> Option<HostPage> {
        match self.place(page.page_base().0) {
            Place::Ram(offset, _) => Some(HostPage { host: self.ram.host_addr(offset), writable: true }),
            Place::Rom(offset, _) => {
                self.rom.as_ref().map(|rom| HostPage { host: rom.host_addr(offset), writable: false })
            }
            Place::None => None,
        }
    }

    /// Says that the processor is about to store to a RAM page through its TLB: the page is dirty from now on.
    pub fn mark_dirty(&mut self, page: Gpa) {
        if let Place::Ram(offset, _) = self.place(page.0) {
            self.note_dirty(offset / PAGE_SIZE);
        }
    }

    /// Puts a whole page of RAM back as it was. Decoded code is told of what that changes; the page does not become dirty.
    pub fn put_back(&mut self, page: Gpa, bytes: &[u8; PAGE_SIZE as usize]) -> Result<(), Unbacked> {
        let Place::Ram(offset, _) = self.place(page.page_base().0) else { return Err(Unbacked(page)) };
        if self.flags[(offset / PAGE_SIZE) as usize] & flag::CODE != 0 {
            let mut there = [0; PAGE_SIZE as usize];
            self.ram.read(offset, &mut there);
            let differs = |at: &usize| there[*at] != bytes[*at];
            let (Some(first), Some(last)) = ((0..there.len()).find(differs), (0..there.len()).rfind(differs))
            else {
                return Ok(());
            };
            let gpa = page.page_base().plus(first as u64);
            self.code_writes.push(SeenWrite { gpa, len: (last - first + 1) as u64 });
        }
        self.ram.write(offset, bytes);
        Ok(())
    }

    fn flags_of(&self, page: Gpa) -> u8 {
        match self.place(page.0) {
            Place::Ram(offset, _) => self.flags[(offset / PAGE_SIZE) as usize],
            Place::Rom(..) | Place::None => 0,
        }
    }

    /// Whether stores to the page are to come through [`Self::write`], each of them.
    #[must_use]
    pub fn is_seen(&self, page: Gpa) -> bool {
        self.flags_of(page) & (flag::CODE | flag::WATCHED) != 0
    }

    /// Says whether writes to the page are to be told of. That is no part of the machine: what runs in it can't notice.
    pub fn watch(&mut self, page: Gpa, watched: bool) {
        if let Place::Ram(offset, _) = self.place(page.0) {
            let flags = &mut self.flags[(offset / PAGE_SIZE) as usize];
            self.newly_watched |= watched && *flags & flag::WATCHED == 0;
            *flags = if watched { *flags | flag::WATCHED } else { *flags & !flag::WATCHED };
        }
    }

    /// Whether writes to watched pages wait to be told of.
    #[must_use]
    pub fn has_watched_writes(&self) -> bool {
        !self.watched_writes.is_empty()
    }

    /// Takes the writes to watched pages since the last call.
    pub fn take_watched_writes(&mut self) -> Vec<SeenWrite> {
        std::mem::take(&mut self.watched_writes)
    }

    /// Whether pages are watched to which processors may still have write translations.
    #[must_use]
    pub fn has_newly_watched(&self) -> bool {
        self.newly_watched
    }

    /// Processors have dropped their write translations.
    pub fn take_newly_watched(&mut self) -> bool {
        std::mem::take(&mut self.newly_watched)
    }

    /// Whether the page holds decoded code.
    #[must_use]
    pub fn is_code(&self, page: Gpa) -> bool {
        self.flags_of(page) & flag::CODE != 0
    }

    /// Says whether the page holds decoded code.
    pub fn set_code(&mut self, page: Gpa, code: bool) {
        if let Place::Ram(offset, _) = self.place(page.0) {
            let flags = &mut self.flags[(offset / PAGE_SIZE) as usize];
            *flags = if code { *flags | flag::CODE } else { *flags & !flag::CODE };
        }
    }

    /// Whether writes to decoded code wait to be seen.
    #[must_use]
    pub fn has_code_writes(&self) -> bool {
        !self.code_writes.is_empty()
    }

    /// Takes the writes to decoded code since the last call.
    pub fn take_code_writes(&mut self) -> Vec<SeenWrite> {
        std::mem::take(&mut self.code_writes)
    }

    /// Takes the RAM pages written since the last call, or since there was memory, in ascending order. Processors must drop
    /// their write translations.
    pub fn take_dirty(&mut self) -> Vec<Gpa> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.sort_unstable();
        for page in &dirty {
            self.flags[*page as usize] &= !flag::DIRTY;
        }
        dirty.into_iter().map(|page| self.gpa_of(page)).collect()
    }

    /// The pages that [`Self::take_dirty`] would take, in no order.
    pub fn dirty(&self) -> impl Iterator<Item = Gpa> {
        self.dirty.iter().map(|page| self.gpa_of(*page))
    }

    /// Address of a page by its number within RAM.
    fn gpa_of(&self, page: u32) -> Gpa {
        let offset = u64::from(page) * PAGE_SIZE;
        Gpa(match offset.checked_sub(self.low_end) {
            Some(high) => HIGH_RAM_BASE + high,
            None => offset,
        })
    }

    /// The ROM image that ends at 4 GiB, if there is one.
    #[must_use]
    pub fn rom(&self) -> Option<Vec<u8>> {
        let rom = self.rom.as_ref()?;
        let mut image = vec![0; usize::try_from(rom.len()).ok()?];
        rom.read(0, &mut image);
        Some(image)
    }
}
