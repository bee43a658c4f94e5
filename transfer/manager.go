package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gslb/dnsname"
	"gslb/steady"
	"gslb/zones"
)

// Host is who serves the zones: the node.
type Host interface {
	// DB is what is served now.
	DB() *zones.DB
	// Put serves zones in the place of those of their names, or beside the others,
	// and no longer serves those in drop. durable is called when it is known that
	// this can be, and before it is served; if it fails, or it cannot be, all stays
	// as it was. durable may be nil.
	Put(put []*zones.Zone, drop []string, durable func() error) error
	// Default is the site that a steered name chooses for a client of whom nothing
	// is known, or those that it is answered with together; empty: none.
	Default(s *zones.Steered) []int32
}

// ZoneConfig is a zone with how it moves.
type ZoneConfig struct {
	Name string // presentation form, lower case
	File string // the master file, or of a zone with primaries its copy; may be ""
	// MaxTTL bounds the TTLs of a zone that is signed here; 0: of others.
	MaxTTL time.Duration
	Zone
}

// Manager moves zones. Make it with New, give it zones with Prepare and Commit,
// then Run it; Respond may be called from its first Commit on.
type Manager struct {
	dir  string // that journals are in
	host Host
	log  *slog.Logger
	now  func() time.Time

	strangers *strangers

	state     atomic.Pointer[state]
	primaries servers // that are asked
	heeding   servers // that are told of changes
	// One for each update that is with a primary.
	forwarding, forwardingUDP chan struct{}
	recalling                 sync.Mutex // held while it is read what was sent of a zone

	// edit is held by whoever changes zones, from when it looks at what is served
	// until what follows is served: updates, transfers, reloads.
	edit sync.Mutex

	mu  sync.Mutex // guards what follows
	ctx context.Context
	run sync.WaitGroup // of what Run started
	off map[string]context.CancelFunc
}

// state is what configuration says, compiled: an immutable value.
type state struct {
	keys  map[string]*key  // by name, wire form in lower case
	zones map[string]*zone // by apex, wire form in lower case
}

// New makes a manager that keeps its journals in a folder.
func New(dir string, host Host, log *slog.Logger) *Manager {
	m := &Manager{dir: dir, host: host, log: log, now: steady.Now, strangers: newStrangers(log), forwarding: make(chan struct{}, maxForwards), forwardingUDP: make(chan struct{}, maxForwardsUDP), off: make(map[string]context.CancelFunc)}
	m.state.Store(&state{})
	return m
}

// zone is a zone that moves, over all versions of it.
type zone struct {
	m    *Manager
	name string // presentation form
	apex []byte // wire form, lower case
	set  atomic.Pointer[settings]

	versions sync.Mutex // held while served changes
	served   atomic.Pointer[version]
	highest  uint32 // serial number that was served; 0: none
	past     past

	round   sync.Mutex         // guards the two that follow
	stop    context.CancelFunc // of the notifications under way
	telling uint32             // the serial number that they tell

	// raw are the records before anybody signs them, and history how they came to
	// be; nil where the master file is all there is.
	raw     atomic.Pointer[zones.Zone]
	history atomic.Pointer[[]*change]
	patcher zones.Patcher // makes the versions of raw
	ahead   atomic.Bool   // somebody is at ready
	kept

	waiting sync.Mutex  // guards queue
	queue   []*updating // to be made by whoever has Manager.edit next

	// Of a secondary. Times are Unix ones; 0: never.
	kick      chan struct{}
	primary   atomic.Pointer[peer]       // that had the zone
	teller    atomic.Pointer[netip.Addr] // who told last that there is something new, until it is asked
	fault     atomic.Pointer[string]     // why it could not be refreshed; nil or "": it could
	confirmed atomic.Int64               // when the copy was known to be the newest
	moved     atomic.Int64               // when it was transferred
	due       atomic.Int64               // when the primaries are asked next
	lapsed    atomic.Bool                // it has expired, and is not served
	again     atomic.Bool                // the primaries are to be asked after a reload: they are others, or were at fault

	members takenUp // of a catalog that is consumed; nil: not read yet. Manager.edit guards it

	said     atomic.Pointer[string] // what is wrong with its file or journal; nil or "": nothing
	broken   atomic.Pointer[string] // what is wrong with what it lists, of a catalog
	backward atomic.Pointer[string] // what is wrong with its serial number
	unnoted  atomic.Pointer[string] // why what is sent cannot be noted
	uncopied atomic.Pointer[string] // why its copy cannot be written

	count counts
}

// counts are what happened to a zone since the start.
type counts struct {
	out, outFailed, refused atomic.Uint64
	in, inFailed            atomic.Uint64
	updates, updatesRefused atomic.Uint64
	updatesForwarded        atomic.Uint64
}

// settings are a zone's configuration, compiled.
type settings struct {
	ZoneConfig
	transferTo, notifyFrom []rule
	forward                []rule
	notify, primaries      []peer
	permits                []permit
	from                   *zone // the catalog that lists the zone; nil: it is configured here
}

// Prepared is a configuration that is whole and not yet in force.
type Prepared struct {
	m     *Manager
	state *state
	sets  map[*zone]*settings
	held  bool // m.edit
	files map[*zone]taken
	fresh []*zone                       // that were not known before
	anew  []*zone                       // of them, those in the place of others
	read  func(apex []byte) *zones.Zone // the zones of master files

	enrolled   map[*zone]takenUp  // the members of catalogs that are consumed
	complaints map[*zone][]string // what is wrong with these
}

// Prepare compiles the zones and keys of a configuration. Nothing changes before
// Commit. All faults come as one error. No zone can be changed until Release or
// Commit.
func (m *Manager) Prepare(cfgs []ZoneConfig, keys map[string]Key) (*Prepared, error) {
	p := &Prepared{m: m, state: &state{keys: make(map[string]*key), zones: make(map[string]*zone)}, sets: make(map[*zone]*settings), files: make(map[*zone]taken)}
	m.edit.Lock()
	p.held = true
	var errs []error
	for name, cfg := range keys {
		k, err := newKey(name, cfg)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p.state.keys[string(k.name)] = k
	}
	old := m.state.Load()
	for _, cfg := range cfgs {
		if !cfg.Moves() {
			continue
		}
		if err := p.add(old, cfg, false); err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", cfg.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		p.Release()
		return nil, err
	}
	return p, nil
}

// Release lets zones be changed again, whether p was put in force or not.
func (p *Prepared) Release() {
	if p.held {
		for _, z := range p.fresh { // none, once in force
			z.journal.close()
		}
		p.held = false
		p.m.edit.Unlock()
	}
}

// add takes a zone up, as it is known already or new; anew is for one that has
// nothing to do with what is known of its name.
func (p *Prepared) add(old *state, cfg ZoneConfig, anew bool) error {
	wire, err := dnsname.Parse(cfg.Name)
	if err != nil {
		return err
	}
	set, err := compile(cfg, p.state.keys)
	if err != nil {
		return err
	}
	apex := lowered(wire)
	z := old.zones[string(apex)]
	if z == nil || anew {
		z = &zone{m: p.m, name: cfg.Name, apex: apex, kick: make(chan struct{}, 1)}
		z.past.path = p.m.pathOf(cfg.Name, "past")
	}
	switch {
	case anew:
		z.kept = kept{journal: &journal{entries{path: p.m.pathOf(cfg.Name, "journal"), magic: journalMagic}}}
		p.fresh, p.anew = append(p.fresh, z), append(p.anew, z)
	case set.keeps() && z.journal == nil:
		if err := z.open(); err != nil {
			return err
		}
		p.fresh = append(p.fresh, z)
		if z.lost != "" {
			p.m.log.Error("a zone's journal cannot be read, or not to its end; what cannot is kept beside it", "zone", z.name, "file", z.journal.path+".damaged", "lost", z.lost)
			said := fmt.Sprintf("zone %s: what it had on disk could not be read, or not to its end, and is in %s.damaged: %s", z.name, z.journal.path, z.lost)
			z.said.Store(&said)
		}
	}
	p.state.zones[string(apex)] = z
	p.sets[z] = set
	return nil
}

func compile(cfg ZoneConfig, keys map[string]*key) (*settings, error) {
	s := &settings{ZoneConfig: cfg}
	var errs [6]error
	s.transferTo, errs[0] = rules(cfg.TransferTo, keys)
	s.notifyFrom, errs[1] = rules(cfg.NotifyFrom, keys)
	s.notify, errs[2] = peersOf(cfg.Notify, keys)
	s.primaries, errs[3] = peersOf(cfg.Primaries, keys)
	s.permits, errs[4] = permitsOf(cfg.Update, keys)
	s.forward, errs[5] = rules(cfg.ForwardUpdates, keys)
	return s, errors.Join(errs[:]...)
}

// Commit puts what was prepared in force. The zones must be served already.
func (m *Manager) Commit(p *Prepared) {
	m.enforce(p)
	p.Release()
}

func (m *Manager) enforce(p *Prepared) {
	for z, t := range p.files {
		z.take(t)
	}
	var gone []string
	for apex, z := range m.state.Load().zones {
		if p.state.zones[apex] != z {
			z.leave()
			z.forget()
			gone = append(gone, apex)
		}
	}
	for _, z := range p.anew { // the one before may be of before the start
		z.clean()
	}
	p.enroll()
	p.fresh = nil
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, apex := range gone {
		if stop := m.off[apex]; stop != nil {
			stop()
			delete(m.off, apex)
		}
	}
	for z, set := range p.sets {
		old := z.set.Swap(set)
		fault := z.fault.Load()
		z.again.Store(old == nil || !sameSources(old.primaries, set.primaries) || fault != nil && *fault != "")
	}
	m.state.Store(p.state)
	if m.ctx != nil {
		m.start()
	}
}

// sameSources tells whether two lists of primaries are asked in the same way, as far
// as that is known without a look at their answers.
func sameSources(a, b []peer) bool {
	return slices.EqualFunc(a, b, func(a, b peer) bool {
		return a.addr == b.addr && a.source == b.source && (a.tls == nil) == (b.tls == nil) && a.key.same(b.key)
	})
}

// Run keeps the zones moving until ctx ends.
func (m *Manager) Run(ctx context.Context) error {
	m.mu.Lock()
	m.ctx = ctx
	m.start()
	m.mu.Unlock()
	<-ctx.Done()
	m.mu.Lock()
	m.ctx = nil
	clear(m.off)
	m.mu.Unlock()
	m.run.Wait()
	return nil
}

// start begins with what the state has and what does not run yet; m.mu is held.
func (m *Manager) start() {
	for apex, z := range m.state.Load().zones {
		m.run.Go(z.changed)
		follows := z.set.Load().secondary()
		if stop := m.off[apex]; stop != nil && !follows {
			stop()
			delete(m.off, apex)
		} else if stop == nil && follows {
			ctx, cancel := context.WithCancel(m.ctx)
			m.off[apex] = cancel
			m.run.Go(func() { z.follow(ctx) })
		} else if follows && z.again.Swap(false) {
			z.wake()
		}
	}
	for apex, stop := range m.off {
		if m.state.Load().zones[apex] == nil {
			stop()
			delete(m.off, apex)
		}
	}
}

// leave lets go of a zone that does not move any more; m.edit is held. What is on
// disk stays.
func (z *zone) leave() {
	if z.journal != nil {
		z.journal.close()
	}
	z.past.leave()
	z.round.Lock()
	defer z.round.Unlock()
	if z.stop != nil {
		z.stop()
	}
}

// Changed is to be called when the host serves other zones than before.
func (m *Manager) Changed() {
	for _, z := range m.state.Load().zones {
		z.changed()
	}
}
