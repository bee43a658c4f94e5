package test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestSignedZoneMoves: a zone that is signed here goes out with its signatures,
// after an update signed anew, and ldns-verify-zone finds nothing wrong with it,
// the answers of steered names included.
func TestSignedZoneMoves(t *testing.T) {
	t.Parallel()
	needLong(t)
	needTool(t, "dig", "ldns-verify-zone", "dnssec-verify")
	dir, at, bindAt := t.TempDir(), freeAddress(t), freeAddress(t)
	host, port, _ := net.SplitHostPort(at)
	writeZone(t, dir, 10, "a.site IN A 192.0.2.80\n")
	m := startMover(t, dir, at, fmt.Sprintf(`[[zone]]
name = "example."
file = "example.zone"
dnssec = "default"
serial = "unixtime"
transfer_to = [{ network = "127.0.0.0/8" }]
notify = [{ address = %q }]
update = [{ key = %q }]

[[site]]
name = "one"
cname = "a.site.example."
addresses = ["192.0.2.80"]

[[site]]
name = "two"
addresses = ["192.0.2.90", "2001:db8::90"]

[[steer]]
name = "half.example."
answer = "address"
ttl = "30s"
  [[steer.rule]]
  to = ["one", "two"]

[[steer]]
name = "steered.example."
answer = "address"
ttl = "30s"
  [[steer.rule]]
  to = ["one"]

[[steer]]
name = "named.example."
answer = "cname"
ttl = "30s"
  [[steer.rule]]
  to = ["one"]
`, bindAt, moveKey))
	startBIND(t, bindAt, fmt.Sprintf(`zone "example" { type secondary; file "example.db"; primaries { %s port %s; }; allow-transfer { any; }; };`, host, port))
	verify := func() {
		t.Helper()
		served, err := serial(at, "example.")
		if err != nil {
			t.Fatal(err)
		}
		hasSerial(t, bindAt, "example.", served)
		for _, from := range []string{at, bindAt} {
			h, p, _ := net.SplitHostPort(from)
			out := must(t, "dig", "@"+h, "-p", p, "+noall", "+answer", "+onesoa", "example", "axfr")
			for _, text := range []string{"steered.example.\t", "named.example.\t", "RRSIG\tA ", "RRSIG\tNSEC "} {
				if !strings.Contains(strings.ReplaceAll(out, " ", "\t"), strings.ReplaceAll(text, " ", "\t")) {
					t.Errorf("no %q in the transfer from %s", text, from)
				}
			}
			file := write(t, t.TempDir(), "transferred", out)
			if r := run(t, patience, "ldns-verify-zone", file); r.code != 0 {
				t.Errorf("the transfer from %s: ldns-verify-zone: %s%s\n%s", from, r.out, r.err, out)
			}
			// Which looks at the types in proofs, too: half.example. has AAAA records for some.
			if r := run(t, patience, "dnssec-verify", "-z", "-o", "example", file); r.code != 0 {
				t.Errorf("the transfer from %s: dnssec-verify: %s%s\n%s", from, r.out, r.err, out)
			}
		}
	}
	verify()
	for i := range 2 {
		before, _ := serial(at, "example.")
		if code := update(t, at, "example.", func(m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, fmt.Sprintf("new%d.example. 60 IN A 192.0.2.1", i))})
		}); code != dns.RcodeSuccess {
			t.Fatalf("update: %s", dns.RcodeToString[code])
		}
		if after, _ := serial(at, "example."); after == before {
			t.Errorf("the serial number is still %d after an update", after)
		}
		verify()
	}
	// A site's address is another: secondaries get the difference, as after the updates.
	before, _ := serial(at, "example.")
	replaceText(t, m.config, `addresses = ["192.0.2.80"]`, `addresses = ["192.0.2.81"]`)
	replaceText(t, m.config, `to = ["one", "two"]`, `to = ["two", "one"]`)
	m.Signal(syscall.SIGHUP)
	until(t, patience, func() error {
		after, err := serial(at, "example.")
		if err == nil && after == before {
			err = fmt.Errorf("the serial number is %d still", after)
		}
		return err
	})
	verify()
	comesToHave(t, "example. of BIND", axfr(t, at, "example.", "", ""), bindAt, "example.", "", "")
	if !strings.Contains(strings.Join(axfr(t, bindAt, "example.", "", ""), "\n"), "192.0.2.81") {
		t.Error("BIND does not have the other address")
	}
	m.saysTimes("as=IXFR", 3)
	if _, err := os.Stat(dir + "/data/zones/example.journal"); err != nil {
		t.Error(err)
	}
	m.Kill()
	for served, _ := serial(bindAt, "example."); uint32(time.Now().Unix()) <= served; { // it was changed more than once in a second
		time.Sleep(100 * time.Millisecond)
	}
	startMover(t, dir, at, readMore(t, m.config))
	verify()
}

// TestUpdatesOfASignedZoneAfterReloads: a reload that finds a master file as it was
// takes over the signed zone, which is not what the file has.
func TestUpdatesOfASignedZoneAfterReloads(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, at := t.TempDir(), freeAddress(t)
	writeZone(t, dir, 10, "")
	m := startMover(t, dir, at, fmt.Sprintf(`[[zone]]
name = "example."
file = "example.zone"
dnssec = "default"
serial = "increment"
transfer_to = [{ network = "127.0.0.0/8" }]
update = [{ key = %q }]

[[site]]
name = "one"
addresses = ["192.0.2.80"]

[[steer]]
name = "steered.example."
answer = "address"
ttl = "30s"
  [[steer.rule]]
  to = ["one"]
`, moveKey))
	reloads := 0
	reload := func() {
		t.Helper()
		m.Signal(syscall.SIGHUP)
		reloads++
		m.saysTimes("msg=reloaded", reloads)
	}
	has := func(name string) bool {
		t.Helper()
		return strings.Contains(strings.Join(axfr(t, at, "example.", "", ""), "\n"), name)
	}
	for i := range 2 {
		reload()
		if code := update(t, at, "example.", func(m *dns.Msg) {
			m.Insert([]dns.RR{rr(t, fmt.Sprintf("new%d.example. 60 IN A 192.0.2.1", i))})
		}); code != dns.RcodeSuccess {
			t.Fatalf("update %d, after a reload: %s", i, dns.RcodeToString[code])
		}
	}
	// What the policy refuses in a file it refuses in an update: else no reload nor start would succeed any more.
	if code := update(t, at, "example.", func(m *dns.Msg) {
		m.Insert([]dns.RR{rr(t, "long.example. 86401 IN A 192.0.2.1")})
	}); code != dns.RcodeRefused {
		t.Errorf("update with a TTL above max_zone_ttl: %s", dns.RcodeToString[code])
	}
	m.says(`max_zone_ttl`)
	reload()
	if strings.Contains(m.log.String(), "has changed, but") {
		t.Errorf("the master file is as it was, but the log says\n%s", m.log.String())
	}
	if !has("new0.example.") || !has("new1.example.") {
		t.Error("the updates are gone after a reload")
	}
	writeZone(t, dir, 10, "more IN A 192.0.2.2\n")
	for range 2 { // the second one finds what the first one found
		reload()
		if !strings.Contains(m.log.String(), "has changed, but its serial number 10 is not newer") || !has("new1.example.") || has("more.example.") {
			t.Errorf("a master file that is not newer than the updates took their place, or was not told of:\n%s", m.log.String())
		}
	}
	writeZone(t, dir, 1000, "more IN A 192.0.2.2\n")
	reload()
	if has("new1.example.") || !has("more.example.") {
		t.Error("a newer master file does not take the updates' place")
	}
	reload()
	if code := update(t, at, "example.", func(m *dns.Msg) {
		m.Insert([]dns.RR{rr(t, "new2.example. 60 IN A 192.0.2.1")})
	}); code != dns.RcodeSuccess || !has("new2.example.") {
		t.Errorf("update of a newer master file: %s", dns.RcodeToString[code])
	}
}

// readMore is what a configuration of startMover has behind its own part.
func readMore(t testing.TB, path string) string {
	t.Helper()
	_, more, _ := strings.Cut(readFile(t, path), "[[zone]]")
	return "[[zone]]" + more
}
