package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gslb/forecast"
)

const simulatedConfig = `
[node]
name = "n"
roles = ["checker"]
[geo]
databases = ["city.mmdb", "isp.mmdb"]
[[site]]
name = "kt"
cname = "a.www.abc.com."
location = [37.57, 126.98]
capacity = 600
[[site]]
name = "lgu"
cname = "b.www.abc.com."
location = [37.48, 126.9]
capacity = 600
[[site]]
name = "us"
cname = "c.www.abc.com."
location = [39.0, -77.5]
capacity = 600
[[steer]]
name = "www.abc.com."
answer = "cname"
  [[steer.rule]]
  isp = ["KT"]
  to = ["kt", "lgu"]
  [[steer.rule]]
  to = ["us"]
`

// simulated writes a configuration with the demo's databases.
func simulated(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{"demo/geo/demo-city.mmdb": "city.mmdb", "demo/geo/demo-isp.mmdb": "isp.mmdb"} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, to), string(data))
	}
	path := filepath.Join(dir, "gslb.toml")
	write(t, path, text)
	write(t, filepath.Join(dir, "people.csv"), "country,operator,people\nKR,KT,60\nUS,40\n")
	write(t, filepath.Join(dir, "bad.csv"), "KR,1\nKR,x\n")
	return path
}

func TestSimulate(t *testing.T) {
	path := simulated(t, simulatedConfig)
	people := filepath.Join(filepath.Dir(path), "people.csv")
	for _, test := range []struct {
		args string
		want []string
		over bool
	}{
		{"", []string{"nobody moves", "carry a load of"}, false},
		{"-down kt -weights PEOPLE", []string{"what if: down kt", "www.abc.com.: 60 % of its users move", "KR KT  60 %  kt -> lgu", "carry a load of 1 000 in all; beyond it lgu"}, false},
		{"-drain kt -weights PEOPLE -total 900 -by country", []string{"draining", "KR  60 %  kt -> lgu", "0 -> 540", "No site is overloaded"}, false},
		{"-down kt -weights PEOPLE -total 1100", []string{"660", "110 %  OVERLOADED", "! site lgu: an expected load of 660 passes its capacity of 600"}, true},
		{"-down kt,lgu -weights PEOPLE", []string{"60 % are sent as though all sites were up"}, false},
		{"-n-1 -weights PEOPLE -total 1100", []string{"each single site down\n", "kt    60 %        lgu +60 %  lgu 110 %"}, true},
		{"-n-1 -down us -weights PEOPLE", []string{"each single site down, besides: down us\n", "? is not known: say with -total"}, false},
	} {
		out, _, err := runGSLB(append([]string{"simulate", "-config", path}, strings.Fields(strings.ReplaceAll(test.args, "PEOPLE", people))...)...)
		if errors.Is(err, errOverloaded) != test.over || err != nil && !test.over {
			t.Errorf("gslb simulate %s: %v", test.args, err)
		}
		for _, want := range test.want {
			if !strings.Contains(out, want) {
				t.Errorf("gslb simulate %s: want %q in\n%s", test.args, want, out)
			}
		}
	}
}

func TestSimulateJSON(t *testing.T) {
	path := simulated(t, simulatedConfig)
	out, _, err := runGSLB("simulate", "-config", path, "-down", "kt", "-json", "-total", "1")
	var one forecast.Comparison
	if err != nil || json.Unmarshal([]byte(out), &one) != nil || len(one.Sites) != 3 || len(one.Names) != 1 || one.Moved == 0 {
		t.Errorf("%v: %+v", err, one)
	}
	out, _, err = runGSLB("simulate", "-config", path, "-n-1", "-json")
	var all []struct {
		Down  string
		Moved float64
	}
	if err != nil || json.Unmarshal([]byte(out), &all) != nil || len(all) != 3 || all[0].Down != "kt" || all[0].Moved != one.Moved {
		t.Errorf("%v: %+v", err, all)
	}
}

func TestSimulateRefuses(t *testing.T) {
	path := simulated(t, simulatedConfig)
	bad := filepath.Join(filepath.Dir(path), "bad.csv")
	for args, want := range map[string]string{
		"-down kr":             `-down kr: there is no such site; did you mean "kt"?`,
		"-drain nowhere":       "-drain nowhere: there is no such site",
		"-total -1":            "-total -1: want a load above 0",
		"-by city":             "-by city: want country, operator or both",
		"-top 0":               "-top 0: want 1 or more",
		"-name ww.abc.com":     `there is no such steered name; did you mean "www.abc.com."?`,
		"-ipv6 -weights x":     "two ways to count",
		"kt":                   `"kt" is not expected`,
		"-weights " + bad:      `bad.csv: line 2: weight "x"`,
		"-live -api 127.0.0.1": "must be host:port",
	} {
		out, _, err := runGSLB(append([]string{"simulate", "-config", path}, strings.Fields(args)...)...)
		if err == nil || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("gslb simulate %s: %v, want %q\n%s", args, err, want, out)
		}
	}
}

// A site that goes, an override that is new, and a rule that changes; and a topology that stands apart.
func TestPlan(t *testing.T) {
	path := simulated(t, simulatedConfig)
	dir := filepath.Dir(path)
	people := filepath.Join(dir, "people.csv")
	changed := strings.Replace(simulatedConfig, `to = ["kt", "lgu"]`, `to = ["lgu", "kt"]`, 1)
	changed = strings.Replace(changed, `name = "www.abc.com."`, `name = "shop.abc.com."`, 1) + simulatedConfig[strings.Index(simulatedConfig, "[[steer]]"):]
	write(t, filepath.Join(dir, "new.toml"), changed)
	out, _, err := runGSLB("plan", filepath.Join(dir, "new.toml"), "-against", path, "-weights", people)
	if err != nil || !strings.Contains(out, "shop.abc.com.: new\n") || !strings.Contains(out, "www.abc.com.: nobody moves") {
		t.Errorf("%v\n%s", err, out)
	}
	node := simulatedConfig[:strings.Index(simulatedConfig, "[[site]]")]
	topology := strings.TrimPrefix(simulatedConfig, node)
	write(t, filepath.Join(dir, "node.toml"), strings.Replace(node, `name = "n"`, `name = "n"`+"\ntopology = \"etcd\"", 1))
	write(t, filepath.Join(dir, "old.toml"), topology)
	write(t, filepath.Join(dir, "new.toml"), strings.Replace(topology, `["kt", "lgu"]`, `["lgu", "kt"]`, 1))
	args := []string{"plan", filepath.Join(dir, "new.toml"), "-against", filepath.Join(dir, "old.toml"), "-weights", people}
	out, _, err = runGSLB(append(args, "-config", filepath.Join(dir, "node.toml"), "-total", "1100")...)
	if !errors.Is(err, errOverloaded) || !strings.Contains(out, "KR KT  60 %  kt -> lgu") || !strings.Contains(out, "! site lgu: an expected load of 660 passes its capacity of 600") {
		t.Errorf("%v\n%s", err, out)
	}
	var usage usageError
	if _, _, err = runGSLB(args...); !errors.As(err, &usage) || !strings.Contains(err.Error(), "-config NODE") {
		t.Errorf("a topology without a node: %v", err)
	}
}
