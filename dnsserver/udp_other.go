//go:build !linux

package dnsserver

import (
	"errors"
	"net"
)

// canBatch tells whether this system can take several queries in one call.
const canBatch = false

// batchSocket is a socket that is served in batches, which this system cannot.
type batchSocket struct{}

func newBatchSocket(*net.UDPConn) (*batchSocket, error) { return nil, errors.ErrUnsupported }

func (*batchSocket) stop() {}
func (*batchSocket) free() {}

// batchOrigin is never that of a query.
type batchOrigin struct{}

func (*batchOrigin) send(_, _ []byte) error { return errors.ErrUnsupported }

func (l *udpListener) serveBatch(*Server, *responder, int) error { return errors.ErrUnsupported }

func processCPUs() []int { return []int{0} } // pinThread tells that there is no pinning

func pinThread(int) error { return errors.ErrUnsupported }
