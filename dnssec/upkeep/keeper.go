package upkeep

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/steady"
)

// Zone is a zone to be kept signed.
type Zone struct {
	Name   string        // absolute, in lower case
	Config dnssec.Config // with its defaults
}

// Options are those of a Keeper.
type Options struct {
	Keys     string // the folder of the keys
	Maintain bool   // make and roll keys; otherwise use what is found
	State    string // the folder for signatures and what else is kept over a restart
	Log      *slog.Logger
}

// Keeper keeps zones signed. Prepare, Commit and Close are called by one at a
// time; all others may be called at any time.
type Keeper struct {
	store    Store
	maintain bool
	state    string
	log      *slog.Logger
	clock    *clock
	serials  *serials
	seen     folderStamp // of the keys' folder as it was last read

	mu    sync.Mutex // guards all below
	zones map[string]*kept
	fault error
	looks map[string]look // at the parents, by zone
}

// kept is a zone as it is kept signed. Once it is in Keeper.zones it is guarded by Keeper.mu.
type kept struct {
	Zone
	apex  []byte
	keys  []*dnssec.Key // as they were read last without a fault
	plan  dnssec.Plan
	fault error // why keys are not as they should be

	// Of the last signing:
	signedBy dnssec.Plan
	result   dnssec.Result
	expires  time.Time // the first signature that does
	at       time.Time
	took     time.Duration
	made     uint64 // signatures since the start
	// Of the file with signatures:
	saved time.Time
	dirty bool
}

// New makes a keeper.
func New(o Options) (*Keeper, error) {
	k := &Keeper{store: Store{dnssec.Folder(o.Keys)}, maintain: o.Maintain, state: o.State, log: o.Log, zones: make(map[string]*kept), looks: make(map[string]look)}
	var errs [2]error
	k.clock, errs[0] = openClock(filepath.Join(o.State, "clock"))
	k.serials, errs[1] = openSerials(filepath.Join(o.State, "serials"))
	return k, errors.Join(errs[:]...)
}

// Store is the folder of the keys.
func (k *Keeper) Store() Store { return k.store }

// Round is how zones are to be signed at a moment.
type Round struct {
	// Signing is for each zone that is to be signed, not for one that has left;
	// those in Due need to be signed, or served unsigned, now.
	Signing map[string]*dnssec.Signing
	Due     map[string]bool

	now    time.Time
	folder folderStamp
	zones  map[string]*kept
}

// Outcome is how it went with a zone that was signed.
type Outcome struct {
	dnssec.Result
	Took time.Duration
}

// Now is the time to sign at: the clock's, but never much before a time that has
// come already. Zones may change while a clock that was put back keeps all else waiting.
func (k *Keeper) Now() time.Time { return k.clock.now(steady.Now()) }

// Prepare brings the keys of the zones to where they are to be now and says how
// each zone is to be signed. A zone whose keys cannot be read goes on with those
// that it had; one that has none is an error, and so is a clock that cannot be
// right. Nothing of it counts before Commit, but for the keys themselves.
func (k *Keeper) Prepare(zones []Zone, now time.Time) (*Round, error) {
	if len(zones) > 0 {
		if err := k.clock.check(now); err != nil {
			return nil, err
		}
	}
	k.mu.Lock()
	before := maps.Clone(k.zones)
	k.mu.Unlock()
	r := &Round{Signing: make(map[string]*dnssec.Signing), Due: make(map[string]bool), now: now, zones: make(map[string]*kept), folder: stampFolder(string(k.store.Folder), now)}
	same := r.folder == k.seen && r.folder != folderStamp{}
	var errs []error
	keys := &shelf{store: k.store}
	defer keys.close()
	for _, z := range zones {
		c, err := k.prepare(z, before[z.Name], now, same, keys)
		if err != nil {
			errs = append(errs, fmt.Errorf("zone %s: %w", z.Name, err))
			continue
		}
		r.zones[z.Name] = c
		if c.plan.Leaving == dnssec.Left {
			if len(c.signedBy.SignKeys) > 0 {
				r.Due[z.Name] = true
			}
			continue
		}
		s := z.Config.Signing()
		s.Apex, s.Keys = c.apex, c.plan
		if c.at.IsZero() {
			s.Cache = c.result.Cache // from before the start; later ones are at hand where the zone is
		}
		r.Signing[z.Name] = &s
		if c.at.IsZero() || !now.Before(c.result.Next) || !samePlan(c.plan, c.signedBy) || before[z.Name] == nil || !sameConfig(before[z.Name].Config, z.Config) {
			r.Due[z.Name] = true
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// prepare sees to one zone. same says that no key has changed since they were read.
func (k *Keeper) prepare(z Zone, before *kept, now time.Time, same bool, all *shelf) (*kept, error) {
	c := &kept{Zone: z}
	if before != nil {
		*c = *before
		c.Zone = z
	} else {
		apex, err := dnsname.Parse(z.Name)
		if err != nil {
			return nil, err
		}
		c.apex = dnsname.AppendLower(nil, apex)
	}
	known := before != nil && before.fault == nil && len(before.keys) > 0 && sameConfig(before.Config, z.Config)
	if same && known && (before.plan.Next.IsZero() || now.Before(before.plan.Next)) {
		return c, nil
	}
	if err := k.checkFirst(c, all); err != nil {
		return nil, err
	}
	plan, keys, err := k.plan(c, now, all)
	if err == nil && plan.Leaving != dnssec.Left && (len(plan.SignKeys) == 0 || len(plan.SignZone) == 0) {
		err = noSigner(z.Name, keys, k, now)
	}
	switch {
	case err == nil:
		c.plan, c.keys, c.fault = plan, keys, nil
	case before == nil || len(before.keys) == 0:
		return nil, err
	default:
		c.fault = fmt.Errorf("the keys that it had are used further: %w", err)
		if before.fault == nil || before.fault.Error() != c.fault.Error() {
			k.log.Error("a zone's keys are not as they should be", "zone", c.Name, "error", c.fault)
		}
		c.plan = z.Config.Policy().Step(c.keys, now)
	}
	if c.plan.Leaving == dnssec.Left {
		return c, nil
	}
	if len(c.plan.SignKeys) == 0 || len(c.plan.SignZone) == 0 { // of the keys that it had
		return nil, c.fault
	}
	if before == nil {
		if c.result.Cache, err = readCache(cachePath(k.state, z.Name), c.keys); err != nil {
			k.log.Warn("signatures of before are not used; all are made anew", "zone", z.Name, "error", err)
		}
	}
	return c, nil
}

// plan says what the zone's keys do now, after what is due was done to them.
func (k *Keeper) plan(c *kept, now time.Time, all *shelf) (dnssec.Plan, []*dnssec.Key, error) {
	keys, err := all.load(c.apex)
	if err == nil {
		err = errors.Join(k.clock.checkKeys(keys, now), k.checkLost(c, keys, now))
	}
	if err != nil {
		return dnssec.Plan{}, nil, err
	}
	policy := c.Config.Policy()
	plan := policy.Step(keys, now)
	if !k.maintain || len(plan.Generate)+len(plan.Retime)+len(plan.Remove) == 0 {
		return plan, keys, nil
	}
	plan, after, err := all.maintain(c.apex, policy, now)
	if err == nil {
		k.tell(c.Name, keys, after, now)
	}
	return plan, after, err
}

// tell logs what happened to a zone's keys.
func (k *Keeper) tell(zone string, before, after []*dnssec.Key, now time.Time) {
	for _, key := range after {
		i := slices.IndexFunc(before, func(o *dnssec.Key) bool { return o.BaseName() == key.BaseName() })
		if i < 0 {
			k.log.Info("a key was made", "zone", zone, "key", key.Tag(), "role", key.Role, "algorithm", key.Algorithm)
		} else if before[i].Timing != key.Timing {
			text, at := nextOf(key, now)
			k.log.Info("a key has new times", "zone", zone, "key", key.Tag(), "role", key.Role, "next", text, "at", at)
		}
	}
	for _, key := range before {
		if !slices.ContainsFunc(after, func(o *dnssec.Key) bool { return o.BaseName() == key.BaseName() }) {
			k.log.Info("a key that has gone was deleted", "zone", zone, "key", key.Tag(), "role", key.Role)
		}
	}
}

// checkLost tells whether a key that a zone is signed with has gone from the folder,
// or its private half has. It may come back, as when a disk is mounted; another one in
// its place would be one that neither the parent nor caches know.
func (k *Keeper) checkLost(c *kept, keys []*dnssec.Key, now time.Time) error {
	plan := c.Config.Policy().Step(c.keys, now)
	for _, old := range slices.Concat(plan.SignKeys, plan.SignZone, plan.Publish) {
		if old.CanSign() && !slices.ContainsFunc(keys, func(o *dnssec.Key) bool { return o.CanSign() && slices.Equal(o.DNSKEY(), old.DNSKEY()) }) {
			return fmt.Errorf("key %s, which is in use, is not in %s any more: put its files back", old, k.store.Folder)
		}
	}
	return nil
}

// checkFirst tells whether a zone that has no keys had some before this process began:
// then none are made for it.
func (k *Keeper) checkFirst(c *kept, all *shelf) error {
	if len(c.keys) > 0 || !k.maintain {
		return nil
	}
	if keys, err := all.load(c.apex); err != nil || len(keys) > 0 {
		return nil // that comes up again
	}
	return Lost(string(k.store.Folder), k.state, c.Name)
}

// Lost is what is wrong with a zone that has no keys in their folder, where a keeper
// with this state folder has signed it before; nil: none has.
func Lost(keys, state, zone string) error {
	path := cachePath(state, zone)
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return fmt.Errorf("none of its keys is in %s, but there are signatures that were made with some (%s): put the files of the keys back; if they are lost for good, take the DS out of the parent, wait until no cache has it, and make others by gslb keys new %s",
		keys, path, zone)
}

func noSigner(zone string, keys []*dnssec.Key, k *Keeper, now time.Time) error {
	if len(keys) == 0 {
		return fmt.Errorf("there are no keys of it in %s, and maintain_keys = false: share or copy those of the node that makes them", k.store.Folder)
	}
	return fmt.Errorf("of its %d keys in %s none is to sign the keys, or none the zone, at %s (gslb keys list shows their times)", len(keys), k.store.Folder, stated(now))
}

// Commit puts a round in force: its zones are served, those of outcomes as they
// were signed anew. It writes what a restart needs.
func (k *Keeper) Commit(r *Round, outcomes map[string]Outcome) {
	for name, o := range outcomes {
		if c := r.zones[name]; c != nil {
			c.note(o, r.now)
		}
	}
	var errs []error
	for _, c := range r.zones {
		if c.plan.Leaving == dnssec.Left {
			errs = append(errs, k.forget(c))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.zones)) {
		if c := r.zones[name]; c.dirty && (r.now.Sub(c.saved).Abs() >= saveEvery || 10*c.result.Made >= c.result.Cache.Len()) {
			errs = append(errs, k.save(c, r.now))
		}
	}
	if len(r.zones) > 0 {
		errs = append(errs, k.clock.reached(r.now))
	}
	err := errors.Join(errs...)
	if err != nil {
		k.log.Error("what a restart needs cannot be kept", "error", err)
	}
	k.seen = r.folder
	k.mu.Lock()
	defer k.mu.Unlock()
	k.zones, k.fault = r.zones, err
	maps.DeleteFunc(k.looks, func(zone string, _ look) bool { return r.zones[zone] == nil })
}

// Note takes in that zones were signed meanwhile, by the keys of the last round,
// for their records have changed.
func (k *Keeper) Note(outcomes map[string]Outcome, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for name, o := range outcomes {
		if c := k.zones[name]; c != nil {
			c.note(o, now)
		}
	}
}

func (c *kept) note(o Outcome, now time.Time) {
	c.result, c.signedBy, c.at, c.took = o.Result, c.plan, now, o.Took
	c.expires = expiry(c.Config.Times(), o.Next)
	c.made += uint64(o.Made)
	c.dirty = c.dirty || o.Made > 0
}

// forget drops what is known of the signatures of a zone that is served unsigned.
func (k *Keeper) forget(c *kept) error {
	c.result, c.signedBy, c.expires, c.at, c.dirty = dnssec.Result{}, dnssec.Plan{}, time.Time{}, time.Time{}, false
	if err := os.Remove(cachePath(k.state, c.Name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// saveEvery bounds how often a large file is written for a few new signatures;
// those that a crash loses are made again just as they were.
const saveEvery = 10 * time.Minute

func (k *Keeper) save(c *kept, now time.Time) error {
	if err := writeCache(cachePath(k.state, c.Name), c.result.Cache); err != nil {
		return err
	}
	c.saved, c.dirty = now, false
	return nil
}

// Close writes what has not been written.
func (k *Keeper) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	var errs []error
	for _, c := range k.zones {
		if c.dirty {
			kept := *c
			errs = append(errs, k.save(&kept, steady.Now()))
		}
	}
	return errors.Join(errs...)
}

// Changed tells whether keys may have changed on disk since they were read.
func (k *Keeper) Changed(now time.Time) bool {
	return k.seen == folderStamp{} || stampFolder(string(k.store.Folder), now) != k.seen
}

// retryEvery is how soon a zone's keys are looked at again after a fault.
const retryEvery = time.Minute

// Next is when something is due next, should nothing change before; zero: never.
func (k *Keeper) Next(now time.Time) time.Time {
	k.mu.Lock()
	defer k.mu.Unlock()
	var next time.Time
	for _, c := range k.zones {
		for _, t := range []time.Time{c.plan.Next, c.result.Next} {
			next = sooner(next, t)
		}
		if c.fault != nil {
			next = sooner(next, now.Add(retryEvery))
		}
	}
	return next
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// expiry is when the first of a zone's signatures expires, of which the first is
// to be renewed at next (see Times).
func expiry(t dnssec.Times, next time.Time) time.Time {
	if next.IsZero() {
		return next
	}
	return next.Add(t.Validity - (t.Validity-t.Refresh)/t.Step*t.Step)
}

// samePlan tells whether a zone signed by one plan is as one signed by the other.
func samePlan(a, b dnssec.Plan) bool {
	same := func(x, y []*dnssec.Key) bool {
		return slices.EqualFunc(x, y, func(p, q *dnssec.Key) bool { return slices.Equal(p.DNSKEY(), q.DNSKEY()) })
	}
	return same(a.Publish, b.Publish) && same(a.SignKeys, b.SignKeys) && same(a.SignZone, b.SignZone) && same(a.CDS, b.CDS) && a.Leaving == b.Leaving
}

func sameConfig(a, b dnssec.Config) bool {
	return a.Policy() == b.Policy() && a.Times() == b.Times() && a.Denial == b.Denial && a.OptOut == b.OptOut && slices.Equal(a.CDS, b.CDS)
}

// folderStamp tells one state of a folder's names from the next. Key files are
// replaced by others of the same name, which counts too.
type folderStamp struct {
	mtime int64
	name  string
}

// stampFolder gives the zero stamp where the folder changed so lately that a
// further change would not be told from the last.
func stampFolder(path string, now time.Time) folderStamp {
	info, err := os.Stat(path)
	if err != nil || now.Sub(info.ModTime()).Abs() < time.Second {
		return folderStamp{}
	}
	return folderStamp{info.ModTime().UnixNano(), path}
}
