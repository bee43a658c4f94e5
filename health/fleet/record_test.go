package fleet

import (
	"encoding/json"
	"testing"

	"gslb/health"
)

// TestGarbage: bad values are left out and named.
func TestGarbage(t *testing.T) {
	t.Parallel()
	etcd := openEtcd(t, t.TempDir(), "")
	a := startNode(t, "a", address(etcd), nil)
	bad := map[string]string{
		"fleet/votes/kt/x":      `{"vantage":"x","site":"kt","state":"dow`,
		"fleet/votes/kt/y":      `{"vantage":"y","site":"kt","state":"sideways"}`,
		"fleet/votes/kt/z":      `{"vantage":"other","site":"kt","state":"down"}`,
		"fleet/reports/kt/x":    `{"site":"kt","node":"x","load":-1}`,
		"fleet/overrides/lgu":   `{"site":"lgu","kind":"explode"}`,
		"fleet/overrides/gone":  `{"site":"gone","kind":"drain","why":"x"}`,
		"fleet/nodes/n/i":       `[]`,
		"fleet/misc/x":          `{}`,
		"fleet/times/x":         `{"vantage":"x","rtt_ms":{"kt":-1}}`,
		"fleet/times/y":         `{"vantage":"y","location":[91,0],"rtt_ms":{"kt":1}}`,
		"fleet/times/z":         `{"vantage":"x","rtt_ms":{"kt":1}}`,
		"fleet/times/w":         `{"vantage":"w","rtt_ms":{"kt":1e400}}`,
		"fleet/votes/kt":        `{}`,
		"fleet/votes/%zz/x":     `{}`,
		"fleet/votes//x":        `{}`,
		"fleet/votes/kt/\xff\n": "\x00",
	}
	for key, val := range bad {
		if _, err := etcd.Put(t.Context(), key, []byte(val)); err != nil {
			t.Fatal(err)
		}
	}
	good, _ := json.Marshal(health.Vote{Site: "kt", Vantage: "w", State: health.Down})
	if _, err := etcd.Put(t.Context(), "fleet/votes/kt/w", good); err != nil {
		t.Fatal(err)
	}
	s := a.await(t, "the good vote", is("kt", health.Down))
	if n := len(s.Site("kt").Votes); n != 1 {
		t.Errorf("%d votes, want 1", n)
	}
	got := map[string]Problem{}
	for _, p := range a.Problems() {
		got[p.Key] = p
		if p.Message == "" || p.Since.IsZero() {
			t.Errorf("problem %+v", p)
		}
	}
	for key := range bad {
		if _, ok := got[key]; !ok {
			t.Errorf("no problem for %q", key)
		}
	}
	if len(got) != len(bad) {
		t.Errorf("%d problems, want %d: %v", len(got), len(bad), got)
	}
	if _, err := etcd.Put(t.Context(), "fleet/votes/kt/x", good); err != nil {
		t.Fatal(err)
	}
	for key := range bad {
		if _, err := etcd.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	poll(t, "no problems", func() bool { return len(a.Problems()) == 0 })
}

func FuzzParse(f *testing.F) {
	f.Add("fleet/votes/kt/a", []byte(`{"vantage":"a","site":"kt","state":"down","since":"2025-01-01T00:00:00Z"}`))
	f.Add("fleet/reports/kt/a", []byte(`{"site":"kt","node":"a","healthy":1,"total":2,"load":1e300}`))
	f.Add("fleet/overrides/k%2Ft", []byte(`{"site":"k/t","kind":"drain"}`))
	f.Add("fleet/nodes/a/b", []byte(`{"name":"a","instance":"b","roles":null}`))
	f.Add("fleet/x", []byte(`{`))
	f.Add("", []byte(nil))
	f.Fuzz(func(t *testing.T, key string, raw []byte) {
		p := parse(key, raw)
		said := 0
		for _, b := range []bool{p.err != nil, p.vote != nil, p.report != nil, p.override != nil, p.node != nil} {
			if b {
				said++
			}
		}
		if said != 1 {
			t.Errorf("%q: says %d things", key, said)
		}
	})
}

func TestKeys(t *testing.T) {
	for _, names := range [][]string{{"kt", "ns1.seoul"}, {"a/b", "%2F"}, {"서울", " "}} {
		kind, got, err := splitKey(keyOf(kindVote, names[0], names[1]))
		if err != nil || kind != kindVote || len(got) != 2 || got[0] != names[0] || got[1] != names[1] {
			t.Errorf("%q came back as %s %q %v", names, kind, got, err)
		}
	}
}
