//! Digests of a machine: short numbers that tell two moments apart, part by part, at the cost of what changed in between.
//!
//! Memory's is a sum over its pages, so that a page's share can be taken out and put in; every other part's is the hash of its
//! state. A [`Machine::state_hash`] says the same of the whole in one number that does not depend on when digests were made.

use super::{Machine, Parts};
use emu_core::{Gpa, PAGE_SIZE};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// 256 bits as four sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum([u64; 4]);

impl Sum {
    fn of(page: Gpa, bytes: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&page.0.to_le_bytes());
        hasher.update(bytes);
        let mut sum = [0; 4];
        for (word, bytes) in sum.iter_mut().zip(hasher.finalize().as_bytes().as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        Self(sum)
    }

    fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word = word.wrapping_add(other));
    }

    fn take(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word = word.wrapping_sub(other));
    }
}

/// Digests of the pages that are not all zero, and their sum.
#[derive(Debug, Default)]
pub(super) struct PageDigests {
    pages: BTreeMap<Gpa, Sum>,
    sum: Sum,
}

impl PageDigests {
    fn set(&mut self, page: Gpa, bytes: &[u8]) {
        let old = if bytes.iter().all(|byte| *byte == 0) {
            self.pages.remove(&page)
        } else {
            let new = Sum::of(page, bytes);
            self.sum.add(new);
            self.pages.insert(page, new)
        };
        if let Some(old) = old {
            self.sum.take(old);
        }
    }
}

/// A moment in short: part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(BTreeMap<String, String>);

/// Hexadecimal digits of a part's digest: enough to tell runs apart, short enough to be read.
const DIGITS: usize = 32;

impl Digest {
    /// Parts by name with their digests.
    pub fn parts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, digest)| (&name[..], &digest[..]))
    }

    /// Parts in which this moment and another differ.
    #[must_use]
    pub fn differing(&self, other: &Self) -> Vec<String> {
        let names = self.0.keys().chain(other.0.keys());
        let mut names: Vec<_> =
            names.filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The digest of something that can be written as RON.
fn of(state: &impl Serialize) -> String {
    let text = ron::to_string(state).unwrap_or_default();
    blake3::hash(text.as_bytes()).to_hex()[..DIGITS].to_owned()
}

/// Each part by its name; small ones that are counted outside of chips go together.
fn of_parts(parts: &Parts) -> BTreeMap<String, String> {
    let Parts {
        cpu,
        events,
        signals,
        tracer,
        iommus,
        lapics,
        ioapic,
        pic,
        nic,
        host_bridge,
        lpc,
        bridge,
        config_ports,
        pit,
        rtc,
        uart,
        acpi_pm,
        kbc,
        debug_port,
        network,
        frames_in,
        frames_out,
        interrupts,
        traffic,
        arrival,
    } = parts;
    let digests = [
        ("cpu", of(cpu)),
        ("events", of(&(events, signals))),
        ("tracer", of(tracer)),
        ("iommu", of(iommus)),
        ("lapics", of(lapics)),
        ("ioapic", of(ioapic)),
        ("pic", of(pic)),
        ("nic", of(nic)),
        ("pci", of(&(host_bridge, lpc, bridge, config_ports))),
        ("pit", of(pit)),
        ("rtc", of(rtc)),
        ("uart", of(uart)),
        ("acpi_pm", of(acpi_pm)),
        ("kbc", of(kbc)),
        ("debug_port", of(debug_port)),
        ("network", of(&(network, arrival))),
        ("counters", of(&(frames_in, frames_out, interrupts, traffic))),
    ];
    digests.map(|(name, digest)| (name.to_owned(), digest)).into()
}

impl Machine {
    /// This moment in short.
    pub fn digest(&mut self) -> Digest {
        let mut digest = of_parts(&self.parts());
        digest.insert("memory".to_owned(), self.memory_digest());
        Digest(digest)
    }

    fn memory_digest(&mut self) -> String {
        let pages = self.hear_for_digest();
        let mut bytes = [0; PAGE_SIZE as usize];
        let mem = &self.platform.board.mem;
        let digests = self.history.digests.get_or_insert_default();
        for page in pages {
            if mem.read(page, &mut bytes).is_ok() {
                digests.set(page, &bytes);
            }
        }
        let text: String = digests.sum.0.iter().map(|word| format!("{word:016x}")).collect();
        text[..DIGITS].to_owned()
    }
}
