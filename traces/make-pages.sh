#!/bin/sh
# The pages that debian-http.pcap and debian-http-loss.pcap ask for, made in a folder; the same here and in the guest.
# Usage: make-pages.sh FOLDER
set -eu
mkdir -p "$1"
echo '<!doctype html><title>Glassbox</title><p>A machine that you can see into.' >"$1/index.html"
i=0
while [ $i -lt 1500 ]; do
    echo "line $i of a page that takes more than one segment"
    i=$((i + 1))
done >"$1/long.txt"
# The time that is told as the pages' last change.
touch -d '2026-01-01 00:00:00' "$1/index.html" "$1/long.txt"
