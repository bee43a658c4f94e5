package test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// override runs one of the commands that order something: again where a busy machine kept etcd
// from answering in time.
func (n *node) override(command string, args ...string) (out string) {
	n.t.Helper()
	until(n.t, patience, func() error {
		r := run(n.t, patience, append([]string{binary(n.t), command, "--api", n.api}, args...)...)
		if r.code != 0 {
			n.t.Logf("gslb %s %s: exit code %d\n%s%s", command, strings.Join(args, " "), r.code, r.out, r.err)
			return fmt.Errorf("exit code %d", r.code)
		}
		out = r.out
		return nil
	})
	return out
}

// explain asks the running node for its reasons.
func (n *node) explain(client string) string {
	n.t.Helper()
	return must(n.t, binary(n.t), "explain", "www.abc.com", "--api", n.api, "--client", client)
}

// TestOperator goes through what an operator does to a site.
func TestOperator(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites("kt", "lgu", "cn", "us")
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu", "cn", "us")

	t.Run("explain tells what is answered", func(t *testing.T) {
		for client, want := range map[string]string{clientKT: "kt", clientLGU: "lgu", clientCN: "cn", clientUS: "us"} {
			if got := n.www(client); got != want {
				t.Errorf("%s is sent to %s, want %s", client, got, want)
			}
			if out := n.explain(client); !strings.Contains(out, siteNamed(t, want).cname) {
				t.Errorf("explain for %s does not name %s:\n%s", client, siteNamed(t, want).cname, out)
			}
		}
		live, answered := n.explain(clientUnknown), n.www(clientUnknown)
		if !strings.Contains(live, siteNamed(t, answered).cname) {
			t.Errorf("a client without a place is sent to %s; explain:\n%s", answered, live)
		}
	})
	t.Run("explain offline", func(t *testing.T) {
		out := must(t, binary(t), "explain", "www.abc.com", "--client", "198.51.100.7", "--config", n.config)
		if !strings.Contains(out, "a.www.abc.com.") {
			t.Errorf("offline:\n%s", out)
		}
		out = must(t, binary(t), "explain", "www.abc.com", "--client", "198.51.100.7", "--config", n.config, "--down", "kt")
		if !strings.Contains(out, "b.www.abc.com.") {
			t.Errorf("offline with kt down:\n%s", out)
		}
	})
	t.Run("drain and undrain", func(t *testing.T) {
		out := n.override("drain", "kt", "--why", "new rack")
		if !strings.Contains(out, "kt") || !strings.Contains(out, "new rack") {
			t.Errorf("drain says %q", out)
		}
		n.sentTo(patience, clientKT, "lgu")
		if out := n.explain(clientKT); !strings.Contains(out, "drain") {
			t.Errorf("explain does not tell of the drain:\n%s", out)
		}
		if out := must(t, binary(t), "status", "--api", n.api); !strings.Contains(out, "new rack") || !strings.Contains(out, "drain") {
			t.Errorf("status does not tell of the drain:\n%s", out)
		}
		n.override("undrain", "kt")
		n.sentTo(patience, clientKT, "kt")
	})
	t.Run("force down for a while", func(t *testing.T) {
		for _, long := range []string{"3s", "20s"} { // a machine may stand still for all of a short one
			asked := n.queries(10*time.Millisecond, clientKT)
			n.override("force", "--for", long, "--why", "fibre cut", "kt", "down")
			n.waitStatus(patience, func(s status) error { // by itself
				for _, site := range s.Sites {
					if site.Site == "kt" && site.Override != nil {
						return errors.New("the override on kt goes on")
					}
				}
				return nil
			})
			n.sentTo(patience, clientKT, "kt")
			if slices.ContainsFunc(asked.end(), func(e event) bool { return e.got == "lgu" }) {
				return
			}
		}
		t.Error("kt was forced down, and its users were not sent away")
	})
	t.Run("force up beats health", func(t *testing.T) {
		n.override("force", "--why", "the probe is wrong", "us", "up")
		n.waitStatus(patience, func(s status) error {
			for _, site := range s.Sites {
				if site.Site == "us" && site.Override == nil {
					return fmt.Errorf("no override on us yet")
				}
			}
			return nil
		})
		n.override("undrain", "us")
	})
	t.Run("wrong use", func(t *testing.T) {
		for _, test := range []struct {
			args string
			code int
			want string
		}{
			{"drain", 2, "want one SITE"},
			{"drain kt", 2, "--why"},
			{"drain nowhere --why x", 1, "nowhere"},
			{"force kt sideways --why x", 2, "up or down"},
			{"force kt down", 2, "--why"},
			{"serv", 2, "serv"},
			{"serve --config /does/not/exist.toml", 1, "/does/not/exist.toml"},
			{"explain www.abc.com --client nonsense", 1, "nonsense"},
			{"explain other.example --client 192.0.2.1", 1, "other.example"},
		} {
			argv := append([]string{binary(t)}, strings.Fields(test.args)...)
			if !strings.HasPrefix(test.args, "serv") {
				argv = append(argv[:2:2], append([]string{"--api", n.api}, argv[2:]...)...)
			}
			if r := run(t, patience, argv...); r.code != test.code || !strings.Contains(r.err, test.want) {
				t.Errorf("%s: exit code %d and %q, want %d and %q", test.args, r.code, r.err, test.code, test.want)
			}
		}
	})
	t.Run("no node there", func(t *testing.T) {
		address := freeAddress(t)
		if r := run(t, patience, binary(t), "status", "--api", address); r.code != 1 || !strings.Contains(r.err, address) {
			t.Errorf("exit code %d: %s", r.code, r.err)
		}
	})
}

// TestCheckCommand: a good configuration passes, every fault of a bad one is shown with its place.
func TestCheckCommand(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	good := tp.writeDNSNode()
	if out := must(t, binary(t), "check", "-config", good); !strings.Contains(out, "good") {
		t.Errorf("check says %q", out)
	}
	text := tp.configuration() + "\n[[steer]]\nname = \"www.other.example.\"\nanswer = \"cnmae\"\n  [[steer.rule]]\n  to = [\"nowhere\"]\n"
	bad := write(t, tp.dir, "bad.toml", text)
	r := run(t, patience, binary(t), "check", "-config", bad)
	if r.code != 1 {
		t.Errorf("exit code %d, want 1\n%s%s", r.code, r.out, r.err)
	}
	lines := strings.Count(text[:strings.Index(text, "cnmae")], "\n") + 1
	for _, want := range []string{"cnmae", "nowhere", "www.other.example.", fmt.Sprintf("%s:%d:", filepath.Base(bad), lines)} {
		if !strings.Contains(r.err, want) {
			t.Errorf("no %q in\n%s", want, r.err)
		}
	}
	if r := run(t, patience, binary(t), "serve", "-config", bad); r.code != 1 || !strings.Contains(r.err, "cnmae") {
		t.Errorf("serve with a bad configuration: exit code %d\n%s", r.code, r.err)
	}

	zone := write(t, tp.dir, "abc.com.zone", "@ IN SOA ns1 host 1 1 1 1 1\n@ IN NS ns1\nns1 IN A not-an-address\n")
	if r := run(t, patience, binary(t), "check", "-config", good); r.code != 1 || !strings.Contains(r.err, filepath.Base(zone)+":3") && !strings.Contains(r.err, "line: 3") {
		t.Errorf("check with a bad zone: exit code %d\n%s", r.code, r.err)
	}
}
