package balancer

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// What SendProxy may be.
const (
	ProxyV1 = "v1"
	ProxyV2 = "v2"
)

// proxyMost is more than any header has that is sent here.
const proxyMost = 128

// proxySignature begins a header of version 2.
const proxySignature = "\r\n\r\n\x00\r\nQUIT\n"

// appendProxy appends the header of the PROXY protocol that tells a server of its
// client (the specification by HAProxy, sections 2.1 and 2.2).
func appendProxy(b []byte, version string, from flow) []byte {
	client, local := from.client, from.local
	four := client.Addr().Is4()
	if !client.IsValid() || !local.IsValid() || four != local.Addr().Is4() {
		return append(b, proxyLocal(version)...) // nothing that the header could say
	}
	if version == ProxyV1 {
		family := "TCP6"
		if four {
			family = "TCP4"
		}
		return fmt.Appendf(b, "PROXY %s %s %s %d %d\r\n", family, client.Addr().WithZone(""), local.Addr().WithZone(""), client.Port(), local.Port())
	}
	b = append(b, proxySignature...)
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

// proxyLocal is the header of a connection that is nobody's but ours, such as a
// check's; empty without a version.
func proxyLocal(version string) string {
	switch version {
	case ProxyV1:
		return "PROXY UNKNOWN\r\n"
	case ProxyV2:
		return proxySignature + "\x20\x00\x00\x00"
	}
	return ""
}

func (c Config) validateSendProxy(bad func(key, msg string)) {
	switch {
	case c.SendProxy == "":
	case c.SendProxy != ProxyV1 && c.SendProxy != ProxyV2:
		bad("send_proxy", fmt.Sprintf("%q: must be %s", c.SendProxy, strings.Join([]string{ProxyV1, ProxyV2}, " or ")))
	case c.inKernel() || c.Protocol == UDP:
		bad("send_proxy", fmt.Sprintf("is for plane %q and protocol %q alone", PlaneProxy, TCP))
	}
}
