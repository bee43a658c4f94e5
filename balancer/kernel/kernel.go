// Package kernel is what the balancer says to a data plane in the kernel, and
// what that says back. An Engine (nftables, eBPF) is given Services and makes the
// kernel forward them; it knows no health, picks, weights or limits: those are in
// the slots that it is given.
package kernel

import (
	"log/slog"
	"net/netip"
	"time"
)

// The transports of a Service: IANA's protocol numbers.
const (
	TCP = 6
	UDP = 17
)

// Service is one frontend as an Engine has it. Two of one configuration never
// have the same protocol and virtual address.
type Service struct {
	Name     string
	Protocol uint8            // TCP or UDP
	Listen   []netip.AddrPort // the virtual addresses. An unspecified one (nat alone): every address of this machine
	Servers  []Server         // who may have connections, sorted by address, each once
	// Slots4 and Slots6 say who gets new connections of which family: indexes of
	// Servers (of that family), Engine.Slots long, or empty: nobody, they are refused.
	Slots4, Slots6 []uint16
	By             By

	Idle  time.Duration // until a connection without a packet is forgotten
	Close time.Duration // the same, once one end has finished sending

	Source     Source   // of what servers see (nat)
	Tunnel     Tunnel   // how packets get to servers (dsr)
	TunnelPort uint16   // of GUE: where servers take it
	Key        uint64   // of the hash: all balancers of a virtual address have the same
	Interfaces []string // by which clients' packets come (dsr); none: the Engine finds them

	Admission *Admission // of new connections; nil: everybody has what is asked for
}

// Admission says who may have a new connection. Those that there are it does not touch. A
// refused client of TCP is reset, where the Engine can; a datagram is dropped.
type Admission struct {
	Allow, Deny []netip.Prefix // networks.Allowed
	Exempt      []netip.Prefix // from the bounds that follow
	// Rate is how many new connections a second a client's network may make, and Burst how
	// long it may save them up. Connections is how many it may have at once: for engines
	// that see connections end (nat). 0: no bound.
	Rate         int
	Burst        time.Duration
	Connections  int
	Bits4, Bits6 int // of an address that are its network: up to 32, 64
}

// Refused are the new connections that a Service's Admission has refused.
type Refused struct {
	Denied    int64 // by Allow and Deny
	OverRate  int64
	OverCount int64
}

// Server is one real server of a Service.
type Server struct {
	Address netip.AddrPort
	// Gone says that its connections are to be moved, or, being TCP, reset by
	// whoever gets their next packet. One that is not Gone keeps those it has, with
	// slots or without.
	Gone bool
	// Failed says that it answers no connects: those that it has not answered are to go
	// elsewhere with the client's next SYN, where an Engine can have them do that.
	Failed bool
}

// By is how an Engine comes from a new connection to a slot.
type By uint8

const (
	Turn         By = iota // in turns, where connections are remembered; else as ByConnection
	ByAddress              // by the hash of the client's address
	ByConnection           // by the hash of both ends with their ports
)

// Tunnel is how packets get to a server that answers the client itself.
type Tunnel uint8

const (
	NoTunnel Tunnel = iota // the frame is readdressed: the server is in the same Ethernet
	IPIP                   // in IPv4 or IPv6 (RFC 2003, RFC 2473)
	GUE                    // in UDP (draft-ietf-intarea-gue, variant 1)
)

// Source is the address from which a nat's servers see connections come. The zero
// Source is the client's own.
type Source struct {
	Masquerade bool       // that of the interface by which the packets leave
	Address    netip.Addr // this one; invalid: none
}

// Counters are of one server of one service, since the Engine was opened. They
// never go down, but for Open.
type Counters struct {
	Connections int64
	Open        int64 // connections now, as far as can be told; UDP: sessions
	BytesUp     int64 // from clients, with headers
	BytesDown   int64 // to clients; 0 where answers do not come by here (dsr)
	// Failed are TCP connects that look as if they had failed: refused, where that can be
	// seen, or under way for more than Overdue. A client can feign either.
	Failed int64
}

// Flow is one connection as the kernel has it.
type Flow struct {
	Service  string
	Protocol uint8
	Client   netip.AddrPort // the remote end
	Virtual  netip.AddrPort // where the client connected to
	Server   netip.AddrPort
	Source   netip.AddrPort // from which the server sees it come
	State    string         // as the kernel says: ESTABLISHED, TIME_WAIT …; "" if it says nothing
	Expires  time.Duration  // until it is forgotten, unless there is a packet

	BytesUp, BytesDown int64 // 0 where they are not counted
}

// Engine forwards connections in the kernel. Its methods are called by one
// goroutine at a time, but for Flows.
type Engine interface {
	// Slots is how many slots it wants for a family with so many servers.
	Slots(servers int) int
	// Apply makes the kernel forward exactly these services: all, or with an error
	// nothing has changed. Established connections go on, those of a frontend that
	// is not there any more too. It is called often, mostly with little changed,
	// and again after an error.
	Apply([]Service) error
	// Count tells the counters of each server, by service name.
	Count(func(service string, server netip.AddrPort, c Counters)) error
	// Refused tells what each service with an Admission has refused, like Count.
	Refused(func(service string, r Refused)) error
	// Flows tells the connections there are until yield reports false.
	Flows(yield func(Flow) bool) error
	// Problems are what keeps the services from working as configured, in words.
	Problems() []string
	// Keep has what is put in the kernel outlive the process, however that ends, or not, which is
	// so at first. An Engine that cannot do it takes no notice.
	Keep(bool)
	// Close takes everything out of the kernel; with keep it is left as it is, for
	// the next process.
	Close(keep bool) error
}

// Options are what an Engine gets when it is opened.
type Options struct {
	Node       string // name of the node: part of the names of what is put in the kernel
	Interfaces []string
	Log        *slog.Logger
	BPFFS      string // where the BPF file system is mounted; default /sys/fs/bpf
	// Forwarding allows to switch on the forwarding of packets (sysctl).
	Forwarding bool
}

// Way is one kind of Engine that a plane may be made of.
type Way struct {
	Name string
	// Can tells why this machine cannot do it, with a test of the real thing as
	// far as that leaves no trace; nil: it can.
	Can  func(Options) error
	Open func(Options) (Engine, error)
	// Suits tells why it is not to be chosen unasked, though it can; nil: always.
	Suits   func(Options) error
	Tunnels bool // it can do Service.Tunnel
	// Sweep takes out what a process of this node that was killed has left. nil:
	// nothing outlives a process.
	Sweep func(Options) error
}
