# Debian's e1000 driver: break in its interrupt handler by name, step, look at the ring, watch a descriptor, and go back to the DMA
# that wrote it.
import re

import gdb


def run(command):
    return gdb.execute(command, to_string=True)


def value(expression):
    return int(gdb.parse_and_eval(expression)) & (1 << 64) - 1


def check(what, holds):
    if not holds:
        print("FAILED:", what, "|", run("monitor why"), run("monitor position"))
        run("quit 1")


# Booted, with the driver's module loaded: its names and the kernel's are in memory now.
print(run("monitor goto serial=glassbox: ready"))
run("maintenance flush register-cache")
print(run("monitor symbols debian.elf"))
run("symbol-file debian.elf")
check("the module's names", "e1000_intr" in run("info symbol e1000_intr"))

# The first frame that is in the guest's memory interrupts it.
run("monitor catch event == FrameDelivered")
run("continue")
check("a frame is delivered", "delivered" in run("monitor why"))
run("monitor delete all")
handler = gdb.Breakpoint("*e1000_intr")
run("continue")
check("in the handler", "e1000_intr" in run("info symbol $rip"))
print(run("x/4i $rip"))
before = value("$rip")
run("stepi")
check("a step", value("$rip") != before and "e1000_intr" in run("info symbol $rip"))
run("reverse-stepi")
check("a step back", value("$rip") == before)
caller = value("*(unsigned long long *) $rsp")
run("finish")
check("finish", value("$rip") == caller)
run("reverse-continue")
check("back in the handler", value("$rip") == before)
handler.delete()

# The ring: where the card says it is, through the VT-d unit, in the kernel's map of all memory.
card = run("monitor inspect e1000")
register = lambda name: int(re.search(name + r"\s+0x([0-9a-f]+)", card).group(1), 16)
iova = register("RDBAL") + 16 * (register("RDH") - 1)
walk = run(f"monitor inspect walk 00:02.0 {iova:#x}")
print(walk)
physical = int(re.search(r"^ *0x[0-9a-f]+ is (0x[0-9a-f]+)", walk, re.M).group(1), 16)
linear = value("*(unsigned long long *) &page_offset_base") + physical
check("the kernel maps it", int(run(f"monitor translate {linear:#x}"), 16) == physical)

# The status of the last descriptor that the card has used is written: the frame is there. Who wrote it? Back to the DMA.
status = linear + 12
check("the descriptor is done", value(f"*(unsigned char *) {status:#x}") & 1 == 1)
run(f"watch *(unsigned char *) {status:#x}")
print(run("reverse-continue"))
why = run("monitor why")
print(why)
check("a DMA of the card", "DMA write by 00:02.0: 16 bytes" in why)
check("it has not happened yet", value(f"*(unsigned char *) {status:#x}") & 1 == 0)
run("continue")
check("and now it has", value(f"*(unsigned char *) {status:#x}") & 1 == 1)
print(run("monitor journey 0")[:2000])
print("passed")
