//! The machine as gdb's target: memory, registers, stops, steps and runs in both directions.

use super::registers::{Image, Number, X86};
use super::watch::Watches;
use super::{SLICE, Told};
use crate::error::Error;
use crate::machine::{Back, Goal, Hit, Stop, Timeline};
use emu_core::{Gpa, Lin};
use gdbstub::common::{Signal, Tid};
use gdbstub::conn::ConnectionExt as _;
use gdbstub::stub::MultiThreadStopReason;
use gdbstub::stub::run_blocking::{BlockingEventLoop, Event, WaitForStopReasonError};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadRangeStepping, MultiThreadRangeSteppingOps, MultiThreadResume,
    MultiThreadResumeOps, MultiThreadSchedulerLocking, MultiThreadSchedulerLockingOps, MultiThreadSingleStep,
    MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{
    ReplayLogPosition, ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps,
};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, outputln};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target as GdbTarget, TargetError, TargetResult};
use std::net::TcpStream;

/// The one processor's thread.
const CPU: Tid = Tid::MIN;

/// What gdb has asked for.
#[derive(Clone, Copy, Debug)]
enum Way {
    On,
    Step,
    /// Steps as long as RIP is in there.
    Within(u64, u64),
    Back,
    StepBack,
}

/// The machine, and what gdb wants of it.
pub(super) struct Target<'t> {
    pub(super) timeline: Timeline,
    pub(super) watches: Watches,
    /// Addresses are physical, not linear.
    pub(super) physical: bool,
    /// Why the machine stands.
    pub(super) why: String,
    way: Way,
    told: Told<'t>,
}

impl<'t> Target<'t> {
    pub(super) fn new(timeline: Timeline, told: Told<'t>) -> Self {
        let why = "the debugger has just come".to_owned();
        Self { timeline, watches: Watches::default(), physical: false, why, way: Way::On, told }
    }

    /// Tells what the guest has printed.
    pub(super) fn tell(&mut self) -> Result<(), Error> {
        let serial = self.timeline.machine_mut().take_serial();
        (self.told)(&serial)
    }

    /// After something that ran forwards.
    fn stopped(&mut self, stop: &Stop) -> MultiThreadStopReason<u64> {
        self.why = match (self.timeline.hit(), stop) {
            (Some(hit), _) => super::monitor::describe(hit),
            (None, stop) => format!("the run has ended: {}", stop.name()),
        };
        let Some(hit) = self.timeline.hit().cloned() else {
            // The state stands for itself, and one may go back from here.
            return MultiThreadStopReason::ReplayLog { tid: Some(CPU), pos: ReplayLogPosition::End };
        };
        self.reason(&hit)
    }

    fn reason(&self, hit: &Hit) -> MultiThreadStopReason<u64> {
        if let Some((kind, addr)) = self.watches.of(hit) {
            return MultiThreadStopReason::Watch { tid: CPU, kind, addr };
        }
        match hit {
            Hit::Code if self.watches.soft.contains(&self.rip()) => MultiThreadStopReason::SwBreak(CPU),
            Hit::Code => MultiThreadStopReason::HwBreak(CPU),
            Hit::Data(_) | Hit::Record { .. } => {
                MultiThreadStopReason::SignalWithThread { tid: CPU, signal: Signal::SIGTRAP }
            }
        }
    }

    fn rip(&self) -> u64 {
        self.timeline.machine().linear_rip()
    }

    fn after_step(&mut self, stop: &Stop) -> MultiThreadStopReason<u64> {
        if *stop == Stop::Reached {
            "a step".clone_into(&mut self.why);
            return MultiThreadStopReason::DoneStep;
        }
        self.stopped(stop)
    }

    fn after_back(&mut self, back: &Back) -> MultiThreadStopReason<u64> {
        match back {
            Back::At(None) => {
                "a step back".clone_into(&mut self.why);
                MultiThreadStopReason::DoneStep
            }
            Back::At(Some(hit)) => {
                self.why = format!("back, before: {}", super::monitor::describe(hit));
                self.reason(hit)
            }
            Back::Start => {
                "back at the start".clone_into(&mut self.why);
                MultiThreadStopReason::ReplayLog { tid: Some(CPU), pos: ReplayLogPosition::Begin }
            }
            Back::GivenUp => MultiThreadStopReason::Signal(Signal::SIGINT),
        }
    }
}

/// Runs the machine and looks at the connection in between.
pub(super) struct Loop<'t>(std::marker::PhantomData<&'t ()>);

type Waited = Result<Event<MultiThreadStopReason<u64>>, WaitForStopReasonError<Error, std::io::Error>>;

impl<'t> BlockingEventLoop for Loop<'t> {
    type Target = Target<'t>;
    type Connection = TcpStream;
    type StopReason = MultiThreadStopReason<u64>;

    fn wait_for_stop_reason(target: &mut Target<'t>, conn: &mut TcpStream) -> Waited {
        let waiting = |conn: &mut TcpStream| {
            gdbstub::conn::ConnectionExt::peek(conn)
                .map_err(WaitForStopReasonError::Connection)
                .map(|byte| byte.is_some())
        };
        let reason = match target.way {
            Way::Step => {
                let stop = target.timeline.step();
                target.after_step(&stop)
            }
            Way::Within(start, end) => loop {
                let stop = target.timeline.step();
                let inside = (start..end).contains(&target.rip());
                let breaks = target.watches.soft.contains(&target.rip())
                    || target.watches.hard.contains(&target.rip());
                if stop != Stop::Reached || !inside || breaks {
                    break target.after_step(&stop);
                }
                if waiting(conn)? {
                    return conn.read().map(Event::IncomingData).map_err(WaitForStopReasonError::Connection);
                }
            },
            Way::On => {
                target.timeline.set_stops(target.watches.stops());
                loop {
                    let stop = target.timeline.run(&Goal { slice: Some(SLICE), ..Goal::default() });
                    target.tell().map_err(WaitForStopReasonError::Target)?;
                    if stop != Stop::Slice {
                        break target.stopped(&stop);
                    }
                    if waiting(conn)? {
                        return conn
                            .read()
                            .map(Event::IncomingData)
                            .map_err(WaitForStopReasonError::Connection);
                    }
                }
            }
            Way::Back => {
                target.timeline.set_stops(target.watches.stops());
                let back = target.timeline.run_back(&mut || !waiting(conn).unwrap_or(true));
                target.after_back(&back)
            }
            Way::StepBack => {
                let back = target.timeline.step_back();
                target.after_back(&back)
            }
        };
        target.tell().map_err(WaitForStopReasonError::Target)?;
        Ok(Event::TargetStopped(reason))
    }

    fn on_interrupt(target: &mut Target<'t>) -> Result<Option<Self::StopReason>, Error> {
        "the debugger interrupted".clone_into(&mut target.why);
        Ok(Some(MultiThreadStopReason::SignalWithThread { tid: CPU, signal: Signal::SIGINT }))
    }
}

impl GdbTarget for Target<'_> {
    type Arch = X86;
    type Error = Error;

    fn base_ops(&mut self) -> BaseOps<'_, X86, Error> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Target<'_> {
    fn read_registers(&mut self, regs: &mut Image, _tid: Tid) -> TargetResult<(), Self> {
        let machine = self.timeline.machine();
        *regs = Image::of(&machine.registers(), machine.cr8());
        Ok(())
    }

    fn write_registers(&mut self, regs: &Image, _tid: Tid) -> TargetResult<(), Self> {
        let machine = self.timeline.machine_mut();
        let mut state = machine.registers();
        if !regs.change(&mut state, machine.cr8()) || machine.set_registers(state).is_err() {
            return Err(TargetError::NonFatal);
        }
        self.timeline.changed();
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], _tid: Tid) -> TargetResult<usize, Self> {
        let machine = self.timeline.machine();
        let read = if self.physical {
            machine.peek_physical(Gpa(start), data)
        } else {
            machine.peek(Lin(start), data)
        };
        if read == 0 && !data.is_empty() { Err(TargetError::Errno(EFAULT)) } else { Ok(read) }
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], _tid: Tid) -> TargetResult<(), Self> {
        let machine = self.timeline.machine_mut();
        let done = if self.physical {
            machine.poke_physical(Gpa(start), data)
        } else {
            machine.poke(Lin(start), data)
        };
        done.map_err(|_| TargetError::Errno(EFAULT))?;
        self.timeline.changed();
        Ok(())
    }

    fn list_active_threads(&mut self, thread_is_active: &mut dyn FnMut(Tid)) -> Result<(), Error> {
        thread_is_active(CPU);
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

/// "Bad address", as gdb knows it.
const EFAULT: u8 = 14;

impl SingleRegisterAccess<Tid> for Target<'_> {
    fn read_register(&mut self, _tid: Tid, reg_id: Number, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let machine = self.timeline.machine();
        let bytes = reg_id.read(&machine.registers(), machine.cr8());
        let room = buf.get_mut(..bytes.len()).ok_or(TargetError::NonFatal)?;
        room.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(&mut self, _tid: Tid, reg_id: Number, val: &[u8]) -> TargetResult<(), Self> {
        let machine = self.timeline.machine_mut();
        let mut state = machine.registers();
        if !reg_id.write(&mut state, val) || machine.set_registers(state).is_err() {
            return Err(TargetError::NonFatal);
        }
        self.timeline.changed();
        Ok(())
    }
}

impl ThreadExtraInfo for Target<'_> {
    fn thread_extra_info(&self, _tid: Tid, buf: &mut [u8]) -> Result<usize, Error> {
        let state = self.timeline.machine().registers();
        let text = format!("processor 0, {:?}, ring {}", state.activity, state.cpl);
        let len = text.len().min(buf.len());
        buf[..len].copy_from_slice(&text.as_bytes()[..len]);
        Ok(len)
    }
}

impl MultiThreadResume for Target<'_> {
    fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), Error> {
        self.way = Way::On;
        Ok(())
    }

    fn set_resume_action_continue(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), Error> {
        self.way = Way::On;
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_range_step(&mut self) -> Option<MultiThreadRangeSteppingOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }

    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }

    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }
}

impl MultiThreadSchedulerLocking for Target<'_> {
    /// There is no other processor that could run.
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl MultiThreadSingleStep for Target<'_> {
    fn set_resume_action_step(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), Error> {
        self.way = Way::Step;
        Ok(())
    }
}

impl MultiThreadRangeStepping for Target<'_> {
    fn set_resume_action_range_step(&mut self, _tid: Tid, start: u64, end: u64) -> Result<(), Error> {
        self.way = Way::Within(start, end);
        Ok(())
    }
}

impl ReverseCont<Tid> for Target<'_> {
    fn reverse_cont(&mut self) -> Result<(), Error> {
        self.way = Way::Back;
        Ok(())
    }
}

impl ReverseStep<Tid> for Target<'_> {
    fn reverse_step(&mut self, _tid: Tid) -> Result<(), Error> {
        self.way = Way::StepBack;
        Ok(())
    }
}

impl Breakpoints for Target<'_> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl SwBreakpoint for Target<'_> {
    fn add_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.watches.soft.insert(addr);
        Ok(true)
    }

    fn remove_sw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.watches.soft.remove(&addr))
    }
}

impl HwBreakpoint for Target<'_> {
    fn add_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        self.watches.hard.insert(addr);
        Ok(true)
    }

    fn remove_hw_breakpoint(&mut self, addr: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.watches.hard.remove(&addr))
    }
}

impl HwWatchpoint for Target<'_> {
    fn add_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        self.watches.add(self.timeline.machine(), addr, len, kind);
        Ok(true)
    }

    fn remove_hw_watchpoint(&mut self, addr: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.watches.remove(addr, len, kind))
    }
}

impl MonitorCmd for Target<'_> {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), Error> {
        let answer = self.monitor(&String::from_utf8_lossy(cmd));
        match answer {
            Ok(text) => outputln!(out, "{}", text.trim_end()),
            Err(text) => outputln!(out, "{text}; `monitor help` lists the commands"),
        }
        self.tell()
    }
}
