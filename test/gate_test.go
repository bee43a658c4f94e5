package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
)

// heldChanges is what a node says that it holds back besides sites.
func (n *node) heldChanges() (all []string, err error) {
	body, err := get("http://" + n.api + "/api/v1/status")
	if err != nil {
		return nil, err
	}
	var s struct {
		HeldChanges []struct{ What, Why string } `json:"held_changes"`
	}
	if err := json.Unmarshal([]byte(body), &s); err != nil {
		return nil, err
	}
	for _, h := range s.HeldChanges {
		all = append(all, h.What+": "+h.Why)
	}
	return all, nil
}

// holds waits until the node holds one change, with these words, or none for "".
func (n *node) holds(words string) {
	n.t.Helper()
	until(n.t, patience, func() error {
		all, err := n.heldChanges()
		switch {
		case err != nil:
			return err
		case words == "" && len(all) == 0, words != "" && len(all) == 1 && strings.Contains(all[0], words):
			return nil
		}
		return fmt.Errorf("held: %q, want %q", all, words)
	})
}

// TestSpaceBreaker: new databases and a new topology that move more users than
// max_space_lost are held, told of, and let through or dropped by an order.
func TestSpaceBreaker(t *testing.T) {
	t.Parallel()
	needLong(t)
	const client = "100.0.5.5/24"
	tp := newTopology(t)
	tp.startPlainSites()
	database := write(t, tp.dir, "city.mmdb", string(cityDatabase(t, map[string]string{"100.0.0.0/16": "CN"})))
	tp.extra = fmt.Sprintf("[geo]\ndatabases = [%q]\nreload = \"200ms\"\n\n[breaker]\nmax_space_lost = 0.3\n", database)
	n := tp.startDNSNode()
	n.sentTo(patience, client, "cn")
	order := func(args ...string) {
		t.Helper()
		if r := run(t, patience, append(append([]string{binary(t)}, args...), "--api", n.api)...); r.code != 0 {
			t.Fatalf("gslb %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.err)
		}
	}
	left := func(subnet string) {
		t.Helper()
		until(t, patience, func() error {
			if got := n.www(subnet); got == "cn" {
				return fmt.Errorf("%s is still sent to cn", subnet)
			}
			return nil
		})
	}

	replace(t, database, cityDatabase(t, map[string]string{"100.0.0.0/16": "US"}))
	n.holds("databases: ")
	n.holds("max_space_lost")
	n.holds("site cn would go from ")
	if got := n.www(client); got != "cn" {
		t.Errorf("sent to %s by databases that are held", got)
	}
	r := run(t, patience, binary(t), "breaker", "--api", n.api)
	if r.code != 0 || !strings.Contains(r.out, "the new databases") {
		t.Errorf("gslb breaker: %d\n%s%s", r.code, r.out, r.err)
	}
	until(t, patience, func() error {
		if r = run(t, patience, binary(t), "events", "--kind", "breaker", "--api", n.api); !strings.Contains(r.out, "holds the new databases") {
			return fmt.Errorf("events do not tell: %s%s", r.out, r.err)
		}
		return nil
	})
	if metrics, err := get("http://" + n.api + "/metrics"); err != nil || !strings.Contains(metrics, `gslb_held_change{what="databases"} 1`) {
		t.Errorf("metrics do not tell: %v", err)
	}

	order("breaker", "drop", "--why", "last year's")
	n.holds("")
	if got := n.www(client); got != "cn" {
		t.Errorf("sent to %s by databases that were dropped", got)
	}

	// Little moves: used at once.
	replace(t, database, cityDatabase(t, map[string]string{"100.0.0.0/16": "CN", "100.0.5.0/24": "US"}))
	left(client)
	n.holds("")

	replace(t, database, cityDatabase(t, map[string]string{"100.0.0.0/15": "US"}))
	n.holds("databases: ")
	order("breaker", "allow", "--why", "it is right")
	left("100.0.9.9/24")
	n.holds("")

	text, err := os.ReadFile(n.config)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, n.config, []byte(strings.ReplaceAll(string(text), `to = ["nearest:all"]`, `to = ["cn"]`)))
	n.Signal(syscall.SIGHUP)
	n.holds("topology: ")
	if got := n.www("100.0.9.9/24"); got == "cn" {
		t.Error("sent to cn by a topology that is held")
	}
	n.waitStatus(patience, func(s status) error {
		for _, p := range s.Problems {
			if strings.Contains(p, "the new topology is not used") {
				return nil
			}
		}
		return errors.New("no problem told")
	})
	order("breaker", "allow", "--why", "it is meant")
	n.sentTo(patience, "100.0.9.9/24", "cn")
	n.holds("")
}
