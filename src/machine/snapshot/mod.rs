//! Snapshots: everything that decides how a run goes on. `FILE` is RON, for people and tools; beside it lies a file of the pages of
//! memory that are not all zero ([`store`]), which `FILE` names.
//!
//! A snapshot is a file, and files are not trusted: hashes lead from the first line to every byte, every part checks what it is
//! given, and a mistake is named. A snapshot is there whole or not at all: the pages' file is named after its content, so saving
//! again leaves the former snapshot as it was until the moment in which the new one takes its place.

pub(crate) mod atomic;
pub(crate) mod diff;
mod leaves;
mod store;
pub(crate) mod text;

pub use diff::{Difference, diff};
pub use store::Pages;

use super::parts::Ram;
use super::{Machine, Parts, Watched};
use crate::error::Error;
use crate::scenario::Scenario;
use emu_core::{Gpa, PAGE_SIZE};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use store::{Store, StoreError};
use text::Kind;

/// The version grows when a snapshot of an older program could be misread.
const KIND: Kind = Kind { name: "snapshot", version: 2 };
/// Structures below this depth are written in one line.
const DEPTH: usize = 3;

/// A machine between two instructions, without its memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MachineState {
    /// The program that wrote it.
    pub program: String,
    /// The scenario; its paths are relative to [`Self::base`].
    pub scenario: Scenario,
    /// The scenario's folder.
    pub base: PathBuf,
    /// Memory.
    pub pages: Pages,
    /// The ROM image's size, if there is one; its bytes are among the pages.
    pub rom: Option<u64>,
    /// What is watched from outside.
    pub watched: Watched,
    /// Everything else.
    pub parts: Parts,
}

/// This program, as snapshots and recordings name it.
pub(crate) const PROGRAM: &str = concat!("glassbox ", env!("CARGO_PKG_VERSION"));

/// The address of a ROM image of that size.
fn rom_base(len: u64) -> u64 {
    emu_core::mem::ROM_END.saturating_sub(len)
}

impl Machine {
    /// Hash of everything that the guest could notice, and of how it will go on.
    #[must_use]
    pub fn state_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(ron::to_string(&self.parts()).unwrap_or_default().as_bytes());
        let mut bytes = [0; PAGE_SIZE as usize];
        for page in self.written_pages() {
            if self.platform.board.mem.read(page, &mut bytes).is_ok() && bytes.iter().any(|byte| *byte != 0) {
                hasher.update(&page.0.to_le_bytes());
                hasher.update(&bytes);
            }
        }
        hasher.finalize().to_hex().to_string()
    }
}

/// Takes a snapshot into `path` and a file of pages beside it. The run goes on as if nothing had happened.
pub fn save(machine: &Machine, path: &Path) -> Result<(), Error> {
    let mem = &machine.platform.board.mem;
    let mut pages: Vec<Gpa> = machine.written_pages().into_iter().collect();
    let rom = mem.rom().map(|rom| rom.len() as u64);
    pages.extend(
        rom.into_iter()
            .flat_map(|len| (rom_base(len)..emu_core::mem::ROM_END).step_by(PAGE_SIZE as usize))
            .map(Gpa),
    );
    let pages = store::save(mem, &pages, path).map_err(Error::file(path))?;
    let state = MachineState {
        program: PROGRAM.to_owned(),
        scenario: machine.scenario().clone(),
        base: std::path::absolute(&machine.scenario.base).unwrap_or_default(),
        pages,
        rom,
        watched: machine.watched(),
        parts: machine.parts(),
    };
    let text =
        KIND.write(&state, DEPTH).map_err(|reason| Error::Snapshot { path: path.to_owned(), reason })?;
    atomic::write(path, text.as_bytes()).map_err(Error::file(path))?;
    remove_former(path, &state.pages.file);
    Ok(())
}

/// Removes the pages of a snapshot that was at `path` before. What can't be removed harms nobody.
fn remove_former(path: &Path, current: &str) {
    let Some(name) = path.file_name().map(|name| format!("{}.", name.to_string_lossy())) else { return };
    let is_former = |file: &str| {
        let hash = file.strip_prefix(&name).and_then(|rest| rest.strip_suffix(".pages"));
        file != current
            && hash.is_some_and(|hash| hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    for entry in std::fs::read_dir(atomic::folder(path)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(is_former) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// A snapshot that has been read, but for its pages.
pub struct Snapshot {
    /// Its text.
    pub state: MachineState,
    path: PathBuf,
    store: Store,
    pages: PathBuf,
}

impl Snapshot {
    /// Reads a snapshot's text and its pages' index, and checks both.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refuse = |reason: String| Error::Snapshot { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        let state: MachineState = KIND.read(&bytes).map_err(refuse)?;
        let name = Path::new(&state.pages.file);
        if name.file_name() != Some(name.as_os_str()) {
            return Err(refuse(format!("`{}` is no name of a file beside it", state.pages.file)));
        }
        let pages = atomic::folder(path).join(name);
        let store = Store::open(&state.pages, &pages).map_err(|error| of_store(error, &pages))?;
        Ok(Self { state, path: path.to_owned(), store, pages })
    }

    /// Calls `visit` with every page that is not all zero, in no certain order; pages are checked as they come.
    pub fn each_page(&mut self, mut visit: impl FnMut(Gpa, &[u8])) -> Result<(), Error> {
        let result = self.store.each(|page, bytes| {
            visit(page, bytes);
            Ok(())
        });
        result.map_err(|error| of_store(error, &self.pages))
    }

    /// Bytes that its pages take on disk.
    #[must_use]
    pub fn packed(&self) -> u64 {
        self.store.packed()
    }

    /// A machine that goes on from here.
    pub fn into_machine(self) -> Result<Machine, Error> {
        let Self { state, path, mut store, pages } = self;
        let refuse = |reason: String| Error::Snapshot { path: path.clone(), reason };
        let MachineState { program: _, mut scenario, base, pages: _, rom, watched, parts } = state;
        scenario.base = base;
        let mut machine = Machine::bare(scenario)?;
        load_pages(&mut machine, &mut store, rom).map_err(|error| of_store(error, &pages))?;
        machine.restore_parts(parts, Ram::Another).map_err(refuse)?;
        machine.restore_watched(watched);
        Ok(machine)
    }
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Snapshot").field("path", &self.path).finish_non_exhaustive()
    }
}

fn of_store(error: StoreError, path: &Path) -> Error {
    match error {
        StoreError::Io(source) => Error::File { path: path.to_owned(), source },
        StoreError::Content(reason) => Error::Snapshot { path: path.to_owned(), reason },
    }
}

/// Whether `path` begins as a snapshot does.
#[must_use]
pub fn is_one(path: &Path) -> bool {
    use std::io::Read as _;
    let mut start = [0; 21];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *b"// glassbox snapshot "
}

/// A machine that goes on where [`save`] was called.
pub fn load(path: &Path) -> Result<Machine, Error> {
    Snapshot::open(path)?.into_machine()
}

/// ROM images are at most this large.
const ROM_MAX: u64 = 16 << 20;

fn load_pages(machine: &mut Machine, store: &mut Store, rom: Option<u64>) -> Result<(), StoreError> {
    let mem = &mut machine.platform.board.mem;
    let mut image = vec![0; rom.unwrap_or(0).min(ROM_MAX) as usize];
    let base = rom_base(image.len() as u64);
    let mut ram = Vec::new();
    store.each(|page, bytes| {
        if (base..emu_core::mem::ROM_END).contains(&page.0) {
            let start = (page.0 - base) as usize;
            if let Some(part) = image.get_mut(start..start + bytes.len()) {
                part.copy_from_slice(bytes);
            }
            return Ok(());
        }
        // The copy of a ROM that lies in RAM is put there with the ROM, and may have changed since: it comes last.
        if rom.is_some() && page.0 < 1 << 20 {
            ram.push((page, bytes.to_vec()));
            return Ok(());
        }
        mem.write(page, bytes).map_err(|error| StoreError::Content(error.to_string()))
    })?;
    if rom.is_some() {
        mem.load_rom(&image).map_err(|error| StoreError::Content(error.to_string()))?;
        clear_below_1_mib(mem);
    }
    for (page, bytes) in ram {
        mem.write(page, &bytes).map_err(|error| StoreError::Content(error.to_string()))?;
    }
    Ok(())
}

/// What a ROM leaves in RAM when it is loaded.
fn clear_below_1_mib(mem: &mut emu_core::mem::PhysMem) {
    for page in (0xe_0000..1 << 20).step_by(PAGE_SIZE as usize) {
        // RAM is larger than 1 MiB.
        let _ = mem.write(Gpa(page), &[0; PAGE_SIZE as usize]);
    }
}

#[cfg(test)]
mod tests;
