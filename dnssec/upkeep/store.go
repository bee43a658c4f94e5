package upkeep

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"gslb/dnsname"
	"gslb/dnssec"
)

// Store is a folder of keys that several may change: this node, another one that
// shares it, and people with gslb keys. Each change is made under the folder's lock.
type Store struct{ dnssec.Folder }

func (s Store) locked(f func() error) error {
	unlock, err := lock(string(s.Folder))
	if err != nil {
		return err
	}
	defer unlock()
	return f()
}

// shelf is the folder as one round sees it: its names are read once, and once more
// when keys are to be changed, for which the lock is then held until close.
type shelf struct {
	store  Store
	names  dnssec.Listing
	unlock func() // nil: not locked
}

func (s *shelf) load(zone []byte) (keys []*dnssec.Key, err error) {
	if s.names == nil {
		if s.names, err = s.store.List(); err != nil {
			return nil, err
		}
	}
	return s.store.LoadListed(zone, s.names)
}

// maintain is Folder.Maintain under the lock, and gives the keys that there are then.
func (s *shelf) maintain(zone []byte, p dnssec.Policy, now time.Time) (plan dnssec.Plan, keys []*dnssec.Key, err error) {
	if s.unlock == nil {
		if s.unlock, err = lock(string(s.store.Folder)); err != nil {
			return plan, nil, err
		}
		s.names = nil // others may have changed it
	}
	if keys, err = s.load(zone); err != nil {
		return plan, nil, err
	}
	return s.store.MaintainKeys(zone, keys, p, now)
}

func (s *shelf) close() {
	if s.unlock != nil {
		s.unlock()
	}
}

// Maintain is Folder.Maintain under the lock.
func (s Store) Maintain(zone []byte, p dnssec.Policy, now time.Time) (plan dnssec.Plan, err error) {
	err = s.locked(func() error {
		plan, err = s.Folder.Maintain(zone, p, now)
		return err
	})
	return plan, err
}

// Roll begins a roll now: it makes the successor of the zone's key of a role.
// What was due for the keys anyway is done before.
func (s Store) Roll(zone []byte, p dnssec.Policy, role dnssec.Role, now time.Time) (made *dnssec.Key, err error) {
	err = s.locked(func() error {
		if _, err := s.Folder.Maintain(zone, p, now); err != nil {
			return err
		}
		keys, err := s.Load(zone)
		if err != nil {
			return err
		}
		n, err := p.Roll(keys, role, now)
		if err != nil {
			return err
		}
		if made, err = s.Generate(zone, n.Algorithm, n.Bits, n.Role, n.Timing); err != nil {
			return err
		}
		_, err = s.Folder.Maintain(zone, p, now) // so that the predecessor knows
		return err
	})
	return made, err
}

// Seen notes which keys the parent's DS RRset names, as dnssec.Seen does, and
// gives the keys whose times that changed.
func (s Store) Seen(zone []byte, ds [][]byte, now time.Time) (changed []*dnssec.Key, err error) {
	err = s.locked(func() error {
		keys, err := s.Load(zone)
		if err != nil {
			return err
		}
		changed = dnssec.Seen(keys, ds, now)
		return s.save(changed)
	})
	return changed, err
}

// Gone notes that the parent has no DS for the zone any more, as dnssec.Gone does,
// and gives the keys whose times that changed.
func (s Store) Gone(zone []byte, p dnssec.Policy, now time.Time) (changed []*dnssec.Key, err error) {
	err = s.locked(func() error {
		if p.Insecure { // so that the keys know that they are to leave
			if _, err := s.Folder.Maintain(zone, p, now); err != nil {
				return err
			}
		}
		keys, err := s.Load(zone)
		if err != nil {
			return err
		}
		changed = dnssec.Gone(keys, now)
		return s.save(changed)
	})
	return changed, err
}

func (s Store) save(keys []*dnssec.Key) error {
	for _, k := range keys {
		if err := s.Save(k); err != nil {
			return err
		}
	}
	return nil
}

// Retire ends a key's time. Where it has no successor the policy makes one; it
// signs on until that is known everywhere.
func (s Store) Retire(zone []byte, p dnssec.Policy, tag uint16, now time.Time) (retired *dnssec.Key, err error) {
	now = now.UTC().Truncate(time.Second)
	err = s.locked(func() error {
		k, err := s.Find(zone, tag)
		if err != nil {
			return err
		}
		t := k.Timing
		switch {
		case !t.Delete.IsZero() && !t.Delete.After(now):
			return fmt.Errorf("key %s has gone at %s already", k, t.Delete.Format(time.DateTime))
		case !t.Inactive.IsZero() && !t.Inactive.After(now):
			return fmt.Errorf("key %s is retired since %s already", k, t.Inactive.Format(time.DateTime))
		}
		if t.Inactive = now; t.Publish.IsZero() || t.Publish.After(now) {
			t.Delete = now // nobody has seen it
		}
		retired = k.WithTiming(t)
		if err := s.Save(retired); err != nil {
			return err
		}
		_, err = s.Folder.Maintain(zone, p, now)
		return err
	})
	return retired, err
}

// Find gives the zone's key of a tag.
func (s Store) Find(zone []byte, tag uint16) (*dnssec.Key, error) {
	keys, err := s.Load(zone)
	if err != nil {
		return nil, err
	}
	var tags []string
	for _, k := range keys {
		if k.Tag() == tag {
			return k, nil
		}
		tags = append(tags, fmt.Sprint(k.Tag()))
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("%s has no keys in %s", dnsname.Format(zone), s.Folder)
	}
	return nil, fmt.Errorf("%s has no key %d; it has %s", dnsname.Format(zone), tag, strings.Join(tags, ", "))
}

// Import takes keys over from BIND's files: of a name with or without ending, or
// all of the zone's in a directory but those that have left it. None is taken that is
// not the zone's, and all are read before one is. left are the files that were left out.
func (s Store) Import(zone []byte, paths []string, now time.Time) (taken []*dnssec.Key, left []string, err error) {
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() {
			files = append(files, p)
			continue
		}
		all, err := dnssec.Folder(p).Files(zone)
		if err != nil {
			return nil, nil, err
		}
		before := len(files)
		for _, f := range all {
			if dnssec.HasLeft(f, now) {
				left = append(left, f)
			} else {
				files = append(files, f)
			}
		}
		if len(files) == before {
			return nil, nil, fmt.Errorf("%s: there is no key of %s in it%s", p, dnsname.Format(zone), map[bool]string{true: " that has not left the zone"}[len(all) > 0])
		}
	}
	var errs []error
	for _, path := range files {
		k, err := dnssec.ReadKey(path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case dnssec.Compare(k.Zone, zone) != 0:
			errs = append(errs, fmt.Errorf("%s: is a key of %s, not of %s", path, dnsname.Format(k.Zone), dnsname.Format(zone)))
		case !k.CanSign():
			errs = append(errs, fmt.Errorf("%s: there is no private key beside it", path))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	err = s.locked(func() error {
		for _, path := range files {
			k, err := s.Folder.Import(path)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(taken, func(o *dnssec.Key) bool { return o.BaseName() == k.BaseName() }) {
				taken = append(taken, k)
			}
		}
		return nil
	})
	return taken, left, err
}
