package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
)

var (
	four  = netip.MustParseAddrPort("192.0.2.1:51000")
	four2 = netip.MustParseAddrPort("198.51.100.7:443")
	six   = netip.MustParseAddrPort("[2001:db8::1]:51000")
	six2  = netip.MustParseAddrPort("[2001:db8::2]:443")
)

func TestAppend(t *testing.T) {
	for _, test := range []struct {
		version       string
		client, local netip.AddrPort
		want          string
	}{
		{V1, four, four2, "PROXY TCP4 192.0.2.1 198.51.100.7 51000 443\r\n"},
		{V1, six, six2, "PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\n"},
		{V1, four, six2, "PROXY UNKNOWN\r\n"},
		{V2, four, four2, Signature + "\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x07\xc7\x38\x01\xbb"},
		{V2, six, six2, Signature + "\x21\x21\x00\x24\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x02\xc7\x38\x01\xbb"},
		{V2, netip.AddrPort{}, four2, Signature + "\x20\x00\x00\x00"},
	} {
		got := Append(nil, test.version, test.client, test.local)
		if string(got) != test.want || len(got) > MostSent {
			t.Errorf("%s %v %v: %q, want %q", test.version, test.client, test.local, got, test.want)
		}
		h, n, err := Parse(append(got, "rest"...), 4096)
		if strings.HasPrefix(test.want, Local(test.version)) {
			if err != nil || n != len(got) || h.Client.IsValid() {
				t.Errorf("%q is read as %v, %d, %v", got, h, n, err)
			}
		} else if err != nil || n != len(got) || h.Client != test.client || h.Local != test.local {
			t.Errorf("%q is read as %v, %d, %v", got, h, n, err)
		}
	}
	longest := netip.MustParseAddrPort("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%eth0]:65535")
	if got := Append(nil, V1, longest, longest); len(got) > MostLine {
		t.Errorf("%d octets: %s", len(got), got)
	}
}

// withTLVs appends TLVs to a header of version 2, and makes its length right.
func withTLVs(header []byte, tlvs ...byte) []byte {
	b := append(bytes.Clone(header), tlvs...)
	binary.BigEndian.PutUint16(b[14:], uint16(len(b)-Head))
	return b
}

// withChecksum has a checksum among its TLVs.
func withChecksum(header []byte) []byte {
	b := withTLVs(header, 0xe0, 0, 1, 7, 0x03, 0, 4, 0, 0, 0, 0, 0xe1, 0, 0)
	at := len(header) + 7
	binary.BigEndian.PutUint32(b[at:], checksum(b, at))
	return b
}

func TestParse(t *testing.T) {
	good, good6 := Append(nil, V2, four, four2), Append(nil, V2, six, six2)
	change := func(b []byte, at int, to byte) []byte { b = bytes.Clone(b); b[at] = to; return b }
	whole, nothing := Header{four, four2}, Header{}
	for name, c := range map[string]struct {
		header []byte
		want   Header
		err    error
	}{
		"v2, IPv4":               {good, whole, nil},
		"v2, IPv6":               {good6, Header{six, six2}, nil},
		"v2, TLVs":               {withTLVs(good, 0xe0, 0, 1, 7), whole, nil},
		"v2, TLVs cut short":     {withTLVs(good, 0xe0, 0, 9, 7), whole, nil},
		"v2, checksum":           {withChecksum(good), whole, nil},
		"v2, checksum, IPv6":     {withChecksum(good6), Header{six, six2}, nil},
		"v2, wrong checksum":     {change(withChecksum(good), Head, 9), nothing, ErrHeader},
		"v2, checksum, no room":  {withTLVs(good, 0x03, 0, 2, 0, 0), nothing, ErrHeader},
		"v2, LOCAL":              {change(good, 12, 0x20), nothing, nil},
		"v2, unspecified family": {change(good, 13, 0x00), nothing, nil},
		"v2, version 1":          {change(good, 12, 0x11), nothing, ErrHeader},
		"v2, unknown command":    {change(good, 12, 0x22), nothing, ErrHeader},
		"v2, unknown protocol":   {change(good, 13, 0x13), nothing, ErrHeader},
		"v2, unix":               {change(good, 13, 0x31), nothing, ErrHeader},
		"v2, short for IPv6":     {change(good, 13, 0x21), nothing, ErrHeader},
		"v2, bad signature":      {change(good, 11, 0), nothing, ErrHeader},
		"v2, too long":           {withTLVs(good, make([]byte, 600)...), nothing, ErrHeader},
		"v1, IPv4":               {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7 51000 443\r\n"), whole, nil},
		"v1, IPv6":               {[]byte("PROXY TCP6 2001:db8::1 2001:db8::2 51000 443\r\n"), Header{six, six2}, nil},
		"v1, unknown":            {[]byte("PROXY UNKNOWN\r\n"), nothing, nil},
		"v1, unknown, and words": {[]byte("PROXY UNKNOWN what ever 1 2 3\r\n"), nothing, nil},
		"v1, wrong family":       {[]byte("PROXY TCP6 192.0.2.1 198.51.100.7 51000 443\r\n"), nothing, ErrHeader},
		"v1, no such family":     {[]byte("PROXY UDP4 192.0.2.1 198.51.100.7 51000 443\r\n"), nothing, ErrHeader},
		"v1, two spaces":         {[]byte("PROXY TCP4  192.0.2.1 198.51.100.7 51000 443\r\n"), nothing, ErrHeader},
		"v1, a word too many":    {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7 51000 443 1\r\n"), nothing, ErrHeader},
		"v1, port":               {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n"), nothing, ErrHeader},
		"v1, port begins with 0": {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7 051 443\r\n"), nothing, ErrHeader},
		"v1, no port":            {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7  443\r\n"), nothing, ErrHeader},
		"v1, zone":               {[]byte("PROXY TCP6 fe80::1%eth0 2001:db8::2 51000 443\r\n"), nothing, ErrHeader},
		"v1, line feed alone":    {[]byte("PROXY TCP4 192.0.2.1 198.51.100.7 51000 443\n" + strings.Repeat("x", 100)), nothing, ErrHeader},
		"v1, no end":             {[]byte("PROXY TCP4 " + strings.Repeat("x", 100)), nothing, ErrHeader},
		"v1, nothing":            {[]byte("PROXY\r\n"), nothing, ErrHeader},
		"another protocol":       {[]byte("GET / HTTP/1.1\r\n"), nothing, ErrHeader},
		"another method":         {[]byte("POST / HTTP/1.1\r\n"), nothing, ErrHeader},
		"TLS":                    {[]byte("\x16\x03\x01\x02\x00\x01\x00"), nothing, ErrHeader},
	} {
		h, n, err := Parse(append(bytes.Clone(c.header), "xyz"...), 512)
		if h != c.want || !errors.Is(err, c.err) || err == nil && n != len(c.header) {
			t.Errorf("%s: %v, %d octets, %v; want %v, %d, %v", name, h, n, err, c.want, len(c.header), c.err)
		}
		if c.err != nil {
			continue
		}
		for short := range c.header { // it comes octet by octet
			if h, n, err := Parse(c.header[:short], 512); err != ErrShort || n != 0 || h != nothing {
				t.Errorf("%s, %d octets: %v, %d, %v", name, short, h, n, err)
			}
		}
	}
	if n := testing.AllocsPerRun(100, func() { ParseV2(good) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What is read means the same in whatever pieces it comes, and is written as it was read.
func FuzzParse(f *testing.F) {
	for _, s := range [][]byte{Append(nil, V1, four, four2), Append(nil, V1, six, six2), withChecksum(Append(nil, V2, six, six2)),
		withTLVs(Append(nil, V2, four, four2), 0x20, 0, 3, 1, 2, 3), []byte(Local(V1)), []byte(Local(V2)), []byte("PROXY TCP6 ::ffff:1.2.3.4 :: 1 2\r\n")} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		const most = 512
		h, n, err := Parse(b, most)
		if err != nil {
			if n != 0 || h != (Header{}) {
				t.Errorf("%q: %v, %d with %v", b, h, n, err)
			}
			if err == ErrShort && len(b) >= most {
				t.Errorf("%q: %d octets are not enough", b, len(b))
			}
			return
		}
		if n > len(b) || n > most || h.Client.IsValid() != h.Local.IsValid() {
			t.Fatalf("%q: %v, %d", b, h, n)
		}
		for short := range n {
			if _, _, err := Parse(b[:short], most); err != ErrShort {
				t.Errorf("%q: %v with %d octets of %d", b, err, short, n)
			}
		}
		if got, again, err := Parse(Append(nil, V2, h.Client, h.Local), most); h.Client.Addr().Is4() == h.Local.Addr().Is4() && (err != nil || got != h || again == 0) {
			t.Errorf("%q: %v is written so that it is read as %v, %v", b, h, got, err)
		}
	})
}
