package zones

import "time"

// Serial says what happens to the serial number of a zone's SOA when the zone is
// signed here.
type Serial string

const (
	// KeepSerial leaves it as it came: for zones that nobody transfers. Signatures
	// are renewed under the same number.
	KeepSerial Serial = "keep"
	// IncrementSerial takes the number that came if it is newer than the last one, and
	// else adds one to that.
	IncrementSerial Serial = "increment"
	// UnixTimeSerial makes it the time of signing, in seconds since 1970.
	UnixTimeSerial Serial = "unixtime"
)

// next is the serial number of a zone that is signed now. last is the one that it
// was served with before; without it known is false. The next one is always newer.
func (s Serial) next(z *Zone, now time.Time, last uint32, known bool) uint32 {
	if s != IncrementSerial && s != UnixTimeSerial {
		return z.Serial
	}
	if !known {
		last = z.Serial
	}
	if t := uint32(now.Unix()); s == UnixTimeSerial && newerSerial(t, last) && newerSerial(t, z.Serial) {
		return t
	}
	switch {
	case s == IncrementSerial && z.signing == nil && (!known || newerSerial(z.Serial, last)):
		return z.Serial
	case newerSerial(z.Serial, last):
		last = z.Serial
	}
	if last++; last == 0 { // RFC 1982 has it, but many take it for none
		last = 1
	}
	return last
}

// newerSerial compares serial numbers (RFC 1982, section 3.2).
func newerSerial(a, b uint32) bool { return int32(a-b) > 0 }
