package nft

import (
	"errors"

	"gslb/balancer/kernel"
)

// DSR hands packets on at layer 2.
var DSR = kernel.Way{
	Name: "nft",
	Can:  func(kernel.Options) error { return errors.New("is not made yet") },
	Open: func(kernel.Options) (kernel.Engine, error) { return nil, errors.New("is not made yet") },
}
