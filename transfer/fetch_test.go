package transfer

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/zones"
)

// still is a Host of one DB that does not change.
type still struct{ db *zones.DB }

func (s still) DB() *zones.DB { return s.db }
func (s still) Put(_ []*zones.Zone, _ []string, durable func() error) error {
	return durable()
}
func (s still) Default(*zones.Steered) []int32 { return nil }

func testManager(t testing.TB, z *zones.Zone) (*Manager, *zone) {
	t.Helper()
	db, err := zones.Build([]*zones.Zone{z}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	m := &Manager{host: still{db}, now: time.Now}
	zn := &zone{m: m, name: "example.", apex: []byte("\x07example\x00")}
	zn.set.Store(&settings{})
	return m, zn
}

// sent gives the messages of a transfer of v to who has a serial number.
func sent(t testing.TB, zn *zone, v *version, qtype uint16, has *zones.Zone) (all [][]byte) {
	t.Helper()
	m := &message{id: 1, questions: []question{{zn.apex, qtype, dns.ClassINET}}}
	if has != nil {
		m.sections[authority] = []record{{soaOf(has), dns.ClassINET}}
	}
	r := &request{message: m, ctx: t.Context(), stream: true, session: session{now: time.Now}, from: netip.MustParseAddrPort("192.0.2.1:53")}
	r.send = func(msg []byte) error { all = append(all, slices.Clone(msg)); return nil }
	o := &outgoing{request: r}
	var err error
	if has != nil {
		err = o.changes(soaOf(v.zone), v.since(has.Serial))
	} else {
		err = o.whole(soaOf(v.zone), &view{version: v})
	}
	if err == nil {
		err = o.flush()
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func received(zn *zone, has *zones.Zone, messages [][]byte) (*zones.Zone, []*change, error) {
	in := &incoming{zone: zn, has: has}
	for i, b := range messages {
		m, err := parse(b)
		if err != nil {
			return nil, nil, err
		}
		last, err := in.message(m)
		if err != nil {
			return nil, nil, err
		}
		if last != (i == len(messages)-1) {
			return nil, nil, errForm
		}
	}
	return in.result()
}

// TestTransferBack: what is sent comes back as the same zone, whole or by its changes.
func TestTransferBack(t *testing.T) {
	all, changes := versions(t, 5)
	_, zn := testManager(t, all[5])
	v := &version{zone: all[5], changes: changes}
	z, _, err := received(zn, nil, sent(t, zn, v, dns.TypeAXFR, nil))
	if err != nil || !slices.Equal(zoneLines(z), zoneLines(all[5])) {
		t.Errorf("AXFR: %v", err)
	}
	for i, has := range all[:5] {
		z, got, err := received(zn, has, sent(t, zn, v, dns.TypeIXFR, has))
		if err != nil || !slices.Equal(zoneLines(z), zoneLines(all[5])) || len(got) != 5-i {
			t.Errorf("IXFR from version %d: %v, %d changes", i, err, len(got))
		}
	}
	// One that does not fit what is here is refused.
	other := testingZone(t, testZone+"more IN A 192.0.2.1\n")
	if _, _, err := received(zn, other, sent(t, zn, v, dns.TypeIXFR, all[0])); err != nil {
		t.Errorf("a record more: %v", err)
	}
	less := testingZone(t, testZone[:len(testZone)-len("txt IN TXT \"a\"\n")])
	changes[0].removed = append(changes[0].removed, zones.RR{Owner: []byte("\x03txt\x07example\x00"), Type: dns.TypeTXT, TTL: 300, Data: []byte("\x01a")})
	if _, _, err := received(zn, less, sent(t, zn, v, dns.TypeIXFR, all[0])); err == nil {
		t.Error("a change that removes what is not there is made")
	}
}

// FuzzIXFR: whatever a primary sends, it is taken or refused.
func FuzzIXFR(f *testing.F) {
	all, changes := versions(f, 3)
	_, zn := testManager(f, all[3])
	v := &version{zone: all[3], changes: changes}
	for _, b := range sent(f, zn, v, dns.TypeAXFR, nil) {
		f.Add(b, false)
	}
	for _, b := range sent(f, zn, v, dns.TypeIXFR, all[0]) {
		f.Add(b, true)
	}
	f.Fuzz(func(t *testing.T, msg []byte, incremental bool) {
		m, err := parse(msg)
		if err != nil {
			return
		}
		in := &incoming{zone: zn}
		if incremental {
			in.has = all[0]
		}
		if last, err := in.message(m); err == nil && last {
			_, _, _ = in.result()
		}
	})
}

// FuzzUpdate: whatever an update says, it is made or refused, and refused it
// leaves no trace.
func FuzzUpdate(f *testing.F) {
	z := testingZone(f, testZone)
	_, zn := testManager(f, z)
	zn.set.Store(&settings{permits: []permit{{rule: rule{network: netip.MustParsePrefix("0.0.0.0/0")}}}})
	for _, build := range []func(m *dns.Msg, rr []dns.RR){
		(*dns.Msg).Insert, (*dns.Msg).Remove, (*dns.Msg).RemoveRRset, (*dns.Msg).RemoveName,
		(*dns.Msg).RRsetUsed, (*dns.Msg).RRsetNotUsed, (*dns.Msg).NameUsed, (*dns.Msg).NameNotUsed, (*dns.Msg).Used,
	} {
		m := new(dns.Msg).SetUpdate("example.")
		for _, text := range []string{"www.example. 300 IN A 192.0.2.2", "alias.example. 60 IN CNAME x.example."} {
			rr, err := dns.NewRR(text)
			if err != nil {
				f.Fatal(err)
			}
			build(m, []dns.RR{rr})
		}
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	before := zoneLines(z)
	f.Fuzz(func(t *testing.T, msg []byte) {
		m, err := parse(msg)
		if err != nil {
			return
		}
		e := newEdit(z)
		e.mark()
		u := &updating{zone: zn, prerequisites: m.sections[0], changes: m.sections[1], from: netip.MustParseAddr("192.0.2.1")}
		if u.make(e) != nil {
			e.rollback()
			if len(e.touched) != 0 {
				t.Fatal("a refused update leaves traces")
			}
			return
		}
		same, err := e.build("example.", "fuzz", new(zones.Patcher))
		if err == nil && !u.changed && !slices.Equal(zoneLines(same), before) {
			t.Fatal("the zone is another, and it is not said")
		}
		if soa := e.set(zn.apex, typeSOA)[0]; serialOf(soa.Data) == z.Serial {
			soa.Data = withSerial(soa.Data, follows(z.Serial))
			e.put(zn.apex, typeSOA, []zones.RR{soa})
		}
		next, err := e.build("example.", "fuzz", new(zones.Patcher))
		if err != nil {
			return // such as a second DNAME below another: refused as a whole
		}
		// What the edit says has changed leads from one to the other.
		again := newEdit(z)
		if c := e.change(); again.apply(c) != nil {
			t.Fatal("the change cannot be made again")
		}
		// Names that are new may be written in two ways by one update.
		if made, err := again.build("example.", "fuzz", new(zones.Patcher)); err != nil || !slices.EqualFunc(zoneLines(made), zoneLines(next), strings.EqualFold) {
			t.Fatalf("the change does not lead to the same zone: %v\n%v\n%v", err, zoneLines(made), zoneLines(next))
		}
	})
}
