package transfer

import (
	"time"

	"gslb/dnsname"
	"gslb/zones"
)

// Expires tells for how long the copy of a zone may still be served, in whole
// seconds (RFC 7314, section 2); secondary is false for zones that are no copies.
// It is for the query path: it takes no lock and allocates nothing.
func (m *Manager) Expires(of *zones.Zone) (seconds uint32, secondary bool) {
	var apex [dnsname.Max]byte
	n := copy(apex[:], of.Apex())
	for i, c := range apex[:n] {
		apex[i] = dnsname.LowerByte(c)
	}
	z := m.state.Load().zones[string(apex[:n])]
	if z == nil || !z.set.Load().secondary() {
		return 0, false
	}
	raw := z.raw.Load()
	if raw == nil {
		return 0, true
	}
	left := time.Unix(z.confirmed.Load(), 0).Add(timersOf(raw).expire).Sub(m.now())
	return uint32(max(0, left/time.Second)), true
}
