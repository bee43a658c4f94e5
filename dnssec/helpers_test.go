package dnssec

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/test/bed"
)

var testTime = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func mustName(t testing.TB, s string) []byte {
	t.Helper()
	name, err := dnsname.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return dnsname.AppendLower(nil, name)
}

func mustKey(t testing.TB, zone string, alg Algorithm, role Role) *Key {
	t.Helper()
	k, err := Generate(mustName(t, zone), alg, 0, role, Timing{Created: testTime, Publish: testTime, Activate: testTime})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tool gives a program's path, or skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		bed.Missing(t, "%s is not installed", name)
	}
	return path
}

// rdataOf gives a record's rdata in wire form, without compression.
func rdataOf(t testing.TB, rr dns.RR) []byte {
	t.Helper()
	buf := make([]byte, 70000)
	n, err := dns.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	owner := dnsname.Len(buf)
	return slices.Clone(buf[owner+10 : n])
}

// recordOf turns wire form into a record of the library's, for its own checks
// and for printing.
func recordOf(t testing.TB, owner []byte, rrtype, class uint16, ttl uint32, rdata []byte) dns.RR {
	t.Helper()
	rr, err := dns.NewRR(fmt.Sprintf("%s %d %s %s \\# %d %s", dnsname.Format(owner), ttl, dns.Class(class), dns.Type(rrtype), len(rdata), hex.EncodeToString(rdata)))
	if err != nil {
		t.Fatalf("%s %s: %v", dnsname.Format(owner), dns.Type(rrtype), err)
	}
	return rr
}

// sampleZone is a zone for tests, in canonical order.
type sampleZone struct {
	apex  []byte
	names []Name
}

// readZone reads a master file and works out the names' standing.
func readZone(t testing.TB, apex, text string) *sampleZone {
	t.Helper()
	z := &sampleZone{apex: mustName(t, apex)}
	at := make(map[string]int)
	p := dns.NewZoneParser(strings.NewReader(text), apex, "")
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		owner := mustName(t, rr.Header().Name)
		i, known := at[string(owner)]
		if !known {
			i = len(z.names)
			at[string(owner)] = i
			z.names = append(z.names, Name{Owner: owner})
		}
		n := &z.names[i]
		s := slices.IndexFunc(n.Sets, func(s RRset) bool { return s.Type == rr.Header().Rrtype })
		if s < 0 {
			s = len(n.Sets)
			n.Sets = append(n.Sets, RRset{Type: rr.Header().Rrtype, TTL: rr.Header().Ttl})
		}
		n.Sets[s].Data = append(n.Sets[s].Data, rdataOf(t, rr))
	}
	if err := p.Err(); err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(z.names, func(a, b Name) int { return Compare(a.Owner, b.Owner) })
	var above []byte // the last cut or DNAME
	for i := range z.names {
		n := &z.names[i]
		switch {
		case above != nil && within(n.Owner, above):
			n.Standing = Below
		case hasType(n, dns.TypeNS) && !bytes.Equal(n.Owner, z.apex):
			n.Standing, above = Cut, n.Owner
		case hasType(n, dns.TypeDNAME):
			above = n.Owner
		}
	}
	return z
}

func (z *sampleZone) walk(visit func(*Name) error) error {
	for i := range z.names {
		if err := visit(&z.names[i]); err != nil {
			return err
		}
	}
	return nil
}

// signedZone is what came of signing.
type signedZone struct {
	records []dns.RR // with those of the zone itself
	sets    []Signed // copies
	result  Result
}

func signSample(t testing.TB, z *sampleZone, s Signing, now time.Time) *signedZone {
	t.Helper()
	out := &signedZone{}
	s.Apex = z.apex
	var err error
	out.result, err = SignZone(s, now, z.walk, func(set *Signed) error {
		made := *set
		made.Owner = slices.Clone(set.Owner)
		made.Data, made.RRSIG = cloneAll(set.Data), cloneAll(set.RRSIG)
		out.sets = append(out.sets, made)
		for _, data := range made.Data {
			out.records = append(out.records, recordOf(t, made.Owner, made.Type, dns.ClassINET, made.TTL, data))
		}
		for _, data := range made.RRSIG {
			out.records = append(out.records, recordOf(t, made.Owner, dns.TypeRRSIG, dns.ClassINET, made.TTL, data))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range z.names {
		for _, set := range n.Sets {
			for _, data := range set.Data {
				out.records = append(out.records, recordOf(t, n.Owner, set.Type, dns.ClassINET, set.TTL, data))
			}
		}
	}
	return out
}

func cloneAll(all [][]byte) [][]byte {
	var out [][]byte
	for _, b := range all {
		out = append(out, slices.Clone(b))
	}
	return out
}

// master writes the signed zone as a master file, SOA first.
func (z *signedZone) master() string {
	var first, rest strings.Builder
	for _, rr := range z.records {
		if rr.Header().Rrtype == dns.TypeSOA {
			fmt.Fprintln(&first, rr)
		} else {
			fmt.Fprintln(&rest, rr)
		}
	}
	return first.String() + rest.String()
}

// use is a plan in which all keys do all that their role allows.
func use(keys ...*Key) Plan {
	p := Plan{Publish: keys}
	for _, k := range keys {
		if k.Role.entry() {
			p.SignKeys, p.CDS = append(p.SignKeys, k), append(p.CDS, k)
		}
		if k.Role.zone() {
			p.SignZone = append(p.SignZone, k)
		}
	}
	return p
}
