package dnsserver

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

const (
	optionHead = 4 // octets of code and length
	expireLen  = optionHead + 4
	keepLen    = optionHead + 2
	cookieLen  = optionHead + clientCookieLen + serverCookieLen
	versionLen = optionHead + 2 + 4 // label count, type, serial (RFC 9660, section 2.1)
	padBlock   = 468                // octets, RFC 8467, section 4.1
)

// self is what a server tells of itself.
type self struct {
	version, id string                   // "": nothing
	idle        time.Duration            // that a TCP connection may be
	secrets     *atomic.Pointer[Secrets] // nil: no cookies
	expiry      func(*zones.Zone) (seconds uint32, ok bool)
}

// optionState is what the options of the current query came to.
type optionState struct {
	trusted bool // its server cookie is good: the client is where it says it is
	due     bool // it is to get a new server cookie
	looked  bool // res is of this query
	size    int  // octets of the options that the answer will have, Client Subnet apart
}

// heed takes account of the options of a query, Client Subnet apart, and gives the
// verdict with regard to them. What cannot be read, or was not for this version, is
// not answered with options.
func (w *responder) heed(v verdict, src netip.AddrPort, tcp bool) verdict {
	e := &w.q.EDNS
	if v == formErr || v == badVersion || v == drop {
		e.asks = 0
		return v
	}
	if !tcp { // RFC 7828, section 3.2.2: ignored over UDP
		e.asks &^= askKeepalive
	}
	if w.secrets == nil {
		e.asks &^= askCookie | badCookie
		if v == ping {
			v = formErr
		}
	}
	if e.asks&badCookie != 0 { // RFC 7873, section 5.2.2
		e.asks = 0
		return formErr
	}
	if e.asks&askCookie != 0 {
		w.from = src.Addr().Unmap()
		w.opt.trusted, w.opt.due = w.secrets.Load().good(e.Cookie, w.from, w.seconds.Load())
		w.opt.size += cookieLen
		w.tally.cookie(w.opt.trusted, len(e.Cookie))
	}
	if e.asks&askNSID != 0 && len(w.id) > 0 {
		w.opt.size += optionHead + len(w.id)
	}
	if e.asks&askKeepalive != 0 {
		w.opt.size += keepLen
	}
	if e.asks&askExpire != 0 {
		w.opt.size += expireLen
	}
	if e.asks&askZoneVersion != 0 {
		w.opt.size += versionLen
	}
	return v
}

// appendOPT adds the OPT record of an answer: RFC 6891, section 6.1.1, and the
// echo of a Client Subnet with its scope (RFC 7871, section 7.2.1).
func (w *responder) appendOPT(out []byte, extendedRcode uint8, ede extendedError) []byte {
	e, size := &w.q.EDNS, w.limits.udpSize
	out = append(out, 0, 0, byte(dns.TypeOPT), byte(size>>8), byte(size), extendedRcode, 0, 0, 0, 0, 0)
	if e.DO {
		out[len(out)-4] = flagDO
	}
	if e.CO && w.opt.looked && w.res.Zone.Compact() { // whether or not there was time for a proof
		out[len(out)-4] |= flagCO
	}
	at := len(out)
	if e.ECS.Present {
		n := 4 + len(e.ECS.raw)
		out = append(out, 0, dns.EDNS0SUBNET, byte(n>>8), byte(n), byte(e.ECS.Family>>8), byte(e.ECS.Family), e.ECS.Source, w.scope)
		out = append(out, e.ECS.raw...)
	}
	if ede != noError {
		out = append(out, 0, dns.EDNS0EDE, 0, 2, byte(ede>>8), byte(ede))
	}
	if e.asks != 0 {
		out = w.appendOptions(out)
	}
	binary.BigEndian.PutUint16(out[at-2:], uint16(len(out)-at))
	return out
}

// appendOptions adds the options that a query asks for, padding last.
func (w *responder) appendOptions(out []byte) []byte {
	asks := w.q.EDNS.asks
	if asks&askNSID != 0 && len(w.id) > 0 {
		out = append(out, 0, dns.EDNS0NSID, 0, byte(len(w.id)))
		out = append(out, w.id...)
	}
	if asks&askCookie != 0 {
		out = w.appendCookieOption(out)
	}
	if asks&askKeepalive != 0 {
		out = append(out, 0, dns.EDNS0TCPKEEPALIVE, 0, 2)
		out = binary.BigEndian.AppendUint16(out, uint16(w.idle/(100*time.Millisecond)))
	}
	// Of the zone that holds the name asked for, wherever a chain of aliases leads, since the
	// count of labels is of that name's (RFC 9660, section 2.1); not of one that only refers to another.
	if z := w.res.Asked; z != nil && w.res.Authoritative && w.opt.looked {
		if asks&askExpire != 0 && w.q.Type == dns.TypeSOA && len(w.q.Name.Wire()) == len(z.Apex()) { // RFC 7314, section 3
			out = append(out, 0, dns.EDNS0EXPIRE, 0, 4)
			out = binary.BigEndian.AppendUint32(out, w.expires(z))
		}
		if asks&askZoneVersion != 0 { // RFC 9660, section 2.1; type 0 is SOA-SERIAL
			out = append(out, 0, ednsZoneVersion, 0, 6, z.Labels(), 0)
			out = binary.BigEndian.AppendUint32(out, z.Serial)
		}
	}
	if asks&askPadding != 0 && w.encrypted {
		out = pad(out)
	}
	return out
}

// expires is for how long a zone may be served, in seconds: what is left of it for
// a copy, else what its SOA gives to others (RFC 7314, section 2).
func (w *responder) expires(z *zones.Zone) uint32 {
	if w.expiry != nil {
		if left, ok := w.expiry(z); ok {
			return left
		}
	}
	return z.Expire()
}

// pad fills a message up to a multiple of the block with a Padding option (RFC
// 7830; RFC 8467, section 4.1), if that is not more than a message can have.
func pad(out []byte) []byte {
	whole := (len(out) + optionHead + padBlock - 1) / padBlock * padBlock
	whole = min(whole, maxMessage, cap(out))
	n := whole - len(out) - optionHead
	if n < 0 {
		return out
	}
	out = append(out, 0, dns.EDNS0PADDING, byte(n>>8), byte(n))
	at := len(out)
	out = out[:at+n]
	clear(out[at:])
	return out
}
