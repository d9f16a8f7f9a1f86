#!/usr/bin/env python3
# A wire between two interfaces that is 5 ms long and loses one frame in twelve each way, from a seed: what netem does, for kernels
# that have none. Usage: lossy-wire.py ONE OTHER
import heapq, random, select, socket, sys, time

ends = []
for name in sys.argv[1:3]:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.bind((name, 0))
    ends.append(end)
dice = random.Random(12)
late, number = [], 0
while True:
    wait = max(0, late[0][0] - time.monotonic()) if late else None
    for end in select.select(ends, [], [], wait)[0]:
        frame, address = end.recvfrom(65536)
        # What this end itself has sent comes here as well.
        if address[2] == socket.PACKET_OUTGOING or dice.random() < 1 / 12:
            continue
        number += 1
        heapq.heappush(late, (time.monotonic() + 0.005, number, ends[1 - ends.index(end)], frame))
    while late and late[0][0] <= time.monotonic():
        _, _, end, frame = heapq.heappop(late)
        end.send(frame)
