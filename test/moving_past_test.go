package test

import (
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
)

// TestDifferencesAfterRestart: what BIND, Knot DNS and NSD have of zones from files,
// one of them signed here, and of steered names, is known after kill -9: what changed
// while gslb was away, and after, comes to them as differences (IXFR).
func TestDifferencesAfterRestart(t *testing.T) {
	t.Parallel()
	needLong(t)
	dir, address := t.TempDir(), freeAddress(t)
	host, port, _ := net.SplitHostPort(address)
	secondaries := []string{freeAddress(t), freeAddress(t), freeAddress(t)}
	notify := ""
	for _, a := range secondaries {
		notify += fmt.Sprintf("[[zone.notify]]\naddress = %q\nkey = %q\n", a, moveKey)
	}
	both := func(serial uint32, more string) {
		writeZone(t, dir, serial, more)
		text := fmt.Sprintf(moveZone, serial) + more
		if serial == 1 {
			write(t, dir, "signed.zone", text)
		} else {
			replace(t, dir+"/signed.zone", []byte(text))
		}
	}
	both(1, "")
	allow := fmt.Sprintf("transfer_to = [{ key = %q }, { key = %q }]\n%s", moveKey, otherKey, notify)
	config := "[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\n" + allow + "[[zone]]\nname = \"signed.\"\nfile = \"signed.zone\"\ndnssec = \"default\"\nserial = \"increment\"\n" + allow + `
[[site]]
name = "one"
addresses = ["192.0.2.80"]
[[steer]]
name = "steered.example."
answer = "address"
ttl = "30s"
  [[steer.rule]]
  to = ["one"]
`
	names := []string{"example", "signed"}
	var bind, knot, nsd string
	for _, z := range names {
		bind += fmt.Sprintf("zone %q { type secondary; file \"%[1]s.db\"; masterfile-format text; primaries { %s port %s key %q; }; allow-notify { key %[4]q; }; allow-transfer { any; }; };\n", z, host, port, moveKey)
		knot += fmt.Sprintf("  - domain: %s\n    master: primary\n    acl: [from-primary, all]\n", z)
		nsd += fmt.Sprintf("zone:\n\tname: %q\n\tzonefile: \"%[1]s.zone\"\n\trequest-xfr: %s@%s %s\n\tallow-notify: 127.0.0.1 %[4]s\n\tprovide-xfr: 127.0.0.0/8 NOKEY\n", z, host, port, moveKey)
	}
	m := startMover(t, dir, address, config)
	others := []*another{
		startBIND(t, secondaries[0], bind),
		startKnot(t, secondaries[1], fmt.Sprintf("remote:\n  - id: primary\n    address: %s@%s\n    key: %s\nacl:\n  - id: from-primary\n    address: 127.0.0.1\n    key: %[3]s\n    action: notify\n  - id: all\n    address: 127.0.0.0/8\n    action: transfer\nzone:\n%s", host, port, moveKey, knot)),
		startNSD(t, secondaries[2], nsd),
	}
	same := func(least uint32) {
		t.Helper()
		for _, z := range names {
			served, err := serial(address, z+".")
			if err != nil || served < least {
				t.Fatalf("%s has serial %d, %v; want at least %d", z, served, err, least)
			}
			want := axfr(t, address, z+".", otherKey, otherSec)
			for _, o := range others {
				hasSerial(t, o.dns, z+".", served)
				comesToHave(t, z+". of "+o.name, want, o.dns, z+".", "", "")
			}
		}
	}
	same(1)
	last := make(map[string]uint32)
	for i := range uint32(2) {
		for _, z := range names {
			last[z], _ = serial(address, z+".")
		}
		m.Kill()
		both(10+20*i, fmt.Sprintf("away%d IN A 192.0.2.1\n", i)) // while it is away
		replaceText(t, m.config, fmt.Sprintf("192.0.2.%d\"]", 80+i), fmt.Sprintf("192.0.2.%d\"]", 81+i))
		m = startMover(t, dir, address, readMore(t, m.config))
		for _, z := range names {
			if n, _ := serial(address, z+"."); n <= last[z] {
				t.Errorf("%s has serial %d after a restart, and had %d before", z, n, last[z])
			}
		}
		same(10 + 20*i)
		both(15+20*i, fmt.Sprintf("here%d IN A 192.0.2.1\n", i)) // and while it is there
		m.Signal(syscall.SIGHUP)
		until(t, patience, func() error {
			for _, z := range names {
				if n, err := serial(address, z+"."); err != nil || n < 15+20*i {
					return fmt.Errorf("%s has serial %d, %v", z, n, err)
				}
			}
			return nil
		})
		same(15 + 20*i)
		m.saysTimes("as=IXFR", 2*len(names)*len(others))
		for line := range strings.Lines(m.log.String()) {
			if strings.Contains(line, "as=AXFR") && !strings.Contains(line, "key="+otherKey) {
				t.Errorf("a whole zone after a restart: %s", line)
			}
		}
	}
	// A serial number that goes back is told of, also over a restart.
	m.Kill()
	both(20, "")
	if r := run(t, patience, binary(t), "check", "-config", m.config); r.code != 0 || !strings.Contains(r.err, "example.zone:2: its serial number goes back from 35 to 20: secondary servers would keep") {
		t.Errorf("check: exit code %d, and it does not tell that a serial number goes back:\n%s", r.code, r.err)
	}
	m = startMover(t, dir, address, readMore(t, m.config))
	m.says("zone example.: its serial number went back from 35 to 20: secondary servers keep the version that they have until it is newer than 35")
}
