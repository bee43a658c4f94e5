package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// faking is a primary of the zone "example." that says what it is told to say.
type faking struct {
	at            string
	mu            sync.Mutex
	announced, is uint32   // serial numbers: of the answer for SOA, and of what it sends
	more          []string // records that it sends besides
	asked         int      // for SOA
	left          *uint32  // what it says in an EXPIRE option, if it is asked
	old           bool     // it does not know EDNS
	shy           bool     // it refuses to answer over UDP
	lame          bool     // it answers without authority
}

func startFaking(t testing.TB, serial uint32) *faking {
	t.Helper()
	f := &faking{announced: serial, is: serial}
	pc, ln := listenBoth(t)
	f.at = pc.LocalAddr().String()
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: f}, {Listener: ln, Handler: f}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return f
}

// listenBoth listens on a port that is free for UDP and for TCP.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 20 { // what is free for the one may not be for the other
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		if ln, err := net.Listen("tcp", pc.LocalAddr().String()); err == nil {
			return pc, ln
		}
		pc.Close()
	}
	t.Fatal("no port is free for UDP and TCP")
	return nil, nil
}

func (f *faking) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	f.mu.Lock()
	defer f.mu.Unlock()
	soa := func(serial uint32) string {
		return fmt.Sprintf("example. 300 IN SOA ns1.example. host.example. %d 3600 600 86400 60", serial)
	}
	var texts []string
	if q.Question[0].Qtype == dns.TypeSOA {
		f.asked++
		texts = []string{soa(f.announced)}
	} else {
		texts = append([]string{soa(f.is), "example. 300 IN NS ns1.example.", "ns1.example. 300 IN A 192.0.2.53"}, append(f.more, soa(f.is))...)
	}
	m := new(dns.Msg).SetReply(q)
	m.Authoritative = !f.lame
	if _, udp := w.RemoteAddr().(*net.UDPAddr); udp && f.shy {
		m.Rcode = dns.RcodeRefused
		w.WriteMsg(m)
		return
	}
	for _, text := range texts {
		rr, err := dns.NewRR(text)
		if err != nil {
			panic(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if o := q.IsEdns0(); o != nil && q.Question[0].Qtype == dns.TypeSOA {
		if f.old {
			m.Answer, m.Rcode = nil, dns.RcodeFormatError
		} else if m.SetEdns0(1232, false); f.left != nil && len(o.Option) == 1 && o.Option[0].Option() == dns.EDNS0EXPIRE {
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Expire: *f.left}}
		}
	}
	w.WriteMsg(m)
}

func (f *faking) set(announced, is uint32) {
	f.change(func() { f.announced, f.is = announced, is })
}

// change changes what it says.
func (f *faking) change(to func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	to()
}

// testNode is a Manager whose zones are served, with the configuration in force.
func testNode(t testing.TB, dir string, log *slog.Logger, cfgs ...ZoneConfig) (*Manager, *living) {
	t.Helper()
	host := new(living)
	db, err := zones.Build(nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	host.db.Store(db)
	m := New(dir, host, log)
	t.Cleanup(func() {
		for _, z := range m.state.Load().zones {
			z.leave()
		}
	})
	configure(t, m, cfgs...)
	return m, host
}

// configure is a reload.
func configure(t testing.TB, m *Manager, cfgs ...ZoneConfig) {
	t.Helper()
	p, err := m.Prepare(cfgs, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	beside, err := p.Beside(func([]byte) *zones.Zone { return nil })
	if err != nil {
		t.Fatal(err)
	}
	db, err := zones.Build(beside, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m.host.(*living).db.Store(db)
	m.Commit(p)
}

func secondaryOf(name string, primaries ...string) ZoneConfig {
	c := ZoneConfig{Name: name}
	for _, at := range primaries {
		c.Primaries = append(c.Primaries, Peer{Address: at})
	}
	return c
}

func (m *Manager) zoneAt(name string) *zone { return m.state.Load().zones[string(wireOf(name))] }

func wireOf(name string) (b []byte) {
	for l := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		b = append(append(b, byte(len(l))), l...)
	}
	return append(b, 0)
}

// TestPrimaryBehind: a primary that is behind does not hide another that has news.
func TestPrimaryBehind(t *testing.T) {
	a, b := startFaking(t, 1), startFaking(t, 1)
	m, host := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), secondaryOf("example.", a.at, b.at))
	z := m.zoneAt("example.")
	steps := []struct {
		what                 string
		announcedA, serialsA uint32
		serialsB             uint32
		want                 uint32
		fault                string
	}{
		{"both have it", 1, 1, 1, 1, ""},
		{"the second one is ahead", 1, 1, 2, 2, ""},
		{"the first one is older than the copy", 1, 1, 2, 2, ""},
		{"both are older", 1, 1, 1, 2, "older than the 2"},
		{"the first one is ahead", 3, 3, 2, 3, ""},
		{"the first one does not have what it announces", 9, 3, 2, 3, "announces serial number 9, but has nothing newer than the 3"},
		{"nor does it, but the second one has news", 9, 3, 4, 4, ""},
	}
	for _, s := range steps {
		a.set(s.announcedA, s.serialsA)
		b.set(s.serialsB, s.serialsB)
		err := z.refresh(t.Context())
		if s.fault == "" && err != nil || s.fault != "" && (err == nil || !strings.Contains(err.Error(), s.fault)) {
			t.Errorf("%s: %v, want %q", s.what, err, s.fault)
		}
		if got := host.DB().Zone(z.apex).Serial; got != s.want {
			t.Errorf("%s: serial %d, want %d", s.what, got, s.want)
		}
	}
}

// TestShyPrimary: a primary that refuses to tell over UDP is asked over TCP.
func TestShyPrimary(t *testing.T) {
	a := startFaking(t, 1)
	a.change(func() { a.shy = true })
	m, _ := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), secondaryOf("example.", a.at))
	if err := m.zoneAt("example.").refresh(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCopyThatCannotBeWritten: it is a problem, until it can be; the zone is served all
// the same.
func TestCopyThatCannotBeWritten(t *testing.T) {
	a := startFaking(t, 1)
	dir := filepath.Join(t.TempDir(), "not", "there")
	cfg := secondaryOf("example.", a.at)
	cfg.File = filepath.Join(dir, "copy.zone")
	m, host := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), cfg)
	z := m.zoneAt("example.")
	if err := z.refresh(t.Context()); err != nil || host.DB().Zone(z.apex).Serial != 1 {
		t.Fatal(err)
	}
	if all := z.status().Problems; len(all) != 1 || !strings.Contains(all[0], cfg.File) {
		t.Errorf("problems %q", all)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	a.set(2, 2)
	if err := z.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(cfg.File); err != nil || !strings.Contains(string(text), "host.example. 2 3600") || len(z.status().Problems) != 0 {
		t.Errorf("the copy: %v, problems %q\n%s", err, z.status().Problems, text)
	}
}

// TestMaxRecords: a transfer of more records than it may have is given up.
func TestMaxRecords(t *testing.T) {
	a := startFaking(t, 1) // four records, and one more
	a.change(func() { a.more = []string{"www.example. 300 IN A 192.0.2.2"} })
	for most, good := range map[int]bool{0: true, 5: true, 4: false} {
		cfg := secondaryOf("example.", a.at)
		cfg.MaxRecords = most
		m, _ := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), cfg)
		if err := m.zoneAt("example.").refresh(t.Context()); (err == nil) != good || !good && !strings.Contains(err.Error(), "more than 4 records: max_records") {
			t.Errorf("%d: %v", most, err)
		}
	}
	for most, want := range map[int]string{-1: "max_records -1: must be how many", 5: "max_records means nothing without primaries"} {
		said := ""
		Zone{MaxRecords: most}.Validate("example.", nil, func(key, msg string) { said += key + " " + msg })
		if !strings.HasPrefix(said, want) {
			t.Errorf("%d: %q, want %q", most, said, want)
		}
	}
}

// TestLamePrimary: whoever has no authority for a zone does not keep its copy from
// expiring.
func TestLamePrimary(t *testing.T) {
	a := startFaking(t, 1)
	m, _ := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), secondaryOf("example.", a.at))
	z := m.zoneAt("example.")
	if err := z.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	z.confirmed.Store(1)
	a.change(func() { a.lame = true })
	if err := z.refresh(t.Context()); err == nil || !strings.Contains(err.Error(), "not authoritative") || z.confirmed.Load() != 1 {
		t.Errorf("%v, confirmed %d", err, z.confirmed.Load())
	}
}

// TestTellerFirst: whoever has told of a change is asked first, once.
func TestTellerFirst(t *testing.T) {
	z := &zone{}
	at := func(s string) peer { return peer{addr: netip.MustParseAddrPort(s)} }
	z.set.Store(&settings{primaries: []peer{at("192.0.2.1:53"), at("192.0.2.2:53"), at("192.0.2.3:53")}})
	order := func() (s string) {
		for _, p := range z.asked() {
			s += p.String()[8:9]
		}
		return s
	}
	teller := netip.MustParseAddr("192.0.2.3")
	z.teller.Store(&teller)
	if first, then := order(), order(); first != "312" || then != "123" {
		t.Errorf("asked in the order %s, then %s", first, then)
	}
}

// TestStrays: records that do not belong into the zone are left out, as other servers do.
func TestStrays(t *testing.T) {
	a := startFaking(t, 1)
	a.change(func() {
		a.more = []string{"ns.other. 300 IN A 192.0.2.1", "www.example. 300 CH TXT \"x\"", "www.example. 300 IN A 192.0.2.2"}
	})
	var said strings.Builder
	m, host := testNode(t, t.TempDir(), slog.New(slog.NewTextHandler(&said, nil)), secondaryOf("example.", a.at))
	z := m.zoneAt("example.")
	if err := z.refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if lines := zoneLines(host.DB().Zone(z.apex)); len(lines) != 4 {
		t.Errorf("the zone: %v", lines)
	}
	if !strings.Contains(said.String(), "records=2 first=ns.other.") {
		t.Errorf("what is left out is not said: %s", said.String())
	}
}

// TestSilentServer: of those who ask a server that does not answer some try it, and
// nobody else waits for it.
func TestSilentServer(t *testing.T) {
	m := New(t.TempDir(), new(living), slog.New(slog.DiscardHandler))
	s, other := m.primaries.at(netip.MustParseAddrPort("192.0.2.1:53")), m.primaries.at(netip.MustParseAddrPort("192.0.2.2:53"))
	var leave []func()
	for range mostAtServer {
		l, err := s.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	waits := make(chan error)
	go func() {
		_, err := s.enter(t.Context())
		waits <- err
	}()
	if _, err := other.enter(t.Context()); err != nil {
		t.Errorf("another server: %v", err)
	}
	s.heard(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded})
	if err := <-waits; !errors.As(err, new(crowded)) || !strings.Contains(err.Error(), "dial") {
		t.Errorf("who waited: %v", err)
	}
	if _, err := s.enter(t.Context()); !errors.As(err, new(crowded)) {
		t.Errorf("one more: %v", err)
	}
	leave[0]()
	if l, err := s.enter(t.Context()); err != nil {
		t.Errorf("one in the place of another: %v", err)
	} else {
		leave[0] = l
	}
	s.heard(nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one more, once it answers: %v", err)
	}
}

// TestReloadAsksTheOthers: a reload has those zones ask their primaries whose primaries
// are others, or were at fault, not all of them.
func TestReloadAsksTheOthers(t *testing.T) {
	a, b, c := startFaking(t, 1), startFaking(t, 1), startFaking(t, 1)
	dir := t.TempDir()
	m, _ := testNode(t, dir, slog.New(slog.DiscardHandler), secondaryOf("example.", a.at))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- m.Run(ctx) }()
	defer func() { stop(); <-ended }()
	has := func(f *faking, times int) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(time.Millisecond) {
			f.mu.Lock()
			asked := f.asked
			f.mu.Unlock()
			if asked == times {
				return
			}
			if asked > times || time.Since(begun) > 20*time.Second {
				t.Fatalf("%s was asked %d times, want %d", f.at, asked, times)
			}
		}
	}
	has(a, 1)
	for m.zoneAt("example.").moved.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	for range 3 {
		configure(t, m, secondaryOf("example.", a.at))
	}
	configure(t, m, secondaryOf("example.", a.at, b.at)) // another primary: both are asked
	has(b, 1)
	has(a, 2)
	configure(t, m, secondaryOf("example.", c.at))
	has(c, 1)
	has(a, 2)
}

// TestNotifyFlood: notifications under a primary's address make it asked now and then, not
// as fast as they come.
func TestNotifyFlood(t *testing.T) {
	f := startFaking(t, 1)
	m, _ := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), secondaryOf("example.", f.at))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); m.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	asked := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.asked
	}
	for deadline := time.Now().Add(time.Minute); asked() == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the primary is not asked at the start")
		}
	}
	wire, err := new(dns.Msg).SetNotify("example.").Pack()
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for time.Since(begin) < time.Second {
		m.Respond(ctx, wire, netip.MustParseAddrPort("127.0.0.1:4000"), false, nil, nil, func([]byte) error { return nil })
		time.Sleep(time.Millisecond)
	}
	most := 3 + kicksAtOnce + int(time.Since(begin).Seconds()+1)*kicksPerSec
	if n := asked(); n < 3 || n > most {
		t.Errorf("the primary was asked %d times, want 3 to %d", n, most)
	}
}

// TestExpireOption: the copy of a secondary's secondary expires with the first one's (RFC 7314).
func TestExpireOption(t *testing.T) {
	const expire = 86400 // of the SOA record
	a, b := startFaking(t, 1), startFaking(t, 1)
	m, _ := testNode(t, t.TempDir(), slog.New(slog.DiscardHandler), secondaryOf("example.", a.at, b.at))
	z := m.zoneAt("example.")
	begin := time.Now().Truncate(time.Second)
	now := begin
	m.now = func() time.Time { return now }
	seconds := func(n uint32) *uint32 { return &n }
	for _, s := range []struct {
		what         string
		later        time.Duration
		a, b         *uint32
		serial       uint32
		want         time.Duration // that it has left
		old, refused bool
	}{
		{"the first copy, from one that says nothing", 0, nil, nil, 1, expire * time.Second, false, false},
		{"the same, an hour later", time.Hour, seconds(80000), seconds(70000), 1, (expire - 3600) * time.Second, false, false},
		{"the same, from one that is better off", 2 * time.Hour, seconds(79000), seconds(86000), 1, 86000 * time.Second, false, false},
		{"a new one, with less time", 3 * time.Hour, seconds(500), seconds(500), 2, 500 * time.Second, false, false},
		{"more than the SOA record says", 3 * time.Hour, seconds(900000), seconds(900000), 2, expire * time.Second, false, false},
		{"one that does not know EDNS", 4 * time.Hour, nil, nil, 2, expire * time.Second, true, false},
		{"the source, and one that is not", 5 * time.Hour, seconds(70000), nil, 2, expire * time.Second, false, false},
		{"expired, as theirs are", 40 * time.Hour, seconds(0), seconds(0), 2, 0, false, true},
		{"expired, and they have a little left", 40 * time.Hour, seconds(0), seconds(7), 2, 7 * time.Second, false, false},
	} {
		now = begin.Add(s.later)
		z.expire()
		for f, left := range map[*faking]*uint32{a: s.a, b: s.b} {
			f.change(func() { f.announced, f.is, f.left, f.old = s.serial, s.serial, left, s.old })
		}
		if err := z.refresh(t.Context()); (err != nil) != s.refused {
			t.Errorf("%s: %v", s.what, err)
		}
		if z.lapsed.Load() != s.refused {
			t.Errorf("%s: expired: %v", s.what, !s.refused)
		}
		if left := z.status().Expires.Sub(now); !s.refused && left != s.want {
			t.Errorf("%s: %v left, want %v", s.what, left, s.want)
		}
	}
}
