package dnsserver

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
	"sort"
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

// Access tells the standing of clients: the addresses of each family are divided
// into ranges, sorted by where they begin, that all share one. It is part of a
// Generation and never changes; nil makes no difference between clients.
type Access struct {
	v4     []uint32
	v6     [][2]uint64
	of4    []standing // of each range
	of6    []standing
	drops  bool // whoever is denied gets no answer at all
	listed bool // those whose Client Subnet counts are listed
}

// NewAccess is what a valid configuration's Allow, Deny, Denied, RateLimitExempt and
// ECSFrom come to. The longest network of Allow and Deny decides.
func NewAccess(c Config) *Access {
	if len(c.Allow)+len(c.Deny)+len(c.RateLimitExempt)+len(c.ECSFrom) == 0 {
		return nil
	}
	all := slices.Concat(c.Allow, c.Deny, c.RateLimitExempt, c.ECSFrom)
	starts := []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
	for _, p := range all {
		starts = append(starts, p.Masked().Addr())
		if next := last(p).Next(); next.IsValid() {
			starts = append(starts, next)
		}
	}
	slices.SortFunc(starts, netip.Addr.Compare)
	n := &Access{drops: c.Denied == deniedDrop, listed: len(c.ECSFrom) > 0}
	rules := newRules(c)
	for _, a := range slices.Compact(starts) {
		s := rules.standing(a)
		if a.Is4() {
			n.v4, n.of4 = append(n.v4, key4(a)), append(n.of4, s)
		} else {
			n.v6, n.of6 = append(n.v6, key6(a)), append(n.of6, s)
		}
	}
	return n
}

// last is the last address of a network.
func last(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(b); i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

// standing is that of an address; an IPv4-mapped one counts as IPv4.
func (n *Access) standing(a netip.Addr) standing {
	if a = a.Unmap(); a.Is4() {
		k := key4(a)
		return n.of4[sort.Search(len(n.v4), func(i int) bool { return n.v4[i] > k })-1]
	}
	k := key6(a)
	return n.of6[sort.Search(len(n.v6), func(i int) bool { return above(n.v6[i], k) })-1]
}

func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func key6(a netip.Addr) [2]uint64 {
	b := a.As16()
	return [2]uint64{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func above(a, b [2]uint64) bool {
	_, borrow := bits.Sub64(b[1], a[1], 0)
	_, borrow = bits.Sub64(b[0], a[0], borrow)
	return borrow != 0
}

// rules are the lists of configuration, the longest networks first.
type rules struct {
	access           []access
	exempt, believed []netip.Prefix
	allowed          bool // those that no network of access holds
}

type access struct {
	netip.Prefix
	allow bool
}

func newRules(c Config) *rules {
	r := &rules{exempt: longestFirst(c.RateLimitExempt), believed: longestFirst(c.ECSFrom), allowed: len(c.Allow) == 0}
	for _, p := range c.Allow {
		r.access = append(r.access, access{p, true})
	}
	for _, p := range c.Deny {
		r.access = append(r.access, access{p, false})
	}
	slices.SortStableFunc(r.access, func(a, b access) int { return cmp.Compare(b.Bits(), a.Bits()) })
	return r
}

func longestFirst(list []netip.Prefix) []netip.Prefix {
	return slices.SortedStableFunc(slices.Values(list), func(a, b netip.Prefix) int { return cmp.Compare(b.Bits(), a.Bits()) })
}

func (r *rules) standing(a netip.Addr) (s standing) {
	allowed := r.allowed
	if i := slices.IndexFunc(r.access, func(x access) bool { return x.Contains(a) }); i >= 0 {
		allowed = r.access[i].allow
	}
	holds := func(p netip.Prefix) bool { return p.Contains(a) }
	if !allowed {
		s |= denied
	}
	if slices.ContainsFunc(r.exempt, holds) {
		s |= exempt
	}
	if len(r.believed) == 0 || slices.ContainsFunc(r.believed, holds) {
		s |= believed
	}
	return s
}
