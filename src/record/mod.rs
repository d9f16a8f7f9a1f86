//! Recordings: what went into a run, and what the run was like at moments on its way, so that a replay can prove that it is the same
//! run, or say where it stops being so.
//!
//! A recording is one file: the scenario, the files that it reads with their hashes, the program, and at each checkpoint the
//! machine in short ([`Digest`]). With [`carry`] the files lie beside it and it can be replayed on another host.

mod make;
mod verify;

pub use make::{Making, record};
pub use verify::{Parting, Verdict, verify};

use crate::error::Error;
use crate::machine::snapshot::atomic;
use crate::machine::snapshot::text::Kind;
use crate::machine::{Digest, Machine};
use crate::scenario::Scenario;
use emu_core::VirtTime;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const KIND: Kind = Kind { name: "recording", version: 1 };
const DEPTH: usize = 3;

/// A recorded run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recording {
    /// The program that made it: version, and hash of the sources that decide how a run goes.
    pub program: String,
    /// What was run.
    pub scenario: Scenario,
    /// Where its paths start.
    pub base: PathBuf,
    /// What it read from outside.
    pub inputs: Vec<Input>,
    /// Moments on its way, in order; the last is its end.
    pub checkpoints: Vec<Moment>,
    /// Why it ended, as the summary says it.
    pub exit: String,
    /// Bytes and hash of what the guest sent to its serial port.
    pub serial: Output,
    /// Bytes and hash of the capture of what the guest sent.
    pub capture: Output,
}

/// A file that a run reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// As the scenario names it.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its hash.
    pub blake3: String,
}

/// What came out of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// How much.
    pub bytes: u64,
    /// Its hash.
    pub blake3: String,
}

impl Output {
    fn of(bytes: u64, hasher: &blake3::Hasher) -> Self {
        Self { bytes, blake3: hasher.finalize().to_hex().to_string() }
    }
}

/// A run at a moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moment {
    /// Instructions retired.
    pub insns: u64,
    /// Virtual time.
    pub time: VirtTime,
    /// The number of the next trace record.
    pub record: u64,
    /// The machine in short.
    pub digest: Digest,
}

impl Moment {
    /// A machine as it is now.
    pub fn of(machine: &mut Machine) -> Self {
        let record = machine.parts().tracer.next_id;
        Self { insns: machine.insns(), time: machine.now(), record, digest: machine.digest() }
    }
}

/// This program, as recordings name it: the same for every build of the same sources.
#[must_use]
pub fn program() -> String {
    format!("{}, sources {}", crate::machine::snapshot::PROGRAM, env!("GLASSBOX_SOURCES"))
}

/// Where the inputs of a recording lie that carries them.
fn inputs_folder(recording: &Path) -> PathBuf {
    atomic::beside(recording, ".inputs")
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The files that a scenario reads, as they are now.
fn inputs(scenario: &Scenario) -> Result<Vec<Input>, Error> {
    let paths: Vec<PathBuf> = scenario.clone().inputs_mut().into_iter().map(|path| path.clone()).collect();
    let input = |path: PathBuf| {
        let bytes = scenario.read(&path)?;
        Ok(Input { path, bytes: bytes.len() as u64, blake3: hash(&bytes) })
    };
    paths.into_iter().map(input).collect()
}

/// Copies the files that a recording's run reads beside it.
pub fn carry(recording: &Recording, path: &Path) -> Result<(), Error> {
    let folder = inputs_folder(path);
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let mut scenario = recording.scenario.clone();
    scenario.base.clone_from(&recording.base);
    for input in &recording.inputs {
        let copy = folder.join(&input.blake3);
        atomic::write(&copy, &scenario.read(&input.path)?).map_err(Error::file(&copy))?;
    }
    Ok(())
}

impl Recording {
    /// Writes it, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let refuse = |reason| Error::Recording { path: path.to_owned(), reason };
        let text = KIND.write(self, DEPTH).map_err(refuse)?;
        atomic::write(path, text.as_bytes()).map_err(Error::file(path))
    }

    /// Reads and checks one. Its scenario then names files that are what they were: those that it named, or those beside it.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let refuse = |reason| Error::Recording { path: path.to_owned(), reason };
        let bytes = std::fs::read(path).map_err(Error::file(path))?;
        let mut recording: Self = KIND.read(&bytes).map_err(refuse)?;
        recording.check().map_err(refuse)?;
        let (base, inputs) = (recording.base.clone(), recording.inputs.clone());
        recording.scenario.base.clone_from(&base);
        let scenario = recording.scenario.clone();
        for (place, input) in recording.scenario.inputs_mut().into_iter().zip(&inputs) {
            if scenario.read(place).is_ok_and(|bytes| hash(&bytes) == input.blake3) {
                continue;
            }
            let copy =
                std::path::absolute(inputs_folder(path).join(&input.blake3)).map_err(Error::file(path))?;
            if !std::fs::read(&copy).is_ok_and(|bytes| hash(&bytes) == input.blake3) {
                let name = base.join(&input.path);
                return Err(refuse(format!(
                    "{} is not the file that the run read, nor is there a copy",
                    name.display()
                )));
            }
            *place = copy;
        }
        Ok(recording)
    }

    /// Whether `path` begins as a recording does.
    #[must_use]
    pub fn is_one(path: &Path) -> bool {
        use std::io::Read as _;
        let mut start = [0; 22];
        let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut start));
        read.is_ok() && start == *b"// glassbox recording "
    }

    fn check(&self) -> Result<(), String> {
        let inputs = self.scenario.clone().inputs_mut().len();
        if inputs != self.inputs.len() {
            return Err(format!("{} inputs for {inputs} files of the scenario", self.inputs.len()));
        }
        if self.checkpoints.is_empty() || !self.checkpoints.is_sorted_by_key(|moment| moment.insns) {
            return Err("its checkpoints are not in order".to_owned());
        }
        let is_hash = |hash: &str| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !self.inputs.iter().all(|input| is_hash(&input.blake3)) {
            return Err("an input's hash is none".to_owned());
        }
        Ok(())
    }

    /// The machine that the run starts with.
    pub fn machine(&self) -> Result<Machine, Error> {
        Machine::new(self.scenario.clone())
    }
}
