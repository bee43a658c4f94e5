package balancer

import (
	"errors"
	"io"
	"os"
	"time"
)

// early is what was read of a client before it had a server, and is the server's.
type early struct {
	room *[bufferSize]byte // nil: nothing
	b    []byte            // in room
}

// greet reads what a client says before a server is picked for it. It reports false
// if it is to be reset.
func (r *relay) greet(p *preamble, most time.Duration) bool {
	room := r.buffers.Get().(*[bufferSize]byte)
	r.early = early{room: room}
	r.client.SetReadDeadline(time.Now().Add(most))
	for {
		at := len(r.early.b)
		n, err := r.client.Read(room[at:])
		r.early.b = room[:at+n]
		late := errors.Is(err, os.ErrDeadlineExceeded)
		if err != nil && !late && !errors.Is(err, io.EOF) {
			r.blameReset(true)
			return false
		}
		skip, next := p.look(&r.connection, r.early.b, err != nil, at+n == len(room))
		switch {
		case next == stepServer:
			r.early.b = r.early.b[skip:]
			r.client.SetReadDeadline(time.Time{})
			if len(r.early.b) == 0 {
				r.forget()
			}
			return true
		case next == stepReset:
			return false
		case skip > 0:
			r.early.b = room[:copy(room[:], r.early.b[skip:])]
		}
	}
}

// passEarly gives the server what was read before it was there.
func (r *relay) passEarly(d *direction) error {
	if r.early.room == nil {
		return nil
	}
	n, err := d.dst.Write(r.early.b)
	r.forget()
	d.count(n)
	return err
}

// forget gives the room of early back.
func (r *relay) forget() {
	if r.early.room != nil {
		r.buffers.Put(r.early.room)
		r.early = early{}
	}
}
