package test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// faultSeed is the variable that repeats a run of TestFaults: the order of the
// faults and who is hit follow from it.
const faultSeed = "GSLB_FAULT_SEED"

// TestFaults breaks a part of a fleet, one after the other, and looks at every
// answer that its nodes give meanwhile. docs/faults.md has what comes out. Two fleets
// do so side by side, since most of the time goes by in waiting for what is to be noticed.
func TestFaults(t *testing.T) {
	if os.Getenv("GSLB_FAULTS") == "" && os.Getenv(faultSeed) == "" && os.Getenv("GSLB_FAULTS_WRITE") == "" {
		t.Skip("takes about two minutes: GSLB_FAULTS=1 runs it, as CI does")
	}
	needLong(t)
	t.Parallel()
	seed := rand.Uint64N(1000)
	if text := os.Getenv(faultSeed); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", faultSeed, err)
		}
	}
	t.Logf("%s=%d repeats this run", faultSeed, seed)
	var mu sync.Mutex
	figures := map[string]string{}
	var both sync.WaitGroup
	for i, half := range []string{"members", "nodes"} {
		both.Go(func() { // not as parallel tests, which would wait until all others are through
			t.Run(half, func(t *testing.T) {
				f := newFaultFleet(t, seed, uint64(i))
				order := slices.DeleteFunc(slices.Clone(realFaults), func(x fault) bool { return x.members != (i == 0) })
				f.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
				for _, fault := range order {
					if found := f.suffer(fault); found != "" {
						mu.Lock()
						figures[fault.name] = found
						mu.Unlock()
					}
				}
				if len(f.unjudged) > 0 {
					t.Skipf("this machine was too busy to judge %d of %d faults, the others were as they should be:\n%s", len(f.unjudged), len(order), strings.Join(f.unjudged, "\n"))
				}
			})
		})
	}
	both.Wait()
	if !t.Failed() && len(figures) == len(realFaults) {
		writeFaultFigures(t, seed, figures)
	}
}

// realFaults are the faults of TestFaults, as on the page.
var realFaults []fault

func init() { // the page refers to them too
	realFaults = []fault{
		{"a vantage point is cut off from all sites", "it is outvoted; no answer changes on any node", true, (*faultFleet).blindVantage},
		{"a vantage point lies: a site is dead and it says up", "it is outvoted; all nodes leave the site", false, (*faultFleet).lyingVantage},
		{"the node with the leader of etcd is cut off", "the others elect another and go on; it answers on as before, and catches up", true, (*faultFleet).leaderCut},
		{"a DNS node is cut off", "it answers on as before, says that it is stale, and catches up; the others do not notice", false, (*faultFleet).dnsCut},
		{"kill -9 of the node with the leader of etcd, a site dies with it", "the others leave the site; started again, the node knows", true, (*faultFleet).leaderKilled},
		{"kill -9 of a DNS node", "the others do not notice; started again, it answers rightly from its first answer", false, (*faultFleet).dnsKilled},
		{"two of three members of etcd are lost, then all", "who is left answers on as before and refuses orders with the reason; all is well when they are back", true, (*faultFleet).membersLost},
		{"etcd is slow, 300 ms each way for one node", "that node is later by that much, and neither stale nor wrong", false, (*faultFleet).slowEtcd},
		{"the disk of a DNS node is full", "it answers and changes its answers as ever", false, (*faultFleet).diskFull},
		{"the disk of a member of etcd is full", "the others do not notice; the node answers on, and has to be started again when there is room", true, (*faultFleet).memberDiskFull},
		{"the disk of a member of etcd is lost with all that is on it", "the others leave the site; started on an empty disk, the node is put into etcd's cluster anew, and knows", true, (*faultFleet).memberDiskLost},
		{"a DNS node sleeps (SIGSTOP) while etcd is compacted", "awake, it lists anew and catches up", false, (*faultFleet).compacted},
		{"every site is down", "answers are given as though all were up", false, (*faultFleet).allDown},
		{"a site flaps, with `flap_limit`", "it is held out of service although it is up, then taken back", false, (*faultFleet).flapping},
	}
}

// fault is one of realFaults. run breaks a part and mends it again; it gives what was measured.
type fault struct {
	name, guarantee string
	members         bool // the fleet that breaks members of etcd has it, not the other
	run             func(*faultFleet) string
}

func (f *faultFleet) member() *faultNode { return f.nodes[f.rng.IntN(faultMembers)] }

// others are the nodes but for some.
func (f *faultFleet) others(but ...*faultNode) []*faultNode {
	return slices.DeleteFunc(slices.Clone(f.nodes), func(n *faultNode) bool { return slices.Contains(but, n) })
}

// killSite ends kt's web server and tells when.
func (f *faultFleet) killSite(name string) time.Time {
	f.t.Helper()
	f.siteDied = true
	at := time.Now()
	f.webs[name].Kill()
	return at
}

// moved waits until these nodes send KT's clients to the site, and tells how
// long it took the first and the last of them.
func (f *faultFleet) moved(since time.Time, to string, nodes ...*faultNode) string {
	f.t.Helper()
	var all []time.Duration
	for _, n := range nodes {
		n.answers(patience, clientKT, to)
		until(f.t, patience, func() error {
			for _, e := range n.asks.far() {
				if e.at.After(since) && e.err == nil && e.got == to {
					all = append(all, e.at.Sub(since))
					return nil
				}
			}
			return errors.New("the stream of queries has not seen it")
		})
	}
	return fmt.Sprintf("%s after %s", to, span(all))
}

// span is the least and the greatest of some durations.
func span(all []time.Duration) string {
	first, last := slices.Min(all).Round(10*time.Millisecond), slices.Max(all).Round(10*time.Millisecond)
	if first == last {
		return fmt.Sprintf("%.2f s", first.Seconds())
	}
	return fmt.Sprintf("%.2f to %.2f s", first.Seconds(), last.Seconds())
}

// unreach has the node find no way to the sites. It is told so at once: a checker that hears
// nothing is the case of the nodes that are cut off.
func (n *faultNode) unreach() (mend func()) {
	n.t.Helper()
	for _, s := range sites {
		must(n.t, "ip", "-n", n.words[3], "route", "add", "unreachable", siteHost(s.name)+"/32")
	}
	return func() {
		for _, s := range sites {
			must(n.t, "ip", "-n", n.words[3], "route", "del", "unreachable", siteHost(s.name)+"/32")
		}
	}
}

func (f *faultFleet) blindVantage() string {
	n, began := f.member(), time.Now()
	mend := n.unreach()
	for _, other := range f.nodes {
		other.votes("kt", n.name, "down")
	}
	f.stays(began, "kt", f.nodes...)
	mend()
	return "kt throughout"
}

func (f *faultFleet) lyingVantage() string {
	n := f.member()
	must(f.t, "ip", "-n", n.words[3], "addr", "add", siteHost("kt")+"/32", "dev", "lo")
	liar := startHelper(f.t, n.words, "web", "liar", fmt.Sprintf("%s:%d", siteHost("kt"), f.tp.port))
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.nodes...)
	f.nodes[faultMembers].votes("kt", n.name, "up")
	f.startSite("kt")
	for _, other := range f.nodes {
		other.sees(patience, fresh) // all of them vote so: without the liar's vote it must not fall again
	}
	must(f.t, "ip", "-n", n.words[3], "addr", "del", siteHost("kt")+"/32", "dev", "lo")
	liar.Stop()
	return took
}

func (f *faultFleet) leaderCut() string {
	n, began := f.leader(), time.Now()
	f.alone[n] = true
	n.cut()
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...)
	n.sees(patience, unconnected)
	f.stays(began, "kt", n)
	n.heal()
	back := time.Now()
	took += "; itself kt until it is joined again, then " + f.moved(back, "lgu", n)
	f.startSite("kt")
	return took
}

func (f *faultFleet) dnsCut() string {
	n, began := f.nodes[faultMembers], time.Now()
	f.alone[n] = true
	n.cut()
	n.sees(patience, func(s faultStatus) error {
		if !s.Stale {
			return errors.New("not stale yet")
		}
		return nil
	})
	if _, err := n.get("/readyz"); err != nil {
		f.fault("a node must not leave service because it is alone: %v", err)
	}
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...)
	f.stays(began, "kt", n)
	n.heal()
	back := time.Now()
	took += "; itself kt until it is joined again, then " + f.moved(back, "lgu", n)
	f.startSite("kt")
	return took
}

func (f *faultFleet) leaderKilled() string {
	n := f.leader()
	n.struck.Store(true)
	n.Kill()
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...)
	n.begin()
	n.ready()
	n.answers(patience, clientKT, "lgu")
	f.startSite("kt")
	return took
}

func (f *faultFleet) dnsKilled() string {
	n, began := f.nodes[faultMembers], time.Now()
	n.struck.Store(true)
	n.Kill()
	again := time.Now()
	n.begin()
	n.ready()
	var took time.Duration
	until(f.t, patience, func() error {
		for _, e := range n.asks.far() {
			if e.at.After(again) && e.err == nil {
				took = e.at.Sub(again)
				return nil
			}
		}
		return errors.New("no answer yet")
	})
	for _, e := range n.asks.far() {
		if e.at.After(began) && e.err == nil && e.got != "kt" {
			f.doubt("%s, %v after: sent to %s", n.name, e.at.Sub(began), e.got)
		}
	}
	f.stays(began, "kt", f.others(n)...)
	return "kt, from " + span([]time.Duration{took}) + " after its start"
}

func (f *faultFleet) membersLost() string {
	began, n := time.Now(), f.nodes[faultMembers]
	rest := slices.Clone(f.nodes[:faultMembers])
	f.rng.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
	for i, m := range rest {
		m.struck.Store(true)
		m.Kill()
		if i == 1 {
			rest[2].sees(patience, unconnected)
			if r := rest[2].order("drain", "kt", "--why", "cannot work"); r.code != 1 || r.err == "" {
				f.fault("drain without a majority: exit code %d, want 1\n%s%s", r.code, r.out, r.err)
			}
			f.stays(began, "kt", rest[2], n)
		}
	}
	n.sees(patience, unconnected)
	f.stays(began, "kt", n)
	back := time.Now()
	for _, m := range rest {
		m.begin()
	}
	for _, m := range rest {
		m.ready()
	}
	for _, other := range f.nodes {
		other.sees(patience, fresh)
	}
	agree := time.Since(back)
	f.nodes[0].obeyed("undrain", "kt") // what could not be ordered may have been in a member's log
	return fmt.Sprintf("kt throughout, where a node is left; all agree again %.1f s after the members are started", agree.Seconds())
}

func (f *faultFleet) slowEtcd() string {
	const each = 300 * time.Millisecond
	n := f.nodes[faultMembers]
	f.delay.Store(int64(each))
	time.Sleep(2 * each) // what was under way is over
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...) + "; behind the delay " + f.moved(killed, "lgu", n)
	n.sees(patience, func(s faultStatus) error {
		if s.Stale || !s.Etcd.Connected {
			return fmt.Errorf("stale %v, connected %v", s.Stale, s.Etcd.Connected)
		}
		return nil
	})
	f.delay.Store(0)
	f.startSite("kt")
	return took
}

func (f *faultFleet) diskFull() string {
	n := f.nodes[faultMembers]
	empty := n.fill()
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.nodes...)
	f.startSite("kt")
	for _, other := range f.nodes {
		other.answers(patience, clientKT, "kt")
	}
	empty()
	return took
}

// memberDiskFull: etcd ends for good when it cannot write, so its node has to be
// started again once there is room.
func (f *faultFleet) memberDiskFull() string {
	// Its member may have ended with the site up or down in its copy, and it starts with
	// that, then with its own verdicts of before, until it hears of the others.
	f.changes = 6
	n := f.nodes[2]
	empty := n.fill()
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...)
	if _, err := n.www(clientKT); err != nil {
		f.fault("%s: %v", n.name, err)
	}
	empty()
	n.struck.Store(true)
	n.Kill()
	n.begin()
	n.ready()
	n.answers(patience, clientKT, "lgu")
	f.startSite("kt")
	return took
}

func (f *faultFleet) memberDiskLost() string {
	f.changes = 4 // started, it has the site up until it hears of the others
	n := f.member()
	n.struck.Store(true)
	n.Kill()
	if err := n.wipe(); err != nil {
		f.t.Fatal(err)
	}
	killed := f.killSite("kt")
	took := f.moved(killed, "lgu", f.others(n)...)
	again := time.Now()
	n.begin()
	n.ready()
	n.sees(patience, func(s faultStatus) error {
		if !s.Etcd.Connected {
			return errors.New("not connected with etcd")
		}
		return nil
	})
	took += fmt.Sprintf("; a member again %.1f s after its start", time.Since(again).Seconds())
	n.answers(patience, clientKT, "lgu")
	f.startSite("kt")
	return took
}

func (f *faultFleet) compacted() string {
	n, c := f.nodes[faultMembers], f.etcd()
	n.struck.Store(true)
	n.Signal(syscall.SIGSTOP)
	until(f.t, patience, n.asleep)
	f.cutRelays() // before the drain: what a connection of it had received it would read when it wakes
	said := len(n.log.String())
	f.nodes[0].obeyed("drain", "kt", "--why", "while a node sleeps")
	until(f.t, patience, func() error { // as often as a busy etcd has no time for it
		ctx, cancel := context.WithTimeout(context.Background(), patience/3)
		defer cancel()
		put, err := c.Put(ctx, "/another/program", "x")
		if err == nil {
			_, err = c.Compact(ctx, put.Header.Revision)
		}
		return err
	})
	awake := time.Now()
	n.Signal(syscall.SIGCONT)
	took := f.moved(awake, "lgu", n)
	until(f.t, patience, func() error {
		// The one when its watch could be asked to go on, and was refused; the other when it could not for a while.
		if log := n.log.String()[said:]; !strings.Contains(log, "listing again") && !strings.Contains(log, "can't be followed") {
			return errors.New("its log does not tell that it listed anew")
		}
		return nil
	})
	f.nodes[0].obeyed("undrain", "kt")
	return took
}

// asleep tells whether all of the node has stopped; proc_pid_stat(5).
func (n *faultNode) asleep() error {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("%s has no threads: %v", n.name, err)
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if _, state, _ := strings.Cut(string(text), ") "); !strings.HasPrefix(state, "T") {
			return fmt.Errorf("%s is not asleep: %s", n.name, text)
		}
	}
	return nil
}

func (f *faultFleet) allDown() string {
	f.changes = 10 // the sites go, and come, in no order
	for _, s := range sites {
		f.killSite(s.name)
	}
	for _, n := range f.nodes {
		n.sees(patience, func(s faultStatus) error {
			for _, site := range s.Sites {
				if site.State != "down" {
					return fmt.Errorf("%s is %s", site.Site, site.State)
				}
			}
			return nil
		})
		for subnet, want := range map[string][]string{clientKT: {"kt", "lgu"}, clientCN: {"cn"}, clientUnknown: {"kt", "lgu", "cn", "us"}} {
			until(f.t, patience, func() error { // the status knows first
				got, err := n.www(subnet)
				if err == nil && !slices.Contains(want, got) {
					err = fmt.Errorf("%s with all sites down: %s is sent to %s", n.name, subnet, got)
				}
				return err
			})
		}
	}
	for _, s := range sites {
		f.startSite(s.name)
	}
	return "a member of the rule, in every answer"
}

func (f *faultFleet) flapping() string {
	n, held := f.nodes[faultMembers], false
	falls, began := 0, time.Now()
	for ; !held; falls++ {
		if falls == 10 || time.Since(began) > 5*flapHalf {
			cycle := time.Since(began) / time.Duration(max(falls, 1))
			f.doubt("not held after %d falls, one each %v", falls, cycle)
			if cycle > 3*flapHalf/4 { // too few count at a time
				f.slow = fmt.Sprintf("a fall takes %v here", cycle)
			}
			return ""
		}
		f.killSite("cn")
		n.sees(patience, siteIs("cn", "down", false))
		f.startSite("cn")
		n.sees(patience, func(s faultStatus) error {
			held = siteIs("cn", "up", true)(s) == nil
			if held {
				return nil
			}
			return siteIs("cn", "up", false)(s)
		})
	}
	since := time.Now()
	heldNow := func() (yes bool) {
		n.sees(patience, func(s faultStatus) error { yes = siteIs("cn", "up", true)(s) == nil; return nil })
		return yes
	}
	until(f.t, patience, func() error {
		before := heldNow()
		got, err := n.www(clientCN)
		switch {
		case err != nil:
			f.fault("%s: %v", n.name, err)
		case got != "cn":
		case !before:
			return nil // taken back
		case heldNow():
			f.fault("held for its flaps, and yet China is sent to it")
			return nil
		}
		return errors.New("China does not come back to its site")
	})
	return fmt.Sprintf("China goes elsewhere at each fall, and for %.1f s more after fall %d, though the site is up", time.Since(since).Seconds(), falls)
}

// siteIs wants a site in a state, held out of service or not.
func siteIs(name, state string, held bool) func(faultStatus) error {
	return func(s faultStatus) error {
		for _, site := range s.Sites {
			if site.Site != name {
				continue
			}
			if site.State == state && (site.Held != "") == held {
				return nil
			}
			return fmt.Errorf("%s is %s (%s), held %q", name, site.State, site.Why, site.Held)
		}
		return fmt.Errorf("no site %s", name)
	}
}
