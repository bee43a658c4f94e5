package test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestEtcdLostAndBack: answers go on without etcd, the node says so, and it
// catches up when etcd is back.
func TestEtcdLostAndBack(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.outside = true
	etcd := tp.startEtcd()
	tp.startPlainSites("kt", "lgu", "cn")
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu", "cn")
	n.override("drain", "cn", "--why", "before the loss")
	n.sentTo(patience, clientCN, "lgu") // the nearest to Shanghai that is left
	users := n.queries(10*time.Millisecond, clientKT)

	etcd.Kill()
	n.waitStatus(patience, func(s status) error {
		if s.Etcd.Connected || !s.Stale {
			return fmt.Errorf("connected %v, stale %v", s.Etcd.Connected, s.Stale)
		}
		return nil
	})
	if got := n.www(clientCN); got != "lgu" {
		t.Errorf("without etcd the drained site's users are sent to %s: overrides stay", got)
	}
	if _, err := get("http://" + n.api + "/readyz"); err != nil {
		t.Errorf("a node must not leave service because etcd is lost: %v", err)
	}
	if r := run(t, patience, binary(t), "drain", "kt", "--api", n.api, "--why", "cannot work"); r.code != 1 {
		t.Errorf("drain without etcd: exit code %d, want 1\n%s%s", r.code, r.out, r.err)
	}
	time.Sleep(time.Second) // some more without it

	tp.startEtcd()
	n.waitStatus(patience, func(s status) error {
		if !s.Etcd.Connected || s.Stale {
			return fmt.Errorf("connected %v, stale %v", s.Etcd.Connected, s.Stale)
		}
		return nil
	})
	n.override("undrain", "cn")
	n.sentTo(patience, clientCN, "cn")
	for _, e := range users.end() {
		if e.err != nil || e.got != "kt" && !n.busy() {
			t.Errorf("an answer on the way: %v %v", e.got, e.err)
		}
	}
}

// TestRestartWithoutEtcd: a node that starts while etcd is away serves its
// last-known-good copy, overrides included.
func TestRestartWithoutEtcd(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.outside = true
	etcd := tp.startEtcd()
	tp.startPlainSites("kt", "lgu")
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu")
	n.override("drain", "kt", "--why", "maintenance")
	n.sentTo(patience, clientKT, "lgu")
	tp.keeps("ns1-data/last-known-good/fleet.json", "fleet/overrides/kt")

	etcd.Kill()
	n.Kill()
	n = tp.startDNSNode()
	// From the first answer on: the node is not ready before it has its copy.
	if got := n.www(clientKT); got != "lgu" {
		t.Errorf("after a restart without etcd sent to %s, want lgu: the drain is in the last-known-good copy", got)
	}
	s, err := n.status()
	if err != nil || !s.Stale {
		t.Errorf("stale %v, %v: want true", s.Stale, err)
	}

	tp.startEtcd()
	n.waitStatus(patience, func(s status) error {
		if s.Stale {
			return errors.New("still stale")
		}
		return nil
	})
	n.override("undrain", "kt")
	n.sentTo(patience, clientKT, "kt")
}

// keeps waits until a node's file has a text: what is to be there after a crash is
// written at most once a second, less often where that takes long.
func (tp *topology) keeps(file, text string) {
	tp.t.Helper()
	until(tp.t, patience, func() error {
		data, err := os.ReadFile(tp.path(file))
		if err == nil && !strings.Contains(string(data), text) {
			err = fmt.Errorf("%s has no %q", file, text)
		}
		return err
	})
}

// TestOwnProbesWithoutEtcd: when etcd stays away, health ages and the node's
// own probes take over, so that a site that dies then is left as well.
func TestOwnProbesWithoutEtcd(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.outside = true
	etcd := tp.startEtcd()
	kt := tp.startPlainSites("kt", "lgu")["kt"]
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu")
	n.sentTo(patience, clientKT, "kt")
	etcd.Kill()
	kt.Kill()
	n.sentTo(patience, clientKT, "lgu")
}

// TestCrashWithEmbeddedEtcd: what was ordered survives a crash of the node.
func TestCrashWithEmbeddedEtcd(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.startPlainSites("kt", "lgu")
	n := tp.startDNSNode()
	n.waitUp("kt", "lgu")
	n.override("drain", "kt", "--why", "maintenance")
	n.sentTo(patience, clientKT, "lgu")
	n.Kill()
	n = tp.startDNSNode()
	n.sentTo(patience, clientKT, "lgu")
	if out := must(t, binary(t), "status", "--api", n.api); !strings.Contains(out, "maintenance") {
		t.Errorf("status does not show the override:\n%s", out)
	}
}
