package test

import (
	"fmt"
	"net"
	"testing"

	"github.com/miekg/dns"
)

// TestCatalogInFromBIND: gslb takes up what a catalog that BIND serves lists, all of it
// signed with TSIG, and follows a member that an update of the catalog adds and one
// that it removes. (NSD of Debian 12 knows no catalogs.)
func TestCatalogInFromBIND(t *testing.T) {
	t.Parallel()
	needLong(t)
	at, own, from := freeAddress(t), freeAddress(t), t.TempDir()
	host, port, _ := net.SplitHostPort(own)
	one := writeZone(t, from, 3, "")
	catalog := write(t, from, "catalog.zone", "$TTL 0\n@ IN SOA invalid. invalid. 1 2 1 600 0\n@ IN NS invalid.\nversion IN TXT \"2\"\nm1.zones IN PTR example.\n")
	zone := func(name, file string) string {
		return fmt.Sprintf("zone %q { type primary; file %q; allow-transfer { key %q; }; allow-update { key %[3]q; }; also-notify { %s port %s key %[3]q; }; };\n", name, file, moveKey, host, port)
	}
	startBIND(t, at, zone("catalog.test", catalog)+zone("example", one)+zone("two.test", write(t, from, "two.zone", fmt.Sprintf(moveZone, 4))))
	hasSerial(t, at, "two.test.", 4)
	startMover(t, t.TempDir(), own, fmt.Sprintf("[[zone]]\nname = \"catalog.test.\"\ncatalog = \"consumer\"\nprimaries = [{ address = %q, key = %q }]\n  [zone.member]\n  transfer_to = [{ network = \"127.0.0.0/8\" }]\n", at, moveKey))
	hasSerial(t, own, "example.", 3)
	sameZone(t, "example.", axfr(t, at, "example.", moveKey, moveSecret), axfr(t, own, "example.", "", ""))
	if code := update(t, at, "catalog.test.", func(m *dns.Msg) {
		m.Insert([]dns.RR{rr(t, "m2.zones.catalog.test. 0 IN PTR two.test.")})
		m.Remove([]dns.RR{rr(t, "m1.zones.catalog.test. 0 IN PTR example.")})
	}); code != dns.RcodeSuccess {
		t.Fatalf("BIND refuses an update: %s", dns.RcodeToString[code])
	}
	hasSerial(t, own, "two.test.", 4)
	until(t, patience, func() error {
		r, err := exchange("udp", own, new(dns.Msg).SetQuestion("example.", dns.TypeSOA))
		if err == nil && r.Rcode != dns.RcodeRefused {
			err = fmt.Errorf("example. is still served: %s", dns.RcodeToString[r.Rcode])
		}
		return err
	})
}
