package transfer

import (
	"net/netip"
	"testing"
)

// TestBarred: the log says what a client lacks that may not have a zone.
func TestBarred(t *testing.T) {
	k, other := testKey(t, "hmac-sha256"), testKey(t, "hmac-sha512")
	near, far := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	network := netip.MustParsePrefix("192.0.2.0/24")
	for _, c := range []struct {
		list   []rule
		from   netip.Addr
		signed *key
		want   string
	}{
		{nil, near, k, "the zone has no transfer_to"},
		{[]rule{{key: k, tls: true}}, near, k, "transfer_to has tls = true: TLS 1.3 or QUIC is needed"},
		{[]rule{{key: k, tls: true}}, near, nil, "transfer_to wants it signed with the key key.test."},
		{[]rule{{key: k, network: network}}, far, k, "transfer_to has that key for the network 192.0.2.0/24 alone"},
		{[]rule{{key: k, network: network}}, near, nil, "transfer_to wants it signed with the key key.test."},
		{[]rule{{key: k, network: network}}, far, nil, "no transfer_to is for that address and key"},
		{[]rule{{key: k}, {network: network}}, far, other, "no transfer_to is for that address and key"},
	} {
		if allowed(c.list, c.from, c.signed, false) {
			t.Errorf("%v is allowed", c.list)
		}
		if got := barred(c.list, c.from, c.signed, false); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
