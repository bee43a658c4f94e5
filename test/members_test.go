package test

import (
	"fmt"
	"strings"
	"testing"
)

// TestMemberTakenOut: of three nodes with etcd inside one is stopped for good and taken out, and the two
// go on as a cluster of two; the node that is at work cannot be taken out.
func TestMemberTakenOut(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	var members []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("ns%d=http://%s", i+1, freeAddress(t)))
	}
	var nodes []*node
	for i := range 3 {
		name, api, addr := fmt.Sprintf("ns%d", i+1), freeAddress(t), freeAddress(t)
		etcd := fmt.Sprintf("embedded = true\nlisten = \"127.0.0.1:0\"\nname = %q\ncluster = %q\n", name, strings.Join(members, ","))
		config := write(t, tp.dir, name+".toml", nodeConfiguration(name, `["dns", "checker"]`, etcd, api)+fmt.Sprintf("[dns]\nlisten = [%q]\n\n", addr)+tp.configuration())
		nodes = append(nodes, tp.startNode(name, config, addr, api))
	}
	t.Cleanup(func() { // that they end well is for other tests, and the last members would wait for the first
		for _, n := range nodes {
			n.Kill()
		}
	})
	etcd := func(args ...string) result {
		return run(t, patience, append([]string{binary(t), "etcd"}, append(args, "--api", nodes[0].api)...)...)
	}
	shows := func(want ...string) {
		t.Helper()
		until(t, patience, func() error {
			r := etcd()
			for _, w := range want {
				if r.code != 0 || !strings.Contains(r.out, w) {
					return fmt.Errorf("exit code %d, no %q in:\n%s%s", r.code, w, r.out, r.err)
				}
			}
			return nil
		})
	}
	for _, n := range nodes {
		n.waitReady()
	}
	shows("(this node)", "ns1", "ns2", "ns3", "leads", "3 of 3 answer: 1 may fail.")
	if r := etcd("remove", "ns3", "--why", "scrapped"); r.code != 1 || !strings.Contains(r.err, "ns3 still answers: stop its node first") {
		t.Errorf("a member at work is taken out: %+v", r)
	}
	nodes[2].Kill()
	shows("DOES NOT ANSWER", "2 of 3 answer, which is just a majority: none may fail.")
	if r := etcd("remove", "ns3"); r.code != 2 || !strings.Contains(r.err, "say why") {
		t.Errorf("without a reason: %+v", r)
	}
	until(t, patience, func() error { // there may be an election
		if r := etcd("remove", "ns3", "--why", "scrapped"); r.code != 0 || !strings.Contains(r.out, "ns3 is no member of etcd any more") {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	shows("2 of 2 answer, which is just a majority: none may fail.")
	if out := must(t, binary(t), "events", "--kind", "member", "--api", nodes[1].api); !strings.Contains(out, "the member ns3 was taken out of etcd") || !strings.Contains(out, "scrapped") {
		t.Errorf("the time line of the other node:\n%s", out)
	}
}
