package upkeep

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"gslb/dnssec"
)

// Key is a key in words.
type Key struct {
	*dnssec.Key
	State string    // what it does now
	Gone  bool      // it stands in the zone no longer
	Next  string    // what comes next; "" for nothing that is known
	At    time.Time // when; zero: when somebody does something
}

// Describe says what a zone's keys do at a moment and what comes next, as the
// policy's plan for that moment has it.
func Describe(keys []*dnssec.Key, plan dnssec.Plan, now time.Time) []Key {
	var all []Key
	for _, k := range keys {
		d := Key{Key: k, State: stateOf(k, plan, now)}
		d.Next, d.At = nextOf(k, now)
		d.Gone = !has(plan.Publish, k) && !k.Timing.Delete.IsZero() && !k.Timing.Delete.After(now)
		if plan.Leaving == dnssec.AsksParent && has(plan.SignKeys, k) {
			d.Next, d.At = "waits until the parent has no DS any more, and for somebody to say so", time.Time{}
		}
		if has(plan.Waiting, k) {
			d.Next, d.At = "waits for its DS at the parent, and for somebody to say that it is there", time.Time{}
		}
		all = append(all, d)
	}
	return all
}

func has(keys []*dnssec.Key, k *dnssec.Key) bool {
	return slices.ContainsFunc(keys, func(o *dnssec.Key) bool { return o.BaseName() == k.BaseName() })
}

func stateOf(k *dnssec.Key, plan dnssec.Plan, now time.Time) string {
	t := k.Timing
	text := ""
	switch {
	case has(plan.SignZone, k) && !has(plan.Publish, k) && !t.Delete.IsZero():
		text = "signs the zone, no longer published"
	case has(plan.SignZone, k) && !has(plan.Publish, k):
		text = "signs the zone, not published yet"
	case has(plan.SignZone, k) && has(plan.SignKeys, k):
		text = "signs the zone and its keys"
	case has(plan.SignZone, k):
		text = "signs the zone"
	case has(plan.SignKeys, k):
		text = "signs the keys"
	case has(plan.Publish, k) && !t.Inactive.IsZero() && !t.Inactive.After(now):
		text = "published, no longer signs"
	case has(plan.Publish, k):
		text = "published, does not sign yet"
	case !t.Delete.IsZero() && !t.Delete.After(now):
		return "gone since " + stated(t.Delete)
	default:
		return "not published yet"
	}
	if k.Role == dnssec.ZSK {
		return text
	}
	switch {
	case !t.DSGone.IsZero():
		text += "; its DS has gone from the parent"
	case !t.DSSeen.IsZero() && plan.Leaving == dnssec.AsksParent:
		text += "; its DS is to be taken out of the parent now"
	case !t.DSSeen.IsZero():
		text += "; its DS is at the parent since " + stated(t.DSSeen)
	case has(plan.Waiting, k):
		text += "; its DS is to be put into the parent now"
	case plan.Leaving == dnssec.AsksParent:
		text += "; its DS is to be taken out of the parent now"
	default:
		text += "; its DS is not to be at the parent yet"
	}
	return text
}

// nextOf is the first thing that a key's times have coming.
func nextOf(k *dnssec.Key, now time.Time) (text string, at time.Time) {
	t := k.Timing
	for _, e := range []struct {
		at   time.Time
		text string
	}{
		{t.Publish, "is published"}, {t.Activate, "begins to sign"}, {t.SyncPublish, "its DS can go to the parent"},
		{t.Inactive, "stops signing"}, {t.Delete, "leaves the zone"},
	} {
		if e.at == t.SyncPublish && !t.DSSeen.IsZero() {
			continue // it is there already
		}
		if e.at.After(now) && (at.IsZero() || e.at.Before(at)) {
			text, at = e.text, e.at
		}
	}
	return text, at
}

// Status is how a zone stands.
type Status struct {
	Zone     Zone
	Maintain bool // keys are made and rolled by this node
	Keys     []Key
	DS       [][]byte  // that the parent is to have: of the keys named by CDS, or those that will be
	Waiting  bool      // for the DS at the parent
	Rolling  bool      // there is a predecessor that has its DS there
	Leaving  bool      // the DS is to be taken out of the parent
	Progress string    // see Progress
	Parent   string    // what the last look at the parent found; "" without one
	Problems []string  // what a person should look at
	NextKey  time.Time // when something happens to a key next

	Signatures int       // in force
	Made       uint64    // since the start
	Signed     time.Time // last
	Took       time.Duration
	Renewal    time.Time // of the first signature
	Expires    time.Time // the first signature that does
}

// Status tells how the zones stand, by name, and what else is wrong.
func (k *Keeper) Status(now time.Time) ([]Status, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(k.zones)) {
		c := k.zones[name]
		s := Status{
			Zone: c.Zone, Maintain: k.maintain, Keys: Describe(c.keys, c.plan, now), Waiting: len(c.plan.Waiting) > 0,
			Leaving: c.plan.Leaving == dnssec.AsksParent, Progress: Progress(c.plan),
			Made: c.made, Signed: c.at, Took: c.took, Renewal: c.result.Next, Expires: c.expires, NextKey: c.plan.Next,
		}
		if c.result.Cache != nil {
			s.Signatures = c.result.Cache.Len()
		}
		for _, key := range c.plan.Publish {
			s.Rolling = s.Rolling || !has(c.plan.Waiting, key) && !key.Timing.DSSeen.IsZero() && key.Timing.DSGone.IsZero()
		}
		s.DS = WantedDS(c.Config, c.keys, c.plan)
		if l, ok := k.looks[name]; ok {
			s.Parent = l.String()
			if text := l.broken(name, c.plan); text != "" {
				s.Problems = append(s.Problems, text)
			}
		}
		if c.fault != nil {
			s.Problems = append(s.Problems, c.fault.Error())
		}
		for _, err := range c.plan.Problems {
			s.Problems = append(s.Problems, err.Error())
		}
		if left := c.expires.Sub(now); !c.expires.IsZero() && left < c.Config.Refresh/2 {
			s.Problems = append(s.Problems, fmt.Sprintf("signatures were to be renewed and are not: the first expires at %s", stated(c.expires)))
		}
		all = append(all, s)
	}
	return all, k.fault
}

// WantedDS is the DS RRset that the parent is to have: of the keys that CDS
// names or, as long as there are none, of those that it will name.
func WantedDS(c dnssec.Config, keys []*dnssec.Key, plan dnssec.Plan) [][]byte {
	if plan.Leaving != dnssec.Stays {
		return nil
	}
	named := plan.CDS
	if len(named) == 0 {
		named = plan.SignKeys
	}
	var ds [][]byte
	for _, key := range named {
		for _, d := range c.Signing().CDS {
			ds = append(ds, key.DS(d))
		}
	}
	return ds
}
