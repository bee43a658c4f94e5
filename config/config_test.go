package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gslb/steer"
)

var update = flag.Bool("update", false, "write the .want files anew")

// loadGolden loads every FILE.toml of testdata/dir and compares the messages
// with FILE.want, in which $TESTDATA stands for that directory.
func loadGolden(t *testing.T, dir string, messages func(*Config, error) Problems) map[string]Problems {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", dir, "*.toml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no files in testdata/%s: %v", dir, err)
	}
	abs, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Problems{}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".toml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			problems := messages(Parse(filepath.Base(path), data, filepath.Dir(path)))
			all[name] = problems
			got := strings.ReplaceAll(problems.Error(), abs, "$TESTDATA") + "\n"
			golden := strings.TrimSuffix(path, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
	return all
}

// checkLines compares the lines of the problems with those that the file marks.
func checkLines(t *testing.T, dir, mark string, all map[string]Problems) {
	t.Helper()
	for name, problems := range all {
		data, err := os.ReadFile(filepath.Join("testdata", dir, name+".toml"))
		if err != nil {
			t.Fatal(err)
		}
		var got, want []int
		for _, p := range problems {
			got = append(got, p.Line)
		}
		for i, line := range strings.Split(string(data), "\n") {
			if strings.Contains(line, mark) {
				want = append(want, i+1)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s.toml: problems on lines %v, marked are %v\n%v", name, got, want, problems)
		}
	}
}

func asProblems(err error) Problems {
	var ps Problems
	errors.As(err, &ps)
	return ps
}

func TestBadFiles(t *testing.T) {
	all := loadGolden(t, "bad", func(c *Config, err error) Problems {
		if c != nil {
			t.Errorf("a configuration with faults was returned")
		}
		return asProblems(err)
	})
	if len(all) < 45 && !t.Failed() {
		t.Errorf("only %d bad files", len(all))
	}
	checkLines(t, "bad", "# BAD", all)
}

func TestWarnings(t *testing.T) {
	all := loadGolden(t, "warn", func(c *Config, err error) Problems {
		if err != nil {
			t.Fatal(err)
		}
		return c.Warnings
	})
	checkLines(t, "warn", "# WARN", all)
}

// TestDesignExample loads the example of the design, and a second site that its
// rules refer to.
func TestDesignExample(t *testing.T) {
	c, err := Load("testdata/good/design.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"node", c.Node, Node{
			Name: "ns1.seoul", Roles: []string{"dns", "checker", "balancer"},
			DataDir: "/var/lib/gslb", Keys: "/var/lib/gslb/keys", MaintainKeys: c.Node.MaintainKeys, LogLevel: "info", LogFormat: "text",
		}},
		{"zone file", c.Zones[0].File, filepath.Join(dir, "abc.com.zone")},
		{"database", c.Geo.Databases[1], filepath.Join(dir, "GeoLite2-ASN.mmdb")},
		{"override", c.Geo.Overrides[0].Place.ISP, "KT"},
		{"embedded", c.Etcd.Embedded, true},
		{"api", c.API.Listen, "127.0.0.1:8053"},
		{"UDP size", c.DNS.MaxUDPSize, 1232},
		{"check", c.Checks["web"].Timeout, time.Second},
		{"TTL", c.Steers[0].TTL, 30 * time.Second},
		{"site of the frontend, by its address", c.Frontends[0].Site, "kt"},
		{"spare", c.Frontends[0].Spares[0].Address, "10.0.1.13:443"},
		{"servers wanted", c.Frontends[0].MinServers, 2},
		{"keys are maintained", *c.Node.MaintainKeys, true},
		{"warnings", len(c.Warnings), 0},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("%s is %v, want %v", tt.what, tt.got, tt.want)
		}
	}
}

func TestGoodFiles(t *testing.T) {
	paths, err := filepath.Glob("testdata/good/*.toml")
	if err != nil || len(paths) < 3 {
		t.Fatalf("found %v, %v", paths, err)
	}
	for _, path := range paths {
		c, err := Load(path)
		if err != nil {
			t.Errorf("%v", err)
		} else if len(c.Warnings) > 0 {
			t.Errorf("%v", c.Warnings)
		}
	}
}

// TestDocumentedExample loads the example of the reference.
func TestDocumentedExample(t *testing.T) {
	data, err := os.ReadFile("../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(data), "```toml\n")
	text, _, _ = strings.Cut(text, "```")
	c, err := Parse("configuration.md", []byte(text), "testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 || len(c.Sites) != 2 {
		t.Errorf("%d sites, warnings %v", len(c.Sites), c.Warnings)
	}
}

func TestPolicies(t *testing.T) {
	c, err := Load("testdata/good/fleet.toml")
	if err != nil {
		t.Fatal(err)
	}
	sites := c.SteerSites()
	if s := sites[2]; s.Name != "tokyo" || s.HasLocation || s.Weight != 2.5 || s.Bias != -100 || s.Capacity != 500 {
		t.Errorf("tokyo is %+v", s)
	}
	if s := sites[0]; !s.HasLocation || s.Location.Latitude != 37.57 || s.Location.Longitude != 126.98 || s.Weight != 1 {
		t.Errorf("kt is %+v", s)
	}
	got, err := c.Policies()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Name != "www.abc.com." || got[1].Name != "*.cdn.abc.com." || got[1].TTL != 30*time.Second {
		t.Fatalf("policies are %+v", got)
	}
	tier := func(label string, pick steer.Pick, members ...steer.Member) steer.Target {
		return steer.Target{Label: label, Pick: pick, Members: members}
	}
	kt, lgu, tokyo := steer.Member{Site: 0, Weight: 1}, steer.Member{Site: 1, Weight: 1}, steer.Member{Site: 2, Weight: 2.5}
	want := []steer.Target{
		tier("kt", steer.Nearest, kt),
		tier("weighted:korea", steer.Weighted, steer.Member{Site: 0, Weight: 3}, lgu),
		tier("hash:all", steer.Hash, kt, lgu, tokyo),
	}
	if tiers := got[0].Rules[0].Tiers; !reflect.DeepEqual(tiers, want) {
		t.Errorf("tiers are %+v, want %+v", tiers, want)
	}
	if m := got[0].Rules[0].Match; !slices.Equal(m.ISP, []string{"KT"}) || len(m.Networks) != 2 || m.ASN[0] != 4766 {
		t.Errorf("match is %+v", m)
	}
	if last := got[0].LastResort; !reflect.DeepEqual(last, []steer.Target{tier("tokyo", steer.Nearest, tokyo)}) {
		t.Errorf("last resort is %+v", last)
	}
}

func TestMinimal(t *testing.T) {
	c, err := Parse("x.toml", []byte("[dns]\nlisten = [\"127.0.0.1:0\"]\n[[zone]]\nname = \"ABC.com\"\nfile = \"abc.com.zone\"\n"), "testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	if c.Node.Name != host || !slices.Equal(c.Node.Roles, []string{"dns", "checker"}) {
		t.Errorf("node is %+v", c.Node)
	}
	if filepath.Base(c.Node.DataDir) != "gslb-data" || !filepath.IsAbs(c.Node.DataDir) {
		t.Errorf("data directory is %s", c.Node.DataDir)
	}
	if c.Zones[0].Name != "abc.com." {
		t.Errorf("zone is %s", c.Zones[0].Name)
	}
}

func TestUnreadableFile(t *testing.T) {
	_, err := Load("testdata/nowhere.toml")
	want := "testdata/nowhere.toml: cannot read the configuration: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
