package test

import (
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// TestExternalDNS: external-dns as it is, with its source of made-up names and its TXT
// registry: it reads the zone by AXFR, adds names by UPDATE, both signed with TSIG,
// and takes back in its next run what is wanted no more. To build it takes a quarter
// of an hour of CPU and 3 GB of modules, so that CI does without; to run this:
//
//	go install sigs.k8s.io/external-dns@v0.20.0
func TestExternalDNS(t *testing.T) {
	t.Parallel()
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
		r := run(t, patience, program, "--once", "--source=fake", "--fqdn-template=example", "--domain-filter=example", "--policy=sync", "--registry=txt", "--txt-owner-id=test", "--txt-prefix=of-",
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

// TestCertManager: cert-manager's own RFC 2136 provider proves a name to an ACME
// server, and cleans up, with a key that may do no more. It comes with a client of
// Kubernetes, 43 MB of modules and two minutes of CPU, so that CI does without; to
// run this:
//
//	cd tools/certmanager && go build -o /usr/local/bin/gslb-certmanager .
func TestCertManager(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("gslb-certmanager")
	if err != nil {
		t.Skip("tools/certmanager is not built; CI does not build it: see this test's comment")
	}
	dir := t.TempDir()
	writeZone(t, dir, 1, "")
	m := startUpdated(t, dir, freeAddress(t))
	solve := func(what, name, value string) result {
		t.Helper()
		return run(t, patience, program, what, m.dns, strings.TrimSuffix(otherKey, "."), otherSec, "HMACSHA512", name, "example.", value)
	}
	proofs := func(want ...string) {
		t.Helper()
		r, err := exchange("udp", m.dns, new(dns.Msg).SetQuestion("_acme-challenge.www.example.", dns.TypeTXT))
		var got []string
		if err == nil {
			for _, rr := range r.Answer {
				got = append(got, rr.(*dns.TXT).Txt...)
			}
		}
		if slices.Sort(got); err != nil || !slices.Equal(got, want) {
			t.Errorf("TXT records %q, want %q (%v)", got, want, err)
		}
	}
	for _, step := range []struct {
		what, value string
		want        []string
	}{{"present", "one", []string{"one"}}, {"present", "one", []string{"one"}}, {"present", "two", []string{"one", "two"}}, {"cleanup", "one", []string{"two"}}, {"cleanup", "two", nil}, {"cleanup", "two", nil}} {
		if r := solve(step.what, "_acme-challenge.www.example.", step.value); r.code != 0 {
			t.Fatalf("%s %s: %s", step.what, step.value, r.err)
		}
		proofs(step.want...)
	}
	if r := solve("present", "_acme-challenge.a.b.example.", "one"); r.code == 0 || !strings.Contains(r.err, "REFUSED") {
		t.Errorf("a name that the key may not change: %q", r.err)
	}
}
