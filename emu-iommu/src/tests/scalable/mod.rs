//! Scalable mode: how a request finds its tables, what each kind of table does to it, and what invalidations name.

mod first;
mod invalidate;
mod model;
mod nested;
mod route;

use super::*;
use crate::testing::{PasidMaker, SCALABLE_ROOT};
use crate::{DmaRequest, PasidPrefix, ScalableConfig};

/// The PASID of requests without one.
const RID: u32 = 5;
/// A page whose indices differ from level to level.
const IOVA: u64 = 0x23_4567_8000;
const FRAME: u64 = 0x5000;
const MOVED: u64 = 0x6000;

fn config(change: impl FnOnce(&mut ScalableConfig)) -> IommuConfig {
    let mut scalable = ScalableConfig::default();
    change(&mut scalable);
    IommuConfig { scalable: Some(scalable), ..IommuConfig::default() }
}

/// A rig in scalable mode, with a PASID directory for [`NIC`].
struct Scalable {
    rig: Rig,
    directory: Gpa,
}

impl Scalable {
    fn with(config: IommuConfig) -> Self {
        let mut rig = Rig::new(config);
        let directory = rig.tables.directory(&mut rig.mem, NIC, RID).unwrap();
        rig.write(IQA, QUEUE.0 | 1 << 11);
        rig.write(RTADDR, rig.tables.root().0 | SCALABLE_ROOT);
        rig.write(GCMD, u64::from(QIE | SRTP));
        rig.write(GCMD, u64::from(QIE | TE));
        Self { rig, directory }
    }

    fn new() -> Self {
        Self::with(config(|_| {}))
    }

    fn pasid(&mut self, pasid: u32, entry: PasidMaker) {
        self.rig.tables.pasid(&mut self.rig.mem, self.directory, pasid, entry).unwrap();
    }

    /// A first-stage table, with [`IOVA`] at [`FRAME`].
    fn first_stage(&mut self, levels: u8) -> (Gpa, u8) {
        let table = (self.rig.tables.page(&mut self.rig.mem).unwrap(), levels);
        self.map_first(table, IOVA, FRAME, 0, 7);
        table
    }

    fn map_first(&mut self, table: (Gpa, u8), iova: u64, gpa: u64, level: u8, bits: u64) {
        let entry = self.first_entry(table, iova, level);
        let large = if level == 0 { 0 } else { 1 << 7 };
        self.rig.mem.write_u64(entry, gpa | large | bits).unwrap();
    }

    fn first_entry(&mut self, table: (Gpa, u8), iova: u64, level: u8) -> Gpa {
        self.rig.tables.first_entry_gpa(&mut self.rig.mem, table, Iova(iova), level).unwrap()
    }

    /// In first-stage mode for requests without PASID, by tables of 4 levels.
    fn first() -> (Self, (Gpa, u8)) {
        let mut unit = Self::new();
        let table = unit.first_stage(4);
        unit.pasid(RID, PasidMaker::new(1).first(table.0, 4));
        (unit, table)
    }

    fn ask(&mut self, pasid: Option<PasidPrefix>, iova: u64, write: bool) -> Result<u64, u8> {
        let mut env = self.rig.fabric.env();
        let request = DmaRequest { bdf: NIC, pasid, iova: Iova(iova), write };
        match self.rig.vtd.translate_request(&mut env, &mut self.rig.mem, request) {
            Ok(found) => {
                assert!(found.page_len_left > 0);
                Ok(found.gpa.0)
            }
            Err(DmaFault::Remapping(reason)) => Err(reason),
            Err(fault) => panic!("{fault:?} is not expected"),
        }
    }

    fn get(&mut self, iova: u64) -> Result<u64, u8> {
        self.ask(None, iova, false)
    }

    fn put(&mut self, iova: u64) -> Result<u64, u8> {
        self.ask(None, iova, true)
    }

    /// 32-byte descriptors, whose upper halves are zero.
    fn submit(&mut self, descriptors: &[[u64; 2]]) {
        let mut tail = self.rig.read(IQT);
        for [low, high] in descriptors {
            for (offset, qword) in [(0, *low), (8, *high), (16, 0), (24, 0)] {
                self.rig.mem.write_u64(QUEUE.plus(tail + offset), qword).unwrap();
            }
            tail = (tail + 32) % 0x1000;
        }
        self.rig.write(IQT, tail);
        assert_eq!(self.rig.read(IQH), tail, "carried out");
    }
}

fn plain(pasid: u32) -> Option<PasidPrefix> {
    Some(PasidPrefix { pasid, privileged: false, execute: false })
}
