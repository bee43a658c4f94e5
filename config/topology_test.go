package config

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// folder writes files and gives their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// folderFile writes one file and gives its name.
func folderFile(t *testing.T, name, text string) string {
	t.Helper()
	return filepath.Join(folder(t, map[string]string{name: text}), name)
}

const (
	splitNode = "[node]\nname = \"ns1\"\ntopology = \"etcd\"\nsite = \"kt\"\nroles = [\"dns\", \"balancer\"]\n[dns]\nlisten = [\"127.0.0.1:0\"]\n"
	splitMain = "include = [\"sites.toml\", \"more/*.toml\"]\n[[zone]]\nname = \"abc.com.\"\nfile = \"abc.zone\"\n[[site]]\nname = \"kt\"\naddresses = [\"192.0.2.1\"]\n"
	splitSite = "[[site]]\nname = \"lgu\"\naddresses = [\"192.0.2.2\"]\ncheck = \"web\"\n[check.web]\ntype = \"tcp\"\nport = 80\n"
	splitMore = "[[site]]\nname = \"cn\"\naddresses = [\"192.0.2.3\"]\n[[frontend]]\nname = \"www\"\nsite = \"kt\"\nlisten = [\"127.0.0.1:0\"]\n[[frontend.server]]\naddress = \"127.0.0.1:81\"\n" +
		"[[frontend]]\nname = \"other\"\nsite = \"cn\"\nlisten = [\"127.0.0.1:0\"]\n[[frontend.server]]\naddress = \"127.0.0.1:81\"\n[[zones]]\nfiles = \"zones/*.zone\"\n"
)

func splitFiles(change map[string]string) map[string]string {
	files := map[string]string{
		"node.toml": splitNode, "top/main.toml": splitMain, "top/sites.toml": splitSite, "top/more/a.toml": splitMore,
		"top/abc.zone": "", "top/more/zones/x.example.zone": "",
	}
	for name, text := range change {
		files[name] = text
	}
	return files
}

// TestTopologyApart: a topology of several files, alone and with a node's file.
func TestTopologyApart(t *testing.T) {
	dir := folder(t, splitFiles(nil))
	node, top := filepath.Join(dir, "node.toml"), filepath.Join(dir, "top/main.toml")
	if IsTopology(node) || !IsTopology(top) {
		t.Error("IsTopology takes the one for the other")
	}
	c, err := LoadTopology(top)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, p := range c.Parts() {
		rel, err := filepath.Rel(c.Root(), p)
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, rel)
	}
	if want := []string{"main.toml", "abc.zone", "more/a.toml", "more/zones/x.example.zone", "sites.toml"}; !slices.Equal(parts, want) {
		t.Errorf("parts %q, want %q", parts, want)
	}
	c, err = LoadBoth(node, top)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range c.Sites {
		names = append(names, s.Name)
	}
	if want := []string{"kt", "lgu", "cn"}; !slices.Equal(names, want) || len(c.Zones) != 2 {
		t.Errorf("sites %q, want %q; zones %v", names, want, c.Zones)
	}
	if len(c.Frontends) != 1 || c.Frontends[0].Name != "www" {
		t.Errorf("frontends %v: want that of the node's site alone", c.Frontends)
	}
	c, err = LoadBoth(folderFile(t, "node.toml", splitNode+"[geo]\nreload = \"3s\"\n"), folderFile(t, "top.toml", "[[geo.override]]\nnetworks = [\"192.0.2.0/24\"]\nplace = { country = \"KR\" }\n"))
	if err != nil || len(c.Geo.Overrides) != 1 || c.Geo.Reload == 0 {
		t.Errorf("[geo] of both: %v", err)
	}
	c, err = Load(node)
	if err != nil || c.Node.Topology != TopologyEtcd || len(c.Zones)+len(c.Sites) != 0 {
		t.Errorf("the node's file alone: %v, %v", c, err)
	}
}

// TestTopologyFaults: each fault of several files is told with its own file and line.
func TestTopologyFaults(t *testing.T) {
	for name, x := range map[string]struct {
		change map[string]string
		load   string // "both", "alone" or "node"
		want   string
	}{
		"index over files":      {map[string]string{"top/more/a.toml": "[[site]]\nname = \"cn\"\naddresses = [\"192.0.2.3\"]\ncheck = \"wbe\"\n"}, "alone", `a.toml:4: site[2].check: "wbe"`},
		"twice":                 {map[string]string{"top/more/a.toml": "[[site]]\nname = \"lgu\"\naddresses = [\"192.0.2.3\"]\n"}, "alone", `a.toml:2: site[2].name: "lgu": already a site on line 2 of `},
		"table twice":           {map[string]string{"top/more/a.toml": "\n[check.web]\ntype = \"http\"\n"}, "alone", `a.toml:2: check.web: set a second time, after line 5 of `},
		"node in topology":      {map[string]string{"top/more/a.toml": "[node]\nname = \"x\"\n"}, "both", `a.toml:1: node: says what a node is`},
		"databases in topology": {map[string]string{"top/more/a.toml": "[geo]\nreload = \"3s\"\n"}, "alone", `a.toml:2: geo.reload: says what a node is`},
		"site in node":          {map[string]string{"node.toml": splitNode + "[[site]]\nname = \"x\"\naddresses = [\"192.0.2.3\"]\n"}, "node", `node.toml:8: site: belongs into the topology`},
		"its own topology":      {map[string]string{"node.toml": strings.Replace(splitNode, "topology = \"etcd\"\n", "", 1)}, "both", `node.topology: must be "etcd"`},
		"word":                  {map[string]string{"node.toml": strings.Replace(splitNode, `"etcd"`, `"etc"`, 1)}, "node", `node.toml:3: node.topology: "etc": must be "etcd"`},
		"a name without zones":  {map[string]string{"top/main.toml": "[[site]]\nname = \"x\"\naddresses = [\"192.0.2.3\"]\n[[steer]]\nname = \"www.abc.com.\"\nanswer = \"address\"\n[[steer.rule]]\nto = [\"x\"]\n"}, "alone", `main.toml:5: steer[0].name: "www.abc.com.": is in none of the zones: there is no [[zone]]`},
		"no such include":       {map[string]string{"top/main.toml": "include = [\"none.toml\"]\n"}, "alone", `main.toml:1: include[0]: "none.toml": no file has such a name`},
		"circle":                {map[string]string{"top/sites.toml": "include = [\"main.toml\"]\n"}, "alone", `sites.toml:1: include[0]: "main.toml": `},
		"outside":               {map[string]string{"top/main.toml": "[[zone]]\nname = \"abc.com.\"\nfile = \"../abc.zone\"\n", "abc.zone": ""}, "alone", `lies outside of the topology's folder`},
		"secret":                {map[string]string{"top/main.toml": "[tsig.k]\nsecret_file = \"k\"\n", "top/k": "x"}, "alone", `secrets do not travel`},
		"frontend without site": {map[string]string{"top/more/a.toml": "[[frontend]]\nname = \"www\"\nlisten = [\"127.0.0.1:0\"]\n[[frontend.server]]\naddress = \"127.0.0.1:81\"\n"}, "alone", `frontend[0].site: missing`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, splitFiles(x.change))
			node, top := filepath.Join(dir, "node.toml"), filepath.Join(dir, "top/main.toml")
			var err error
			switch x.load {
			case "both":
				_, err = LoadBoth(node, top)
			case "alone":
				_, err = LoadTopology(top)
			default:
				_, err = Load(node)
			}
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("got: %v\nwant: …%s…", err, x.want)
			}
		})
	}
}

// TestWholeConfigurationAsTopology: what a node is, in a topology, is one fault a table,
// and nothing is said of keys in it, which were not read.
func TestWholeConfigurationAsTopology(t *testing.T) {
	dir := folder(t, map[string]string{"top.toml": "[node]\nname = \"ns1\"\nroles = [\"dns\"]\n[dns]\nlisten = [\"127.0.0.1:53\"]\n[api]\nlisten = \"127.0.0.1:8053\"\n" +
		"[[site]]\nname = \"kt\"\naddresses = [\"192.0.2.1\"]\n"})
	_, err := LoadTopology(filepath.Join(dir, "top.toml"))
	var keys []string
	for _, p := range asProblems(err) {
		keys = append(keys, p.Key)
	}
	if !slices.Equal(keys, []string{"node", "dns", "api"}) {
		t.Errorf("faults in %q: %v", keys, err)
	}
}

// TestFilesOfNodes: what a topology names absolutely need not be on the machine
// that looks at it, but on the node that serves it.
func TestFilesOfNodes(t *testing.T) {
	dir := folder(t, splitFiles(map[string]string{"top/main.toml": "[[zone]]\nname = \"abc.com.\"\nfile = \"/nowhere/abc.zone\"\n"}))
	node, top := filepath.Join(dir, "node.toml"), filepath.Join(dir, "top/main.toml")
	c, err := LoadTopology(top)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0].Message, "each node must have it") || len(c.Parts()) != 1 {
		t.Errorf("alone: %v, %v", c, err)
	}
	if _, err := LoadBoth(node, top); err == nil || !strings.Contains(err.Error(), "cannot read the zone file") {
		t.Errorf("on a node: %v", err)
	}
}

// TestTopologyExec: a topology may have programs in its checks, and a node runs
// them only if its own file says so.
func TestTopologyExec(t *testing.T) {
	const program = "[[site]]\nname = \"lgu\"\naddresses = [\"192.0.2.2\"]\ncheck = \"disk\"\n[check.disk]\ntype = \"exec\"\nargv = [\"/bin/true\"]\n"
	for _, test := range []struct{ node, want string }{
		{"roles = [\"checker\"]", "set allow_exec = true in [node]"},
		{"roles = [\"checker\"]\nallow_exec = true", ""},
	} {
		dir := folder(t, map[string]string{"node.toml": "[node]\nname = \"c1\"\ntopology = \"etcd\"\n" + test.node + "\n", "top.toml": program})
		if _, err := LoadTopology(filepath.Join(dir, "top.toml")); err != nil {
			t.Errorf("alone: %v", err)
		}
		_, err := LoadBoth(filepath.Join(dir, "node.toml"), filepath.Join(dir, "top.toml"))
		if (err != nil) != (test.want != "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.node, err, test.want)
		}
	}
	dir := folder(t, map[string]string{"top.toml": "[node]\nallow_exec = true\n" + program})
	if _, err := LoadTopology(filepath.Join(dir, "top.toml")); err == nil || !strings.Contains(err.Error(), "says what a node is") {
		t.Errorf("a topology that allows itself: %v", err)
	}
}

// TestTopologySplit: what stands in one file is the same when the node's tables and the topology stand apart.
func TestTopologySplit(t *testing.T) {
	for _, name := range []string{"design.toml", "fleet.toml", "dnssec.toml"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS("testdata/good")); err != nil {
				t.Fatal(err)
			}
			one, err := Load(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			var tree map[string]any
			if _, err := toml.DecodeFile(filepath.Join(dir, name), &tree); err != nil {
				t.Fatal(err)
			}
			node, top := map[string]any{}, map[string]any{}
			for key, table := range tree {
				switch {
				case slices.Contains(nodeTables, key) || key == "frontend":
					node[key] = table
				case key == "geo":
					of := func(keys []string) map[string]any {
						part := maps.Clone(table.(map[string]any))
						maps.DeleteFunc(part, func(key string, _ any) bool { return !slices.Contains(keys, key) })
						return part
					}
					node[key], top[key] = of(nodeGeo), of(topologyGeo)
				default:
					top[key] = table
				}
			}
			node["node"].(map[string]any)["topology"] = TopologyEtcd
			for name, tree := range map[string]any{"node.toml": node, "top.toml": top} {
				text, err := toml.Marshal(tree)
				if err == nil {
					err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			two, err := LoadBoth(filepath.Join(dir, "node.toml"), filepath.Join(dir, "top.toml"))
			if err != nil {
				t.Fatal(err)
			}
			two.Node.Topology, one.Warnings, two.Warnings = "", Problems{}, Problems{} // which have lines
			got, want := reflect.ValueOf(two).Elem(), reflect.ValueOf(one).Elem()
			for i := range want.NumField() {
				if f := want.Type().Field(i); f.IsExported() && !reflect.DeepEqual(got.Field(i).Interface(), want.Field(i).Interface()) {
					t.Errorf("%s: apart it is\n%+v\nin one file\n%+v", f.Name, got.Field(i), want.Field(i))
				}
			}
		})
	}
}
