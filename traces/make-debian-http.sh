#!/bin/bash
# Makes debian-http.pcap and debian-http-loss.pcap: curl gets a page from busybox's httpd, and a longer one over a wire that loses
# frames (lossy-wire.py), captured at the client's end. Client, wire and server are network namespaces joined by veth pairs.
# Needs root, iproute2, ethtool, curl, dumpcap, python3, and busybox with httpd. Nothing leaves the namespaces.
# Usage: traces/make-debian-http.sh BUSYBOX OUT-FOLDER
set -euo pipefail
busybox=$(realpath "$1") out=$(realpath "$2") here=$(dirname "$(realpath "$0")")
ns=glassbox-$$
folder=$(mktemp -d)
cleanup() {
    kill $(ip netns pids "$ns-server") $(ip netns pids "$ns-wire") 2>/dev/null || true
    for each in "$ns" "$ns-wire" "$ns-server"; do ip netns del "$each" 2>/dev/null || true; done
    rm -rf "$folder"
}
trap cleanup EXIT

for each in "$ns" "$ns-wire" "$ns-server"; do
    ip netns add "$each"
    ip netns exec "$each" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1 || true
done
ip link add client netns "$ns" address 52:54:00:65:43:21 type veth peer name near netns "$ns-wire"
ip link add server netns "$ns-server" address 52:54:00:12:34:56 type veth peer name far netns "$ns-wire"
ip -n "$ns" addr add 192.0.2.1/24 dev client
ip -n "$ns-server" addr add 192.0.2.2/24 dev server
for end in "$ns client" "$ns-wire near" "$ns-wire far" "$ns-server server"; do
    set -- $end
    ip -n "$1" link set "$2" up
    # Checksums must be in the frames, and every frame is one that the wire can carry.
    ip netns exec "$1" ethtool -K "$2" tx off tso off gso off gro off >/dev/null
done
"$here/make-pages.sh" "$folder"
ip netns exec "$ns-server" "$busybox" httpd -p 80 -h "$folder"

get() {
    ip netns exec "$ns" dumpcap -q -P -i client -f tcp -w "$out/$2" 2>/dev/null &
    local dump=$!
    sleep 2
    ip netns exec "$ns" curl -sS -o "$folder/got" "http://192.0.2.2/$1"
    cmp "$folder/got" "$folder/$1"
    sleep 2
    kill $dump
    wait $dump || true
}
ip -n "$ns-wire" link add bridge type bridge
ip -n "$ns-wire" link set bridge up
for end in near far; do ip -n "$ns-wire" link set "$end" master bridge; done
sleep 1
get index.html debian-http.pcap
for end in near far; do ip -n "$ns-wire" link set "$end" nomaster; done
ip netns exec "$ns-wire" "$here/lossy-wire.py" near far &
sleep 1
get long.txt debian-http-loss.pcap
