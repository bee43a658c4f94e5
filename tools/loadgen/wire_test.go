package main

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func mustOptions(t testing.TB, args ...string) (*options, []template) {
	t.Helper()
	o, err := parseOptions(args, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	all, err := templates(&o)
	if err != nil {
		t.Fatal(err)
	}
	return &o, all
}

func TestQueries(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	seen := map[string]bool{}
	for _, ecs := range []string{"random4", "random6", "none", "198.51.100.0/22"} {
		_, all := mustOptions(t, "-names", "random-nx", "-name", "abc.com", "-ecs", ecs, "-type", "AAAA", "-do")
		for range 500 {
			var buf [maxQuery]byte
			n := all[0].fill(buf[:], 4711, rng)
			var m dns.Msg
			if err := m.Unpack(buf[:n]); err != nil {
				t.Fatalf("%s: %v", ecs, err)
			}
			q := m.Question[0]
			if m.Id != 4711 || q.Qtype != dns.TypeAAAA || !dns.IsSubDomain("abc.com.", q.Name) || dns.CountLabel(q.Name) != 3 || !m.IsEdns0().Do() {
				t.Fatalf("%s: asks %v", ecs, &m)
			}
			if seen[q.Name] {
				t.Fatalf("name %s twice", q.Name)
			}
			seen[q.Name] = true
			checkSubnet(t, ecs, m.IsEdns0())
		}
	}
}

func checkSubnet(t *testing.T, ecs string, opt *dns.OPT) {
	t.Helper()
	if ecs == "none" {
		if len(opt.Option) != 0 {
			t.Fatalf("none: options %v", opt.Option)
		}
		return
	}
	subnet := opt.Option[0].(*dns.EDNS0_SUBNET)
	addr, _ := netip.AddrFromSlice(subnet.Address)
	p := netip.PrefixFrom(addr.Unmap(), int(subnet.SourceNetmask))
	good := map[string]bool{
		"random4":         p.Bits() == 24 && p.Addr().Is4() && p.Addr().IsGlobalUnicast() && p.Addr().As4()[0] != 10,
		"random6":         p.Bits() == 56 && p.Addr().Is6() && netip.MustParsePrefix("2000::/3").Contains(p.Addr()),
		"198.51.100.0/22": p == netip.MustParsePrefix("198.51.100.0/22"),
	}
	if !good[ecs] || p != p.Masked() {
		t.Fatalf("%s: subnet %v", ecs, p)
	}
}

func TestSameSeedAsksTheSame(t *testing.T) {
	_, all := mustOptions(t, "-names", "random-nx", "-ecs", "random4")
	var a, b [maxQuery]byte
	for range 10 {
		all[0].fill(a[:], 1, rand.New(rand.NewPCG(7, 1)))
		all[0].fill(b[:], 1, rand.New(rand.NewPCG(7, 1)))
		if a != b {
			t.Fatal("two queries of one seed differ")
		}
	}
}

// loop is a server inside the process without a socket: it answers what was
// sent with the query itself, turned into an answer.
type loop struct{ pending [][]byte }

func (c *loop) Send(msgs [][]byte) (int, error) {
	c.pending = append(c.pending, msgs...)
	return len(msgs), nil
}

func (c *loop) Receive(_ time.Duration, each func([]byte, time.Time)) error {
	at := time.Now()
	for _, m := range c.pending {
		m[2] |= flagQR
		each(m, at)
	}
	c.pending = c.pending[:0]
	return nil
}

func (c *loop) Close() error { return nil }

func newLoopLane(t testing.TB) *lane {
	o, all := mustOptions(t, "-names", "random-nx", "-ecs", "random4", "-check", "-rcode", "NOERROR", "-sockets", "1", "-inflight", "100", "-duration", "1h")
	l := newLane(o, &loop{}, all, 0)
	l.started = time.Now()
	return l
}

func (l *lane) round(receive func([]byte, time.Time)) {
	l.now = time.Since(l.started)
	l.expire()
	_ = l.send()
	_ = l.conn.Receive(l.wait(), receive)
}

func TestInnerLoopAllocatesNothing(t *testing.T) {
	l := newLoopLane(t)
	receive := l.receive
	l.round(receive) // grows the loop's own buffer
	if n := testing.AllocsPerRun(100, func() { l.round(receive) }); n != 0 {
		t.Errorf("%v allocations for a window of 100 queries", n)
	}
	if l.stats.Sent < 10000 || l.stats.Received != l.stats.Sent || l.stats.Verdicts[answerGood] != l.stats.Sent || l.taken != 0 {
		t.Errorf("sent %d, received %d, good %d, outstanding %d", l.stats.Sent, l.stats.Received, l.stats.Verdicts[answerGood], l.taken)
	}
}

func BenchmarkInnerLoop(b *testing.B) {
	b.ReportAllocs()
	l := newLoopLane(b)
	receive := l.receive
	for b.Loop() {
		l.round(receive)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(l.stats.Sent), "ns/query")
}

func FuzzCheck(f *testing.F) {
	_, all := mustOptions(f, "-ecs", "203.0.113.0/24")
	var buf [maxQuery]byte
	n := all[0].fill(buf[:], 1, rand.New(rand.NewPCG(1, 1)))
	query := buf[:n]
	var q dns.Msg
	if err := q.Unpack(query); err != nil {
		f.Fatal(err)
	}
	right, err := answer(&q).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(right)
	f.Add(query)
	f.Add(right[:headerSize])
	f.Add(right[:len(right)-1])
	f.Fuzz(func(t *testing.T, msg []byte) {
		c := checker{full: true, answers: 1}
		if c.check(query, all[0].questionEnd, dns.RcodeSuccess, msg) != answerGood {
			return
		}
		// What passes has the question asked and a good subnet, whoever reads it.
		var m dns.Msg
		if m.Unpack(msg) != nil {
			return // miekg/dns looks into records that the checker leaves alone
		}
		if len(m.Question) != 1 || m.Question[0] != q.Question[0] || m.IsEdns0() == nil {
			t.Errorf("passed: %v", &m)
		}
	})
}
