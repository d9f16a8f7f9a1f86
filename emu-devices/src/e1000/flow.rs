//! Flow control: PAUSE frames received stop the transmitter; a filling receive FIFO sends them. IEEE 802.3 annex 31B,
//! manual 8.7, 13.4.8 to 13.4.12, 13.4.23 and 13.4.24.

use super::rx::FRAME_MIN;
use super::{E1000, Token, spec, stats};
use emu_core::VirtDuration;
use emu_core::device::DeviceCtx;

/// Destination of PAUSE frames.
const PAUSE_ADDRESS: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x01];
/// Type of MAC control frames.
const MAC_CONTROL: u16 = 0x8808;
/// Opcode of PAUSE.
const PAUSE: u16 = 1;
/// One PAUSE quantum is 512 bit times: 64 byte times.
const QUANTUM_BYTES: u64 = 64;

impl E1000 {
    /// Whether a frame is a PAUSE to us: type FCT and opcode, sent to the PAUSE address as FCAL and FCAH hold it, or to
    /// the station.
    pub(super) fn is_pause(&self, frame: &[u8]) -> bool {
        let (low, high) = (self.regs.fcal.to_le_bytes(), self.regs.fcah.to_le_bytes());
        let address = [low[0], low[1], low[2], low[3], high[0], high[1]];
        let station = self.station_address();
        let to_us = frame.get(..6).is_some_and(|to| to == address || to == station);
        let kind =
            frame.get(12..16).map(|bytes| (u16::from_be_bytes([bytes[0], bytes[1]]), bytes[2], bytes[3]));
        to_us
            && kind.is_some_and(|(kind, high, low)| {
                u32::from(kind) == self.regs.fct && u16::from_be_bytes([high, low]) == PAUSE
            })
    }

    fn station_address(&self) -> [u8; 6] {
        let (low, high) = (self.tables.ra[0].to_le_bytes(), self.tables.ra[1].to_le_bytes());
        [low[0], low[1], low[2], low[3], high[0], high[1]]
    }

    /// Obeys a PAUSE frame if told to. Answers whether the frame may go on to the filters.
    pub(super) fn take_pause(&mut self, ctx: &mut DeviceCtx<'_>, frame: &[u8]) -> bool {
        let quanta = frame.get(16..18).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        let obeyed = self.regs.ctrl & spec::CTRL_RFCE != 0;
        if obeyed {
            self.stats.add(if quanta == 0 { stats::XONRXC } else { stats::XOFFRXC }, 1);
            ctx.cancel(Token::PauseOver as u32);
            self.tx.paused = quanta != 0;
            if quanta != 0 {
                let ps = self.phy.speed.byte_ps() * QUANTUM_BYTES * u64::from(quanta);
                ctx.after(VirtDuration::from_ps(ps), Token::PauseOver as u32);
            }
            self.pump_transmit(ctx);
        } else {
            self.stats.add(stats::FCRUC, 1);
        }
        let rctl = self.regs.rctl;
        rctl & spec::RCTL_DPF == 0 && (!obeyed || rctl & spec::RCTL_PMCF != 0)
    }

    /// The time of the last PAUSE is over.
    pub(super) fn pause_over(&mut self, ctx: &mut DeviceCtx<'_>) {
        self.tx.paused = false;
        self.pump_transmit(ctx);
    }

    /// Sends XOFF when the FIFO has filled to FCRTH, XON when it has drained to FCRTL.
    pub(super) fn flow_control_fifo(&mut self, ctx: &mut DeviceCtx<'_>) {
        let high = self.regs.fcrth & 0xfff8;
        if self.regs.ctrl & spec::CTRL_TFCE == 0 || high == 0 {
            return;
        }
        if self.rx.fifo_bytes >= high && !self.rx.xoff_sent {
            self.rx.xoff_sent = true;
            self.send_pause(ctx, self.regs.fcttv as u16);
        } else if self.rx.fifo_bytes <= self.regs.fcrtl & 0xfff8 && self.rx.xoff_sent {
            self.rx.xoff_sent = false;
            if self.regs.fcrtl & spec::FCRTL_XONE != 0 {
                self.send_pause(ctx, 0);
            }
        }
    }

    /// Queues a PAUSE frame; it goes out even while the transmitter itself is paused, before everything that waits.
    pub(super) fn send_pause(&mut self, ctx: &mut DeviceCtx<'_>, quanta: u16) {
        let mut frame = vec![0; FRAME_MIN];
        frame[..6].copy_from_slice(&PAUSE_ADDRESS);
        frame[6..12].copy_from_slice(&self.station_address());
        frame[12..14].copy_from_slice(&MAC_CONTROL.to_be_bytes());
        frame[14..16].copy_from_slice(&PAUSE.to_be_bytes());
        frame[16..18].copy_from_slice(&quanta.to_be_bytes());
        self.stats.add(if quanta == 0 { stats::XONTXC } else { stats::XOFFTXC }, 1);
        self.queue_control_frame(ctx, frame);
    }
}
