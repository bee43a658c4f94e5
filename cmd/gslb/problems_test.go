package main

import (
	"strings"
	"testing"
	"time"

	"gslb/console"
	"gslb/geo"
	"gslb/health"
)

func TestStatusProblems(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	up := console.Site{Status: health.Status{Site: "b", State: health.Up}}
	site := func(st health.Status) console.Site {
		st.Site, st.Since = "a", now.Add(-time.Minute)
		return console.Site{Status: st}
	}
	order := func(kind health.OverrideKind, age, length time.Duration) *health.Override {
		o := &health.Override{Site: "a", Kind: kind, Who: "kim@noc", Why: "new switch", Since: now.Add(-age)}
		if length > 0 {
			o.Until = o.Since.Add(length)
		}
		return o
	}
	for _, c := range []struct {
		name   string
		change func(*console.Status)
		want   []string // a part of each problem
	}{
		{"all is well", func(*console.Status) {}, nil},
		{"its member of etcd has ended", func(s *console.Status) { s.Etcd.Ended = "no space left on device" }, []string{"start the node again"}},
		{"a site is down", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Down, Why: "2 of 2 say down"})
		}, []string{"site a is down since"}},
		{"a site is forced down", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Down, Override: order(health.ForceDown, time.Hour, 0)})
		}, nil},
		{"a drained site is down", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Down, Draining: true, Override: order(health.Drain, time.Hour, 0), Why: "dead"})
		}, []string{"dead"}},
		{"an unknown site", func(s *console.Status) { s.Sites[0] = site(health.Status{}) }, nil},
		{"drained for two days without an end", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Draining: true, Override: order(health.Drain, 48*time.Hour, 0)})
		}, []string{"site a: drained, by kim@noc"}},
		{"forced up for two days without an end", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Override: order(health.ForceUp, 48*time.Hour, 0)})
		}, []string{"site a: forced up"}},
		{"drained for two days of three", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Draining: true, Override: order(health.Drain, 48*time.Hour, 72*time.Hour)})
		}, nil},
		{"every site is out", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Draining: true, Override: order(health.Drain, time.Hour, 0)})
			s.Sites[1].State, s.Sites[1].Why = health.Down, "gone"
		}, []string{"every site is out of service", "gone"}},
		{"every site is out, and nothing steered", func(s *console.Status) {
			s.Sites, s.Steered = []console.Site{site(health.Status{State: health.Down, Why: "gone"})}, nil
		}, []string{"gone"}},
		{"vantage points disagree", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Votes: []health.Vote{
				{Vantage: "n1", State: health.Up}, {Vantage: "n2", State: health.Down, Detail: "timeout"}, {Vantage: "n3"},
			}})
		}, []string{"down for n2 (n2: timeout), not down for n1"}},
		{"an unknown vote is no disagreement", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Votes: []health.Vote{{Vantage: "n1", State: health.Up}, {Vantage: "n2"}}})
		}, nil},
		{"a server is down", func(s *console.Status) {
			s.Sites[0] = site(health.Status{State: health.Up, Reports: []health.Report{{Servers: []health.Server{
				{Address: "10.0.0.1:80", Role: "server", State: health.Down, Detail: "refused"}, {Address: "10.0.0.2:80", State: health.Up},
			}}}})
		}, []string{"site a: server 10.0.0.1:80 is down: refused"}},
		{"etcd is lost", func(s *console.Status) {
			s.Etcd, s.Stale = console.Etcd{Since: now.Add(-time.Minute), Error: "connection refused"}, true
		}, []string{"etcd is not connected since", "stale"}},
		{"etcd was never there", func(s *console.Status) { s.Etcd = console.Etcd{Error: "no route"} }, []string{"not been reached since the start: no route"}},
		{"etcd is yet to be reached", func(s *console.Status) { s.Etcd, s.Node.Started = console.Etcd{}, now }, nil},
		{"a database is bad", func(s *console.Status) {
			s.Geo = []console.Database{{Path: "/x/city.mmdb", Error: "corrupt", Since: now}, {Path: "/x/asn.mmdb"}}
		}, []string{": corrupt; the one opened before"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := console.Status{
				Now: now, Node: console.Node{Started: now.Add(-time.Hour)}, Etcd: console.Etcd{Connected: true, Since: now},
				Steered: []console.Steered{{Name: "www.abc.com."}}, Sites: []console.Site{site(health.Status{State: health.Up}), up},
			}
			c.change(&st)
			got := statusProblems(st)
			if len(got) != len(c.want) {
				t.Fatalf("problems %q, want %q", got, c.want)
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("problem %q, want one with %q", got[i], c.want[i])
				}
			}
		})
	}
}

func TestDatabases(t *testing.T) {
	sources := []geo.Source{{Path: "/x/city.mmdb", Type: "City"}, {Path: "/x/asn.mmdb", Type: "ASN"}}
	got, other := databases(sources, geo.WatchStatus{Fault: "geo database /x/asn.mmdb: corrupt\nthe disk is full", Since: time.Now()})
	if len(got) != 2 || got[0].Error != "" || got[1].Error != "corrupt" || got[1].Since.IsZero() {
		t.Errorf("databases %+v", got)
	}
	if len(other) != 1 || !strings.HasPrefix(other[0], "the disk is full") {
		t.Errorf("other problems %q", other)
	}
	if got, other = databases(sources, geo.WatchStatus{}); got[1].Error != "" || other != nil {
		t.Errorf("without a fault: %+v, %q", got, other)
	}
}
