package forecast

import (
	"net/netip"
	"slices"
)

// public is the address space that users are in: no address of the registries of special
// purpose (RFC 6890 and the registries that it began), no multicast, nothing reserved.
// What configuration names counts all the same.
var (
	special = parse("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
		"224.0.0.0/3", "::/0", "2001:db8::/32", "3fff::/20")
	global = parse("2000::/3")
	public = slices.Concat(special, global)
)

func parse(networks ...string) (all []netip.Prefix) {
	for _, n := range networks {
		all = append(all, netip.MustParsePrefix(n))
	}
	return all
}

// isSpecial takes the longest of public that holds a piece; the zero Prefix is ordinary IPv4.
func isSpecial(within netip.Prefix) bool { return within.IsValid() && !slices.Contains(global, within) }
