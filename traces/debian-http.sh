#!/bin/busybox sh
# Inside the Debian guest: the pages, and busybox's own server, which tells each request on the console.
/bin/make-pages.sh /www
httpd -f -vv -p 80 -h /www &
