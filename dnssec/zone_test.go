package dnssec

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// sample has every kind of name that denial treats in its own way.
const sample = `
$TTL 3600
@                 SOA   ns1 hostmaster 1 7200 3600 1209600 300
@                 NS    ns1
@                 NS    ns.secure
@                 MX    10 Mail
@                 TXT   "apex"
ns1               A     192.0.2.1
ns1               AAAA  2001:db8::1
mail              A     192.0.2.2
*.wild            TXT   "wildcard"
sub.*.wild        A     192.0.2.3
a.b.c.ent         A     192.0.2.4      ; b.c.ent, c.ent and ent are empty
Upper             CNAME Mail
tree              DNAME other.example.net.
under.tree        A     192.0.2.66     ; occluded
insecure          NS    ns.insecure
ns.insecure       A     192.0.2.10     ; glue
ns.insecure       AAAA  2001:db8::10
deep.x.insecure   NS    ns.elsewhere.net.
deep.only.optout  NS    ns.elsewhere.net. ; opt-out may leave out its empty non-terminals, too
secure            NS    ns.secure
secure            DS    12345 13 2 0000000000000000000000000000000000000000000000000000000000000000
ns.secure         A     192.0.2.11     ; glue, of the apex too
_443._tcp.mail    TLSA  3 1 1 0000000000000000000000000000000000000000000000000000000000000000
svc               HTTPS 1 . alpn=h2 ipv4hint=192.0.2.2
svc               CAA   0 issue "ca.example.net"
odd               TYPE65280 \# 3 414243
` + "\\001\\200.bin        A     192.0.2.5\n"

func signings(t testing.TB, apex string) map[string]Signing {
	csk := mustKey(t, apex, ECDSAP256SHA256, CSK)
	split := use(mustKey(t, apex, ECDSAP256SHA256, KSK), mustKey(t, apex, ECDSAP256SHA256, ZSK))
	second := mustKey(t, apex, ECDSAP256SHA256, ZSK)
	roll := use(mustKey(t, apex, ED25519, KSK), mustKey(t, apex, ED25519, KSK), mustKey(t, apex, ED25519, ZSK))
	roll.Publish = append(roll.Publish, mustKey(t, apex, ED25519, ZSK))
	both := split
	both.Publish, both.SignZone = append(slices.Clone(split.Publish), second), append(slices.Clone(split.SignZone), second)
	return map[string]Signing{
		"NSEC, CSK":              {Keys: use(csk)},
		"NSEC, KSK and ZSK":      {Keys: split, CDS: []DigestType{SHA256, SHA384}},
		"NSEC, a roll":           {Keys: roll},
		"NSEC, two ZSKs sign":    {Keys: both},
		"NSEC, P-384":            {Keys: use(mustKey(t, apex, ECDSAP384SHA384, CSK))},
		"NSEC, RSA":              {Keys: use(mustKey(t, apex, RSASHA256, KSK), mustKey(t, apex, RSASHA256, ZSK))},
		"NSEC3":                  {Keys: use(csk), Denial: WithNSEC3},
		"NSEC3, salt":            {Keys: split, Denial: WithNSEC3, NSEC3: NSEC3Params{Iterations: 5, Salt: []byte{0xaa, 0xbb}}},
		"NSEC3, opt-out":         {Keys: split, Denial: WithNSEC3, NSEC3: NSEC3Params{OptOut: true}},
		"NSEC3, opt-out, 1 core": {Keys: split, Denial: WithNSEC3, NSEC3: NSEC3Params{OptOut: true}, Workers: 1},
	}
}

// What is signed here passes BIND's and NLnet Labs' checks of whole zones.
func TestOtherToolsVerifyTheZone(t *testing.T) {
	bind, ldns := tool(t, "dnssec-verify"), tool(t, "ldns-verify-zone")
	z := readZone(t, "example.", sample)
	for name, s := range signings(t, "example.") {
		t.Run(name, func(t *testing.T) {
			signed := signSample(t, z, s, time.Now())
			path := filepath.Join(t.TempDir(), "zone")
			args := []string{"-o", "example."}
			if s.Keys.SignZone[0].Role == CSK {
				args = append(args, "-z") // a key with the flag SEP signs all
			}
			if err := os.WriteFile(path, []byte(signed.master()), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(bind, append(args, path)...).CombinedOutput(); err != nil {
				t.Errorf("dnssec-verify: %v\n%s", err, out)
			}
			if out, err := exec.Command(ldns, path).CombinedOutput(); err != nil {
				t.Errorf("ldns-verify-zone: %v\n%s", err, out)
			}
			// The tools do notice: a record that was changed afterwards.
			broken := strings.Replace(signed.master(), "192.0.2.4", "192.0.2.44", 1)
			if err := os.WriteFile(path, []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if exec.Command(bind, append(args, path)...).Run() == nil || exec.Command(ldns, path).Run() == nil {
				t.Error("a forged zone passes")
			}
		})
	}
}

// The same by BIND's own signer gives the same chain.
func TestChainIsThatOfBIND(t *testing.T) {
	signzone := tool(t, "dnssec-signzone")
	for name, s := range signings(t, "example.") {
		if strings.Contains(name, "a roll") || strings.Contains(name, "two ZSKs") {
			continue // other keys, the same chain
		}
		t.Run(name, func(t *testing.T) {
			dir := Folder(t.TempDir())
			args := []string{"-S", "-K", string(dir), "-d", string(dir), "-o", "example.", "-x", "-f", filepath.Join(string(dir), "out")}
			for _, k := range s.Keys.Publish {
				if err := dir.Save(k); err != nil {
					t.Fatal(err)
				}
			}
			if s.Keys.SignZone[0].Role == CSK {
				args = append(args, "-z")
			}
			if s.Denial == WithNSEC3 {
				salt := "-"
				if len(s.NSEC3.Salt) > 0 {
					salt = fmt.Sprintf("%X", s.NSEC3.Salt)
				}
				args = append(args, "-3", salt, "-H", fmt.Sprint(s.NSEC3.Iterations))
				if s.NSEC3.OptOut {
					args = append(args, "-A")
				}
			}
			text := sample
			if s.NSEC3.OptOut { // BIND leaves out the empty non-terminals above it: see nsec3Chain.addAbove
				text = strings.Replace(text, "deep.only.optout ", "optout ", 1)
			}
			z := readZone(t, "example.", text)
			path := filepath.Join(string(dir), "zone")
			s.Keys.CDS = nil // BIND publishes them by SyncPublish
			signed := signSample(t, z, s, time.Now())
			if err := os.WriteFile(path, []byte("$ORIGIN example.\n"+text), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(signzone, append(args, path)...).CombinedOutput(); err != nil {
				t.Fatalf("dnssec-signzone: %v\n%s", err, out)
			}
			theirs, err := os.Open(filepath.Join(string(dir), "out"))
			if err != nil {
				t.Fatal(err)
			}
			defer theirs.Close()
			p := dns.NewZoneParser(theirs, "example.", "")
			var records []dns.RR
			for rr, ok := p.Next(); ok; rr, ok = p.Next() {
				records = append(records, rr)
			}
			if p.Err() != nil {
				t.Fatal(p.Err())
			}
			got, want := denials(signed.records), denials(records)
			if !maps.Equal(got, want) {
				for owner := range want {
					if got[owner] != want[owner] {
						t.Errorf("ours: %s\nBIND: %s", got[owner], want[owner])
					}
				}
				for owner := range got {
					if want[owner] == "" {
						t.Errorf("BIND has no %s", got[owner])
					}
				}
			}
			// With what is signed: owners and types.
			if got, want := covered(signed.records), covered(records); !slices.Equal(got, want) {
				t.Errorf("signed:\n%v\nby BIND:\n%v", got, want)
			}
		})
	}
}

// denials gives the NSEC, NSEC3 and NSEC3PARAM records by owner.
func denials(records []dns.RR) map[string]string {
	all := make(map[string]string)
	for _, rr := range records {
		switch rr.Header().Rrtype {
		case dns.TypeNSEC, dns.TypeNSEC3:
			rr.Header().Name = strings.ToLower(rr.Header().Name)
			all[rr.Header().Name] = strings.ToLower(rr.String())
		}
	}
	return all
}

func covered(records []dns.RR) []string {
	var all []string
	for _, rr := range records {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered != dns.TypeNSEC3 {
			all = append(all, fmt.Sprintf("%s/%s/%d/%d", strings.ToLower(sig.Hdr.Name), dns.Type(sig.TypeCovered), sig.Labels, sig.KeyTag))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Signing again with the cache signs what is due and what is new, and gives
// what signing from scratch gives.
func TestSigningAgainReuses(t *testing.T) {
	z := readZone(t, "example.", sample)
	for name, s := range signings(t, "example.") {
		first := signSample(t, z, s, testTime)
		if first.result.Reused != 0 || first.result.Made == 0 || first.result.Cache.Len() != first.result.Made {
			t.Fatalf("%s: first %+v", name, first.result)
		}
		if !first.result.Next.After(testTime) {
			t.Errorf("%s: next %v", name, first.result.Next)
		}
		again := s
		again.Cache = first.result.Cache
		same := signSample(t, z, again, first.result.Next.Add(-time.Second))
		if same.result.Made != 0 || same.result.Reused != first.result.Made || same.master() != first.master() {
			t.Errorf("%s: just before one is due: %d made, %d reused", name, same.result.Made, same.result.Reused)
		}
		again.Cache = same.result.Cache
		due := signSample(t, z, again, first.result.Next)
		if due.result.Made == 0 || due.result.Made > first.result.Made/2 || due.result.Made+due.result.Reused != first.result.Made {
			t.Errorf("%s: when one is due: %d made, %d reused", name, due.result.Made, due.result.Reused)
		}
		if fresh := signSample(t, z, s, first.result.Next); fresh.master() != due.master() {
			t.Errorf("%s: from the cache another zone comes than from scratch", name)
		}
		changed := readZone(t, "example.", strings.Replace(sample, "192.0.2.4 ", "192.0.2.7 ", 1))
		again.Cache = due.result.Cache
		one := signSample(t, changed, again, first.result.Next)
		if keys := len(s.Keys.SignZone); one.result.Made != keys {
			t.Errorf("%s: one RRset changed: %d made with %d keys", name, one.result.Made, keys)
		}
	}
}

// A year passes: whenever it is looked at, every signature counts, if it was
// signed anew when that was due.
func TestNoSignatureExpires(t *testing.T) {
	z := readZone(t, "example.", sample)
	k := mustKey(t, "example.", ED25519, CSK)
	s := Signing{Keys: use(k)}
	end := testTime.Add(365 * 24 * time.Hour)
	if bed.RaceDetector { // nothing here is concurrent
		end = testTime.Add(60 * 24 * time.Hour)
	}
	for now, steps := testTime, 0; now.Before(end); steps++ {
		signed := signSample(t, z, s, now)
		s.Cache = signed.result.Cache
		for _, rr := range signed.records {
			if sig, ok := rr.(*dns.RRSIG); ok && (!sig.ValidityPeriod(now) || !sig.ValidityPeriod(signed.result.Next.Add(4*24*time.Hour))) {
				t.Fatalf("%s at %s does not count until %s", sig, now, signed.result.Next)
			}
		}
		if !signed.result.Next.After(now) || steps > 5000 {
			t.Fatalf("%d steps; next after %v is %v", steps, now, signed.result.Next)
		}
		now = signed.result.Next
	}
}

// The alternatives of a steered name are signed each for itself, and the chain
// has the name once.
func TestAlternatives(t *testing.T) {
	z := readZone(t, "example.", sample)
	i := slices.IndexFunc(z.names, func(n Name) bool { return bytes.Equal(n.Owner, mustName(t, "mail.example.")) })
	z.names[i].Sets = []RRset{
		{Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 1}}, ID: 71},
		{Type: dns.TypeA, TTL: 30, Data: [][]byte{{192, 0, 2, 2}}, ID: 72},
		{Type: dns.TypeAAAA, TTL: 30, Data: [][]byte{make([]byte, 16)}, ID: 73},
	}
	k := mustKey(t, "example.", ECDSAP256SHA256, CSK)
	signed := signSample(t, z, Signing{Keys: use(k)}, testTime)
	found := 0
	for _, got := range signed.sets {
		for n := range z.names[i].Sets {
			if set := &z.names[i].Sets[n]; set.ID == got.ID && got.ID != 0 {
				found++
				if err := Verify(got.Owner, dns.ClassINET, set, got.RRSIG[0], k.Zone, k.DNSKEY(), testTime); err != nil || got.Data != nil {
					t.Errorf("%d: %v", got.ID, err)
				}
			}
		}
	}
	if found != 3 {
		t.Errorf("%d of 3 alternatives are signed", found)
	}
	if got := denials(signed.records)["mail.example."]; !strings.HasSuffix(got, "a aaaa rrsig nsec") {
		t.Errorf("chain: %s", got)
	}
}

func TestSigningRefuses(t *testing.T) {
	k := mustKey(t, "example.", ED25519, CSK)
	foreign := mustKey(t, "example.net.", ED25519, CSK)
	half, err := newKey(k.Zone, k.DNSKEY(), nil)
	if err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	soa := "@ 60 SOA ns1 h 1 2 3 4 5\n"
	tests := []struct {
		what, zone string
		signing    Signing
		mix        func(*sampleZone)
		want       string
	}{
		{"no key", soa, Signing{}, nil, "a key to sign the keys"},
		{"a foreign key", soa, Signing{Keys: use(foreign)}, nil, "is not one of zone example."},
		{"half a key", soa, Signing{Keys: use(half)}, nil, "private half"},
		{"iterations", soa, Signing{Keys: use(k), Denial: WithNSEC3, NSEC3: NSEC3Params{Iterations: 500}}, nil, "500 iterations"},
		{"no SOA", "@ 60 TXT a\n", Signing{Keys: use(k)}, nil, "one SOA"},
		{"no apex", "a 60 TXT a\n", Signing{Keys: use(k)}, nil, "not with the apex"},
		{"empty", "", Signing{Keys: use(k)}, nil, "no name"},
		{"signed already", soa + "a 60 NSEC b A\n", Signing{Keys: use(k)}, nil, "comes signed already"},
		{"a CDS that deletes", soa + "@ 60 CDS 0 0 0 00\n", Signing{Keys: use(k)}, nil, "its CDS record asks the parent to delete the DS"},
		{"a CDNSKEY that deletes", soa + "@ 60 CDNSKEY 0 3 0 AA==\n", Signing{Keys: use(k)}, nil, "its CDNSKEY record asks"},
		{"order", soa + "a 60 TXT a\nb 60 TXT a\n", Signing{Keys: use(k)}, func(z *sampleZone) { z.names[1], z.names[2] = z.names[2], z.names[1] }, "a.example. comes after b.example."},
		{"twice", soa + "a 60 TXT a\n", Signing{Keys: use(k)}, func(z *sampleZone) { z.names = append(z.names, z.names[1]) }, "out of canonical order"},
		{"outside", soa + "a.example.net. 60 TXT a\n", Signing{Keys: use(k)}, nil, "no name of the zone"},
		{"bad rdata", soa + "a 60 MX 1 b\n", Signing{Keys: use(k)}, func(z *sampleZone) { z.names[1].Sets[0].Data[0] = []byte{0, 1, 9} }, "a.example.: MX record"},
	}
	for _, test := range tests {
		z := readZone(t, "example.", test.zone)
		if test.mix != nil {
			test.mix(z)
		}
		test.signing.Apex = z.apex
		_, err := SignZone(test.signing, testTime, z.walk, func(*Signed) error { return nil })
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want …%s…", test.what, err, test.want)
		}
	}
	// An NSEC3 has an owner of 33 octets more than the apex.
	for last, good := range map[int]bool{28: true, 29: false} {
		apex := strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("a", last) + "."
		long := readZone(t, apex, soa)
		s := Signing{Apex: long.apex, Keys: use(mustKey(t, apex, ED25519, CSK)), Denial: WithNSEC3}
		if _, err := SignZone(s, testTime, long.walk, func(*Signed) error { return nil }); (err == nil) != good || err != nil && !strings.Contains(err.Error(), "222 at most") {
			t.Errorf("an apex of %d octets: %v", len(long.apex), err)
		}
	}
	z := readZone(t, "example.", sample)
	if _, err := SignZone(Signing{Apex: z.apex, Keys: use(k)}, testTime, z.walk, func(*Signed) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of emit: %v", err)
	}
}

// DNSKEY and CDS records of other signers stay (RFC 8901).
func TestForeignKeysStay(t *testing.T) {
	other := mustKey(t, "example.", ECDSAP256SHA256, ZSK)
	z := readZone(t, "example.", sample)
	z.names[0].Sets = append(z.names[0].Sets, RRset{Type: dns.TypeDNSKEY, TTL: 60, Data: [][]byte{other.DNSKEY()}})
	k := mustKey(t, "example.", ECDSAP256SHA256, CSK)
	for _, set := range signSample(t, z, Signing{Keys: use(k)}, testTime).sets {
		if set.Type == dns.TypeDNSKEY {
			if len(set.Data) != 2 || len(set.RRSIG) != 1 {
				t.Fatalf("%d keys, %d signatures", len(set.Data), len(set.RRSIG))
			}
			if err := Verify(set.Owner, 1, &RRset{Type: set.Type, TTL: set.TTL, Data: set.Data}, set.RRSIG[0], k.Zone, k.DNSKEY(), testTime); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Error("no DNSKEY RRset")
}
