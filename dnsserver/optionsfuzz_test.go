package dnsserver

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// optionQuestions are what FuzzOptions asks: each kind of answer there is.
var optionQuestions = []struct {
	name  string
	qtype uint16
	class uint16
}{
	{"static.abc.com.", dns.TypeA, dns.ClassINET}, {"abc.com.", dns.TypeSOA, dns.ClassINET}, {"www.abc.com.", dns.TypeA, dns.ClassINET}, {"foo.cdn.abc.com.", dns.TypeAAAA, dns.ClassINET},
	{"nothere.abc.com.", dns.TypeA, dns.ClassINET}, {"many.abc.com.", dns.TypeA, dns.ClassINET}, {"x.big.abc.com.", dns.TypeA, dns.ClassINET}, {"x.sub.abc.com.", dns.TypeA, dns.ClassINET},
	{"other.example.", dns.TypeA, dns.ClassINET}, {"x.old.abc.com.", dns.TypeA, dns.ClassINET}, {"static.abc.com.", dns.TypeANY, dns.ClassINET}, {"id.server.", dns.TypeTXT, dns.ClassCHAOS},
	{"static.abc.com.", dns.TypeNXNAME, dns.ClassINET}, {"abc.com.", dns.TypeAXFR, dns.ClassINET},
}

// How FuzzOptions asks.
const (
	askTCP = 1 << iota
	askEncrypted
)

// optionQuery is a query whose OPT record has the options as they stand.
func optionQuery(t testing.TB, kind uint8, size, flags uint16, version uint8, options []byte) []byte {
	q := optionQuestions[int(kind)%len(optionQuestions)]
	msg := query(t, q.name, q.qtype, func(m *dns.Msg) { m.Question[0].Qclass = q.class })
	msg[11] = 1
	msg = append(msg, 0, 0, byte(dns.TypeOPT), byte(size>>8), byte(size), 0, version, byte(flags>>8), byte(flags), byte(len(options)>>8), byte(len(options)))
	return append(msg, options...)
}

// wireOption is an option in wire form.
func wireOption(code uint16, data ...byte) []byte {
	return append([]byte{byte(code >> 8), byte(code), byte(len(data) >> 8), byte(len(data))}, data...)
}

// readOptions reads options by another way than the server's: nil where they are not whole.
func readOptions(b []byte) (all map[uint16][][]byte) {
	all = make(map[uint16][][]byte)
	for r := bytes.NewBuffer(b); r.Len() > 0; {
		head := r.Next(4)
		if len(head) < 4 {
			return nil
		}
		n := int(binary.BigEndian.Uint16(head[2:]))
		if r.Len() < n {
			return nil
		}
		code := binary.BigEndian.Uint16(head)
		all[code] = append(all[code], bytes.Clone(r.Next(n)))
	}
	return all
}

// faultyOptions tells whether the RFCs want FORMERR: for a Client Subnet (RFC 7871,
// sections 6 and 7.1.2), or the first COOKIE (RFC 7873, section 5.2.2).
func faultyOptions(all map[uint16][][]byte) bool {
	for i, b := range all[dns.EDNS0SUBNET] {
		if i > 0 || len(b) < 4 || b[3] != 0 {
			return true
		}
		widths := map[uint16]int{0: 0, 1: 32, 2: 128}
		width, known := widths[binary.BigEndian.Uint16(b)]
		if bits := int(b[2]); !known || bits > width || len(b[4:]) != (bits+7)/8 || bits%8 != 0 && b[len(b)-1]<<(bits%8) != 0 {
			return true
		}
	}
	c := all[dns.EDNS0COOKIE]
	return len(c) > 0 && len(c[0]) != 8 && (len(c[0]) < 16 || len(c[0]) > 40)
}

// FuzzOptions asks with any OPT record, over each kind of transport: whatever is in
// it, the answer is well formed and no larger than it may be, has one OPT record with
// what was asked for, each option once and none that was not; and what is not Client
// Subnet changes nothing but that.
func FuzzOptions(f *testing.F) {
	s, w := serverWith(f, Config{Identity: "ns1.seoul"})
	keys := secrets(f, "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100")
	s.SetSecrets(keys)
	now := w.seconds.Load()
	cookie := keys.appendCookie([]byte("client01"), []byte("client01"), source.Addr(), now)
	all := slices.Concat(wireOption(dns.EDNS0NSID), wireOption(dns.EDNS0SUBNET, 0, 1, 24, 0, 10, 1, 2), wireOption(dns.EDNS0COOKIE, cookie...), wireOption(dns.EDNS0EXPIRE),
		wireOption(dns.EDNS0TCPKEEPALIVE), wireOption(dns.EDNS0PADDING, 0, 0), wireOption(ednsZoneVersion), wireOption(dns.EDNS0EDE, 0, 3, 'x'), wireOption(13, 3, 'c', 'o', 'm', 0), wireOption(65001, 1, 2, 3))
	for kind := range optionQuestions {
		f.Add(uint8(kind), uint8(kind), uint16(1232), uint16(0x8000), uint8(0), all)
	}
	f.Add(uint8(0), uint8(0), uint16(512), uint16(0), uint8(0), []byte{})
	f.Add(uint8(0), uint8(0), uint16(0), uint16(0xffff), uint8(1), all)
	f.Add(uint8(1), uint8(askTCP), uint16(65535), uint16(0x4000), uint8(0), wireOption(dns.EDNS0TCPKEEPALIVE, 0, 9))
	f.Add(uint8(2), uint8(0), uint16(1232), uint16(0), uint8(0), wireOption(dns.EDNS0SUBNET, 0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 0, 1))
	f.Add(uint8(2), uint8(0), uint16(1232), uint16(0), uint8(0), slices.Concat(wireOption(dns.EDNS0SUBNET, 0, 1, 23, 0, 10, 1, 3), wireOption(dns.EDNS0COOKIE, []byte("client01")...)))
	for _, subnet := range [][]byte{{0, 0, 0, 0}, {0, 0, 1, 0, 0}, {0, 1, 33, 0, 10, 1, 2, 3, 0}, {0, 1, 24, 1, 10, 1, 2}, {0, 1, 24, 0, 10, 1}, {0, 1, 24, 0, 10, 1, 2, 0}, {0, 3, 0, 0}, {0, 2, 129, 0, 16: 0, 20: 0}, {0, 1, 24}} {
		f.Add(uint8(2), uint8(0), uint16(1232), uint16(0), uint8(0), wireOption(dns.EDNS0SUBNET, subnet...))
	}
	f.Add(uint8(2), uint8(0), uint16(1232), uint16(0), uint8(0), slices.Concat(wireOption(dns.EDNS0SUBNET, 0, 0, 0, 0), wireOption(dns.EDNS0SUBNET, 0, 0, 0, 0)))
	f.Add(uint8(5), uint8(askTCP|askEncrypted), uint16(600), uint16(0x8000), uint8(0), slices.Concat(wireOption(dns.EDNS0PADDING), wireOption(dns.EDNS0PADDING, make([]byte, 300)...)))
	f.Add(uint8(0), uint8(0), uint16(1232), uint16(0), uint8(0), slices.Concat(wireOption(dns.EDNS0COOKIE, unhex(f, "2464c4abcf10c957010000005cf79f111f8130c3eee29480")...), wireOption(dns.EDNS0COOKIE, 1)))
	f.Add(uint8(0), uint8(0), uint16(1232), uint16(0), uint8(0), []byte{0, 3, 0, 9, 1})
	f.Add(uint8(4), uint8(askTCP|askEncrypted), uint16(1232), uint16(0), uint8(0), slices.Concat(wireOption(dns.EDNS0PADDING, make([]byte, 600)...), wireOption(dns.EDNS0NSID)))

	out, plainOut := make([]byte, 0, maxMessage+maxRecordHead), make([]byte, 0, maxMessage+maxRecordHead)
	f.Fuzz(func(t *testing.T, kind, how uint8, size, flags uint16, version uint8, options []byte) {
		tcp := how&(askTCP|askEncrypted) != 0
		w.encrypted = how&askEncrypted != 0
		msg := optionQuery(t, kind, size, flags, version, options)
		if len(options) > 0xffff || len(msg) > maxMessage {
			return
		}
		got := s.answer(w, msg, source, tcp, out)
		if s.Stats().Panics != 0 {
			t.Fatalf("%x made it panic", msg)
		}
		m := new(dns.Msg)
		if err := m.Unpack(got); err != nil {
			t.Fatalf("%x was answered %x: %v", msg, got, err)
		}
		want := readOptions(options)
		var trusted bool
		if c := want[dns.EDNS0COOKIE]; len(c) > 0 {
			trusted, _ = keys.good(c[0], source.Addr(), w.seconds.Load())
			goodCookies(t, keys, c[0], source.Addr(), w.seconds.Load())
		}
		if most := min(max(int(size), 512), 1232); !tcp && (len(got) > most || !trusted && len(got) > 30*len(msg)) || len(got) > maxMessage {
			t.Fatalf("%d octets for %d, of which the client takes %d", len(got), len(msg), size)
		}
		if q := m.Question; !m.Response || m.Id != binary.BigEndian.Uint16(msg) || len(q) != 1 || q[0].Name != optionQuestions[int(kind)%len(optionQuestions)].name {
			t.Fatalf("%s is no answer to %x", m, msg)
		}
		var opt *dns.OPT
		for _, rr := range m.Extra {
			if o, ok := rr.(*dns.OPT); ok {
				if opt != nil {
					t.Fatalf("two OPT records: %s", m)
				}
				opt = o
			}
		}
		if opt == nil || opt.Version() != 0 || opt.Do() != (flags&0x8000 != 0) || opt.Hdr.Ttl&0x7fff != 0 {
			t.Fatalf("OPT record %v, asked with flags %#x", opt, flags)
		}
		optionsFit(t, m, got, want, version, tcp, w.encrypted)

		// Without options the answer is the same, if both have room.
		if m.Truncated || version != 0 || want == nil || faultyOptions(want) || len(want[dns.EDNS0SUBNET]) > 0 {
			return
		}
		p := new(dns.Msg)
		if err := p.Unpack(s.answer(w, optionQuery(t, kind, size, flags, 0, nil), source, tcp, plainOut)); err != nil || p.Truncated {
			return
		}
		if p.Rcode != m.Rcode || len(m.Answer) != len(p.Answer) || len(m.Ns) != len(p.Ns) {
			t.Fatalf("with options %x:\n%s\nwithout:\n%s", options, m, p)
		}
	})
}

// optionsFit sees that an answer has the options that were asked for, and no others.
func optionsFit(t *testing.T, m *dns.Msg, wire []byte, want map[uint16][][]byte, version uint8, tcp, encrypted bool) {
	has := rawOptions(t, m)
	faulty := want == nil || faultyOptions(want)
	switch {
	case version != 0:
		if m.Rcode != dns.RcodeBadVers || len(m.Answer)+len(m.Ns) > 0 {
			t.Fatalf("version %d: %s", version, m)
		}
	case faulty:
		if m.Rcode != dns.RcodeFormatError || len(m.Answer)+len(m.Ns) > 0 {
			t.Fatalf("options %x are faulty: %s", want, m)
		}
	case m.Rcode == dns.RcodeBadVers || m.Rcode == dns.RcodeFormatError && m.Question[0].Qtype != dns.TypeNXNAME:
		t.Fatalf("options %x are not faulty: %s", want, m)
	}
	asked := func(code uint16) bool { return version == 0 && !faulty && len(want[code]) > 0 }
	for code, data := range has {
		octets := unhex(t, data)
		switch code {
		case dns.EDNS0EDE:
			if len(octets) < 2 {
				t.Fatalf("an extended error of %d octets", len(octets))
			}
			continue
		case dns.EDNS0SUBNET:
			if !asked(code) {
				break
			}
			q := want[code][0]
			if !bytes.Equal(octets[:3], q[:3]) || !bytes.Equal(octets[4:], q[4:]) || octets[3] > 128 || q[2] == 0 && octets[3] != 0 {
				t.Fatalf("Client Subnet %x for %x", octets, q)
			}
		case dns.EDNS0COOKIE:
			if asked(code) && (len(octets) != 24 || !bytes.Equal(octets[:8], want[code][0][:8])) {
				t.Fatalf("COOKIE %x for %x", octets, want[code][0])
			}
		case dns.EDNS0NSID:
			if string(octets) != "ns1.seoul" {
				t.Fatalf("NSID %q", octets)
			}
		case dns.EDNS0TCPKEEPALIVE:
			if !tcp || len(octets) != 2 {
				t.Fatalf("keepalive %x, over TCP %v", octets, tcp)
			}
		case dns.EDNS0PADDING:
			if !encrypted || len(wire)%padBlock != 0 && len(wire) != maxMessage || strings.Trim(string(octets), "\x00") != "" {
				t.Fatalf("padding to %d octets, encrypted %v", len(wire), encrypted)
			}
		case dns.EDNS0EXPIRE:
			if len(octets) != 4 || m.Question[0].Qtype != dns.TypeSOA {
				t.Fatalf("EXPIRE %x", octets)
			}
		case ednsZoneVersion:
			if len(octets) != 6 || !m.Authoritative {
				t.Fatalf("ZONEVERSION %x", octets)
			}
		default:
			t.Fatalf("option %d in an answer", code)
		}
		if !asked(code) {
			t.Fatalf("option %d was not asked for: %s", code, m)
		}
	}
	for _, code := range []uint16{dns.EDNS0SUBNET, dns.EDNS0COOKIE, dns.EDNS0NSID} {
		if _, there := has[code]; asked(code) && !there {
			t.Fatalf("option %d was asked for: %s", code, m)
		}
	}
}

// goodCookies sees that whatever server cookie is good is what one of the secrets
// makes for that time.
func goodCookies(t *testing.T, s *Secrets, data []byte, a netip.Addr, now uint32) {
	var e EDNS
	e.parseCookie(data)
	formed := len(data) == 8 || len(data) >= 16 && len(data) <= 40
	if (e.asks&badCookie == 0) != formed {
		t.Fatalf("%d octets: well formed is %v", len(data), !formed)
	}
	if good, _ := s.good(data, a, now); !good || data[9] != 0 || data[10] != 0 || data[11] != 0 { // reserved
		return
	}
	made := (&Secrets{keys: s.keys[:1]}).appendCookie(append([]byte(nil), data[:8]...), data, a, binary.BigEndian.Uint32(data[12:]))
	old := (&Secrets{keys: s.keys[1:]}).appendCookie(append([]byte(nil), data[:8]...), data, a, binary.BigEndian.Uint32(data[12:]))
	if string(made) != string(data) && string(old) != string(data) {
		t.Fatalf("%x is good", data)
	}
}
