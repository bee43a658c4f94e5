package bpf

import (
	"net/netip"
)

// The structures of program/maps.h.

const (
	mostVIPs    = 4096
	mostServers = 4096
	// mostNetworks is how many networks all lists may have, those that are being replaced too.
	mostNetworks = 1 << 18
)

// Sizes of what is remembered, in flows: 2^18 of IPv4 take about 25 MB.
const (
	flows4Size = 1 << 18
	flows6Size = 1 << 17
)

// newFlowsMost is how many new flows each CPU remembers in about a second: above
// it they go by the hash alone.
const newFlowsMost = 50_000

type address [16]byte

func addressOf(ip netip.Addr) address { return ip.As16() }

func (a address) addr() netip.Addr { return netip.AddrFrom16(a).Unmap() }

type vipKey struct {
	Address  address
	Port     bigEndian
	Protocol uint8
	_        [5]uint8
}

// bigEndian is a 16-bit number in network order.
type bigEndian [2]byte

func port(p uint16) bigEndian { return bigEndian{byte(p >> 8), byte(p)} }

func (b bigEndian) port() uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// The flags of a VIP: its flows are hashed by both ends with their ports; not everybody may
// have a new one.
const (
	whole   = 1
	guarded = 2
)

type vipValue struct {
	Start  uint64
	Number uint32
	Index  uint32
	Table  uint32
	Flags  uint16
	Idle   uint16
}

// The states of a server.
const (
	stateDown uint8 = iota
	stateUp
	stateDraining
)

type serverValue struct {
	Serial   uint32
	Link     uint32
	Station  [6]byte
	Source   [6]byte
	MTU      uint16
	State    uint8
	Forward  uint8
	V6       uint8
	Resolved uint8
	Port     bigEndian
	_        uint32
	Pool     uint64
	To       address
	From     address
}

type guardValue struct {
	Step  uint64
	Burst uint64
	Mask  uint64
	List  uint32
	Bound uint32
}

type networkKey struct {
	Length  uint32
	List    uint32
	Address address
}

// What a network is in a list.
const (
	allowed uint32 = 1
	exempt  uint32 = 2
)

type refusedValue struct{ Denied, OverRate uint64 }

type flow4 struct {
	Client [4]byte
	Port   bigEndian
	_      uint16
	VIP    uint32
}

type flow6 struct {
	Client address
	Port   bigEndian
	_      uint16
	VIP    uint32
}

type remembered struct {
	Server uint32
	Serial uint32
	Seen   uint32
	Ended  uint32
}

type counts struct {
	Packets uint64
	Bytes   uint64
	Flows   uint64
}

func (c *counts) add(o counts) {
	c.Packets += o.Packets
	c.Bytes += o.Bytes
	c.Flows += o.Flows
}

type table struct {
	Server [slots]uint16
}

// none is a slot without a server.
const none = 0xffff

// How packets get to a server.
const (
	forwardLayer2 uint8 = iota
	forwardIPIP
	forwardGUE
)
