#!/bin/sh
# What became of each frame stands in a capture as its comment, where Wireshark shows it: exits 0 if `tshark -V` has one for every
# frame, and both deliveries and drops among them.
# Usage: tests/comments.sh CAPTURE
set -eu
capture=$1
frames=$(tshark -r "$capture" -T fields -e frame.number 2>/dev/null | wc -l)
told=$(tshark -r "$capture" -V 2>/dev/null | grep -cE 'Comment/Comment\): (packet [0-9]+, record [0-9]+: (delivered|dropped: .*), record|sent, record) [0-9]+')
if [ "$frames" -eq 0 ] || [ "$frames" -ne "$told" ]; then
    echo "$capture: $told of $frames frames say what became of them" >&2
    exit 1
fi
for fate in 'delivered, record' 'dropped: not for this card, record' 'sent, record'; do
    tshark -r "$capture" -V 2>/dev/null | grep -q "$fate" || { echo "$capture: no frame was $fate" >&2; exit 1; }
done
echo "$capture: tshark -V shows what became of all $frames frames"
