package test

import (
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestExternalDNS: external-dns as it is, with its source of made-up names and its TXT
// registry: it reads the zone by AXFR, adds names by UPDATE, both signed with TSIG,
// and takes back in its next run what is wanted no more. To build it takes a quarter
// of an hour of CPU and 3 GB of modules, so that CI does without; to run this:
//
//	go install sigs.k8s.io/external-dns@v0.20.0
func TestExternalDNS(t *testing.T) {
	program, err := exec.LookPath("external-dns")
	if err != nil {
		t.Skip("external-dns is not installed; CI does not build it: see this test's comment")
	}
	dir := t.TempDir()
	writeZone(t, dir, 10, "")
	m := startMover(t, dir, freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ key = %q }]\n  [[zone.update]]\n  key = %[1]q\n", moveKey))
	host, port, _ := net.SplitHostPort(m.dns)
	before := axfr(t, m.dns, "example.", moveKey, moveSecret)
	sync := func(want uint32) []string {
		t.Helper()
		r := run(t, time.Minute, program, "--once", "--source=fake", "--fqdn-template=example", "--domain-filter=example", "--policy=sync", "--registry=txt", "--txt-owner-id=test", "--txt-prefix=of-",
			"--metrics-address="+freeAddress(t), "--provider=rfc2136", "--rfc2136-host="+host, "--rfc2136-port="+port, "--rfc2136-zone=example", "--rfc2136-tsig-axfr",
			"--rfc2136-tsig-keyname="+strings.TrimSuffix(moveKey, "."), "--rfc2136-tsig-secret="+moveSecret, "--rfc2136-tsig-secret-alg=hmac-sha256")
		if r.code != 0 {
			t.Fatalf("exit code %d:\n%s", r.code, tail(r.out+r.err, 10))
		}
		if got, err := serial(m.dns, "example."); err != nil || got != want {
			t.Errorf("serial %d, want %d (%v)", got, want, err)
		}
		return axfr(t, m.dns, "example.", moveKey, moveSecret)
	}
	first := sync(11)
	if n := len(first) - len(before); n != 20 { // ten names, and a TXT for each that says whose it is
		t.Errorf("%d records were added:\n%s", n, strings.Join(first, "\n"))
	}
	second := sync(13) // the names are others each time: ten go, ten come
	if len(second) != len(first) {
		t.Errorf("%d records, then %d:\n%s", len(first), len(second), strings.Join(second, "\n"))
	}
}
