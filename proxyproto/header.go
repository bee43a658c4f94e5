// Package proxyproto is the PROXY protocol of HAProxy's proxy-protocol.txt, versions 1
// and 2: the header with which a front end tells a server of its client. It reads
// and writes bytes that it is given, and does no I/O.
package proxyproto

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The versions that there are.
const (
	V1 = "v1" // a line of text (section 2.1)
	V2 = "v2" // binary (section 2.2)
)

// MostSent is more than any header has that Append makes.
const MostSent = 128

// Signature begins a header of version 2.
const Signature = "\r\n\r\n\x00\r\nQUIT\n"

// MostLine bounds a header of version 1, its end included (section 2.1).
const MostLine = 107

// Append appends the header that tells a server of a client, and of where that
// connected to. If either is not valid, or they are of two families, the header
// says nothing of them: it is that of a local connection.
func Append(b []byte, version string, client, local netip.AddrPort) []byte {
	four := client.Addr().Is4()
	if !client.IsValid() || !local.IsValid() || four != local.Addr().Is4() {
		return append(b, Local(version)...)
	}
	if version == V1 {
		family := "TCP6"
		if four {
			family = "TCP4"
		}
		return fmt.Appendf(b, "PROXY %s %s %s %d %d\r\n", family, client.Addr().WithZone(""), local.Addr().WithZone(""), client.Port(), local.Port())
	}
	b = append(b, Signature...)
	b = append(b, 0x21) // version 2, PROXY
	if four {
		b = append(b, 0x11, 0, 12) // TCP over IPv4
	} else {
		b = append(b, 0x21, 0, 36)
	}
	b = append(b, client.Addr().AsSlice()...)
	b = append(b, local.Addr().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, client.Port())
	return binary.BigEndian.AppendUint16(b, local.Port())
}

// Local is the header of a connection that is nobody's but the sender's own, such as
// a check's; empty without a version.
func Local(version string) string {
	switch version {
	case V1:
		return "PROXY UNKNOWN\r\n"
	case V2:
		return Signature + "\x20\x00\x00\x00"
	}
	return ""
}
