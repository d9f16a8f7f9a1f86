#!/bin/bash
# Makes demo-requests.pcap: what a Linux IP stack sends to a neighbour that never answers, captured on a veth pair between
# two network namespaces. Needs root, iproute2, tcpdump, ping, arping, ethtool, python3. Nothing leaves the namespaces.
# Usage: traces/make-demo-requests.sh OUT.pcap
set -euo pipefail
out=$1
ns=glassbox-$$
guest_mac=52:54:00:12:34:56
cleanup() { ip netns del "$ns" 2>/dev/null || true; ip netns del "$ns-guest" 2>/dev/null || true; }
trap cleanup EXIT

ip netns add "$ns"
ip netns add "$ns-guest"
ip link add peer netns "$ns" address 52:54:00:65:43:21 type veth peer name guest netns "$ns-guest" address $guest_mac
ip -n "$ns" addr add 192.0.2.1/24 dev peer
ip -n "$ns" link set peer up
ip -n "$ns" link set lo up
# The guest's end is only listened at: it has no address and answers nothing.
ip netns exec "$ns-guest" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true
ip -n "$ns-guest" link set guest up
# Checksums must be in the frames, not left to a card.
ip netns exec "$ns" ethtool -K peer tx off >/dev/null 2>&1 || true
sleep 1

ip netns exec "$ns-guest" tcpdump -U -n -i guest --time-stamp-precision=nano -w "$out.raw" 2>/dev/null &
dump=$!
sleep 1
run() { ip netns exec "$ns" "$@" >/dev/null 2>&1 || true; }

# Who has the guest's address, by broadcast; and somebody else's, which is none of its business.
run arping -c 2 -W 0.01 -i peer 192.0.2.2
run arping -c 1 -W 0.01 -i peer 192.0.2.77
ip -n "$ns" neigh replace 192.0.2.2 lladdr $guest_mac dev peer
ip -n "$ns" neigh replace 192.0.2.9 lladdr $guest_mac dev peer
for size in 0 1 18 56 57 1000 1471 1472; do
    run ping -c 1 -W 0.01 -s $size 192.0.2.2
done
# To the guest's card but to another address.
run ping -c 1 -W 0.01 192.0.2.9
run python3 - <<'PY'
import socket, time
plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
plain.bind(("192.0.2.1", 40000))
for size in (0, 1, 18, 19, 511, 512, 1000, 1471, 1472):
    plain.sendto(bytes(i * 7 & 0xff for i in range(size)), ("192.0.2.2", 7))
    time.sleep(0.001)
# A checksum of zero says that there is none (RFC 768).
bare = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bare.setsockopt(socket.SOL_SOCKET, 11, 1)
bare.bind(("192.0.2.1", 40001))
for size in (5, 700):
    bare.sendto(b"\x5a" * size, ("192.0.2.2", 7))
    time.sleep(0.001)
# Another port, multicast, broadcast.
plain.sendto(b"nobody listens here", ("192.0.2.2", 9))
plain.setsockopt(socket.SOL_IP, socket.IP_MULTICAST_IF, socket.inet_aton("192.0.2.1"))
plain.sendto(b"to a group", ("224.0.0.251", 5353))
plain.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
plain.sendto(b"to everybody", ("192.0.2.255", 7))
PY
run ping -c 10 -i 0.002 -W 0.01 -s 64 192.0.2.2
# A unicast probe of the neighbour, as a stack sends when an entry grows old.
run arping -c 2 -W 0.01 -i peer -t $guest_mac 192.0.2.2
sleep 1
kill $dump
wait $dump 2>/dev/null || true

# Frames 1 ms apart, from time 0 on: how long the shell took is of no interest.
python3 - "$out.raw" "$out" <<'PY'
import struct, sys
data = open(sys.argv[1], "rb").read()
out = bytearray(data[:24])
at, count = 24, 0
while at + 16 <= len(data):
    _, _, kept, length = struct.unpack("<IIII", data[at:at + 16])
    out += struct.pack("<IIII", count // 1000, count % 1000 * 1000000, kept, length)
    out += data[at + 16:at + 16 + kept]
    at += 16 + kept
    count += 1
open(sys.argv[2], "wb").write(out)
PY
rm "$out.raw"
