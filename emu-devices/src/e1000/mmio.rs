//! Register dispatch: one line a register; what needs more than a line is a function in the part that it belongs to.
//! Manual chapter 13, table 13-2 (registers and their 82542 aliases).

use super::spec::*;
use super::{E1000, Token};
use emu_core::device::DeviceCtx;
use emu_core::{IoError, Width, extract};

/// Registers of the 82542 that still answer at their old places: old, bytes, new (table 13-2).
const ALIASES: [(u32, u32, u32); 19] = [
    (0x0040, 0x80, RA),
    (0x0108, 4, RDTR),
    (0x0110, 4, RDBAL),
    (0x0114, 4, RDBAH),
    (0x0118, 4, RDLEN),
    (0x0120, 4, RDH),
    (0x0128, 4, RDT),
    (0x0160, 4, FCRTL),
    (0x0168, 4, FCRTH),
    (0x0200, 0x200, MTA),
    (0x0420, 4, TDBAL),
    (0x0424, 4, TDBAH),
    (0x0428, 4, TDLEN),
    (0x0430, 4, TDH),
    (0x0438, 4, TDT),
    (0x0440, 4, TIDV),
    (0x0600, 0x200, VFTA),
    (0x8000, 0x10, RDFH),
    (0x8010, 0x10, TDFH),
];

/// The offset under which the rest of the card knows a register.
pub(super) fn canonical(offset: u32) -> u32 {
    let alias = ALIASES.iter().find(|(old, bytes, _)| (*old..old + bytes).contains(&offset));
    alias.map_or(offset, |(old, _, new)| new + (offset - old))
}

/// The index of a word in a register array, if `offset` lies there.
fn word(offset: u32, first: u32, words: u32) -> Option<usize> {
    let byte = offset.checked_sub(first)?;
    (byte < words * 4).then_some((byte / 4) as usize)
}

impl E1000 {
    /// Reads `width` at `offset` in the memory BAR. Registers are 32 bits: a wider read is two, a narrower one a part
    /// of the whole, with the whole's side effects.
    pub fn mmio_read(&mut self, ctx: &mut DeviceCtx<'_>, offset: u64, width: Width) -> Result<u64, IoError> {
        if offset >= MMIO_SIZE {
            return Err(IoError::NoRegister);
        }
        if offset & (width.bytes() - 1) != 0 {
            return Err(IoError::Misaligned);
        }
        let at = (offset & !3) as u32;
        let low = u64::from(self.read_register(ctx, canonical(at))?);
        match width {
            Width::B1 | Width::B2 => Ok(extract(low, offset & 3, width)),
            Width::B4 => Ok(low),
            Width::B8 => Ok(u64::from(self.read_register(ctx, canonical(at + 4))?) << 32 | low),
        }
    }

    /// Writes `width` at `offset` in the memory BAR. A write of 8 bytes is two; narrower than 4 is refused.
    pub fn mmio_write(
        &mut self,
        ctx: &mut DeviceCtx<'_>,
        offset: u64,
        width: Width,
        value: u64,
    ) -> Result<(), IoError> {
        if offset >= MMIO_SIZE {
            return Err(IoError::NoRegister);
        }
        if width.bytes() < 4 {
            return Err(IoError::Width);
        }
        if offset & (width.bytes() - 1) != 0 {
            return Err(IoError::Misaligned);
        }
        let at = offset as u32;
        self.write_register(ctx, canonical(at), value as u32)?;
        match width {
            Width::B8 => self.write_register(ctx, canonical(at + 4), (value >> 32) as u32),
            Width::B1 | Width::B2 | Width::B4 => Ok(()),
        }
    }

    fn read_register(&mut self, ctx: &mut DeviceCtx<'_>, offset: u32) -> Result<u32, IoError> {
        match offset {
            ICR => {
                let icr = self.irq.icr;
                self.clear_causes(ctx, icr);
                Ok(icr)
            }
            _ => match word(offset, STATS, STATS_WORDS) {
                Some(word) => Ok(self.stats.take(word)),
                None => self.peek(offset).ok_or(IoError::NoRegister),
            },
        }
    }

    /// What a register holds, without the side effects of reading it.
    pub(super) fn peek(&self, offset: u32) -> Option<u32> {
        let (r, rx, tx) = (&self.regs, &self.rx.ring, &self.tx.ring);
        Some(match offset {
            CTRL | CTRL_DUP => r.ctrl,
            STATUS => self.status(),
            EECD => self.eeprom.eecd(),
            EERD => self.eeprom.eerd,
            CTRL_EXT => r.ctrl_ext,
            MDIC => self.phy.mdic,
            FCAL => r.fcal,
            FCAH => r.fcah,
            FCT => r.fct,
            VET => r.vet,
            ICR => self.irq.icr,
            ITR => self.irq.itr,
            IMS => self.irq.ims,
            ICS | IMC => 0,
            RCTL => r.rctl,
            FCTTV => r.fcttv,
            TXCW => r.txcw,
            RXCW | WUS | WUPL => 0,
            TCTL => r.tctl,
            TIPG => r.tipg,
            AIT => r.ait,
            LEDCTL => r.ledctl,
            PBA => 64u32.saturating_sub(r.pba) << 16 | r.pba,
            FCRTL => r.fcrtl,
            FCRTH => r.fcrth,
            RDBAL => rx.base as u32,
            RDBAH => (rx.base >> 32) as u32,
            RDLEN => rx.len,
            RDH => rx.head,
            RDT => rx.tail,
            RDTR => r.rdtr,
            RXDCTL => r.rxdctl,
            RADV => r.radv,
            RSRPD => r.rsrpd,
            TXDMAC => r.txdmac,
            TDBAL => tx.base as u32,
            TDBAH => (tx.base >> 32) as u32,
            TDLEN => tx.len,
            TDH => tx.head,
            TDT => tx.tail,
            TIDV => r.tidv,
            TXDCTL => r.txdctl,
            TADV => r.tadv,
            TSPMT => r.tspmt,
            RXCSUM => r.rxcsum,
            WUC => r.wuc,
            WUFC => r.wufc,
            MANC => r.manc,
            IPAV => r.ipav,
            _ => return self.peek_array(offset),
        })
    }

    fn peek_array(&self, offset: u32) -> Option<u32> {
        let t = &self.tables;
        if let Some(index) = word(offset, PBM, PBM_SIZE / 4) {
            return Some(t.packet_buffer(index as u32));
        }
        if word(offset, WUPM, WUPM_WORDS).is_some() {
            return Some(0);
        }
        let arrays = [
            (STATS, &self.stats.words),
            (MTA, &t.mta),
            (RA, &t.ra),
            (VFTA, &t.vfta),
            (IP4AT, &t.ip4at),
            (IP6AT, &t.ip6at),
            (FFLT, &t.fflt),
            (FFMT, &t.ffmt),
            (FFVT, &t.ffvt),
        ];
        let found = arrays
            .iter()
            .find_map(|(first, words)| word(offset, *first, words.len() as u32).map(|index| words[index]));
        found.or_else(|| fifo_register(offset).map(|index| t.fifo[index]))
    }

    fn write_register(&mut self, ctx: &mut DeviceCtx<'_>, offset: u32, value: u32) -> Result<(), IoError> {
        let (half, r) = (value & 0xffff, &mut self.regs);
        match offset {
            CTRL | CTRL_DUP => self.write_ctrl(ctx, value),
            EECD => self.write_eecd(ctx, value),
            EERD => self.write_eerd(ctx, value),
            CTRL_EXT => self.write_ctrl_ext(ctx, value),
            MDIC => self.write_mdic(ctx, value),
            FCAL => r.fcal = value,
            FCAH => r.fcah = half,
            FCT => r.fct = half,
            VET => r.vet = half,
            ICR => self.clear_causes(ctx, value),
            ITR => self.set_throttle(ctx, value),
            ICS => self.raise(ctx, value),
            IMS => self.set_mask(ctx, self.irq.ims | value),
            IMC => self.set_mask(ctx, self.irq.ims & !value),
            RCTL => self.write_rctl(ctx, value),
            FCTTV => r.fcttv = half,
            TXCW => r.txcw = value & 0xc000_ffff,
            TCTL => self.write_tctl(ctx, value),
            TIPG => r.tipg = value & 0x3fff_ffff,
            AIT => r.ait = half,
            LEDCTL => r.ledctl = value,
            PBA => r.pba = half,
            FCRTL => r.fcrtl = value & 0x8000_fff8,
            FCRTH => r.fcrth = value & 0xfff8,
            RDTR => self.write_rdtr(ctx, value),
            RXDCTL => r.rxdctl = value & 0x013f_3f3f,
            RADV => r.radv = half,
            RSRPD => r.rsrpd = value & 0xfff,
            TXDMAC => r.txdmac = value & 1,
            TIDV => self.write_tidv(ctx, value),
            TXDCTL => r.txdctl = value & 0xff3f_3f3f,
            TADV => r.tadv = half,
            TSPMT => r.tspmt = value,
            RXCSUM => r.rxcsum = value & 0x3ff,
            WUC => r.wuc = value & 0xf,
            WUFC => r.wufc = value & 0xf_80ff,
            MANC => r.manc = value,
            IPAV => r.ipav = value & 0x1_000f,
            RDBAL | RDBAH | RDLEN | RDH => self.write_receive_ring(ctx, offset, value),
            TDBAL | TDBAH | TDLEN | TDH => self.write_transmit_ring(ctx, offset, value),
            RDT => {
                self.rx.ring.set_tail(half, ctx.cause());
                self.pump_receive(ctx);
            }
            TDT => {
                self.tx.ring.set_tail(half, ctx.cause());
                self.pump_transmit(ctx);
            }
            STATUS | RXCW | WUS | WUPL => {}
            _ => return self.write_array(offset, value),
        }
        Ok(())
    }

    fn write_array(&mut self, offset: u32, value: u32) -> Result<(), IoError> {
        if let Some(index) = word(offset, PBM, PBM_SIZE / 4) {
            self.tables.set_packet_buffer(index as u32, value);
            return Ok(());
        }
        if word(offset, STATS, STATS_WORDS).is_some() || word(offset, WUPM, WUPM_WORDS).is_some() {
            return Ok(());
        }
        if let Some(index) = word(offset, RA, RA_WORDS) {
            self.tables.ra[index] = if index % 2 == 0 { value } else { value & 0x8003_ffff };
            return Ok(());
        }
        let t = &mut self.tables;
        let arrays = [
            (MTA, &mut t.mta),
            (VFTA, &mut t.vfta),
            (IP4AT, &mut t.ip4at),
            (IP6AT, &mut t.ip6at),
            (FFLT, &mut t.fflt),
            (FFMT, &mut t.ffmt),
            (FFVT, &mut t.ffvt),
        ];
        for (first, words) in arrays {
            if let Some(index) = word(offset, first, words.len() as u32) {
                words[index] = value;
                return Ok(());
            }
        }
        let index = fifo_register(offset).ok_or(IoError::NoRegister)?;
        t.fifo[index] = value & 0x1fff;
        Ok(())
    }

    fn write_ctrl(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        if value & CTRL_RST != 0 {
            return self.reset_mac(ctx);
        }
        let (before, link) = (self.regs.ctrl, self.link_up());
        self.regs.ctrl = value;
        if (before ^ value) & CTRL_PHY_RST != 0 {
            self.hold_phy(ctx, value & CTRL_PHY_RST != 0);
        }
        self.link_moved(ctx, link);
    }

    fn write_ctrl_ext(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.regs.ctrl_ext = value & !CTRL_EXT_EE_RST;
        if value & CTRL_EXT_EE_RST != 0 {
            ctx.cancel(Token::EepromLoaded as u32);
            ctx.after(self.config.timing.eeprom_load, Token::EepromLoaded as u32);
        }
    }

    fn write_rctl(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.regs.rctl = value & RCTL_MASK;
        self.pump_receive(ctx);
    }

    fn write_tctl(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.regs.tctl = value & TCTL_MASK & !TCTL_SWXOFF;
        if value & TCTL_SWXOFF != 0 {
            self.send_pause(ctx, self.regs.fcttv as u16);
        }
        self.pump_transmit(ctx);
    }

    fn write_receive_ring(&mut self, ctx: &mut DeviceCtx<'_>, offset: u32, value: u32) {
        let ring = &mut self.rx.ring;
        match offset {
            RDBAL => ring.base = ring.base & !0xffff_ffff | u64::from(value & !0xf),
            RDBAH => ring.base = ring.base & 0xffff_ffff | u64::from(value) << 32,
            RDLEN => ring.len = value & 0xf_ff80,
            _ => ring.head = value & 0xffff,
        }
        self.restart_receive_ring(ctx);
    }

    fn write_transmit_ring(&mut self, ctx: &mut DeviceCtx<'_>, offset: u32, value: u32) {
        let ring = &mut self.tx.ring;
        match offset {
            TDBAL => ring.base = ring.base & !0xffff_ffff | u64::from(value & !0xf),
            TDBAH => ring.base = ring.base & 0xffff_ffff | u64::from(value) << 32,
            TDLEN => ring.len = value & 0xf_ff80,
            _ => ring.head = value & 0xffff,
        }
        self.restart_transmit_ring(ctx);
    }
}

/// The place of a diagnostic FIFO register among the ten: head, tail, saved head, saved tail, count; 8 bytes apart.
fn fifo_register(offset: u32) -> Option<usize> {
    [(RDFH, 0), (TDFH, 5)].into_iter().find_map(|(first, base)| {
        let byte = offset.checked_sub(first)?;
        (byte < 0x28 && byte % 8 == 0).then_some(base + (byte / 8) as usize)
    })
}
