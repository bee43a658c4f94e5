package zones

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// tailoredText is the answer for a site in presentation form, one record a line.
func tailoredText(t testing.TB, db *DB, owner string, qtype uint16, site int) string {
	t.Helper()
	name := named(t, mustParse(t, owner))
	var r Result
	db.Lookup(name, qtype, false, &r)
	if r.Outcome == Tailored {
		db.Tailor(&r, qtype, site)
	}
	var e Encoder
	buf := append(make([]byte, 12, 4096), name.Wire()...)
	buf = append(buf, byte(qtype>>8), byte(qtype), 0, 1)
	e.Begin(buf, name.Wire(), 4096)
	c, _ := e.Sections(&r)
	msg := e.Buf
	msg[2], msg[5], msg[7], msg[9], msg[11] = 0x80, 1, byte(c.Answer), byte(c.Authority), byte(c.Additional)
	m := new(dns.Msg)
	if err := m.Unpack(msg); err != nil {
		t.Fatalf("%s %s: %v", owner, dns.Type(qtype), err)
	}
	var all []string
	for _, rr := range m.Answer {
		all = append(all, strings.Join(strings.Fields(rr.String())[1:], " "))
	}
	return strings.Join(all, "\n")
}

// With hints, HTTPS and SVCB records hold the addresses of the site that A and AAAA
// give, and nothing else of them changes.
func TestHints(t *testing.T) {
	z := read(t, "abc.com.", `$TTL 300
@     SOA n h 1 2 3 4 5
@     NS  n.other.
@     HTTPS 1 . alpn=h2
app   HTTPS 1 . alpn=h3,h2 port=8443 ipv4hint=203.0.113.1,203.0.113.2 ech=AAAA ipv6hint=2001:db8:ff::1
      HTTPS 2 other.example. alpn=h2 ipv4hint=203.0.113.3
      SVCB  1 . port=53 key65000=x
four  HTTPS 1 . alpn=h2
six   5 HTTPS 1 .
odd   TYPE65 \# 3 000100
`)
	addr := netip.MustParseAddr
	sites := []Site{
		{Name: "kt", Addresses: []netip.Addr{addr("192.0.2.11"), addr("192.0.2.10"), addr("2001:db8::10"), addr("192.0.2.10")}},
		{Name: "lgu", Addresses: []netip.Addr{addr("192.0.2.20")}},
		{Name: "us", Addresses: []netip.Addr{addr("2001:db8::30")}},
	}
	var steered []SteeredConfig
	for _, n := range []string{"", "app.", "four.", "six.", "odd."} {
		steered = append(steered, SteeredConfig{Name: n + "abc.com.", Form: Address, TTL: 30 * time.Second, Sites: []int{0, 1, 2}, Hints: true})
	}
	db, err := Build([]*Zone{z}, steered, sites)
	if err != nil {
		t.Fatal(err)
	}
	if w := db.Warnings(); strings.Contains(strings.Join(w, "\n"), "hints") {
		t.Errorf("warned: %q", w)
	}
	const other = "\n30 IN HTTPS 2 other.example. alpn=\"h2\" ipv4hint=\"203.0.113.3\""
	for _, c := range []struct {
		owner string
		qtype uint16
		site  int
		want  string
	}{
		{"abc.com.", dns.TypeHTTPS, 0, `30 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.10,192.0.2.11" ipv6hint="2001:db8::10"`},
		{"app.abc.com.", dns.TypeHTTPS, 0, `30 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.10,192.0.2.11" ech="AAAA" ipv6hint="2001:db8::10"` + other},
		{"app.abc.com.", dns.TypeHTTPS, 1, `30 IN HTTPS 1 . alpn="h3,h2" port="8443" ipv4hint="192.0.2.20" ech="AAAA"` + other},
		{"app.abc.com.", dns.TypeHTTPS, 2, `30 IN HTTPS 1 . alpn="h3,h2" port="8443" ech="AAAA" ipv6hint="2001:db8::30"` + other},
		{"app.abc.com.", dns.TypeSVCB, 1, `30 IN SVCB 1 . port="53" ipv4hint="192.0.2.20" key65000="x"`},
		{"four.abc.com.", dns.TypeHTTPS, 1, `30 IN HTTPS 1 . alpn="h2" ipv4hint="192.0.2.20"`},
		{"six.abc.com.", dns.TypeHTTPS, 2, `5 IN HTTPS 1 . ipv6hint="2001:db8::30"`}, // the zone's own TTL is less
		{"odd.abc.com.", dns.TypeHTTPS, 2, `30 IN HTTPS 1 . ipv6hint="2001:db8::30"`},
		{"app.abc.com.", dns.TypeA, 1, `30 IN A 192.0.2.20`},
		{"abc.com.", dns.TypeA, 1, `30 IN A 192.0.2.20`},
		{"abc.com.", dns.TypeNS, 1, `300 IN NS n.other.`},
	} {
		if got := tailoredText(t, db, c.owner, c.qtype, c.site); got != c.want {
			t.Errorf("%s %s at %s:\n%s\nwant\n%s", c.owner, dns.Type(c.qtype), sites[c.site].Name, got, c.want)
		}
	}
	for i, tailored := range []bool{true, true, true, true, true} {
		if db.Steered()[i].Tailored(dns.TypeHTTPS) != tailored {
			t.Errorf("%s: HTTPS tailored is %v", db.Steered()[i].Name, !tailored)
		}
	}
	if db.Steered()[1].Tailored(dns.TypeSVCB) != true || db.Steered()[4].Tailored(dns.TypeSVCB) || db.Steered()[4].Tailored(dns.TypeTXT) {
		t.Error("SVCB or TXT are tailored where they are not, or the reverse")
	}
}

func TestBadHints(t *testing.T) {
	z := read(t, "abc.com.", `$TTL 300
@     SOA n h 1 2 3 4 5
@     NS  n.other.
alias HTTPS 0 x.other.
other HTTPS 1 x.other. alpn=h2
must  HTTPS 1 . mandatory=ipv4hint ipv4hint=192.0.2.1
`)
	sites := []Site{{Name: "kt", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.10")}}}
	for name, want := range map[string]string{
		"none.abc.com.":  "no HTTPS or SVCB record",
		"alias.abc.com.": "no HTTPS or SVCB record",
		"other.abc.com.": "no HTTPS or SVCB record",
		"must.abc.com.":  "mandatory",
	} {
		_, err := Build([]*Zone{z}, []SteeredConfig{{Name: name, Form: Address, TTL: time.Second, Sites: []int{0}, Hints: true}}, sites)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// Whatever octets a record holds, hints neither break it nor the program.
func FuzzHints(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x00\x01\x00\x03\x02h2\x00\x04\x00\x04\xc0\x00\x02\x01"))
	f.Add([]byte("\x00\x01\x00\x00\x00\x00\x02\x00\x04"))
	f.Add([]byte{0, 1, 0})
	f.Add([]byte{})
	v4, v6 := splitAddresses([]netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1000 {
			return
		}
		set := newRRset(dns.TypeHTTPS, 60, data)
		if !hintable(set) || needsHints(set) {
			return
		}
		got := withHints(set, 60, v4, v6)
		var once RRset
		if once = withHints(got, 60, v4, v6); string(once.Wire) != string(got.Wire) {
			t.Fatalf("%x: hints put in twice differ: %x, %x", data, got.Wire, once.Wire)
		}
		if !isService(got.first()) || !hinted(got) {
			t.Fatalf("%x became %x", data, got.first())
		}
	})
}

func mustParse(t testing.TB, name string) []byte {
	t.Helper()
	wire, err := dnsname.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// RFC 9460, section 4.1: with a record in alias mode goes what it leads to, unless that has
// hints, in the place of which a steered name may have those of a site.
func TestAliasModeTakesItsTargetAlong(t *testing.T) {
	db, err := Build([]*Zone{read(t, "abc.com.", `$TTL 300
@      SOA ns.abc.com. h.abc.com. 1 7200 900 1209600 60
@      NS  ns.elsewhere.net.
to     HTTPS 1 . alpn=h2
       A   192.0.2.1
       SVCB 1 . port=53
hinted HTTPS 1 . ipv4hint=192.0.2.9
       A   192.0.2.9
sub    NS  to
to.sub HTTPS 1 . alpn=h2
alias  HTTPS 0 to
other  SVCB 0 to
serves HTTPS 1 to alpn=h2
tohint HTTPS 0 hinted
below  HTTPS 0 to.sub
self   HTTPS 0 self
far    HTTPS 0 to.elsewhere.net.
none   HTTPS 0 .
`)}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for owner, want := range map[string]string{
		"alias": "to A, to HTTPS", "other": "to A, to SVCB", "serves": "to A", "tohint": "hinted A", "below": "", "self": "", "far": "", "none": "",
	} {
		qtype := uint16(dns.TypeHTTPS)
		if owner == "other" {
			qtype = dns.TypeSVCB
		}
		var r Result
		db.Lookup(named(t, mustParse(t, owner+".abc.com.")), qtype, false, &r)
		var got []string
		for i := range r.Additional.Len() {
			rec := r.Additional.At(i)
			got = append(got, strings.TrimSuffix(dnsname.Format(rec.Owner), ".abc.com.")+" "+dns.Type(rec.Set.Type).String())
		}
		if all := strings.Join(got, ", "); all != want || r.Outcome != Answer {
			t.Errorf("%s: %v, additional %q, want %q", owner, r.Outcome, all, want)
		}
	}
}
