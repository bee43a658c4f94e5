package dnsserver

import (
	"encoding/binary"

	"github.com/miekg/dns"

	"gslb/zones"
)

// chaosTexts are the names of class CHAOS by which servers are asked about
// themselves (RFC 4892), in wire form, and the kind of text that each is for.
var chaosTexts = []struct {
	name string
	id   bool // the server's identity, not its version
}{
	{"\x07version\x04bind\x00", false},
	{"\x07version\x06server\x00", false},
	{"\x02id\x06server\x00", true},
	{"\x08hostname\x04bind\x00", true},
}

// chaos answers a question of class CHAOS: for the texts that configuration gives,
// REFUSED else.
func (w *responder) chaos(msg, out []byte) []byte {
	if w.q.Type == dns.TypeTXT || w.q.Type == dns.TypeANY {
		for _, c := range chaosTexts {
			if string(w.q.Name.Wire()) != c.name {
				continue
			}
			text := w.version
			if c.id {
				text = w.id
			}
			if text != "" {
				out = w.start(msg, out)
				return w.finish(out, appendText(out, text), zones.Counts{Answer: 1}, dns.RcodeSuccess, true, false, noError)
			}
		}
	}
	return w.refuse(dns.RcodeRefused, msg, out, notSupported)
}

// appendText adds a TXT record of class CHAOS for the name that was asked for.
func appendText(out []byte, text string) []byte {
	out = append(out, 0xc0, headerLen, 0, byte(dns.TypeTXT), 0, dns.ClassCHAOS, 0, 0, 0, 0)
	out = binary.BigEndian.AppendUint16(out, uint16(1+len(text)))
	out = append(out, byte(len(text)))
	return append(out, text...)
}
