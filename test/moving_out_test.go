package test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestSecondaries: NSD, Knot DNS and BIND take a zone from gslb, signed with TSIG,
// are told of a new version by NOTIFY, and take the changes by IXFR.
func TestSecondaries(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir := t.TempDir()
	address := freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	secondaries := map[string]string{"BIND": freeAddress(t), "Knot": freeAddress(t), "NSD": freeAddress(t)}
	notify := ""
	for _, a := range secondaries {
		notify += fmt.Sprintf("[[zone.notify]]\naddress = %q\nkey = %q\n", a, moveKey)
	}
	writeZone(t, dir, 1, "")
	primary := startMover(t, dir, address, fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ network = \"127.0.0.0/8\", key = %q }]\n%s", moveKey, notify))

	others := []*another{
		startBIND(t, secondaries["BIND"], fmt.Sprintf(`zone "example" { type secondary; file "example.db"; masterfile-format text; primaries { %s port %s key "%s"; }; allow-notify { key "%[3]s"; }; allow-transfer { any; }; };`, host, port, moveKey)),
		startKnot(t, secondaries["Knot"], fmt.Sprintf(`remote:
  - id: primary
    address: %s@%s
    key: %s
acl:
  - id: from-primary
    address: 127.0.0.1
    key: %[3]s
    action: notify
  - id: all
    address: 127.0.0.0/8
    action: transfer
zone:
  - domain: example
    master: primary
    acl: [from-primary, all]
`, host, port, moveKey)),
		startNSD(t, secondaries["NSD"], fmt.Sprintf("zone:\n\tname: \"example\"\n\tzonefile: \"example.zone\"\n\trequest-xfr: %s@%s %s\n\tallow-notify: 127.0.0.1 %[3]s\n\tprovide-xfr: 127.0.0.0/8 NOKEY\n", host, port, moveKey)),
	}
	same := func() {
		t.Helper()
		want := axfr(t, primary.dns, "example.", moveKey, moveSecret)
		for _, o := range others {
			comesToHave(t, "example. of "+o.name, want, o.dns, "example.", "", "")
		}
	}
	for _, o := range others {
		hasSerial(t, o.dns, "example.", 1)
	}
	same()
	writeZone(t, dir, 2, "new IN A 192.0.2.1\nnew IN A 192.0.2.2\n")
	primary.Signal(syscall.SIGHUP)
	for _, o := range others {
		hasSerial(t, o.dns, "example.", 2)
	}
	same()
	writeZone(t, dir, 5, "new IN A 192.0.2.2\n")
	primary.Signal(syscall.SIGHUP)
	for _, o := range others {
		hasSerial(t, o.dns, "example.", 5)
	}
	same()
	for _, as := range []string{"as=AXFR", "as=IXFR"} {
		primary.saysTimes(as, 3)
	}
}

// TestTransferTools: what dig, kdig and ldns-verify-zone see of transfers, and
// who is refused.
func TestTransferTools(t *testing.T) {
	t.Parallel()
	needTool(t, "dig", "kdig")
	dir := t.TempDir()
	writeZone(t, dir, 7, "")
	m := startMover(t, dir, freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ key = %q }]\n", moveKey))
	host, port, _ := net.SplitHostPort(m.dns)
	key := "hmac-sha256:" + moveKey + ":" + moveSecret
	other := "hmac-sha512:" + otherKey + ":" + otherSec
	dig := func(args ...string) string {
		t.Helper()
		return run(t, patience, append([]string{"dig", "@" + host, "-p", port, "+time=30", "+tries=1", "+norecurse"}, args...)...).out
	}
	expect := func(what, out string, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if !strings.Contains(out, text) {
				t.Errorf("%s: no %q in\n%s", what, text, out)
			}
		}
	}
	expect("AXFR", dig("example", "axfr", "-y", key), "XFR size: 14 records", "NOERROR", "Upper.Case.example")
	expect("AXFR without a key", dig("example", "axfr"), "Transfer failed")
	expect("AXFR with another key", dig("example", "axfr", "-y", other), "Transfer failed")
	expect("AXFR with a wrong secret", dig("example", "axfr", "-y", "hmac-sha256:"+moveKey+":"+otherSec), "BADSIG")
	expect("AXFR with an unknown key", dig("example", "axfr", "-y", "hmac-sha256:unknown.:"+otherSec), "BADKEY")
	expect("AXFR of what is not served", dig("other", "axfr", "-y", key), "Transfer failed")
	expect("IXFR of what is new", dig("example", "ixfr=7", "-y", key), "XFR size: 1 records")
	expect("IXFR without a history", dig("example", "ixfr=3", "-y", key), "XFR size: 14 records")
	expect("a signed query", dig("www.example", "aaaa", "-y", key), "2001:db8::80", "TSIG", "status: NOERROR")
	if out := dig("www.example", "aaaa", "-y", key); strings.Contains(out, "WARNING") {
		t.Errorf("dig is not content with the signature:\n%s", out)
	}
	writeZone(t, dir, 8, "new IN A 192.0.2.1\n")
	m.Signal(syscall.SIGHUP)
	hasSerial(t, m.dns, "example.", 8)
	out := must(t, "kdig", "+timeout=30", "@"+host, "-p", port, "-y", key, "example", "IXFR=7")
	expect("kdig ixfr", out, "new.example.", "5 records")
}
