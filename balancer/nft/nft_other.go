//go:build !linux

package nft

import (
	"errors"

	"gslb/balancer/kernel"
)

var errLinux = errors.New("needs Linux")

func never(name string) kernel.Way {
	return kernel.Way{
		Name: name,
		Can:  func(kernel.Options) error { return errLinux },
		Open: func(kernel.Options) (kernel.Engine, error) { return nil, errLinux },
	}
}

// NAT and DSR cannot be had here.
var (
	NAT = never("nft")
	DSR = never("nft")
)
