package dnsserver

import (
	"net/netip"
	"slices"

	"gslb/networks"
)

// standing is what configuration says of a client's network.
type standing uint8

const (
	denied   standing = 1 << iota // is not to be answered
	exempt                        // is not limited in rate
	believed                      // its Client Subnet counts
)

// Words of Config.Denied.
const (
	deniedRefuse = "refuse"
	deniedDrop   = "drop"
)

// Access tells the standing of clients. It is part of a Generation and never
// changes; nil makes no difference between clients.
type Access struct {
	ranges *networks.Ranges[standing]
	drops  bool // whoever is denied gets no answer at all
	listed bool // those whose Client Subnet counts are listed
}

// NewAccess is what a valid configuration's Allow, Deny, Denied, RateLimitExempt and
// ECSFrom come to. The longest network of Allow and Deny decides.
func NewAccess(c Config) *Access {
	all := slices.Concat(c.Allow, c.Deny, c.RateLimitExempt, c.ECSFrom)
	if len(all) == 0 {
		return nil
	}
	allowed := networks.Allowed(c.Allow, c.Deny)
	return &Access{drops: c.Denied == deniedDrop, listed: len(c.ECSFrom) > 0, ranges: networks.New(all, func(a netip.Addr) (s standing) {
		if !allowed(a) {
			s |= denied
		}
		if networks.Holds(c.RateLimitExempt, a) {
			s |= exempt
		}
		if len(c.ECSFrom) == 0 || networks.Holds(c.ECSFrom, a) {
			s |= believed
		}
		return s
	})}
}

// standing is that of an address; an IPv4-mapped one counts as IPv4.
func (n *Access) standing(a netip.Addr) standing { return n.ranges.At(a) }
