package bgp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func good() Config {
	return Config{AS: 65010, RouterID: netip.MustParseAddr("10.0.0.2"),
		Neighbors: []Neighbor{{Address: netip.MustParseAddr("10.0.0.1"), AS: 65000}}}
}

func TestValidate(t *testing.T) {
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name   string
		change func(c *Config)
		want   []string // "key: beginning of the message"; none: it is right
	}{
		{"right", func(*Config) {}, nil},
		{"not used", func(c *Config) { *c = Config{} }, nil},
		{"all set", func(c *Config) {
			c.Listen, c.ListenPort = []netip.Addr{addr("10.0.0.2")}, 1179
			c.NextHops = []netip.Addr{addr("10.0.0.2"), addr("fd00::2")}
			c.Communities = []string{"65010:100", "4200000000:1:2", "no-export"}
			c.MED, c.Prepend, c.GracefulRestart = 10, 2, 20*time.Second
			c.DNS = []netip.Addr{addr("192.0.2.53")}
			c.Neighbors[0].Password, c.Neighbors[0].HoldTime, c.Neighbors[0].Multihop = "secret", 3*time.Second, 2
			c.Neighbors[0].LocalAddress = addr("10.0.0.2")
		}, nil},
		{"no AS", func(c *Config) { c.AS = 0 }, []string{"as: must be set"}},
		{"no router", func(c *Config) { c.Neighbors = nil }, []string{"neighbor: must have"}},
		{"router id", func(c *Config) { c.RouterID = addr("fd00::1") }, []string{"router_id: \"fd00::1\": must be an IPv4"}},
		{"no router id", func(c *Config) { c.RouterID = netip.Addr{} }, []string{"router_id: must be set"}},
		{"port without listen", func(c *Config) { c.ListenPort = 179 }, []string{"listen_port: 179: needs listen"}},
		{"twice", func(c *Config) { c.Neighbors = append(c.Neighbors, c.Neighbors[0]) }, []string{"neighbor[1].address: \"10.0.0.1\": stands already in neighbor[0]"}},
		{"neighbor", func(c *Config) { c.Neighbors[0] = Neighbor{Port: 70000, HoldTime: time.Second, Multihop: 300} },
			[]string{"neighbor[0].address: must be set", "neighbor[0].port: 70000", "neighbor[0].as: must be set", "neighbor[0].multihop: 300", "neighbor[0].hold_time: 1s"}},
		{"password", func(c *Config) { c.Neighbors[0].Password = strings.Repeat("x", 81) }, []string{"neighbor[0].password: has 81 octets"}},
		{"two passwords", func(c *Config) { c.Neighbors[0].Password, c.Neighbors[0].PasswordFile = "x", "y" }, []string{"neighbor[0].password: stands beside"}},
		{"local address", func(c *Config) { c.Neighbors[0].LocalAddress = addr("fd00::1") }, []string{"neighbor[0].local_address: \"fd00::1\""}},
		{"next hops", func(c *Config) { c.NextHops = []netip.Addr{addr("10.0.0.2"), addr("10.0.0.3")} }, []string{"next_hops[1]: \"10.0.0.3\": there is one"}},
		{"communities", func(c *Config) { c.Communities = []string{"70000:1", "1:2:3:4", "no-exprot", "1"} },
			[]string{"communities[0]: \"70000:1\"", "communities[1]: \"1:2:3:4\"", "communities[2]: \"no-exprot\"", "communities[3]: \"1\""}},
		{"local_pref", func(c *Config) { c.LocalPref = 200 }, []string{"local_pref: 200: means something within"}},
		{"local_pref within", func(c *Config) { c.LocalPref, c.Neighbors[0].AS = 200, 65010 }, nil},
		{"prepend", func(c *Config) { c.Prepend = 33 }, []string{"prepend: 33"}},
		{"prepend within", func(c *Config) { c.Prepend, c.Neighbors[0].AS = 1, 65010 }, []string{"prepend: 1: neighbour 10.0.0.1 is of the own AS"}},
		{"dns", func(c *Config) { c.DNS = []netip.Addr{addr("0.0.0.0")} }, []string{"dns[0]: \"0.0.0.0\""}},
		{"waits", func(c *Config) { c.AnnounceAfter, c.AnnounceAfterMost = time.Minute, time.Second }, []string{"announce_after_most: 1s: must be at least announce_after"}},
		{"graceful", func(c *Config) { c.GracefulRestart = 1500 * time.Millisecond }, []string{"graceful_restart: 1.5s"}},
	} {
		for _, full := range []bool{false, true} {
			cfg := good()
			c.change(&cfg)
			if full && c.want == nil {
				cfg = cfg.WithDefaults()
			}
			var got []string
			cfg.Validate(func(key, msg string) { got = append(got, key+": "+msg) })
			if len(got) != len(c.want) {
				t.Errorf("%s: %q, want %q", c.name, got, c.want)
				continue
			}
			for i, want := range c.want {
				found := false
				for _, g := range got {
					found = found || strings.HasPrefix(g, want)
				}
				if !found {
					t.Errorf("%s: %q, want %q (%d)", c.name, got, want, i)
				}
			}
		}
	}
}

func TestParseCommunity(t *testing.T) {
	for text, want := range map[string]Community{
		"65000:100":         {Standard: 65000<<16 | 100},
		"no-export":         {Standard: 0xffffff01},
		"graceful-shutdown": {Standard: 0xffff0000},
		"4200000000:1:2":    {Large: true, A1: 4200000000, A2: 1, A3: 2},
	} {
		if got, err := ParseCommunity(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// TestHold: rows of (second, ready) -> announced, with a wait of 2 s that doubles up to 10 s.
func TestHold(t *testing.T) {
	const after, most = 2 * time.Second, 10 * time.Second
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var h Hold
	for _, step := range []struct {
		at               float64
		ready, announced bool
		what             string
	}{
		{0, true, false, "it is ready, but was not for long"},
		{1, false, false, "nor was it for two seconds"},
		{2, true, false, "again"},
		{3.9, true, false, "not quite"},
		{4, true, true, "two seconds"},
		{5, false, false, "withdrawn at once"},
		{6, true, false, "the wait is four seconds now"},
		{9.9, true, false, "not quite"},
		{10, true, true, "four seconds"},
		{11, false, false, "soon after"},
		{12, true, false, "eight"},
		{19, true, false, "not quite"},
		{20, true, true, "eight seconds"},
		{21, false, false, "soon after"},
		{22, true, false, "ten, not sixteen"},
		{32, true, true, "ten seconds"},
		{50, false, false, "it has been there for long"},
		{51, true, false, "so the wait is two seconds"},
		{53, true, true, "again"},
	} {
		before := h.Announced
		changed := h.Step(step.ready, start.Add(time.Duration(step.at*float64(time.Second))), after, most)
		if h.Announced != step.announced || changed != (before != h.Announced) {
			t.Fatalf("at %v s (%s): announced %v, changed %v", step.at, step.what, h.Announced, changed)
		}
	}
}

func TestJoin(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	got := Join([]Wish{{b, true, "b"}, {a, true, "a1"}, {a, false, "a2"}, {a, true, "a3"}})
	want := []Wish{{a, false, "a2"}, {b, true, "b"}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestProblems(t *testing.T) {
	now := time.Now()
	s := Status{
		Neighbors: []NeighborStatus{
			{Address: "10.0.0.1", AS: 1, State: Established, Since: now.Add(-time.Hour)},
			{Address: "10.0.0.2", AS: 2, State: "active", Since: now.Add(-time.Hour), Error: "bad peer AS"},
			{Address: "10.0.0.3", AS: 3, State: "active", Since: now.Add(-time.Second)},
		},
		Addresses: []AddressStatus{
			{Address: "192.0.2.1", Announced: true},
			{Address: "192.0.2.2", Why: "frontend www: 0 servers"},
			{Address: "192.0.2.3", Due: now.Add(time.Second)},
		},
	}
	got := s.Problems(now)
	if len(got) != 2 || !strings.Contains(got[0], "10.0.0.2 (AS 2)") || !strings.Contains(got[0], "bad peer AS") || !strings.Contains(got[1], "192.0.2.2") {
		t.Errorf("%q", got)
	}
}
