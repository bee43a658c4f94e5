//go:build !linux

package bpf

import (
	"errors"

	"gslb/balancer/kernel"
)

var errNotLinux = errors.New("eBPF is Linux's")

func never(kernel.Options) error { return errNotLinux }

func open(kernel.Options) (kernel.Engine, error) { return nil, errNotLinux }

// XDP and TCX are there on Linux alone.
var (
	XDP = kernel.Way{Name: "xdp", Can: never, Suits: never, Open: open, Tunnels: true}
	TCX = kernel.Way{Name: "tcx", Can: never, Open: open, Tunnels: true}
)
