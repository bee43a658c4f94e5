package console

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"gslb/health"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", path, got)
	}
}

func statusText(t *testing.T, s Status) string {
	t.Helper()
	var b strings.Builder
	if err := WriteStatus(&b, s); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteStatus(t *testing.T) {
	lost := demoStatus()
	lost.Stale = true
	lost.Etcd = Etcd{Endpoints: []string{"https://10.0.0.5:2379", "https://10.0.0.6:2379"}, Since: fakeNow.Add(-95 * time.Second), Error: "context deadline exceeded"}
	lost.Geo, lost.BGP = nil, nil
	lost.Sites = lost.Sites[:1]
	lost.Sites[0].Override = &health.Override{Kind: health.ForceUp, Since: fakeNow.Add(-time.Hour)}

	healthy := Status{
		Node: Node{Name: "ns1", Roles: []string{"dns"}, Version: "1.2.3", Started: fakeNow.Add(-59 * time.Second)}, Now: fakeNow, Revision: 3,
		Sites: []Site{{Status: health.Status{Site: "kt", State: health.Up, Since: fakeNow.Add(-50 * time.Second), Why: "1 of 1 vantage points says up", Votes: []health.Vote{vote("ns1", "kt", health.Up, time.Minute, "")}}}},
		Etcd:  Etcd{Embedded: true, Connected: true, Since: fakeNow.Add(-58 * time.Second), Revision: 12},
	}
	for _, tt := range []struct {
		name   string
		status Status
	}{{"status-demo.txt", demoStatus()}, {"status-lost.txt", lost}, {"status-healthy.txt", healthy}, {"status-zero.txt", Status{}}} {
		golden(t, tt.name, statusText(t, tt.status))
	}
}

// TestDrainTable: a site that is to get no new users has a table of its own, with who
// still comes to it.
func TestDrainTable(t *testing.T) {
	s := Status{Now: fakeNow, Sites: []Site{
		{Status: health.Status{Site: "kt", State: health.Up, Draining: true}, Drain: &health.DrainProgress{Site: "kt", Text: "new connections still come", Empty: fakeNow.Add(90 * time.Second),
			Clients: &health.Clients{Open: 14, New: 230, Ignored: 7, Rest: 2,
				Groups: []health.ClientGroup{{Operator: "KT", Country: "KR", Open: 13, New: 230, Quiet: 2 * time.Second, Networks: []string{"198.51.100.0/24", "203.0.113.0/24"}, More: 4}, {Open: 1}},
				Oldest: []health.Connection{{Client: "198.51.100.7", Operator: "KT", Country: "KR", Server: "10.0.1.11:443", Age: 3 * time.Hour}}}}},
		{Status: health.Status{Site: "lgu", State: health.Up, Draining: true}, Drain: &health.DrainProgress{Site: "lgu", Safe: true, Prediction: true, Text: "no cache has it"}},
		{Status: health.Status{Site: "us", State: health.Up}},
	}}
	var b strings.Builder
	if err := drainTable(s).write(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "drain.txt", b.String())
}

// A site that comes back slowly says why it does not get all its users.
func TestWhyText(t *testing.T) {
	ordered := &health.Override{Kind: health.Share}
	for _, tc := range []struct {
		in   health.Status
		want string
	}{
		{health.Status{Why: "all say up"}, "all say up"},
		{health.Status{Why: "all say up", Withheld: 0.85}, "all say up; slow start: 85% of its new users go elsewhere for now"},
		{health.Status{Why: "by order", Withheld: 0.85, Override: ordered}, "by order"},
		{health.Status{Why: "all say up", Shed: 0.3}, "all say up"},
	} {
		if got := whyText(tc.in); got != tc.want {
			t.Errorf("%+v: %s, want %s", tc.in, got, tc.want)
		}
	}
}

func TestWriteStatusIsHarmlessInATerminal(t *testing.T) {
	const bad = "\x1b[2J\x1b]0;owned\x07\r\n\u202eevil\xff\u0085"
	s := demoStatus()
	s.Node.Name, s.Node.Version, s.Node.Roles = bad, bad, []string{bad}
	s.Problems = []string{bad}
	s.Etcd = Etcd{Error: bad, Endpoints: []string{bad}}
	s.Sites[0].Site, s.Sites[0].Why, s.Sites[0].Votes[0].Detail = bad, bad, bad
	s.Sites[0].Override = &health.Override{Kind: health.OverrideKind(bad), Who: bad, Why: bad}
	s.Frontends[0].Servers[0].Detail, s.Nodes[0].Name, s.Steered[0].Name, s.Geo[0].Path = bad, bad, bad, bad
	s.Zones[0].DNSSEC.Keys[0].State, s.Zones[0].DNSSEC.Parent, s.Zones[0].DNSSEC.DS[0] = bad, bad, bad
	text := statusText(t, s)
	for _, r := range text {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("unprintable %U in:\n%q", r, text)
		}
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWriteStatusTellsWriteErrors(t *testing.T) {
	if err := WriteStatus(failing{}, Status{}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAge(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59*time.Second + 999*time.Millisecond: "59s", time.Minute: "1m0s",
		time.Hour - 1: "59m59s", time.Hour: "1h0m", 24*time.Hour - 1: "23h59m", 100 * time.Hour: "4d4h",
	} {
		if got := age(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestServerText(t *testing.T) {
	for _, tt := range []struct { // in the order of serverText's table
		server FrontendServer
		want   string
	}{
		{FrontendServer{Role: "server", Draining: true, InService: true}, "DRAINING"},
		{FrontendServer{Role: "spare", InService: true}, "spare, IN SERVICE"},
		{FrontendServer{Role: "spare", State: health.Down}, "spare, DOWN"},
		{FrontendServer{Role: "spare"}, "spare"},
		{FrontendServer{Role: "server", State: health.Up, InService: true}, "in service"},
		{FrontendServer{Role: "server"}, "not checked yet"},
		{FrontendServer{Role: "server", State: health.Down}, "ISOLATED"},
		{FrontendServer{Role: "server", State: health.Up}, "ISOLATED"}, // overloaded
		{FrontendServer{Role: "server", Isolated: true}, "ISOLATED"},
	} {
		if got := serverText(tt.server); got != tt.want {
			t.Errorf("%+v: %q, want %q", tt.server, got, tt.want)
		}
	}
}
