#!/bin/bash
# Makes debian-requests.pcap: what a Linux IP stack sends to another one, captured on a veth pair between two network namespaces.
# The neighbour never answers. Needs root, iproute2, tcpdump, ping, arping, ethtool, python3. Nothing leaves the namespaces.
# Usage: traces/make-debian-requests.sh OUT.pcap
set -euo pipefail
out=$1
ns=glassbox-$$
guest=192.0.2.2
guest_mac=52:54:00:12:34:56
cleanup() { ip netns del "$ns" 2>/dev/null || true; ip netns del "$ns-guest" 2>/dev/null || true; }
trap cleanup EXIT

ip netns add "$ns"
ip netns add "$ns-guest"
ip link add peer netns "$ns" address 52:54:00:65:43:21 type veth peer name guest netns "$ns-guest" address $guest_mac
ip -n "$ns" addr add 192.0.2.1/24 dev peer
ip netns exec "$ns" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true
ip -n "$ns" link set peer up
ip -n "$ns" link set lo up
# The guest's end is only listened at: it has no address and answers nothing.
ip netns exec "$ns-guest" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true
ip -n "$ns-guest" link set guest up
# Checksums must be in the frames, not left to a card; and every frame is one that the wire can carry.
ip netns exec "$ns" ethtool -K peer tx off tso off gso off >/dev/null 2>&1 || true
sleep 1

ip netns exec "$ns-guest" tcpdump -U -n -i guest -w "$out.raw" 2>/dev/null &
dump=$!
sleep 1
run() { ip netns exec "$ns" "$@" >/dev/null 2>&1 || true; }

run arping -c 2 -W 0.01 -i peer $guest
# Somebody else's address, which is none of its business.
run arping -c 1 -W 0.01 -i peer 192.0.2.77
ip -n "$ns" neigh replace $guest lladdr $guest_mac dev peer
# The last two come in fragments.
for size in 0 1 18 56 57 1000 1471 1472 1473 4000; do
    run ping -c 1 -W 0.01 -s $size $guest
done
run python3 - $guest <<'PY'
import socket, sys, time
guest = sys.argv[1]
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
plain.bind(("192.0.2.1", 40000))
for size in (0, 1, 18, 19, 511, 512, 1000, 1471, 1472, 3000):
    plain.sendto(bytes(i * 7 & 0xff for i in range(size)), (guest, 7))
    time.sleep(0.001)
# A checksum of zero says that there is none (RFC 768).
bare = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bare.setsockopt(socket.SOL_SOCKET, 11, 1)
bare.bind(("192.0.2.1", 40001))
for size in (5, 700):
    bare.sendto(b"\x5a" * size, (guest, 7))
    time.sleep(0.001)
# A port where nobody listens, by UDP and by TCP: "port unreachable" and a reset.
plain.sendto(b"nobody listens here", (guest, 9))
tcp = socket.socket()
tcp.settimeout(0.01)
try:
    tcp.connect((guest, 9))
except OSError:
    pass
PY
run ping -c 20 -i 0.002 -W 0.01 -s 64 $guest
run arping -c 2 -W 0.01 -i peer -t $guest_mac $guest
sleep 1
kill $dump
wait $dump 2>/dev/null || true

# Frames 2 ms apart, from time 0 on: how long the shell took is of no interest.
python3 - "$out.raw" "$out" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
out = bytearray(data[:24])
at, time = 24, 0
while at + 16 <= len(data):
    _, _, kept, length = struct.unpack("<IIII", data[at:at + 16])
    out += struct.pack("<IIII", time // 1000000, time % 1000000, kept, length) + data[at + 16:at + 16 + kept]
    at += 16 + kept
    time += 2000
open(sys.argv[2], "wb").write(out)
PY
rm "$out.raw"
