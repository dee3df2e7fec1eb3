#!/bin/sh
# Native programs to measure beside Umbuf: DPDK's mempool and pktmbuf (dp), malloc patterns (mal),
# atomics and copies (prim). Absolute times mean nothing on another machine or at another time, so
# this runs them in one window with our rows: each program, then the rows it is an anchor of.
#
#   benchmarks/anchors.sh DIRECTORY     with dp, mal and prim built there; those that are missing
#                                       are named and left out. Build them as its README.md says.
set -eu
directory=${1:?usage: benchmarks/anchors.sh DIRECTORY}
here=$(cd "$(dirname "$0")" && pwd)
[ -d "$directory" ] || { echo "anchors: no directory $directory" >&2; exit 2; }

have() {
  [ -x "$directory/$1" ] && return 0
  echo "anchors: $directory/$1 is not built" >&2
  return 1
}

if have dp; then
  echo '== DPDK (min ns, median ns)'
  "$directory/dp" --no-huge --no-pci -m 256 --iova-mode=va -l 0,1 2>/dev/null
  node "$here/dist/main.js" --quick zone.batch128 zone.random4096 zone.pipe mbuf
fi
if have mal; then
  echo '== malloc, 256 and 2048 bytes (min ns, median ns)'
  for size in 256 2048; do
    "$directory/mal" $size glibc
    for library in libjemalloc.so.2 libmimalloc.so.2.0; do
      ldconfig -p 2>/dev/null | grep -q "$library" || continue
      LD_PRELOAD=$library "$directory/mal" $size "$library"
    done
  done
  node "$here/dist/main.js" --quick zone.batch128 zone.random4096
fi
if have prim; then
  echo '== atomics, copies, checksum (min ns, median ns)'
  "$directory/prim"
  node "$here/dist/main.js" --quick mbuf.copym4 mbuf.copydata5600 mbuf.checksum1500 zone.zero2048
fi
