package geo

import (
	"net/netip"
	"testing"
)

func TestInner(t *testing.T) {
	for _, tt := range []struct {
		addr, inner string
		before      uint8
	}{
		{"10.2.3.4", "10.2.3.4", 0},
		{"::ffff:10.2.3.4", "10.2.3.4", 0},
		{"2001:db8::1", "2001:db8::1", 0},
		{"2002:a02:304:1::1", "10.2.3.4", 16},
		{"64:ff9b::10.2.3.4", "10.2.3.4", 96},
		{"64:ff9b:1::10.2.3.4", "64:ff9b:1::10.2.3.4", 0}, // of local use (RFC 8215): where the address stands is not known
		{"2001:0:4136:e378:8000:63bf:f5fd:fcfb", "10.2.3.4", 96},
		{"2001:1::", "2001:1::", 0},
	} {
		inner, before := Inner(netip.MustParseAddr(tt.addr))
		if inner != netip.MustParseAddr(tt.inner) || before != tt.before {
			t.Errorf("%s: %s behind %d bits, want %s behind %d", tt.addr, inner, before, tt.inner, tt.before)
		}
	}
	if inner, before := Inner(netip.Addr{}); inner.IsValid() || before != 0 {
		t.Errorf("no address: %s behind %d bits", inner, before)
	}
}
