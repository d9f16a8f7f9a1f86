//! The internal PHY, a Marvell 88E1011 in effect, reached through MDIC; auto-negotiation with a partner that can do
//! everything; and the link that comes of both. IEEE 802.3 clause 22.2.4 and 40.5 (registers 0-15), manual chapter 11
//! and 13.4.7 (registers 16-31). Not the cable: frames do not pass through here.

use super::{E1000, Token, spec};
use emu_core::device::DeviceCtx;
use serde::{Deserialize, Serialize};

/// The PHY answers at this MDIO address only.
const ADDRESS: u32 = 1;
/// Register 0, control.
pub(super) const CONTROL: usize = 0;
/// Register 1, status.
pub(super) const STATUS: usize = 1;
const ADVERTISE: usize = 4;
const PARTNER: usize = 5;
const EXPANSION: usize = 6;
const GIGABIT_CONTROL: usize = 9;
const GIGABIT_STATUS: usize = 10;
/// Register 17, PHY specific status.
pub(super) const PHY_STATUS: usize = 17;
const INTERRUPT_ENABLE: usize = 18;
const INTERRUPT_STATUS: usize = 19;

const CONTROL_RESET: u16 = 1 << 15;
const CONTROL_LOOPBACK: u16 = 1 << 14;
const CONTROL_SPEED_LOW: u16 = 1 << 13;
const CONTROL_AUTONEG: u16 = 1 << 12;
const CONTROL_POWER_DOWN: u16 = 1 << 11;
const CONTROL_ISOLATE: u16 = 1 << 10;
const CONTROL_RESTART: u16 = 1 << 9;
const CONTROL_FULL: u16 = 1 << 8;
const CONTROL_SPEED_HIGH: u16 = 1 << 6;
/// Bits of register 0 that stay as written.
const CONTROL_KEPT: u16 = 0x7dc0;
/// Link status; reads 0 once after every loss.
const STATUS_LINK: u16 = 1 << 2;
const STATUS_AUTONEG_DONE: u16 = 1 << 5;
/// Everything that the partner can: 10 and 100 in both duplexes, PAUSE, acknowledged.
const PARTNER_ABILITY: u16 = 0x45e1;
/// Receivers fine, partner is capable of 1000BASE-T in both duplexes.
const PARTNER_GIGABIT: u16 = 0x3c00;
/// Speed and duplex interrupts of register 19: link changed, auto-negotiation complete.
const INTERRUPT_LINK: u16 = 1 << 10 | 1 << 11;

/// Registers after a reset; those that are not listed read 0.
const RESET: [(usize, u16); 13] = [
    (CONTROL, 0x1140),
    (STATUS, 0x7949),
    (2, 0x0141),
    (3, 0x0c20),
    (ADVERTISE, 0x0de1),
    (EXPANSION, 0x0004),
    (7, 0x2001),
    (GIGABIT_CONTROL, 0x0e00),
    (15, 0x3000),
    (16, 0x0068),
    (20, 0x0d60),
    (24, 0x4100),
    (27, 0x848b),
];

/// Link speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Speed {
    /// 10 Mb/s.
    Mb10 = 0,
    /// 100 Mb/s.
    Mb100 = 1,
    /// 1000 Mb/s.
    Mb1000 = 2,
}

impl Speed {
    /// Picoseconds that one byte takes.
    pub(super) const fn byte_ps(self) -> u64 {
        match self {
            Self::Mb10 => 800_000,
            Self::Mb100 => 80_000,
            Self::Mb1000 => 8_000,
        }
    }
}

/// The PHY.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phy {
    /// The 32 registers; link bits are worked out when read.
    pub regs: Vec<u16>,
    /// The link is up.
    pub link: bool,
    /// The link was lost since register 1 was last read.
    pub lost: bool,
    /// Speed of the link, or of the last one.
    pub speed: Speed,
    /// Its duplex.
    pub full_duplex: bool,
    /// A reset is under way: only the reset bit can be seen.
    pub resetting: bool,
    /// MDIC.
    pub mdic: u32,
}

impl Default for Phy {
    /// Long since powered on and linked.
    fn default() -> Self {
        let mut phy = Self {
            regs: vec![0; 32],
            link: false,
            lost: false,
            speed: Speed::Mb1000,
            full_duplex: true,
            resetting: false,
            mdic: spec::MDIC_READY,
        };
        phy.reset_registers();
        phy.establish();
        phy.regs[INTERRUPT_STATUS] = 0;
        phy
    }
}

impl Phy {
    fn reset_registers(&mut self) {
        self.regs.fill(0);
        for (register, value) in RESET {
            self.regs[register] = value;
        }
    }

    fn control(&self) -> u16 {
        self.regs[CONTROL]
    }

    fn autonegotiates(&self) -> bool {
        self.control() & CONTROL_AUTONEG != 0
    }

    /// Whether the PHY returns what it is given (IEEE 802.3, 22.2.4.1.2).
    pub(super) fn loops_back(&self) -> bool {
        self.control() & CONTROL_LOOPBACK != 0
    }

    /// The best that both ends can do, or what is forced; `None` if nothing fits.
    fn resolve(&self) -> Option<(Speed, bool)> {
        if self.control() & (CONTROL_POWER_DOWN | CONTROL_ISOLATE) != 0 {
            return None;
        }
        if !self.autonegotiates() {
            let full = self.control() & CONTROL_FULL != 0;
            return match (self.control() & CONTROL_SPEED_HIGH != 0, self.control() & CONTROL_SPEED_LOW != 0) {
                (false, false) => Some((Speed::Mb10, full)),
                (false, true) => Some((Speed::Mb100, full)),
                (true, false) => Some((Speed::Mb1000, full)),
                (true, true) => None,
            };
        }
        let gigabit = self.regs[GIGABIT_CONTROL];
        let common = self.regs[ADVERTISE] & PARTNER_ABILITY;
        [
            (gigabit & 1 << 9, Speed::Mb1000, true),
            (gigabit & 1 << 8, Speed::Mb1000, false),
            (common & 1 << 8, Speed::Mb100, true),
            (common & 1 << 7, Speed::Mb100, false),
            (common & 1 << 6, Speed::Mb10, true),
            (common & 1 << 5, Speed::Mb10, false),
        ]
        .into_iter()
        .find_map(|(able, speed, full)| (able != 0).then_some((speed, full)))
    }

    /// Auto-negotiation, or settling at the forced speed, is over.
    fn establish(&mut self) {
        if let Some((speed, full_duplex)) = self.resolve() {
            (self.speed, self.full_duplex) = (speed, full_duplex);
            self.link = true;
            self.regs[INTERRUPT_STATUS] |= INTERRUPT_LINK;
        }
    }

    fn drop_link(&mut self) {
        if self.link {
            self.link = false;
            self.regs[INTERRUPT_STATUS] |= 1 << 10;
        }
        self.lost = true;
    }

    fn read(&mut self, register: usize) -> u16 {
        if self.resetting {
            return if register == CONTROL { self.control() | CONTROL_RESET } else { 0 };
        }
        let partner = self.link && self.autonegotiates();
        match register {
            STATUS => {
                let link = if self.link && !self.lost { STATUS_LINK } else { 0 };
                self.lost = false;
                self.regs[STATUS] | link | if partner { STATUS_AUTONEG_DONE } else { 0 }
            }
            PARTNER if partner => PARTNER_ABILITY,
            EXPANSION if partner => self.regs[EXPANSION] | 1,
            GIGABIT_STATUS if partner && self.speed == Speed::Mb1000 => PARTNER_GIGABIT,
            PHY_STATUS => self.specific_status(),
            INTERRUPT_STATUS => std::mem::take(&mut self.regs[INTERRUPT_STATUS]),
            _ => self.regs[register],
        }
    }

    /// PHY specific status: speed 15:14, duplex 13, page received 12, resolved 11, link 10.
    fn specific_status(&self) -> u16 {
        if !self.link {
            return 0;
        }
        let duplex = if self.full_duplex { 1 << 13 } else { 0 };
        (self.speed as u16) << 14 | duplex | 1 << 11 | 1 << 10
    }

    /// Whether the state is one that a run can leave.
    pub(super) fn is_sound(&self) -> bool {
        self.regs.len() == 32
    }
}

impl E1000 {
    /// Whether frames can pass: the PHY has a link, and the MAC was told to look.
    #[must_use]
    pub fn link_up(&self) -> bool {
        self.phy.link && self.regs.ctrl & spec::CTRL_SLU != 0
    }

    /// What software reads from STATUS.
    pub(super) fn status(&self) -> u32 {
        let full = self.regs.ctrl & spec::CTRL_FRCDPX == 0 && self.phy.full_duplex
            || self.regs.ctrl & (spec::CTRL_FRCDPX | spec::CTRL_FD) == spec::CTRL_FRCDPX | spec::CTRL_FD;
        let speed = if self.regs.ctrl & spec::CTRL_FRCSPD != 0 {
            self.regs.ctrl >> spec::CTRL_SPEED_SHIFT & 3
        } else {
            self.phy.speed as u32
        };
        let link = if self.link_up() { spec::STATUS_LU } else { 0 };
        let paused = if self.tx.paused { spec::STATUS_TXOFF } else { 0 };
        u32::from(full) | link | paused | speed << 6 | (self.phy.speed as u32) << 8
    }

    pub(super) fn write_mdic(&mut self, ctx: &mut DeviceCtx<'_>, value: u32) {
        self.phy.mdic = value & !(spec::MDIC_READY | spec::MDIC_ERROR);
        let opcode = value >> 26 & 3;
        if opcode == spec::MDIC_READ || opcode == spec::MDIC_WRITE {
            ctx.cancel(Token::Mdio as u32);
            ctx.after(self.config.timing.mdio, Token::Mdio as u32);
        } else {
            self.phy.mdic |= spec::MDIC_READY | spec::MDIC_ERROR;
        }
    }

    /// The MDIO access is through.
    pub(super) fn mdio_done(&mut self, ctx: &mut DeviceCtx<'_>) {
        let mdic = self.phy.mdic;
        let register = (mdic >> 16 & 31) as usize;
        let mut done = mdic & !0xffff | spec::MDIC_READY;
        if mdic >> 21 & 31 != ADDRESS {
            done |= spec::MDIC_ERROR | 0xffff;
        } else if mdic >> 26 & 3 == spec::MDIC_READ {
            done |= u32::from(self.phy.read(register));
        } else {
            done |= mdic & 0xffff;
            self.write_phy(ctx, register, mdic as u16);
        }
        self.phy.mdic = done;
        if mdic & spec::MDIC_INTERRUPT != 0 {
            self.raise(ctx, spec::ICR_MDAC);
        }
    }

    fn write_phy(&mut self, ctx: &mut DeviceCtx<'_>, register: usize, value: u16) {
        if self.phy.resetting {
            return;
        }
        match register {
            CONTROL => self.write_phy_control(ctx, value),
            STATUS | 2 | 3 | PARTNER | EXPANSION | 8 | GIGABIT_STATUS | 15 | PHY_STATUS
            | INTERRUPT_STATUS | 21 => {}
            _ => self.phy.regs[register] = value,
        }
    }

    fn write_phy_control(&mut self, ctx: &mut DeviceCtx<'_>, value: u16) {
        let before = self.phy.control();
        self.phy.regs[CONTROL] = value & CONTROL_KEPT;
        if value & CONTROL_RESET != 0 {
            // A software reset keeps what was written to the configuration registers and makes it take effect.
            self.phy.resetting = true;
            self.lose_link(ctx);
            ctx.cancel(Token::PhyReset as u32);
            ctx.after(self.config.timing.phy_software_reset, Token::PhyReset as u32);
            return;
        }
        let changed = before ^ self.phy.control();
        let decisive = CONTROL_AUTONEG
            | CONTROL_POWER_DOWN
            | CONTROL_ISOLATE
            | CONTROL_SPEED_HIGH
            | CONTROL_SPEED_LOW
            | CONTROL_FULL;
        let restart = value & CONTROL_RESTART != 0 && self.phy.autonegotiates();
        if restart || changed & decisive != 0 {
            self.negotiate(ctx);
        }
    }

    /// Drops the link and starts over.
    fn negotiate(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.lose_link(ctx);
        ctx.after(self.config.timing.autonegotiation, Token::Autonegotiated as u32);
    }

    fn lose_link(&mut self, ctx: &mut DeviceCtx<'_>) {
        ctx.cancel(Token::Autonegotiated as u32);
        let before = self.link_up();
        self.phy.drop_link();
        self.link_moved(ctx, before);
    }

    /// CTRL.PHY_RST goes up or down: the PHY is held in reset, or starts from its defaults.
    pub(super) fn hold_phy(&mut self, ctx: &mut DeviceCtx<'_>, held: bool) {
        ctx.cancel(Token::PhyReset as u32);
        self.lose_link(ctx);
        self.phy.reset_registers();
        self.phy.resetting = true;
        if !held {
            ctx.after(self.config.timing.phy_reset, Token::PhyReset as u32);
        }
    }

    /// The PHY is out of reset.
    pub(super) fn phy_reset_done(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.phy.resetting = false;
        self.negotiate(ctx);
    }

    /// The link partners have agreed.
    pub(super) fn autonegotiated(&mut self, ctx: &mut DeviceCtx<'_>) {
        let before = self.link_up();
        self.phy.establish();
        self.link_moved(ctx, before);
    }

    /// Tells software if the link is not what it was `before`, and lets waiting frames go.
    pub(super) fn link_moved(&mut self, ctx: &mut DeviceCtx<'_>, before: bool) {
        let wanted = self.phy.regs[INTERRUPT_STATUS] & self.phy.regs[INTERRUPT_ENABLE];
        let mut causes = if wanted != 0 { spec::ICR_PHYINT } else { 0 };
        if before != self.link_up() {
            causes |= spec::ICR_LSC;
        }
        self.raise(ctx, causes);
        self.pump_transmit(ctx);
    }
}
