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
)

// EDNS is what the OPT record of a query says (RFC 6891).
type EDNS struct {
	Present bool
	Version uint8
	UDPSize uint16 // octets that the client can take
	DO      bool   // RFC 3225
	ECS     ECS
}

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
	e.DO = rr[7]&0x80 != 0
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
		if code == dns.EDNS0SUBNET {
			if e.ECS.Present || !e.ECS.parse(opts[4:4+n]) {
				return formErr
			}
		}
		opts = opts[4+n:]
	}
	return ask
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

// extendedError is an RFC 8914 info-code; negative: none.
type extendedError int

const (
	noError     extendedError = -1
	staleAnswer extendedError = 3
	notReady    extendedError = 14
)

// appendOPT adds the OPT record of an answer: RFC 6891, section 6.1.1, and the
// echo of a Client Subnet with its scope (RFC 7871, section 7.2.1).
func appendOPT(out []byte, e *EDNS, size uint16, extendedRcode, scope uint8, ede extendedError) []byte {
	out = append(out, 0, 0, byte(dns.TypeOPT), byte(size>>8), byte(size), extendedRcode, 0, 0, 0, 0, 0)
	if e.DO {
		out[len(out)-4] = 0x80
	}
	at := len(out)
	if e.ECS.Present {
		n := 4 + len(e.ECS.raw)
		out = append(out, 0, dns.EDNS0SUBNET, byte(n>>8), byte(n), byte(e.ECS.Family>>8), byte(e.ECS.Family), e.ECS.Source, scope)
		out = append(out, e.ECS.raw...)
	}
	if ede != noError {
		out = append(out, 0, dns.EDNS0EDE, 0, 2, byte(ede>>8), byte(ede))
	}
	binary.BigEndian.PutUint16(out[at-2:], uint16(len(out)-at))
	return out
}
