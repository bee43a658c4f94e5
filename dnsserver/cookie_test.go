package dnsserver

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// The vectors of the paper that SipHash comes from: the key 00 01 … 0f, and messages
// of 0, 1, 2 … octets 00 01 02 ….
func TestSipHash(t *testing.T) {
	var key [16]byte
	msg := make([]byte, 64)
	for i := range msg {
		msg[i] = byte(i)
		if i < 16 {
			key[i] = byte(i)
		}
	}
	for n, want := range map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5,
	} {
		if got := siphash24(&key, msg[:n]); got != want {
			t.Errorf("%d octets: %016x, want %016x", n, got, want)
		}
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func secrets(t testing.TB, keys ...string) *Secrets {
	t.Helper()
	s := new(Secrets)
	for _, k := range keys {
		s.keys = append(s.keys, [16]byte(unhex(t, k)))
	}
	return s
}

// RFC 9018, appendix A: what other servers make of the same secret.
func TestServerCookieVectors(t *testing.T) {
	const first, before, after = "e5e973e5a6b2a43f48e7dc849e37bfcf", "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, c := range []struct {
		what           string
		secrets        []string
		client, cookie string
		given          string // the server cookie that it comes with
		now            uint32
		good, due      bool
		made           string // the server cookie that it gets when one is due
	}{
		{"A.1: learning a server cookie", []string{first}, "198.51.100.100", "2464c4abcf10c957", "", 1559731985, false, true, "010000005cf79f111f8130c3eee29480"},
		{"A.2: a cookie that is renewed", []string{first}, "198.51.100.100", "2464c4abcf10c957", "010000005cf79f111f8130c3eee29480", 1559734385, true, true, "010000005cf7a871d4a564a1442aca77"},
		{"A.3: reserved octets that are not zero", []string{first}, "203.0.113.203", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", 1559727985, true, false, ""},
		{"A.3: renewed", []string{first}, "203.0.113.203", "fc93fc62807ddb86", "01abcdef5cf78f71a314227b6679ebf5", 1559734700, false, true, "010000005cf7a9acf73a7810aca2381e"},
		{"A.4: IPv6, and a secret that is rolled", []string{after, before}, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", "010000005cf7c57926556bd0934c72f8", 1559741961, true, true, "010000005cf7c609a6bb79d16625507a"},
		{"A.4 before the roll", []string{before}, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", "010000005cf7c57926556bd0934c72f8", 1559741961, true, false, ""},
		{"A.4 after the old secret was removed", []string{after}, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298", "010000005cf7c57926556bd0934c72f8", 1559741961, false, true, ""},
	} {
		s, a := secrets(t, c.secrets...), netip.MustParseAddr(c.client)
		option := unhex(t, c.cookie+c.given)
		good, due := s.good(option, a, c.now)
		if good != c.good || due != c.due {
			t.Errorf("%s: good %v, due %v", c.what, good, due)
		}
		if c.made == "" {
			continue
		}
		if got := hex.EncodeToString(s.appendCookie(nil, option[:8], a, c.now)); got != c.made {
			t.Errorf("%s: %s, want %s", c.what, got, c.made)
		}
	}
}

// A cookie is good for its client, its address and its time, and nothing else.
func TestCookieIsGood(t *testing.T) {
	s := secrets(t, "00112233445566778899aabbccddeeff")
	now := uint32(0xffffff00) // near the end of the count (RFC 9018, section 4.3)
	a := netip.MustParseAddr("192.0.2.1")
	client := []byte("client01")
	cookie := func(at uint32) []byte { return s.appendCookie(append([]byte(nil), client...), client, a, at) }
	for _, c := range []struct {
		what      string
		at        uint32
		change    func(b []byte) []byte
		from      netip.Addr
		good, due bool
	}{
		{"fresh", now, nil, a, true, false},
		{"half an hour old", now - 1800, nil, a, true, false},
		{"older", now - 1801, nil, a, true, true},
		{"an hour old", now - 3600, nil, a, true, true},
		{"too old", now - 3601, nil, a, false, true},
		{"of a clock that is ahead", now + 300, nil, a, true, false},
		{"of the future", now + 301, nil, a, false, true},
		{"another address", now, nil, netip.MustParseAddr("192.0.2.2"), false, true},
		{"another family", now, nil, netip.MustParseAddr("2001:db8::1"), false, true},
		{"another client cookie", now, func(b []byte) []byte { b[0]++; return b }, a, false, true},
		{"another version", now, func(b []byte) []byte { b[8] = 2; return b }, a, false, true},
		{"other reserved octets", now, func(b []byte) []byte { b[9] = 1; return b }, a, false, true},
		{"another time", now, func(b []byte) []byte { b[15]--; return b }, a, false, true},
		{"another hash", now, func(b []byte) []byte { b[23]++; return b }, a, false, true},
		{"short", now, func(b []byte) []byte { return b[:16] }, a, false, true},
		{"long", now, func(b []byte) []byte { return append(b, 0) }, a, false, true},
	} {
		b := cookie(c.at)
		if c.change != nil {
			b = c.change(b)
		}
		if good, due := s.good(b, c.from, now); good != c.good || due != c.due {
			t.Errorf("%s: good %v, due %v; want %v, %v", c.what, good, due, c.good, c.due)
		}
	}
}

func cookieOption(data []byte) func(*dns.Msg) {
	return func(m *dns.Msg) {
		if m.IsEdns0() == nil {
			m.SetEdns0(1232, false)
		}
		m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: data})
	}
}

// cookieOf is the COOKIE option of an answer, nil if there is none.
func cookieOf(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	if m == nil || m.IsEdns0() == nil {
		return nil
	}
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			return unhex(t, c.Cookie)
		}
	}
	return nil
}

// RFC 7873, section 5.2: what a server answers to each kind of COOKIE.
func TestCookies(t *testing.T) {
	s, w := server(t, nil)
	client := []byte("client01")
	first := cookieOf(t, answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, cookieOption(client)), false))
	if len(first) != 24 || string(first[:8]) != "client01" {
		t.Fatalf("the first cookie is %x", first)
	}
	bad := append([]byte(nil), first...)
	bad[20]++
	old := s.secrets.Load().appendCookie(append([]byte(nil), client...), client, source.Addr(), s.seconds.Load()-2000)
	for _, c := range []struct {
		what   string
		cookie []byte
		rcode  int
		same   bool // comes back as it was
	}{
		{"its own cookie", first, dns.RcodeSuccess, true},
		{"one that is older", old, dns.RcodeSuccess, false},
		{"a bad one", bad, dns.RcodeSuccess, false},
		{"one of another maker, 8 octets", first[:16], dns.RcodeSuccess, false},
		{"one of another maker, 32 octets", make([]byte, 40), dns.RcodeSuccess, false},
		{"none", nil, dns.RcodeFormatError, false},
		{"a short client cookie", first[:7], dns.RcodeFormatError, false},
		{"a short server cookie", first[:15], dns.RcodeFormatError, false},
		{"a long server cookie", make([]byte, 41), dns.RcodeFormatError, false},
	} {
		for _, tcp := range []bool{false, true} {
			m := answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, cookieOption(c.cookie)), tcp)
			got := cookieOf(t, m)
			if m.Rcode != c.rcode {
				t.Errorf("%s: %s", c.what, brief(m))
			}
			if m.Rcode != dns.RcodeSuccess {
				if got != nil {
					t.Errorf("%s: FORMERR with a cookie", c.what)
				}
				continue
			}
			if len(got) != 24 || string(got[:8]) != string(c.cookie[:8]) || (string(got) == string(c.cookie)) != c.same {
				t.Errorf("%s: %x for %x", c.what, got, c.cookie)
			}
			if good, due := s.secrets.Load().good(got, source.Addr(), s.seconds.Load()); !good || due {
				t.Errorf("%s: the cookie that it got is good %v, due %v", c.what, good, due)
			}
		}
	}
	// Only the first of several counts; no COOKIE in, none out.
	m := answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, cookieOption(first), cookieOption(nil)), false)
	if got := cookieOf(t, m); m.Rcode != 0 || string(got) != string(first) {
		t.Errorf("two cookies: %s, %x", brief(m), got)
	}
	if got := cookieOf(t, answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, edns(1232, false)), false)); got != nil {
		t.Errorf("no cookie in, %x out", got)
	}
	// Negative answers, refusals and unknown opcodes have one too.
	for _, name := range []string{"nothere.abc.com.", "other.example.", "x.sub.abc.com."} {
		if got := cookieOf(t, answer(t, s, w, query(t, name, dns.TypeA, cookieOption(client)), false)); len(got) != 24 {
			t.Errorf("%s: cookie %x", name, got)
		}
	}
	if n := s.Stats().Cookies; n["client"] == 0 || n["good"] == 0 || n["bad"] == 0 {
		t.Errorf("counted %v", n)
	}
}

// RFC 7873, section 5.4: a query without a question, to get a server cookie.
func TestCookiePing(t *testing.T) {
	s, w := server(t, nil)
	noQuestion := func(m *dns.Msg) { m.Question = nil }
	m := answer(t, s, w, query(t, ".", dns.TypeA, noQuestion, cookieOption([]byte("client01"))), false)
	if m.Rcode != dns.RcodeSuccess || len(m.Question) != 0 || len(cookieOf(t, m)) != 24 {
		t.Errorf("%s, cookie %x", brief(m), cookieOf(t, m))
	}
	if got := reply(t, s, w, query(t, ".", dns.TypeA, noQuestion, edns(1232, false))); got != "FORMERR opt" {
		t.Errorf("without a COOKIE: %s", got)
	}
	if got := reply(t, s, w, query(t, ".", dns.TypeA, noQuestion, cookieOption([]byte("short")))); got != "FORMERR opt" {
		t.Errorf("with a bad COOKIE: %s", got)
	}
	off, w := serverWith(t, Config{Cookies: cookiesOff})
	if got := reply(t, off, w, query(t, ".", dns.TypeA, noQuestion, cookieOption([]byte("client01")))); got != "FORMERR opt" {
		t.Errorf("without cookies: %s", got)
	}
	if got := reply(t, off, w, query(t, "static.abc.com.", dns.TypeA, cookieOption([]byte("x")))); got != "NOERROR aa static.abc.com./A/192.0.2.99 opt" {
		t.Errorf("an option that is not known here: %s", got)
	}
}

// serverWith is server with another configuration.
func serverWith(t testing.TB, cfg Config) (*Server, *responder) {
	t.Helper()
	s, _ := server(t, nil)
	s2 := New(cfg, discard())
	g := *s.Generation()
	g.access = NewAccess(s2.cfg)
	s2.Swap(&g)
	return s2, s2.responder(0, s2.newCounters())
}

// With cookies required, nobody gets an answer over UDP who has not shown that it
// gets what is sent to its address.
func TestCookiesRequired(t *testing.T) {
	s, w := serverWith(t, Config{Cookies: cookiesRequired})
	const good = "NOERROR aa static.abc.com./A/192.0.2.99"
	ask := func(tcp bool, opts ...func(*dns.Msg)) *dns.Msg {
		return answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, opts...), tcp)
	}
	if got := brief(ask(false)); got != "NOERROR tc" {
		t.Errorf("without EDNS: %s", got)
	}
	if got := brief(ask(false, edns(1232, false))); got != "NOERROR tc opt" {
		t.Errorf("without a cookie: %s", got)
	}
	m := ask(false, cookieOption([]byte("client01")))
	if m.Rcode != dns.RcodeBadCookie || len(m.Answer) != 0 {
		t.Errorf("with a client cookie alone: %s", brief(m))
	}
	if got := brief(ask(false, cookieOption(cookieOf(t, m)))); got != good+" opt" {
		t.Errorf("with the cookie that came with BADCOOKIE: %s", got)
	}
	if got := brief(ask(true)); got != good {
		t.Errorf("over TCP: %s", got)
	}
	if got := brief(ask(true, cookieOption([]byte("client01")))); got != good+" opt" {
		t.Errorf("over TCP with a client cookie: %s", got)
	}
}

func TestReadSecrets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secrets")
	const a, b = "00112233445566778899aabbccddeeff", "FFEEDDCCBBAA99887766554433221100"
	for _, c := range []struct {
		text string
		want string // part of the error; "": how many there are counts
		n    int
	}{
		{a + "\n", "", 1},
		{a, "", 1},
		{"# the active one\n" + a + " # since May\n\n  " + b + "\r\n", "", 2},
		{"", "has no cookie secret", 0},
		{"#" + a, "has no cookie secret", 0},
		{a + "\n" + a[1:] + "\n", ":2: must be a cookie secret of 32 hexadecimal digits", 0},
		{a + "00\n", ":1: must be", 0},
		{"g" + a[1:], ":1: must be", 0},
		{strings.Repeat(a+"\n", 9), "has 9 cookie secrets: at most 8", 0},
		{strings.Repeat("0", 1<<17), "cannot read the cookie secrets", 0},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := ReadSecrets(path)
		switch {
		case c.want == "" && (err != nil || len(s.keys) != c.n):
			t.Errorf("%q: %v, %v", c.text, s, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), path+c.want) && !strings.Contains(err.Error(), c.want)):
			t.Errorf("%.40q: error %v, want %q", c.text, err, c.want)
		case err != nil && strings.Contains(err.Error(), a[1:]):
			t.Errorf("the error tells the secret: %v", err)
		}
	}
	if _, err := ReadSecrets(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("no file: %v", err)
	}
}

// A roll: what the old secret made is good while it is kept, and is replaced.
func TestSecretsRoll(t *testing.T) {
	s, w := server(t, nil)
	ask := func(cookie []byte) []byte {
		return cookieOf(t, answer(t, s, w, query(t, "static.abc.com.", dns.TypeA, cookieOption(cookie)), false))
	}
	first := ask([]byte("client01"))
	s.secrets.Store(randomSecrets(s.secrets.Load()))
	second := ask(first)
	if n := s.Stats().Cookies["good"]; n != 1 || string(first) == string(second) {
		t.Errorf("after a roll: %d good, %x became %x", n, first, second)
	}
	s.secrets.Store(randomSecrets(s.secrets.Load()))
	if ask(first); s.Stats().Cookies["bad"] != 1 {
		t.Error("a cookie of the secret before the last is still good")
	}
	if ask(second); s.Stats().Cookies["good"] != 2 {
		t.Error("a cookie of the last secret is not good any more")
	}
	fleet := secrets(t, "00112233445566778899aabbccddeeff")
	s.SetSecrets(fleet)
	if s.random.Load() || s.secrets.Load() != fleet {
		t.Error("secrets that were given are not in use")
	}
	if s.SetSecrets(nil); !s.random.Load() || s.secrets.Load() == fleet {
		t.Error("secrets that were taken back are in use")
	}
}
