#!/usr/bin/env bash
# The inspector in a real terminal, driven by tmux: start, step to the next packet, open the IOMMU pane, quit; and whatever ends it,
# a key, a signal or a panic, leaves the terminal as it was.
#
#   tests/tui.sh target/release/glassbox
set -euo pipefail
glassbox=$(realpath "$1")
panicker="cargo test -q --lib -- --ignored --nocapture a_panic_gives_the_terminal_back"
server=glassbox-$$
tmux() { command tmux -L "$server" -f /dev/null "$@"; }
trap 'tmux kill-server 2>/dev/null || true' EXIT

screen() { tmux capture-pane -p -t inspector; }
# Waits until the screen has a text.
sees() {
    for _ in $(seq 600); do
        if screen | grep -qF -- "$1"; then return; fi
        command sleep 0.1
    done
    printf 'the screen never has "%s":\n' "$1"
    screen
    exit 1
}
# The shell is back, on its own screen, and shows what is typed.
restored() {
    sees "ended with $1"
    [ "$(tmux display -p -t inspector '#{alternate_on}')" = 0 ] || { echo "still on the alternate screen"; exit 1; }
    tmux send-keys -t inspector 'echo modes=$(stty -a | tr " " "\n" | grep -cx -e icanon -e echo -e isig -e icrnl)' Enter
    sees modes=4
    tmux send-keys -t inspector clear Enter
}
start() {
    tmux send-keys -t inspector "$1; echo ended with \$?" Enter
}

tmux new-session -d -s inspector -x 132 -y 40 -c "$PWD" 'PS1="$ " sh'
start "$glassbox tui demo"
sees "stopped"
tmux send-keys -t inspector p
sees "frame 0 in from the wire"
sees "frames 1 in"
tmux send-keys -t inspector 3
sees "[3 IOMMU]"
sees "DMA remapping on"
tmux send-keys -t inspector : packet=2 Enter
sees "frames 3 in"
tmux send-keys -t inspector P
sees "frames 2 in"
tmux send-keys -t inspector q
restored 0

for signal in TERM HUP INT; do
    start "$glassbox tui demo"
    sees "stopped"
    tmux send-keys -t inspector Space
    shell=$(tmux display -p -t inspector '#{pane_pid}')
    kill -s "$signal" "$(ps -o pid= --ppid "$shell" | tr -d ' ')"
    case $signal in TERM) restored 143 ;; HUP) restored 129 ;; INT) restored 130 ;; esac
done

start "$panicker"
sees "a panic in the inspector"
restored 101

start "$glassbox tui demo"
sees "stopped"
inspector=$(ps -o pid= --ppid "$(tmux display -p -t inspector '#{pane_pid}')" | tr -d ' ')
tmux kill-server
for _ in $(seq 100); do
    kill -0 "$inspector" 2>/dev/null || break
    command sleep 0.1
done
if kill -9 "$inspector" 2>/dev/null; then echo "the inspector outlives its terminal"; exit 1; fi
echo "the inspector steps, shows, quits, and always gives the terminal back"
