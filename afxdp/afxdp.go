package afxdp

import (
	"errors"
	"log/slog"
	"net/netip"
)

// Config says what a Port serves.
type Config struct {
	Interface string // such as "eth0"
	// Served are the addresses and ports whose queries are taken. An unspecified
	// address stands for all local addresses of its family.
	Served []netip.AddrPort
	// Handler makes what answers the queries of one receive queue. It is called
	// once for each queue, from one goroutine.
	Handler func(queue int) Handler
	Log     *slog.Logger
}

// Handler answers the queries of one queue. One goroutine at a time calls it.
type Handler interface {
	// Answer gives the answer to a query, at most limit octets of it, or nothing
	// where none is to be sent. query holds until Answer returns, the answer
	// until the next call.
	Answer(query []byte, src netip.AddrPort, limit int) []byte
	// Answered is called behind the last query of a batch, before the answers go.
	Answered()
}

// Status is what a Port does.
type Status struct {
	Interface string `json:"interface"`
	// Problem is why queries are left to the ordinary sockets, or nothing.
	Problem string `json:"problem,omitempty"`
	// Note is what is not as fast as it could be, and why, or nothing.
	Note string `json:"note,omitempty"`
	// Native tells that the program runs in the driver. Else it runs in the
	// network stack (generic), which is slower.
	Native bool          `json:"native"`
	Queues []QueueStatus `json:"queues"`
}

// QueueStatus is what one receive queue has done since the process began.
type QueueStatus struct {
	Queue    int  `json:"queue"`
	Active   bool `json:"active"`    // it takes queries now
	ZeroCopy bool `json:"zero_copy"` // the driver puts frames into our memory by itself

	Received uint64 `json:"received"` // frames taken
	Answered uint64 `json:"answered"` // answers that the driver has done with
	// Dropped are frames that were not understood, by reason.
	Dropped map[string]uint64 `json:"dropped"`
	// Unsent are answers, of those counted, that the driver threw away.
	Unsent uint64 `json:"unsent"`
	// Lost are frames that came faster than they were taken.
	Lost uint64 `json:"lost"`
}

// ErrUnsupported says that this system has no AF_XDP.
var ErrUnsupported = errors.New("AF_XDP is not supported here: it needs Linux")
