package health

import (
	"strings"
	"testing"
	"time"
)

// TestDrained goes through the table at Drained.
func TestDrained(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cfg := DrainConfig{Quiet: time.Minute, Long: 10 * time.Minute}
	gone := []Answered{{Site: "kt", Node: "ns1", Phase: AnswersGone}, {Site: "kt", Node: "ns2", Phase: AnswersGone}, {Site: "cn", Node: "ns1", Phase: AnswersGiven}}
	cached := []Answered{gone[0], {Site: "kt", Node: "ns2", Phase: AnswersCached, Expires: now.Add(20 * time.Second)}}
	both := []string{"ns1", "ns2"}
	report := func(node string, c *Clients) Report { return Report{Site: "kt", Node: node, Clients: c} }
	tests := []struct {
		name    string
		answers []Answered
		dns     []string
		reports []Report
		safe    bool
		text    string
		empty   time.Duration // from now; 0: not told
	}{
		{"a DNS node has not said", gone[:1], both, nil, false, "waiting to hear from the DNS nodes ns2", 0},
		{"no DNS node lives", nil, nil, nil, false, "no DNS node says", 0},
		{"one gives it still", []Answered{gone[0], {Site: "kt", Node: "ns2", Phase: AnswersGiven, Expires: now.Add(30 * time.Second)}}, both, nil, false, "still gives it to users (ns2)", 0},
		{"a node that is gone has no say", append([]Answered{{Site: "kt", Node: "ns3", Phase: AnswersGiven}}, gone...), both, nil, true, "this is a prediction", 0},
		{"caches have it, no balancer", cached, both, nil, false, "in caches for another 20s", 20 * time.Second},
		{"caches have it, few come", cached, both, []Report{report("lb1", &Clients{New: 1, Quiet: 2 * time.Minute})}, false, "in caches for another 20s", 80 * time.Second},
		{"no balancer", gone, both, nil, true, "this is a prediction", 0},
		{"a balancer has not looked", gone, both, []Report{report("lb1", &Clients{Quiet: time.Hour}), report("lb2", nil)}, false, "the balancers on lb2", 0},
		{"some come all the same", gone, both, []Report{report("lb1", &Clients{New: 9, Quiet: 3 * time.Second})}, false, "new connections still come: the last one 3s ago", 0},
		{"of two balancers one has new ones", gone, both, []Report{report("lb1", &Clients{Quiet: time.Hour}), report("lb2", &Clients{New: 9, Quiet: 3 * time.Second})}, false, "new connections still come", 0},
		{"not quiet for long enough", gone, both, []Report{report("lb1", &Clients{New: 9, Quiet: 45 * time.Second})}, false, "new connections still come", 15 * time.Second},
		{"one is open", gone, both, []Report{report("lb1", &Clients{Open: 3, Long: 2, New: 9, Quiet: 2 * time.Minute})}, false, "1 connection is open for less than 10m", 8 * time.Minute},
		{"old ones are open", gone, both, []Report{report("lb1", &Clients{Open: 2, Long: 2, New: 9, Quiet: 2 * time.Minute})}, true, "Cut would be 2 connections", 0},
		{"all is over", gone, both, []Report{report("lb1", &Clients{New: 9, Quiet: 2 * time.Minute}), report("lb2", &Clients{Quiet: 90 * time.Second})}, true, "no new connection for 1m30s, and none is open", 0},
	}
	for _, test := range tests {
		st := Status{Site: "kt", State: Up, Draining: true, Reports: test.reports}
		p := Drained(st, test.answers, test.dns, cfg, now)
		if p.Safe != test.safe || !strings.Contains(p.Text, test.text) {
			t.Errorf("%s: safe %v and %q, want %v and %q", test.name, p.Safe, p.Text, test.safe, test.text)
		}
		var empty time.Duration
		if !p.Empty.IsZero() {
			empty = p.Empty.Sub(now)
		}
		if empty != test.empty {
			t.Errorf("%s: expected to be empty in %v, want %v", test.name, empty, test.empty)
		}
	}
	if p := Drained(Status{Site: "kt", State: Up}, gone, both, cfg, now); p.Draining || p.Safe {
		t.Errorf("a site that nothing is ordered for: %+v", p)
	}
	if p := Drained(Status{Site: "kt", State: Down, Override: &Override{Kind: ForceDown}}, gone, both, cfg, now); !p.Draining || !p.Safe {
		t.Errorf("a site that is forced down: %+v", p)
	}
}

// TestCalm: a decay that goes on is foretold, and nothing else is.
func TestCalm(t *testing.T) {
	tests := []struct {
		name  string
		steps []int64 // the newest first
		known bool
		least time.Duration
		most  time.Duration
	}{
		{"too short", []int64{1, 100}, false, 0, 0},
		{"steady", []int64{50, 50, 50, 50, 50}, false, 0, 0},
		{"more and more", []int64{80, 40, 20, 10}, false, 0, 0},
		{"too few", []int64{0, 1, 1, 2}, false, 0, 0},
		{"halves each step", []int64{64, 128, 256, 512}, true, 50 * time.Second, 80 * time.Second}, // 64, 32 … 1, and a half of those to come
		{"over", []int64{0, 0, 0, 512}, true, 0, 20 * time.Second},
	}
	for _, test := range tests {
		got, known := calm(test.steps)
		if known != test.known || got < test.least || got > test.most {
			t.Errorf("%s: %v, %v; want %v, %v to %v", test.name, got, known, test.known, test.least, test.most)
		}
	}
}

// TestClientsAreBounded: whatever comes, a report stays small.
func TestClientsAreBounded(t *testing.T) {
	var c, o Clients
	for i := range 100 {
		g := ClientGroup{Operator: strings.Repeat("o", i+1), New: int64(i), Networks: []string{"a", "b", "c", "d", "e"}}
		c.Groups = append(c.Groups, g)
		g.Country = "KR"
		o.Groups = append(o.Groups, g)
		c.Oldest = append(c.Oldest, Connection{Age: time.Duration(i)})
		c.Steps = append(c.Steps, 1)
	}
	c.Bound()
	o.Bound()
	c.join(&o)
	if len(c.Groups) != MostClientGroups || len(c.Oldest) != MostOldest || len(c.Steps) != MostClientSteps || c.Rest != 200-MostClientGroups {
		t.Errorf("%d groups, %d connections, %d steps, %d left out", len(c.Groups), len(c.Oldest), len(c.Steps), c.Rest)
	}
	if g := c.Groups[0]; g.New != 99 || len(g.Networks) != MostClientNetworks || g.More != 2 {
		t.Errorf("the largest group: %+v", g)
	}
	if c.Oldest[0].Age != 99 {
		t.Errorf("the oldest connection: %+v", c.Oldest[0])
	}
}
