package balancer

import (
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"gslb/health"
)

// TestVisitors: who comes is noted while somebody asks, and only then; what is open is
// told whenever it began.
func TestVisitors(t *testing.T) {
	r := newRig(t, config(newBackend(t, "a", nil)), nil)
	r.opts.Ignore = func(a netip.Addr) bool { return a == netip.MustParseAddr("127.0.0.1") }
	if _, ok := r.Visitors("kt"); ok {
		t.Error("visitors of a site that nobody asked for")
	}
	before := r.mustConnect()
	begun := time.Now()
	r.Attend([]string{"kt", "elsewhere"})
	if _, ok := r.Visitors("elsewhere"); ok {
		t.Error("visitors of a site that no frontend serves")
	}
	v, ok := r.Visitors("kt")
	if !ok || v.New != 0 || len(v.Open) != 1 || v.Open[0].Client != netip.MustParseAddr("127.0.0.1") || !v.Open[0].Since.Before(begun) {
		t.Fatalf("before anybody came: %+v, %v", v, ok)
	}
	r.mustConnect() // it is to be ignored, when it comes, and is open all the same
	if v, _ = r.Visitors("kt"); v.New != 0 || v.Ignored != 1 || len(v.Open) != 2 {
		t.Errorf("after one that is nobody's: %+v", v)
	}
	r.Attend([]string{"kt"}) // once more: what was noted stays
	before.Close()
	eventually(t, "the connection is gone", func() bool { v, _ = r.Visitors("kt"); return len(v.Open) == 1 })
	if v.Ignored != 1 {
		t.Errorf("asked for once more: %+v", v)
	}
	r.Attend(nil)
	r.mustConnect()
	if _, ok := r.Visitors("kt"); ok {
		t.Error("visitors of a site that nobody asks for any more")
	}
	r.Attend([]string{"kt"})
	if v, _ = r.Visitors("kt"); v.Ignored != 0 {
		t.Errorf("asked for anew: %+v", v)
	}
}

// TestCensus: networks are told apart up to a bound, and steps follow one another.
func TestCensus(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := &census{since: now, step: now, arrived: map[netip.Prefix]*Arrivals{}}
	for i := range 3 {
		c.arrive(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), now.Add(time.Duration(i)*time.Second))
	}
	c.arrive(netip.MustParseAddr("2001:db8::1"), now.Add(3*health.ClientStep))
	v := c.tell(now.Add(4*health.ClientStep + time.Second))
	if want := []int64{1, 0, 0, 3}; !slices.Equal(v.Steps, want) || v.New != 4 {
		t.Errorf("steps %v, %d new; want %v", v.Steps, v.New, want)
	}
	if a := v.Arrived[netip.MustParsePrefix("192.0.2.0/24")]; a.New != 3 || !a.Last.Equal(now.Add(2*time.Second)) {
		t.Errorf("one network: %+v", a)
	}
	if v.Arrived[netip.MustParsePrefix("2001:db8::/56")].New != 1 {
		t.Errorf("networks %v", v.Arrived)
	}
	for i := range mostNetworks + 10 {
		c.arrive(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), now.Add(time.Hour))
	}
	v = c.tell(now.Add(24 * time.Hour))
	if len(v.Arrived) != mostNetworks+1 || v.Arrived[netip.Prefix{}].New != 12 || len(v.Steps) != health.MostClientSteps {
		t.Errorf("%d networks, %d beyond the bound, %d steps", len(v.Arrived), v.Arrived[netip.Prefix{}].New, len(v.Steps))
	}
}

// What a plane in the kernel counts is noted without its networks, and its open
// connections are listed.
func TestCensusOfTheKernel(t *testing.T) {
	cfg := Config{Name: "www", Site: "kt", Plane: PlaneNAT, Listen: []string{"192.0.2.1:80"}, Servers: []ServerConfig{{Address: "192.0.2.2:80"}}}
	b, err := New([]Config{cfg}, nil, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Attend([]string{"kt"})
	f := b.fronts[0]
	f.counted(3)
	f.pool.everyone()[0].open.Add(2)
	v, ok := b.Visitors("kt")
	if !ok || v.New != 3 || v.Last.IsZero() || len(v.Open) != 2 || v.Open[0].Server != "192.0.2.2:80" || v.Arrived[netip.Prefix{}].New != 3 {
		t.Errorf("%+v, %v", v, ok)
	}
}
