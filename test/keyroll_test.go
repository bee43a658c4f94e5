package test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// quickPolicy has keys rolled and signatures renewed within seconds, as far as
// the TTLs of the zone allow. The resolver finds the DS at the parent.
const quickPolicy = `
[dnssec.quick]
csk = false
denial = "compact"
validity = "40s"
refresh = "10s"
step = "1s"
dnskey_ttl = "1s"
max_zone_ttl = "5s"
ds_ttl = "1s"
propagation = "1s"
parent_propagation = "1s"
publish_safety = "1s"
retire_safety = "1s"
purge = "5s"
resolvers = ["127.0.10.9"]
ds_validated = true
ds_check = "1s"
`

const validating = `  module-config: "subnetcache validator iterator"
  aggressive-nsec: yes
  harden-algo-downgrade: yes
  trust-anchor: %q
`

// TestKeyRollThroughTheParent: a validating resolver trusts com, which another
// node signs, and finds each answer of abc.com secure at any time: while the DS
// comes into com, while the ZSK, the KSK and then the algorithm are rolled, while
// signatures are renewed, and while sites go down and up. The resolver wants
// signatures of all algorithms, and ldns-verify-zone and delv find each step of
// the algorithm's roll good. Last the zone goes unsigned, and no answer fails.
// Names that do not exist have proofs of their own, each signed by the keys of the
// moment. The node looks for the DS itself, and is never started again.
func TestKeyRollThroughTheParent(t *testing.T) {
	t.Parallel()
	needLong(t)
	needTool(t, "unbound", "dig")
	ns := namespaceOfClients(t)
	tp := newTopology(t)
	tp.prefix, tp.dns = ns, "127.0.10.3:53"
	for old, new := range map[string]string{"$TTL 300": "$TTL 2", "86400 60": "86400 2", "ns1        IN A    127.0.0.1": "ns1        IN A    127.0.10.3"} {
		replaceText(t, tp.zone, old, new)
	}
	tp.startAuthority("127.0.10.1:53=.=" + write(t, tp.dir, "root.zone", rootZone))
	tp.startPlainSites()

	// The parent: its TTLs are short, so that nobody waits for caches.
	comFile := write(t, tp.dir, "com.zone", "$TTL 1\n@ SOA parent host 1 7200 900 1209600 1\n NS parent\nparent A 127.0.10.2\nabc NS ns1.abc\nns1.abc A 127.0.10.3\n")
	comConfig := nodeConfiguration("parent", `["dns"]`, "embedded = true\nlisten = \"127.0.0.1:0\"\n", "127.0.0.1:8054") +
		fmt.Sprintf("[dns]\nlisten = [\"127.0.10.2:53\"]\n[[zone]]\nname = \"com\"\nfile = %q\ndnssec = \"default\"\n", comFile)
	com := tp.startNode("parent", write(t, tp.dir, "parent.toml", comConfig), "", "")
	com.says("serving DNS")
	n := tp.startSigned("quick", quickPolicy)
	n.says("serving DNS")

	tp.startUnbound(ns, fmt.Sprintf(validating, "com. DS "+strings.Join(com.anchor("com"), " ")))
	// ask asks unbound from an address and gives the flags and the answer.
	ask := func(from string, args ...string) (flags, answer string) {
		out := askUnbound(t, ns, from, append([]string{"+dnssec", "+noall", "+comments", "+answer"}, args...)...)
		_, rest, _ := strings.Cut(out, ";; flags: ")
		flags, _, _ = strings.Cut(rest, ";")
		_, status, _ := strings.Cut(out, "status: ")
		status, _, _ = strings.Cut(status, ",")
		return status + " " + flags, out
	}
	secure := func(from string, args ...string) error {
		if flags, out := ask(from, args...); !strings.Contains(flags+" ", " ad ") || strings.Contains(flags, "SERVFAIL") {
			return fmt.Errorf("%v from %s is not secure: %s\n%s", args, from, flags, out)
		}
		return nil
	}
	until(t, patience, func() error {
		if flags, _ := ask("8.8.8.8", "mail.abc.com"); !strings.HasPrefix(flags, "NOERROR") {
			return fmt.Errorf("mail.abc.com through unbound: %s", flags)
		}
		return secure("8.8.8.8", "com", "SOA")
	})
	if flags, _ := ask("8.8.8.8", "mail.abc.com"); strings.Contains(flags, " ad ") {
		t.Fatalf("abc.com is secure without a DS: %s", flags)
	}

	// putDS puts the DS of the key that waits for it into com.
	serial := 1
	says := func(limit time.Duration, want string) {
		t.Helper()
		until(t, limit, func() error {
			if text := n.keys("list", "abc.com"); !strings.Contains(text, want) {
				return fmt.Errorf("gslb keys list does not say %q:\n%s", want, text)
			}
			return nil
		})
	}
	changeDS := func(ds string) {
		t.Helper()
		text, err := os.ReadFile(comFile)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(string(text)) {
			if !strings.HasPrefix(line, "abc DS ") {
				lines = append(lines, strings.Replace(line, fmt.Sprintf("host %d ", serial), fmt.Sprintf("host %d ", serial+1), 1))
			}
		}
		serial++
		replace(t, comFile, []byte(strings.Join(lines, "")+ds))
		com.reload()
	}
	putDS := func() {
		t.Helper()
		says(patience, "its DS is to be put into the parent now")
		changeDS("abc DS " + strings.Join(n.anchor("abc.com"), " ") + "\n")
		until(t, patience, func() error {
			if text := n.keys("list", "abc.com"); strings.Contains(text, "its DS is to be put") || !strings.Contains(text, "its DS is at the parent") {
				return fmt.Errorf("the DS at the parent was not seen:\n%s", text)
			}
			return nil
		})
	}
	// tags lists the keys of a role that are published.
	tags := func(role string) (all []string) {
		for line := range strings.Lines(n.keys("list", "abc.com")) {
			if f := strings.Fields(line); len(f) > 3 && f[0] == role && !strings.Contains(line, "gone since") {
				all = append(all, f[1])
			}
		}
		return all
	}
	putDS()
	until(t, patience, func() error { return secure("8.8.8.8", "mail.abc.com") })
	if text := must(t, append(append([]string{}, ns...), binary(t), "status", "--api", n.api)...); !strings.Contains(text, "(validated)") {
		t.Errorf("the look at the parent was not validated:\n%s", text)
	}

	// From here on everything is secure all the time.
	questions := []string{"www.abc.com A", "www.abc.com AAAA", "img.abc.com A", "mail.abc.com A", "x.wild.abc.com TXT", "none.abc.com A", "new%d.abc.com A", "mail.abc.com TXT", "abc.com DNSKEY", "alias.abc.com A", "sub.abc.com DS"}
	turn := 0
	users := startStream(t, 20*time.Millisecond, func() (string, error) {
		from := []string{"198.51.100.7", "203.0.113.9", "192.0.2.77", "8.8.8.8"}[turn%4]
		question := questions[turn%len(questions)]
		turn++
		return question, secure(from, strings.Fields(strings.Replace(question, "%d", strconv.Itoa(turn), 1))...)
	})
	rolled := func(role string, before []string) {
		t.Helper()
		until(t, patience, func() error {
			if now := tags(role); len(now) != 1 || now[0] == before[0] {
				return fmt.Errorf("%s: %v before, %v now:\n%s", role, before, now, n.keys("list", "abc.com"))
			}
			return nil
		})
	}
	inside := func(args ...string) {
		t.Helper()
		must(t, append(append(append([]string{}, ns...), binary(t)), args...)...)
	}
	for _, role := range []string{"ZSK", "KSK"} {
		before := tags(role)
		if len(before) != 1 {
			t.Fatalf("%s: %v", role, before)
		}
		n.keys("roll", "abc.com", role)
		inside("force", "kt", "down", "--why", "test", "--api", n.api)
		if role == "KSK" {
			putDS()
		}
		inside("undrain", "kt", "--api", n.api)
		rolled(role, before)
	}
	tp.rollAlgorithm(n, ns, putDS)
	if keys := append(tags("KSK"), tags("ZSK")...); len(keys) != 2 || strings.Contains(strings.Split(n.keys("list", "abc.com"), "gone since")[0], "roll from") {
		t.Errorf("after the roll of the algorithm:\n%s", n.keys("list", "abc.com"))
	}
	counted := map[string]int{}
	for _, e := range users.end() {
		if e.err != nil {
			t.Errorf("at %s: %v", e.at.Format(time.TimeOnly), e.err)
		}
		counted[e.got]++
	}
	if len(counted) != len(questions) {
		t.Errorf("asked: %v", counted)
	}
	for from, name := range placesToAsk {
		until(t, patience, func() error { // a site may have been out for a moment, on a busy machine
			if _, answer := ask(from, "www.abc.com"); !strings.Contains(answer, siteNamed(t, name).cname) {
				return fmt.Errorf("from %s, want site %s:\n%s", from, name, answer)
			}
			return nil
		})
	}

	// Unsigned again: secure, then insecure, and never bogus.
	users = startStream(t, 20*time.Millisecond, func() (string, error) {
		flags, out := ask("8.8.8.8", strings.Fields(questions[turn%len(questions)])...)
		turn++
		if !strings.HasPrefix(flags, "NOERROR") && !strings.HasPrefix(flags, "NXDOMAIN") {
			return "", fmt.Errorf("%s: %s", flags, out)
		}
		return "", nil
	})
	replaceText(t, n.config, "[dnssec.quick]\n", "[dnssec.quick]\ninsecure = true\n")
	n.reload()
	says(patience, "step 1 of 3")
	for rrtype, want := range map[string]string{"CDS": "0 0 0 00", "CDNSKEY": "0 3 0 AA=="} {
		until(t, patience, func() error {
			if got := strings.TrimSpace(must(t, append(append([]string{}, ns...), "dig", "@127.0.10.3", "+short", "abc.com", rrtype)...)); got != want {
				return fmt.Errorf("%s is %q, want %q", rrtype, got, want)
			}
			return nil
		})
	}
	changeDS("") // and the other two steps follow, each maybe sooner than anybody looks
	until(t, patience, func() error {
		flags, out := ask("8.8.8.8", "mail.abc.com")
		if !strings.HasPrefix(flags, "NOERROR") || strings.Contains(flags, " ad ") || strings.Contains(out, "RRSIG") {
			return fmt.Errorf("not unsigned: %s %s", flags, out)
		}
		return nil
	})
	for _, e := range users.end() {
		if e.err != nil {
			t.Errorf("while it goes unsigned, at %s: %v", e.at.Format(time.TimeOnly), e.err)
		}
	}
	replaceText(t, n.config, "dnssec = \"quick\"\n", "")
	n.reload()
	n.says("reloaded")
}

// rollAlgorithm changes the policy's algorithm and looks at the zone in each step
// of the roll that follows.
func (tp *topology) rollAlgorithm(n *node, ns []string, putDS func()) {
	t := tp.t
	t.Helper()
	inside := func(args ...string) result {
		return run(t, patience, append(append([]string{}, ns...), args...)...)
	}
	ds := n.anchor("abc.com")
	// look looks at the zone in a step, or in one after it where this test is slow.
	look := func(step string) {
		t.Helper()
		until(t, patience, func() error {
			text := n.keys("list", "abc.com")
			_, now, on := strings.Cut(text, "roll from ECDSAP256SHA256 (KSK and ZSK) to ED25519 (KSK and ZSK), ")
			if on && now < step || !on && step < "step 4" {
				return fmt.Errorf("want %s:\n%s", step, text)
			}
			return nil
		})
		file := write(t, t.TempDir(), "transferred", inside("dig", "@127.0.10.3", "+noall", "+answer", "+onesoa", "abc.com", "axfr").out)
		if r := inside("ldns-verify-zone", file); r.code != 0 {
			t.Errorf("%s: ldns-verify-zone: %s%s", step, r.out, r.err)
		}
		anchor := write(t, tp.dir, "anchor", fmt.Sprintf("trust-anchors { abc.com. static-ds %s %s %s %q; };\n", ds[0], ds[1], ds[2], ds[3]))
		for _, q := range []string{"mail.abc.com A", "www.abc.com A", "none.abc.com A", "x.wild.abc.com TXT", "abc.com DNSKEY"} {
			r := inside(append([]string{"delv", "@127.0.10.3", "-a", anchor, "+root=abc.com"}, strings.Fields(q)...)...)
			if !strings.Contains(r.out+r.err, "fully validated") {
				t.Errorf("%s: delv %s: %s%s", step, q, r.out, r.err)
			}
		}
	}
	replaceText(t, n.config, "dnssec = \"quick\"\n", "dnssec = \"quick\"\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n")
	replaceText(t, n.config, "[dnssec.quick]\n", "[dnssec.quick]\nalgorithm = \"ED25519\"\n")
	n.reload()
	look("step 1 of 5")
	look("step 3 of 5")
	putDS()
	ds = n.anchor("abc.com")
	look("step 4 of 5")
	look("step 5 of 5")
	until(t, patience, func() error {
		if text := n.keys("list", "abc.com"); strings.Contains(text, "roll from") {
			return fmt.Errorf("the roll has no end:\n%s", text)
		}
		return nil
	})
}
