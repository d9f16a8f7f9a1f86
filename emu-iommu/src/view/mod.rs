//! The unit as people look at it: [`registers`] in words, a [`walk`] told line by line, the [`ranges`] that a device can
//! reach, and the [`truth`] that caches can be held against. Nothing here changes the unit, fills a cache or leaves a record.

mod debugfs;
mod devices;
mod linux;
mod ranges;
mod registers;
mod truth;
mod walk;

pub use debugfs::DEBUGFS_FILES;
pub use devices::DeviceView;
pub use linux::{linux_fault_line, linux_reason};
pub use truth::{TableEntry, TruePage, Truth};

use crate::Vtd;
use crate::spec::scalable::{CONTEXT_RID_PRIV, TTM, TTM_LEGACY, TTM_SCALABLE};
use crate::walk::{self as tables, Context, FirstTables, Route, SecondStage, Step, Used};
use emu_core::mem::PhysMem;
use emu_core::{Bdf, Gpa, Iova};
use std::borrow::Cow;

/// One register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterView {
    /// The specification's name.
    pub name: Cow<'static, str>,
    /// Offset in the register page.
    pub offset: u64,
    /// What it holds; of a fault recording register the upper half.
    pub value: u64,
    /// The value in words; empty where the number says it all.
    pub meaning: String,
}

/// One line of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkLine {
    /// The line.
    pub text: String,
}

/// Addresses that a device reaches, in one piece on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address on the device's side.
    pub iova: Iova,
    /// First address in memory.
    pub gpa: Gpa,
    /// Bytes.
    pub len: u64,
    /// May be read.
    pub read: bool,
    /// May be written.
    pub write: bool,
}

fn permissions(read: bool, write: bool) -> &'static str {
    match (read, write) {
        (true, true) => "read write",
        (true, false) => "read",
        (false, true) => "write",
        (false, false) => "no access",
    }
}

/// How the requests of a device without PASID are translated by the tables as they are in memory now.
struct Seen {
    route: Route,
    context: Context,
    /// They are made with privilege.
    privileged: bool,
}

impl Vtd {
    /// The route of `bdf`, or a fault reason; `see` is told each entry.
    fn peek_route(&self, mem: &PhysMem, bdf: Bdf, see: &mut impl FnMut(Step)) -> Result<Seen, u8> {
        let (config, root) = (&self.config, Gpa(self.state.root & !0xfff));
        match (self.state.root & TTM, config.scalable) {
            (TTM_LEGACY, _) => {
                let context = tables::context(config, root, mem, bdf, see).map_err(|fault| fault.reason)?;
                Ok(Seen { route: context.route(), context, privileged: false })
            }
            (TTM_SCALABLE, Some(scalable)) => {
                let found = tables::scalable_context(config, &scalable, root, mem, bdf, see);
                let context = found.map_err(|fault| fault.reason)?;
                let pasid = context.rid_pasid(&scalable);
                let found = tables::pasid(config, &scalable, mem, context, pasid, see);
                let entry = found.map_err(|fault| fault.reason)?;
                let privileged = context.0[1] & CONTEXT_RID_PRIV != 0;
                Ok(Seen { route: entry.route(config, &scalable, pasid, false), context, privileged })
            }
            _ => Err(crate::spec::fault::BAD_ROOT_POINTER),
        }
    }
}

/// Fetches a first stage's entries as they are in memory now.
struct Look<'a, F> {
    vtd: &'a Vtd,
    mem: &'a PhysMem,
    second: Option<SecondStage>,
    top: u8,
    see: F,
}

impl<F: FnMut(Step)> FirstTables for Look<'_, F> {
    fn read(&mut self, level: u8, at: Gpa) -> Result<Used, u8> {
        let gpa = match &self.second {
            None => at,
            Some(second) => {
                self.vtd.peek_second(self.mem, second, Iova(at.0), false, &mut self.see)?.place(at.0)
            }
        };
        let top = level == self.top;
        let unreadable =
            if top { crate::spec::fault::FIRST_TOP_FETCH } else { crate::spec::fault::FIRST_FETCH };
        let entry = self.mem.read_u64(gpa).map_err(|_| unreadable)?;
        (self.see)(Step { level: tables::FIRST_STAGE + level, gpa, entry: [entry, 0] });
        Ok(Used { at, gpa, entry })
    }
}

impl Vtd {
    /// What a second stage says of `iova` now.
    fn peek_second(
        &self,
        mem: &PhysMem,
        second: &SecondStage,
        iova: Iova,
        write: bool,
        see: &mut impl FnMut(Step),
    ) -> Result<tables::Leaf, u8> {
        if iova.0 >> second.bits().min(self.config.address_bits) != 0 {
            return Err(second.reasons.too_wide);
        }
        tables::second_stage(&self.config, mem, second, second.top(), iova, write, see)
            .map_err(|fault| fault.reason)
    }
}
