package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// serve answers on UDP and TCP of one free loopback port until the test ends.
func serve(t *testing.T, handler dns.HandlerFunc) (addr string) {
	t.Helper()
	var packets net.PacketConn
	var listener net.Listener
	var err error
	for range 20 { // a UDP port that is free need not be free for TCP
		if packets, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if listener, err = net.Listen("tcp", packets.LocalAddr().String()); err == nil {
			break
		}
		packets.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*dns.Server{{PacketConn: packets, Handler: handler}, {Listener: listener, Handler: handler, MaxTCPQueries: -1}} {
		started, ended := make(chan struct{}), make(chan error, 1)
		s.NotifyStartedFunc = func() { close(started) }
		go func() { ended <- s.ActivateAndServe() }()
		select {
		case <-started:
		case err := <-ended:
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Shutdown(); err != nil {
				t.Error(err)
			}
			<-ended
		})
	}
	return packets.LocalAddr().String()
}

// answer is the right answer: an address, and the client subnet with scope 24.
func answer(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = true
	name := q.Question[0].Name
	if strings.Contains(name, ".nx.") {
		m.Rcode = dns.RcodeNameError
	} else {
		m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: net.IPv4(192, 0, 2, 10)}}
	}
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(1232, false)
		for _, o := range opt.Option {
			if ecs, ok := o.(*dns.EDNS0_SUBNET); ok {
				echo := *ecs
				echo.SourceScope = 24
				m.IsEdns0().Option = append(m.IsEdns0().Option, &echo)
			}
		}
	}
	return m
}

// patient is longer than a busy machine keeps an answer that comes.
const patient = "60s"

// loadgen runs the program and reads its JSON report.
func loadgen(t *testing.T, args ...string) (r report, code int, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	code = run(ctx, append(args, "-json"), &out, &errs)
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%v in %s", err, out.String())
		}
		if r.Sent != r.Received+r.Lost {
			t.Errorf("sent %d is not received %d + lost %d", r.Sent, r.Received, r.Lost)
		}
	}
	return r, code, errs.String()
}

func TestGoodAnswers(t *testing.T) {
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(answer(q)) })
	names := filepath.Join(t.TempDir(), "names")
	if err := os.WriteFile(names, []byte("# comment\nwww.abc.com A\n\nWwW.aBc.CoM\nother.abc.com TYPE65\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	subnets4, subnets6 := filepath.Join(t.TempDir(), "subnets4"), filepath.Join(t.TempDir(), "subnets6")
	for file, text := range map[string]string{subnets4: "198.51.100.0/24\n203.0.113.0/24\n", subnets6: "2001:db8::/56\n2001:db8:1:ff00::/56\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		args   []string
		rcode  string
		scoped bool
	}{
		{"plain", nil, "NOERROR", false},
		{"no EDNS", []string{"-edns", "0"}, "NOERROR", false},
		{"random IPv4 subnets", []string{"-ecs", "random4"}, "NOERROR", true},
		{"random IPv6 subnets", []string{"-ecs", "random6", "-do"}, "NOERROR", true},
		{"one subnet", []string{"-ecs", "203.0.113.0/24", "-answers", "1", "-match", `\sA\s+192\.0\.2\.10$`}, "NOERROR", true},
		{"odd subnet", []string{"-ecs", "203.0.112.0/21"}, "NOERROR", true},
		{"empty subnet", []string{"-ecs", "0.0.0.0/0"}, "NOERROR", true},
		{"IPv4 subnets of a file", []string{"-ecs", "@" + subnets4}, "NOERROR", true},
		{"IPv6 subnets of a file", []string{"-ecs", "@" + subnets6}, "NOERROR", true},
		{"random names", []string{"-names", "random-nx", "-name", "nx.abc.com", "-ecs", "random4"}, "NXDOMAIN", true},
		{"names of a file", []string{"-names", names}, "NOERROR", false},
		{"tcp", []string{"-tcp", "-ecs", "random4"}, "NOERROR", true},
		{"a connection for each query", []string{"-tcp", "-per-connection", "1", "-inflight", "1"}, "NOERROR", false},
		{"a connection for ten queries", []string{"-tcp", "-per-connection", "10", "-inflight", "4"}, "NOERROR", false},
		{"small odd window", []string{"-inflight", "3", "-sockets", "1"}, "NOERROR", false},
		{"window of one", []string{"-inflight", "1", "-sockets", "5"}, "NOERROR", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// A window that the server's socket buffer holds, so that nothing is lost.
			base := []string{"-server", addr, "-check", "-duration", "100ms", "-timeout", patient, "-inflight", "25"}
			r, code, stderr := loadgen(t, append(base, test.args...)...)
			if code != 0 || r.Mismatches != 0 || r.Lost != 0 || r.Unexpected != 0 || r.Received == 0 {
				t.Fatalf("code %d %s, report %+v", code, stderr, r)
			}
			if r.Rcodes[test.rcode] != r.Received {
				t.Errorf("rcodes %v, want only %s", r.Rcodes, test.rcode)
			}
			if test.scoped && r.Scopes["24"] != r.Received || !test.scoped && len(r.Scopes) > 0 {
				t.Errorf("scopes %v of %d answers", r.Scopes, r.Received)
			}
			if l := r.Latency; !(l.Min > 0 && l.Min <= l.P50 && l.P50 <= l.P99 && l.P99 <= l.P999 && l.P999 <= l.Max) {
				t.Errorf("latencies are not in order: %+v", l)
			}
		})
	}
}

func TestPacing(t *testing.T) {
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(answer(q)) })
	r, code, stderr := loadgen(t, "-server", addr, "-rate", "1000", "-duration", "500ms", "-inflight", "1000")
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	// Never more than was asked for; less only as far as this machine stood still.
	if due := uint64(500); r.Sent+r.HeldBack > due+2 || r.Sent == 0 {
		t.Errorf("sent %d, held back %d, want %d", r.Sent, r.HeldBack, due)
	}
}

func TestWrongAnswers(t *testing.T) {
	tests := []struct {
		reason string
		spoil  func(m *dns.Msg)
	}{
		{"question", func(m *dns.Msg) { m.Question[0].Name = strings.ToUpper(m.Question[0].Name) }},
		{"question", func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeAAAA }},
		{"question", func(m *dns.Msg) { m.Question = nil }},
		{"rcode", func(m *dns.Msg) { m.Rcode = dns.RcodeServerFailure }},
		{"answers", func(m *dns.Msg) { m.Answer = nil }},
		{"match", func(m *dns.Msg) { m.Answer[0].(*dns.A).A = net.IPv4(192, 0, 2, 99) }},
		{"ecs", func(m *dns.Msg) { m.Extra = nil }},
		{"ecs", func(m *dns.Msg) { m.IsEdns0().Option = nil }},
		{"ecs", func(m *dns.Msg) { m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).Address = net.IPv4(203, 0, 112, 0) }},
		{"ecs", func(m *dns.Msg) { m.IsEdns0().Option[0].(*dns.EDNS0_SUBNET).SourceNetmask = 23 }},
		{"malformed", func(m *dns.Msg) { m.Response = false }},
		{"answers", func(m *dns.Msg) { m.Ns = nil }},
	}
	for _, test := range tests {
		t.Run(test.reason, func(t *testing.T) {
			addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
				m := answer(q)
				m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: "abc.com.", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 30}, Ns: "ns.abc.com."}}
				test.spoil(m)
				w.WriteMsg(m)
			})
			r, code, _ := loadgen(t, "-server", addr, "-ecs", "203.0.113.0/24", "-check", "-answers", "1", "-authority", "1", "-match", `192\.0\.2\.10$`, "-duration", "20ms", "-inflight", "10", "-timeout", "5s")
			if code != 1 || r.Mismatches == 0 || r.Reasons[test.reason] != r.Received {
				t.Errorf("code %d, %d answers, mismatches %v; want all for %q", code, r.Received, r.Reasons, test.reason)
			}
		})
	}
}

func TestNoOptionInNoneOut(t *testing.T) {
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := answer(q)
		m.SetEdns0(1232, false)
		m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IPv4(203, 0, 113, 0)}}
		w.WriteMsg(m)
	})
	r, code, _ := loadgen(t, "-server", addr, "-check", "-duration", "20ms", "-inflight", "10", "-timeout", "5s")
	if code != 1 || r.Reasons["ecs"] != r.Received {
		t.Errorf("code %d, mismatches %v of %d answers", code, r.Reasons, r.Received)
	}
}

func TestLossAndStrayAnswers(t *testing.T) {
	var asked atomic.Uint64
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := answer(q)
		switch asked.Add(1) % 4 {
		case 0: // lost
		case 1: // an answer that nobody asked for; the query is lost
			m.Id += 1 << 15
			w.WriteMsg(m)
		case 2: // twice
			w.WriteMsg(m)
			w.WriteMsg(m)
		default:
			w.WriteMsg(m)
		}
	})
	args := []string{"-server", addr, "-duration", "50ms", "-timeout", "1s", "-sockets", "1", "-inflight", "64", "-rate", "2000"}
	r, code, stderr := loadgen(t, args...)
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if r.Lost == 0 || r.Unexpected == 0 || r.Received == 0 {
		t.Errorf("report %+v", r)
	}
	if _, code, stderr = loadgen(t, append(args, "-max-loss", "0.01")...); code != 1 || !strings.Contains(stderr, "is more than 1.0000%") {
		t.Errorf("with -max-loss 0.01: code %d: %s", code, stderr)
	}
}

func TestNobodyListens(t *testing.T) {
	addr := bed.FreeAddress(t)
	r, code, stderr := loadgen(t, "-server", addr, "-duration", "20ms", "-timeout", "20ms")
	if code != 1 || r.Received != 0 || r.Lost != r.Sent || !strings.Contains(stderr, "no answer from "+addr) {
		t.Errorf("udp: code %d, report %+v: %s", code, r, stderr)
	}
	if _, code, stderr = loadgen(t, "-server", addr, "-tcp", "-duration", "20ms"); code != 1 || !strings.Contains(stderr, "refused") {
		t.Errorf("tcp: code %d: %s", code, stderr)
	}
}

// Names of a file may say what becomes of them.
func TestRcodesOfAFile(t *testing.T) {
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { w.WriteMsg(answer(q)) })
	names := filepath.Join(t.TempDir(), "names")
	for text, want := range map[string]int{
		"www.abc.com A\na.nx.abc.com A NXDOMAIN\n": 0,
		"www.abc.com A NXDOMAIN\n":                 1,
		"a.nx.abc.com A\n":                         1,
	} {
		if err := os.WriteFile(names, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		r, code, stderr := loadgen(t, "-server", addr, "-names", names, "-check", "-answers", "1", "-duration", "20ms", "-inflight", "10", "-timeout", patient)
		if code != want || want == 1 && r.Reasons["rcode"] != r.Received {
			t.Errorf("%q: code %d, mismatches %v: %s", text, code, r.Reasons, stderr)
		}
	}
}

// Each connection carries the queries that it should, and no more.
func TestQueriesOfAConnection(t *testing.T) {
	var mu sync.Mutex
	counts := map[string]int{}
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		counts[w.RemoteAddr().String()]++
		mu.Unlock()
		w.WriteMsg(answer(q))
	})
	r, code, stderr := loadgen(t, "-server", addr, "-tcp", "-per-connection", "3", "-inflight", "2", "-sockets", "1", "-duration", "500ms", "-timeout", patient, "-check")
	if code != 0 {
		t.Fatalf("code %d: %s", code, stderr)
	}
	mu.Lock()
	defer mu.Unlock()
	short := 0
	for from, n := range counts {
		if n > 3 {
			t.Errorf("%s: %d queries on one connection, must be 3", from, n)
		} else if n < 3 {
			short++
		}
	}
	if len(counts) < 2 || short > 1 {
		t.Errorf("%d connections for %d queries, %d of them with fewer than 3", len(counts), r.Received, short)
	}
}

func TestServerClosesConnections(t *testing.T) {
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) { w.Close() })
	r, code, stderr := loadgen(t, "-server", addr, "-tcp", "-duration", "200ms", "-timeout", "200ms")
	if code != 1 || len(r.Errors) == 0 {
		t.Errorf("code %d, report %+v: %s", code, r, stderr)
	}
}

func TestInterrupt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var asked atomic.Uint64
	addr := serve(t, func(w dns.ResponseWriter, q *dns.Msg) {
		w.WriteMsg(answer(q))
		if asked.Add(1) == 1000 { // some of whose answers have been read: so many are not under way at once
			cancel()
		}
	})
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"-server", addr, "-duration", "1h", "-inflight", "10", "-timeout", "5s"}, &out, &errs); code != 0 { // an hour is more than go test waits
		t.Errorf("code %d: %s", code, errs.String())
	}
	if !strings.Contains(out.String(), "answers per second") {
		t.Errorf("no report after an interrupt: %q", out.String())
	}
}
