//go:build !linux

package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"sync"
)

// canEpoll tells whether this system has event loops for TCP.
const canEpoll = false

// tcpLoop is an event loop, which this system cannot have.
type tcpLoop struct{}

func (*tcpLoop) serve(context.Context, *sync.WaitGroup) error { return errors.ErrUnsupported }
func (*tcpLoop) stop()                                        {}
func (*tcpLoop) free()                                        {}

func (s *Server) listenLoops(ap netip.AddrPort, _ bool, _ int, _, _ []int) (netip.AddrPort, error) {
	return ap, errors.ErrUnsupported
}
