package bpf

// Reason is what became of a packet for a VIP, besides being forwarded.
type Reason int

// The order is that of enum reason in program/maps.h.
const (
	NoServer Reason = iota
	Unresolved
	Expired
	TooBig
	TooBigLost
	Echo
	Errors
	Fragments
	FragmentLost
	Malformed
	Unremembered
	Moved
	reasonsCount
)

// words says it as in `gslb status` and metrics.
var words = [reasonsCount]string{
	NoServer:     "no server is up: passed to this machine, which refuses",
	Unresolved:   "dropped: the Ethernet address of the next hop is not known",
	Expired:      "dropped: TTL or hop limit",
	TooBig:       "answered: too big for the tunnel",
	TooBigLost:   "dropped: too big for the tunnel, and cannot be answered",
	Echo:         "answered: echo request",
	Errors:       "forwarded: ICMP error about a flow",
	Fragments:    "forwarded: later fragment",
	FragmentLost: "passed: fragment whose first was not seen",
	Malformed:    "passed: malformed",
	Unremembered: "forwarded by the hash alone: too many new flows",
	Moved:        "flow moved: its server is down or gone",
}

func (r Reason) String() string { return words[r] }
