# gdb and the demo guest: registers of every sort, memory, breakpoints, watchpoints, steps and runs in both directions, `monitor`.
import gdb


def run(command):
    return gdb.execute(command, to_string=True)


def value(expression):
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def check(what, holds):
    if not holds:
        print("FAILED:", what, "|", run("monitor why"), run("monitor position"))
        run("quit 1")


start = run("monitor position")
check("at the start", start.startswith("insns=0 "))
for register in ["rip", "cr0", "efer", "gdtr_base", "mxcsr", "fctrl", "st0", "ymm0", "k_gs_base", "dr7"]:
    check(register, "= void" not in run(f"print ${register}"))
check("one thread", "processor 0" in run("info threads"))

# To the third frame, and the processor's registers there.
check("catch", "frame 2" in run("monitor catch packet 2"))
run("continue")
check("why", "frame 2 in from the wire" in run("monitor why"))
check("position", "packet=2" in run("monitor position"))
run("monitor delete all")
def instruction():
    return run("monitor position").split()[0]


there = instruction()

# Steps and steps back.
pcs = [value("$rip")]
for _ in range(20):
    run("stepi")
    pcs.append(value("$rip"))
for _ in range(60):
    run("reverse-stepi")
    if instruction() == there:
        break
check("steps back", instruction() == there and value("$rip") == pcs[0])

# The doorbell: the driver writes TDT; back to it from the end.
check("register", "TDT" in run("monitor watch register e1000.TDT"))
run("continue")
doorbell = run("monitor position")
check("TDT", "TDT" in run("monitor why"))
run("monitor delete all")
run("continue")
check("the end", "the run has ended" in run("monitor why"))
run("monitor watch register e1000.TDT")
print(run("reverse-continue"))
check("TDT", "TDT" in run("monitor why"))
run("monitor delete all")
run("monitor goto insns=0")
run("maintenance flush register-cache")
check("back at the start", run("monitor position") == start)

# A breakpoint, forwards and backwards.
handler = None
run("monitor catch interrupt")
run("continue")
run("monitor delete all")
run("stepi")
handler = value("$rip") - 0
hit = run("monitor position")
breakpoint = gdb.Breakpoint(f"*{handler:#x}")
run("continue")
check("breakpoint", value("$rip") == handler and run("monitor position") != hit)
second = run("monitor position")
run("continue")
print(run("reverse-continue"))
check("reverse-continue", value("$rip") == handler and run("monitor position") == second)
breakpoint.delete()

# Memory: a watchpoint on the stack, and physical addresses.
sp = value("$rsp")
run(f"awatch *(unsigned long long *) {sp - 8:#x}")
run("continue")
check("watchpoint", "the processor" in run("monitor why"))
run("delete")
physical = int(run(f"monitor translate {sp:#x}"), 16)
linear = run(f"x/2gx {sp:#x}").split(":")[1]
run("monitor physical on")
run("maintenance flush dcache")
check("physical memory", run(f"x/2gx {physical:#x}").split(":")[1] == linear)
run("monitor physical off")

check("inspect", "RDBAL" in run("monitor inspect e1000"))
check("journey", "DMA" in run("monitor journey 0"))
run("monitor snapshot here.snap")
# Writing is another run.
run("set $r15 = 0x1234")
check("a register is written", value("$r15") == 0x1234)
print("passed")
