package test

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// withCookie is a question with a COOKIE.
func withCookie(t testing.TB, name string, cookie string) *dns.Msg {
	t.Helper()
	data, err := hex.DecodeString(cookie)
	if err != nil {
		t.Fatal(err)
	}
	q := question(name, dns.TypeA, "")
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: data})
	return q
}

func cookieIn(m *dns.Msg) string {
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			return c.Cookie
		}
	}
	return ""
}

// TestProtection: what an operator sets to protect a node, and what SIGHUP puts in
// force while it serves.
func TestProtection(t *testing.T) {
	t.Parallel()
	needTool(t, "dig")
	const first, second = "00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100"
	tp := newTopology(t)
	secrets := write(t, tp.dir, "cookies.secret", first+"\n")
	tp.keys = "version = \"gslb\"\nidentity = \"ns1.seoul\"\ncookies = \"required\"\ncookie_secret_file = \"cookies.secret\"\n"
	tp.startPlainSites()
	n := tp.startDNSNode()
	rcode := func(q *dns.Msg) (string, *dns.Msg) {
		t.Helper()
		m, err := exchange("udp", n.dns, q)
		if err != nil {
			t.Fatal(err)
		}
		return dns.RcodeToString[m.Rcode], m
	}

	t.Run("dig", func(t *testing.T) {
		// dig learns its cookie with BADCOOKIE and asks again by itself.
		if out := n.dig(t, "host1.abc.com", "+cookie=0102030405060708", "+nsid", "+badcookie"); !strings.Contains(out, "(good)") || !strings.Contains(out, "192.0.2.1") || !strings.Contains(out, `("ns1.seoul")`) {
			t.Errorf("no good cookie, no answer or no NSID in\n%s", out)
		}
		if out := n.dig(t, "host1.abc.com", "+nocookie", "+ignore"); !strings.Contains(out, "flags: qr tc") {
			t.Errorf("without a cookie:\n%s", out)
		}
		if out := n.dig(t, "host1.abc.com", "+nocookie", "+short"); out != "192.0.2.1" {
			t.Errorf("without a cookie dig comes back over TCP: %q", out)
		}
		for name, want := range map[string]string{"version.bind": `"gslb"`, "id.server": `"ns1.seoul"`, "authors.bind": ""} {
			if out := n.dig(t, "CH", "TXT", name, "+short", "+tcp"); out != want {
				t.Errorf("%s: %q, want %q", name, out, want)
			}
		}
		if out := n.dig(t, "other.example", "+tcp"); !strings.Contains(out, "EDE: 20") {
			t.Errorf("no reason in\n%s", out)
		}
	})
	t.Run("a secret is rolled", func(t *testing.T) {
		code, m := rcode(withCookie(t, "host1.abc.com", "0102030405060708"))
		old := cookieIn(m)
		if code != "BADCOOKIE" || len(old) != 48 {
			t.Fatalf("%s with cookie %q", code, old)
		}
		for _, step := range []struct{ file, old string }{
			{first + "\n" + second + "\n", "NOERROR"},
			{second + "\n" + first + "\n", "NOERROR"},
			{second + "\n", "BADCOOKIE"},
		} {
			said := len(n.log.String())
			replace(t, secrets, []byte(step.file))
			n.reload()
			n.saysAfter(said, "reloaded")
			if code, _ := rcode(withCookie(t, "host1.abc.com", old)); code != step.old {
				t.Errorf("with the secrets %q the old cookie gets %s, want %s", step.file, code, step.old)
			}
		}
		said := len(n.log.String())
		replace(t, secrets, []byte("not a secret\n"))
		n.reload()
		n.saysAfter(said, "cookies.secret:1: must be a cookie secret")
		_, m = rcode(withCookie(t, "host1.abc.com", "0102030405060708"))
		if code, _ := rcode(withCookie(t, "host1.abc.com", cookieIn(m))); code != "NOERROR" {
			t.Errorf("after a bad file a fresh cookie gets %s", code)
		}
		replace(t, secrets, []byte(second+"\n"))
	})
	t.Run("a network is denied", func(t *testing.T) {
		config, err := os.ReadFile(n.config)
		if err != nil {
			t.Fatal(err)
		}
		replace(t, n.config, []byte(strings.Replace(string(config), "cookies =", "deny = [\"127.0.0.0/8\"]\ncookies =", 1)))
		said := len(n.log.String())
		n.reload()
		n.saysAfter(said, "reloaded")
		if out := n.dig(t, "host1.abc.com"); !strings.Contains(out, "status: REFUSED") || !strings.Contains(out, "EDE: 18") {
			t.Errorf("a denied client sees\n%s", out)
		}
		if strings.Contains(n.log.String()[said:], "takes effect after a restart") {
			t.Error("deny is said to need a restart")
		}
	})
	t.Run("counted", func(t *testing.T) {
		text, err := get("http://" + n.api + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`gslb_dns_cookies_total{kind="good"}`, `gslb_dns_answers_total{rcode="BADCOOKIE"}`, "gslb_dns_denied_total", `gslb_dns_rate_limited_total{action="slip"} 0`} {
			if !strings.Contains(string(text), want) {
				t.Errorf("no %s in the metrics", want)
			}
		}
	})
}

// saysAfter waits until the log says a text behind a place.
func (n *node) saysAfter(from int, text string) {
	n.t.Helper()
	until(n.t, patience, func() error {
		if !strings.Contains(n.log.String()[from:], text) {
			return fmt.Errorf("the log does not say %q", text)
		}
		return nil
	})
}
