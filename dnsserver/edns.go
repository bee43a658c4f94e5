package dnsserver

import (
	"encoding/binary"
	"net/netip"

	"github.com/miekg/dns"
)

const (
	optLen  = 11 // octets of an OPT record without options
	edeLen  = 6  // octets of an Extended DNS Error without text (RFC 8914)
	ecsHead = 8  // option code, length, family and the two prefix lengths

	// In the first octet of the flags.
	flagDO = 0x80
	flagCO = 0x40
)

// EDNS is what the OPT record of a query says (RFC 6891).
type EDNS struct {
	Present bool
	Version uint8
	UDPSize uint16 // octets that the client can take
	DO      bool   // RFC 3225
	CO      bool   // RFC 9824, section 5.1
	ECS     ECS
	Cookie  []byte // the data of the first COOKIE option (RFC 7873), as it came

	asks options // that it has, besides Client Subnet
}

// options is a set of EDNS options.
type options uint8

const (
	askNSID        options = 1 << iota // RFC 5001
	askExpire                          // RFC 7314
	askCookie                          // RFC 7873
	askKeepalive                       // RFC 7828
	askPadding                         // RFC 7830
	askZoneVersion                     // RFC 9660
	badCookie                          // a COOKIE of a length that none has
)

// ednsZoneVersion is the code of the ZONEVERSION option (RFC 9660, section 2).
const ednsZoneVersion = 19

// ECS is a Client Subnet option (RFC 7871, section 6).
type ECS struct {
	Present bool
	Family  uint16     // 1 IPv4, 2 IPv6; 0 only together with Source 0
	Source  uint8      // bits of the address that the client gave
	Addr    netip.Addr // with all bits after Source zero; not valid for Source 0
	raw     []byte     // the address as it came
}

// parse reads an OPT record, owner name first, that is known to be whole.
func (e *EDNS) parse(rr []byte) verdict {
	e.Present = true
	e.UDPSize = binary.BigEndian.Uint16(rr[3:])
	e.Version = rr[6]
	e.DO, e.CO = rr[7]&flagDO != 0, rr[7]&flagCO != 0
	if e.Version != 0 {
		return badVersion
	}
	for opts := rr[optLen:]; len(opts) > 0; {
		if len(opts) < 4 {
			return formErr
		}
		code, n := binary.BigEndian.Uint16(opts), int(binary.BigEndian.Uint16(opts[2:]))
		if 4+n > len(opts) {
			return formErr
		}
		data := opts[4 : 4+n]
		switch code {
		case dns.EDNS0SUBNET:
			if e.ECS.Present || !e.ECS.parse(data) {
				return formErr
			}
		case dns.EDNS0COOKIE:
			e.parseCookie(data)
		case dns.EDNS0NSID: // RFC 5001, section 2.1: whatever is in it
			e.asks |= askNSID
		case dns.EDNS0EXPIRE:
			e.asks |= askExpire
		case dns.EDNS0TCPKEEPALIVE: // with a time that is the server's to tell, if there is one (RFC 7828, section 3.2.1)
			e.asks |= askKeepalive
		case dns.EDNS0PADDING:
			e.asks |= askPadding
		case ednsZoneVersion: // RFC 9660, section 3.2: whatever is in it
			e.asks |= askZoneVersion
		}
		opts = opts[4+n:]
	}
	return ask
}

// parseCookie reads the data of a COOKIE option: a client cookie alone, or with a
// server cookie behind it (RFC 7873, section 4). Only the first option counts
// (section 5.2).
func (e *EDNS) parseCookie(data []byte) {
	if e.asks&askCookie != 0 {
		return
	}
	e.asks |= askCookie
	e.Cookie = data
	if n := len(data) - clientCookieLen; n != 0 && (n < leastServer || n > mostServer) {
		e.asks |= badCookie
	}
}

// parse reads the data of a Client Subnet option and tells whether it is well
// formed (RFC 7871, section 6, and for what is not, section 7.1.2):
//
//	family 1, source <= 32; family 2, source <= 128; family 0, source 0
//	scope 0 in a query
//	exactly the octets that source needs, with zero bits after it
func (s *ECS) parse(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	s.Family, s.Source, s.raw = binary.BigEndian.Uint16(b), b[2], b[4:]
	width := 0
	switch s.Family {
	case 1:
		width = 32
	case 2:
		width = 128
	}
	if int(s.Source) > width || s.Family > 2 || b[3] != 0 || len(s.raw) != (int(s.Source)+7)/8 {
		return false
	}
	if rest := s.Source % 8; rest != 0 && s.raw[len(s.raw)-1]&(0xff>>rest) != 0 {
		return false
	}
	s.Present = true
	if s.Source == 0 {
		return true
	}
	if s.Family == 1 {
		var a [4]byte
		copy(a[:], s.raw)
		s.Addr = netip.AddrFrom4(a)
		return true
	}
	var a [16]byte
	copy(a[:], s.raw)
	s.Addr = netip.AddrFrom16(a).Unmap()
	return true
}

// size is what the option takes in an answer, in octets.
func (s *ECS) size() int {
	if !s.Present {
		return 0
	}
	return ecsHead + len(s.raw)
}
