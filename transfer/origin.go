package transfer

import (
	"encoding/binary"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// askExpire is the EXPIRE option of a query (RFC 7314, section 2).
var askExpire = []byte{0, dns.EDNS0EXPIRE, 0, 0}

// expireOf reads the EXPIRE option of an answer, in seconds; nil: there is none.
func expireOf(options []byte) *uint32 {
	for len(options) >= 4 {
		code, n := binary.BigEndian.Uint16(options), int(binary.BigEndian.Uint16(options[2:]))
		if 4+n > len(options) {
			return nil
		}
		if code == dns.EDNS0EXPIRE && n == 4 {
			seconds := binary.BigEndian.Uint32(options[4:])
			return &seconds
		}
		options = options[4+n:]
	}
	return nil
}

// origin is how fresh the copy of a primary is that is a secondary itself: for so many
// seconds it may be served yet; nil: it does not say. What comes through several secondaries expires
// when it would at the first one, not by the sum of what each waits (RFC 7314).
type origin struct{ left *uint32 }

// confirmed is when somebody heard from the source of a zone that it is the newest.
func (o origin) confirmed(now time.Time, z *zones.Zone) time.Time {
	if o.left == nil {
		return now
	}
	if spent := timersOf(z).expire - time.Duration(*o.left)*time.Second; spent > 0 {
		return now.Add(-spent)
	}
	return now
}

// longer tells whether there is more time left than of another; one that does not say is
// taken for the source.
func (o origin) longer(than origin) bool {
	switch {
	case than.left == nil:
		return false
	case o.left == nil:
		return true
	}
	return *o.left > *than.left
}
