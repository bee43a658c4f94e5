package zones

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// rdata packs the data of rr without compression, and checks that it is whole:
// data in the generic form of RFC 3597 may say anything.
func rdata(rr dns.RR) ([]byte, error) {
	rrtype := rr.Header().Rrtype
	if rrtype == 0 || rrtype == dns.TypeOPT || rrtype >= 128 && rrtype <= 255 {
		return nil, fmt.Errorf("is a type for questions or messages only: it cannot stand in a zone (RFC 6895, section 3.1)")
	}
	buf := make([]byte, dns.Len(rr)+dnsname.Max)
	for {
		n, err := dns.PackRR(rr, buf, 0, nil, false)
		if err != nil {
			if len(buf) < 1<<17 {
				buf = make([]byte, 2*len(buf))
				continue
			}
			return nil, fmt.Errorf("cannot be packed: %w", err)
		}
		off := 0
		for buf[off] != 0 {
			off += 1 + int(buf[off])
		}
		off += 1 + 8 // root label, type, class, TTL
		size := int(binary.BigEndian.Uint16(buf[off:]))
		if off+2+size != n {
			return nil, fmt.Errorf("has data of %d octets: at most 65535", n-off-2)
		}
		data := bytes.Clone(buf[off+2 : n])
		return data, checkData(rrtype, data)
	}
}

// dataShape is what data of a type consists of, as far as it must hold names
// or have an exact length.
type dataShape struct {
	before, names, after int
}

var dataShapes = map[uint16]dataShape{
	dns.TypeA: {before: 4}, dns.TypeAAAA: {before: 16},
	dns.TypeNS: {names: 1}, dns.TypeCNAME: {names: 1}, dns.TypeDNAME: {names: 1}, dns.TypePTR: {names: 1},
	dns.TypeMB: {names: 1}, dns.TypeMD: {names: 1}, dns.TypeMF: {names: 1}, dns.TypeMG: {names: 1}, dns.TypeMR: {names: 1},
	dns.TypeMINFO: {names: 2}, dns.TypeRP: {names: 2}, dns.TypeSOA: {names: 2, after: 20},
	dns.TypeMX: {before: 2, names: 1}, dns.TypeKX: {before: 2, names: 1}, dns.TypeRT: {before: 2, names: 1}, dns.TypeAFSDB: {before: 2, names: 1},
	dns.TypeSRV: {before: 6, names: 1}, TypeALIAS: {names: 1},
}

// checkData tells what is wrong with the data of a record.
func checkData(rrtype uint16, data []byte) error {
	if shape, ok := dataShapes[rrtype]; ok {
		if !shape.fits(data) {
			return fmt.Errorf("has data that is not one of its type: %d octets, %x", len(data), data)
		}
		return nil
	}
	if rrtype == dns.TypeRRSIG && (len(data) < 18 || dnsname.Len(data[18:]) < 0) { // RFC 4034, section 3.1
		return fmt.Errorf("has data that is not one of its type: %d octets, %x", len(data), data)
	}
	newRR, known := dns.TypeToRR[rrtype]
	if !known || rrtype == dns.TypeNULL || rrtype == dns.TypeAPL {
		return nil // any data will do
	}
	h := dns.RR_Header{Name: ".", Rrtype: rrtype, Class: dns.ClassINET, Rdlength: uint16(len(data))}
	if _, n, err := dns.UnpackRRWithHeader(h, data, 0); err != nil || n != len(data) || len(data) == 0 {
		return fmt.Errorf("has data that is not one of its type, %T: %d octets, %x", newRR(), len(data), data)
	}
	return nil
}

func (s dataShape) fits(data []byte) bool {
	if len(data) < s.before {
		return false
	}
	data = data[s.before:]
	for range s.names {
		n := dnsname.Len(data)
		if n < 0 {
			return false
		}
		data = data[n:]
	}
	return len(data) == s.after
}

// sameData compares the data of two records; names in it have no case.
func sameData(rrtype uint16, a, b []byte) bool {
	shape := dataShapes[rrtype]
	if shape.names == 0 || len(a) != len(b) || len(a) < shape.before+shape.after {
		return bytes.Equal(a, b)
	}
	end := len(a) - shape.after
	return bytes.Equal(a[:shape.before], b[:shape.before]) && sameName(a[shape.before:end], b[shape.before:end]) && bytes.Equal(a[end:], b[end:])
}

// dataKey is the same for data that sameData takes to be the same.
func dataKey(rrtype uint16, data []byte) string {
	shape := dataShapes[rrtype]
	if shape.names == 0 || len(data) < shape.before+shape.after {
		return string(data)
	}
	k := bytes.Clone(data)
	lower(k[shape.before : len(k)-shape.after])
	return string(k)
}
