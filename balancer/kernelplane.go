package balancer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"sync"
	"time"

	"gslb/balancer/kernel"
)

// inKernel is a plane that leaves the connections to the kernel: it follows the
// tables of its frontends, tells an Engine what they come to, and takes over what
// the Engine counts. Its Engine is open while it has frontends.
type inKernel struct {
	plane string // PlaneNAT or PlaneDSR
	way   kernel.Way
	opts  kernel.Options
	ours  func(*Config) bool // of the frontends of this plane, which it takes
	// unfit tells why ways that would be better were not chosen for a frontend; may be nil.
	unfit func(*Config) string
	log   *slog.Logger
	woken chan struct{} // holds a token when tables may have changed
	// predecessor is the process that this one takes over from; 0: none, or it has ended.
	// Until it has, it may put in the kernel what was taken out.
	predecessor int
	// begun is done once all planes have put in the kernel what they have at first: until then
	// what a process before has left may be all that clients have.
	begun *sync.WaitGroup

	mu        sync.Mutex
	engine    kernel.Engine                // guarded by mu; nil: no frontends
	bindings  []binding                    // guarded by mu
	leaving   []binding                    // guarded by mu; frontends that are this plane's no more, but have connections
	slots     map[*frontend]*slotting      // guarded by mu
	tallies   map[*server]kernel.Counters  // guarded by mu; taken over so far
	open      map[*frontend]int64          // guarded by mu; connections, at the last count
	refused   map[*frontend]kernel.Refused // guarded by mu; taken over so far
	uncounted error                        // guarded by mu; of the last count
	applied   []kernel.Service             // guarded by mu; by the last Apply that succeeded
	failed    error                        // guarded by mu; of the last Apply
	running   bool                         // guarded by mu
	stopped   bool                         // guarded by mu
	keep      bool                         // guarded by mu; leave everything to the next process
}

func newInKernel(plane string, way kernel.Way, opts kernel.Options, predecessor int, begun *sync.WaitGroup, ours func(*Config) bool) *inKernel {
	begun.Add(1)
	return &inKernel{plane: plane, predecessor: predecessor, begun: begun, way: way, opts: opts, ours: ours, log: opts.Log,
		woken: make(chan struct{}, 1), slots: map[*frontend]*slotting{},
		tallies: map[*server]kernel.Counters{}, open: map[*frontend]int64{}, refused: map[*frontend]kernel.Refused{}}
}

func (k *inKernel) name() string { return k.plane + " (" + k.way.Name + ")" }

func (k *inKernel) why(c *Config) string {
	if k.plane == PlaneNAT {
		return "the kernel rewrites addresses, both ways, by nftables: plane = \"nat\""
	}
	text := "servers answer clients themselves: plane = \"dsr\", "
	if c.Mode != "" && c.Mode != ModeAuto {
		return text + fmt.Sprintf("mode = %q", c.Mode)
	}
	text += k.way.Name + " is the first way that this machine has at the interfaces"
	if k.unfit != nil {
		if no := k.unfit(c); no != "" {
			text += " (" + no + ")"
		}
	}
	return text
}

func (k *inKernel) takes(c *Config) bool { return c.Plane == k.plane && k.ours(c) }

func (k *inKernel) prepare(bindings []binding) (change, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return change{}, errors.New("the balancer is shutting down")
	}
	nothing := change{commit: func() { k.follow(bindings) }, undo: func() {}}
	if len(bindings) == 0 || k.engine != nil {
		return nothing, nil
	}
	opts := k.opts
	for _, b := range bindings {
		opts.Forwarding = opts.Forwarding || b.cfg.EnableForwarding
		opts.Interfaces = append(opts.Interfaces, b.cfg.Interfaces...)
	}
	fault := func(err error) (change, error) {
		return change{}, fmt.Errorf("frontend %q: plane %q: %w", bindings[0].front.name, k.plane, err)
	}
	if err := k.way.Can(opts); err != nil {
		return fault(err)
	}
	engine, err := k.way.Open(opts)
	if err != nil {
		return fault(err)
	}
	k.engine = engine
	return change{
		commit: func() { k.follow(bindings) },
		undo: func() {
			k.mu.Lock()
			defer k.mu.Unlock()
			k.close()
		},
	}, nil
}

// close closes the engine. Under mu.
func (k *inKernel) close() {
	if k.engine == nil {
		return
	}
	if err := k.engine.Close(k.keep); err != nil {
		k.log.Warn("balancer: what was put in the kernel may be there still", "plane", k.name(), "error", err)
	}
	k.engine, k.applied, k.failed = nil, nil, nil
	clear(k.tallies) // the next engine counts anew
	clear(k.refused)
}

// follow makes the plane serve bindings.
func (k *inKernel) follow(bindings []binding) {
	k.mu.Lock()
	defer k.mu.Unlock()
	stays := func(b binding) bool {
		return slices.ContainsFunc(bindings, func(o binding) bool { return o.front == b.front })
	}
	for _, b := range append(k.bindings, k.leaving...) {
		if !stays(b) && !slices.ContainsFunc(k.leaving, func(o binding) bool { return o.front == b.front }) {
			b.front.pool.leave(k)
			k.leaving = append(k.leaving, b)
		}
	}
	k.leaving = slices.DeleteFunc(k.leaving, stays)
	k.bindings = bindings
	k.keep = slices.ContainsFunc(bindings, func(b binding) bool { return b.cfg.KeepForwarding })
	if k.engine != nil {
		k.engine.Keep(k.keep)
	}
	for _, b := range bindings {
		b.front.pool.follow(k)
	}
	if k.running {
		k.apply()
	}
}

// wake has the tables looked at soon.
func (k *inKernel) wake() {
	select {
	case k.woken <- struct{}{}:
	default:
	}
}

// apply tells the engine what the tables of all frontends come to, if that is
// something new. Under mu.
func (k *inKernel) apply() {
	if k.engine == nil {
		return
	}
	var services []kernel.Service
	for _, b := range k.bindings {
		services = append(services, k.service(b, false))
	}
	for _, b := range k.leaving {
		services = append(services, k.service(b, true))
	}
	if k.failed == nil && reflect.DeepEqual(services, k.applied) {
		return
	}
	err := k.engine.Apply(services)
	if err != nil {
		if k.failed == nil || k.failed.Error() != err.Error() {
			k.log.Error("balancer: the kernel does not take the frontends; it goes on with what it had, and is asked again", "plane", k.name(), "error", err)
		}
	} else if k.applied = services; k.failed != nil {
		k.log.Info("balancer: the kernel takes the frontends again", "plane", k.name())
	}
	k.failed = err
}

// service is a frontend for the engine; one that has left has no addresses. Under mu.
func (k *inKernel) service(b binding, left bool) kernel.Service {
	s := kernel.Service{Name: b.front.name, Protocol: kernel.TCP, Idle: b.cfg.IdleTimeout, Close: b.cfg.CloseTimeout,
		Source: b.cfg.source(), Interfaces: b.cfg.Interfaces, By: b.cfg.by(),
		Tunnel: tunnels[b.cfg.Tunnel], TunnelPort: uint16(cmp.Or(b.cfg.TunnelPort, guePort)), Key: hashSeed(b.cfg.HashKey)}
	if b.cfg.Protocol == UDP {
		s.Protocol = kernel.UDP
	}
	if !left {
		s.Listen, s.Admission = b.cfg.virtual(), b.cfg.kernelAdmission()
	}
	seen := b.front.pool.standing(b.cfg.Protocol)
	for _, one := range seen {
		one.server.carried.follow(one.server.evict(k.wake))
		s.Servers = append(s.Servers, kernel.Server{Address: one.address, Gone: one.gone, Failed: one.failed})
	}
	if left {
		return s
	}
	slots := k.slots[b.front]
	if slots == nil {
		slots = new(slotting)
		k.slots[b.front] = slots
	}
	s.Slots4, s.Slots6 = slots.make(b.cfg.Pick, seen, k.engine.Slots)
	return s
}

// Bounds of how often connections are counted.
const (
	countLeast = 250 * time.Millisecond
	countShare = 20 // counting takes at most one part in so many of one processor
)

func (k *inKernel) run(ctx context.Context) {
	k.mu.Lock()
	k.running = true
	k.apply()
	k.mu.Unlock()
	k.begun.Done()
	k.begun.Wait()
	k.mu.Lock()
	if k.engine == nil {
		k.sweep()
	}
	k.mu.Unlock()
	k.serve(ctx.Done())
	k.drain()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range append(k.bindings, k.leaving...) {
		b.front.pool.leave(k)
		k.forget(b.front)
	}
	k.close()
}

// sweep takes out what a process that was killed has left, which nobody else will: this
// one has no frontends of the plane. Who may not look cannot have left anything.
func (k *inKernel) sweep() {
	if k.way.Sweep == nil {
		return
	}
	if err := k.way.Sweep(k.opts); err != nil && !errors.Is(err, os.ErrPermission) {
		k.log.Warn("balancer: what a killed process left in the kernel may be there still", "plane", k.name(), "error", err)
	}
}

// outlive takes out what the process before this one leaves to it: that does not know that
// this one has no frontends of the plane.
func (k *inKernel) outlive() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.predecessor == 0 {
		return
	}
	if os.Getppid() != k.predecessor { // it has ended: what is taken out now stays out
		k.predecessor = 0
	}
	if k.engine == nil {
		k.sweep()
	}
}

// serve follows the tables and counts until done is closed.
func (k *inKernel) serve(done <-chan struct{}) {
	timer := time.NewTimer(countLeast)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return
		case <-k.woken:
			k.mu.Lock()
			k.apply()
			k.mu.Unlock()
		case <-timer.C:
			begun := time.Now()
			k.count(begun)
			k.outlive()
			timer.Reset(max(countLeast, countShare*time.Since(begun)))
		}
	}
}

// leave has the next process find in the kernel what this one has put there. Of a plane that
// has no frontends any more nothing stays: its connections drain.
func (k *inKernel) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep = k.keep || len(k.bindings) > 0
}

// drain takes no more connections, and waits until there are none, or the drain
// time-out is over.
func (k *inKernel) drain() {
	k.mu.Lock()
	k.stopped = true
	keep, most := k.keep, time.Duration(0)
	for _, b := range k.bindings {
		b.front.pool.leave(k)
		most = max(most, b.front.config().DrainTimeout)
	}
	if !keep {
		k.leaving, k.bindings = append(k.leaving, k.bindings...), nil
		k.apply()
	}
	k.mu.Unlock()
	if keep {
		return
	}
	stopped := time.Now()
	for end := stopped.Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		begun := time.Now()
		k.count(begun)
		k.mu.Lock()
		open := 0
		for _, b := range k.leaving {
			open += b.front.gate.inside()
		}
		k.mu.Unlock()
		if open == 0 || k.closed() {
			return
		}
		time.Sleep(min(time.Second, countShare*time.Since(begun)))
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.leaving {
		b.front.cut()
	}
	k.apply()
}

func (k *inKernel) closed() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.engine == nil
}

// addrs: what is configured is where it is.
func (k *inKernel) addrs(f *frontend) []net.Addr {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []net.Addr
	for _, b := range k.bindings {
		if b.front != f {
			continue
		}
		for _, v := range b.cfg.virtual() {
			if b.cfg.Protocol == UDP {
				out = append(out, net.UDPAddrFromAddrPort(v))
			} else {
				out = append(out, net.TCPAddrFromAddrPort(v))
			}
		}
	}
	return out
}

// problems are what keeps the plane from working as configured.
func (k *inKernel) problems() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.engine == nil {
		return nil
	}
	out := k.engine.Problems()
	if k.failed != nil {
		out = append(out, fmt.Sprintf("the kernel does not take the frontends of plane %s, and goes on with what it had: %v", k.plane, k.failed))
	}
	return out
}

// virtual returns the virtual addresses. No host is both families.
func (c *Config) virtual() []netip.AddrPort {
	var out []netip.AddrPort
	for _, address := range c.Listen {
		host, port, _ := net.SplitHostPort(address)
		n := portNumber(port)
		if host == "" {
			out = append(out, netip.AddrPortFrom(netip.IPv4Unspecified(), n), netip.AddrPortFrom(netip.IPv6Unspecified(), n))
			continue
		}
		ip, _ := netip.ParseAddr(host)
		out = append(out, netip.AddrPortFrom(ip.Unmap(), n))
	}
	return out
}

// connections is part of witness. How old a connection is the kernel does not say.
func (k *inKernel) connections(f *frontend, visit func(Connection)) {
	all, err := k.flows(MostConnectionsListed)
	if err != nil {
		k.log.Warn("balancer: the kernel's connections cannot be listed", "plane", k.name(), "error", err)
	}
	for _, flow := range all {
		if flow.Service != f.name {
			continue
		}
		c := Connection{Frontend: f.name, Server: endText(flow.Server), Client: endText(flow.Client), At: endText(flow.Virtual), Protocol: TCP,
			State: flow.State, Up: flow.BytesUp, Down: flow.BytesDown}
		if flow.Protocol == kernel.UDP {
			c.Protocol = UDP
		}
		if flow.Source != flow.Client {
			c.Source = endText(flow.Source)
		}
		visit(c)
	}
}

// flows returns up to limit of the connections that the kernel has for the plane's frontends.
func (k *inKernel) flows(limit int) ([]kernel.Flow, error) {
	k.mu.Lock()
	engine := k.engine
	k.mu.Unlock()
	if engine == nil || limit <= 0 {
		return nil, nil
	}
	var out []kernel.Flow
	err := engine.Flows(func(f kernel.Flow) bool {
		out = append(out, f)
		return len(out) < limit
	})
	return out, err
}

// Flows returns up to limit connections of the planes in the kernel, in no order.
// It reads the kernel's table of connections, so it is for people who look.
func (b *Balancer) Flows(limit int) ([]kernel.Flow, error) {
	var out []kernel.Flow
	var faults []error
	for _, p := range b.planes {
		if k, ok := p.(*inKernel); ok {
			found, err := k.flows(limit - len(out))
			out = append(out, found...)
			faults = append(faults, err)
		}
	}
	return out, errors.Join(faults...)
}

// Problems are what keeps frontends from working as configured, and limits that
// clients have met for long, one line each.
func (b *Balancer) Problems() []string {
	out := b.refusalProblems()
	for _, p := range b.planes {
		if k, ok := p.(*inKernel); ok {
			out = append(out, k.problems()...)
		}
	}
	return out
}
