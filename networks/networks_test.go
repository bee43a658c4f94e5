package networks

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

func TestAllowed(t *testing.T) {
	p := func(all ...string) (out []netip.Prefix) {
		for _, s := range all {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	for _, tt := range []struct {
		name        string
		allow, deny []netip.Prefix
		in, out     []string
	}{
		{"nothing listed", nil, nil, []string{"192.0.2.1", "2001:db8::1"}, nil},
		{"some allowed", p("10.0.0.0/8"), nil, []string{"10.1.2.3", "::ffff:10.1.2.3"}, []string{"11.0.0.0", "9.255.255.255", "2001:db8::1"}},
		{"some denied", nil, p("10.0.0.0/8", "2001:db8::/32"), []string{"11.0.0.0", "2001:db9::"}, []string{"10.0.0.0", "10.255.255.255", "2001:db8:ffff::"}},
		{"a denied part of what is allowed", p("10.0.0.0/8"), p("10.1.0.0/16"), []string{"10.0.0.1", "10.2.0.0"}, []string{"10.1.0.0", "10.1.255.255", "192.0.2.1"}},
		{"an allowed part of what is denied", p("10.1.2.3/32"), p("10.0.0.0/8"), []string{"10.1.2.3"}, []string{"10.1.2.2", "10.1.2.4", "192.0.2.1"}},
		{"the same in both", p("10.0.0.0/8"), p("10.0.0.0/8"), []string{"10.0.0.1"}, nil},
		{"the ends of all addresses", nil, p("255.255.255.255/32", "0.0.0.0/32", "ffff::/16"), []string{"0.0.0.1", "255.255.255.254", "fffe::"}, []string{"0.0.0.0", "255.255.255.255", "ffff::"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New(append(append([]netip.Prefix(nil), tt.allow...), tt.deny...), Allowed(tt.allow, tt.deny))
			for _, a := range tt.in {
				if !r.At(netip.MustParseAddr(a)) {
					t.Errorf("%s may not come in", a)
				}
			}
			for _, a := range tt.out {
				if r.At(netip.MustParseAddr(a)) {
					t.Errorf("%s may come in", a)
				}
			}
		})
	}
}

// Whoever takes networks one by one, the longest first, comes to the same as with addresses.
func TestAllowedNetwork(t *testing.T) {
	p := netip.MustParsePrefix
	of := AllowedNetwork([]netip.Prefix{p("10.0.0.0/8"), p("10.1.2.0/24"), p("2001:db8::/32")}, []netip.Prefix{p("10.0.0.0/16"), p("10.1.0.0/16")})
	for network, want := range map[string]bool{
		"10.0.0.0/8": true, "10.0.0.0/16": false, "10.0.0.0/12": true, "10.1.0.0/16": false, "10.1.2.0/24": true, "10.1.2.3/32": true,
		"10.1.3.0/24": false, "192.0.2.0/24": false, "0.0.0.0/0": false, "2001:db8::/32": true, "2001:db8:1::/48": true, "::/0": false,
	} {
		if got := of(p(network)); got != want {
			t.Errorf("%s: allowed %v, want %v", network, got, want)
		}
	}
}

// The ranges say what the lists say, for any lists and addresses.
func TestRangesAgreeWithTheLists(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(256)), byte(r.IntN(256))})
		}
		var b [16]byte
		for i := range b {
			b[i] = byte(r.IntN(3))
		}
		return netip.AddrFrom16(b)
	}
	for range 200 {
		var lists [2][]netip.Prefix
		for i := range lists {
			for range r.IntN(6) {
				a := address()
				p, _ := a.Prefix(r.IntN(a.BitLen() + 1))
				lists[i] = append(lists[i], p)
			}
		}
		allowed := Allowed(lists[0], lists[1])
		ranges := New(append(lists[0], lists[1]...), allowed)
		in := ranges.Where(func(allowed bool) bool { return allowed })
		for i, r := range in {
			if r.First.Compare(r.Last) > 0 || i > 0 && (in[i-1].Last.Compare(r.First) >= 0 || in[i-1].Last.Next() == r.First) {
				t.Fatalf("allow %v, deny %v: ranges %v are not sorted, or could be longer", lists[0], lists[1], in)
			}
		}
		for range 200 {
			a := address()
			if ranges.At(a) != allowed(a) {
				t.Fatalf("%s: allow %v, deny %v: the lists say %v", a, lists[0], lists[1], allowed(a))
			}
			if held := slices.ContainsFunc(in, func(r Range) bool {
				return r.First.BitLen() == a.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
			}); held != allowed(a) {
				t.Fatalf("%s: allow %v, deny %v: allowed %v, the ranges are %v", a, lists[0], lists[1], allowed(a), in)
			}
		}
	}
}
