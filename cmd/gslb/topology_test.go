package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"gslb/config"
	"gslb/geo"
)

// A reload compiles what has changed and nothing else: the rest are the very same
// values as before.
func TestCompileTakesOver(t *testing.T) {
	dir := t.TempDir()
	zone := func(name string, serial int) {
		write(t, filepath.Join(dir, name), fmt.Sprintf("$TTL 60\n@ SOA ns hostmaster %d 2 3 4 5\n@ NS ns\nns A 192.0.2.53\n", serial))
	}
	zone("a.zone", 1)
	zone("b.zone", 1)
	const text = `
[node]
name = "n"
[dns]
listen = ["127.0.0.1:0"]
[geo]
[[geo.override]]
networks = ["198.51.100.0/24"]
place = { country = "KR" }
[[zone]]
name = "a.example."
file = "a.zone"
[[zone]]
name = "b.example."
file = "b.zone"
[[site]]
name = "one"
addresses = ["192.0.2.1"]
[[site]]
name = "two"
addresses = ["192.0.2.2"]
[[steer]]
name = "www.a.example."
answer = "address"
  [[steer.rule]]
  country = ["KR"]
  to = ["two"]
  [[steer.rule]]
  to = ["one"]
[[steer]]
name = "www.b.example."
answer = "address"
  [[steer.rule]]
  to = ["two"]
`
	var places *geo.DB
	load := func(text string, prev *topology) *topology {
		t.Helper()
		cfg, err := config.Parse("gslb.toml", []byte(text), dir)
		if err != nil {
			t.Fatal(err)
		}
		if places, err = places.Reopen(cfg.Geo); err != nil {
			t.Fatal(err)
		}
		next, err := ingredients{places: places, prev: prev}.compile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	// shared names what two topologies share.
	shared := func(was, is *topology) string {
		var same []string
		if was.places == is.places {
			same = append(same, "databases")
		}
		for i, z := range is.db.Zones() {
			if was.db.Zones()[i] == z {
				same = append(same, z.Name[:1])
			}
		}
		for i, p := range is.policies {
			if was.policies[i].Compiled == p.Compiled && was.policies[i].Table == p.Table {
				same = append(same, is.sources[i].Name[:5])
			}
		}
		return strings.Join(same, " ")
	}
	was := load(text, nil)
	for _, c := range []struct {
		what, from, to string
		want           string
	}{
		{"nothing", "", "", "databases a b www.a www.b"},
		{"a zone", "", "", "databases b www.a www.b"},
		{"a rule", `to = ["one"]`, `to = ["one", "two"]`, "databases a b www.b"},
		{"a site's answer", `"192.0.2.1"`, `"192.0.2.9"`, "databases a b www.a www.b"},
		{"a site's weight", `name = "one"`, "name = \"one\"\nweight = 2", "databases a b"},
		{"an override", `{ country = "KR"`, `{ country = "JP"`, "a b"},
	} {
		if c.what == "a zone" {
			zone("a.zone", 22)
		}
		is := load(strings.Replace(text, c.from, c.to, 1), was)
		if got := shared(was, is); got != c.want {
			t.Errorf("after %s has changed these are shared: %q, want %q", c.what, got, c.want)
		}
		was = load(text, is)
	}
}
