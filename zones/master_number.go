package zones

import (
	"encoding/binary"
	"time"
)

// decimal reads a number of decimal digits up to most.
func decimal(s []byte, most uint64) (uint64, bool) {
	if len(s) == 0 || len(s) > 19 {
		return 0, false
	}
	var v uint64
	for _, c := range s {
		if !isDigit(c) {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, v <= most
}

// period reads a time in seconds, with units as people write them: 90, 1h30m, 2W.
func period(s []byte) (uint32, bool) {
	var sum, v uint64
	digits := false
	for _, c := range s {
		if isDigit(c) {
			if v = v*10 + uint64(c-'0'); v > 1<<32 {
				return 0, false
			}
			digits = true
			continue
		}
		unit := uint64(0)
		switch c | 0x20 {
		case 's':
			unit = 1
		case 'm':
			unit = 60
		case 'h':
			unit = 60 * 60
		case 'd':
			unit = 24 * 60 * 60
		case 'w':
			unit = 7 * 24 * 60 * 60
		}
		if unit == 0 || !digits {
			return 0, false
		}
		sum, v, digits = sum+v*unit, 0, false
		if sum > 1<<32 {
			return 0, false
		}
	}
	sum += v
	return uint32(sum), sum < 1<<32 && len(s) > 0
}

// signatureTime reads when a signature begins or ends (RFC 4034, section 3.2):
// YYYYMMDDHHmmSS, or seconds since 1970, either modulo 2^32.
func signatureTime(s []byte) (uint32, bool) {
	if len(s) != 14 {
		v, ok := decimal(s, 1<<32-1)
		return uint32(v), ok
	}
	var part [6]int
	for i, at := range [...]int{0, 4, 6, 8, 10, 12} {
		end := at + 2
		if i == 0 {
			end = 4
		}
		v, ok := decimal(s[at:end], 9999)
		if !ok {
			return 0, false
		}
		part[i] = int(v)
	}
	at := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], 0, time.UTC)
	year, month, day := at.Date()
	if year != part[0] || int(month) != part[1] || day != part[2] || part[3] > 23 || part[4] > 59 || part[5] > 59 {
		return 0, false // no such day or hour
	}
	return uint32(at.Unix()), true
}

// appendIPv4 appends an address in dotted decimal.
func appendIPv4(dst, s []byte) ([]byte, bool) {
	start := len(dst)
	for n := 0; ; n++ {
		v, digits := 0, 0
		for digits < len(s) && isDigit(s[digits]) && digits < 4 {
			v = v*10 + int(s[digits]-'0')
			digits++
		}
		if digits == 0 || v > 255 || digits > 1 && s[0] == '0' {
			return dst[:start], false
		}
		dst, s = append(dst, byte(v)), s[digits:]
		if n == 3 {
			return dst, len(s) == 0
		}
		if len(s) == 0 || s[0] != '.' {
			return dst[:start], false
		}
		s = s[1:]
	}
}

// appendIPv6 appends an address in the text form of RFC 4291, section 2.2.
func appendIPv6(dst, s []byte) ([]byte, bool) {
	start, gap := len(dst), -1 // where :: stands
	if len(s) >= 2 && s[0] == ':' {
		if s[1] != ':' {
			return dst, false
		}
		gap, s = 0, s[2:]
	}
	for len(s) > 0 {
		n := len(dst) - start
		if n >= 16 {
			return dst[:start], false
		}
		group, digits := 0, 0
		for digits < len(s) && digits < 5 {
			d := hexDigit(s[digits])
			if d < 0 {
				break
			}
			group = group<<4 | d
			digits++
		}
		if digits == 0 || digits > 4 {
			return dst[:start], false
		}
		if digits < len(s) && s[digits] == '.' { // an IPv4 address in its last 32 bits
			var ok bool
			if n > 12 || n != 12 && gap < 0 {
				return dst[:start], false
			}
			if dst, ok = appendIPv4(dst, s); !ok {
				return dst[:start], false
			}
			s = nil
			break
		}
		dst, s = binary.BigEndian.AppendUint16(dst, uint16(group)), s[digits:]
		if len(s) == 0 {
			break
		}
		if s[0] != ':' || len(s) == 1 {
			return dst[:start], false
		}
		if s = s[1:]; s[0] == ':' {
			if gap >= 0 {
				return dst[:start], false
			}
			gap, s = len(dst)-start, s[1:]
		}
	}
	return fillGap(dst, start, gap)
}

// fillGap puts zeros where :: stood in the address that begins at start.
func fillGap(dst []byte, start, gap int) ([]byte, bool) {
	n := len(dst) - start
	if gap < 0 {
		return dst, n == 16
	}
	if n >= 16 {
		return dst[:start], false
	}
	var zeros [16]byte
	dst = append(dst, zeros[:16-n]...)
	copy(dst[start+gap+16-n:], dst[start+gap:start+n])
	clear(dst[start+gap : start+gap+16-n])
	return dst, true
}

// hexDigit gives the value of a hexadecimal digit; -1: it is none.
func hexDigit(c byte) int {
	switch {
	case isDigit(c):
		return int(c - '0')
	case 'a' <= c|0x20 && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}
