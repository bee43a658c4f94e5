package test

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// faultsPage is written by TestFaults with GSLB_FAULTS_WRITE=1; its figures are of that run.
const faultsPage = "../docs/faults.md"

const faultsHead = `# Faults

<!-- Written by test/faultspage_linux_test.go. New figures: GSLB_FAULTS_WRITE=1 go test ./test -run 'TestFaults$' -->

What breaks, what is answered meanwhile, and the test that asserts it. A test fails when this page and the tests differ.

`

// faultsRig tells what the first table's figures were found with.
const faultsRig = "Two fleets side by side, one for the faults of etcd's members, one for the others, of four nodes each, every node in a network namespace of its own: ns1 to ns3 answer, check and have a member of etcd each, ns4 answers alone and reaches etcd through relays. Checks every second, three failures are down, one success is up; of the site that flaps, every half second and two. " +
	"Each node is asked every 20 ms, by a client whose sites are kt and, if that is out, lgu; **every** answer is looked at: none may fail on a node that was not itself killed or stopped, and none may be of another site. " +
	"Unless a row says otherwise, kt is killed while the fault lasts, and the time is from then until a node answers lgu, first to last node. A changed answer where none is due is a fault of gslb, unless the machine was seen to be too busy: a node took a site for down since a probe had no answer within its second (a site that is down here refuses the connection at once), a lease ran out, or the test itself stood still for two seconds. Such a fault is had again, and the test says so where it was so three times. An answer that fails or is of another site is a fault on any machine.\n"

// otherFaults are asserted elsewhere. The figures of their answers are bounds, in
// terms of the configuration.
var otherFaults = []struct{ name, answers, guarantee, tests string }{
	{"kill -9 of a whole site: balancer, servers, spare", "the next site, within fall × interval + timeout + 1 s", "every answer before and after is good; none goes back", "`test.TestSiteKilled`"},
	{"kill -9 of a server", "the site, throughout", "isolated, and the spare comes in", "`test.TestServerKilled`"},
	{"kill -9 of the only node with etcd embedded", "as ordered before", "orders are on disk", "`test.TestCrashWithEmbeddedEtcd`"},
	{"kill -9 of a checker", "as before", "its votes end with its lease, after 10 s; no vote is not down", "`test.TestFleet`, `fleet.TestTwoNodes`"},
	{"vantage points lie: they say down", "as before, up to the quorum", "the majority decides; who sees everything down while others do not is discounted", "`test.TestFleet`, `health.TestBlind`"},
	{"etcd is lost for long, and a site dies then", "the next site, after 30 s and the check's time", "a node's own probes replace the votes of others", "`test.TestOwnProbesWithoutEtcd`, `fleet.TestStaleAfter`"},
	{"etcd is lost, and the node restarts", "as before, from the first answer on", "the copy on disk, with its checksum, overrides included", "`test.TestRestartWithoutEtcd`, `store.TestDamagedCopy`"},
	{"etcd comes back with most sites down", "as before, for 15 s", "held, and said", "`fleet.TestReconnectBreaker`"},
	{"the clock of one node, or of all, jumps by an hour or ten years, either way, and back", "as before, every 20 ms; a site that dies meanwhile is left, orders are obeyed", "told within a second; no vote, lease, override, window of maintenance, signature, certificate or cookie ends for it, and the time line has nothing that did not happen; a jump that stays counts after ten minutes", "`test.TestClocksJump`, `steady.TestRead`"},
	{"the clocks of vantage points are wrong by years", "as before", "times of others decide nothing of up and down", "`fleet.TestClockJumps`"},
	{"etcd is compacted under a watch", "as before", "it is listed anew", "`store.TestCompaction`, `store.TestFollowCompacted`"},
}

// faultRows are the rows of the first table, with the figures given.
func faultsText(seed string, figures map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s## Measured and asserted by `test.TestFaults`\n\n%s\n", faultsHead, faultsRig)
	fmt.Fprintf(&b, "Faults come in a random order and hit random nodes: GSLB_FAULT_SEED=N repeats a run, GSLB_FAULTS=1 is a new one; without either `go test` leaves it out, since it takes about two minutes; CI runs it. These figures are of seed %s.\n\n", seed)
	b.WriteString("| fault | answers | what is guaranteed |\n|---|---|---|\n")
	for _, f := range realFaults {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.name, figures[f.name], f.guarantee)
	}
	b.WriteString("\n## Asserted by other tests\n\n| fault | answers | what is guaranteed | test |\n|---|---|---|---|\n")
	for _, f := range otherFaults {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", f.name, f.answers, f.guarantee, f.tests)
	}
	return b.String()
}

func writeFaultFigures(t *testing.T, seed uint64, figures map[string]string) {
	t.Helper()
	if os.Getenv("GSLB_FAULTS_WRITE") != "" {
		replace(t, faultsPage, []byte(faultsText(fmt.Sprint(seed), figures)))
	}
}

// TestFaultsPage: docs/faults.md is what the tests say, with figures for each
// fault, and names tests that exist.
func TestFaultsPage(t *testing.T) {
	data, err := os.ReadFile(faultsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	_, rest, _ := strings.Cut(page, "These figures are of seed ")
	seed, _, _ := strings.Cut(rest, ".")
	figures := map[string]string{}
	for _, line := range strings.Split(page, "\n") {
		if cells := strings.Split(line, " | "); len(cells) == 3 {
			figures[strings.TrimPrefix(cells[0], "| ")] = cells[1]
		}
	}
	for _, f := range realFaults {
		if figures[f.name] == "" {
			t.Errorf("docs/faults.md has no figures for %q", f.name)
		}
	}
	if page != faultsText(seed, figures) {
		t.Error("docs/faults.md is not what the tests say: write it with GSLB_FAULTS_WRITE=1 go test ./test -run 'TestFaults$'")
	}
	exist := testFunctions(t)
	for _, m := range testNamed.FindAllStringSubmatch(page, -1) {
		if !exist[m[1]] {
			t.Errorf("docs/faults.md: there is no test %s", m[1])
		}
	}
}
