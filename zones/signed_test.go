package zones

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
)

// asked gives the message that answers a question in wire form, from what is
// ready, and through the encoder; ready is nil where nothing is.
func asked(t testing.TB, db *DB, name string, qtype uint16, signed bool) (ready, encoded *dns.Msg, r *Result) {
	t.Helper()
	return askedAt(t, db, name, qtype, signed, 0)
}

// askedAt is asked for a client that is sent to a site; change what was looked up before it is written.
func askedAt(t testing.TB, db *DB, name string, qtype uint16, signed bool, site int, change ...func(*Result)) (ready, encoded *dns.Msg, r *Result) {
	t.Helper()
	wire, err := dnsname.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	r = new(Result)
	db.Lookup(named(t, wire), qtype, signed, r)
	for _, f := range change {
		f(r)
	}
	question := append(make([]byte, headerLen, 1<<16), wire...)
	question = binary.BigEndian.AppendUint16(question, qtype)
	question = append(question, 0, dns.ClassINET)
	finish := func(msg []byte, c Counts) *dns.Msg {
		msg[2] = 0x80
		if r.Authoritative {
			msg[2] |= 4
		}
		if r.Outcome == NXDomain {
			msg[3] = dns.RcodeNameError
		}
		for i, n := range []int{1, c.Answer, c.Authority, c.Additional} {
			binary.BigEndian.PutUint16(msg[4+2*i:], uint16(n))
		}
		m := new(dns.Msg)
		if err := m.Unpack(msg); err != nil {
			t.Fatalf("%s %s: %v: %x", name, dns.Type(qtype), err, msg)
		}
		return m
	}
	use, outcome := &r.Wire, r.Outcome
	if r.Outcome == Tailored {
		use = new(Wire)
		*use, outcome = new(Preparer).Prepare(db, r.Steered, qtype, site, signed)
	}
	if use.Body != nil {
		msg, c := r.AppendTo(slices.Clone(question), use)
		if n := len(question) + r.Size(use); len(msg) > n {
			t.Errorf("%s %s: %d octets where %d were reckoned with", name, dns.Type(qtype), len(msg), n)
		}
		ready = finish(msg, c)
		if outcome == NXDomain {
			ready.Rcode = dns.RcodeNameError
		}
	}
	if r.Outcome == Tailored {
		db.Tailor(r, qtype, site)
		use = &r.Wire
	}
	if msg, c, ok := r.AppendChain(slices.Clone(question), 1<<16-1); ok && use.Body == nil {
		ready = finish(msg, c)
	}
	var e Encoder
	e.Begin(append(make([]byte, 0, 1<<17), question...), wire, 1<<16-1)
	c, whole := e.Sections(r)
	if !whole {
		t.Fatalf("%s %s: does not fit", name, dns.Type(qtype))
	}
	return ready, finish(e.Buf, c), r
}

// sectionsOf are a message's sections, each sorted, for comparison.
func sectionsOf(m *dns.Msg) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s aa %v\n", dns.RcodeToString[m.Rcode], m.Authoritative)
	for _, s := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		var lines []string
		for _, rr := range s {
			rr.Header().Rdlength = 0
			rr.Header().Name = strings.ToLower(rr.Header().Name)
			lines = append(lines, rr.String())
		}
		slices.Sort(lines)
		fmt.Fprintln(&b, strings.Join(lines, "\n"))
	}
	return b.String()
}

// withoutDNSSEC leaves out what DO adds.
func withoutDNSSEC(m *dns.Msg) *dns.Msg {
	m = m.Copy()
	for _, s := range []*[]dns.RR{&m.Answer, &m.Ns, &m.Extra} {
		*s = slices.DeleteFunc(*s, func(rr dns.RR) bool {
			switch rr.Header().Rrtype {
			case dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3:
				return true
			case dns.TypeDS:
				return s == &m.Ns
			}
			return false
		})
	}
	return m
}

// questions are names that are in a zone and near those, and types.
func questions(z *Zone) (names []string, types []uint16) {
	seen := map[string]bool{}
	add := func(n string) {
		if _, err := dnsname.Parse(n); err == nil && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	for _, n := range z.nodes() {
		name := dnsname.Format(z.arena.owner(n))
		add(name)
		add("a." + name)
		add("zz.y." + name)
		add("*." + name)
		if rest, ok := strings.CutPrefix(name, "*"); ok {
			add("foo" + rest)
			add("foo.bar" + rest)
		}
		if name != z.Name {
			add("-" + name)
			label, rest, _ := strings.Cut(name, ".")
			add(label + "0." + rest)
		}
	}
	return names, []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT, dns.TypeNS, dns.TypeDS, dns.TypeCNAME, dns.TypeSOA, dns.TypeMX, dns.TypeNSEC, dns.TypeDNSKEY, dns.TypeANY, dns.TypeRRSIG, dns.TypeDNAME, dns.TypeSRV, dns.TypeNSEC3PARAM, dns.TypeHTTPS}
}

// keysOf are the DNSKEY records of a zone.
func keysOf(t testing.TB, db *DB, apex string) (keys []*dns.DNSKEY) {
	t.Helper()
	_, m, _ := asked(t, db, apex, dns.TypeDNSKEY, false)
	for _, rr := range m.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		t.Fatalf("%s has no keys", apex)
	}
	return keys
}

// checkSigned asks many questions of a signed zone: each answer is validated,
// says but for DNSSEC what it says without DO, and is the same from what is ready
// and through the encoder.
func checkSigned(t *testing.T, db *DB, z *Zone, now time.Time) {
	t.Helper()
	checkSignedAt(t, db, z, now, 0)
}

// checkSignedAt is checkSigned for a client that is sent to a site.
func checkSignedAt(t *testing.T, db *DB, z *Zone, now time.Time, site int) {
	t.Helper()
	v := &validator{apex: z.Name, keys: keysOf(t, db, z.Name), now: now}
	names, types := questions(z)
	outcomes := map[Outcome]int{}
	ready, asked := 0, 0
	rng := rand.New(rand.NewPCG(uint64(len(names)), uint64(site)))
	for _, name := range names {
		for _, qtype := range types {
			if rng.IntN(6) > 0 && (qtype != dns.TypeHTTPS || !strings.Contains(name, "hint")) {
				continue // there are other zones with the same
			}
			asked++
			fast, slow, r := askedAt(t, db, name, qtype, true, site)
			if outcomes[r.Outcome]++; r.Outcome == Failed {
				continue // there is nothing to validate in a SERVFAIL
			}
			if fast != nil {
				ready++
				if a, b := sectionsOf(fast), sectionsOf(slow); a != b {
					t.Errorf("%s %s: ready\n%s\nencoded\n%s", name, dns.Type(qtype), a, b)
				}
			}
			if err := v.check(slow); err != nil {
				t.Errorf("%s %s: %v\n%s", name, dns.Type(qtype), err, slow)
			}
			if _, plain, _ := askedAt(t, db, name, qtype, false, site); sectionsOf(withoutDNSSEC(slow)) != sectionsOf(withoutDNSSEC(plain)) {
				t.Errorf("%s %s: with DO\n%s\nwithout\n%s", name, dns.Type(qtype), slow, plain)
			}
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d questions, %d answers ready, outcomes %v", asked, ready, outcomes)
}

// Zones that come signed, by BIND's dnssec-signzone.
func TestZonesThatComeSigned(t *testing.T) {
	for _, kind := range []string{"nsec", "nsec3", "optout", "salt"} {
		t.Run(kind, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", kind+".zone"))
			if err != nil {
				t.Fatal(err)
			}
			z := read(t, "signed.example.", string(data))
			want := []string(nil)
			if kind == "salt" {
				want = []string{"5 iterations"}
			}
			if len(z.Warnings) != len(want) || len(want) > 0 && !strings.Contains(strings.Join(z.Warnings, "\n"), want[0]) {
				t.Errorf("warnings: %q", z.Warnings)
			}
			db, err := Build([]*Zone{z}, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkSigned(t, db, z, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC))
		})
	}
}

// The search in a chain finds what going through all of it finds.
func TestChainSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	label := func() string {
		return []string{"a", "b", "\\000", "\\001", "\\001\\000", "A-very-long-label-with-much-in-common", "a-very-long-label-with-much-in-common1", "a-very-long-label-with-much-in-common-0", "z", "*", "\\255", "h0001", "h0002"}[rng.IntN(13)]
	}
	name := func() string {
		n := "example."
		for range 1 + rng.IntN(4) {
			n = label() + "." + n
		}
		return n
	}
	for _, size := range []int{0, 1, 15, 16, 17, 300, 2000} {
		var b strings.Builder
		b.WriteString("@ 60 SOA n h 1 2 3 4 5\n@ 60 NS n\n@ 60 NSEC n.example. NS SOA\n")
		for range size {
			fmt.Fprintf(&b, "%s 60 NSEC n.example. A\n", name())
		}
		z := read(t, "example.", b.String())
		for range 2000 {
			wire, _ := dnsname.Parse(name())
			want := node(0)
			for _, n := range z.nodes() {
				own := z.arena.owner(n)
				if _, _, ok := z.arena.find(n, dns.TypeNSEC); ok && dnssec.Compare(own, wire) <= 0 && (want == 0 || dnssec.Compare(own, z.arena.owner(want)) > 0) {
					want = n
				}
			}
			if got := z.cover(named(t, wire).appendKey(nil, 0, 1)); got != want {
				t.Fatalf("%d: %s: found %s, want %s", size, dnsname.Format(wire), dnsname.Format(z.arena.owner(got)), dnsname.Format(z.arena.owner(want)))
			}
		}
	}
}

// A signed zone that is walked and made anew is the same one, and is no
// different from itself.
func TestSignedZoneMadeOfItsRecords(t *testing.T) {
	for _, kind := range []string{"nsec", "optout"} {
		data, err := os.ReadFile(filepath.Join("testdata", kind+".zone"))
		if err != nil {
			t.Fatal(err)
		}
		z := read(t, "signed.example.", string(data))
		again, err := Make(z.Name, "walk", func(yield func(RR) bool) {
			for owner, set := range z.Walk() {
				for r := range set.Of(owner) {
					if !yield(r) {
						return
					}
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if removed, added := z.Diff(again); len(removed)+len(added) > 0 || again.denial != z.denial || again.chain.len() != z.chain.len() {
			t.Errorf("%s: %d records less, %d more", kind, len(removed), len(added))
		}
		db, _ := Build([]*Zone{again}, nil, nil)
		v := &validator{apex: z.Name, keys: keysOf(t, db, z.Name), now: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}
		if _, m, _ := asked(t, db, "none.b.c.ent.signed.example.", dns.TypeA, true); v.check(m) != nil {
			t.Errorf("%s: %v\n%s", kind, v.check(m), m)
		}
	}
}
