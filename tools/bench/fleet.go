package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gslb/health"
	"gslb/health/fleet"
	"gslb/store"
)

// The simulated fleet of "bench fleet".
const (
	fleetSites    = 1000
	fleetRegion   = 200 // sites that fail at once
	fleetVantages = 5   // nodes that vote on each site
	fleetWatchers = 50  // DNS nodes
	fleetMembers  = 3   // of etcd
	fleetServers  = 4   // in each balancer's report
	fleetSteady   = 8 * time.Second
	fleetTimes    = 21 * time.Second // twice what lies at least between two writes of a vantage point's times
	fleetFlips    = 5                // single sites that fail, one after the other
)

// simulated is the fleet: real etcd members, and the real part of each node that
// shares health (fleet.Fleet over its own client), all in this process.
type simulated struct {
	dir      string
	members  []*store.Store
	clients  []*store.Store
	vantages []*fleet.Fleet
	watchers []*watcher
	end      context.CancelFunc
	running  sync.WaitGroup
}

// watcher is a DNS node's part: it notes when it has seen so many sites down.
type watcher struct {
	*fleet.Fleet
	mu   sync.Mutex
	want int           // guarded by mu; sites down that are waited for
	seen chan struct{} // guarded by mu; closed when there are as many; nil: nothing is waited for
	at   time.Time     // guarded by mu; when that was
}

// simulateFleet measures what a fleet of a thousand sites asks of etcd.
func simulateFleet(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	ctx, cancel := context.WithCancel(ctx)
	s := &simulated{dir: dir, end: cancel}
	defer s.stop()
	if err := s.startMembers(ctx); err != nil {
		return "", nil, err
	}
	if err := s.startVantages(ctx); err != nil {
		return "", nil, err
	}
	bare := heapInUse()
	var phases []fleetPhase
	note := func(p fleetPhase, err error) error {
		if err == nil {
			fmt.Fprintf(progress, "%-44s %6.1f s: %7.1f keys/s, %6.1f raft entries/s, %.1f kB/s to logs, %.1f kB/s to clients, %.2f cores; delays %v\n", p.title, p.took.Seconds(),
				p.puts/p.took.Seconds(), p.commits/p.took.Seconds(), p.wal/p.took.Seconds()/1e3, p.sent/p.took.Seconds()/1e3, p.cpu.Seconds()/p.took.Seconds(), delayRange(p.delays))
			phases = append(phases, p)
		}
		return err
	}
	var memory float64
	for _, count := range []int{fleetWatchers / 10, fleetWatchers} {
		if err := s.startWatchers(ctx, count); err != nil {
			return "", nil, err
		}
		memory = float64(heapInUse()-bare) / float64(count)
		fmt.Fprintf(progress, "%d watchers, %.1f MB of heap each\n", count, memory/1e6)
		title := func(what string) string { return fmt.Sprintf("%s, %d DNS nodes", what, count) }
		if err := errors.Join(
			note(s.steady(ctx, title("nothing happens"))),
			note(s.fall(ctx, title("one site falls"), 1, fleetFlips)),
			note(s.fall(ctx, title(fmt.Sprintf("a region of %d sites falls", fleetRegion)), fleetRegion, 3)),
		); err != nil {
			return "", nil, err
		}
	}
	stop := s.startTimes(ctx)
	err = note(s.during(ctx, fmt.Sprintf("round-trip times waver, %d DNS nodes", fleetWatchers), fleetTimes))
	if stop(); err != nil {
		return "", nil, err
	}
	if err := s.startReports(ctx); err != nil {
		return "", nil, err
	}
	if err := errors.Join(
		note(s.steady(ctx, fmt.Sprintf("balancers of all sites report, %d DNS nodes", fleetWatchers))),
		note(s.fall(ctx, "and one site falls", 1, fleetFlips)),
		note(s.fall(ctx, fmt.Sprintf("and a region of %d sites falls", fleetRegion), fleetRegion, 3)),
	); err != nil {
		return "", nil, err
	}
	machine.loadAfter = loadAverage()
	path, _ := gslb.path(dir)
	who := &contestant{title: gslb.title, version: gslb.versionOf(ctx, path), path: path}
	return fleetPage(o, began, &machine, who, phases, memory), nil, nil
}

func (s *simulated) stop() {
	s.end()
	s.running.Wait()
	for _, c := range append(s.clients, s.members...) {
		_ = c.Close() // the figures are there
	}
}

func (s *simulated) startMembers(ctx context.Context) error {
	var names, entries []string
	for i := range fleetMembers {
		peer, err := freeAddress()
		if err != nil {
			return err
		}
		names = append(names, fmt.Sprintf("m%d", i+1))
		entries = append(entries, names[i]+"=http://"+peer)
	}
	s.members = make([]*store.Store, fleetMembers)
	errs := make([]error, fleetMembers)
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			cfg := store.Config{Name: name, Cluster: strings.Join(entries, ","), Listen: "127.0.0.1:0"}
			s.members[i], errs[i] = store.Open(ctx, cfg, filepath.Join(s.dir, name), slog.New(slog.DiscardHandler))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		s.members = slices.DeleteFunc(s.members, func(m *store.Store) bool { return m == nil })
		return err
	}
	return nil
}

// sitesOf are the names of all sites.
var sitesOf = sync.OnceValue(func() []string {
	var all []string
	for i := range fleetSites {
		all = append(all, fmt.Sprintf("site%04d", i))
	}
	return all
})

// start runs one node's part of the fleet.
func (s *simulated) start(ctx context.Context, name string, changed func(*health.States)) (*fleet.Fleet, error) {
	var endpoints []string
	for i := range s.members { // each begins with another member
		endpoints = append(endpoints, s.members[(i+len(s.clients))%fleetMembers].Status().Endpoints...)
	}
	log := slog.New(slog.DiscardHandler)
	client, err := store.Open(ctx, store.Config{Endpoints: endpoints}, filepath.Join(s.dir, name), log)
	if err != nil {
		return nil, err
	}
	s.clients = append(s.clients, client)
	f := fleet.New(fleet.Config{Node: name, Topology: fleet.Topology{Sites: sitesOf()}}, client, log)
	s.running.Go(func() { _ = f.Run(ctx, changed) }) // it ends with ctx
	return f, nil
}

func (s *simulated) startVantages(ctx context.Context) error {
	for i := range fleetVantages {
		f, err := s.start(ctx, fmt.Sprintf("checker%d", i+1), func(*health.States) {})
		if err != nil {
			return err
		}
		s.vantages = append(s.vantages, f)
		for _, site := range sitesOf() {
			f.Vote(health.Vote{Site: site, State: health.Up, Detail: "HTTP 200 in 12 ms"})
		}
	}
	return nil
}

func (s *simulated) startWatchers(ctx context.Context, count int) error {
	for i := len(s.watchers); i < count; i++ {
		w := &watcher{}
		var err error
		if w.Fleet, err = s.start(ctx, fmt.Sprintf("dns%d", i+1), w.look); err != nil {
			return err
		}
		s.watchers = append(s.watchers, w)
	}
	return s.settled(ctx)
}

// settled waits until every watcher knows all votes, all up.
func (s *simulated) settled(ctx context.Context) error {
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !slices.ContainsFunc(s.watchers, func(w *watcher) bool { return !w.knowsAll() }) {
			time.Sleep(time.Second)
			return nil
		}
		if time.Now().After(end) {
			return errors.New("the watchers have not seen all votes within two minutes")
		}
	}
}

func (w *watcher) knowsAll() bool {
	states := w.States()
	for _, site := range sitesOf() {
		st := states.Site(site)
		if st.State != health.Up || len(st.Votes) != fleetVantages {
			return false
		}
	}
	return true
}

// look is told of each change.
func (w *watcher) look(states *health.States) {
	now, down := time.Now(), 0
	for _, st := range states.Sites {
		if st.State == health.Down {
			down++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen != nil && down == w.want {
		close(w.seen)
		w.seen, w.at = nil, now
	}
}

func (w *watcher) expect(down int) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := make(chan struct{})
	w.want, w.seen = down, seen
	return seen
}

// startReports has a balancer of each site report, as each does once a second;
// one node stands for all of them.
func (s *simulated) startReports(ctx context.Context) error {
	f, err := s.start(ctx, "balancers", func(*health.States) {})
	if err != nil {
		return err
	}
	s.running.Go(func() {
		servers := make([]health.Server, fleetServers)
		for i := range servers {
			servers[i] = health.Server{Frontend: "www", Address: fmt.Sprintf("10.0.0.%d:443", i+1), State: health.Up, Role: "server", InService: true, Connections: 125}
		}
		pace := time.NewTicker(time.Second / fleetSites)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
			}
			f.Report(health.Report{Site: sitesOf()[i%fleetSites], Healthy: fleetServers, Total: fleetServers, Load: 500, Capacity: 1000, Connections: 500, Servers: servers})
		}
	})
	select {
	case <-time.After(12 * time.Second): // the first reports go at once, those after it each ten seconds
	case <-ctx.Done():
	}
	return s.settled(ctx)
}

// startTimes has each vantage point measure its times to all sites, of which a tenth are, whenever it looks, half as
// long again as before, or as short: worse than any network. It returns when the first times are written.
func (s *simulated) startTimes(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	measure := func(round int) {
		for v, f := range s.vantages {
			rtt := map[string]time.Duration{}
			for i, site := range sitesOf() {
				ms := time.Duration(20 + (i*37+v*11)%200)
				if i%10 == round%10 {
					ms += ms / 2
				}
				rtt[site] = ms * time.Millisecond
			}
			f.Measured(rtt)
		}
	}
	measure(0)
	s.running.Go(func() {
		look := time.NewTicker(2 * time.Second) // as gslb does
		defer look.Stop()
		for round := 1; ; round++ {
			select {
			case <-ctx.Done():
				return
			case <-look.C:
			}
			measure(round)
		}
	})
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	return stop
}

func (s *simulated) vote(count int, state health.State, detail string) {
	for _, f := range s.vantages {
		for _, site := range sitesOf()[:count] {
			f.Vote(health.Vote{Site: site, State: state, Detail: detail})
		}
	}
}
