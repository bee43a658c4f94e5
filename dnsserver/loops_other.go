//go:build !linux

package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
)

// canEpoll tells whether this system has event loops for TCP.
const canEpoll = false

// tcpLoop is an event loop, which this system cannot have.
type tcpLoop struct{}

func (*tcpLoop) serve(context.Context, *sync.WaitGroup) error { return errors.ErrUnsupported }
func (*tcpLoop) stop()                                        {}
func (*tcpLoop) free()                                        {}

func (s *Server) listenLoops(_ string, ap netip.AddrPort, _ bool, _ int, _, _ []int, _ []*os.File) (netip.AddrPort, error) {
	return ap, errors.ErrUnsupported
}
