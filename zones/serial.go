package zones

import "time"

// Serial says what happens to the serial number of a zone's SOA when the zone is
// signed here.
type Serial string

const (
	// KeepSerial leaves it as it came: for zones that nobody transfers. Signatures
	// are renewed under the same number.
	KeepSerial Serial = "keep"
	// IncrementSerial adds one for each signing since the start. After a start it
	// begins with the number that came, so secondary servers need a higher one there.
	IncrementSerial Serial = "increment"
	// UnixTimeSerial makes it the time of signing, in seconds since 1970.
	UnixTimeSerial Serial = "unixtime"
)

// next is the serial number of a zone that is signed now.
func (s Serial) next(z *Zone, now time.Time) uint32 {
	switch s {
	case IncrementSerial, UnixTimeSerial:
		if s == UnixTimeSerial {
			if t := uint32(now.Unix()); int32(t-z.Serial) > 0 { // RFC 1982
				return t
			}
		}
		if z.signing != nil || s == UnixTimeSerial {
			if n := z.Serial + 1; n != 0 {
				return n
			}
			return 1
		}
	}
	return z.Serial
}
