package dnsserver

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func prefixes(s ...string) (all []netip.Prefix) {
	for _, p := range s {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

// from answers a query as though it came from an address, in one line.
func from(t testing.TB, s *Server, w *responder, client string, tcp bool, msg []byte) string {
	t.Helper()
	room := outs.Get().(*[]byte)
	defer outs.Put(room)
	out := s.answer(w, msg, netip.AddrPortFrom(netip.MustParseAddr(client), 5300), tcp, *room)
	if len(out) == 0 {
		return "none"
	}
	m := new(dns.Msg)
	if err := m.Unpack(out); err != nil {
		t.Fatal(err)
	}
	return brief(m)
}

// The longest network of allow and deny decides who is answered.
func TestAccess(t *testing.T) {
	lists := Config{
		Allow: prefixes("10.0.0.0/8", "10.66.7.0/24", "2001:db8::/32"),
		Deny:  prefixes("10.66.0.0/16", "2001:db8:66::/48"),
	}
	const good, refused = "NOERROR aa static.abc.com./A/192.0.2.99 opt", "REFUSED opt ede=Prohibited"
	msg := query(t, "static.abc.com.", dns.TypeA, edns(1232, false))
	for _, denied := range []string{deniedRefuse, deniedDrop} {
		lists.Denied = denied
		s, w := serverWith(t, lists)
		for _, c := range []struct {
			client  string
			allowed bool
		}{
			{"10.1.2.3", true}, {"10.65.255.255", true}, {"10.66.0.0", false}, {"10.66.6.255", false}, {"10.66.7.0", true}, {"10.66.7.255", true},
			{"10.66.255.255", false}, {"10.67.0.0", true}, {"9.255.255.255", false}, {"11.0.0.0", false}, {"0.0.0.0", false}, {"255.255.255.255", false},
			{"2001:db8::1", true}, {"2001:db8:66::", false}, {"2001:db8:66:ffff:ffff:ffff:ffff:ffff", false}, {"2001:db8:67::", true}, {"2001:db9::", false}, {"::1", false},
			{"::ffff:10.1.2.3", true}, {"::ffff:10.66.1.1", false},
		} {
			for _, tcp := range []bool{false, true} {
				want := good
				if !c.allowed {
					want = refused
					if denied == deniedDrop {
						want = "none"
					}
				}
				if got := from(t, s, w, c.client, tcp, msg); got != want {
					t.Errorf("%s, denied = %q: %s, want %s", c.client, denied, got, want)
				}
			}
		}
		if s.Stats().Denied == 0 {
			t.Error("nothing counted")
		}
	}
	// Without allow, all that is not denied is answered.
	s, w := serverWith(t, Config{Deny: prefixes("192.0.2.0/24", "0.0.0.0/1")})
	for client, want := range map[string]string{"192.0.2.1": refused, "192.0.3.1": good, "127.0.0.1": refused, "128.0.0.1": good, "2001:db8::1": good} {
		if got := from(t, s, w, client, false, msg); got != want {
			t.Errorf("%s: %s, want %s", client, got, want)
		}
	}
}

// The ranges say of every address what the lists do.
func TestAccessAgreesWithLists(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	address := func() netip.Addr {
		if r.IntN(2) == 0 {
			return netip.AddrFrom4([4]byte{byte(r.IntN(3)), byte(r.IntN(3)), byte(r.IntN(2) * 255), byte(r.IntN(256))})
		}
		return netip.AddrFrom16([16]byte{0x20, 1, byte(r.IntN(3)), byte(r.IntN(2) * 255), 15: byte(r.IntN(256))})
	}
	list := func() (all []netip.Prefix) {
		for range r.IntN(6) {
			a := address()
			p, _ := a.Prefix(r.IntN(a.BitLen() + 1))
			all = append(all, p)
		}
		return all
	}
	for range 300 {
		c := Config{Allow: list(), Deny: list(), RateLimitExempt: list(), ECSFrom: list()}
		c.Deny = slices.DeleteFunc(c.Deny, func(p netip.Prefix) bool { return slices.Contains(c.Allow, p) })
		a := NewAccess(c)
		if a == nil {
			continue
		}
		longest := func(list []netip.Prefix, x netip.Addr) int {
			n := -1
			for _, p := range list {
				if p.Contains(x) {
					n = max(n, p.Bits())
				}
			}
			return n
		}
		for range 100 {
			x := address()
			allow, deny := longest(c.Allow, x), longest(c.Deny, x)
			var want standing
			if deny > allow || allow < 0 && len(c.Allow) > 0 {
				want |= denied
			}
			if longest(c.RateLimitExempt, x) >= 0 {
				want |= exempt
			}
			if len(c.ECSFrom) == 0 || longest(c.ECSFrom, x) >= 0 {
				want |= believed
			}
			if got := a.standing(x); got != want {
				t.Fatalf("%v of %+v: %b, want %b", x, c, got, want)
			}
		}
	}
}

// Over UDP, a network gets one answer at the rate, every second one over it
// truncated, and the others not; nothing of that concerns other networks, other
// answers, TCP, or who has a good cookie.
func TestRateLimit(t *testing.T) {
	s, w := serverWith(t, Config{RateLimit: 10, RateLimitWindow: time.Second, RateLimitExempt: prefixes("10.9.0.0/16")})
	const good = "NOERROR aa static.abc.com./A/192.0.2.99"
	static := query(t, "static.abc.com.", dns.TypeA)
	count := func(n int, client string, tcp bool, msgs ...[]byte) map[string]int {
		got := map[string]int{}
		for i := range n {
			got[from(t, s, w, client, tcp, msgs[i%len(msgs)])]++
		}
		return got
	}
	want := func(what string, got map[string]int, want map[string]int) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	want("one network", count(30, "192.0.2.1", false, static), map[string]int{good: 10, "none": 10, "NOERROR tc": 10})
	want("the same network", count(4, "192.0.2.200", false, static), map[string]int{"none": 2, "NOERROR tc": 2})
	want("another network", count(10, "192.0.3.1", false, static), map[string]int{good: 10})
	want("another answer", count(10, "192.0.2.1", false, query(t, "mixed.abc.com.", dns.TypeA)), map[string]int{"NOERROR aa mixed.abc.com./A/192.0.2.98": 10})
	want("TCP", count(30, "192.0.2.1", true, static), map[string]int{good: 30})
	want("exempt", count(30, "10.9.1.1", false, static), map[string]int{good: 30})
	want("IPv6", count(12, "2001:db8:1:2::1", false, static), map[string]int{good: 10, "none": 1, "NOERROR tc": 1})
	want("the same /56", count(2, "2001:db8:1:ff::1", false, static), map[string]int{"none": 1, "NOERROR tc": 1})
	want("another /56", count(2, "2001:db8:1:100::1", false, static), map[string]int{good: 2})

	// Names that do not exist are one answer, and so are those below a wildcard.
	var random, wild [][]byte
	for i := range 20 {
		random = append(random, query(t, fmt.Sprintf("x%d.abc.com.", i), dns.TypeA))
		wild = append(wild, query(t, fmt.Sprintf("x%d.wild.abc.com.", i), dns.TypeA))
	}
	if got := count(20, "192.0.4.1", false, random...); got["none"]+got["NOERROR tc"] != 10 {
		t.Errorf("names that do not exist: %v", got)
	}
	if got := count(20, "192.0.5.1", false, wild...); got["none"]+got["NOERROR tc"] != 10 {
		t.Errorf("names below a wildcard: %v", got)
	}
	// Errors, and questions of other classes.
	want("refusals", count(12, "192.0.6.1", false, query(t, "other.example.", dns.TypeA)), map[string]int{"REFUSED": 10, "none": 1, "NOERROR tc": 1})
	want("opcodes", count(12, "192.0.6.1", false, query(t, "abc.com.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus })), map[string]int{"NOTIMP": 10, "none": 1, "NOERROR tc": 1})
	want("CHAOS", count(12, "192.0.6.1", false, query(t, "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS })), map[string]int{"REFUSED": 10, "none": 1, "NOERROR tc": 1})

	// Who has a client cookie gets one to come back with; who has a good one is not limited.
	a := netip.MustParseAddr("192.0.2.1")
	cookie := s.secrets.Load().appendCookie([]byte("client01"), []byte("client01"), a, s.seconds.Load())
	want("a client cookie", count(4, "192.0.2.1", false, query(t, "static.abc.com.", dns.TypeA, cookieOption(cookie[:8]))), map[string]int{"none": 2, "BADCOOKIE opt": 2})
	want("a good cookie", count(30, "192.0.2.1", false, query(t, "static.abc.com.", dns.TypeA, cookieOption(cookie))), map[string]int{good + " opt": 30})

	// Half a second later there are five more.
	s.millis.Store(501)
	want("later", count(7, "192.0.2.1", false, static), map[string]int{good: 5, "none": 1, "NOERROR tc": 1})
	s.millis.Store(500000)
	want("much later", count(12, "192.0.2.1", false, static), map[string]int{good: 10, "none": 1, "NOERROR tc": 1})

	st := s.Stats()
	if st.Limited == 0 || st.Slipped != st.Limited/2 {
		t.Errorf("%d limited, %d of them slipped", st.Limited, st.Slipped)
	}
}

func TestRateLimitSlip(t *testing.T) {
	for slip, want := range map[int]map[string]int{
		0: {"NOERROR aa static.abc.com./A/192.0.2.99": 1, "none": 9},
		1: {"NOERROR aa static.abc.com./A/192.0.2.99": 1, "NOERROR tc": 9},
		3: {"NOERROR aa static.abc.com./A/192.0.2.99": 1, "NOERROR tc": 3, "none": 6},
	} {
		s, w := serverWith(t, Config{RateLimit: 1, RateLimitWindow: time.Second, RateLimitSlip: &slip})
		got := map[string]int{}
		for range 10 {
			got[from(t, s, w, "192.0.2.1", false, query(t, "static.abc.com.", dns.TypeA))]++
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("slip %d: %v, want %v", slip, got, want)
		}
	}
}

// A resolver that is believed asks for the networks behind it; others that send a
// subnet with each query do not get round the limit by that.
func TestRateLimitOfResolvers(t *testing.T) {
	s, w := serverWith(t, Config{RateLimit: 1, RateLimitWindow: time.Second, ECSFrom: prefixes("192.0.2.0/24")})
	answered := func(client string) (n int) {
		for i := range 20 {
			if got := from(t, s, w, client, false, query(t, "www.abc.com.", dns.TypeA, subnet(fmt.Sprintf("203.0.%d.0/24", i)))); got != "none" && got[:10] != "NOERROR tc" {
				n++
			}
		}
		return n
	}
	if n := answered("192.0.2.53"); n != 20 {
		t.Errorf("a resolver got %d of 20 answers", n)
	}
	if n := answered("192.0.3.53"); n != 1 {
		t.Errorf("somebody else got %d of 20 answers, want 1", n)
	}
}

// A flood from all the world does not make the table forget who is over the limit.
func TestRateLimitUnderFlood(t *testing.T) {
	var clock atomic.Uint32
	l := newRates(Config{RateLimit: 10}.WithDefaults(), &clock)
	victim := netip.MustParseAddr("192.0.2.1")
	taken := 0
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 1_000_000 {
		clock.Store(uint32(i / 1000)) // a million queries in a second
		if i%100 == 0 && l.take(victim, 7) {
			taken++
		}
		l.take(netip.AddrFrom4([4]byte{byte(r.Uint32()), byte(r.Uint32()), byte(r.Uint32()), 1}), 7)
	}
	if most := 10*2 + 10 + 1; taken > most {
		t.Errorf("%d answers went to one network in a second, at most %d should", taken, most)
	}
}

// Over UDP and without a good cookie, an answer has at most so many times the
// octets of its query.
func TestMaxAmplification(t *testing.T) {
	for _, factor := range []int{0, 5, 10, 30} {
		s, w := serverWith(t, Config{MaxAmplification: &factor})
		cookie := cookieOf(t, answer(t, s, w, query(t, "abc.com.", dns.TypeA, cookieOption([]byte("client01"))), false))
		for _, name := range []string{"many.abc.com.", "txt.abc.com.", "x.big.abc.com.", "static.abc.com.", "mx.abc.com."} {
			for _, qtype := range []uint16{dns.TypeA, dns.TypeTXT, dns.TypeMX} {
				for _, opts := range [][]func(*dns.Msg){nil, {edns(1232, false)}, {edns(1232, false), cookieOption([]byte("client01"))}, {edns(1232, false), subnet("10.0.0.0/24")}} {
					msg := query(t, name, qtype, opts...)
					out := s.answer(w, msg, source, false, make([]byte, 0, maxMessage+maxRecordHead))
					if factor > 0 && len(out) > factor*len(msg) {
						t.Errorf("factor %d: %s %s: %d octets for %d", factor, name, dns.Type(qtype), len(out), len(msg))
					}
					whole := s.answer(w, msg, source, true, make([]byte, 0, maxMessage+maxRecordHead))
					bound := 512
					if len(opts) > 0 {
						bound = 1232
					}
					if factor > 0 {
						bound = min(bound, factor*len(msg))
					}
					m := new(dns.Msg)
					if err := m.Unpack(out); err != nil || m.Truncated != (len(whole) > bound) && qtype != dns.TypeMX {
						t.Errorf("factor %d: %s %s: TC %v for %d of %d octets, %v", factor, name, dns.Type(qtype), m.Truncated, len(whole), bound, err)
					}
				}
				trusted := answer(t, s, w, query(t, name, qtype, edns(1232, false), cookieOption(cookie)), false)
				if whole := answer(t, s, w, query(t, name, qtype, edns(1232, false), cookieOption(cookie)), true); whole.Len() <= 1200 && trusted.Truncated {
					t.Errorf("factor %d: %s %s: truncated in spite of a good cookie", factor, name, dns.Type(qtype))
				}
			}
		}
	}
}

// The limit holds for all goroutines together, also while they ask at the same time,
// at any rate, and when the clock comes round.
func TestRateLimitOfAllWorkers(t *testing.T) {
	const workers = 4
	for _, rate := range []int{1, 7, 1000, 300_000} {
		var clock atomic.Uint32
		clock.Store(math.MaxUint32 - 999) // comes round with the first second
		l := newRates(Config{RateLimit: rate, RateLimitWindow: time.Second}.WithDefaults(), &clock)
		client := netip.MustParseAddr("192.0.2.1")
		for second, seconds := range []int{1, 1, 3600, 86400, 50 * 86400} { // that pass before
			clock.Add(uint32(seconds * 1000))
			var taken atomic.Int64
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					l := l.limiter()
					for range rate/2 + 10 {
						if l.take(client, 7) {
							taken.Add(1)
						}
					}
				})
			}
			wg.Wait()
			if got := int(taken.Load()); math.Abs(float64(got-rate)) > 0.03*float64(rate) {
				t.Errorf("rate %d, round %d: %d answers", rate, second, got)
			}
		}
	}
	s, w := serverWith(t, Config{RateLimit: 10, RateLimitWindow: time.Second})
	got := 0
	for i := range 40 {
		if i%10 == 0 { // each worker of a server has a responder
			w = s.responder(i, s.newCounters())
		}
		if strings.HasPrefix(from(t, s, w, "192.0.2.1", false, query(t, "static.abc.com.", dns.TypeA)), "NOERROR aa") {
			got++
		}
	}
	if got != 10 {
		t.Errorf("four workers gave %d answers, want 10", got)
	}
}

func BenchmarkGuard(b *testing.B) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	s, w := server(b, nil)
	cookie := cookieOf(b, answer(b, s, w, query(b, "static.abc.com.", dns.TypeA, cookieOption([]byte("client01"))), false))
	for _, c := range []struct {
		name string
		cfg  Config
		opts []func(*dns.Msg)
	}{
		{"plain", Config{}, nil},
		{"cookie-new", Config{}, []func(*dns.Msg){cookieOption(cookie[:8])}},
		{"cookie-bad", Config{}, []func(*dns.Msg){cookieOption(cookie)}},
		{"acl", Config{Deny: prefixes("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "10.0.0.0/8")}, nil},
		{"rate-limit", Config{RateLimit: 1_000_000, RateLimitWindow: time.Minute}, nil},
	} {
		b.Run(c.name, func(b *testing.B) {
			s, w := serverWith(b, c.cfg)
			w.batched = true
			msg := query(b, "static.abc.com.", dns.TypeA, append([]func(*dns.Msg){edns(1232, false)}, c.opts...)...)
			b.ReportAllocs()
			for b.Loop() {
				s.answer(w, msg, source, false, out)
			}
		})
	}
}
