package dnsserver

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/geo"
	"gslb/health"
	"gslb/steer"
	"gslb/zones"
)

const testZone = `$TTL 300
@        IN SOA ns1 hostmaster 7 7200 900 1209600 60
         NS  ns1
ns1      A   192.0.2.53
         AAAA 2001:db8::53
a.www    A   192.0.2.10
         AAAA 2001:db8::10
b.www    A   192.0.2.20
         AAAA 2001:db8::20
static   A   192.0.2.99
Mixed    A   192.0.2.98
alias    CNAME static
toward   CNAME www
*.wild   A   192.0.2.99
sub      NS  ns.sub
ns.sub   A   192.0.2.54
$GENERATE 1-60 many A 10.0.0.$
$GENERATE 1-40 txt TXT "0123456789012345678901234567890123456789 $"
mx       MX 10 b.www
         MX 20 a.www
$GENERATE 1-20 big NS ns${0,30,d}.big
$GENERATE 1-20 ns${0,30,d}.big A 192.0.2.$
far      CNAME far.elsewhere.example.
*.wildmx MX 10 a.www
         SRV 1 2 80 wildmx
         NAPTR 1 2 "u" "x" "" abc.com.
old      DNAME new
x.new    A   192.0.2.96
web      HTTPS 1 . alpn=h2 ipv4hint=203.0.113.1
flat     20 ALIAS www
         HTTPS 1 . alpn=h2
*.flat   ALIAS app
spread   7 ALIAS all
kept     ALIAS sticky
plain    ALIAS static
toplain  CNAME plain
flatweb  ALIAS web
         HTTPS 1 . alpn=h3
`

// server makes one that is not on the network: names www (CNAME form), app
// (address form) and *.cdn (CNAME form), and a policy that splits 10.0.0.0/8.
func server(t testing.TB, states *health.States) (*Server, *responder) {
	t.Helper()
	if states == nil {
		states = &health.States{Revision: 1}
	}
	z, err := zones.Read(zones.Config{Name: "abc.com.", File: "abc.com.zone"}, strings.NewReader(testZone))
	if err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	db, err := zones.Build([]*zones.Zone{z}, []zones.SteeredConfig{
		{Name: "www.abc.com.", TTL: 30 * time.Second, Sites: []int{0, 1}},
		{Name: "app.abc.com.", Form: zones.Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
		{Name: "*.cdn.abc.com.", TTL: 30 * time.Second, Sites: []int{0, 1}},
		{Name: "all.abc.com.", TTL: 30 * time.Second, Policy: 1, Sites: []int{0, 1}},
		{Name: "sticky.abc.com.", TTL: 30 * time.Second, Policy: 2, Sites: []int{0, 1}},
		{Name: "web.abc.com.", Form: zones.Address, TTL: 30 * time.Second, Sites: []int{0, 1}, Hints: true},
		{Name: "abc.com.", Form: zones.Address, TTL: 30 * time.Second, Sites: []int{0, 1}},
	}, []zones.Site{
		{Name: "kt", CNAME: "a.www.abc.com.", Addresses: []netip.Addr{addr("192.0.2.10"), addr("2001:db8::10")}},
		{Name: "lgu", CNAME: "b.www.abc.com.", Addresses: []netip.Addr{addr("192.0.2.20"), addr("2001:db8::20")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	sites := []steer.Site{{Name: "kt"}, {Name: "lgu"}}
	to := func(pick steer.Pick, sites ...int) []steer.Target {
		tg := steer.Target{Pick: pick}
		for _, s := range sites {
			tg.Members = append(tg.Members, steer.Member{Site: s, Weight: 1})
		}
		return []steer.Target{tg}
	}
	nets := func(s ...string) (all []netip.Prefix) {
		for _, p := range s {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	policies := []*steer.Policy{
		{Name: "www", TTL: 30 * time.Second, Rules: []steer.Rule{
			{Match: steer.Match{Networks: nets("10.1.0.0/16", "2001:db8:1::/48", "198.51.100.128/30")}, Tiers: append(to(steer.Nearest, 1), to(steer.Nearest, 0)...)},
			{Match: steer.Match{Networks: nets("10.0.0.0/8")}, Tiers: append(to(steer.Nearest, 0), to(steer.Nearest, 1)...)},
			{Tiers: append(to(steer.Nearest, 0), to(steer.Nearest, 1)...)},
		}},
		{Name: "all", TTL: 30 * time.Second, Rules: []steer.Rule{{Tiers: to(steer.Weighted, 0, 1)}}},
		{Name: "sticky", TTL: 30 * time.Second, Rules: []steer.Rule{{Tiers: to(steer.Hash, 0, 1)}}},
	}
	var compiled []Policy
	var declared []netip.Prefix
	for _, p := range policies {
		c, err := steer.Compile(p, sites)
		if err != nil {
			t.Fatal(err)
		}
		table := geo.Build(nil, c.Cuts(), func(p geo.Place, w netip.Prefix) uint32 { return c.Classify(p, w, nil) })
		compiled = append(compiled, Policy{Compiled: c, Table: table})
		declared = append(declared, c.Cuts()...)
	}
	s := New(Config{}, discard())
	s.Swap(NewGeneration(Inputs{DB: db, Policies: compiled, Sites: []string{"a", "b"}, Declared: declared, States: states}))
	return s, s.responder(0, s.newCounters())
}

// query makes a message in wire form; options change it before it is packed.
func query(t testing.TB, name string, qtype uint16, options ...func(*dns.Msg)) []byte {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.RecursionDesired = false
	for _, o := range options {
		o(m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func edns(size uint16, do bool) func(*dns.Msg) {
	return func(m *dns.Msg) { m.SetEdns0(size, do) }
}

func subnet(prefix string) func(*dns.Msg) {
	return func(m *dns.Msg) {
		p := netip.MustParsePrefix(prefix)
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		o := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
		if p.Addr().Is6() {
			o.Family = 2
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, o)
	}
}

var source = netip.MustParseAddrPort("127.0.0.1:5000")

// outs are buffers for the largest answer: tests that ask much would spend their time on making them.
var outs = sync.Pool{New: func() any { b := make([]byte, 0, maxMessage+maxRecordHead); return &b }}

func answer(t testing.TB, s *Server, w *responder, msg []byte, tcp bool) *dns.Msg {
	t.Helper()
	room := outs.Get().(*[]byte)
	defer outs.Put(room)
	out := s.answer(w, msg, source, tcp, *room)
	if len(out) == 0 {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatalf("answer %x cannot be unpacked: %v", out, err)
	}
	return m
}

// brief gives an answer in one line, for tables.
func brief(m *dns.Msg) string {
	if m == nil {
		return "none"
	}
	var b strings.Builder
	if b.WriteString(dns.RcodeToString[m.Rcode]); m.Rcode == dns.RcodeBadVers {
		b.Reset()
		b.WriteString("BADVERS")
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{m.Authoritative, "aa"}, {m.Truncated, "tc"}, {m.RecursionDesired, "rd"}, {m.RecursionAvailable, "ra"}, {m.CheckingDisabled, "cd"}} {
		if f.on {
			b.WriteString(" " + f.name)
		}
	}
	section := func(mark string, rrs []dns.RR) {
		for _, rr := range rrs {
			if rr.Header().Rrtype == dns.TypeOPT {
				continue
			}
			fields := strings.Fields(rr.String())
			b.WriteString(" " + mark + fields[0] + "/" + strings.Join(append(fields[3:4], fields[4:min(len(fields), 6)]...), "/"))
		}
	}
	section("", m.Answer)
	section("ns:", m.Ns)
	section("ar:", m.Extra)
	if o := m.IsEdns0(); o != nil {
		b.WriteString(" opt")
		for _, opt := range o.Option {
			switch opt := opt.(type) {
			case *dns.EDNS0_SUBNET:
				b.WriteString(" ecs=" + opt.String())
			case *dns.EDNS0_EDE:
				b.WriteString(" ede=" + dns.ExtendedErrorCodeToString[opt.InfoCode])
			}
		}
	}
	return b.String()
}

func TestAnswers(t *testing.T) {
	s, w := server(t, nil)
	const soa = " ns:abc.com./SOA/ns1.abc.com./hostmaster.abc.com."
	for _, c := range []struct {
		name  string
		qtype uint16
		opts  []func(*dns.Msg)
		want  string
	}{
		{"static.abc.com.", dns.TypeA, nil, "NOERROR aa static.abc.com./A/192.0.2.99"},
		{"STATIC.aBc.com.", dns.TypeA, nil, "NOERROR aa STATIC.aBc.com./A/192.0.2.99"}, // the question's case is echoed
		{"mixed.abc.com.", dns.TypeA, nil, "NOERROR aa mixed.abc.com./A/192.0.2.98"},
		{"alias.abc.com.", dns.TypeA, nil, "NOERROR aa alias.abc.com./CNAME/static.abc.com. static.abc.com./A/192.0.2.99"},
		{"foo.wild.abc.com.", dns.TypeA, nil, "NOERROR aa foo.wild.abc.com./A/192.0.2.99"},
		{"x.old.abc.com.", dns.TypeA, nil, "NOERROR aa old.abc.com./DNAME/new.abc.com. x.old.abc.com./CNAME/x.new.abc.com. x.new.abc.com./A/192.0.2.96"},
		{"nothere.abc.com.", dns.TypeA, nil, "NXDOMAIN aa" + soa},
		{"static.abc.com.", dns.TypeTXT, nil, "NOERROR aa" + soa},
		{"x.sub.abc.com.", dns.TypeA, nil, "NOERROR ns:sub.abc.com./NS/ns.sub.abc.com. ar:ns.sub.abc.com./A/192.0.2.54"},
		{"other.example.", dns.TypeA, nil, "REFUSED"},
		{".", dns.TypeNS, nil, "REFUSED"},
		{"static.abc.com.", dns.TypeANY, nil, "NOERROR aa static.abc.com./HINFO/\"RFC8482\"/\"\""},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(4096, true)}, "NOERROR aa static.abc.com./A/192.0.2.99 opt"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){subnet("192.0.2.0/24")}, "NOERROR aa static.abc.com./A/192.0.2.99 opt ecs=192.0.2.0/24/0"},
		{"nothere.abc.com.", dns.TypeA, []func(*dns.Msg){subnet("192.0.2.0/24")}, "NXDOMAIN aa" + soa + " opt ecs=192.0.2.0/24/0"},
		{"x.sub.abc.com.", dns.TypeA, []func(*dns.Msg){subnet("192.0.2.0/24")}, "NOERROR ns:sub.abc.com./NS/ns.sub.abc.com. ar:ns.sub.abc.com./A/192.0.2.54 opt ecs=192.0.2.0/24/0"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.RecursionDesired, m.CheckingDisabled = true, true }}, "NOERROR aa rd cd static.abc.com./A/192.0.2.99"},
		{"static.abc.com.", dns.TypeAXFR, nil, "REFUSED"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }}, "REFUSED"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }}, "NOTIMP"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true), func(m *dns.Msg) { m.Question = nil }}, "FORMERR opt"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassANY }}, "NOERROR static.abc.com./A/192.0.2.99"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, false), func(m *dns.Msg) { m.Ns, m.Extra = m.Extra, nil }}, "FORMERR"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.SetTsig("key.", dns.HmacSHA256, 300, 1) }}, "NOTAUTH"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }}, "FORMERR"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Question = nil }}, "FORMERR"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){func(m *dns.Msg) { m.Response = true }}, "none"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, false), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }}, "BADVERS opt"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, false), func(m *dns.Msg) { m.Extra = append(m.Extra, m.Extra[0]) }}, "FORMERR opt"},
		{"static.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, false), func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte("x")})
		}}, "NOERROR aa static.abc.com./A/192.0.2.99 opt"},
		// Steered names.
		{"www.abc.com.", dns.TypeA, nil, "NOERROR aa www.abc.com./CNAME/a.www.abc.com. a.www.abc.com./A/192.0.2.10"},
		{"WWW.abc.com.", dns.TypeAAAA, nil, "NOERROR aa WWW.abc.com./CNAME/a.WWW.abc.com. a.WWW.abc.com./AAAA/2001:db8::10"},
		{"www.abc.com.", dns.TypeTXT, nil, "NOERROR aa www.abc.com./CNAME/a.www.abc.com." + soa},
		{"www.abc.com.", dns.TypeANY, nil, "NOERROR aa www.abc.com./CNAME/a.www.abc.com."},
		{"app.abc.com.", dns.TypeA, nil, "NOERROR aa app.abc.com./A/192.0.2.10"},
		{"app.abc.com.", dns.TypeMX, []func(*dns.Msg){subnet("192.0.2.0/24")}, "NOERROR aa" + soa + " opt ecs=192.0.2.0/24/0"},
		{"toward.abc.com.", dns.TypeA, []func(*dns.Msg){subnet("10.1.2.0/24")}, "NOERROR aa toward.abc.com./CNAME/www.abc.com. opt ecs=10.1.2.0/24/0"},
		{"foo.cdn.abc.com.", dns.TypeA, nil, "NOERROR aa foo.cdn.abc.com./CNAME/a.www.abc.com. a.www.abc.com./A/192.0.2.10"},
		{"foo.Bar.cdn.abc.com.", dns.TypeAAAA, nil, "NOERROR aa foo.Bar.cdn.abc.com./CNAME/a.www.abc.com. a.www.abc.com./AAAA/2001:db8::10"},
		{"cdn.abc.com.", dns.TypeA, nil, "NOERROR aa" + soa},
	} {
		got := brief(answer(t, s, w, query(t, c.name, c.qtype, c.opts...), false))
		if got != c.want {
			t.Errorf("%s %s:\ngot  %s\nwant %s", c.name, dns.Type(c.qtype), got, c.want)
		}
	}
}

// A, AAAA and the hints of HTTPS are those of one site, in one scope, for whichever
// client; the apex can be steered like any other name.
func TestHintsFollowTheSite(t *testing.T) {
	s, w := server(t, nil)
	for ecs, want := range map[string][2]string{
		"10.1.2.0/24": {"192.0.2.20", "2001:db8::20"},
		"10.2.3.0/24": {"192.0.2.10", "2001:db8::10"},
	} {
		m := answer(t, s, w, query(t, "web.abc.com.", dns.TypeHTTPS, subnet(ecs)), false)
		if got := m.Answer[0].String(); !strings.HasSuffix(got, `1 . alpn="h2" ipv4hint="`+want[0]+`" ipv6hint="`+want[1]+`"`) {
			t.Errorf("%s: %s, want the hints %v", ecs, got, want)
		}
		scope := m.IsEdns0().Option[0].String()
		for qtype, want := range map[uint16]string{dns.TypeA: want[0], dns.TypeAAAA: want[1]} {
			for _, name := range []string{"web.abc.com.", "abc.com."} {
				m := answer(t, s, w, query(t, name, qtype, subnet(ecs)), false)
				if got := brief(m); len(m.Answer) != 1 || !strings.Contains(got, name+"/"+dns.TypeToString[qtype]+"/"+want) || m.IsEdns0().Option[0].String() != scope {
					t.Errorf("%s %s %s: %s, want %s in %s", ecs, name, dns.Type(qtype), got, want, scope)
				}
			}
		}
	}
	for _, qtype := range []uint16{dns.TypeSOA, dns.TypeNS} {
		if m := answer(t, s, w, query(t, "abc.com.", qtype, subnet("10.1.2.0/24")), false); len(m.Answer) != 1 || m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).SourceScope != 0 {
			t.Errorf("%s of a steered apex: %s", dns.Type(qtype), brief(m))
		}
	}
}

// RFC 7871: who is the client, and in which network does the answer hold.
func TestScope(t *testing.T) {
	s, w := server(t, nil)
	const kt, lgu = "a.www.abc.com.", "b.www.abc.com."
	for _, c := range []struct{ name, ecs, site, want string }{
		{"www.abc.com.", "10.1.2.0/24", lgu, "10.1.2.0/24/16"},
		{"www.abc.com.", "10.2.3.0/24", kt, "10.2.3.0/24/15"}, // beside the exception: /15, not /8
		{"www.abc.com.", "10.128.0.0/9", kt, "10.128.0.0/9/9"},
		{"www.abc.com.", "203.0.113.7/32", kt, "203.0.113.7/32/5"},
		{"www.abc.com.", "198.51.100.128/30", lgu, "198.51.100.128/30/24"}, // finer than may be said
		{"www.abc.com.", "2001:db8:1::/48", lgu, "2001:db8:1::/48/48"},
		{"www.abc.com.", "2001:db8:1:2::/64", lgu, "2001:db8:1:2::/64/48"},
		{"www.abc.com.", "::ffff:10.1.2.0/120", lgu, "10.1.2.0/120/112"}, // IPv4-mapped
		{"www.abc.com.", "0.0.0.0/0", kt, "0.0.0.0/0/0"},                 // privacy
		{"www.abc.com.", "192.168.7.0/24", kt, "192.168.7.0/24/16"},      // private and not declared: the source's answer, for those alone
		{"www.abc.com.", "127.0.0.0/8", kt, "127.0.0.0/8/8"},
		{"www.abc.com.", "172.30.0.0/16", kt, "172.30.0.0/16/12"},
		{"www.abc.com.", "169.254.7.0/24", kt, "169.254.7.0/24/16"},
		{"www.abc.com.", "fd00:1::/48", kt, "fd00:1::/48/7"},
		{"www.abc.com.", "::ffff:192.168.7.0/120", kt, "192.168.7.0/120/112"},
		{"all.abc.com.", "192.168.7.0/24", "", "192.168.7.0/24/0"},     // the same for everyone
		{"all.abc.com.", "203.0.113.0/24", "", "203.0.113.0/24/0"},     // a random pick consults nothing
		{"sticky.abc.com.", "203.0.113.0/24", "", "203.0.113.0/24/24"}, // a hash pick consults the network
		{"sticky.abc.com.", "2001:db8::/48", "", "2001:db8::/48/56"},
	} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
			m := answer(t, s, w, query(t, c.name, qtype, subnet(c.ecs)), false)
			if got := strings.NewReplacer("[", "", "]", "").Replace(m.IsEdns0().Option[0].String()); got != c.want {
				t.Errorf("%s %s from %s: scope %s, want %s", c.name, dns.Type(qtype), c.ecs, got, c.want)
			}
			if got := m.Answer[0].(*dns.CNAME).Target; c.site != "" && got != c.site {
				t.Errorf("%s %s from %s: %s, want %s", c.name, dns.Type(qtype), c.ecs, got, c.site)
			}
		}
	}
}

// No Client Subnet in, none out, even when the answer depends on the source.
func TestNoSubnetInNoneOut(t *testing.T) {
	s, w := server(t, nil)
	m := answer(t, s, w, query(t, "www.abc.com.", dns.TypeA, edns(1232, false)), false)
	if n := len(m.IsEdns0().Option); n != 0 {
		t.Errorf("%d options in the answer, want none", n)
	}
}

func TestBadSubnet(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"family 3", []byte{0, 3, 24, 0, 1, 2, 3}, "FORMERR"},
		{"family 0 with bits", []byte{0, 0, 8, 0, 1}, "FORMERR"},
		{"family 0, source 0", []byte{0, 0, 0, 0}, "NOERROR"},
		{"source 33", []byte{0, 1, 33, 0, 1, 2, 3, 4, 5}, "FORMERR"},
		{"source 129", append([]byte{0, 2, 129, 0}, make([]byte, 17)...), "FORMERR"},
		{"bits past the source", []byte{0, 1, 20, 0, 1, 2, 3}, "FORMERR"},
		{"too short", []byte{0, 1, 24, 0, 1, 2}, "FORMERR"},
		{"too long", []byte{0, 1, 24, 0, 1, 2, 3, 0}, "FORMERR"},
		{"scope in a query", []byte{0, 1, 24, 24, 1, 2, 3}, "FORMERR"},
		{"empty", nil, "FORMERR"},
	} {
		msg := query(t, "www.abc.com.", dns.TypeA, edns(1232, false), func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: c.data})
		})
		if m := answer(t, s, w, msg, false); dns.RcodeToString[m.Rcode] != c.want {
			t.Errorf("%s: %s, want %s", c.name, dns.RcodeToString[m.Rcode], c.want)
		}
	}
}

func TestSubnetSwitchedOff(t *testing.T) {
	s, _ := server(t, nil)
	off := false
	for _, cfg := range []Config{{ECS: &off}, {ECSFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}} {
		s2 := New(cfg, discard())
		g := *s.Generation()
		g.access = NewAccess(cfg)
		s2.Swap(&g)
		m := answer(t, s2, s2.responder(0, s2.newCounters()), query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24")), false)
		if got, want := brief(m), "NOERROR aa www.abc.com./CNAME/a.www.abc.com. a.www.abc.com./A/192.0.2.10 opt"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestFailover(t *testing.T) {
	down := func(names ...string) *health.States {
		st := &health.States{Revision: 1, Sites: map[string]health.Status{"kt": {Site: "kt", State: health.Up}, "lgu": {Site: "lgu", State: health.Up}}}
		for _, n := range names {
			st.Sites[n] = health.Status{Site: n, State: health.Down}
		}
		return st
	}
	for _, c := range []struct {
		states *health.States
		want   string
	}{
		{down(), "a.www.abc.com."},
		{down("kt"), "b.www.abc.com."},
		{down("lgu"), "a.www.abc.com."},
		{down("kt", "lgu"), "a.www.abc.com."}, // fail open
	} {
		s, w := server(t, c.states)
		m := answer(t, s, w, query(t, "www.abc.com.", dns.TypeA), false)
		if got := m.Answer[0].(*dns.CNAME).Target; got != c.want {
			t.Errorf("%v: %s, want %s", c.states.Sites, got, c.want)
		}
		g := s.Generation()
		s.Swap(g.WithStates(down()))
		if got := answer(t, s, w, query(t, "www.abc.com.", dns.TypeA), false).Answer[0].(*dns.CNAME).Target; got != "a.www.abc.com." {
			t.Errorf("after recovery: %s", got)
		}
	}
}

func TestStaleAnswer(t *testing.T) {
	s, w := server(t, &health.States{})
	m := answer(t, s, w, query(t, "www.abc.com.", dns.TypeA, edns(1232, false)), false)
	if got := brief(m); !strings.Contains(got, "ede=Not Ready") {
		t.Errorf("%s: want the extended error Not Ready before the first states", got)
	}
	s, w = server(t, &health.States{Revision: 7, Stale: true})
	m = answer(t, s, w, query(t, "www.abc.com.", dns.TypeA, edns(1232, false)), false)
	if got := brief(m); !strings.Contains(got, "ede=Stale Answer") {
		t.Errorf("%s: want the extended error Stale Answer (RFC 8914)", got)
	}
	if m := answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, edns(1232, false)), false); strings.Contains(brief(m), "ede") {
		t.Errorf("a static name is never stale: %s", brief(m))
	}
}

func TestTruncation(t *testing.T) {
	s, w := server(t, nil)
	for _, c := range []struct {
		what  string
		name  string
		qtype uint16
		opts  []func(*dns.Msg)
		tcp   bool
		limit int
		tc    bool
	}{
		{"60 addresses, no EDNS", "many.abc.com.", dns.TypeA, nil, false, 512, true},
		{"60 addresses, 1232", "many.abc.com.", dns.TypeA, []func(*dns.Msg){edns(4096, false)}, false, 1232, false},
		{"40 texts, 4096 asked", "txt.abc.com.", dns.TypeTXT, []func(*dns.Msg){edns(4096, false)}, false, 1232, true},
		{"40 texts, subnet", "txt.abc.com.", dns.TypeTXT, []func(*dns.Msg){edns(100, false), subnet("10.0.0.0/24")}, false, 512, true},
		{"40 texts, TCP", "txt.abc.com.", dns.TypeTXT, nil, true, 65535, false},
		{"glue that does not fit", "x.big.abc.com.", dns.TypeA, nil, false, 512, true},
		{"glue that fits", "x.big.abc.com.", dns.TypeA, nil, true, 65535, false},
	} {
		out := s.answer(w, query(t, c.name, c.qtype, c.opts...), source, c.tcp, make([]byte, 0, maxMessage+maxRecordHead))
		m := new(dns.Msg)
		if err := m.Unpack(out); err != nil {
			t.Fatal(err)
		}
		if m.Truncated != c.tc || len(out) > c.limit {
			t.Errorf("%s: TC %v and %d octets, want TC %v and at most %d", c.what, m.Truncated, len(out), c.tc, c.limit)
		}
		if c.tc && len(m.Answer) != 0 {
			t.Errorf("%s: %d records of a cut RRset", c.what, len(m.Answer))
		}
		if (len(c.opts) > 0) != (m.IsEdns0() != nil) {
			t.Errorf("%s: OPT %v", c.what, m.IsEdns0())
		}
	}
}

// Every answer that is prepared says the same as the one encoded on the spot,
// whatever room there is.
func TestPreparedIsEncoded(t *testing.T) {
	s, w := server(t, nil)
	slow := s.responder(0, s.newCounters())
	slow.encodes = true
	for _, name := range []string{"www.abc.com.", "app.abc.com.", "web.abc.com.", "foo.cdn.abc.com.", "a.b.c.cdn.abc.com.", "toward.abc.com.", "Mixed.ABC.com.",
		"abc.com.", "static.abc.com.", "nothere.abc.com.", "not.there.abc.com.", "alias.abc.com.", "far.abc.com.", "x.wild.abc.com.", "x.y.wild.abc.com.", "wild.abc.com.",
		"mx.abc.com.", "x.wildmx.abc.com.", "a.b.wildmx.abc.com.", "sub.abc.com.", "x.sub.abc.com.", "a.b.c.sub.abc.com.", "big.abc.com.", "x.big.abc.com.", "x.old.abc.com.", "many.abc.com.", "other.",
		"flat.abc.com.", "x.flat.abc.com.", "plain.abc.com.", "toplain.abc.com.", "flatweb.abc.com."} {
		for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeHTTPS, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeCNAME, dns.TypeTXT, dns.TypeSRV, dns.TypeDS, dns.TypeANY} {
			for _, size := range []uint16{0, 512, 600, 1232} {
				var opts []func(*dns.Msg)
				if size > 0 {
					opts = append(opts, edns(size, false), subnet("10.1.2.0/24"))
				}
				msg := query(t, name, qtype, opts...)
				fast, plain := answer(t, s, w, msg, false), answer(t, s, slow, msg, false)
				if brief(fast) != brief(plain) {
					t.Errorf("%s %s:\nprepared %s\nencoded  %s", name, dns.Type(qtype), brief(fast), brief(plain))
				}
			}
		}
	}
}

func TestAnswerAllocatesNothing(t *testing.T) {
	s, w := server(t, nil)
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, msg := range [][]byte{
		query(t, "static.abc.com.", dns.TypeA),
		query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24")),
		query(t, "foo.cdn.abc.com.", dns.TypeA),
		query(t, "all.abc.com.", dns.TypeA),
		query(t, "sticky.abc.com.", dns.TypeA),
		query(t, "random.abc.com.", dns.TypeA, edns(1232, true)),
		query(t, "x.sub.abc.com.", dns.TypeA),
		query(t, "x.old.abc.com.", dns.TypeA),
		query(t, "flat.abc.com.", dns.TypeA, subnet("10.1.2.0/24")),
		query(t, "flat.abc.com.", dns.TypeTXT),
		query(t, "x.flat.abc.com.", dns.TypeAAAA),
		query(t, "plain.abc.com.", dns.TypeA),
		query(t, "toplain.abc.com.", dns.TypeA),
		query(t, "txt.abc.com.", dns.TypeTXT),
		{1, 2, 3}, make([]byte, 40),
	} {
		if n := testing.AllocsPerRun(200, func() { s.answer(w, msg, source, false, out) }); n != 0 {
			t.Errorf("%x: %v allocations", msg, n)
		}
	}
	s, w, _ = severalServer(t, 0, false)
	for _, name := range []string{"many.abc.com.", "x.cdn.abc.com.", "turn.abc.com.", "sticky.abc.com.", "flat.abc.com."} {
		msg := query(t, name, dns.TypeA, subnet("10.1.2.0/24"))
		if n := testing.AllocsPerRun(200, func() { s.answer(w, msg, source, false, out) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// A query that hits a bug is answered SERVFAIL and counted, over each transport, and
// the next one is answered as ever.
func TestPanicIsServfail(t *testing.T) {
	s, w := server(t, nil)
	good := s.Generation()
	bug := *good
	bug.live = nil // as a bug would
	x := &xdpQueue{s: s, w: s.responder(1, s.newCounters()), out: make([]byte, 0, maxMessage+maxRecordHead)}
	msg := query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"), cookieOption([]byte("client01")))
	for n, ask := range []func() []byte{
		func() []byte { return s.answer(w, msg, source, false, make([]byte, 0, maxMessage+maxRecordHead)) },
		func() []byte { return s.answer(w, msg, source, true, make([]byte, 0, maxMessage+maxRecordHead)) },
		func() []byte { return x.Answer(msg, source, 1452) },
	} {
		for _, c := range []struct {
			g     *Generation
			rcode int
		}{{&bug, dns.RcodeServerFailure}, {good, dns.RcodeSuccess}} {
			s.Swap(c.g)
			m := new(dns.Msg)
			if err := m.Unpack(ask()); err != nil || m.Rcode != c.rcode {
				t.Errorf("transport %d: %v, %v", n, err, brief(m))
			}
		}
		if got := s.Stats().Panics; got != uint64(n+1) {
			t.Errorf("%d panics counted after %d", got, n+1)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	s, w := serverWith(f, Config{Identity: "ns1", Version: "gslb", RateLimit: 1_000_000, Deny: prefixes("192.0.2.0/24")})
	w.encrypted = true
	f.Add(query(f, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24")), false)
	f.Add(query(f, "x.old.abc.com.", dns.TypeA, edns(1232, true)), true)
	f.Add(query(f, "foo.cdn.abc.com.", dns.TypeAAAA), false)
	f.Add([]byte{}, false)
	f.Add(query(f, "abc.com.", dns.TypeSOA, option(dns.EDNS0NSID), option(dns.EDNS0EXPIRE), option(ednsZoneVersion), option(dns.EDNS0PADDING, 0)), true)
	f.Add(query(f, "abc.com.", dns.TypeSOA, cookieOption([]byte("client01")), option(dns.EDNS0TCPKEEPALIVE)), true)
	f.Add(query(f, "static.abc.com.", dns.TypeA, cookieOption([]byte("client01server00server01")), subnet("2001:db8::/56")), false)
	f.Add(query(f, ".", dns.TypeA, cookieOption([]byte("client01")), func(m *dns.Msg) { m.Question = nil }), false)
	f.Add(query(f, "id.server.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), false)
	f.Add(query(f, "x.big.abc.com.", dns.TypeA, edns(1232, false), option(65001), func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }), false)
	out := make([]byte, 0, maxMessage+maxRecordHead)
	f.Fuzz(func(t *testing.T, msg []byte, tcp bool) {
		got := s.answer(w, msg, source, tcp, out)
		if n := s.Stats().Panics; n != 0 {
			t.Fatalf("%x made it panic", msg)
		}
		if len(got) == 0 {
			return
		}
		if err := new(dns.Msg).Unpack(got); err != nil {
			t.Fatalf("%x was answered %x: %v", msg, got, err)
		}
		if !tcp && len(got) > min(1232, 30*len(msg)) {
			t.Fatalf("%d octets for %d", len(got), len(msg))
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	s, w := server(b, nil)
	w.batched = true
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, c := range []struct {
		name string
		msg  []byte
	}{
		{"static", query(b, "static.abc.com.", dns.TypeA, edns(1232, false))},
		{"steered", query(b, "www.abc.com.", dns.TypeA)},
		{"alias", query(b, "plain.abc.com.", dns.TypeA, edns(1232, false))},
		{"alias-steered", query(b, "flat.abc.com.", dns.TypeA)},
		{"steered-ecs", query(b, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"))},
		{"steered-ecs6", query(b, "www.abc.com.", dns.TypeA, subnet("2001:db8:1:200::/56"))},
		{"steered-hash", query(b, "sticky.abc.com.", dns.TypeA)},
		{"nxdomain", query(b, "random.abc.com.", dns.TypeA, edns(1232, false))},
		{"referral", query(b, "x.sub.abc.com.", dns.TypeA, edns(1232, false))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.answer(w, c.msg, source, false, out)
			}
		})
	}
}
