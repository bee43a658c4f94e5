package test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

// nsupdate runs a script against a server, signed with a key unless it is "".
func nsupdate(t testing.TB, address, key, script string, flags ...string) result {
	t.Helper()
	host, port, _ := net.SplitHostPort(address)
	file := write(t, t.TempDir(), "script", fmt.Sprintf("server %s %s\n%s\n", host, port, script))
	argv := []string{"nsupdate", "-t", "60", "-u", "30", "-r", "0"}
	if key != "" {
		argv = append(argv, "-y", key)
	}
	return run(t, patience, append(append(argv, flags...), file)...)
}

const (
	moveY  = "hmac-sha256:" + moveKey + ":" + moveSecret
	otherY = "hmac-sha512:" + otherKey + ":" + otherSec
)

// startUpdated starts a gslb with a zone that takes updates.
func startUpdated(t testing.TB, dir, address string) *mover {
	t.Helper()
	return startMover(t, dir, address, fmt.Sprintf(`[[zone]]
name = "example."
file = "example.zone"
transfer_to = [{ network = "127.0.0.0/8" }]
  [[zone.update]]
  key = %q
  [[zone.update]]
  key = %q
  names = ["_acme-challenge.*.example."]
  below = ["dyn.example."]
  types = ["TXT"]
`, moveKey, otherKey))
}

// TestUpdates: nsupdate as it is, with what it may and what it may not.
func TestUpdates(t *testing.T) {
	t.Parallel()
	needTool(t, "nsupdate")
	dir := t.TempDir()
	writeZone(t, dir, 10, "")
	m := startUpdated(t, dir, freeAddress(t))
	for _, c := range []struct {
		what, key, script string
		want              string // in what nsupdate says; "": nothing
		serial            uint32
	}{
		{"add", moveY, "update add a.example. 60 A 192.0.2.1\nupdate add a.example. 60 A 192.0.2.2\nsend", "", 11},
		{"add what is there", moveY, "update add a.example. 60 A 192.0.2.1\nsend", "", 11},
		{"another TTL", moveY, "update add a.example. 30 A 192.0.2.1\nsend", "", 12},
		{"delete one", moveY, "update delete a.example. A 192.0.2.1\nsend", "", 13},
		{"delete what is not there", moveY, "update delete b.example. A\nsend", "", 13},
		{"prerequisite met", moveY, "prereq yxrrset a.example. A 192.0.2.2\nprereq nxdomain b.example.\nupdate add b.example. 60 TXT \"b\"\nsend", "", 14},
		{"yxdomain not met", moveY, "prereq yxdomain c.example.\nupdate add c.example. 60 A 192.0.2.1\nsend", "NXDOMAIN", 14},
		{"nxdomain not met", moveY, "prereq nxdomain b.example.\nupdate add b.example. 60 A 192.0.2.1\nsend", "YXDOMAIN", 14},
		{"yxrrset not met", moveY, "prereq yxrrset b.example. A\nupdate add b.example. 60 A 192.0.2.1\nsend", "NXRRSET", 14},
		{"nxrrset not met", moveY, "prereq nxrrset b.example. TXT\nupdate add b.example. 60 A 192.0.2.1\nsend", "YXRRSET", 14},
		{"value not met", moveY, "prereq yxrrset a.example. A 192.0.2.3\nupdate add b.example. 60 A 192.0.2.1\nsend", "NXRRSET", 14},
		{"CNAME beside data", moveY, "update add a.example. 60 CNAME b.example.\nsend", "", 14},
		{"not in the zone", moveY, "zone example.\nupdate add a.other. 60 A 192.0.2.1\nsend", "NOTZONE", 14},
		{"a zone of others", moveY, "zone other.\nupdate add a.other. 60 A 192.0.2.1\nsend", "NOTAUTH", 14},
		{"without a key", "", "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend", "REFUSED", 14},
		{"what policy allows", otherY, "zone example.\nupdate add _acme-challenge.www.example. 60 TXT \"t\"\nupdate add x.y.dyn.example. 60 TXT \"t\"\nsend", "", 15},
		{"another type", otherY, "zone example.\nupdate add dyn.example. 60 A 192.0.2.1\nsend", "REFUSED", 15},
		{"another name", otherY, "zone example.\nupdate add dynx.example. 60 TXT \"t\"\nsend", "REFUSED", 15},
		{"two labels for one", otherY, "zone example.\nupdate add _acme-challenge.a.b.example. 60 TXT \"t\"\nsend", "REFUSED", 15},
		{"all of a name, as its types are allowed", otherY, "zone example.\nupdate delete x.y.dyn.example.\nsend", "", 16},
		{"all of a name with other types", otherY, "zone example.\nupdate delete www.example.\nsend", "REFUSED", 16},
		{"one that fails with one that would not", moveY, "update add e.example. 60 A 192.0.2.1\nupdate add e.other. 60 A 192.0.2.1\nzone example.\nsend", "NOTZONE", 16},
		{"all of a name", moveY, "update delete a.example.\nsend", "", 17},
		{"the last NS stays", moveY, "update delete example.\nsend", "", 18}, // but the MX goes
		{"NS of the apex", moveY, "update delete example. NS ns1.example.\nsend", "REFUSED", 18},
		{"an SOA", moveY, "update add example. 300 SOA ns1.example. hostmaster.example. 100 2 1 600 60\nsend", "REFUSED", 18},
	} {
		r := nsupdate(t, m.dns, c.key, c.script)
		said := r.out + r.err
		if c.want == "" && (r.code != 0 || strings.TrimSpace(said) != "") || !strings.Contains(said, c.want) {
			t.Errorf("%s: nsupdate says %q (exit code %d), want %q", c.what, said, r.code, c.want)
		}
		if got, err := serial(m.dns, "example."); err != nil || got != c.serial {
			t.Errorf("%s: serial %d, want %d (%v)", c.what, got, c.serial, err)
		}
	}
	if all := strings.Join(axfr(t, m.dns, "example.", "", ""), "\n"); strings.Contains(all, "e.example. 60") || !strings.Contains(all, `_acme-challenge.www.example. 60 in txt "t"`) || !strings.Contains(all, "example. 300 in ns ns1.example.") {
		t.Errorf("the zone at the end:\n%s", all)
	}
}

// TestUpdateSurvives: what was acknowledged is there after kill -9, each time;
// IXFR tells of all of it; and the master file counts again once it is newer.
func TestUpdateSurvives(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, address := t.TempDir(), freeAddress(t)
	writeZone(t, dir, 10, "")
	var before []string // the zone when it was killed
	for i := range 3 {
		m := startUpdated(t, dir, address)
		if i > 0 {
			sameZone(t, "example. after kill -9", before, axfr(t, address, "example.", "", ""))
		}
		for j := range 4 {
			if code := update(t, address, "example.", func(m *dns.Msg) {
				m.Insert([]dns.RR{rr(t, fmt.Sprintf("k%d-%d.example. 60 IN A 192.0.2.1", i, j))})
			}); code != dns.RcodeSuccess {
				t.Fatalf("update: %s", dns.RcodeToString[code])
			}
		}
		if code := update(t, address, "example.", func(m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, fmt.Sprintf("last%d.example. 60 IN A 192.0.2.1", i))})
		}); code != dns.RcodeSuccess {
			t.Fatalf("update: %s", dns.RcodeToString[code])
		}
		m.Kill() // right after the acknowledgement
		n := startUpdated(t, dir, address)
		before = axfr(t, address, "example.", "", "")
		if !strings.Contains(strings.Join(before, "\n"), fmt.Sprintf("last%d.example.", i)) {
			t.Fatalf("the update that was acknowledged last is gone:\n%s", strings.Join(before, "\n"))
		}
		n.Kill()
	}
	m := startUpdated(t, dir, address)
	hasSerial(t, address, "example.", 25)
	if needTool(t, "kdig"); true {
		host, port, _ := net.SplitHostPort(address)
		out := must(t, "kdig", "+timeout=30", "@"+host, "-p", port, "example", "IXFR=10")
		if strings.Count(out, "\tSOA\t") != 2+2*15 || !strings.Contains(out, "last2.example.") {
			t.Errorf("IXFR from the beginning, after six restarts:\n%s", out)
		}
	}
	writeZone(t, dir, 11, "edited IN A 192.0.2.1\n")
	m.Signal(syscall.SIGHUP)
	m.says("which updates made: what updates made is served until the file has a newer one")
	hasSerial(t, address, "example.", 25)
	writeZone(t, dir, 26, "edited IN A 192.0.2.1\n")
	m.Signal(syscall.SIGHUP)
	hasSerial(t, address, "example.", 26)
	m.Kill()
	startUpdated(t, dir, address)
	hasSerial(t, address, "example.", 26)
	if all := strings.Join(axfr(t, address, "example.", "", ""), "\n"); strings.Contains(all, "last2.example.") || !strings.Contains(all, "edited.example.") {
		t.Errorf("not the file:\n%s", all)
	}
}

// TestUpdateThatDoesNotFit: an update that takes what the configuration refers to is a
// problem that is told; reloads and restarts go on.
func TestUpdateThatDoesNotFit(t *testing.T) {
	t.Parallel()
	needTool(t, "nsupdate")
	dir, at := t.TempDir(), freeAddress(t)
	writeZone(t, dir, 10, "")
	config := fmt.Sprintf(`[[zone]]
name = "example."
file = "example.zone"
transfer_to = [{ network = "127.0.0.0/8" }]
  [[zone.update]]
  key = %q
[[site]]
name = "kt"
cname = "mail.example."
addresses = ["192.0.2.25"]
[[steer]]
name = "steered.example."
answer = "cname"
  [[steer.rule]]
  to = ["kt"]
[[steer]]
name = "address.example."
answer = "address"
  [[steer.rule]]
  to = ["kt"]
`, moveKey)
	const problem = "cname mail.example.: the zone example., as transfers or updates have made it, has neither A nor AAAA"
	m := startMover(t, dir, at, config)
	if r := nsupdate(t, at, moveY, "update delete mail.example. A\nsend"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	m.says(problem)
	m.Signal(syscall.SIGHUP)
	m.says("msg=reloaded")
	m.Kill()
	startMover(t, dir, at, config)
	hasSerial(t, at, "example.", 11)
	// Steered names are there for prerequisites too.
	for prereq, want := range map[string]string{
		"nxdomain steered.example.":      "YXDOMAIN",
		"nxdomain address.example.":      "YXDOMAIN",
		"yxdomain steered.example.":      "",
		"yxrrset steered.example. CNAME": "",
		"nxrrset steered.example. CNAME": "YXRRSET",
		"nxrrset steered.example. TXT":   "",
		"yxrrset address.example. A":     "",
		"nxrrset address.example. A":     "YXRRSET",
		"yxrrset address.example. AAAA":  "NXRRSET",
		"nxrrset address.example. TXT":   "",
		"nxdomain other.example.":        "",
	} {
		r := nsupdate(t, at, moveY, "prereq "+prereq+"\nupdate delete nothing.example. TXT\nsend")
		if said := r.out + r.err; (r.code == 0) != (want == "") || !strings.Contains(said, want) {
			t.Errorf("%s: %q, want %q", prereq, said, want)
		}
	}
	if r := nsupdate(t, at, moveY, "update add mail.example. 60 A 192.0.2.25\nsend"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	hasSerial(t, at, "example.", 12)
}

// TestLego: lego's own RFC 2136 provider proves a name to an ACME server, and
// cleans up, with a key that may do no more.
func TestLego(t *testing.T) {
	t.Parallel()
	needLong(t)
	program := filepath.Join(t.TempDir(), "ddns")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir = filepath.Join("..", "tools", "ddns")
	if out, err := build.CombinedOutput(); err != nil {
		bed.Missing(t, "lego cannot be built, most likely as its modules cannot be had: %v\n%s", err, out)
	}
	dir := t.TempDir()
	writeZone(t, dir, 1, "")
	m := startUpdated(t, dir, freeAddress(t))
	lego := func(what, domain string) result {
		t.Helper()
		return run(t, patience, "env", "RFC2136_NAMESERVER="+m.dns, "RFC2136_TSIG_KEY="+otherKey, "RFC2136_TSIG_SECRET="+otherSec,
			"RFC2136_TSIG_ALGORITHM=hmac-sha512.", "RFC2136_DNS_TIMEOUT=30", program, what, domain, "token", "key authorization")
	}
	proof := func(want int) {
		t.Helper()
		r, err := exchange("udp", m.dns, new(dns.Msg).SetQuestion("_acme-challenge.www.example.", dns.TypeTXT))
		if err != nil || len(r.Answer) != want {
			t.Errorf("%d TXT records, want %d (%v)", len(r.Answer), want, err)
		}
	}
	if r := lego("present", "www.example"); r.code != 0 {
		t.Fatalf("lego: %s", r.err)
	}
	proof(1)
	if r := lego("cleanup", "www.example"); r.code != 0 {
		t.Fatalf("lego: %s", r.err)
	}
	proof(0)
	if r := lego("present", "a.b.example"); r.code == 0 || !strings.Contains(r.err, "REFUSED") {
		t.Errorf("a name that the key may not change: %q", r.err)
	}
}

// TestUpdatesLikeBIND: the same updates give the same codes and the same zone as
// with BIND.
func TestUpdatesLikeBIND(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, other := t.TempDir(), t.TempDir()
	writeZone(t, dir, 1, "")
	writeZone(t, other, 1, "")
	m := startUpdated(t, dir, freeAddress(t))
	b := startBIND(t, freeAddress(t), fmt.Sprintf(`zone "example" { type primary; file "%s/example.zone"; allow-update { key "%s"; }; allow-transfer { any; }; };`, other, moveKey))
	hasSerial(t, b.dns, "example.", 1)
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"example.", "www.example.", "mail.example.", "a.example.", "b.a.example.", "*.example.", "wild.example.", "text.example.", "sub.example."}
	types := []string{"A 192.0.2.1", "A 192.0.2.2", "TXT \"x\"", "TXT \"y\"", "CNAME www.example.", "CNAME mail.example.", "MX 10 mail.example.", "AAAA 2001:db8::80", "NS ns2.example."}
	record := func() dns.RR {
		return rr(t, fmt.Sprintf("%s %d IN %s", names[random.IntN(len(names))], 60*(1+random.IntN(2)), types[random.IntN(len(types))]))
	}
	for i := range 150 {
		build := new(dns.Msg).SetUpdate("example.")
		for range 1 + random.IntN(3) {
			switch one := []dns.RR{record()}; random.IntN(10) {
			case 0:
				build.NameUsed(one)
			case 1:
				build.NameNotUsed(one)
			case 2:
				build.RRsetUsed(one)
			case 3:
				build.RRsetNotUsed(one)
			}
		}
		for range 1 + random.IntN(4) {
			one := []dns.RR{record()}
			ns := one[0].Header().Rrtype == dns.TypeNS && (one[0].Header().Name == "example." || one[0].Header().Name == "*.example.") // refused here: by default, and since a wildcard cannot be delegated
			switch kind := random.IntN(6); {
			case ns:
			case kind < 3:
				build.Insert(one)
			case kind == 3:
				build.Remove(one)
			case kind == 4:
				build.RemoveRRset(one)
			case kind == 5:
				build.RemoveName(one)
			}
		}
		send := func(address string) int {
			return update(t, address, "example.", func(m *dns.Msg) { m.Answer, m.Ns = build.Copy().Answer, build.Copy().Ns })
		}
		if here, there := send(m.dns), send(b.dns); here != there {
			t.Errorf("update %d: %s, BIND %s\n%v", i, dns.RcodeToString[here], dns.RcodeToString[there], build)
		}
		if i%25 != 24 {
			continue
		}
		withoutSOA := func(all []string) []string {
			return slices.DeleteFunc(all, func(s string) bool { return strings.Contains(s, " in soa ") })
		}
		sameZone(t, "example.", withoutSOA(axfr(t, m.dns, "example.", "", "")), withoutSOA(axfr(t, b.dns, "example.", "", "")))
	}
}
