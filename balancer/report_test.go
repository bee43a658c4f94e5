package balancer

import (
	"log/slog"
	"slices"
	"testing"

	"gslb/health"
)

func TestStatusAndReport(t *testing.T) {
	eachEngine(t, func(t *testing.T, config configOf) {
		a, b := newBackend(t, "a", nil), newBackend(t, "b", nil)
		cfg := config(a)
		cfg.Spares = []ServerConfig{{Address: b.address}}
		cfg.Servers[0].Capacity, cfg.Spares[0].Capacity = 10, 20
		r := newRig(t, cfg, nil)
		for range 4 {
			if err := r.mustConnect().echo("1234567"); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "a report", func() bool { return r.lastReport().Connections == 4 })
		got := r.lastReport()
		if got.Site != "kt" || got.Node != "lb1" || got.Healthy != 1 || got.Total != 1 || got.Load != 4 || got.Capacity != 10 || got.At.IsZero() {
			t.Errorf("report %+v", got)
		}
		want := []health.Server{
			{Frontend: "www", Address: a.address, State: health.Up, Role: "server", InService: true, Connections: 4},
			{Frontend: "www", Address: b.address, State: health.Unknown, Role: "spare"},
		}
		for i := range got.Servers {
			if traffic := got.Servers[i].Traffic; traffic == nil || i == 0 && traffic.Load != 0.4 {
				t.Errorf("of server %d: %+v", i, traffic)
			}
			got.Servers[i].Traffic = nil
		}
		if f := got.Frontends; len(f) != 1 || f[0].Name != "www" || f[0].Plane != "proxy" || f[0].Why == "" || f[0].Pick != cfg.Pick && cfg.Pick != "" {
			t.Errorf("report's frontends %+v", f)
		}
		if !slices.Equal(got.Servers, want) {
			t.Errorf("report's servers %+v, want %+v", got.Servers, want)
		}
		// A byte is counted when it was passed on: its reader may be quicker.
		eventually(t, "all bytes counted", func() bool { s := r.Status()[0].Servers[0]; return s.BytesUp == 32 && s.BytesDown == 32+8 })
		s := r.Status()[0]
		if s.Plane != "proxy" || s.Open != 4 || s.Available != 1 || s.Counters.Accepted != 4 || s.Servers[0].Total != 4 {
			t.Errorf("status %+v", s)
		}
	})
}

func TestReportsOfSeveralFrontends(t *testing.T) {
	one, two, other := named("a", ""), named("b", ""), named("c", "")
	one.Name, one.Site, one.Servers[0].Address, one.Servers[0].Capacity = "one", "kt", "127.0.0.1:1001", 10
	two.Name, two.Site, two.Servers[0].Address = "two", "kt", "127.0.0.1:1002"
	other.Name, other.Site, other.Servers[0].Address = "other", "us", "127.0.0.1:1003"
	b, err := New([]Config{one, two, other}, nil, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range b.fronts {
		f.pool.servers[0].open.Store(int64(i + 1))
	}
	got := b.reports(false)
	if len(got) != 2 || got[0].Site != "kt" || got[1].Site != "us" {
		t.Fatalf("reports %+v, want of kt and us", got)
	}
	// two states no capacity, so its load is in no unit of kt's capacity.
	if got[0].Load != 1 || got[0].Capacity != 10 || got[0].Connections != 3 || got[0].Total != 2 {
		t.Errorf("kt: %+v", got[0])
	}
	if got[1].Load != 3 || got[1].Capacity != 0 || got[1].Healthy != 1 {
		t.Errorf("us: %+v", got[1])
	}
	if stopping := b.reports(true); stopping[0].Healthy != 0 || stopping[0].Total != 2 {
		t.Errorf("when stopping: %+v", stopping[0])
	}
}
