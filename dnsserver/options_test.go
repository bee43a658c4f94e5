package dnsserver

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// option adds an EDNS option as it stands.
func option(code uint16, data ...byte) func(*dns.Msg) {
	return func(m *dns.Msg) {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: code, Data: data})
	}
}

// rawOptions are the options of a message in wire form, whose OPT is its last record.
func rawOptions(t testing.TB, m *dns.Msg) map[uint16]string {
	t.Helper()
	all := map[uint16]string{}
	opt := m.IsEdns0()
	if opt == nil {
		return nil
	}
	b := make([]byte, 70000)
	n, err := dns.PackRR(opt, b, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	for o := b[optLen:n]; len(o) >= 4; {
		size := int(o[2])<<8 | int(o[3])
		code := uint16(o[0])<<8 | uint16(o[1])
		if _, twice := all[code]; twice {
			t.Errorf("option %d stands there twice", code)
		}
		all[code] = hex.EncodeToString(o[4 : 4+size])
		o = o[4+size:]
	}
	return all
}

// Options are answered when they are asked for, where they mean something, and
// nowhere else.
func TestOptions(t *testing.T) {
	s, w := serverWith(t, Config{Identity: "ns1.seoul", TCPIdle: 30 * time.Second})
	const nsid, version, expire = "6e73312e73656f756c", "020000000007", "00127500"
	for _, c := range []struct {
		what  string
		name  string
		qtype uint16
		ask   func(*dns.Msg)
		tcp   bool
		code  uint16
		want  string // hexadecimal; "-": not there
	}{
		{"NSID", "static.abc.com.", dns.TypeA, option(dns.EDNS0NSID), false, dns.EDNS0NSID, nsid},
		{"NSID with data", "static.abc.com.", dns.TypeA, option(dns.EDNS0NSID, 1, 2), false, dns.EDNS0NSID, nsid},
		{"NSID where nothing is served", "other.example.", dns.TypeA, option(dns.EDNS0NSID), false, dns.EDNS0NSID, nsid},
		{"no NSID", "static.abc.com.", dns.TypeA, edns(1232, false), false, dns.EDNS0NSID, "-"},
		{"keepalive over TCP", "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE), true, dns.EDNS0TCPKEEPALIVE, "012c"},
		{"keepalive over UDP", "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE), false, dns.EDNS0TCPKEEPALIVE, "-"},
		{"keepalive with a time over UDP", "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE, 0, 9), false, dns.EDNS0TCPKEEPALIVE, "-"},
		{"keepalive with a time, which is the server's to tell", "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE, 0, 9), true, dns.EDNS0TCPKEEPALIVE, "012c"},
		{"keepalive with too much", "static.abc.com.", dns.TypeA, option(dns.EDNS0TCPKEEPALIVE, 0, 9, 9), true, dns.EDNS0TCPKEEPALIVE, "012c"},
		{"no keepalive", "static.abc.com.", dns.TypeA, edns(1232, false), true, dns.EDNS0TCPKEEPALIVE, "-"},
		{"EXPIRE with the SOA", "abc.com.", dns.TypeSOA, option(dns.EDNS0EXPIRE), false, dns.EDNS0EXPIRE, expire},
		{"EXPIRE without the SOA", "abc.com.", dns.TypeNS, option(dns.EDNS0EXPIRE), false, dns.EDNS0EXPIRE, "-"},
		{"EXPIRE with an SOA that is not there", "static.abc.com.", dns.TypeSOA, option(dns.EDNS0EXPIRE), false, dns.EDNS0EXPIRE, "-"},
		{"EXPIRE of no zone", "other.example.", dns.TypeSOA, option(dns.EDNS0EXPIRE), false, dns.EDNS0EXPIRE, "-"},
		{"zone version", "static.abc.com.", dns.TypeA, option(ednsZoneVersion), false, ednsZoneVersion, version},
		{"zone version with data", "static.abc.com.", dns.TypeA, option(ednsZoneVersion, 9), false, ednsZoneVersion, version},
		{"zone version, no such name", "nothere.abc.com.", dns.TypeA, option(ednsZoneVersion), false, ednsZoneVersion, version},
		{"zone version, steered", "www.abc.com.", dns.TypeA, option(ednsZoneVersion), false, ednsZoneVersion, version},
		{"zone version, delegated", "x.sub.abc.com.", dns.TypeA, option(ednsZoneVersion), false, ednsZoneVersion, "-"},
		{"zone version of no zone", "other.example.", dns.TypeA, option(ednsZoneVersion), false, ednsZoneVersion, "-"},
		{"zone version not asked", "static.abc.com.", dns.TypeA, edns(1232, false), false, ednsZoneVersion, "-"},
		{"padding in the clear", "static.abc.com.", dns.TypeA, option(dns.EDNS0PADDING, 0, 0), true, dns.EDNS0PADDING, "-"},
		{"an option that nobody knows", "static.abc.com.", dns.TypeA, option(100), false, 100, "-"},
	} {
		// Before it, something else, so that nothing is left over from that.
		answer(t, s, w, query(t, "abc.com.", dns.TypeSOA, option(ednsZoneVersion), option(dns.EDNS0EXPIRE)), true)
		m := answer(t, s, w, query(t, c.name, c.qtype, c.ask), c.tcp)
		got, there := rawOptions(t, m)[c.code]
		if c.want == "-" && there || c.want != "-" && got != c.want {
			t.Errorf("%s: %q, want %s: %s", c.what, got, c.want, brief(m))
		}
	}
	// Without an identity there is none to tell.
	s, w = server(t, nil)
	if got, there := rawOptions(t, answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, option(dns.EDNS0NSID)), false))[dns.EDNS0NSID]; there {
		t.Errorf("NSID %q without an identity", got)
	}
}

// RFC 9660, section 2.1: the count of labels is of the zone of the name that was asked
// for, so the version is of that zone, wherever a chain of aliases ends.
func TestZoneVersionOfChains(t *testing.T) {
	const head = "$TTL 60\n@ SOA ns.example. h.example. %d 1 1 1 1\n@ NS ns.example.\n"
	var all []*zones.Zone
	for i, z := range []struct{ name, text string }{
		{"one.example.", "to CNAME x.two.test.\nover DNAME two.test.\nhere CNAME nothere\n"},
		{"two.test.", "x TXT \"x\"\n"},
	} {
		read, err := zones.Read(zones.Config{Name: z.name, File: z.name}, strings.NewReader(fmt.Sprintf(head, i+1)+z.text))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, read)
	}
	db, err := zones.Build(all, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db}))
	w := s.responder(0, s.newCounters())
	for _, c := range []struct {
		name string
		want string
	}{
		{"to.one.example.", "020000000001"},
		{"x.over.one.example.", "020000000001"},
		{"nx.over.one.example.", "020000000001"},
		{"here.one.example.", "020000000001"},
		{"x.two.test.", "020000000002"},
	} {
		for _, qtype := range []uint16{dns.TypeTXT, dns.TypeMX} { // there, and not
			m := answer(t, s, w, query(t, c.name, qtype, option(ednsZoneVersion)), false)
			if got := rawOptions(t, m)[ednsZoneVersion]; got != c.want {
				t.Errorf("%s %s: zone version %s, want %s: %s", c.name, dns.Type(qtype), got, c.want, brief(m))
			}
		}
	}
}

// The EXPIRE of a copy is what is left of it (RFC 7314, section 2).
func TestExpireOfCopies(t *testing.T) {
	s, _ := server(t, nil)
	copied := true
	s.SetExpiry(func(z *zones.Zone) (uint32, bool) { return 1000, copied && z.Name == "abc.com." })
	w := s.responder(0, s.newCounters())
	for _, want := range []string{"000003e8", "00127500"} {
		if got := rawOptions(t, answer(t, s, w, query(t, "abc.com.", dns.TypeSOA, option(dns.EDNS0EXPIRE)), false))[dns.EDNS0EXPIRE]; got != want {
			t.Errorf("copy %v: %s, want %s", copied, got, want)
		}
		copied = false
	}
}

// RFC 8467, section 4.1: over an encrypted transport, answers to queries with
// padding are a multiple of 468 octets.
func TestPadding(t *testing.T) {
	s, w := server(t, nil)
	w.encrypted = true
	for _, name := range []string{"static.abc.com.", "nothere.abc.com.", "many.abc.com.", "other.example."} {
		msg := query(t, name, dns.TypeA, option(dns.EDNS0PADDING, 0, 0, 0))
		out := s.answer(w, msg, source, true, make([]byte, 0, maxMessage+maxRecordHead))
		if err := new(dns.Msg).Unpack(out); err != nil || len(out)%padBlock != 0 {
			t.Errorf("%s: %d octets, %v", name, len(out), err)
		}
		plain := s.answer(w, query(t, name, dns.TypeA, edns(1232, false)), source, true, make([]byte, 0, maxMessage+maxRecordHead))
		if len(plain)%padBlock == 0 || len(out)-len(plain) > padBlock+optionHead {
			t.Errorf("%s: %d octets without padding, %d with", name, len(plain), len(out))
		}
	}
	for n := range 3 * padBlock {
		out := pad(make([]byte, n, maxMessage))
		if len(out)%padBlock != 0 || len(out) < n+optionHead || len(out) >= n+optionHead+padBlock {
			t.Fatalf("%d octets became %d", n, len(out))
		}
	}
	for _, n := range []int{maxMessage - 3, maxMessage - 100, maxMessage} { // as much as there is room for
		if out := pad(make([]byte, n, maxMessage+500)); len(out) != n && len(out) != maxMessage && len(out)%padBlock != 0 {
			t.Errorf("%d octets became %d", n, len(out))
		}
	}
}

// RFC 8914: why an answer is what it is.
func TestExtendedErrors(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		what string
		msg  []byte
		want string
	}{
		{"a name that is not served", query(t, "other.example.", dns.TypeA, edns(1232, false)), "REFUSED opt ede=Not Authoritative"},
		{"without EDNS", query(t, "other.example.", dns.TypeA), "REFUSED"},
		{"a transfer", query(t, "abc.com.", dns.TypeAXFR, edns(1232, false)), "REFUSED opt ede=Not Supported"},
		{"a class", query(t, "abc.com.", dns.TypeA, edns(1232, false), func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassHESIOD }), "REFUSED opt ede=Not Supported"},
		{"NXNAME", query(t, "abc.com.", dns.TypeNXNAME, edns(1232, true)), "FORMERR opt ede=" + dns.ExtendedErrorCodeToString[30]},
		{"NXNAME without EDNS", query(t, "nothere.abc.com.", dns.TypeNXNAME), "FORMERR"},
		{"an opcode", query(t, "abc.com.", dns.TypeA, edns(1232, false), func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus }), "NOTIMP opt"},
		{"no fault", query(t, "nothere.abc.com.", dns.TypeA, edns(1232, false)), "NXDOMAIN aa ns:abc.com./SOA/ns1.abc.com./hostmaster.abc.com. opt"},
	} {
		if got := reply(t, s, w, c.msg); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// RFC 4892: what a server tells of itself, in class CHAOS, and what it does not.
func TestChaos(t *testing.T) {
	chaos := func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }
	for _, c := range []struct {
		cfg   Config
		name  string
		qtype uint16
		want  string
	}{
		{Config{Version: "gslb 1"}, "version.bind.", dns.TypeTXT, `NOERROR aa version.bind./TXT/"gslb/1"`},
		{Config{Version: "gslb"}, "VERSION.server.", dns.TypeTXT, `NOERROR aa VERSION.server./TXT/"gslb"`},
		{Config{Version: "gslb"}, "version.bind.", dns.TypeANY, `NOERROR aa version.bind./TXT/"gslb"`},
		{Config{Version: "gslb"}, "version.bind.", dns.TypeA, "REFUSED"},
		{Config{Version: "gslb"}, "id.server.", dns.TypeTXT, "REFUSED"},
		{Config{Identity: "ns1.seoul"}, "id.server.", dns.TypeTXT, `NOERROR aa id.server./TXT/"ns1.seoul"`},
		{Config{Identity: "ns1.seoul"}, "hostname.bind.", dns.TypeTXT, `NOERROR aa hostname.bind./TXT/"ns1.seoul"`},
		{Config{Identity: "ns1.seoul"}, "version.bind.", dns.TypeTXT, "REFUSED"},
		{Config{Identity: "ns1.seoul", Version: "gslb"}, "authors.bind.", dns.TypeTXT, "REFUSED"},
		{Config{Identity: "ns1.seoul", Version: "gslb"}, "static.abc.com.", dns.TypeTXT, "REFUSED"},
		{Config{}, "version.bind.", dns.TypeTXT, "REFUSED"},
	} {
		s, w := serverWith(t, c.cfg)
		if got := reply(t, s, w, query(t, c.name, c.qtype, chaos)); got != c.want {
			t.Errorf("%+v: %s %s: %s, want %s", c.cfg, c.name, dns.Type(c.qtype), got, c.want)
		}
	}
	// The class of the record is that of the question, and it is not to be kept.
	s, w := serverWith(t, Config{Version: "gslb"})
	m := answer(t, s, w, query(t, "version.bind.", dns.TypeTXT, chaos, edns(1232, false)), false)
	if h := m.Answer[0].Header(); h.Class != dns.ClassCHAOS || h.Ttl != 0 || m.IsEdns0() == nil {
		t.Errorf("%v", m)
	}
	if got := reply(t, s, w, query(t, "version.bind.", dns.TypeTXT)); got != "REFUSED" {
		t.Errorf("in class IN: %s", got)
	}
}

// What options ask for is paid for by those that ask.
func TestOptionsAllocateNothing(t *testing.T) {
	s, w := serverWith(t, Config{Identity: "ns1", Version: "gslb", Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, RateLimit: 1})
	w.encrypted = true
	out := make([]byte, 0, maxMessage+maxRecordHead)
	cookie := cookieOf(t, answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, cookieOption([]byte("client01"))), false))
	all := []func(*dns.Msg){option(dns.EDNS0NSID), option(dns.EDNS0EXPIRE), option(dns.EDNS0TCPKEEPALIVE), option(ednsZoneVersion), option(dns.EDNS0PADDING)}
	for _, msg := range [][]byte{
		query(t, "abc.com.", dns.TypeSOA, append(all, cookieOption(cookie))...),
		query(t, "abc.com.", dns.TypeSOA, append(all, cookieOption(cookie[:8]))...),
		query(t, "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }),
		query(t, "static.abc.com.", dns.TypeA),
		query(t, "other.example.", dns.TypeA, edns(1232, false)),
	} {
		for _, tcp := range []bool{false, true} {
			for _, src := range []netip.AddrPort{source, netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[2001:db8::1]:53")} {
				if n := testing.AllocsPerRun(100, func() { s.answer(w, msg, src, tcp, out) }); n != 0 {
					t.Errorf("%x: %v allocations", msg, n)
				}
			}
		}
	}
}
