package zones

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/miekg/dns"
)

// readData reads a record's data into wire form.
func (f *masterFile) readData(fields []token) bool {
	layout := layoutOf(f.rrtype)
	if len(fields) > 0 && !fields[0].quoted && string(f.raw(fields[0])) == `\#` {
		return f.readGeneric(fields)
	}
	if layout == nil {
		return f.readOther(fields)
	}
	for i := range layout {
		if len(fields) == 0 && layout[i].shape != typeBitmap {
			return f.fail(f.end(), "the %s is missing", layout[i].name)
		}
		if layout[i].shape >= hexData || layout[i].shape == charStrings {
			return f.readRest(&layout[i], fields)
		}
		if !f.readField(&layout[i], fields[0]) {
			return false
		}
		fields = fields[1:]
	}
	if len(fields) > 0 {
		hint := ""
		if last := layout[len(layout)-1].shape; last == longText {
			hint = "; a text with blanks needs quotes"
		}
		return f.fail(fields[0].start, "%q is one field too many%s", f.raw(fields[0]), hint)
	}
	return true
}

// readField reads a field that is one token.
func (f *masterFile) readField(fd *field, t token) bool {
	s, data, ok, want := f.raw(t), f.data, false, ""
	if t.quoted && fd.shape != charString && fd.shape != longText && fd.shape != word {
		return f.fail(t.start, "the %s stands without quotes", fd.name)
	}
	switch fd.shape {
	case ipv4:
		data, ok = appendIPv4(data, s)
		want = "is not an IPv4 address"
		if !ok && bytes.IndexByte(s, ':') >= 0 {
			want += ": AAAA records hold IPv6 ones"
		}
	case ipv6:
		data, ok = appendIPv6(data, s)
		want = "is not an IPv6 address"
		if _, v4 := appendIPv4(nil, s); !ok && v4 {
			want += ": A records hold IPv4 ones"
		}
	case domain:
		data, want = appendName(data, s, f.origin, t.escaped)
		ok = want == ""
	case octet, number16, number32, coveredType, algorithm, seconds, instant:
		data, ok, want = appendNumber(data, fd.shape, s)
	case charString, word, longText:
		return f.readText(fd, t)
	case salt:
		if string(s) != "-" {
			return f.readCoded(fd, t, len(s)/2, func(dst []byte) ([]byte, error) { return hex.AppendDecode(dst, s) }, "hexadecimal, or - for none")
		}
		data, ok = append(data, 0), true
	case base32Hash:
		f.scratch = append(f.scratch[:0], s...)
		upperCase(f.scratch, s)
		return f.readCoded(fd, t, len(s)*5/8, func(dst []byte) ([]byte, error) {
			return base32.HexEncoding.WithPadding(base32.NoPadding).AppendDecode(dst, f.scratch)
		}, "base32 with extended hexadecimal digits (RFC 4648, section 7)")
	}
	f.data = data
	if !ok {
		return f.fail(t.start, "%s %q %s", fd.name, s, want)
	}
	return true
}

// readCoded reads data with its length in front.
func (f *masterFile) readCoded(fd *field, t token, size int, decode func([]byte) ([]byte, error), want string) bool {
	if size == 0 || size > 255 {
		return f.fail(t.start, "%s %q has %d octets: 1 to 255", fd.name, f.raw(t), size)
	}
	data, err := decode(append(f.data, byte(size)))
	if err != nil {
		return f.fail(t.start, "%s %q is not %s", fd.name, f.raw(t), want)
	}
	f.data = data
	return true
}

// appendNumber appends a number in as many octets as its shape has.
func appendNumber(dst []byte, s shape, text []byte) (out []byte, ok bool, want string) {
	var v uint64
	switch s {
	case octet:
		v, ok = decimal(text, 1<<8-1)
		return append(dst, byte(v)), ok, "is not a number from 0 to 255"
	case number16:
		v, ok = decimal(text, 1<<16-1)
		return binary.BigEndian.AppendUint16(dst, uint16(v)), ok, "is not a number from 0 to 65535"
	case number32:
		v, ok = decimal(text, 1<<32-1)
		return binary.BigEndian.AppendUint32(dst, uint32(v)), ok, "is not a number from 0 to 4294967295"
	case seconds:
		v, ok := period(text)
		return binary.BigEndian.AppendUint32(dst, v), ok, "is not a time: seconds, such as 300, or with units, such as 1h30m"
	case instant:
		v, ok := signatureTime(text)
		return binary.BigEndian.AppendUint32(dst, v), ok, "is not a time: YYYYMMDDHHmmSS, or seconds since 1970"
	case coveredType:
		v, ok := typeOf(text)
		return binary.BigEndian.AppendUint16(dst, v), ok, "is not a record type"
	}
	if v, ok = decimal(text, 1<<8-1); ok {
		return append(dst, byte(v)), true, ""
	}
	a, ok := dns.StringToAlgorithm[string(bytes.ToUpper(text))]
	return append(dst, a), ok, "is neither a number from 0 to 255 nor the name of a DNSSEC algorithm"
}

// readText reads a text that is one token.
func (f *masterFile) readText(fd *field, t token) bool {
	start := len(f.data)
	if fd.shape != longText {
		f.data = append(f.data, 0)
	}
	var flaw string
	f.data, flaw = appendText(f.data, f.raw(t), t.escaped)
	if flaw != "" {
		return f.fail(t.start, "%s %q %s", fd.name, f.raw(t), flaw)
	}
	if fd.shape == longText {
		return true
	}
	text := f.data[start+1:]
	if len(text) > 255 {
		return f.fail(t.start, "the %s has %d octets: at most 255", fd.name, len(text))
	}
	f.data[start] = byte(len(text))
	if fd.shape == word && (len(text) == 0 || bytes.ContainsFunc(text, func(r rune) bool {
		return !(r < 0x80 && isDigit(byte(r))) && !('a' <= r|0x20 && r|0x20 <= 'z')
	})) {
		return f.fail(t.start, "%s %q is not of letters and digits", fd.name, text)
	}
	return true
}

// readRest reads a field that goes on to the end of the record.
func (f *masterFile) readRest(fd *field, fields []token) bool {
	switch fd.shape {
	case charStrings:
		return f.readTexts(fd, fields)
	case typeBitmap:
		return f.readBitmap(fd, fields)
	}
	f.scratch = f.scratch[:0]
	for _, t := range fields {
		if t.quoted {
			return f.fail(t.start, "the %s stands without quotes", fd.name)
		}
		f.scratch = append(f.scratch, f.raw(t)...)
	}
	var err error
	if fd.shape == hexData {
		if f.data, err = hex.AppendDecode(f.data, f.scratch); err != nil {
			return f.fail(fields[0].start, "the %s is not hexadecimal, two digits for each octet: %v", fd.name, err)
		}
		return true
	}
	if f.data, err = base64.StdEncoding.AppendDecode(f.data, f.scratch); err != nil {
		return f.fail(fields[0].start, "the %s is not in base64: %v", fd.name, err)
	}
	return true
}

// readTexts reads one or more texts. One that is longer than a
// <character-string> can be becomes several, which is what those who write
// long keys mean.
func (f *masterFile) readTexts(fd *field, fields []token) bool {
	for _, t := range fields {
		var flaw string
		if f.scratch, flaw = appendText(f.scratch[:0], f.raw(t), t.escaped); flaw != "" {
			return f.fail(t.start, "%s %q %s", fd.name, f.raw(t), flaw)
		}
		for s := f.scratch; ; {
			n := min(len(s), 255)
			f.data = append(append(f.data, byte(n)), s[:n]...)
			if s = s[n:]; len(s) == 0 {
				break
			}
		}
	}
	return true
}

// readBitmap reads record types into the bitmap of RFC 4034, section 4.1.2.
func (f *masterFile) readBitmap(fd *field, fields []token) bool {
	f.types = f.types[:0]
	for _, t := range fields {
		rrtype, ok := typeOf(f.raw(t))
		if !ok || t.quoted {
			return f.fail(t.start, "%q among the %s is not a record type", f.raw(t), fd.name)
		}
		f.types = append(f.types, rrtype)
	}
	slices.Sort(f.types)
	for i := 0; i < len(f.types); {
		window := byte(f.types[i] >> 8)
		f.data = append(f.data, window, 0)
		start := len(f.data)
		for ; i < len(f.types) && byte(f.types[i]>>8) == window; i++ {
			low := byte(f.types[i])
			for len(f.data)-start <= int(low>>3) {
				f.data = append(f.data, 0)
			}
			f.data[start+int(low>>3)] |= 0x80 >> (low & 7)
		}
		f.data[start-1] = byte(len(f.data) - start)
	}
	return true
}
