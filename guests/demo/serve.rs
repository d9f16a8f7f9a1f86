//! The main loop: sleep until an interrupt, take what came, answer it.

use crate::cmdline::Config;
use crate::dma::Slot;
use crate::e1000::{self, Nic, Received};
use crate::experiment::{Content, Experiment};
use crate::net::{self, Answered, Ignored, Station};
use crate::vtd::{Vtd, fault};
use crate::{console, cpu, fail, log, timer};

/// What happened to the frames.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    received: u32,
    /// By `Answered`.
    answered: [u32; 3],
    /// By `Ignored`.
    ignored: [u32; 5],
    /// With a receive error, or in pieces.
    damaged: u32,
    /// Refused by VT-d on their way to memory.
    lost: u32,
    /// Faults that no experiment asked for.
    unexpected_faults: u32,
}

/// Everything that the loop works with.
pub struct Server {
    /// The NIC.
    pub nic: Nic,
    /// The VT-d unit, if the machine has one.
    pub vtd: Option<Vtd>,
    /// The experiment under way.
    pub experiment: Experiment,
    /// Who answers.
    pub station: Station,
    /// Whether to print each frame.
    pub log_frames: bool,
    /// What has happened so far.
    pub counts: Counts,
}

impl Server {
    /// Waits for the link.
    pub fn wait_for_link(&mut self, config: &Config) {
        timer::start_ms(config.link_ms);
        self.nic.start();
        while !self.nic.link_up() {
            if timer::expired() {
                fail!(Link, "e1000: no link after {} ms", config.link_ms);
            }
            e1000::clear_pending();
            sleep_unless(|| e1000::pending() || self.nic.link_up() || timer::expired());
        }
        log!("e1000: link up");
    }

    /// Answers frames until none has come for `idle_ms`.
    pub fn run(&mut self, idle_ms: u32) {
        timer::start_ms(idle_ms);
        console::hold();
        loop {
            e1000::clear_pending();
            self.take_faults();
            let mut busy = false;
            while self.serve_one() {
                busy = true;
            }
            if busy {
                timer::start_ms(idle_ms);
            } else if timer::expired() {
                break;
            }
            if !console::trickle() {
                sleep_unless(|| e1000::pending() || fault::pending() || timer::expired());
            }
        }
        timer::start_ms(0);
        console::release();
    }

    fn take_faults(&mut self) {
        while let Some(fault) = fault::take() {
            log!("vtd: fault: {fault}");
            let expected = self.vtd.as_mut().is_some_and(|vtd| self.experiment.take_fault(&fault, vtd));
            if !expected {
                self.counts.unexpected_faults += 1;
            }
        }
    }

    /// Deals with one frame. False if there is none, or if there is no room for a reply: then the interrupt
    /// that reports a sent frame brings us back.
    fn serve_one(&mut self) -> bool {
        let Some(buffer) = self.nic.free_buffer() else { return false };
        let Some(received) = self.nic.receive() else { return false };
        // A fault that belongs to this frame was reported before the frame was; first things first.
        self.take_faults();
        self.counts.received += 1;
        match self.experiment.locate(received.index, self.vtd.as_mut()) {
            Content::Lost => self.counts.lost += 1,
            Content::In(_) if !received.intact => self.counts.damaged += 1,
            Content::In(page) => self.answer(received, page.bytes(received.len), buffer),
        }
        self.experiment.mark(received.index);
        self.nic.release();
        true
    }

    fn answer(&mut self, received: Received, frame: &[u8], buffer: usize) {
        let outcome = net::respond(self.station, frame, Slot::TxBuffer(buffer).page().bytes_mut());
        if self.log_frames {
            log!("net: frame {} of {} bytes: {outcome:?}", self.counts.received, received.len);
        }
        match outcome {
            Ok((answered, len)) => {
                self.counts.answered[answered as usize] += 1;
                self.nic.send(len);
            }
            Err(ignored) => self.counts.ignored[ignored as usize] += 1,
        }
    }

    /// Prints the figures; true if everything went as the mode says.
    pub fn summarize(&mut self) -> bool {
        let counts = self.counts;
        let [arp, echo, udp] =
            [Answered::Arp, Answered::Echo, Answered::Udp].map(|kind| counts.answered[kind as usize]);
        log!(
            "demo: received {}, answered {} (arp {arp}, echo {echo}, udp {udp})",
            counts.received,
            arp + echo + udp
        );
        let reasons =
            [Ignored::NotForUs, Ignored::NotServed, Ignored::Malformed, Ignored::Checksum, Ignored::Fragment];
        let [other, unserved, malformed, checksum, fragment] =
            reasons.map(|reason| counts.ignored[reason as usize]);
        log!(
            "demo: ignored {} (not for us {other}, not served {unserved}, malformed {malformed}, \
             checksum {checksum}, fragment {fragment})",
            counts.ignored.iter().sum::<u32>()
        );
        log!(
            "demo: damaged {}, lost to faults {}, missed {}, unsent {}",
            counts.damaged,
            counts.lost,
            self.nic.missed(),
            self.nic.unsent()
        );
        let (fault_interrupts, faults, unread) = fault::counts();
        log!("demo: interrupts: nic {}, fault {fault_interrupts}; faults {faults}", e1000::interrupts());
        let concluded = self.experiment.conclude();
        if counts.unexpected_faults + unread != 0 {
            fail!(Fault, "demo: {} faults that nothing here asked for", counts.unexpected_faults + unread);
        }
        concluded
    }
}

/// Sleeps until an interrupt, unless there is work already. The check is made with interrupts off, so that
/// none can come between it and the sleep.
fn sleep_unless(work: impl Fn() -> bool) {
    cpu::disable_interrupts();
    if work() {
        cpu::enable_interrupts();
    } else {
        cpu::wait_for_interrupt();
    }
}
