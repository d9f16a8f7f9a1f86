#!/usr/bin/env bash
# Whether every handler of an optimised build goes on by a jump: a call would make the stack grow with each guest instruction.
# Usage: tests/tail_calls.sh target/release/glassbox
set -euo pipefail
calls=$(objdump -d --no-show-raw-insn -C "$1" | awk '
    /^[0-9a-f]+ <.*>:$/ { handler = $0 ~ /engine::(dispatch::(fast|pair|vector|slow|fall_through|go_where_told)|jit::enter::gate)>/; seen += handler }
    handler && /call +\*([^(]*\(%r[^i]|%)/ { print }
    END { if (seen < 100) { print "only " seen " handlers found in the program" } }')
if [ -n "$calls" ]; then
    echo "$calls" | head -20
    echo "tail_calls: $(echo "$calls" | wc -l) handlers call the next one" >&2
    exit 1
fi
echo "every handler ends in a jump"
