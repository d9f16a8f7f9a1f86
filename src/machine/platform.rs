//! Devices and board together: the whole world outside of the processors, and the processor's one view of it.

use super::board::{Board, Port};
use super::cable::Cable;
use super::console::Console;
use super::devices::Devices;
use super::run::Stop;
use crate::position::Position;
use emu_core::cpu::{ApicGp, Attention, CpuBus, Reply, Stamp};
use emu_core::device::DeviceCtx;
use emu_core::mem::{AddressMap, PhysMem};
use emu_core::trace::{RecordId, TraceEvent};
use emu_core::{Event, Gpa, Slot, VirtTime, Width};
use emu_devices::e1000::E1000;
use emu_devices::lapic::{Mode, Request};
use emu_net::converse::Step;

/// What happens to a frame on its way to the card: a run that is to go otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameChange {
    /// It is lost.
    Lose,
    /// A byte of it is another, if it is that long.
    Set {
        /// Which.
        offset: usize,
        /// Its value.
        value: u8,
    },
}

/// The world of the processors.
#[derive(Debug)]
pub(super) struct Platform {
    pub(super) devices: Devices,
    pub(super) board: Board,
    pub(super) cable: Cable,
    /// Device registers in memory space; laid anew when a BAR moves.
    pub(super) map: AddressMap,
    /// Frames that came in from the wire.
    pub(super) frames_in: u64,
    /// Hardware interrupts that the processor took.
    pub(super) interrupts: u64,
    /// The arrival that is in the event queue.
    pub(super) arrival: Option<VirtTime>,
    /// The machine's end, once something asked for it.
    pub(super) stop: Option<Stop>,
    /// Where the run in progress is to stop, if the processor can't know.
    pub(super) goal: Option<Position>,
    /// A frame that arrives otherwise than the far end sent it.
    pub(super) changed_frame: Option<(u64, FrameChange)>,
    pub(super) serial: Console,
    pub(super) debugcon: Console,
}

impl Platform {
    /// Lends the network card what it needs for a call.
    pub(super) fn with_nic<R>(
        &mut self,
        call: impl FnOnce(&mut E1000, &mut DeviceCtx<'_>, &mut Cable) -> R,
    ) -> R {
        let Self { devices, board, cable, .. } = self;
        let Board { fabric, mem, remapping, timing, traffic, sanitizer, .. } = board;
        let sanitizer = sanitizer.as_deref_mut();
        let mut port = Port { mem, remapping, timing, traffic, sanitizer };
        let (source, bus_master) = (devices.nic_requester(), devices.nic_is_master());
        let mut ctx = DeviceCtx::new(fabric.env(), Slot::Nic(0), source, bus_master, &mut port);
        let result = call(&mut devices.nic, &mut ctx, cable);
        for fate in devices.nic.take_fates() {
            cable.fate(fate);
        }
        self.tell_conversations();
        result
    }

    /// What conversations at the cable's far end have come to becomes records.
    fn tell_conversations(&mut self) {
        for Step { conversation: number, what: step, frame } in
            emu_net::NetBackend::take_steps(&mut self.cable)
        {
            self.board.fabric.tracer.emit(Slot::Wire(0), TraceEvent::Conversation { number, step, frame });
        }
    }

    /// Gives every event that is due by `now` to its chip, in order.
    pub(super) fn deliver_due(&mut self, now: VirtTime, insns: u64) {
        while let Some((when, event)) = self.board.fabric.events.pop_due(now) {
            // The event takes effect at this instruction boundary, which may be a little later than it was due.
            self.board.fabric.now = now.max(when);
            self.board.fabric.tracer.at(self.board.fabric.now, insns);
            self.board.fabric.tracer.set_cause(event.cause);
            self.deliver(event);
            self.drain();
        }
    }

    fn deliver(&mut self, event: Event) {
        let token = event.token;
        match event.slot {
            Slot::Nic(_) => self.with_nic(|nic, ctx, cable| nic.on_event(ctx, cable, token)),
            Slot::Wire(_) => self.frame_arrives(),
            Slot::Lapic(index) => {
                let Board { fabric, lapics, .. } = &mut self.board;
                if let Some(lapic) = lapics.get_mut(usize::from(index)) {
                    lapic.on_event(&mut fabric.env(), token);
                }
            }
            Slot::Pit => self.devices.pit.on_event(&mut self.board.fabric.env(), token),
            Slot::Rtc => self.devices.rtc.on_event(&mut self.board.fabric.env(), token),
            Slot::Uart(_) => self.devices.uart.on_event(&mut self.board.fabric.env(), token),
            Slot::AcpiPm => self.devices.acpi_pm.on_event(&mut self.board.fabric.env(), token),
            Slot::Iommu(number) => {
                let Board { fabric, mem, remapping, .. } = &mut self.board;
                if let Some(iommu) = remapping.unit(number) {
                    iommu.on_event(&mut fabric.env(), mem, token);
                }
            }
            Slot::Kbc | Slot::Cpu(_) | Slot::Ioapic | Slot::Pic | Slot::DebugPort | Slot::Pci => {}
        }
    }

    /// A frame's last bit is in.
    fn frame_arrives(&mut self) {
        self.arrival = None;
        if self.is_held() {
            return;
        }
        let now = self.board.fabric.now;
        let arrived = emu_net::NetBackend::receive(&mut self.cable, now);
        // What happens at the far end has no cause inside the machine.
        self.board.fabric.tracer.set_cause(None);
        self.tell_conversations();
        if let Some(mut frame) = arrived {
            let packet = self.frames_in;
            self.frames_in += 1;
            match self.changed_frame.filter(|(changed, _)| *changed == packet) {
                None => {}
                Some((_, FrameChange::Lose)) => return,
                Some((_, FrameChange::Set { offset, value })) => {
                    if let Some(byte) = frame.bytes.get_mut(offset) {
                        *byte = value;
                    }
                }
            }
            self.board.fabric.tracer.set_cause(None);
            self.with_nic(|nic, ctx, _| nic.frame_in(ctx, packet, &frame));
        }
    }

    /// Whether the next frame waits for room in the card.
    fn is_held(&self) -> bool {
        emu_net::NetBackend::held(&self.cable).is_some_and(|len| !self.devices.nic.has_room_for(len))
    }

    /// Puts the next arrival into the event queue if it is not there. A frame that is due and waits for room is looked at again
    /// after every call of a chip.
    fn schedule_arrival(&mut self) {
        let now = self.board.fabric.now;
        let next = emu_net::NetBackend::next_arrival(&self.cable);
        let next = next.filter(|when| *when > now || !self.is_held());
        if next == self.arrival {
            return;
        }
        let events = &mut self.board.fabric.events;
        events.cancel(Slot::Wire(0), 0);
        if let Some(when) = next {
            events.schedule(when, Event { slot: Slot::Wire(0), token: 0, cause: None });
        }
        self.arrival = next;
    }

    /// After a chip was called: its signals take effect, its output is collected, the cable is looked at.
    pub(super) fn drain(&mut self) {
        self.route_signals();
        self.tell_sanitizer();
        self.schedule_arrival();
        let serial = self.devices.uart.take_output();
        if !serial.is_empty() {
            self.serial.push(&serial);
        }
        let debug = self.devices.debug_port.take_output();
        if !debug.is_empty() {
            self.debugcon.push(&debug);
        }
    }

    /// Whether the goal that only the platform sees is reached.
    pub(super) fn goal_reached(&self) -> bool {
        match &self.goal {
            Some(Position::Packet(packet)) => self.frames_in > *packet,
            Some(Position::Record(record)) => self.board.fabric.tracer.state().next_id > *record,
            Some(Position::Serial(text)) => self.serial.has(text) || self.debugcon.has(text),
            Some(Position::Insns(_) | Position::Time(_)) | None => false,
        }
    }
}

impl CpuBus for Platform {
    fn mem(&mut self) -> &mut PhysMem {
        &mut self.board.mem
    }

    fn mem_ref(&self) -> &PhysMem {
        &self.board.mem
    }

    fn mmio_read(&mut self, at: Stamp, gpa: Gpa, width: Width) -> Reply {
        self.board.fabric.at(at);
        let reply = self.read_memory_space(gpa, width);
        self.drain();
        reply
    }

    fn mmio_write(&mut self, at: Stamp, gpa: Gpa, width: Width, value: u64) -> Reply {
        self.board.fabric.at(at);
        let reply = self.write_memory_space(gpa, width, value);
        self.drain();
        reply
    }

    fn port_read(&mut self, at: Stamp, port: u16, width: Width) -> Reply {
        self.board.fabric.at(at);
        let reply = self.read_port_space(port, width);
        self.drain();
        reply
    }

    fn port_write(&mut self, at: Stamp, port: u16, width: Width, value: u32) -> Reply {
        self.board.fabric.at(at);
        let reply = self.write_port_space(port, width, value);
        self.drain();
        reply
    }

    fn attention(&self) -> Option<Attention> {
        let lapic = self.board.lapics.first()?;
        match lapic.request() {
            Some(Request::Init) => Some(Attention::Init),
            Some(Request::StartUp(page)) => Some(Attention::StartUp(page)),
            Some(Request::Nmi) => Some(Attention::Nmi),
            // There is no system management mode: the request is dropped where it is seen.
            Some(Request::Smi) | None if lapic.pending().is_some() || lapic.ext_int_pending() => {
                Some(Attention::Interrupt)
            }
            Some(Request::Smi) | None => None,
        }
    }

    fn take_attention(&mut self, at: Stamp, attention: Attention) {
        self.board.fabric.at(at);
        let request = match attention {
            Attention::Init => Request::Init,
            Attention::StartUp(page) => Request::StartUp(page),
            Attention::Nmi => Request::Nmi,
            Attention::Interrupt => return,
        };
        let Board { fabric, lapics, .. } = &mut self.board;
        if let Some(lapic) = lapics.first_mut() {
            lapic.take_request(&mut fabric.env(), request);
        }
    }

    fn acknowledge(&mut self, at: Stamp) -> Option<(u8, Option<RecordId>)> {
        self.board.fabric.at(at);
        let Board { fabric, lapics, pic, .. } = &mut self.board;
        let lapic = lapics.first_mut()?;
        let answer = if lapic.ext_int_pending() {
            let cause = lapic.acknowledge_ext_int();
            let mut env = fabric.env();
            let (vector, pic_cause) = pic.acknowledge(&mut env);
            Some((vector, cause.or(pic_cause)))
        } else {
            lapic.pending()?;
            Some(lapic.acknowledge(&mut fabric.env()))
        };
        self.drain();
        answer
    }

    fn apic_msr_read(&mut self, at: Stamp, msr: u32) -> Result<u64, ApicGp> {
        self.board.fabric.at(at);
        let Board { fabric, lapics, .. } = &mut self.board;
        let lapic = lapics.first_mut().ok_or(ApicGp)?;
        let value = lapic.msr_read(&mut fabric.env(), msr).map_err(|_| ApicGp)?;
        fabric.tracer.emit(Slot::Lapic(0), TraceEvent::MsrRead { msr, value });
        Ok(value)
    }

    fn apic_msr_write(&mut self, at: Stamp, msr: u32, value: u64) -> Result<(), ApicGp> {
        self.board.fabric.at(at);
        let Board { fabric, lapics, .. } = &mut self.board;
        let id = fabric.tracer.emit(Slot::Lapic(0), TraceEvent::MsrWrite { msr, value });
        fabric.tracer.set_cause(Some(id));
        let result =
            lapics.first_mut().ok_or(ApicGp)?.msr_write(&mut fabric.env(), msr, value).map_err(|_| ApicGp);
        self.drain();
        result
    }

    fn set_tsc_offset(&mut self, at: Stamp, offset: u64) {
        self.board.fabric.at(at);
        let Board { fabric, lapics, .. } = &mut self.board;
        if let Some(lapic) = lapics.first_mut() {
            lapic.set_tsc_offset(&mut fabric.env(), offset);
        }
        self.drain();
    }

    fn cr8(&self) -> u64 {
        self.board.lapics.first().map_or(0, emu_devices::lapic::Lapic::cr8)
    }

    fn set_cr8(&mut self, at: Stamp, value: u64) {
        self.board.fabric.at(at);
        let Board { fabric, lapics, .. } = &mut self.board;
        if let Some(lapic) = lapics.first_mut() {
            lapic.set_cr8(&mut fabric.env(), value);
        }
        self.drain();
    }

    fn trace(&mut self, at: Stamp, event: TraceEvent) -> RecordId {
        self.board.fabric.at(at);
        let tracer = &mut self.board.fabric.tracer;
        let id = tracer.emit(Slot::Cpu(0), event);
        if let TraceEvent::CpuHalt { .. } = event {
            tracer.sleep();
        }
        id
    }

    fn enter_interrupt(&mut self, at: Stamp, vector: u8, rip: u64, interrupt: Option<RecordId>) {
        self.board.fabric.at(at);
        let tracer = &mut self.board.fabric.tracer;
        tracer.set_cause(interrupt);
        let id = tracer.emit(Slot::Cpu(0), TraceEvent::CpuInterrupt { vector, rip });
        tracer.enter_handler(id);
        self.interrupts += 1;
    }

    fn leave_interrupt(&mut self, at: Stamp, rip: u64) {
        self.board.fabric.at(at);
        let tracer = &mut self.board.fabric.tracer;
        tracer.emit(Slot::Cpu(0), TraceEvent::CpuIret { rip });
        tracer.leave_handler();
    }

    fn watched_write(&mut self, at: Stamp, rip: u64) {
        self.processor_wrote(at, rip);
    }

    fn wants_stop(&self) -> bool {
        self.stop.is_some() || self.goal_reached() || self.board.fabric.tracer.has_seen()
    }
}

/// Whether the local APIC's registers are in memory space now.
pub(super) fn lapic_in_memory(board: &Board) -> bool {
    board.lapics.first().is_some_and(|lapic| lapic.mode() == Mode::XApic)
}
