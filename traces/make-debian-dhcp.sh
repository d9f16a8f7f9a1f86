#!/bin/bash
# Makes debian-dhcp.pcap: what busybox's DHCP client sends to busybox's DHCP server, captured on a veth pair between two network
# namespaces; the server's answers are left out, the guest is to give them. Needs root, iproute2, tcpdump and a busybox with
# udhcpc and udhcpd. Nothing leaves the namespaces.
# Usage: traces/make-debian-dhcp.sh BUSYBOX OUT.pcap
set -euo pipefail
busybox=$1
out=$2
ns=glassbox-$$
work=$(mktemp -d)
cleanup() {
    ip netns del "$ns" 2>/dev/null || true
    ip netns del "$ns-guest" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

ip netns add "$ns"
ip netns add "$ns-guest"
ip link add peer netns "$ns" address 52:54:00:65:43:21 type veth peer name guest netns "$ns-guest" address 52:54:00:12:34:56
for name in "$ns" "$ns-guest"; do
    ip netns exec "$name" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 || true
done
ip -n "$ns-guest" addr add 192.0.2.2/24 dev guest
ip -n "$ns-guest" link set guest up
ip -n "$ns" link set peer up

cat >"$work/udhcpd.conf" <<CONF
start 192.0.2.100
end 192.0.2.110
interface guest
lease_file $work/leases
pidfile $work/pid
option subnet 255.255.255.0
option router 192.0.2.2
option lease 3600
CONF
touch "$work/leases"
printf '#!/bin/sh\n[ "$1" = bound ] && ip addr add "$ip/24" dev "$interface" && ping -c 2 -W 1 192.0.2.2\ntrue\n' >"$work/script"
chmod +x "$work/script"

ip netns exec "$ns-guest" tcpdump -U -n -i guest --time-stamp-precision=nano -w "$out" ether src 52:54:00:65:43:21 2>/dev/null &
dump=$!
sleep 1
ip netns exec "$ns-guest" "$busybox" udhcpd -f "$work/udhcpd.conf" 2>/dev/null &
server=$!
sleep 1
ip netns exec "$ns" "$busybox" udhcpc -i peer -q -n -x hostname:glassbox -s "$work/script" >/dev/null 2>&1
sleep 1
kill "$server" "$dump"
wait || true
