package test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/miekg/dns"
)

// TestCatalogOut: Knot DNS and BIND take up what a catalog of gslb lists, and let go
// of what it does not list any more.
func TestCatalogOut(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, at := t.TempDir(), freeAddress(t)
	host, port, _ := net.SplitHostPort(at)
	knotAt, bindAt := freeAddress(t), freeAddress(t)
	writeZone(t, dir, 3, "")
	write(t, dir, "two.zone", fmt.Sprintf(moveZone, 4))
	zone := func(name, file, more string) string {
		return fmt.Sprintf("[[zone]]\nname = %q\n%s\ntransfer_to = [{ key = %q }]\nnotify = [{ address = %q, key = %[3]q }, { address = %[5]q, key = %[3]q }]\n%[6]s\n", name, file, moveKey, knotAt, bindAt, more)
	}
	catalog := zone("catalog.test.", `catalog = "producer"`, "")
	one := zone("example.", `file = "example.zone"`, `member_of = "catalog.test."`)
	two := zone("two.test.", `file = "two.zone"`, "member_of = \"catalog.test.\"\ngroup = \"g\"")
	m := startMover(t, dir, at, catalog+one)
	startKnot(t, knotAt, fmt.Sprintf(`remote:
  - id: primary
    address: %s@%s
    key: %s
acl:
  - id: notify
    key: %[3]s
    action: notify
template:
  - id: member
    storage: "DIR"
    master: primary
    acl: notify
  - id: consumer
    storage: "DIR"
    master: primary
    acl: notify
    catalog-role: interpret
    catalog-template: member
zone:
  - domain: catalog.test
    template: consumer
`, host, port, moveKey))
	startBINDWith(t, bindAt, fmt.Sprintf(`catalog-zones { zone "catalog.test" default-primaries { %s port %s key "%s"; } in-memory yes min-update-interval 1; };`, host, port, moveKey),
		fmt.Sprintf(`zone "catalog.test" { type secondary; file "catalog.db"; primaries { %s port %s key "%s"; }; };`, host, port, moveKey))
	for _, a := range []string{knotAt, bindAt} {
		hasSerial(t, a, "example.", 3)
	}
	change := func(zones ...string) {
		t.Helper()
		text := "[node]" + strings.SplitN(readFile(t, m.config), "[node]", 2)[1]
		text, _, _ = strings.Cut(text, "[[zone]]")
		replace(t, m.config, []byte(text+strings.Join(zones, "")))
		m.Signal(syscall.SIGHUP)
	}
	change(catalog, one, two)
	for _, a := range []string{knotAt, bindAt} {
		hasSerial(t, a, "two.test.", 4)
	}
	change(catalog, two)
	for _, a := range []string{knotAt, bindAt} {
		until(t, patience, func() error {
			r, err := exchange("udp", a, new(dns.Msg).SetQuestion("example.", dns.TypeSOA))
			if err == nil && r.Rcode != dns.RcodeRefused {
				err = fmt.Errorf("%s still serves example.: %s", a, dns.RcodeToString[r.Rcode])
			}
			return err
		})
		hasSerial(t, a, "two.test.", 4)
	}
}

// TestCatalogIn: gslb takes up what a catalog of Knot DNS lists, serves it after a
// restart, and lets go of what is not listed any more.
func TestCatalogIn(t *testing.T) {
	t.Parallel()
	needLong(t)
	at, dir := freeAddress(t), t.TempDir()
	own := freeAddress(t)
	host, port, _ := net.SplitHostPort(own)
	from := t.TempDir()
	zone := writeZone(t, from, 3, "")
	knot := startKnot(t, at, fmt.Sprintf(`remote:
  - id: secondary
    address: %s@%s
    key: %s
acl:
  - id: all
    key: %[3]s
    action: [transfer, update]
template:
  - id: member
    storage: "DIR"
    catalog-role: member
    catalog-zone: catalog.test
    acl: all
    notify: secondary
    semantic-checks: off
zone:
  - domain: catalog.test
    storage: "DIR"
    catalog-role: generate
    acl: all
    notify: secondary
  - domain: example
    template: member
    file: "%s"
  - domain: two.test
    template: member
    file: "%[4]s"
`, host, port, moveKey, zone))
	hasSerial(t, at, "two.test.", 3)
	config := fmt.Sprintf("[[zone]]\nname = \"catalog.test.\"\ncatalog = \"consumer\"\nprimaries = [{ address = %q, key = %q }]\n  [zone.member]\n  transfer_to = [{ network = \"127.0.0.0/8\" }]\n", at, moveKey)
	m := startMover(t, dir, own, config)
	hasSerial(t, own, "example.", 3)
	hasSerial(t, own, "two.test.", 3)
	sameZone(t, "example.", axfr(t, at, "example.", moveKey, moveSecret), axfr(t, own, "example.", "", ""))
	m.Kill()
	startMover(t, dir, own, config)
	hasSerial(t, own, "two.test.", 3)
	knotConfig := knot.dir + "/knot.conf"
	text := readFile(t, knotConfig)
	before, _, _ := strings.Cut(text, "  - domain: two.test")
	replace(t, knotConfig, []byte(before))
	knot.Signal(syscall.SIGHUP)
	until(t, patience, func() error {
		r, err := exchange("udp", own, new(dns.Msg).SetQuestion("two.test.", dns.TypeSOA))
		if err == nil && r.Rcode != dns.RcodeRefused {
			err = fmt.Errorf("two.test. is still served: %s", dns.RcodeToString[r.Rcode])
		}
		return err
	})
	hasSerial(t, own, "example.", 3)
}
