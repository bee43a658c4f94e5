package test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// update sends an UPDATE signed with the common key and gives the code of the answer.
func update(t testing.TB, address, zone string, build func(m *dns.Msg)) int {
	t.Helper()
	m := new(dns.Msg).SetUpdate(zone)
	build(m)
	m.SetTsig(moveKey, dns.HmacSHA256, 300, time.Now().Unix())
	c := &dns.Client{Net: "tcp", TsigSecret: map[string]string{moveKey: moveSecret}, Timeout: answerWithin}
	r, _, err := c.Exchange(m, address)
	if err != nil {
		t.Fatalf("UPDATE of %s at %s: %v", zone, address, err)
	}
	return r.Rcode
}

func rr(t testing.TB, text string) dns.RR {
	t.Helper()
	r, err := dns.NewRR(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestPrimaries: gslb takes a zone from BIND, Knot DNS and NSD, signed with TSIG,
// is told of changes by NOTIFY, takes them by IXFR where the primary has that, and
// serves its last copy after a restart without the primary, until it expires.
func TestPrimaries(t *testing.T) {
	needLong(t)
	for _, name := range []string{"BIND", "Knot", "NSD"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, secondary := freeAddress(t), freeAddress(t)
			host, port, _ := net.SplitHostPort(secondary)
			var primary *another
			zoneDir := t.TempDir()
			zone := writeZone(t, zoneDir, 1, "")
			start := func() {
				switch name {
				case "BIND":
					primary = startBIND(t, at, fmt.Sprintf(`zone "example" { type primary; file "%s"; allow-update { key "%s"; }; allow-transfer { key "%[2]s"; }; also-notify { %s port %s key "%[2]s"; }; };`, zone, moveKey, host, port))
				case "Knot":
					primary = startKnot(t, at, fmt.Sprintf(`remote:
  - id: secondary
    address: %s@%s
    key: %s
acl:
  - id: all
    key: %[3]s
    action: [transfer, update]
zone:
  - domain: example
    file: "%s"
    notify: secondary
    acl: all
    semantic-checks: off
`, host, port, moveKey, zone))
				case "NSD":
					primary = startNSD(t, at, fmt.Sprintf("zone:\n\tname: \"example\"\n\tzonefile: \"%s\"\n\tprovide-xfr: 127.0.0.0/8 %s\n\tnotify: %s@%s %[2]s\n", zone, moveKey, host, port))
				}
			}
			start()
			hasSerial(t, at, "example.", 1)
			dir := t.TempDir()
			config := fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"copy.zone\"\nprimaries = [{ address = %q, key = %q }]\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n", at, moveKey)
			m := startMover(t, dir, secondary, config)
			hasSerial(t, m.dns, "example.", 1)
			same := func() {
				t.Helper()
				comesToHave(t, "example. of "+name, axfr(t, m.dns, "example.", "", ""), at, "example.", moveKey, moveSecret)
			}
			same()
			want := uint32(2)
			if name == "NSD" {
				writeZone(t, zoneDir, 2, "new IN A 192.0.2.1\n")
				primary.Signal(syscall.SIGHUP)
			} else {
				for i := range 3 {
					if code := update(t, at, "example.", func(m *dns.Msg) {
						m.Insert([]dns.RR{rr(t, fmt.Sprintf("new%d.example. 60 IN A 192.0.2.%d", i, i+1))})
						m.Remove([]dns.RR{rr(t, "mail.example. 300 IN A 192.0.2.25")})
					}); code != dns.RcodeSuccess {
						t.Fatalf("%s refuses an update: %s", name, dns.RcodeToString[code])
					}
				}
				want, _ = serial(at, "example.")
			}
			hasSerial(t, m.dns, "example.", want)
			same()
			if name != "NSD" {
				m.says("as=IXFR")
			}
			m.says(fmt.Sprintf("serial=%d took", want)) // then the copy is written
			copied, err := os.ReadFile(filepath.Join(dir, "copy.zone"))
			if err != nil || !strings.Contains(strings.ToLower(string(copied)), "upper.case.example.") {
				t.Errorf("the copy: %v\n%s", err, copied)
			}
			before := axfr(t, m.dns, "example.", "", "")
			primary.Stop()
			m.Kill()
			again := startMover(t, dir, secondary, config)
			sameZone(t, "example. after a restart", before, axfr(t, again.dns, "example.", "", ""))
		})
	}
}

// TestExpiry: a zone whose primary is gone is served until it expires, then
// answered SERVFAIL, and served again when the primary is back.
func TestExpiry(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, from := t.TempDir(), t.TempDir()
	at := freeAddress(t)
	text := strings.Replace(fmt.Sprintf(moveZone, 1), "2 1 600 60", "1 1 5 60", 1)
	write(t, from, "example.zone", text)
	primaryConfig := fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ key = %q }]\n", moveKey)
	primary := startMover(t, from, at, primaryConfig)
	began := time.Now() // it is not transferred before
	m := startMover(t, dir, freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nprimaries = [{ address = %q, key = %q }]\n", at, moveKey))
	hasSerial(t, m.dns, "example.", 1)
	primary.Kill()
	ask := func(code int) func() error {
		return func() error {
			r, _, err := (&dns.Client{Timeout: answerWithin}).Exchange(new(dns.Msg).SetQuestion("www.example.", dns.TypeAAAA), m.dns)
			if err == nil && r.Rcode != code {
				err = fmt.Errorf("%s, want %s", dns.RcodeToString[r.Rcode], dns.RcodeToString[code])
			}
			return err
		}
	}
	if err := ask(dns.RcodeSuccess)(); err != nil && time.Since(began) < 5*time.Second {
		t.Errorf("before it expires: %v", err)
	}
	until(t, patience, ask(dns.RcodeServerFailure))
	startMover(t, from, at, primaryConfig)
	until(t, patience, ask(dns.RcodeSuccess))
}

// TestExpiryThroughAnother: a copy that comes through a secondary of another make expires with that, not
// by the sum of both (RFC 7314).
func TestExpiryThroughAnother(t *testing.T) {
	t.Parallel()
	needLong(t)
	const expire = 600 // of the zone's SOA record, which has a refresh of 2
	dir := t.TempDir()
	writeZone(t, dir, 1, "")
	source := startMover(t, dir, freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ key = %q }]\n", moveKey))
	host, port, _ := net.SplitHostPort(source.dns)
	between := startBIND(t, freeAddress(t), fmt.Sprintf(`zone "example" { type secondary; file "copy"; primaries { %s port %s key "%s"; }; allow-transfer { key "%[3]s"; }; };`, host, port, moveKey))
	hasSerial(t, between.dns, "example.", 1)
	m := startMover(t, t.TempDir(), freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nprimaries = [{ address = %q, key = %q }]\n", between.dns, moveKey))
	hasSerial(t, m.dns, "example.", 1)
	source.Kill()
	gone := time.Now()
	until(t, patience, func() error { // it asks BIND every two seconds, and hears how old that one's copy is
		q := new(dns.Msg).SetQuestion("example.", dns.TypeSOA)
		q.SetEdns0(1232, false)
		q.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_EXPIRE{Code: dns.EDNS0EXPIRE, Empty: true}}
		r, err := exchange("udp", m.dns, q)
		if err != nil || r.IsEdns0() == nil || len(r.IsEdns0().Option) != 1 {
			return fmt.Errorf("%v, %v", r, err)
		}
		end := time.Now().Add(time.Duration(r.IsEdns0().Option[0].(*dns.EDNS0_EXPIRE).Expire) * time.Second)
		if time.Since(gone) < 12*time.Second || end.After(gone.Add((expire+2)*time.Second)) {
			return fmt.Errorf("it expires at %v; the source is gone since %v", end, gone)
		}
		return nil
	})
}
