package transfer

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"slices"

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
