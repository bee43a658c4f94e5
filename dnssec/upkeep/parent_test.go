package upkeep

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// serve answers on a UDP and TCP port of one number at an address.
func serve(t *testing.T, address string, port *uint16, handler dns.HandlerFunc) {
	t.Helper()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), *port)))
	if err != nil {
		t.Skip(err) // the port is taken at this address
	}
	*port = l.Addr().(*net.TCPAddr).AddrPort().Port()
	p, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		l.Close()
		t.Skip(err)
	}
	for _, s := range []*dns.Server{{Listener: l, Handler: handler}, {PacketConn: p, Handler: handler}} {
		up := make(chan struct{})
		s.NotifyStartedFunc = func() { close(up) }
		go func() { _ = s.ActivateAndServe() }()
		<-up
		t.Cleanup(func() { _ = s.Shutdown() })
	}
}

// records answers from a list, with authority or not.
func records(t *testing.T, authority bool, lines func() string) dns.HandlerFunc {
	return func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = authority
		for line := range strings.Lines(lines()) {
			rr, err := dns.NewRR(line)
			if err != nil {
				t.Error(err)
			}
			if rr != nil && rr.Header().Name == q.Question[0].Name && rr.Header().Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, rr)
			}
		}
		_ = w.WriteMsg(m)
	}
}

func TestDSAtTheParent(t *testing.T) {
	const ds = "x.abc.com. 300 DS 4711 15 2 7F233801AF37CF9B386535BF5B4AC0FC7C8D058C8819AE1C3554F1679E01EEF5\n"
	const other = "x.abc.com. 300 DS 4712 15 2 7F233801AF37CF9B386535BF5B4AC0FC7C8D058C8819AE1C3554F1679E01EEF5\n"
	var first, second atomic.Value
	first.Store("")
	second.Store("")
	var port, resolver uint16
	serve(t, "127.0.53.1", &port, records(t, true, func() string { return first.Load().(string) }))
	serve(t, "127.0.53.2", &port, records(t, true, func() string { return second.Load().(string) }))
	serve(t, "127.0.53.3", &resolver, records(t, false, func() string {
		return "com. 300 NS a.com.\ncom. 300 NS b.com.\na.com. 300 A 127.0.53.1\nb.com. 300 A 127.0.53.9\nb.com. 300 A 127.0.53.2\n"
	}))
	l := lookup{resolvers: []netip.AddrPort{netip.MustParseAddrPort("127.0.53.9:9"), netip.AddrPortFrom(netip.MustParseAddr("127.0.53.3"), resolver)}, port: port}
	for _, tt := range []struct {
		first, second string
		count         int
		fault         string
	}{
		{"", "", 0, ""},
		{ds, "", 0, "do not agree"},
		{ds, ds, 1, ""},
		{ds + other, other + ds, 2, ""},
		{ds, other, 0, "do not agree"},
	} {
		first.Store(tt.first)
		second.Store(tt.second)
		got, secure, err := l.ds(context.Background(), "x.abc.com.")
		for n := 0; n < 5 && err != nil && (strings.Contains(err.Error(), "timeout") || strings.Contains(err.Error(), "deadline")); n++ { // of a machine that stood still
			got, secure, err = l.ds(context.Background(), "x.abc.com.")
		}
		if secure {
			t.Error("an answer that nobody has signed is secure")
		}
		if len(got) != tt.count && tt.fault == "" || (err == nil) != (tt.fault == "") || err != nil && !strings.Contains(err.Error(), tt.fault) {
			t.Errorf("%q and %q: %d records, %v", tt.first, tt.second, len(got), err)
		}
	}
	if parent, servers, err := l.parent(context.Background(), "x.abc.com."); err != nil || parent != "com." || len(servers) != 2 {
		t.Errorf("the parent is %s with %v, %v", parent, servers, err)
	}
	l.port = 9 // nobody there
	if _, _, err := l.ds(context.Background(), "x.abc.com."); err == nil || !strings.Contains(err.Error(), "a.com., server of com.") {
		t.Errorf("servers that do not answer: %v", err)
	}
}

// What a server says has to be signed with the parent's keys.
func TestProofOfTheDS(t *testing.T) {
	now := time.Now()
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: "com.", Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 300}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	private, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	stranger := *key
	strange, err := stranger.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	rr := func(text string) dns.RR {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		return rr
	}
	signed := func(by *dns.DNSKEY, with crypto.PrivateKey, age time.Duration, set ...dns.RR) []dns.RR {
		s := &dns.RRSIG{Algorithm: by.Algorithm, KeyTag: by.KeyTag(), SignerName: "com.", Inception: uint32(now.Add(-age - time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour - age).Unix())}
		if err := s.Sign(with.(crypto.Signer), set); err != nil {
			t.Fatal(err)
		}
		return append(set, s)
	}
	good := func(text string) []dns.RR { return signed(key, private, 0, rr(text)) }
	const ds = "abc.com. 300 DS 4711 15 2 7F233801AF37CF9B386535BF5B4AC0FC7C8D058C8819AE1C3554F1679E01EEF5"
	nsec3 := func(at, next, flags, types string) string {
		return at + ".com. 300 NSEC3 1 " + flags + " 0 - " + next + " " + types
	}
	hash := dns.HashName("abc.com.", dns.SHA1, 0, "")
	low, high := strings.Repeat("0", 32), strings.Repeat("v", 32)
	for _, tt := range []struct {
		what       string
		answer, ns []dns.RR
		ok         bool
	}{
		{"DS", good(ds), nil, true},
		{"DS without signature", []dns.RR{rr(ds)}, nil, false},
		{"DS signed by another key", signed(&stranger, strange, 0, rr(ds)), nil, false},
		{"DS with a signature that has expired", signed(key, private, 2*time.Hour, rr(ds)), nil, false},
		{"another DS beside the signed one", append(good(ds), rr(strings.Replace(ds, "4711", "4712", 1))), nil, false},
		{"nothing", nil, nil, false},
		{"NSEC", nil, good("abc.com. 300 NSEC abd.com. NS RRSIG NSEC"), true},
		{"NSEC without signature", nil, good("abc.com. 300 NSEC abd.com. NS RRSIG NSEC")[:1], false},
		{"NSEC with DS", nil, good("abc.com. 300 NSEC abd.com. NS DS RRSIG NSEC"), false},
		{"NSEC of the child", nil, good("abc.com. 300 NSEC abd.com. NS SOA RRSIG NSEC"), false},
		{"NSEC of another", nil, good("abb.com. 300 NSEC abd.com. NS RRSIG NSEC"), false},
		{"NSEC3", nil, good(nsec3(hash, high, "0", "NS")), true},
		{"NSEC3 with DS", nil, good(nsec3(hash, high, "0", "NS DS RRSIG")), false},
		{"NSEC3 with opt-out", nil, good(nsec3(low, high, "1", "NS")), true},
		{"NSEC3 without opt-out", nil, good(nsec3(low, high, "0", "NS")), false},
	} {
		m := &dns.Msg{Answer: tt.answer, Ns: tt.ns}
		if err := proven(m, "abc.com.", "com.", []*dns.DNSKEY{key}, now); (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.what, err)
		}
	}
}

// TestParentIsBroken: a DS that is gone, or of keys that do not sign here, is a problem; one
// that was never there, or cannot be seen, is none.
func TestParentIsBroken(t *testing.T) {
	b := newBench(t, t.TempDir(), true)
	z := zone("abc.com.", func(*dnssec.Config) {})
	now := testTime
	b.round(now, z)
	now = now.Add(72 * time.Hour)
	b.round(now, z)
	c := b.zones["abc.com."]
	tag := c.plan.SignKeys[0].Tag()
	says := func(what string, l look, want string) {
		t.Helper()
		b.looks["abc.com."] = l
		got := strings.Join(b.status(now).Problems, "; ")
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	says("no DS yet", look{at: now}, "")
	says("another one's", look{at: now, tags: []uint16{tag + 1, tag + 2}}, fmt.Sprintf("the parent's DS names %d, %d, none of which signs the zone's keys here: resolvers that validate refuse all of it; put the DS of its keys there (gslb keys ds abc.com.)", tag+1, tag+2))
	says("its own, and another", look{at: now, tags: []uint16{tag, tag + 1}}, "")
	says("not known", look{at: now, tags: []uint16{tag + 1}, err: errors.New("timeout")}, "")
	if _, err := b.Store().Seen([]byte("\x03abc\x03com\x00"), b.status(now).DS, now); err != nil {
		t.Fatal(err)
	}
	b.round(now, z)
	says("its own", look{at: now, tags: []uint16{tag}}, "")
	says("gone", look{at: now}, "the parent has no DS any more, so that nobody validates the zone: put the DS of its keys there (gslb keys ds abc.com.), or have it served unsigned")
}
