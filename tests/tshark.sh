#!/bin/sh
# Has Wireshark's dissectors judge a capture: exits 0 if every frame in it is well-formed and every checksum right.
# Usage: tests/tshark.sh CAPTURE
set -eu
capture=$1
frames=$(tshark -r "$capture" -T fields -e frame.number 2>/dev/null | wc -l)
if [ "$frames" -eq 0 ]; then
    echo "$capture: no frames" >&2
    exit 1
fi
bad=$(tshark -r "$capture" -o ip.check_checksum:TRUE -o udp.check_checksum:TRUE -o tcp.check_checksum:TRUE \
    -Y '_ws.malformed || _ws.expert.severity >= "Error" || ip.checksum.status == "Bad" || udp.checksum.status == "Bad" || tcp.checksum.status == "Bad" || icmp.checksum.status == "Bad"' \
    2>/dev/null)
if [ -n "$bad" ]; then
    echo "$capture: frames that tshark finds fault with:" >&2
    echo "$bad" >&2
    exit 1
fi
echo "$capture: tshark finds all $frames frames well-formed"
