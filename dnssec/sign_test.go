package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// RFC 4034, section 6.1.
func TestCanonicalOrder(t *testing.T) {
	want := []string{"example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.", `\001.z.example.`, "*.z.example.", `\200.z.example.`}
	var names [][]byte
	for _, s := range want {
		wire := make([]byte, 256)
		n, err := dns.PackDomainName(s, wire, 0, nil, false)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, wire[:n])
	}
	for i := range names {
		for j := range names {
			if got := Compare(names[i], names[j]); got < 0 != (i < j) || got == 0 != (i == j) {
				t.Errorf("Compare(%s, %s) = %d", want[i], want[j], got)
			}
		}
	}
}

// Each type with a name in its data is folded or not as the library, which has
// its own code for it, folds or does not fold it.
func TestSignaturesCountForAnotherImplementation(t *testing.T) {
	records := []string{
		"Host.Example. 300 IN A 192.0.2.1\nHost.Example. 300 IN A 192.0.2.200\nHost.Example. 300 IN A 10.0.0.1",
		"Example. 300 IN NS NS2.Example.\nExample. 300 IN NS ns1.Example.",
		"Example. 300 IN SOA NS.Example. Root.Example. 1 2 3 4 5",
		"*.Example. 300 IN MX 10 Mail.Example.\n*.Example. 300 IN MX 5 Mail.Example.",
		"x.Example. 300 IN SRV 0 0 53 NS.Example.",
		`x.Example. 300 IN NAPTR 100 50 "S" "SIP+D2U" "!^.*$!sip:Info@Example.com!" _Sip._Udp.Example.`,
		"x.Example. 300 IN PTR Host.Example.",
		"x.Example. 300 IN CNAME Host.Example.",
		"x.Example. 300 IN DNAME Other.Example.",
		"x.Example. 300 IN RP Mail.Example. Txt.Example.",
		"x.Example. 300 IN AFSDB 1 Host.Example.",
		"x.Example. 300 IN KX 1 Host.Example.",
		"x.Example. 300 IN RT 1 Host.Example.",
		"x.Example. 300 IN PX 1 Host.Example. Other.Example.",
		"x.Example. 300 IN MINFO Host.Example. Other.Example.",
		`x.Example. 300 IN TXT "b" "C"` + "\n" + `x.Example. 300 IN TXT "Aaaa"`,
		"x.Example. 300 IN HTTPS 1 Svc.Example. alpn=h2",
		"x.Example. 300 IN NSEC Next.Example. A RRSIG NSEC",
		"x.Example. 300 IN DS 1 13 2 " + strings.Repeat("AB", 32),
		`x.Example. 300 IN TYPE65280 \# 3 414243`,
	}
	for _, alg := range []Algorithm{ECDSAP256SHA256, ECDSAP384SHA384, ED25519, RSASHA256, RSASHA512} {
		k := mustKey(t, "example.", alg, CSK)
		public := recordOf(t, k.Zone, dns.TypeDNSKEY, dns.ClassINET, 3600, k.DNSKEY()).(*dns.DNSKEY)
		for _, text := range records {
			var rrs []dns.RR
			var set RRset
			for line := range strings.Lines(text) {
				rr, err := dns.NewRR(line)
				if err != nil {
					t.Fatal(err)
				}
				rrs = append(rrs, rr)
				set.Type, set.TTL = rr.Header().Rrtype, rr.Header().Ttl
				set.Data = append(set.Data, rdataOf(t, rr))
			}
			owner := mustName(t, rrs[0].Header().Name)
			life, _ := DefaultTimes.at(testTime.Unix(), k, owner, set.Type)
			rdata, err := k.Sign(owner, dns.ClassINET, &set, life)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			sig := recordOf(t, owner, dns.TypeRRSIG, dns.ClassINET, 300, rdata).(*dns.RRSIG)
			for _, rr := range rrs {
				rr.Header().Name = strings.ToLower(rr.Header().Name)
			}
			if err := sig.Verify(public, rrs); err != nil {
				t.Errorf("%s: %s: %v", alg, text, err)
			}
			if err := Verify(owner, dns.ClassINET, &set, rdata, k.Zone, k.DNSKEY(), testTime); err != nil {
				t.Errorf("%s: %s: own check: %v", alg, text, err)
			}
			again, _ := k.Sign(owner, dns.ClassINET, &set, life)
			if !bytes.Equal(rdata, again) {
				t.Errorf("%s: two signatures of the same differ", alg)
			}
			if len(rdata) != rrsigFixed+len(k.Zone)+k.signatureLen() {
				t.Errorf("%s: a signature of %d octets, not %d", alg, len(rdata)-rrsigFixed-len(k.Zone), k.signatureLen())
			}
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	k, other := mustKey(t, "example.", ECDSAP256SHA256, CSK), mustKey(t, "example.", ECDSAP256SHA256, CSK)
	owner := mustName(t, "*.w.example.")
	set := RRset{Type: dns.TypeA, TTL: 300, Data: [][]byte{{192, 0, 2, 1}, {192, 0, 2, 2}}}
	now := uint32(testTime.Unix())
	sig, err := k.Sign(owner, dns.ClassINET, &set, Lifespan{now - 10, now + 10})
	if err != nil {
		t.Fatal(err)
	}
	type attempt struct {
		owner  string
		set    RRset
		sig    []byte
		dnskey []byte
		now    time.Time
	}
	good := attempt{"a.b.w.example.", set, sig, k.DNSKEY(), testTime}
	tests := []struct {
		what   string
		change func(*attempt)
		ok     bool
	}{
		{"made of a wildcard", func(a *attempt) {}, true},
		{"the wildcard itself", func(a *attempt) { a.owner = "*.w.example." }, true},
		{"decremented TTL, other order", func(a *attempt) { a.set.TTL, a.set.Data = 7, [][]byte{{192, 0, 2, 2}, {192, 0, 2, 1}} }, true},
		{"too few labels", func(a *attempt) { a.owner = "example." }, false},
		{"another tree", func(a *attempt) { a.owner = "a.x.example." }, false},
		{"another zone", func(a *attempt) { a.owner = "a.w.example.com." }, false},
		{"other data", func(a *attempt) { a.set.Data = [][]byte{{192, 0, 2, 1}, {192, 0, 2, 3}} }, false},
		{"a record less", func(a *attempt) { a.set.Data = [][]byte{{192, 0, 2, 1}} }, false},
		{"other type", func(a *attempt) { a.set.Type = dns.TypeTXT }, false},
		{"other key", func(a *attempt) { a.dnskey = other.DNSKEY() }, false},
		{"too late", func(a *attempt) { a.now = testTime.Add(11 * time.Second) }, false},
		{"too early", func(a *attempt) { a.now = testTime.Add(-11 * time.Second) }, false},
		{"a bit of the signature", func(a *attempt) { a.sig = slices.Clone(sig); a.sig[len(sig)-1] ^= 1 }, false},
		{"half a signature", func(a *attempt) { a.sig = sig[:len(sig)-32] }, false},
		{"no signature", func(a *attempt) { a.sig = sig[:20] }, false},
	}
	for _, test := range tests {
		a := good
		test.change(&a)
		err := Verify(mustName(t, a.owner), dns.ClassINET, &a.set, a.sig, k.Zone, a.dnskey, a.now)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

// RFC 6979, appendix A.2.5 and A.2.6, the message "sample".
func TestDeterministicNonces(t *testing.T) {
	tests := []struct {
		alg     Algorithm
		curve   elliptic.Curve
		x, want string
	}{
		{ECDSAP256SHA256, elliptic.P256(), "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
			"EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"},
		{ECDSAP384SHA384, elliptic.P384(), "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
			"94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46" +
				"99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8"},
	}
	for _, test := range tests {
		x, _ := hex.DecodeString(test.x)
		private, err := ecdsa.ParseRawPrivateKey(test.curve, x)
		if err != nil {
			t.Fatal(err)
		}
		public, _ := publicBytes(private.Public())
		rdata := append(binary.BigEndian.AppendUint16(nil, flagZone), 3, byte(test.alg))
		k, err := newKey([]byte{0}, append(rdata, public...), private)
		if err != nil {
			t.Fatal(err)
		}
		got, err := k.appendSignature(nil, []byte("sample"))
		if want := strings.ToLower(test.want); err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, %v; want %s", test.alg, got, err, want)
		}
	}
}

// ECDSA's numbers are shorter than the field now and then.
func TestNumbersArePadded(t *testing.T) {
	got, err := appendNumbers([]byte{9}, []byte{0x30, 8, 2, 1, 5, 2, 3, 0, 0x80, 1}, 4)
	if want := []byte{9, 0, 0, 0, 5, 0, 0, 0x80, 1}; err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range [][]byte{nil, {0x30}, {0x30, 2, 2, 9}, {0x31, 0}, {0x30, 8, 2, 1, 5, 2, 3, 1, 0x80, 1}} {
		if got, err := appendNumbers(nil, bad, 2); err == nil {
			t.Errorf("%x gives %x", bad, got)
		}
	}
}

// At any moment a signature counts, has at least Refresh left, and is the same
// for the whole time until it is due; the dues are spread.
func TestGridOfSignatureTimes(t *testing.T) {
	k := mustKey(t, "example.", ED25519, CSK)
	dues := make(map[int64]int)
	for i := range 2000 {
		owner := mustName(t, "host"+string(rune('a'+i%26))+string(rune('a'+i/26%26))+string(rune('a'+i/676))+".example.")
		now := testTime.Unix() + int64(i)*3571
		life, due := DefaultTimes.at(now, k, owner, dns.TypeA)
		if left := int64(life.Expiration) - now; left < int64(DefaultTimes.Refresh/time.Second) || left > int64(DefaultTimes.Validity/time.Second) {
			t.Fatalf("%d s of the signature are left", left)
		}
		if age := now - int64(life.Inception); age < int64(DefaultTimes.Backdate/time.Second) {
			t.Fatalf("inception only %d s ago", age)
		}
		if due <= now || due%3600 != 0 {
			t.Fatalf("due %d s from now", due-now)
		}
		if same, _ := DefaultTimes.at(due-1, k, owner, dns.TypeA); same != life {
			t.Fatal("the signature changes before it is due")
		}
		if next, _ := DefaultTimes.at(due, k, owner, dns.TypeA); next == life {
			t.Fatal("the signature does not change when it is due")
		}
		_, due = DefaultTimes.at(testTime.Unix(), k, owner, dns.TypeA)
		dues[due]++
	}
	if len(dues) < 200 { // of 216 hours in nine days
		t.Errorf("2000 signatures fall due in %d hours only", len(dues))
	}
	for due, n := range dues {
		if n > 40 {
			t.Errorf("%d of 2000 signatures fall due at %d", n, due)
		}
	}
}

func TestTimesAreChecked(t *testing.T) {
	day := 24 * time.Hour
	for _, bad := range []Times{
		{Validity: 14 * day, Refresh: 14 * day, Step: time.Hour},
		{Validity: 14 * day, Refresh: 12 * time.Hour, Step: time.Hour},
		{Validity: 14 * day, Refresh: 5 * day},
		{Validity: 14 * day, Refresh: 5 * day, Step: time.Hour, Backdate: -1},
		{Validity: 40 * 365 * day, Refresh: 5 * day, Step: time.Hour},
	} {
		if err := bad.Validate(day); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if err := DefaultTimes.Validate(day); err != nil {
		t.Error(err)
	}
}
