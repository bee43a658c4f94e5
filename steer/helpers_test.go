package steer

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"gslb/geo"
	"gslb/health"
)

// The worked example: two operators in Seoul, a site in China, one in the US.
var (
	seoul    = geo.Coordinates{Latitude: 37.57, Longitude: 126.98}
	anyang   = geo.Coordinates{Latitude: 37.39, Longitude: 126.95}
	beijing  = geo.Coordinates{Latitude: 39.90, Longitude: 116.41}
	ashburn  = geo.Coordinates{Latitude: 39.04, Longitude: -77.49}
	tokyo    = geo.Coordinates{Latitude: 35.68, Longitude: 139.69}
	london   = geo.Coordinates{Latitude: 51.51, Longitude: -0.13}
	example  = []Site{site("kt", seoul), site("lgu", anyang), site("cn", beijing), site("us", ashburn)}
	inKT     = geo.Place{Continent: "AS", Country: "KR", Subdivision: [2]string{"11"}, City: "Seoul", Location: seoul, HasLocation: true, ASN: 4766, ASOrg: "Korea Telecom", ISP: "KT"}
	inLGU    = geo.Place{Continent: "AS", Country: "KR", Subdivision: [2]string{"41"}, City: "Anyang", Location: anyang, HasLocation: true, ASN: 17858, ASOrg: "LG POWERCOMM", ISP: "LG Uplus"}
	inTokyo  = geo.Place{Continent: "AS", Country: "JP", City: "Tokyo", Location: tokyo, HasLocation: true}
	inLondon = geo.Place{Continent: "EU", Country: "GB", Subdivision: [2]string{"ENG", "LND"}, City: "London", Location: london, HasLocation: true}
	nowhere  = geo.Place{}

	inKTNetwork = netip.MustParsePrefix("203.0.113.0/24")

	aClient = netip.MustParseAddr("203.0.113.7")
)

func site(name string, at geo.Coordinates) Site {
	return Site{Name: name, Location: at, HasLocation: true}
}

// policy makes a policy of rules that each match everyone.
func policy(t testing.TB, sites []Site, tiers ...string) *Policy {
	t.Helper()
	return &Policy{Name: "www.abc.com.", Rules: []Rule{{Tiers: targets(t, sites, tiers...)}}}
}

func targets(t testing.TB, sites []Site, tiers ...string) []Target {
	t.Helper()
	var all []Target
	for _, s := range tiers {
		target, err := ParseTarget(s, sites, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, target)
	}
	return all
}

func compile(t testing.TB, p *Policy, sites []Site) *Compiled {
	t.Helper()
	c, err := Compile(p, sites)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// parsePolicy reads tiers separated by " / ", and the last resort's behind "|".
func parsePolicy(t testing.TB, text string) *Policy {
	t.Helper()
	tiers, last, resort := strings.Cut(text, "|")
	p := policy(t, example, strings.Split(tiers, " / ")...)
	if resort {
		p.LastResort = targets(t, example, strings.Split(last, " / ")...)
	}
	return p
}

// states reads what is known about sites as "kt down", "us up 0.3": a state or
// an override (drain, downdrain, forcedown, forceup), held, and shed.
func states(t testing.TB, text ...string) *health.States {
	t.Helper()
	s := &health.States{Revision: 7, Sites: map[string]health.Status{}}
	for _, w := range text {
		name, what, shed := "", "", 0.0
		if n, _ := fmt.Sscanf(w, "%s %s %g", &name, &what, &shed); n < 2 {
			t.Fatalf("bad state %q", w)
		}
		st := health.Status{Site: name, Shed: shed, Why: "3 of 3 vantage points say " + what}
		switch what {
		case "unknown":
		case "up":
			st.State = health.Up
		case "degraded":
			st.State = health.Degraded
		case "down":
			st.State = health.Down
		case "held":
			st.State, st.Held = health.Up, "failback: must be up for 10m0s first"
		case "drain":
			st.State, st.Draining = health.Up, true
			st.Override = &health.Override{Site: name, Kind: health.Drain, Who: "kim", Why: "new kernel"}
		case "downdrain":
			st.State, st.Draining = health.Down, true
			st.Override = &health.Override{Site: name, Kind: health.Drain, Who: "kim", Why: "new kernel"}
		case "forcedown":
			st.State = health.Down
			st.Override = &health.Override{Site: name, Kind: health.ForceDown, Who: "kim", Why: "bad content"}
		case "forceup":
			st.State = health.Up
			st.Override = &health.Override{Site: name, Kind: health.ForceUp, Who: "kim", Why: "probes are wrong"}
		default:
			t.Fatalf("bad state %q", w)
		}
		s.Sites[name] = st
	}
	return s
}

// loads adds load and capacity, as reported, to states.
func loads(s *health.States, name string, load, capacity float64) *health.States {
	st := s.Site(name)
	st.Load, st.Capacity = load, capacity
	st.Reports = []health.Report{{Site: name, Load: load, Capacity: capacity}}
	s.Sites[name] = st
	return s
}

// client is the i-th client, each in a /24 of its own.
func client(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(1 + i>>16), byte(i >> 8), byte(i), 9})
}

// countTurns counts who gets which site, over clients, periods and turns.
func countTurns(l *Live, cohort uint32, n int) map[string]float64 {
	shares := map[string]float64{}
	var turn atomic.Uint32
	for i := range n {
		c := l.Choose(cohort, Ask{Client: client(i), Period: uint32(i % 7), Turn: &turn}, nil)
		shares[l.Site(c.Site).Name] += 1 / float64(n)
	}
	return shares
}

func near(t *testing.T, got, want map[string]float64, tolerance float64) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("site %s got %.4f, want none", name, got[name])
		}
	}
	for name, w := range want {
		if math.Abs(got[name]-w) > tolerance {
			t.Errorf("site %s got %.4f, want %.4f", name, got[name], w)
		}
	}
}

// decide is the whole way, for one client.
func decide(t *testing.T, p *Policy, sites []Site, at geo.Place, st *health.States, ask Ask) (string, Choice, *Trace) {
	t.Helper()
	c := compile(t, p, sites)
	var tr Trace
	cohort := c.Classify(at, netip.Prefix{}, &tr)
	l := c.Live(st)
	choice := l.Choose(cohort, ask, nil)
	if ask.Turn != nil {
		ask.Turn.Add(^uint32(0))
	}
	if traced := l.Choose(cohort, ask, &tr); traced != choice {
		t.Errorf("with a trace %+v, without %+v", traced, choice)
	}
	return l.Site(choice.Site).Name, choice, &tr
}
