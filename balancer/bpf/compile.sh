#!/bin/sh
# compile.sh makes program.o of program/*.c and *.h. `go generate ./balancer/bpf` runs it;
# `go build` needs neither it nor a compiler. CI (Debian 12: clang 14) fails when the result differs.
set -eu
cd "$(dirname "$0")/program"
for tool in clang llvm-strip; do
  command -v "$tool" >/dev/null || {
    echo "balancer/bpf: $tool is not installed, so program.o cannot be made anew of its source: apt-get install clang llvm libbpf-dev" >&2
    exit 1
  }
done
[ -e /usr/include/bpf/bpf_helpers.h ] || {
  echo "balancer/bpf: /usr/include/bpf/bpf_helpers.h is not there: apt-get install libbpf-dev" >&2
  exit 1
}
# Where Debian keeps asm/types.h, which clang looks for under the target's name.
arch=$(clang -print-multiarch 2>/dev/null || true)
[ -n "$arch" ] || arch=$(clang -dumpmachine | sed 's/-pc-/-/')
clang -O2 -g -target bpfel -mcpu=v3 -Wall -Werror -Wno-parentheses "-fdebug-prefix-map=$PWD=." -fdebug-compilation-dir=. \
  "-I/usr/include/$arch" -c dsr.c -o ../program.o
llvm-strip -g ../program.o
