package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/balancer"
	"gslb/bgp"
	"gslb/forecast"
	"gslb/health"
	"gslb/history"
	"gslb/steer"
	"gslb/store"
)

// fakeNow is the moment of the fake's status, in a zone of its own to show that
// the zone plays no part.
var fakeNow = time.Date(2026, 11, 22, 3, 4, 5, 0, time.UTC)

// A fake is a Backend over values. Its zero value serves nothing.
type fake struct {
	mu        sync.Mutex
	status    Status
	overrides map[string]health.Override
	pushed    []Push
	ordered   []string // "allow by lee: a reason", of what is held and of the topology
	events    []history.Event
	revisions []history.Revision
	explained []string // "name client type" of each Explain
	writeErr  error
	readyErr  error
	panics    bool
	members   []store.Member
	live      bool // each Status is a second after the one before
}

// pass lets a second of queries pass.
func (f *fake) pass() {
	st := &f.status
	st.Now = st.Now.Add(time.Second)
	st.Counters.Queries += 5120
	was := st.Counters.Choices["www.abc.com."]
	st.Counters.Choices = map[string]map[string]uint64{"www.abc.com.": {
		"kt": was["kt"], "lgu": was["lgu"] + 3115, "tokyo": was["tokyo"], "virginia": was["virginia"] + 1660, "frankfurt": was["frankfurt"] + 345,
	}}
}

func (f *fake) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.panics {
		panic("made to")
	}
	if f.live {
		f.pass()
	}
	return f.status
}

func (f *fake) Explain(name, client, qtype string) (*Explanation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.explained = append(f.explained, name+" "+client+" "+qtype)
	switch {
	case strings.HasSuffix(name, "abc.com."):
		return demoExplanation(name, client, qtype), nil
	case name == "broken.":
		return nil, errors.New("something broke")
	}
	return nil, fmt.Errorf("%w: %s is in no zone of this node", ErrNotFound, name)
}

func (f *fake) SetOverride(_ context.Context, o health.Override) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writeErr != nil {
		return f.writeErr
	}
	var names []string
	for _, x := range f.status.Sites {
		names = append(names, x.Site)
	}
	if !slices.Contains(names, o.Site) {
		slices.Sort(names)
		return fmt.Errorf("%w: site %q: must be one of %s", ErrNotFound, o.Site, strings.Join(names, ", "))
	}
	if f.overrides == nil {
		f.overrides = map[string]health.Override{}
	}
	f.overrides[o.Site] = o
	return nil
}

func (f *fake) ClearOverride(_ context.Context, site string, _ history.Order) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if site == "nosuch" {
		return false, fmt.Errorf("%w: site %q", ErrNotFound, site)
	}
	_, was := f.overrides[site]
	delete(f.overrides, site)
	return was, f.writeErr
}

func (f *fake) Drained(site string, quiet time.Duration) (health.DrainProgress, error) {
	if site == "nosuch" {
		return health.DrainProgress{}, fmt.Errorf("%w: site %q", ErrNotFound, site)
	}
	return health.DrainProgress{Site: site, Quiet: quiet, Text: "it is not draining"}, nil
}

func (f *fake) Push(p Push) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Check == "none" {
		return fmt.Errorf("%w: there is no check of type push of this name", ErrNotFound)
	}
	f.pushed = append(f.pushed, p)
	return nil
}

func (f *fake) Ready() error { return f.readyErr }

func (f *fake) FrontendReady(name string) error {
	if name != "www" {
		return fmt.Errorf("%w: frontend %q", ErrNotFound, name)
	}
	return f.readyErr
}

// start serves f on loopback until the test ends.
func start(t *testing.T, cfg Config, f *fake) *httptest.Server {
	t.Helper()
	reg := prometheus.NewRegistry()
	s := New(cfg, f, reg, slog.New(slog.DiscardHandler))
	s.now = func() time.Time { return fakeNow }
	reg.MustRegister(s, BuildInfo("1.2.3"))
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv
}

// ask sends a request as curl would, with headers as "Name: value".
func ask(t *testing.T, method, url, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ": ")
		if k == "Host" {
			req.Host = v
		} else {
			req.Header.Set(k, v)
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func vote(vantage, site string, st health.State, since time.Duration, detail string) health.Vote {
	return health.Vote{Vantage: vantage, Site: site, State: st, Since: fakeNow.Add(-since), Detail: detail}
}

// demoStatus is a fleet with one of everything that an operator meets: a site
// down, one drained, one that sheds, one isolated server and a spare at work.
func demoStatus() Status {
	at := func(d time.Duration) time.Time { return fakeNow.Add(-d) }
	ok := "200 OK in 3ms"
	return Status{
		Node: Node{Name: "ns1.seoul", Roles: []string{"dns", "checker", "balancer"}, Version: "1.2.3", Started: at(76*time.Hour + 12*time.Minute)},
		Now:  fakeNow, Revision: 4711,
		Zones: []Zone{{"abc.com.", 2026112201, 42, 4096, &DNSSEC{Compact: true,
			Maintained: true, DS: []string{"20326 13 2 00112233"}, Waiting: true, Parent: "looked at 2026-11-22 03:00:00 UTC: the parent's DS names 19036",
			Keys: []Key{
				{"CSK", 19036, "ECDSAP256SHA256", "signs the keys; its DS is at the parent", "", time.Time{}, false},
				{"CSK", 20326, "ECDSAP256SHA256", "signs the zone and its keys; its DS is to be put into the parent now", "waits for its DS at the parent", time.Time{}, false},
			},
			Signatures: 97, Made: 201, Signed: fakeNow.Add(-time.Hour), Renewal: fakeNow.Add(3 * time.Hour), Expires: fakeNow.Add(123 * time.Hour),
		}, nil}, {"example.net.", 7, 9, 1024, nil, &Transfer{
			Role: "secondary", Catalog: "catalog.example.", Primary: "192.0.2.53:53", Moved: fakeNow.Add(-time.Hour), Confirmed: fakeNow.Add(-2 * time.Minute),
			Next: fakeNow.Add(13 * time.Minute), Expires: fakeNow.Add(167 * time.Hour), Sent: 3, Taken: 5, TakenFailed: 1, Refused: 2, History: 4,
		}}},
		AllZones: ZoneSum{2, 51, 5120},
		Steered: []Steered{
			{Name: "www.abc.com.", Form: "cname", TTLSeconds: 30, Cohorts: 6, Split: &Split{1480, map[string]float64{"kt": 0.402, "lgu": 0.598}, map[string]float64{"kt": 0.4, "lgu": 0.59, "tokyo": 0.01}}},
			{Name: "api.abc.com.", Form: "address", TTLSeconds: 20, Cohorts: 11},
		},
		Sites: []Site{
			{
				Status: health.Status{
					Site: "kt", State: health.Down, Since: at(2*time.Minute + 10*time.Second),
					Why: "2 of 3 vantage points say down: connect: connection refused",
					Votes: []health.Vote{
						vote("ns1.seoul", "kt", health.Down, 130*time.Second, "dial tcp 192.0.2.10:80: connection refused"),
						vote("ns1.tokyo", "kt", health.Down, 131*time.Second, "dial tcp 192.0.2.10:80: connection refused"),
						vote("ns1.virginia", "kt", health.Up, 90*time.Hour, ok),
					},
					Reports:  []health.Report{{Site: "kt", Node: "lb1.kt", Healthy: 0, Total: 2, Capacity: 10000, At: at(time.Second), Frontends: []health.Frontend{{Name: "www", Plane: "dsr (tcx)", Why: "servers answer clients themselves: plane = \"dsr\", tcx is the first way that this machine has at the interfaces (not xdp: no driver support)", Pick: "maglev"}}, Servers: []health.Server{{Frontend: "www", Address: "10.0.1.11:443", State: health.Down, Role: "server", Detail: "connection refused", Traffic: &health.Traffic{Ejections: 4}}}}},
					Capacity: 10000,
				},
				CNAME: "a.www.abc.com.", Addresses: []string{"192.0.2.10", "2001:db8::10"}, Location: &Location{37.57, 126.98},
			},
			{
				Status: health.Status{
					Site: "lgu", State: health.Up, Since: at(90 * time.Hour), Shed: 0.25, Load: 9600, Capacity: 10000,
					Why: "3 of 3 vantage points say up; sheds 25% since load is 96% of capacity",
					Votes: []health.Vote{
						vote("ns1.seoul", "lgu", health.Up, 90*time.Hour, ok),
						vote("ns1.tokyo", "lgu", health.Up, 90*time.Hour, ok),
						vote("ns1.virginia", "lgu", health.Up, 90*time.Hour, ok),
					},
					Reports: []health.Report{{Site: "lgu", Node: "ns1.seoul", Healthy: 2, Total: 3, Load: 9600, Capacity: 10000, Connections: 9600, At: at(time.Second)}},
				},
				CNAME: "b.www.abc.com.", Addresses: []string{"198.51.100.10"}, Location: &Location{37.48, 127.02},
			},
			{
				Status: health.Status{
					Site: "tokyo", State: health.Up, Draining: true, Since: at(5 * time.Minute), Load: 310, Capacity: 8000,
					Why:      "draining by kim (kernel upgrade, see change 1182) until 2026-11-22T03:29:05Z; 2 of 2 vantage points say up",
					Votes:    []health.Vote{vote("ns1.seoul", "tokyo", health.Up, 90*time.Hour, ok), vote("ns1.tokyo", "tokyo", health.Up, 90*time.Hour, ok)},
					Override: &health.Override{Site: "tokyo", Kind: health.Drain, Who: "kim", Why: "kernel upgrade, see change 1182", Since: at(5 * time.Minute), Until: fakeNow.Add(25 * time.Minute)},
				},
				CNAME: "c.www.abc.com.", Addresses: []string{"203.0.113.10"}, Location: &Location{35.68, 139.69},
				Drain: &health.DrainProgress{Site: "tokyo", Draining: true, Text: "no new connection for 22s, 1m needed", Gone: true, Balancers: []string{"lb1.tokyo"}, Empty: fakeNow.Add(29 * time.Minute), Quiet: time.Minute,
					Clients: &health.Clients{Since: at(5 * time.Minute), Open: 310, Long: 12, New: 4211, Last: at(22 * time.Second), Quiet: 22 * time.Second, Groups: []health.ClientGroup{
						{Operator: "NTT", Country: "JP", Open: 280, New: 3900, Quiet: 22 * time.Second, Networks: []string{"203.0.113.0/24", "198.51.100.0/24"}, More: 7},
						{Operator: "KDDI", Country: "JP", Open: 30, New: 311, Quiet: 40 * time.Second, Networks: []string{"192.0.2.0/24"}},
					}, Rest: 2, Oldest: []health.Connection{{Client: "203.0.113.7:51034", Operator: "NTT", Country: "JP", Server: "10.0.3.11:443", Age: 3 * time.Hour}}}},
			},
			{
				Status: health.Status{
					Site: "virginia", State: health.Degraded, Since: at(40 * time.Second), Load: 4100, Capacity: 12000,
					Why:       "1 of 2 vantage points says degraded: slow answers",
					Elsewhere: map[string]string{"verizon": "down for the audience verizon alone: its 2 vantage points say down (ns2.virginia: i/o timeout), but not ns1.seoul and 2 others"},
					Votes:     []health.Vote{vote("ns1.seoul", "virginia", health.Degraded, 40*time.Second, "200 OK in 870ms"), vote("ns1.virginia", "virginia", health.Up, 90*time.Hour, ok)},
				},
				CNAME: "d.www.abc.com.", Addresses: []string{"192.0.2.66"}, Location: &Location{38.95, -77.45},
			},
			{
				Status: health.Status{Site: "frankfurt", Why: "no vantage point has voted yet"},
				CNAME:  "e.www.abc.com.", Addresses: []string{"192.0.2.77"}, Location: &Location{50.11, 8.68},
			},
		},
		Nodes: []FleetNode{
			{Name: "ns1.seoul", Roles: []string{"dns", "checker", "balancer"}, Since: at(76 * time.Hour), Revision: 4711, Self: true},
			{Name: "ns1.tokyo", Roles: []string{"dns", "checker"}, Since: at(300 * time.Hour), Revision: 4711, Place: "NTT, Tokyo, JP"},
			{Name: "ns1.virginia", Roles: []string{"dns", "checker"}, Since: at(300 * time.Hour), Revision: 4709, Place: "Ashburn, US"},
			{Name: "lb1.kt", Roles: []string{"balancer"}, Since: at(300 * time.Hour), Console: "http://192.0.2.10:8053/"},
		},
		Frontends: []Frontend{{
			Name: "www", Site: "lgu", Listen: []string{"198.51.100.10:443"}, Pick: "least-load", Plane: "proxy", PlaneWhy: "gslb takes the connection and makes another (engine epoll): plane = \"proxy\", the default", Connections: 9600, Accepted: 8123456, Failed: 3,
			Servers: []FrontendServer{
				{Address: "10.0.2.11:443", State: health.Up, Role: "server", InService: true, Connections: 4820, Capacity: 5000, Load: 0.964, Rate: 312.4, FirstByte: 0.0124, P99: 0.187, Queued: 3, Detail: "200 OK in 1ms"},
				{Address: "10.0.2.12:443", State: health.Up, Role: "server", InService: true, Connections: 4780, Capacity: 5000, Load: 0.956, Rate: 309.1, FirstByte: 0.0119, P99: 0.174, Detail: "200 OK in 1ms"},
				{Address: "10.0.2.13:443", State: health.Down, Role: "server", Isolated: true, Ejections: 2, Detail: "2 connects failed in a row: connection reset by peer"},
				{Address: "10.0.2.21:443", State: health.Up, Role: "spare", InService: true, Connections: 12, Detail: "200 OK in 1ms"},
				{Address: "10.0.2.22:443", State: health.Up, Role: "spare", Detail: "200 OK in 2ms"},
			},
		}},
		BGP: &bgp.Status{AS: 65010, RouterID: "10.0.0.2",
			Neighbors: []bgp.NeighborStatus{{Address: "10.0.0.1", AS: 65000, State: bgp.Established, Since: at(76 * time.Hour)},
				{Address: "fd00::1", AS: 65000, State: "active", Since: at(4 * time.Minute), Error: "the neighbour was silent for the hold time"}},
			Addresses: []bgp.AddressStatus{{Address: "198.51.100.10", Announced: true, Since: at(76 * time.Hour), Why: "frontend www: 3 of 4 servers are available"},
				{Address: "198.51.100.20", Due: at(-2 * time.Second), Why: "frontend mail: 2 of 2 servers are available"}, {Address: "2001:db8::20", Since: at(9 * time.Minute), Why: "frontend mail: no server is available"}}},
		Etcd: Etcd{Embedded: true, Connected: true, Since: at(76 * time.Hour), Endpoints: []string{"http://127.0.0.1:2379"}, Revision: 4711},
		Geo: []Database{
			{Path: "/var/lib/gslb/GeoLite2-City.mmdb", Type: "GeoLite2-City", Built: time.Date(2026, 11, 17, 0, 0, 0, 0, time.UTC)},
			{Path: "/var/lib/gslb/GeoLite2-ASN.mmdb", Type: "GeoLite2-ASN", Built: time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC), Error: "search tree ends early", Since: at(7 * time.Minute)},
		},
		Problems: []string{
			"site kt is down for 2m10s: 2 of 3 vantage points say down",
			"site lgu sheds 25% of its new users: load is 96% of its capacity",
			"GeoLite2-ASN.mmdb: the new file is broken, the old one stays: search tree ends early",
		},
		Counters: Counters{
			Queries: 91234567,
			Answers: map[string]uint64{"NOERROR": 91200000, "NXDOMAIN": 34567},
			Choices: map[string]map[string]uint64{"www.abc.com.": {"kt": 31000000, "lgu": 29000000, "tokyo": 9000000, "virginia": 6000000}},
			Compact: map[string]uint64{"signed": 12000, "kept": 21000, "chain": 1500},
		},
	}
}

// demoExplanation is a decision as the demo's fleet makes it.
func demoExplanation(name, client, qtype string) *Explanation {
	return &Explanation{
		Name: name, Type: qtype, Client: client,
		Answer: []string{"www.abc.com.\t30\tIN\tCNAME\tb.www.abc.com.", "b.www.abc.com.\t60\tIN\tA\t198.51.100.10"},
		Scope:  "203.0.112.0/20",
		Trace:  demoTrace(),
		Text:   "…",
	}
}

// demoTrace is the decision in testdata/trace.json.
func demoTrace() *steer.Trace {
	b, err := os.ReadFile("testdata/trace.json")
	if err != nil {
		panic(err)
	}
	var t steer.Trace
	if err := json.Unmarshal(b, &t); err != nil {
		panic(err)
	}
	return &t
}

func (f *fake) Topology() Topology { return f.status.Topology }

func (f *fake) OrderTopology(_ context.Context, o TopologyOrder) (TopologyResult, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.writeErr != nil {
		return TopologyResult{}, f.writeErr
	}
	if o.Base >= 0 && o.Base != f.status.Topology.Head.Newest {
		return TopologyResult{}, history.ErrConflict
	}
	head := f.status.Topology.Head
	if !o.DryRun {
		f.ordered = append(f.ordered, fmt.Sprintf("%s by %s: %s", o.Action, o.Who, o.Why))
		head.Newest++
		head.Stable = history.Revision{Number: head.Newest, Order: o.Order}
		head.Canary = nil
		f.status.Topology.Head = head
	}
	return TopologyResult{Head: head, Revision: head.Newest}, nil
}

func (f *fake) Revisions(context.Context, int) ([]history.Revision, error) {
	if f.revisions != nil {
		return f.revisions, nil
	}
	return []history.Revision{f.status.Topology.Head.Stable}, nil
}

func (f *fake) Content(_ context.Context, n int64) (Content, error) {
	if n != f.status.Topology.Head.Stable.Number {
		return Content{}, history.ErrNotFound
	}
	return Content{Revision: f.status.Topology.Head.Stable}, nil
}

func (f *fake) Differences(_ context.Context, from, to int64) ([]string, error) {
	if newest := f.status.Topology.Head.Newest; max(from, to) > newest {
		return nil, history.ErrNotFound
	}
	return []string{fmt.Sprintf("~ revision %d: not %d", to, from)}, f.writeErr
}

func (f *fake) Simulate(_ context.Context, q SimulateQuery) (*forecast.Comparison, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.simulate(q)
}

func (f *fake) SimulateEach(_ context.Context, q SimulateQuery) (all []OneDown, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, x := range f.status.Sites {
		c, err := f.simulate(SimulateQuery{Down: []string{x.Site}, Total: q.Total})
		if err != nil {
			return nil, err
		}
		all = append(all, OneDown{x.Site, c})
	}
	return all, nil
}

// simulate gives everybody's users to the site after the first that is down.
func (f *fake) simulate(q SimulateQuery) (*forecast.Comparison, error) {
	share := 1 / float64(len(f.status.Sites))
	c := &forecast.Comparison{Counted: "IPv4 addresses", Users: 1e9, Total: 20000, Moved: share, Overloaded: []string{}, Carries: 31000, First: "tokyo"}
	to := ""
	for i, x := range f.status.Sites {
		s := forecast.SiteChange{Site: x.Site, Before: x.State.String(), After: x.State.String(), Capacity: x.Capacity, ShareBefore: share, LoadBefore: share * c.Total}
		s.ShareAfter, s.LoadAfter = s.ShareBefore, s.LoadBefore
		if slices.Contains(q.Down, x.Site) {
			s.After, s.ShareAfter, s.LoadAfter = "down", 0, 0
			to = f.status.Sites[(i+1)%len(f.status.Sites)].Site
		}
		c.Sites = append(c.Sites, s)
	}
	for _, name := range slices.Concat(q.Down, q.Drain) {
		if !slices.ContainsFunc(c.Sites, func(s forecast.SiteChange) bool { return s.Site == name }) {
			return nil, fmt.Errorf("%w: site %q", ErrNotFound, name)
		}
	}
	for i := range c.Sites {
		if s := &c.Sites[i]; s.Site == to {
			s.ShareAfter, s.LoadAfter = 2*share, 2*share*c.Total
			if s.Over = s.Capacity > 0 && s.LoadAfter > s.Capacity; s.Over {
				c.Overloaded = append(c.Overloaded, to)
			}
		}
	}
	from := strings.Join(q.Down, ", ")
	c.Names = []forecast.NameChange{{Names: []string{"www.abc.com.", "api.abc.com."}, Moved: share,
		Before: []forecast.SiteShare{}, After: []forecast.SiteShare{}, Rows: []forecast.Row{},
		Moves: []forecast.Move{{Group: forecast.Group{Country: "KR", Operator: "KT"}, From: from, To: to, Share: share * 0.75}, {Group: forecast.Group{Country: "JP"}, From: from, To: to, Share: share * 0.2}},
		Rest:  forecast.Rest{Count: 12, Share: share * 0.05}}}
	return c, nil
}

func (f *fake) Events(_ context.Context, filter history.Filter) ([]history.Event, error) {
	if f.events != nil {
		return slices.DeleteFunc(slices.Clone(f.events), func(e history.Event) bool {
			return filter.Kind != "" && e.Kind != filter.Kind || filter.Site != "" && e.Site != filter.Site
		}), f.writeErr
	}
	if filter.Kind == history.KindBalancer {
		return nil, f.writeErr
	}
	return []history.Event{{At: fakeNow, Kind: history.KindHealth, Site: filter.Site, Text: "down"}}, f.writeErr
}

func (f *fake) SetRelease(_ context.Context, r health.Release) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.Releases = append(f.status.Releases, r)
	return nil
}

func (f *fake) ClearRelease(_ context.Context, name string, _ history.Order) error {
	f.status.Releases = slices.DeleteFunc(f.status.Releases, func(r health.Release) bool { return r.Name == name })
	return nil
}

func (f *fake) Allow(_ context.Context, by history.Order) error { return f.order("allow", by) }

func (f *fake) Members(context.Context) ([]store.Member, error) { return f.members, f.writeErr }

func (f *fake) RemoveMember(_ context.Context, which string, by history.Order) (store.Member, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, m := range f.members {
		switch {
		case m.Name != which:
		case m.Answers:
			return store.Member{}, fmt.Errorf("%w: it answers", store.ErrNeeded)
		default:
			f.members = slices.Delete(f.members, i, i+1)
			f.ordered = append(f.ordered, fmt.Sprintf("remove %s by %s: %s", which, by.Who, by.Why))
			return m, nil
		}
	}
	return store.Member{}, fmt.Errorf("%w: %q", store.ErrNoMember, which)
}

func (f *fake) Reload(_ context.Context, zones []string) (Reloaded, error) {
	if len(zones) > 0 && zones[0] == "broken." {
		return Reloaded{}, errors.New("broken.zone:3:1: no such type")
	}
	return Reloaded{Took: time.Second, Zones: 3, Changed: len(zones)}, nil
}

func (f *fake) Drop(_ context.Context, by history.Order) error { return f.order("drop", by) }

// order notes an order about what is held, of which nothing is then.
func (f *fake) order(what string, by history.Order) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ordered = append(f.ordered, fmt.Sprintf("%s by %s: %s", what, by.Who, by.Why))
	f.status.HeldChanges, f.status.HeldSites, f.status.Held = nil, nil, nil
	return f.writeErr
}

func (f *fake) Frontends() (FrontendList, bool) { return FrontendList{}, len(f.status.Frontends) > 0 }

func (f *fake) Connections(ConnectionQuery) (ConnectionList, bool) {
	return ConnectionList{Matching: 9600, Top: []balancer.ConnectionGroup{{Of: "203.0.113.0/24", Place: "KT, Seoul, KR", Open: 5210, Up: 1 << 30, Down: 9 << 30}}}, len(f.status.Frontends) > 0
}

func (f *fake) OrderServer(ServerOrder) error { return f.writeErr }
