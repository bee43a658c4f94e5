package transfer

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/zones"
)

// catalogTTL is the TTL of records in a catalog, which nobody is to ask for (RFC
// 9432, section 4.1).
const catalogTTL = 0

// Times of a catalog's SOA record, in seconds. NOTIFY tells of changes at once.
const (
	catalogRefresh = 3600
	catalogRetry   = 600
	catalogExpire  = 2419200
	catalogMinimum = 0
)

// member is a zone that a catalog lists.
type member struct {
	apex  []byte // wire form, lower case
	group string
}

// label is the label that stands for a member in a catalog (RFC 9432, section
// 4.1): it stays as long as the member does.
func (m member) label() string {
	sum := sha1.Sum(m.apex)
	return hex.EncodeToString(sum[:])
}

// produce makes the catalog of the zones that are members of it (RFC 9432). Its
// serial number follows the one before when it lists other members.
func (p *Prepared) produce(z *zone) (*zones.Zone, error) {
	var all []member
	for o, set := range p.sets {
		if set.MemberOf == z.name {
			all = append(all, member{o.apex, set.Group})
		}
	}
	slices.SortFunc(all, func(a, b member) int { return bytes.Compare(a.apex, b.apex) })
	old := z.raw.Load()
	serial := uint32(p.m.now().Unix())
	if old != nil {
		same, err := catalogZone(z, old.Serial, all)
		if err != nil {
			return nil, err
		}
		if removed, added := old.Diff(same); len(removed)+len(added) == 0 {
			return old, nil
		}
		if !newer(serial, old.Serial) {
			serial = follows(old.Serial)
		}
	}
	next, err := catalogZone(z, serial, all)
	if err == nil {
		p.files[z] = taken{file: next, catalog: true}
	}
	return next, err
}

// catalogZone makes a catalog of members.
func catalogZone(z *zone, serial uint32, all []member) (*zones.Zone, error) {
	invalid := []byte("\x07invalid\x00")
	soa := slices.Concat(invalid, invalid)
	for _, n := range []uint32{serial, catalogRefresh, catalogRetry, catalogExpire, catalogMinimum} {
		soa = binary.BigEndian.AppendUint32(soa, n)
	}
	under := func(labels ...string) []byte {
		var b []byte
		for _, l := range labels {
			b = append(append(b, byte(len(l))), l...)
		}
		return append(b, z.apex...)
	}
	records := []zones.RR{
		{Owner: z.apex, Type: typeSOA, TTL: catalogTTL, Data: soa},
		{Owner: z.apex, Type: dns.TypeNS, TTL: catalogTTL, Data: invalid}, // section 4.1
		{Owner: under("version"), Type: dns.TypeTXT, TTL: catalogTTL, Data: []byte("\x012")},
	}
	for _, m := range all {
		records = append(records, zones.RR{Owner: under(m.label(), "zones"), Type: dns.TypePTR, TTL: catalogTTL, Data: m.apex})
		if m.group != "" {
			records = append(records, zones.RR{Owner: under("group", m.label(), "zones"), Type: dns.TypeTXT, TTL: catalogTTL,
				Data: append([]byte{byte(len(m.group))}, m.group...)})
		}
	}
	return zones.Make(z.name, "", slices.Values(records))
}

// listed reads what a catalog lists. A catalog that is broken lists nothing that
// counts: what was known before stays (RFC 9432, section 5.1).
func listed(catalog *zones.Zone) (all [][]byte, err error) {
	apex := lowered(catalog.Apex())
	under := func(owner []byte, labels ...string) (rest []byte, ok bool) {
		rest = lowered(owner)
		for _, l := range labels {
			if l != "" && !bytes.HasPrefix(rest, append([]byte{byte(len(l))}, l...)) || rest[0] == 0 {
				return nil, false
			}
			rest = rest[1+int(rest[0]):]
		}
		return rest, string(rest) == string(apex)
	}
	version := ""
	there := make(map[string]bool)
	for owner, set := range catalog.Walk() {
		if _, ok := under(owner, "version"); ok && set.Type == dns.TypeTXT {
			if set.Count != 1 {
				return nil, errors.New("the catalog says its version more than once")
			}
			for r := range set.Of(owner) {
				version = string(r.Data[1:])
			}
		}
		if _, ok := under(owner, "", "zones"); !ok || set.Type != dns.TypePTR {
			continue
		}
		if set.Count != 1 { // section 4.1
			return nil, fmt.Errorf("the catalog names %d zones at %s", set.Count, format(owner))
		}
		for r := range set.Of(owner) {
			name := lowered(r.Data)
			if there[string(name)] {
				return nil, fmt.Errorf("the catalog lists %s twice", format(name))
			}
			there[string(name)] = true
			all = append(all, name)
		}
	}
	if version != "2" {
		return nil, fmt.Errorf("the catalog has version %q: only 2 is understood", version)
	}
	return all, nil
}

// members gives the zones that the catalogs list that are consumed, and takes them
// up as zones that move.
func (p *Prepared) members() (all []*zones.Zone, err error) {
	old := p.m.state.Load()
	for z, set := range p.sets {
		if set.Catalog != Consumer {
			continue
		}
		raw := z.raw.Load()
		if raw == nil {
			continue
		}
		names, err := listed(raw)
		if err != nil {
			p.m.log.Error("a catalog is broken: the members that were known before are served", "catalog", z.name, "error", err)
			names = names[:0]
			for apex, o := range old.zones {
				if s := o.set.Load(); s != nil && s.from == z {
					names = append(names, []byte(apex))
				}
			}
		}
		for _, apex := range names {
			with, err := p.member(old, z, set, apex)
			if err != nil {
				p.m.log.Warn("a member of a catalog is not served", "catalog", z.name, "zone", format(apex), "error", err)
				continue
			}
			all = append(all, with)
		}
	}
	return all, nil
}

// member takes up a zone that a catalog lists.
func (p *Prepared) member(old *state, catalog *zone, of *settings, apex []byte) (*zones.Zone, error) {
	if p.state.zones[string(apex)] != nil || p.read(apex) != nil {
		return nil, errors.New("the zone is configured here, or listed by another catalog")
	}
	m := of.Member
	cfg := ZoneConfig{Name: strings.ToLower(format(apex)), Zone: Zone{Primaries: m.Primaries, TransferTo: m.TransferTo, Notify: m.Notify, NotifyFrom: m.NotifyFrom}}
	if len(cfg.Primaries) == 0 {
		cfg.Primaries = of.Primaries
	}
	if err := p.add(old, cfg); err != nil {
		return nil, err
	}
	z := p.state.zones[string(apex)]
	set := p.sets[z]
	set.from = catalog
	return p.secondary(z, set)
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
	put = slices.DeleteFunc(put, func(n *zones.Zone) bool { return old.zones[string(lowered(n.Apex()))] != nil })
	var drop []string
	for apex, o := range old.zones {
		if p.state.zones[apex] == nil {
			drop = append(drop, o.name)
		}
	}
	if len(put)+len(drop) == 0 {
		return
	}
	if err := m.host.Put(put, drop, nil); err != nil {
		m.log.Error("the members of a catalog are not taken up", "catalog", z.name, "error", err)
		for _, o := range p.fresh {
			o.journal.close()
		}
		return
	}
	for _, o := range drop {
		m.log.Info("a zone has left its catalog, and is not served any more", "zone", o, "catalog", z.name)
	}
	for _, n := range put {
		m.log.Info("a zone is listed by a catalog", "zone", n.Name, "catalog", z.name)
	}
	m.enforce(p)
}

// forget removes the journal of a zone that its catalog does not list any more
// (RFC 9432, section 5.4: its state is gone, should it come back).
func (z *zone) forget() {
	if z.set.Load().from != nil {
		os.Remove(z.journal.path) // where it cannot be, the copy is only older
		os.Remove(z.past.path)
	}
}
