//! A stack that something is about to be pushed on: the current one, or one out of the task state. Nothing moves before
//! the whole frame is in memory.

use super::descriptor::{Selector, kind};
use crate::access::Width;
use crate::addr::Lin;
use crate::cpu::mmu::Context;
use crate::cpu::regs::{RSP, Seg, Segment, rights};
use crate::cpu::{Cpu, CpuBus, Fault};

/// A stack outside of 64-bit mode, with what is to be pushed on it.
pub(super) struct Stack {
    base: u64,
    segment: Segment,
    /// Stack pointer before anything is pushed.
    top: u64,
    /// Width of what is pushed.
    width: Width,
    context: Context,
    /// The segment is to be loaded as well.
    switched: bool,
    /// In the order pushed.
    values: Vec<u64>,
}

impl Stack {
    /// The stack in use.
    pub(super) fn current(cpu: &Cpu, width: Width) -> Self {
        Self {
            base: cpu.seg_base(Seg::Ss),
            segment: *cpu.seg(Seg::Ss),
            top: cpu.regs[RSP as usize],
            width,
            context: cpu.data_context(),
            switched: false,
            values: Vec::new(),
        }
    }

    /// The stack that the TSS has for privilege `cpl`.
    pub(super) fn of_task(
        cpu: &mut Cpu,
        bus: &mut dyn CpuBus,
        cpl: u8,
        width: Width,
        ext: u32,
    ) -> Result<Self, Fault> {
        let (selector, top) = cpu.task_stack(bus, cpl, ext)?;
        let (base, segment) = cpu
            .stack_segment(bus, Selector(selector), cpl, Fault::ts)
            .map_err(|fault| fault.with_ext(ext))?;
        Ok(Self {
            base,
            segment,
            top,
            width,
            context: cpu.context_at(cpl),
            switched: true,
            values: Vec::new(),
        })
    }

    pub(super) fn push(&mut self, value: u64) {
        self.values.push(value);
    }

    fn mask(&self) -> u64 {
        if self.segment.has(rights::DB) { 0xffff_ffff } else { 0xffff }
    }

    /// Stack pointer after everything is pushed.
    fn bottom(&self) -> u64 {
        let len = self.values.len() as u64 * self.width.bytes();
        self.top.wrapping_sub(len) & self.mask()
    }

    /// Writes the frame; #SS if it does not fit the segment, with its selector if that is not loaded yet.
    pub(super) fn commit(&self, cpu: &mut Cpu, bus: &mut dyn CpuBus, ext: u32) -> Result<(), Fault> {
        let bytes: Vec<u8> = self
            .values
            .iter()
            .rev()
            .flat_map(|value| value.to_le_bytes().into_iter().take(self.width.bytes() as usize))
            .collect();
        let bottom = self.bottom();
        if !self.segment.contains(bottom, bytes.len() as u64, cpu.protected()) {
            let selector = if self.switched { Selector(self.segment.selector).error() } else { 0 };
            return Err(Fault::ss(selector | ext));
        }
        let at = Lin(self.base.wrapping_add(bottom) & 0xffff_ffff);
        cpu.store_bytes_lin(bus, at, &bytes, self.context)
    }

    /// Makes it the current stack, with everything pushed.
    pub(super) fn take(&self, cpu: &mut Cpu) {
        let rsp = cpu.regs[RSP as usize];
        cpu.regs[RSP as usize] = if self.mask() == 0xffff {
            let high = if self.switched { self.top } else { rsp };
            high & 0xffff_0000 | self.bottom()
        } else {
            self.bottom()
        };
        if self.switched {
            cpu.put_segment(Seg::Ss, self.base, self.segment);
        }
    }
}

impl Fault {
    /// With bit 0 of the error code: not the program's own doing. A page fault's means something else.
    pub(super) fn with_ext(mut self, ext: u32) -> Self {
        if self.address.is_none() {
            self.error = self.error.map(|error| error | ext);
        }
        self
    }
}

impl Cpu {
    /// SS and ESP of a privilege level, out of the 16- or 32-bit TSS (SDM vol. 3A, 7.2.1 and 7.6).
    fn task_stack(&mut self, bus: &mut dyn CpuBus, cpl: u8, ext: u32) -> Result<(u16, u64), Fault> {
        let wide = self.tr.rights as u8 & 0xf == kind::TSS_BUSY || self.tr.rights as u8 & 0xf == kind::TSS;
        let (offset, width) =
            if wide { (4 + u64::from(cpl) * 8, Width::B4) } else { (2 + u64::from(cpl) * 4, Width::B2) };
        let end = offset + width.bytes() + 1;
        if end > u64::from(self.tr.limit) {
            return Err(Fault::ts(u32::from(self.tr.selector) & 0xfffc | ext));
        }
        let at = self.implicit(self.tr.base.wrapping_add(offset));
        let sp = self.read_implicit(bus, at, width)?;
        let ss = self.read_implicit(bus, at.plus(width.bytes()), Width::B2)?;
        Ok((ss as u16, sp))
    }

    /// SS of a more privileged level in long mode: null, with the level as RPL.
    pub(super) fn null_stack_segment(&mut self, cpl: u8) {
        let segment = Segment { selector: u16::from(cpl), limit: 0, rights: u16::from(cpl) << 5, null: true };
        self.put_segment(Seg::Ss, 0, segment);
    }

    /// Loads a null selector.
    pub(super) fn put_null(&mut self, seg: Seg) {
        self.put_segment(seg, 0, Segment { selector: 0, limit: 0, rights: 0, null: true });
    }
}
