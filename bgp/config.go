// Package bgp is what a node tells its routers: which addresses are served here now
// (BGP-4, RFC 4271). A router that hears of an address from several nodes sends users to
// all of them or to the best; when a node withdraws the address, or is gone, to the others.
//
// The room itself owns the configuration, when an address is announced (Hold), and what
// people see of it. bgp/speaker speaks the protocol. Neither knows what makes an address
// healthy, nor what a balancer is: it gets a list of wishes.
package bgp

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is [bgp] of the configuration.
type Config struct {
	AS       uint32     `toml:"as"`        // the own autonomous system
	RouterID netip.Addr `toml:"router_id"` // an IPv4 address that no other speaker has as its identifier
	// Listen are addresses of this machine at which neighbours may connect, at ListenPort
	// (default 179). Default: none, this node connects to them.
	Listen     []netip.Addr `toml:"listen"`
	ListenPort int          `toml:"listen_port"`
	Neighbors  []Neighbor   `toml:"neighbor"`

	// NextHops are where routers send packets for the announced addresses, at most one of
	// each family. Default: this end of the session, which tells of its own family alone.
	NextHops []netip.Addr `toml:"next_hops"`
	// Communities go with each route: "65000:100", "65000:1:2" (large, RFC 8092) or the
	// name of a well-known one, such as "no-export".
	Communities []string `toml:"communities"`
	MED         uint32   `toml:"med"`        // multi-exit discriminator: less is better; 0: none
	LocalPref   uint32   `toml:"local_pref"` // to neighbours of the own AS: more is better; 0: 100
	// Prepend is how many times more the own AS stands in the path, to be second best.
	Prepend int `toml:"prepend"`

	// DNS are addresses of the DNS service, announced while this node answers (anycast).
	DNS []netip.Addr `toml:"dns"`

	// AnnounceAfter is how long an address must have been healthy until it is announced;
	// default 2s. It doubles with each withdrawal that comes soon after the announcement,
	// up to AnnounceAfterMost, default 1m. Withdrawn is at once.
	AnnounceAfter     time.Duration `toml:"announce_after"`
	AnnounceAfterMost time.Duration `toml:"announce_after_most"`
	// GracefulRestart is how long neighbours keep the routes when a session breaks without
	// a word (RFC 4724); default 0: not at all. Whole seconds.
	GracefulRestart time.Duration `toml:"graceful_restart"`
}

// Neighbor is [[bgp.neighbor]]: a router.
type Neighbor struct {
	Address netip.Addr `toml:"address"`
	Port    int        `toml:"port"` // default 179
	AS      uint32     `toml:"as"`
	// Password signs the segments (TCP MD5, RFC 2385); PasswordFile has it instead.
	Password     string     `toml:"password"`
	PasswordFile string     `toml:"password_file"`
	LocalAddress netip.Addr `toml:"local_address"` // from which to connect; default: the system's choice
	// Multihop is how many hops off a neighbour of another AS may be; default 1: on the same link.
	Multihop int `toml:"multihop"`
	// HoldTime is how long a neighbour may be silent until the session is given up, by
	// either end; default 9s. Whole seconds, at least 3.
	HoldTime time.Duration `toml:"hold_time"`
}

// port is that of BGP (RFC 4271, section 8.2.1.5).
const port = 179

// passwordMost is what the kernel takes (TCP_MD5SIG_MAXKEYLEN).
const passwordMost = 80

// Used tells whether the node is to speak BGP.
func (c Config) Used() bool { return c.AS != 0 || len(c.Neighbors) > 0 }

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	if !c.Used() {
		return c
	}
	if len(c.Listen) > 0 {
		setDefault(&c.ListenPort, port)
	}
	setDefault(&c.AnnounceAfter, 2*time.Second)
	setDefault(&c.AnnounceAfterMost, max(time.Minute, c.AnnounceAfter))
	c.Neighbors = slices.Clone(c.Neighbors)
	for i := range c.Neighbors {
		n := &c.Neighbors[i]
		setDefault(&n.Port, port)
		setDefault(&n.Multihop, 1)
		setDefault(&n.HoldTime, 9*time.Second)
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Validate calls bad once for each fault in c, with the key (relative to [bgp]; indexes
// count from 0) and what would be right. Zero values are defaults, not faults.
func (c Config) Validate(bad func(key, msg string)) {
	if !c.Used() {
		return
	}
	if c.AS == 0 {
		bad("as", "must be set: the number of the own autonomous system, such as 65010")
	}
	switch {
	case !c.RouterID.IsValid():
		bad("router_id", `must be set: an IPv4 address of this node, such as "10.0.0.2", by which routers tell it from others`)
	case !c.RouterID.Is4() || c.RouterID.IsUnspecified():
		bad("router_id", fmt.Sprintf("%q: must be an IPv4 address other than 0.0.0.0", c.RouterID))
	}
	for i, a := range c.Listen {
		if a.Zone() != "" {
			bad(fmt.Sprintf("listen[%d]", i), fmt.Sprintf("%q: must be an address without a zone", a))
		}
	}
	validPort(c.ListenPort, "listen_port", bad)
	if c.ListenPort != 0 && len(c.Listen) == 0 {
		bad("listen_port", fmt.Sprintf("%d: needs listen, the addresses to listen at", c.ListenPort))
	}
	c.validateRoutes(bad)
	if len(c.Neighbors) == 0 {
		bad("neighbor", "must have at least one [[bgp.neighbor]]")
	}
	for i, n := range c.Neighbors {
		at := fmt.Sprintf("neighbor[%d]", i)
		n.validate(func(key, msg string) { bad(at+"."+key, msg) })
		if first := slices.IndexFunc(c.Neighbors, func(o Neighbor) bool { return o.Address == n.Address }); first < i && n.Address.IsValid() {
			bad(at+".address", fmt.Sprintf("%q: stands already in neighbor[%d]", n.Address, first))
		}
	}
}

func (c Config) validateRoutes(bad func(key, msg string)) {
	families := map[bool]bool{}
	for i, a := range c.NextHops {
		key := fmt.Sprintf("next_hops[%d]", i)
		switch {
		case a.IsUnspecified() || a.Zone() != "" || a.Is4In6():
			bad(key, fmt.Sprintf("%q: must be an address of this machine that routers can send packets to", a))
		case families[a.Is4()]:
			bad(key, fmt.Sprintf("%q: there is one of this family already; at most one of each", a))
		}
		families[a.Is4()] = true
	}
	for i, text := range c.Communities {
		if _, err := ParseCommunity(text); err != nil {
			bad(fmt.Sprintf("communities[%d]", i), fmt.Sprintf("%q: %v", text, err))
		}
	}
	if c.LocalPref != 0 {
		for _, n := range c.Neighbors {
			if n.AS != c.AS {
				bad("local_pref", fmt.Sprintf("%d: means something within an AS only, and neighbour %s is of another; use med or prepend", c.LocalPref, n.Address))
				break
			}
		}
	}
	if c.Prepend < 0 || c.Prepend > 32 {
		bad("prepend", fmt.Sprintf("%d: must be 0 to 32", c.Prepend))
	}
	for _, n := range c.Neighbors {
		if c.Prepend > 0 && c.AS != 0 && n.AS == c.AS { // RFC 4271, section 9.1.2
			bad("prepend", fmt.Sprintf("%d: neighbour %s is of the own AS, and would refuse routes with that in their path; use local_pref or med", c.Prepend, n.Address))
			break
		}
	}
	for i, a := range c.DNS {
		if a.IsUnspecified() || a.IsLoopback() || a.Zone() != "" || a.Is4In6() {
			bad(fmt.Sprintf("dns[%d]", i), fmt.Sprintf("%q: must be an address that resolvers ask", a))
		}
	}
	if c.AnnounceAfter < 0 || c.AnnounceAfter > time.Hour {
		bad("announce_after", fmt.Sprintf("%v: must be at most an hour", c.AnnounceAfter))
	}
	if c.AnnounceAfterMost != 0 && c.AnnounceAfterMost < c.AnnounceAfter {
		bad("announce_after_most", fmt.Sprintf("%v: must be at least announce_after, %v", c.AnnounceAfterMost, c.AnnounceAfter))
	}
	if g := c.GracefulRestart; g < 0 || g%time.Second != 0 || g > 4095*time.Second { // 12 bits (RFC 4724, section 3)
		bad("graceful_restart", fmt.Sprintf("%v: must be whole seconds, at most 4095s", g))
	}
}

func (n Neighbor) validate(bad func(key, msg string)) {
	switch {
	case !n.Address.IsValid():
		bad("address", `must be set: the router's address, such as "10.0.0.1"`)
	case n.Address.IsUnspecified() || n.Address.IsMulticast() || n.Address.Is4In6() || n.Address.Zone() != "":
		bad("address", fmt.Sprintf("%q: must be the address of one router", n.Address))
	}
	validPort(n.Port, "port", bad)
	if n.AS == 0 {
		bad("as", "must be set: the number of the neighbour's autonomous system; the own for one within it")
	}
	if n.Password != "" && n.PasswordFile != "" {
		bad("password", "stands beside password_file: one of both")
	}
	if len(n.Password) > passwordMost {
		bad("password", fmt.Sprintf("has %d octets: the kernel takes %d at most", len(n.Password), passwordMost))
	}
	if l := n.LocalAddress; l.IsValid() && (l.Is4() != n.Address.Is4() || l.IsUnspecified()) {
		bad("local_address", fmt.Sprintf("%q: must be an address of this machine, of the neighbour's family", l))
	}
	if n.Multihop < 0 || n.Multihop > 255 {
		bad("multihop", fmt.Sprintf("%d: must be 1 (on the same link) to 255 hops", n.Multihop))
	}
	if h := n.HoldTime; h != 0 && (h < 3*time.Second || h%time.Second != 0 || h > 65535*time.Second) { // RFC 4271, section 4.2
		bad("hold_time", fmt.Sprintf("%v: must be whole seconds, at least 3s", h))
	}
}

func validPort(n int, key string, bad func(key, msg string)) {
	if n < 0 || n > 65535 {
		bad(key, fmt.Sprintf("%d: must be 1 to 65535", n))
	}
}

// Community is a mark on a route: a standard one (RFC 1997), or a large one (RFC 8092) with all three.
type Community struct {
	Large      bool
	Standard   uint32
	A1, A2, A3 uint32 // of a large one
}

// wellKnown are names of communities that all speakers know.
var wellKnown = map[string]uint32{
	"graceful-shutdown": 0xffff0000,                                                                // RFC 8326
	"no-export":         0xffffff01, "no-advertise": 0xffffff02, "no-export-subconfed": 0xffffff03, // RFC 1997
	"no-peer": 0xffffff04, // RFC 3765
}

// ParseCommunity reads "65000:100", "65000:1:2" or the name of a well-known community.
func ParseCommunity(text string) (c Community, err error) {
	if v, ok := wellKnown[text]; ok {
		return Community{Standard: v}, nil
	}
	parts := strings.Split(text, ":")
	c.Large = len(parts) == 3
	bits := 16
	if c.Large {
		bits = 32
	}
	var n [3]uint32
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, bits)
		if err != nil || len(parts) < 2 || i > 2 {
			names := make([]string, 0, len(wellKnown))
			for name := range wellKnown {
				names = append(names, name)
			}
			slices.Sort(names)
			return Community{}, fmt.Errorf(`must be two numbers up to 65535 as in "65000:100", three as in "65000:1:2", or one of %s`, strings.Join(names, ", "))
		}
		n[i] = uint32(v)
	}
	if c.Large {
		c.A1, c.A2, c.A3 = n[0], n[1], n[2]
		return c, nil
	}
	c.Standard = n[0]<<16 | n[1]
	return c, nil
}
