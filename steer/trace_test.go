package steer

import (
	"encoding/json"
	"errors"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gslb/geo"
	"gslb/health"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// korea is the policy of the worked example.
func korea(t *testing.T) *Policy {
	return &Policy{Name: "www.abc.com.", Rules: []Rule{
		{Match: Match{Networks: prefixes("203.0.113.0/24")}, Tiers: targets(t, example, "us")},
		{Match: Match{ISP: []string{"KT", "Korea Telecom"}}, Tiers: targets(t, example, "kt", "lgu", "nearest:cn,us")},
		{Match: Match{Country: []string{"KR"}, ASN: []uint32{3786, 17858}}, Tiers: targets(t, example, "weighted:lgu=3,kt", "us=0")},
		{Match: Match{Continent: []string{"EU"}}, Tiers: targets(t, example, "hash:us,cn")},
		{Match: Match{Country: []string{"US"}}, Tiers: targets(t, example, "load:us,cn")},
		{Match: Match{Country: []string{"CN"}}, Tiers: targets(t, example, "round-robin:cn,kt")},
	}, LastResort: targets(t, example, "lgu")}
}

func TestTraceGolden(t *testing.T) {
	inUS := geo.Place{Continent: "NA", Country: "US", Location: ashburn, HasLocation: true, Organization: "Acme"}
	inCN := geo.Place{Country: "CN"}
	until := time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC)
	drained := states(t, "kt drain", "lgu up", "cn degraded", "us up")
	drained.Sites["kt"].Override.Until = until
	busy := loads(loads(states(t, "us up 0.25", "cn up"), "us", 930, 1000), "cn", 300, 1000)
	stale := states(t, "kt up")
	stale.Stale = true
	biased := append([]Site(nil), example...)
	biased[0].Bias = 200
	for _, tc := range []struct {
		name   string
		sites  []Site
		place  geo.Place
		within string
		client string
		states *health.States
	}{
		{"first-tier", nil, inKT, "", "198.51.100.9", states(t, "kt up", "lgu up", "cn up", "us up")},
		{"before-the-first-states", nil, inKT, "", "198.51.100.9", nil},
		{"stale-states", nil, inKT, "", "198.51.100.9", stale},
		{"next-tier", nil, inKT, "", "198.51.100.9", states(t, "kt down", "lgu up", "cn up", "us up")},
		{"third-tier-nearest", nil, inKT, "", "198.51.100.9", states(t, "kt down", "lgu drain", "cn up", "us up")},
		{"drained", nil, inKT, "", "198.51.100.9", drained},
		{"network-rule", nil, inKT, "203.0.113.0/24", "203.0.113.7", states(t, "us up")},
		{"weighted", nil, inLGU, "", "198.51.100.9", states(t, "kt up", "lgu up")},
		{"weight-zero-left", nil, inLGU, "", "198.51.100.9", states(t, "kt down", "lgu down", "us up")},
		{"last-resort", nil, inLondon, "", "2001:db8::1", states(t, "cn down", "us drain", "lgu up")},
		{"hash", nil, inLondon, "", "2001:db8::1", states(t, "cn up", "us up")},
		{"load-and-shed", nil, inUS, "", "198.51.100.9", busy},
		{"shed-to-the-next-tier", nil, inKT, "", "198.51.100.13", states(t, "kt up 0.5", "lgu up 0.5", "cn up", "us up")},
		{"round-robin", nil, inCN, "", "198.51.100.9", states(t, "cn up", "kt up")},
		{"fail-open", nil, inKT, "", "198.51.100.9", states(t, "kt down", "lgu down", "cn down", "us down")},
		{"fail-open-under-orders", nil, inKT, "", "198.51.100.9", states(t, "kt forcedown", "lgu down", "cn down", "us down")},
		{"no-rule-matches", biased, inTokyo, "", "198.51.100.9", states(t, "kt up", "lgu up", "cn down", "us up")},
		{"nothing-known", nil, nowhere, "", "", states(t, "kt up", "lgu up", "cn up", "us up")},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sites := tc.sites
			if sites == nil {
				sites = example
			}
			c := compile(t, korea(t), sites)
			within, client := netip.Prefix{}, netip.Addr{}
			if tc.within != "" {
				within = netip.MustParsePrefix(tc.within)
			}
			if tc.client != "" {
				client = netip.MustParseAddr(tc.client)
			}
			var tr Trace
			var turn atomic.Uint32
			cohort := c.Classify(tc.place, within, &tr)
			c.Live(tc.states).Choose(cohort, Ask{Client: client, Period: 58_000_000, Turn: &turn}, &tr)
			compareGolden(t, tc.name, tr.String())
			sameAfterJSON(t, &tr)
		})
	}
}

func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "trace", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; make it with -update", err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s\nwant:\n%s", file, got, want)
	}
}

// A trace that went through the API is written as it was.
func sameAfterJSON(t *testing.T, tr *Trace) {
	t.Helper()
	text, err := json.Marshal(tr)
	if err != nil {
		t.Fatal(err)
	}
	var back Trace
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if back.String() != tr.String() {
		t.Errorf("after JSON:\n%s\nbefore:\n%s", &back, tr)
	}
}

// A trace given to Choose alone has the tiers, and one used again holds
// nothing of the time before.
func TestTraceReuse(t *testing.T) {
	c := compile(t, korea(t), example)
	cohort := c.Classify(inKT, netip.Prefix{}, nil)
	l := c.Live(states(t, "kt down"))
	ask := Ask{Client: aClient}
	var alone Trace
	l.Choose(cohort, ask, &alone)
	if len(alone.Tiers) != 4 || alone.Choice.Site != "lgu" || alone.Sentence == "" || alone.Tiers[0].Members[0].State != health.Down {
		t.Errorf("without Classify:\n%s", &alone)
	}
	var fresh, used Trace
	c.Explain(inLGU, netip.Prefix{}, &used)
	l.Choose(c.Classify(inLGU, netip.Prefix{}, nil), ask, &used)
	for _, tr := range []*Trace{&fresh, &used} {
		c.Explain(inKT, netip.Prefix{}, tr)
		l.Choose(cohort, ask, tr)
	}
	if !reflect.DeepEqual(fresh, used) {
		t.Errorf("used again:\n%s\nfresh:\n%s", &used, &fresh)
	}
	l.Choose(cohort, ask, &used)
	if fresh.String() != used.String() {
		t.Errorf("chosen twice:\n%s\nonce:\n%s", &used, &fresh)
	}
}

func TestTraceWriteError(t *testing.T) {
	var tr Trace
	want := errors.New("full")
	if err := tr.Write(failing{want}); !errors.Is(err, want) {
		t.Errorf("error %v", err)
	}
	if s := tr.String(); !strings.Contains(s, "place   unknown") {
		t.Errorf("the zero trace is %q", s)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
