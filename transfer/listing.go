package transfer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/durable"
	"gslb/zones"
)

// listing is what a catalog says of a member.
type listing struct {
	apex  string // wire form, lower case
	label string // that stands for it in the catalog
	coo   string // the catalog that it goes over to, as apex: RFC 9432, section 4.3.1; "": none
}

// listed reads what a catalog lists. A catalog that is broken lists nothing that
// counts: what was known before stays (RFC 9432, section 5.1).
func listed(catalog *zones.Zone) (all []listing, err error) {
	apex := lowered(catalog.Apex())
	// under tells whether a name is that of labels below the apex, where "" is any one, which it gives.
	under := func(owner []byte, labels ...string) (label string, ok bool) {
		rest := lowered(owner)
		for _, l := range labels {
			n := int(rest[0])
			if n == 0 || l != "" && string(rest[1:1+n]) != l {
				return "", false
			}
			if l == "" {
				label = string(rest[1 : 1+n])
			}
			rest = rest[1+n:]
		}
		return label, string(rest) == string(apex)
	}
	version := ""
	there := make(map[string]bool)
	coo := make(map[string]string)
	for owner, set := range catalog.Walk() {
		if _, ok := under(owner, "version"); ok && set.Type == dns.TypeTXT {
			if set.Count != 1 {
				return nil, errors.New("it says its version more than once")
			}
			for r := range set.Of(owner) {
				version = string(r.Data[1:])
			}
		}
		if set.Type != dns.TypePTR {
			continue
		}
		if label, ok := under(owner, "coo", "", "zones"); ok && set.Count == 1 {
			for r := range set.Of(owner) {
				coo[label] = string(lowered(r.Data))
			}
		}
		label, ok := under(owner, "", "zones")
		if !ok {
			continue
		}
		if set.Count != 1 { // section 4.1
			return nil, fmt.Errorf("it names %d zones at %s", set.Count, format(owner))
		}
		for r := range set.Of(owner) {
			name := string(lowered(r.Data))
			if there[name] {
				return nil, fmt.Errorf("it lists %s twice", format([]byte(name)))
			}
			there[name] = true
			all = append(all, listing{apex: name, label: label})
		}
	}
	if version != "2" {
		return nil, fmt.Errorf("it has version %q: only 2 is understood", version)
	}
	for i := range all {
		all[i].coo = coo[all[i].label]
	}
	return all, nil
}

// takenUp are the members of a catalog that are its own here: the label of each by
// its apex. They are on disk, so that after a restart a broken catalog still has its
// members, and it is known whose a zone is that several list.
//
//	members   a line for each: label in hexadecimal, a space, apex in presentation form
type takenUp map[string]string

func readTakenUp(path string) (takenUp, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return takenUp{}, nil
	}
	all := make(takenUp)
	for line := range strings.Lines(string(text)) {
		label, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		l, fault := hex.DecodeString(label)
		apex, fault2 := dnsname.Parse(name)
		if fault = errors.Join(fault, fault2); fault != nil {
			return all, fmt.Errorf("%s: %q: %w", path, line, fault)
		}
		all[string(lowered(apex))] = string(l)
	}
	return all, err
}

func (all takenUp) write(path string) error {
	var lines []string
	for apex, label := range all {
		lines = append(lines, hex.EncodeToString([]byte(label))+" "+format([]byte(apex))+"\n")
	}
	slices.Sort(lines)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.WriteFile(path, 0o600, []byte(strings.Join(lines, "")))
}

// had are the members that a catalog had here before.
func (z *zone) had() takenUp {
	if z.members == nil {
		var err error
		if z.members, err = readTakenUp(z.m.pathOf(z.name, "members")); err != nil {
			z.m.log.Error("the members that a catalog had before are not known", "catalog", z.name, "error", err)
		}
	}
	return z.members
}

// claim is that a catalog lists a member.
type claim struct {
	catalog *zone
	listing
}

// claims gives what the catalogs that are consumed list, by member, in the order of
// the catalogs' names.
func (p *Prepared) claims() (all map[string][]claim, catalogs []*zone) {
	for z, set := range p.sets {
		if set.Catalog == Consumer {
			catalogs = append(catalogs, z)
		}
	}
	slices.SortFunc(catalogs, func(a, b *zone) int { return bytes.Compare(a.apex, b.apex) })
	all = make(map[string][]claim)
	for _, z := range catalogs {
		list, err := []listing(nil), errors.New("there is no copy of it yet")
		if raw := z.raw.Load(); raw != nil {
			list, err = listed(raw)
		}
		if err != nil {
			for apex, label := range z.had() {
				list = append(list, listing{apex: apex, label: label})
			}
			if len(list) > 0 {
				p.complain(z, fmt.Sprintf("the catalog %s is broken: %v: the members that it had before are served", z.name, err))
			} else if z.raw.Load() != nil {
				p.complain(z, fmt.Sprintf("the catalog %s is broken: %v", z.name, err))
			}
		}
		for _, l := range list {
			all[l.apex] = append(all[l.apex], claim{z, l})
		}
	}
	return all, catalogs
}

// owner tells whose a member is that some catalogs list, and whether it is to be
// begun anew (RFC 9432, sections 4.3.1, 5.2, 5.3 and 5.5):
//
//	one of them has it               its, unless its coo names another one that lists it
//	none of them has it              the first one's, with its coo
//	it came by coo, the same label   goes on as it was
//	another label, or by no coo      begun anew
func owner(list []claim, catalogs []*zone) (c claim, anew bool) {
	var before *zone // that has it
	var apex = list[0].apex
	c = list[0]
	for _, z := range catalogs {
		if _, ok := z.had()[apex]; !ok {
			continue
		}
		before = z
		if i := slices.IndexFunc(list, func(c claim) bool { return c.catalog == z }); i >= 0 {
			c = list[i]
			break
		}
	}
	goesOn := before == nil || before == c.catalog
	if c.coo != "" {
		if i := slices.IndexFunc(list, func(o claim) bool { return string(o.catalog.apex) == c.coo }); i >= 0 {
			c = list[i]
		}
	}
	return c, before != nil && (!goesOn || before.had()[apex] != c.label)
}

// complain notes what is wrong with what a catalog lists: the first of it in full.
func (p *Prepared) complain(z *zone, text string) {
	if p.complaints == nil {
		p.complaints = make(map[*zone][]string)
	}
	p.complaints[z] = append(p.complaints[z], text)
}

// members gives the zones that the catalogs list that are consumed, and takes them
// up as zones that move.
func (p *Prepared) members() (all []*zones.Zone, err error) {
	old := p.m.state.Load()
	claims, catalogs := p.claims()
	p.enrolled = make(map[*zone]takenUp)
	for _, z := range catalogs {
		p.enrolled[z] = make(takenUp)
	}
	for apex, list := range claims {
		c, anew := owner(list, catalogs)
		for _, other := range list {
			if other.catalog != c.catalog && other.coo != string(c.catalog.apex) {
				p.complain(other.catalog, fmt.Sprintf("the catalog %s lists the zone %s, which is a member of the catalog %s", other.catalog.name, format([]byte(apex)), c.catalog.name))
			}
		}
		with, err := p.member(old, c, anew)
		if err != nil {
			p.complain(c.catalog, fmt.Sprintf("the catalog %s lists the zone %s, which is not served: %v", c.catalog.name, format([]byte(apex)), err))
			continue
		}
		p.enrolled[c.catalog][apex] = c.label
		all = append(all, with)
	}
	return all, nil
}

// member takes up a zone that a catalog lists.
func (p *Prepared) member(old *state, c claim, anew bool) (*zones.Zone, error) {
	apex := []byte(c.apex)
	if p.state.zones[c.apex] != nil || p.read(apex) != nil {
		return nil, errors.New("it is configured here")
	}
	of := p.sets[c.catalog]
	m := of.Member
	cfg := ZoneConfig{Name: strings.ToLower(format(apex)), Zone: Zone{Primaries: m.Primaries, TransferTo: m.TransferTo, Notify: m.Notify, NotifyFrom: m.NotifyFrom, ForwardUpdates: m.ForwardUpdates, MaxRecords: of.MaxRecords}}
	if len(cfg.Primaries) == 0 {
		cfg.Primaries = of.Primaries
	}
	if err := p.add(old, cfg, anew); err != nil {
		return nil, err
	}
	z := p.state.zones[c.apex]
	set := p.sets[z]
	set.from = c.catalog
	return p.secondary(z, set)
}

// enroll notes whose the members are that are served now, and what is wrong with
// the catalogs. m.edit is held.
func (p *Prepared) enroll() {
	for z, now := range p.enrolled {
		if !maps.Equal(z.had(), now) {
			if err := now.write(z.m.pathOf(z.name, "members")); err != nil {
				z.m.log.Error("the members of a catalog cannot be noted", "catalog", z.name, "error", err)
			}
			z.members = now
		}
		said := ""
		if list := p.complaints[z]; len(list) > 0 {
			slices.Sort(list)
			if said = list[0]; len(list) > 1 {
				said = fmt.Sprintf("%s; and %d more", said, len(list)-1)
			}
		}
		if was := z.broken.Swap(&said); said != "" && (was == nil || *was != said) {
			z.m.log.Error("a catalog is not served as it is", "catalog", z.name, "error", said)
		}
	}
}

// catalogChanged takes up what a catalog that was transferred lists now, and lets
// go of what it does not list any more.
func (m *Manager) catalogChanged(z *zone) {
	if z.set.Load().Catalog != Consumer {
		return
	}
	m.edit.Lock()
	defer m.edit.Unlock()
	old := m.state.Load()
	if old.zones[string(z.apex)] != z {
		return
	}
	p := &Prepared{m: m, state: &state{keys: old.keys, zones: make(map[string]*zone)}, sets: make(map[*zone]*settings), files: make(map[*zone]taken)}
	p.read = func(apex []byte) *zones.Zone {
		if old.zones[string(apex)] != nil {
			return nil
		}
		return m.host.DB().Zone(apex)
	}
	for apex, o := range old.zones {
		if set := o.set.Load(); set.from == nil {
			p.state.zones[apex], p.sets[o] = o, set
		}
	}
	put, err := p.members()
	if err != nil {
		m.log.Error("the members of a catalog are not taken up", "catalog", z.name, "error", err)
		return
	}
	same := func(apex string) bool { return old.zones[apex] != nil && old.zones[apex] == p.state.zones[apex] }
	put = slices.DeleteFunc(put, func(n *zones.Zone) bool { return same(string(lowered(n.Apex()))) })
	var drop []string
	for apex, o := range old.zones {
		if p.state.zones[apex] == nil {
			drop = append(drop, o.name)
		}
	}
	if len(put)+len(drop) > 0 {
		if err := m.host.Put(put, drop, nil); err != nil {
			m.log.Error("the members of a catalog are not taken up", "catalog", z.name, "error", err)
			for _, o := range p.fresh {
				o.journal.close()
			}
			return
		}
	}
	for _, o := range drop {
		m.log.Info("a zone has left its catalog, and is not served any more", "zone", o, "catalog", z.name)
	}
	for _, n := range put {
		if old.zones[string(lowered(n.Apex()))] != nil {
			m.log.Info("a zone is another one in its catalog: its copy is gone, and it is transferred anew", "zone", n.Name, "catalog", z.name)
		} else {
			m.log.Info("a zone is listed by a catalog", "zone", n.Name, "catalog", z.name)
		}
	}
	m.enforce(p)
}

// forget removes what there is on disk of a zone that its catalog does not list any
// more (RFC 9432, section 5.3: its state is gone, should it come back), and what a
// catalog had that is none any more.
func (z *zone) forget() {
	set := z.set.Load()
	if set.from != nil {
		z.clean()
	}
	if set.Catalog == Consumer {
		os.Remove(z.m.pathOf(z.name, "members"))
	}
}

// clean removes the files of a zone. Where they cannot be, its copy is only older.
func (z *zone) clean() {
	os.Remove(z.m.pathOf(z.name, "journal"))
	os.Remove(z.m.pathOf(z.name, "journal") + ".damaged")
	os.Remove(z.past.path)
}
