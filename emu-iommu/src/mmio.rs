//! The register page: who answers which offset (VT-d specification, 11.4). 64-bit registers may be accessed in two
//! halves, and two 32-bit registers in one access.

use crate::Vtd;
use crate::spec::fault::RECORD_F;
use crate::spec::register::*;
use crate::spec::scalable::TTM;
use emu_core::device::Env;
use emu_core::mem::PhysMem;
use emu_core::{IoError, Width, extract, merge};

/// Refuses odd widths and alignments.
fn check(offset: u64, width: Width) -> Result<(), IoError> {
    match width {
        Width::B1 | Width::B2 => Err(IoError::Width),
        Width::B4 | Width::B8 if !offset.is_multiple_of(width.bytes()) => Err(IoError::Misaligned),
        Width::B4 | Width::B8 => Ok(()),
    }
}

impl Vtd {
    /// Reads 4 or 8 bytes of the register page.
    pub fn read(
        &mut self,
        _env: &mut Env<'_>,
        _mem: &mut PhysMem,
        offset: u64,
        width: Width,
    ) -> Result<u64, IoError> {
        check(offset, width)?;
        let value = self.qword(offset & !7).ok_or(IoError::NoRegister)?;
        register_name(offset).ok_or(IoError::NoRegister)?;
        Ok(extract(value, offset, width))
    }

    /// The 8 bytes at `offset`, which is a multiple of 8: a wide register, or one or two narrow ones.
    pub(crate) fn qword(&self, offset: u64) -> Option<u64> {
        let state = &self.state;
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        Some(match offset {
            VER => VERSION.into(),
            CAP => self.config.capabilities(),
            ECAP => self.config.extended_capabilities(),
            GCMD => pair(0, state.status),
            RTADDR => state.rtaddr,
            CCMD => state.ccmd,
            // FSTS is the upper half of its eight bytes.
            0x30 => pair(0, self.fault_status()),
            FECTL => pair(state.fault_event.control, state.fault_event.data),
            FEADDR => pair(state.fault_event.address, state.fault_event.upper),
            AFLOG | IVA => 0,
            // PMEN is the upper half of its eight bytes.
            0x60 => pair(0, state.protected.status()),
            PLMBASE => pair(state.protected.low[0], state.protected.low[1]),
            PHMBASE => state.protected.high[0],
            PHMLIMIT => state.protected.high[1],
            IQH => state.queue_head,
            IQT => state.queue_tail,
            IQA => state.queue,
            // ICS is the upper half of its eight bytes.
            0x98 => pair(0, state.completion_status),
            IECTL => pair(state.completion_event.control, state.completion_event.data),
            IEADDR => pair(state.completion_event.address, state.completion_event.upper),
            IQERCD => state.queue_error,
            IRTA => state.irta,
            IOTLB => state.iotlb_command,
            _ => {
                let (record, half) = self.record_at(offset)?;
                state.fault_records[record][half]
            }
        })
    }

    /// Which fault recording register, and which half of it, is at `offset`.
    fn record_at(&self, offset: u64) -> Option<(usize, usize)> {
        let from_first = offset.checked_sub(FRCD)?;
        let record = (from_first / FRCD_LEN) as usize;
        let exists = record < self.state.fault_records.len();
        exists.then_some((record, (from_first / 8 % 2) as usize))
    }

    /// Writes 4 or 8 bytes of the register page.
    pub fn write(
        &mut self,
        env: &mut Env<'_>,
        mem: &mut PhysMem,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), IoError> {
        check(offset, width)?;
        register_name(offset).ok_or(IoError::NoRegister)?;
        let base = offset & !7;
        if is_wide(base) {
            let new = merge(self.wide(base), offset, width, value);
            self.write_wide(env, mem, base, new);
            return Ok(());
        }
        if base >= FRCD {
            return self.write_record(offset, width, value);
        }
        self.write_narrow(env, mem, offset, value as u32);
        if width == Width::B8 {
            self.write_narrow(env, mem, offset + 4, (value >> 32) as u32);
        }
        Ok(())
    }

    /// What a write of half a wide register leaves of the other half.
    fn wide(&self, base: u64) -> u64 {
        match base {
            IVA => self.state.iva,
            _ => self.qword(base).unwrap_or(0),
        }
    }

    /// Writes a wide register. Commands start by a bit in the upper half that is never kept: writing the lower half
    /// alone starts nothing.
    fn write_wide(&mut self, env: &mut Env<'_>, mem: &mut PhysMem, base: u64, value: u64) {
        let config = &self.config;
        match base {
            RTADDR => {
                let mode = if config.scalable.is_some() { TTM } else { 0 };
                self.state.rtaddr = value & (!0xfff | mode);
            }
            CCMD => self.write_ccmd(env, value),
            IQT if config.queued_invalidation => {
                self.state.queue_tail = value & QUEUE_POINTER;
                self.run_queue(env, mem);
            }
            IQA if config.queued_invalidation => self.state.queue = value & (!0xfff | IQA_DW | IQA_QS),
            IRTA if config.interrupt_remapping => {
                let eime = if config.eim { IRTA_EIME } else { 0 };
                self.state.irta = value & (!0xfff | eime | IRTA_S);
            }
            IVA => self.state.iva = value & !0xf80,
            IOTLB => self.write_iotlb(env, value),
            PHMBASE | PHMLIMIT => self.state.protected.write_high(config, base, value),
            // The rest is read-only.
            _ => {}
        }
    }

    fn write_narrow(&mut self, env: &mut Env<'_>, mem: &mut PhysMem, offset: u64, value: u32) {
        let (eim, queued) = (self.config.eim, self.config.queued_invalidation);
        let state = &mut self.state;
        match offset {
            GCMD => self.command(env, mem, value),
            FSTS => {
                let cleared = value & (PFO | IQE | ICE | ITE);
                state.fault_status &= !cleared;
                if cleared & IQE != 0 {
                    state.queue_error = 0;
                }
                self.faults_served();
                self.run_queue(env, mem);
            }
            PMEN => state.protected.write_enable(&self.config, value),
            PLMBASE | PLMLIMIT => state.protected.write_low(&self.config, offset, value),
            FECTL => state.fault_event.write_control(env, eim, value),
            FEDATA => state.fault_event.data = value,
            FEADDR => state.fault_event.address = value & !3,
            FEUADDR => state.fault_event.upper = value,
            ICS => {
                state.completion_status &= !(value & IWC);
                if state.completion_status == 0 {
                    state.completion_event.withdraw();
                }
            }
            IECTL if queued => state.completion_event.write_control(env, eim, value),
            IEDATA if queued => state.completion_event.data = value,
            IEADDR if queued => state.completion_event.address = value & !3,
            IEUADDR if queued => state.completion_event.upper = value,
            // The rest is read-only, or belongs to a capability that this unit has not.
            _ => {}
        }
    }

    /// F, the topmost bit, is cleared by writing it; everything else of a record is read-only.
    fn write_record(&mut self, offset: u64, width: Width, value: u64) -> Result<(), IoError> {
        let (record, half) = self.record_at(offset).ok_or(IoError::NoRegister)?;
        if half == 1 && merge(0, offset, width, value) & RECORD_F != 0 {
            self.state.fault_records[record][1] &= !RECORD_F;
            self.faults_served();
        }
        Ok(())
    }

    /// GCMD: one-shot commands take effect each time they are given, the others follow the bit. All is done, and
    /// seen in GSTS, at once: Linux gives up on units that are slow while its clock is not yet calibrated.
    fn command(&mut self, env: &mut Env<'_>, mem: &mut PhysMem, value: u32) {
        let config = &self.config;
        let state = &mut self.state;
        let taken = value & SRTP | if config.interrupt_remapping { value & SIRTP } else { 0 };
        if taken & SRTP != 0 {
            state.root = state.rtaddr;
        }
        if taken & SIRTP != 0 {
            state.interrupt_table = state.irta;
        }
        state.status |= taken;
        let mut follows = TE;
        if config.queued_invalidation {
            follows |= QIE;
        }
        if config.interrupt_remapping {
            follows |= IRE | CFI;
        }
        let started = value & !state.status & follows;
        let stopped = state.status & !value & follows;
        state.status = state.status & !follows | value & follows;
        if config.implied_invalidation {
            self.tables_taken_over(env, taken);
        }
        if (started | stopped) & QIE != 0 {
            self.rewind_queue();
            self.run_queue(env, mem);
        }
    }
}
