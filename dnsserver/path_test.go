package dnsserver

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/zones"
)

// The whole way, sockets included, allocates nothing: counted over many
// queries, so that what the runtime does in the background does not matter.
func TestServingAllocatesNothing(t *testing.T) {
	for name, batch := range modes {
		t.Run(name, func(t *testing.T) { testServingAllocatesNothing(t, batch) })
	}
}

func testServingAllocatesNothing(t *testing.T, batch int) {
	s := start(t, Config{Listen: []string{"127.0.0.1:0"}, Workers: 1, Batch: batch})
	conn, err := net.Dial("udp4", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	msg := query(t, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"))
	if per := allocations(t, conn, msg); per > 0.1 {
		t.Errorf("%.2f allocations for each query", per)
	}
}

// allocations asks a query many times over a connection, and gives how many allocations each took.
func allocations(t *testing.T, conn net.Conn, msg []byte) float64 {
	t.Helper()
	buf := make([]byte, 1500)
	exchange := func(n int) {
		conn.SetDeadline(time.Now().Add(patience))
		for range n {
			if _, err := conn.Write(msg); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Read(buf); err != nil {
				t.Fatal(err)
			}
		}
	}
	exchange(100)
	const n = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	exchange(n)
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / n
}

// The steps that this room owns; the others have theirs in zones, geo and steer.

func BenchmarkParse(b *testing.B) {
	var q Query
	for _, c := range []struct {
		name string
		msg  []byte
	}{
		{"plain", query(b, "www.abc.com.", dns.TypeA)},
		{"subnet", query(b, "www.abc.com.", dns.TypeA, subnet("10.1.2.0/24"))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.parse(c.msg)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	s, _ := server(b, nil)
	g := s.Generation()
	buf := make([]byte, 0, maxMessage+maxRecordHead)
	var e zones.Encoder
	for _, c := range []struct {
		name, owner string
		qtype       uint16
	}{{"address", "static.abc.com.", dns.TypeA}, {"negative", "none.abc.com.", dns.TypeA}, {"mx", "mx.abc.com.", dns.TypeMX}, {"referral", "x.sub.abc.com.", dns.TypeA}} {
		name, _ := dnsname.Parse(c.owner)
		var n zones.Name
		var r zones.Result
		n.Set(name)
		g.DB.Lookup(&n, c.qtype, false, &r)
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				out := append(append(buf, make([]byte, headerLen)...), name...)
				out = append(out, 0, 1, 0, 1)
				e.Begin(out, name, 1232)
				e.Sections(&r)
			}
		})
	}
	b.Run("prepared", func(b *testing.B) {
		p := g.answers[0].get(dns.TypeA, 0)
		b.ReportAllocs()
		for b.Loop() {
			p.wire.AppendTo(buf, len("\x03www\x03abc\x03com\x00"))
		}
	})
}
