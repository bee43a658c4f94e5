package dnsserver

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// reply answers a message and gives it in one line.
func reply(t testing.TB, s *Server, w *responder, msg []byte) string {
	t.Helper()
	return brief(answer(t, s, w, msg, false))
}

// RFC 6891: what an OPT record may hold, and what is answered when it does not.
func TestEDNS(t *testing.T) {
	s, w := server(t, nil)
	const good = "NOERROR aa static.abc.com./A/192.0.2.99 opt"
	opt := func(change ...func(*dns.OPT)) func(*dns.Msg) {
		return func(m *dns.Msg) {
			o := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
			o.SetUDPSize(1232)
			for _, f := range change {
				f(o)
			}
			m.Extra = append(m.Extra, o)
		}
	}
	local := func(code uint16, data ...byte) func(*dns.OPT) {
		return func(o *dns.OPT) { o.Option = append(o.Option, &dns.EDNS0_LOCAL{Code: code, Data: data}) }
	}
	version := func(v uint8) func(*dns.OPT) { return func(o *dns.OPT) { o.SetVersion(v) } }
	ecs := local(dns.EDNS0SUBNET, 0, 1, 24, 0, 10, 1, 2)
	badECS := local(dns.EDNS0SUBNET, 0, 1, 33, 0, 10, 1, 2)
	for _, c := range []struct {
		what string
		opt  []func(*dns.Msg)
		want string
	}{
		{"none asked, none given", nil, strings.TrimSuffix(good, " opt")},
		{"plain", []func(*dns.Msg){opt()}, good},
		{"an unknown option", []func(*dns.Msg){opt(local(65001, 1, 2, 3))}, good},
		{"an unknown option without data", []func(*dns.Msg){opt(local(20292))}, good},
		{"unknown options about a Client Subnet", []func(*dns.Msg){opt(local(65001, 1), ecs, local(65002, 2))}, good + " ecs=10.1.2.0/24/0"},
		{"all flags", []func(*dns.Msg){opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0x7fff })}, good},
		{"extended RCODE in a query", []func(*dns.Msg){opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0xab << 24 })}, good},
		{"version 1", []func(*dns.Msg){opt(version(1))}, "BADVERS opt"},
		{"version 255", []func(*dns.Msg){opt(version(255))}, "BADVERS opt"},
		{"version 1 with a Client Subnet", []func(*dns.Msg){opt(version(1), ecs)}, "BADVERS opt"},
		{"version 1 with a Client Subnet that is bad in version 0", []func(*dns.Msg){opt(version(1), badECS)}, "BADVERS opt"},
		{"two", []func(*dns.Msg){opt(), opt()}, "FORMERR opt"},
		{"two, one of version 1", []func(*dns.Msg){opt(version(1)), opt()}, "FORMERR opt"},
		{"two, the other of version 1", []func(*dns.Msg){opt(), opt(version(1))}, "FORMERR opt"},
		{"a bad Client Subnet", []func(*dns.Msg){opt(badECS)}, "FORMERR opt"},
		{"two Client Subnets", []func(*dns.Msg){opt(ecs, ecs)}, "FORMERR opt"},
		{"behind another record", []func(*dns.Msg){func(m *dns.Msg) {
			rr, _ := dns.NewRR("x. 0 IN A 192.0.2.1")
			m.Extra = append(m.Extra, rr)
		}, opt(version(1))}, "BADVERS opt"},
	} {
		if got := reply(t, s, w, query(t, "static.abc.com.", dns.TypeA, c.opt...)); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
	// Flags that are unknown are not sent back; DO is (RFC 3225).
	m := answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0xffff })), false)
	if o := m.IsEdns0(); o.Hdr.Ttl != 0x8000 || o.UDPSize() != 1232 {
		t.Errorf("flags %#x and size %d in the answer, want 0x8000 and 1232", o.Hdr.Ttl, o.UDPSize())
	}
	// An option that goes beyond its record.
	msg := query(t, "static.abc.com.", dns.TypeA, opt(local(65001, 1, 2, 3)))
	msg[len(msg)-4] = 9
	if got := reply(t, s, w, msg); got != "FORMERR opt" {
		t.Errorf("an option longer than its record: %s", got)
	}
}

// Opcodes other than QUERY (RFC 1035, section 4.1.1), those that nobody has
// defined among them. An OPT is answered with one (RFC 6891, section 6.1.1).
func TestOpcodes(t *testing.T) {
	s, w := server(t, nil)
	for opcode := 1; opcode < 16; opcode++ {
		msg := query(t, "static.abc.com.", dns.TypeA, edns(1232, false))
		msg[2] = msg[2]&^0x78 | byte(opcode)<<3
		for _, msg := range [][]byte{msg, msg[:headerLen]} {
			out := s.answer(w, msg, source, false, make([]byte, 0, maxMessage+maxRecordHead))
			m := new(dns.Msg)
			if err := m.Unpack(out); err != nil {
				t.Fatal(err)
			}
			if m.Rcode != dns.RcodeNotImplemented || m.Opcode != opcode || !m.Response || m.Id != binary.BigEndian.Uint16(msg) || (m.IsEdns0() != nil) != (len(msg) > headerLen) {
				t.Errorf("opcode %d: %s", opcode, m)
			}
		}
	}
}

// QDCOUNT other than 1 is FORMERR, whatever else the message says.
func TestQuestionCount(t *testing.T) {
	s, w := server(t, nil)
	for _, n := range []uint16{0, 2, 3, 65535} {
		msg := query(t, "static.abc.com.", dns.TypeA, edns(1232, false))
		binary.BigEndian.PutUint16(msg[4:], n)
		for _, msg := range [][]byte{msg, msg[:headerLen]} {
			if got := reply(t, s, w, msg); got != "FORMERR" {
				t.Errorf("QDCOUNT %d in %d octets: %s", n, len(msg), got)
			}
		}
	}
}

// RFC 8945, section 5.1: a TSIG stands in the additional section, or the message is malformed.
func TestTSIGOutOfPlace(t *testing.T) {
	s, w := server(t, nil)
	tsig := &dns.TSIG{Hdr: dns.RR_Header{Name: "key.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256, Fudge: 300}
	for want, put := range map[string]func(*dns.Msg){
		"FORMERR":     func(m *dns.Msg) { m.Answer = []dns.RR{tsig} },
		"FORMERR opt": func(m *dns.Msg) { m.SetEdns0(1232, false); m.Ns = []dns.RR{tsig} },
		"NOTAUTH":     func(m *dns.Msg) { m.Extra = []dns.RR{tsig} }, // by who knows no keys at all
	} {
		if got := reply(t, s, w, query(t, "static.abc.com.", dns.TypeA, put)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
