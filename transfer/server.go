package transfer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// mostAtServer bounds for how many zones one server is asked, or sends, at a time, and
// of how many it is told.
const mostAtServer = 16

// crowdedRetry is when a zone tries again that has not asked since others wait in
// vain for the same server.
const crowdedRetry = 10 * time.Second

// server is another server, as all zones see it that have it as a primary, or as one
// that is told of changes. One that does not answer must hold up neither the zones of
// others nor those that have another primary besides, nor cost a socket for each zone:
// so many zones wait for it, and the rest hears at once what these heard.
type server struct {
	places chan struct{}
	fault  atomic.Pointer[error] // it did not answer in time; nil: it did, or is not known
}

// crowded is that a server does not answer, as others have found.
type crowded struct{ error }

func (c crowded) Unwrap() error { return c.error }

// servers are the servers of one kind, by address.
type servers struct{ all sync.Map }

func (s *servers) at(address netip.AddrPort) *server {
	if o, ok := s.all.Load(address); ok {
		return o.(*server)
	}
	o, _ := s.all.LoadOrStore(address, &server{places: make(chan struct{}, mostAtServer)})
	return o.(*server)
}

// enter waits for a place among those who ask the server; leave gives it back. It
// waits for none at a server that does not answer.
func (s *server) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-s.places }
	select {
	case s.places <- struct{}{}:
		return leave, nil
	default:
	}
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		if fault := s.fault.Load(); fault != nil {
			return nil, crowded{*fault}
		}
		select {
		case s.places <- struct{}{}:
			if fault := s.fault.Load(); fault != nil {
				leave()
				return nil, crowded{*fault}
			}
			return leave, nil
		case <-look.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// heard notes whether the server has answered.
func (s *server) heard(err error) {
	if silent(err) {
		s.fault.Store(&err)
	} else {
		s.fault.Store(nil)
	}
}

// silent tells whether an error is that nobody answered in time.
func silent(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}
