package test

import "golang.org/x/sys/unix"

func stackOf(r *unix.PtraceRegs) uint64 { return r.Sp }
