package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/config"
	"gslb/health"
	"gslb/replay"
)

// What is decided once more is what was answered: by the same states, for clients in
// and out of the rules' networks, with picks that draw by network and by time.
func TestReplayIsWhatWasAnswered(t *testing.T) {
	path := expecting(t, `
[[steer]]
name = "draw.abc.com."
answer = "cname"
  [[steer.rule]]
  network = ["198.51.100.0/25"]
  to = ["lgu"]
  [[steer.rule]]
  to = ["weighted:kt=1,lgu=1"]
[[steer]]
name = "again.abc.com."
answer = "cname"
  [[steer.rule]]
  network = ["198.51.100.0/25"]
  to = ["lgu"]
  [[steer.rule]]
  to = ["weighted:kt=1,lgu=1"]
`)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Node.DataDir = t.TempDir()
	x, err := examine(cfg, true, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	then, err := replayed(cfg, x.places)
	if err != nil {
		t.Fatal(err)
	}
	log, err := replay.Open(replayFolder(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	begin := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	down := &health.States{Sites: map[string]health.Status{"kt": {Site: "kt", State: health.Down}}}
	for minute, states := range []*health.States{{}, down, {}} {
		if err := log.Add(begin.Add(time.Duration(minute)*time.Minute), then, states); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]int{}
	for _, name := range []string{"www.abc.com.", "draw.abc.com.", "again.abc.com."} {
		for _, client := range []string{"203.0.113.7", "198.51.100.7", "198.51.100.200", "8.8.8.8"} {
			for second := 5; second < 180; second += 35 {
				at := begin.Add(time.Duration(second) * time.Second)
				g := x.topology.generation(nil, nil)
				if second >= 60 && second < 120 {
					g = g.WithStates(down)
				}
				e, err := g.Explain(cfg.DNS, name, dns.TypeA, netip.MustParseAddr(client), uint32(at.Unix()))
				if err != nil {
					t.Fatal(err)
				}
				r, bad, err := replay.Find(replayFolder(cfg), at)
				if err != nil || bad > 0 {
					t.Fatal(err, bad)
				}
				n, _ := r.Topology.Find(name)
				var out bytes.Buffer
				if err := decidePast(&out, &r, &n, x.places, netip.MustParseAddr(client), at); err != nil {
					t.Fatal(err)
				}
				cname := e.Message.Answer[0].(*dns.CNAME).Target
				seen[cname]++
				if e.Trace.Policy != name { // though another one has the same rules
					t.Errorf("%s is explained by the policy of %s", name, e.Trace.Policy)
				}
				if !strings.Contains(out.String(), "CNAME  "+cname+"\n") {
					t.Errorf("%s for %s in second %d: was %s, replayed:\n%s", name, client, second, cname, out.String())
				}
			}
		}
	}
	if len(seen) != 2 {
		t.Errorf("all answers alike: %v", seen)
	}
}

func TestExplainAtRefuses(t *testing.T) {
	path := expecting(t, "")
	for args, want := range map[string]string{
		"-at -10m":                 "-at goes with -config",
		"-at noon -config " + path: `"noon": want a time`,
		"-at 2999-03-01T09:00:00Z -config " + path: "has not come yet",
		"-at -1m -down kt -config " + path:         "do not go together",
		"-at 2026-03-01T09:00:00Z -config " + path: "nothing is recorded of that time",
	} {
		_, _, err := runGSLB(append(strings.Fields("explain www.abc.com -client 203.0.113.7"), strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("gslb explain %s: %v, want %q", args, err, want)
		}
	}
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"-10m": now.Add(-10 * time.Minute), "2026-02-28 23:00": now.Add(-10 * time.Hour), "2026-03-01T08:00:00Z": now.Add(-time.Hour)} {
		if got, err := pastTime(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
}
