package test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// startFollower starts a node that takes its topology from etcd, and does not wait
// until it serves.
func (tp *topology) startFollower(name, more string) *node {
	tp.t.Helper()
	addr, api := freeAddress(tp.t), freeAddress(tp.t)
	text := strings.Replace(nodeConfiguration(name, `["dns", "checker"]`, fmt.Sprintf("endpoints = [\"http://%s\"]", tp.etcd), api), "[node]\n", "[node]\ntopology = \"etcd\"\n", 1)
	text += fmt.Sprintf("[dns]\nlisten = [%q]\n%s", addr, more)
	config := write(tp.t, tp.dir, name+".toml", text)
	n := &node{process: start(tp.t, name, nil, binary(tp.t), "serve", "-config", config), dns: addr, api: api, config: config, tp: tp}
	until(tp.t, patience, func() error { _, err := get("http://" + api + "/livez"); return err })
	return n
}

// apply orders a topology at this node.
func (n *node) apply(args ...string) result {
	n.t.Helper()
	return run(n.t, patience, append([]string{binary(n.t), "apply", "--api", n.api, n.tp.path("topology.toml")}, args...)...)
}

// applied is apply that has to succeed at once, on all nodes.
func (n *node) applied(args ...string) string {
	n.t.Helper()
	r := n.apply(append(args, "--wait", "--why", "a test")...)
	if r.code != 0 {
		n.t.Fatalf("apply: exit code %d\n%s%s", r.code, r.out, r.err)
	}
	return r.out
}

// refused is a command that has to fail and to say why.
func (n *node) refused(r result, why string) {
	n.t.Helper()
	if r.code != 1 || !strings.Contains(r.err, why) {
		n.t.Errorf("exit code %d, want 1 and %q:\n%s%s", r.code, why, r.out, r.err)
	}
}

// served is what the node says of the topology that it serves.
func (n *node) served() (t struct {
	Serving int64  `json:"serving"`
	Problem string `json:"problem"`
}) {
	n.t.Helper()
	body, err := get("http://" + n.api + "/api/v1/topology")
	if err == nil {
		err = json.Unmarshal([]byte(body), &t)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return t
}

// has tells whether the node answers the address of a name of abc.com.
func (n *node) has(name, address string) bool {
	n.t.Helper()
	m, err := exchange("udp", n.dns, question(name+".abc.com.", dns.TypeA, ""))
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.Contains(strings.Join(present(m.Answer), " "), address)
}

// TestRevisions: two nodes take their topology from etcd; it is applied, compared,
// rolled back, planned, tried on one node first, refused when it is bad or late, served on
// by a node that cannot take the next one, and after a restart without etcd; and
// nobody follows an etcd that has stepped back.
func TestRevisions(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	etcd := tp.startEtcd()
	zone, err := os.ReadFile(tp.zone)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.Replace(tp.configuration(), fmt.Sprintf("%q", tp.zone), `"abc.com.zone"`, 1)
	write(t, tp.dir, "topology.toml", first)
	topologyIs := func(text string) { t.Helper(); replace(t, tp.path("topology.toml"), []byte(text)) }
	records := func(more string) { t.Helper(); replace(t, tp.zone, append(append([]byte{}, zone...), more...)) }

	ns1 := tp.startFollower("ns1", "")
	// It depends on a check of the topology: so there is one that it cannot take.
	ns2 := tp.startFollower("ns2", fmt.Sprintf("[[frontend]]\nname = \"own\"\nlisten = [%q]\ncheck = \"web\"\n[[frontend.server]]\naddress = %q\n", freeAddress(t), freeAddress(t)))
	if _, err := get("http://" + ns1.api + "/readyz"); err == nil {
		t.Error("a node without a topology says that it is ready")
	}

	t.Run("apply", func(t *testing.T) {
		if out := ns1.applied(); !strings.Contains(out, "revision 1") || !strings.Contains(out, "2 nodes") {
			t.Errorf("apply says:\n%s", out)
		}
		for _, n := range []*node{ns1, ns2} {
			n.waitReady()
			if !n.has("included", "192.0.2.70") {
				t.Errorf("%s does not serve what the topology's master file includes", n.name)
			}
		}
	})
	t.Run("commands beside the node know its topology", func(t *testing.T) {
		if out := must(t, binary(t), "explain", "-config", ns1.config, "www.abc.com", "--client", clientKT); !strings.Contains(out, "CNAME  a.www.abc.com.") {
			t.Errorf("explain says:\n%s", out)
		}
		if out := must(t, binary(t), "simulate", "-config", ns1.config); !strings.Contains(out, "www.abc.com.") {
			t.Errorf("simulate says:\n%s", out)
		}
	})
	t.Run("a bad one is refused", func(t *testing.T) {
		topologyIs(strings.Replace(first, `to = ["kt", "lgu"]`, `to = ["kt", "lguu"]`, 1))
		ns1.refused(ns1.apply("--why", "a test"), "lguu")
		topologyIs(first)
	})
	t.Run("a serial number that goes back is told of", func(t *testing.T) {
		replace(t, tp.zone, []byte(strings.Replace(string(zone), "2026010101", "2025123199", 1)))
		r := ns1.apply("--dry-run")
		if want := "warning: zone abc.com.: abc.com.zone:"; r.code != 0 || !strings.Contains(r.err, want) || !strings.Contains(r.err, "its serial number goes back from 2026010101 to 2025123199") {
			t.Errorf("exit code %d, want 0 and %q:\n%s", r.code, want, r.err)
		}
		records("")
	})
	t.Run("one for another base is refused", func(t *testing.T) {
		records("added IN A 192.0.2.99\n")
		ns2.applied("--base", "1")
		records("added IN A 192.0.2.98\n")
		ns1.refused(ns1.apply("--why", "late", "--base", "1"), "it is at revision 2")
		if !ns1.has("added", "192.0.2.99") || !ns2.has("added", "192.0.2.99") {
			t.Error("the second revision is not served")
		}
	})
	t.Run("diff and rollback", func(t *testing.T) {
		if out := must(t, binary(t), "diff", "--api", ns1.api, "1", "2"); !strings.Contains(out, "+ added IN A 192.0.2.99") {
			t.Errorf("diff says:\n%s", out)
		}
		must(t, binary(t), "rollback", "--api", ns1.api, "--why", "a test", "--wait", "1")
		if ns1.has("added", "192.0.2.99") || ns2.has("added", "192.0.2.99") {
			t.Error("what was rolled back is still served")
		}
		if out := must(t, binary(t), "history", "--api", ns2.api); !strings.Contains(out, "rollback to 1") {
			t.Errorf("history says:\n%s", out)
		}
	})
	t.Run("plan", func(t *testing.T) {
		small := strings.Replace(strings.ReplaceAll(first, `to = ["nearest:all"]`, `to = ["lgu"]`), "name = \"lgu\"\n", "name = \"lgu\"\ncapacity = 10\n", 1)
		topologyIs(small)
		r := run(t, patience, binary(t), "plan", "--api", ns1.api, "--total", "1000", tp.path("topology.toml"))
		if r.code != 1 || !strings.Contains(r.out, "of its users move") || !strings.Contains(r.out, "OVERLOADED") {
			t.Errorf("plan: exit code %d, want 1\n%s%s", r.code, r.out, r.err)
		}
		ns1.refused(ns1.apply("--why", "a test", "--total", "1000"), "it would take lgu above the capacity")
		topologyIs(first)
	})
	t.Run("canary", func(t *testing.T) {
		ns1.applied("--canary", "nodes=ns2")
		if ns1.has("added", "192.0.2.98") || !ns2.has("added", "192.0.2.98") {
			t.Error("a canary on ns2 is to be served there alone")
		}
		if out := must(t, binary(t), "status", "--api", ns1.api); !strings.Contains(out, "revision 4 is a CANARY on [ns2]") {
			t.Errorf("status does not tell:\n%s", out)
		}
		ns1.refused(ns1.apply("--why", "a test"), "promote it or roll it back first")
		must(t, binary(t), "promote", "--api", ns1.api, "--wait", "--why", "the canary is good")
		if !ns1.has("added", "192.0.2.98") {
			t.Error("what was promoted is not served by all")
		}
	})
	t.Run("a node that cannot take it serves on", func(t *testing.T) {
		topologyIs(strings.ReplaceAll(strings.ReplaceAll(first, "[check.web]", "[check.www]"), `check = "web"`, `check = "www"`))
		records("added IN A 192.0.2.97\n")
		r := ns1.apply("--why", "a test", "--wait", "--timeout", "30s")
		ns1.refused(r, "ns2 serves revision 4")
		if !strings.Contains(r.err, "there is no [check.web]") {
			t.Errorf("apply does not say why:\n%s", r.err)
		}
		if !ns1.has("added", "192.0.2.97") || !ns2.has("added", "192.0.2.98") {
			t.Error("ns1 is to serve the new revision, ns2 the one before")
		}
		if out := must(t, binary(t), "status", "--api", ns2.api); !strings.Contains(out, "revision 5 of the topology is not served") {
			t.Errorf("status does not tell:\n%s", out)
		}
		topologyIs(first)
		ns1.applied()
		if ns2.served().Problem != "" {
			t.Error("a problem that is over is still told")
		}
	})
	before := tp.head()
	records("added IN A 192.0.2.96\n")
	ns1.applied()
	t.Run("restart without etcd", func(t *testing.T) {
		etcd.Kill()
		ns2.Kill()
		ns2 = tp.startFollower("ns2", fmt.Sprintf("[[frontend]]\nname = \"own\"\nlisten = [%q]\ncheck = \"web\"\n[[frontend.server]]\naddress = %q\n", freeAddress(t), freeAddress(t)))
		if !ns2.has("added", "192.0.2.96") || ns2.served().Serving != 7 {
			t.Errorf("serves %+v, want revision 7 from its own disk", ns2.served())
		}
		etcd = tp.startEtcd()
	})
	t.Run("a step back is not followed", func(t *testing.T) {
		tp.putHead(before)
		for _, n := range []*node{ns1, ns2} {
			until(t, patience, func() error {
				if s := n.served(); s.Serving != 7 || !strings.Contains(s.Problem, "stepped back") {
					return fmt.Errorf("%s: %+v", n.name, s)
				}
				return nil
			})
			if !n.has("added", "192.0.2.96") {
				t.Errorf("%s follows an etcd that has stepped back", n.name)
			}
		}
		must(t, binary(t), "rollback", "--api", ns1.api, "--why", "it was meant so", "--wait", "6")
		if !ns1.has("added", "192.0.2.97") || ns2.served().Serving != 8 {
			t.Errorf("an order after the step back is not followed: %+v", ns2.served())
		}
	})
	t.Run("events", func(t *testing.T) {
		out := must(t, binary(t), "events", "--api", ns2.api)
		for _, want := range []string{"apply     revision 2:", "rollback  revision 3:", "canary    revision 4: for ns2 first", "promote   revision 4", "by ", ": a test"} {
			if !strings.Contains(out, want) {
				t.Errorf("events have no %q:\n%s", want, out)
			}
		}
	})
}

const headKey = "/gslb/history/head"

// head reads the head of the topology as it is in etcd.
func (tp *topology) head() (value string) {
	tp.t.Helper()
	tp.etcdClient(func(ctx context.Context, c *clientv3.Client) error {
		resp, err := c.Get(ctx, headKey)
		if err == nil && len(resp.Kvs) == 1 {
			value = string(resp.Kvs[0].Value)
		}
		return err
	})
	return value
}

// putHead writes it, as an etcd has it that was restored from an old backup.
func (tp *topology) putHead(value string) {
	tp.t.Helper()
	tp.etcdClient(func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Put(ctx, headKey, value)
		return err
	})
}

func (tp *topology) etcdClient(f func(context.Context, *clientv3.Client) error) {
	tp.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + tp.etcd}, DialTimeout: patience})
	if err != nil {
		tp.t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(tp.t.Context(), patience)
	defer cancel()
	if err := f(ctx, c); err != nil {
		tp.t.Fatal(err)
	}
}
