package fleet

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/geo"
	"gslb/health"
)

// standing is a checker at a place: "KR KT 37.5 127".
func standing(name, country, isp string, at ...float64) Node {
	n := Node{Name: name, Roles: []string{"checker"}}
	if country != "" {
		n.Place = &geo.Place{Country: country, ISP: isp}
		if len(at) == 2 {
			n.Place.Location, n.Place.HasLocation = geo.Coordinates{Latitude: at[0], Longitude: at[1]}, true
		}
	}
	return n
}

func TestChosen(t *testing.T) {
	seoul, busan := standing("seoul", "KR", "KT", 37.57, 126.98), standing("busan", "KR", "LG U+", 35.18, 129.08)
	tokyo, nowhere := standing("tokyo", "JP", "KDDI", 35.68, 139.69), standing("nowhere", "", "")
	all := []Node{seoul, busan, tokyo, nowhere}
	site := &geo.Coordinates{Latitude: 37.5, Longitude: 127}
	for _, test := range []struct {
		vantage health.Vantage
		at      *geo.Coordinates
		of      []Node
		want    string
	}{
		{"", site, all, "busan nowhere seoul tokyo"},
		{"all", site, all, "busan nowhere seoul tokyo"},
		{"nearest:1", site, all, "seoul"},
		{"nearest:2", site, all, "busan seoul"},
		{"nearest:2", site, all[1:], "busan tokyo"}, // the nearest one died
		{"nearest:3", site, all[2:], "nowhere tokyo"},
		{"nearest:9", site, all, "busan nowhere seoul tokyo"},
		{"country:kr", site, all, "busan seoul"},
		{"isp:LG U+", site, all, "busan"},
		{"country:US", site, all, ""},
		{"tokyo, nowhere", site, all, "nowhere tokyo"},
		{"nearest:1, tokyo", site, all, "seoul tokyo"},
		{"tokyo", site, all[:1], ""},
	} {
		for range 2 {
			got := chosen(test.vantage, "kt", test.at, test.of)
			if s := strings.Join(slices.Sorted(maps.Keys(got)), " "); s != test.want {
				t.Errorf("%q: %s, want %s", test.vantage, s, test.want)
			}
			test.of = slices.Clone(test.of)
			slices.Reverse(test.of)
		}
	}
}

// TestUnplacedSitesAreSpread: without a location the sites are shared out, and the
// death of one checker moves its sites alone.
func TestUnplacedSitesAreSpread(t *testing.T) {
	nodes := []Node{standing("a", "", ""), standing("b", "", ""), standing("c", "", "")}
	count := map[string]int{}
	for i := range 300 {
		site := "site" + string(rune('a'+i/26)) + string(rune('a'+i%26))
		before, after := chosen("nearest:1", site, nil, nodes), chosen("nearest:1", site, nil, nodes[:2])
		for name := range before {
			count[name]++
			if name != "c" && !after[name] {
				t.Errorf("%s: left %s, which lives", site, name)
			}
		}
	}
	for name, n := range count {
		if n < 60 || n > 140 {
			t.Errorf("%s probes %d of 300", name, n)
		}
	}
}

// TestHandOver: who is nearest probes; when it dies the next takes over, and gives
// the site back only once the first has a verdict again.
func TestHandOver(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	at := func(longitude float64) func(*Config) {
		return func(c *Config) {
			c.Roles = []string{"checker"}
			c.Place = &geo.Place{Country: "KR", HasLocation: true, Location: geo.Coordinates{Longitude: longitude}}
			c.Vantage = map[string]health.Vantage{"kt": "nearest:1"}
			c.Locations = map[string]geo.Coordinates{"kt": {}}
		}
	}
	near := startNode(t, "near", address(etcd), at(1))
	far := startNode(t, "far", address(etcd), at(50))
	probes := func(what string, wantNear, wantFar bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			if near.Probes("kt") == wantNear && far.Probes("kt") == wantFar {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: near probes %v, far %v", what, near.Probes("kt"), far.Probes("kt"))
			}
		}
	}
	probes("both live", true, false)
	if !far.Probes("lgu") {
		t.Error("a site of all is not probed by all")
	}
	near.Vote(health.Vote{Site: "kt", State: health.Up})
	far.Vote(health.Vote{Site: "kt", State: health.Down}) // late, of a probe under way: not its business
	far.await(t, "near's vote alone", func(s *health.States) bool {
		return s.Sites["kt"].State == health.Up && len(s.Sites["kt"].Votes) == 1
	})
	near.stop()
	probes("near is gone", true, true)
	far.Vote(health.Vote{Site: "kt", State: health.Down})
	again := startNode(t, "near", address(etcd), at(1))
	near = again
	probes("near is back, without a verdict", true, true)
	far.await(t, "far's vote still counts", func(s *health.States) bool { return s.Sites["kt"].State == health.Down })
	again.Vote(health.Vote{Site: "kt", State: health.Up})
	probes("near has a verdict", true, false)
	far.await(t, "near's vote alone again", func(s *health.States) bool {
		return s.Sites["kt"].State == health.Up && len(s.Sites["kt"].Votes) == 1
	})
}
