package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The fleet of "bench failover".
const (
	failoverNodes    = 10 // with the role dns
	failoverCheckers = 3  // two of them are the quorum; the first has etcd
	failoverFall     = 3
	failoverInterval = 200 * time.Millisecond
	failoverPoll     = 2 * time.Millisecond
	failoverName     = "www.failover.example."
	failoverSite     = "192.0.2.1" // the address of the site that fails
)

// failover measures, with real nodes, how long it takes from the probe that
// decides that a site is down until each DNS node answers with another.
func failover(ctx context.Context, o *options, dir string, progress io.Writer) (part string, plots map[string]string, err error) {
	began, machine := time.Now(), thisMachine()
	target, err := newProbed()
	if err != nil {
		return "", nil, err
	}
	defer target.close()
	f := &failoverFleet{dir: dir, target: target}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return "", nil, err
	}
	var all, last []time.Duration
	for round := range o.Rounds {
		took, err := f.round(ctx)
		if err != nil {
			return "", nil, fmt.Errorf("round %d: %w", round+1, err)
		}
		all, last = append(all, took...), append(last, slices.Max(took))
		fmt.Fprintf(progress, "round %2d: first node %v, last node %v\n", round+1, slices.Min(took).Round(time.Millisecond), slices.Max(took).Round(time.Millisecond))
	}
	machine.loadAfter = loadAverage()
	path, _ := gslb.path(dir)
	who := &contestant{title: gslb.title, version: gslb.versionOf(ctx, path), path: path}
	return failoverPage(o, began, &machine, who, all, last), nil, nil
}

// probed is the site: a web server that knows who probes it, since each checker
// has a path of its own, and can fail.
type probed struct {
	listener net.Listener
	server   *http.Server

	mu     sync.Mutex
	failed map[string][]time.Time // guarded by mu; path -> when each failure was answered; nil: it does not fail
}

func newProbed() (*probed, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &probed{listener: l}
	p.server = &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(l) }() // ends with close
	return p, nil
}

func (p *probed) close() { _ = p.server.Close() }

func (p *probed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed != nil {
		p.failed[r.URL.Path] = append(p.failed[r.URL.Path], time.Now())
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func (p *probed) fail(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failed = nil
	if yes {
		p.failed = map[string][]time.Time{}
	}
}

// decided is when the deciding probe was answered: the one with which a second
// checker had seen as many failures in a row as it takes.
func (p *probed) decided() (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var turned []time.Time
	for _, times := range p.failed {
		if len(times) >= failoverFall {
			turned = append(turned, times[failoverFall-1])
		}
	}
	if len(turned) < failoverCheckers/2+1 {
		return time.Time{}, false
	}
	slices.SortFunc(turned, time.Time.Compare)
	return turned[failoverCheckers/2], true
}

// failoverFleet is all nodes of the measurement.
type failoverFleet struct {
	dir     string
	target  *probed
	running []*process
	dns     []string // addresses of the DNS nodes
}

func (f *failoverFleet) stop() {
	var wg sync.WaitGroup
	for i := len(f.running) - 1; i >= 0; i-- { // the one with etcd is the last to be told
		wg.Go(f.running[i].stop)
	}
	wg.Wait()
}

func (f *failoverFleet) start(ctx context.Context) error {
	etcd, err := freeAddress()
	if err != nil {
		return err
	}
	for i := range failoverCheckers {
		name, where := fmt.Sprintf("checker%d", i+1), fmt.Sprintf("endpoints = [%q]", "http://"+etcd)
		if i == 0 {
			where = fmt.Sprintf("listen = %q", etcd)
		}
		if err := f.startNode(name, "checker", where, ""); err != nil {
			return err
		}
		if i == 0 {
			if err := listens(ctx, etcd); err != nil {
				return err
			}
		}
	}
	for i := range failoverNodes {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		f.dns = append(f.dns, address)
		if err := f.startNode(fmt.Sprintf("dns%d", i+1), "dns", fmt.Sprintf("endpoints = [%q]", "http://"+etcd), address); err != nil {
			return err
		}
	}
	return f.await(ctx, true)
}

func (f *failoverFleet) startNode(name, role, etcd, listen string) error {
	dir := filepath.Join(f.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	text := fmt.Sprintf("[node]\nname = %q\nroles = [%q]\ndata_dir = \"data\"\nlog_level = \"warn\"\n\n[etcd]\n%s\n\n[api]\nlisten = \"off\"\n\n", name, role, etcd)
	if listen != "" {
		text += fmt.Sprintf("[dns]\nlisten = [%q]\nworkers = 1\n\n", listen)
	}
	text += fmt.Sprintf(`[[zone]]
name = "failover.example."
file = "zone"

[check.web]
type = "http"
path = "/%s"
interval = %q
timeout = %[2]q
rise = 1
fall = %d

[[site]]
name = "near"
addresses = [%q]
check = "web"
check_address = [%q]

[[site]]
name = "far"
addresses = ["192.0.2.2"]

[[steer]]
name = %q
answer = "address"
ttl = "5s"
  [[steer.rule]]
  to = ["near", "far"]
`, name, failoverInterval, failoverFall, failoverSite, f.target.listener.Addr(), failoverName)
	err := errors.Join(os.WriteFile(filepath.Join(dir, "gslb.toml"), []byte(text), 0o644),
		os.WriteFile(filepath.Join(dir, "zone"), []byte("$TTL 300\n@ SOA ns1 hostmaster 1 3600 600 86400 60\n@ NS ns1\nns1 A 127.0.0.1\n"), 0o644))
	if err != nil {
		return err
	}
	p, err := startProcess(-1, dir, filepath.Join(f.dir, "gslb"), "serve", "-config", "gslb.toml")
	if err == nil {
		f.running = append(f.running, p)
	}
	return err
}

// await waits until all DNS nodes send to the site, or none.
func (f *failoverFleet) await(ctx context.Context, near bool) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	errs := make([]error, len(f.dns))
	var wg sync.WaitGroup
	for i, address := range f.dns {
		wg.Go(func() { _, errs[i] = turned(ctx, address, near, 20*time.Millisecond) })
	}
	wg.Wait()
	for _, p := range f.running {
		if p.ended() {
			return fmt.Errorf("a node ended: %s", p.lastWords())
		}
	}
	return errors.Join(errs...)
}

// round has the site fail once, and gives for each DNS node the time from the
// deciding probe to its first answer without it.
func (f *failoverFleet) round(ctx context.Context) ([]time.Duration, error) {
	// At a random moment between two probes, and after what the round before left to do.
	time.Sleep(time.Second + rand.N(failoverInterval))
	f.target.fail(true)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	at, errs := make([]time.Time, len(f.dns)), make([]error, len(f.dns))
	var wg sync.WaitGroup
	for i, address := range f.dns {
		wg.Go(func() { at[i], errs[i] = turned(ctx, address, false, failoverPoll) })
	}
	wg.Wait()
	decided, ok := f.target.decided()
	if !ok {
		errs = append(errs, errors.New("answers changed without a deciding probe"))
	}
	f.target.fail(false)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	took := make([]time.Duration, len(at))
	for i := range at {
		took[i] = at[i].Sub(decided)
	}
	return took, f.await(ctx, true)
}

// turned asks every so often until the answer is (or is no longer) the site, and
// gives when that answer was received.
func turned(ctx context.Context, address string, near bool, every time.Duration) (time.Time, error) {
	conn, err := dns.Dial("udp", address)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close()
	client := dns.Client{Timeout: 500 * time.Millisecond}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		m, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion(failoverName, dns.TypeA), conn)
		at := time.Now()
		if err == nil && len(m.Answer) == 1 {
			if a, ok := m.Answer[0].(*dns.A); ok && (a.A.String() == failoverSite) == near {
				return at, nil
			}
		}
		select {
		case <-ctx.Done():
			return at, fmt.Errorf("%s: not in time: %v, last %v", address, ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// listens waits until somebody takes connections there.
func listens(ctx context.Context, address string) error {
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return err
		}
	}
}

// freeAddress is 127.0.0.1 with a freePort.
func freeAddress() (string, error) {
	port, err := freePort()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}

// quantile is the value below which a share of all lies; all are sorted.
func quantile(all []time.Duration, share float64) time.Duration {
	return all[min(int(share*float64(len(all))), len(all)-1)]
}

func failoverPage(o *options, began time.Time, m *machine, who *contestant, all, last []time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## From the deciding probe to changed answers\n\n```sh\n%s\n```\n\n", o.commandLine())
	b.WriteString(conditions(began, m, []*contestant{who}, nil))
	b.WriteString("| milliseconds | min | middle | 90 % | 99 % | max | aim |\n|---|--:|--:|--:|--:|--:|---|\n")
	for _, row := range []struct {
		title string
		all   []time.Duration
		aim   string
	}{{"each DNS node", all, "middle < 250, max < 1000"}, {"the last of the ten", last, ""}} {
		slices.Sort(row.all)
		ms := func(d time.Duration) string { return fmt.Sprintf("%.0f", float64(d.Microseconds())/1000) }
		aim := row.aim
		if aim != "" && quantile(row.all, 0.5) < 250*time.Millisecond && row.all[len(row.all)-1] < time.Second {
			aim += ": met"
		} else if aim != "" {
			aim += ": **missed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s |\n", row.title, ms(row.all[0]), ms(quantile(row.all, 0.5)), ms(quantile(row.all, 0.9)), ms(quantile(row.all, 0.99)), ms(row.all[len(row.all)-1]), aim)
	}
	fmt.Fprintf(&b, `
- %d gslb processes: %d with the role dns, and %d checkers, of which the first has etcd embedded, with its disk's real fsync. The checkers probe each %v, %d failures in a row are down, and two of the three are the quorum.
- The site is a web server within the benchmark. It begins to fail at a random moment, %d times, and knows which checker asks. The deciding probe is the one with which the second checker has seen %[5]d failures;
  the clock starts when its answer is sent. It stops, for each DNS node, when the first answer without the site is received; each is asked every %[7]v, so a figure may be too great by that.
- What lies between: the checker's verdict, the write to etcd, the watch of each node, the evaluation (at most one each 20 ms), and the next generation of answers. A cache keeps the answer before for its TTL, which is not in here; nor is the time until the
  deciding probe, which the check's interval and fall decide.
`, failoverNodes+failoverCheckers, failoverNodes, failoverCheckers, failoverInterval, failoverFall, o.Rounds, failoverPoll)
	return b.String()
}
