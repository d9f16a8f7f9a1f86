//! The run loop: between blocks it looks at deadlines, interrupts and traps, then runs a chain of blocks or one step.

use super::dispatch;
use super::position::FRUITLESS_MAX;
use super::tier::Tier;
use crate::cpu::flags::bit;
use crate::cpu::system::SINGLE_STEP;
use crate::cpu::{Activity, Attention, Cpu, CpuBus, Shadow};
use crate::time::VirtTime;

/// Why a run came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The deadline is reached or passed, at the first instruction boundary.
    Deadline,
    /// The instruction limit is reached.
    InsnLimit,
    /// A device was accessed: its signals must be looked at and the deadline may have moved. Or the world asked.
    Device,
    /// HLT, or waiting for a start-up IPI: nothing to do until something wakes it.
    Halted,
    /// Triple fault.
    Shutdown,
    /// Exceptions or interrupts are delivered over and over, and no handler's first instruction can be executed.
    Livelock,
    /// A debugger waits for the next instruction ([`crate::cpu::CpuStops`]).
    Breakpoint,
    /// A debugger waits for what the last instruction did to memory.
    Watchpoint,
}

/// IA32_APIC_BASE, and its flag of the bootstrap processor (SDM vol. 3A, figure 11-5).
const APIC_BASE: u32 = 0x1b;
const BOOTSTRAP: u64 = 1 << 8;

impl Cpu {
    /// Executes until `deadline`, until `insn_limit` instructions are retired in all, or until something needs the
    /// machine. Every call of one processor must lend the same memory.
    pub fn run(&mut self, bus: &mut dyn CpuBus, deadline: VirtTime, insn_limit: u64) -> Exit {
        self.check_memory(bus);
        self.check_tier(bus);
        self.heed_watches(bus);
        self.engine.position.stops = self.engine.stops.any_code();
        self.engine.position.aim(deadline, insn_limit);
        loop {
            self.engine.stats.loop_turns += 1;
            if bus.mem_ref().has_code_writes() {
                self.code_was_written(bus);
            }
            self.engine.cache.collect();
            self.make_room_for_code();
            self.engine.leave = false;
            self.trace_mode(bus);
            if std::mem::take(&mut self.engine.device_access) || bus.wants_stop() {
                return Exit::Device;
            }
            if let Some(exit) = self.between_instructions(bus) {
                return exit;
            }
            // What was delivered may have changed the mode once more.
            self.trace_mode(bus);
            if self.engine.stops.has_hit() {
                return Exit::Watchpoint;
            }
            if self.engine.position.fruitless >= FRUITLESS_MAX && self.engine.fruitless() >= FRUITLESS_MAX {
                return Exit::Livelock;
            }
            if self.engine.position.budget <= 0 {
                if self.now() >= deadline {
                    return Exit::Deadline;
                }
                if self.insns() >= insn_limit {
                    return Exit::InsnLimit;
                }
                self.engine.position.aim(deadline, insn_limit);
            }
            if self.pending_debug != 0 && self.shadow != Shadow::Debug {
                // A delivery's own stores met a data breakpoint: that comes before the handler's first instruction.
                continue;
            }
            if self.engine.stops.any_code() && self.stops_here() {
                return Exit::Breakpoint;
            }
            if self.must_step() {
                self.step(bus);
            } else {
                self.run_chain(bus);
            }
        }
    }

    /// Pending traps and interrupts, in the order of SDM vol. 3A, table 6-2.
    fn between_instructions(&mut self, bus: &mut dyn CpuBus) -> Option<Exit> {
        if self.activity == Activity::Shutdown {
            return Some(Exit::Shutdown);
        }
        let awake = matches!(self.activity, Activity::Running | Activity::Halted);
        if self.pending_debug != 0 && awake && self.shadow != Shadow::Debug {
            self.debug_trap(bus);
        }
        if let Some(attention) = bus.attention() {
            self.attend(bus, attention);
        }
        match self.activity {
            Activity::Running => None,
            Activity::Halted | Activity::WaitForStartUp => Some(Exit::Halted),
            Activity::Shutdown => Some(Exit::Shutdown),
        }
    }

    fn attend(&mut self, bus: &mut dyn CpuBus, attention: Attention) {
        let at = self.stamp();
        let sleeping = self.activity == Activity::WaitForStartUp;
        match attention {
            Attention::Init => {
                bus.take_attention(at, attention);
                self.init();
                // The bootstrap processor starts anew by itself (SDM vol. 3A, 9.4.2).
                if !bus.apic_msr_read(at, APIC_BASE).is_ok_and(|base| base & BOOTSTRAP != 0) {
                    self.activity = Activity::WaitForStartUp;
                }
            }
            Attention::StartUp(page) => {
                bus.take_attention(at, attention);
                if sleeping {
                    self.start_at(page);
                }
            }
            Attention::Nmi => {
                if !self.nmi_blocked && !sleeping && self.shadow == Shadow::None {
                    bus.take_attention(at, attention);
                    self.activity = Activity::Running;
                    self.nmi_blocked = true;
                    self.interrupt(bus, 2);
                }
            }
            Attention::Interrupt => {
                if self.system_flags & bit::IF != 0 && !sleeping && self.shadow == Shadow::None {
                    self.acknowledge(bus);
                }
            }
        }
    }

    fn acknowledge(&mut self, bus: &mut dyn CpuBus) {
        let at = self.stamp();
        if let Some((vector, cause)) = bus.acknowledge(at) {
            self.activity = Activity::Running;
            bus.enter_interrupt(at, vector, self.rip, cause);
            self.interrupt(bus, vector);
        }
    }

    /// Whether the next instruction needs the stepper: single step, interrupt shadow, breakpoints, RF, a debugger outside, or because
    /// the tier is that.
    pub(super) fn must_step(&self) -> bool {
        self.engine.tier == Tier::Step
            || self.shadow != Shadow::None
            || self.system_flags & (bit::TF | bit::RF) != 0
            || self.has_instruction_breakpoint()
            || self.at_stop()
    }

    /// Executes exactly one instruction.
    fn step(&mut self, bus: &mut dyn CpuBus) {
        self.engine.stats.stepped += 1;
        let shadow = std::mem::replace(&mut self.shadow, Shadow::None);
        let breaks = self.system_flags & bit::RF == 0 && shadow != Shadow::Debug;
        if breaks && self.instruction_breakpoint() {
            return self.raise_debug(bus);
        }
        let block = match self.find_block(bus) {
            Ok(block) => block,
            Err(fault) => return self.raise(bus, fault),
        };
        self.single_step = self.system_flags & bit::TF != 0;
        self.system_flags &= !bit::RF;
        let done = dispatch::step(self, block, bus);
        if done && self.single_step && self.shadow != Shadow::Debug {
            self.pending_debug |= SINGLE_STEP;
        }
    }

    /// Runs blocks until something makes the chain come back.
    fn run_chain(&mut self, bus: &mut dyn CpuBus) {
        match self.find_block(bus) {
            Ok(block) => {
                self.link_to(block);
                if self.can_run_whole(block) {
                    dispatch::run(self, block, bus);
                } else {
                    self.engine.stats.stepped += 1;
                    dispatch::step(self, block, bus);
                }
            }
            Err(fault) => self.raise(bus, fault),
        }
    }

    /// Host addresses in the TLB and decoded code are of one memory. Another one was lent: start anew.
    fn check_memory(&mut self, bus: &mut dyn CpuBus) {
        let memory = bus.mem_ref().host_page(crate::addr::Gpa(0));
        if self.engine.memory != memory {
            self.engine.memory = memory;
            self.engine.drop_blocks();
            self.mmu.drop_fast();
        }
    }

    /// Blocks are decoded for a tier. Another one was chosen: start anew.
    fn check_tier(&mut self, bus: &mut dyn CpuBus) {
        if std::mem::take(&mut self.engine.redecode) {
            self.engine.cache.retire_all(bus.mem());
            self.engine.forget_link();
            self.engine.jit = self.engine.next_jit.take();
        }
    }

    /// Compiled code has filled its room: all of it goes, and what is still hot is compiled again.
    fn make_room_for_code(&mut self) {
        if let Some(jit) = self.engine.jit.as_mut().filter(|jit| jit.full) {
            self.engine.cache.forget_compiled(jit.hot);
            jit.free();
        }
    }

    /// Memory that decoded code was made from has changed.
    pub(crate) fn code_was_written(&mut self, bus: &mut dyn CpuBus) {
        for write in bus.mem().take_code_writes() {
            let dropped = self.engine.cache.invalidate(bus.mem(), write);
            if dropped > 0 {
                self.engine.stats.blocks_invalidated += dropped as u64;
                self.engine.leave = true;
            }
        }
    }

    /// What the engine did so far.
    #[must_use]
    pub fn engine_stats(&self) -> super::EngineStats {
        self.engine.stats
    }
}
