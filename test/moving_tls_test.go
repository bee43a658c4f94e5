package test

import (
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestTransfersOverTLS: BIND and NSD take a zone from gslb over TLS (RFC 9103), gslb
// takes one from BIND and from gslb, each sure of the other, or not asking who it is,
// and neither gives it over anything less. Knot DNS has no TLS before 3.4, but its
// kdig transfers over TLS.
func TestTransfersOverTLS(t *testing.T) {
	t.Parallel()
	needTool(t, "kdig")
	dir := t.TempDir()
	plain, over := freeAddress(t), freeAddress(t)
	bindPlain, bindOver := freeAddress(t), freeAddress(t)
	cert, key := newPair(t, "ns.example", 90*24*time.Hour)
	certFile, keyFile := write(t, dir, "ns.pem", string(cert)), write(t, dir, "ns.key", string(key))
	writeZone(t, dir, 1, "")
	tlsTable := func(address string) string {
		return fmt.Sprintf("[dns.tls]\nlisten = [%q]\ncert = %q\nkey = %q\n", address, certFile, keyFile)
	}
	primary := startMover(t, dir, plain, fmt.Sprintf("[[zone]]\nname = \"example.\"\nfile = \"example.zone\"\ntransfer_to = [{ key = %q, tls = true }]\nnotify = [{ address = %q, key = %[1]q }]\n", moveKey, bindPlain)+tlsTable(over))
	host, port, _ := net.SplitHostPort(over)
	_, bindPort, _ := net.SplitHostPort(bindOver)
	bind := startBINDWith(t, bindPlain, fmt.Sprintf("listen-on port %s tls own { 127.0.0.1; };", bindPort), fmt.Sprintf(`
tls own { cert-file "%[1]s"; key-file "%[2]s"; };
tls gslb { ca-file "%[1]s"; remote-hostname "ns.example"; };
zone "example" { type secondary; file "example.db"; masterfile-format text; primaries { %[3]s port %[4]s key "%[5]s" tls gslb; };
  allow-notify { key "%[5]s"; }; allow-transfer port %[6]s transport tls { key "%[5]s"; }; };
`, certFile, keyFile, host, port, moveKey, bindPort))
	hasSerial(t, bind.dns, "example.", 1)

	nsd := startNSD(t, freeAddress(t), fmt.Sprintf("tls-auth:\n\tname: \"gslb\"\n\tauth-domain-name: \"ns.example\"\nzone:\n\tname: \"example\"\n\tzonefile: \"example.zone\"\n\trequest-xfr: %s@%s %s gslb\n", host, port, moveKey)+
		fmt.Sprintf("server:\n\ttls-cert-bundle: %q\n", certFile))
	hasSerial(t, nsd.dns, "example.", 1)

	kdig := func(name string) result {
		return run(t, patience, "kdig", "+timeout=30", "@"+host, "-p", port, "+tls-ca="+certFile, "+tls-hostname="+name, "-y", "hmac-sha256:"+moveKey+":"+moveSecret, "example", "AXFR")
	}
	if r := kdig("ns.example"); r.code != 0 || !strings.Contains(r.out, "14 records") {
		t.Errorf("kdig: exit code %d:\n%s%s", r.code, r.out, r.err)
	}
	if r := kdig("other.example"); strings.Contains(r.out, "records") || !strings.Contains(r.out+r.err, "certificate") {
		t.Errorf("kdig takes a server that is not who it should be:\n%s%s", r.out, r.err)
	}

	config := func(name string) string {
		return fmt.Sprintf("[[zone]]\nname = \"example.\"\nprimaries = [{ address = %q, key = %q, tls = \"strict\", tls_name = %q, tls_ca = %q }]\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n", bindOver, moveKey, name, certFile)
	}
	third := startMover(t, t.TempDir(), freeAddress(t), config("ns.example"))
	hasSerial(t, third.dns, "example.", 1)
	want, err := axfrBy(&dns.Transfer{TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}}}, over, "example.", moveKey, moveSecret)
	if err != nil {
		t.Fatal(err)
	}
	sameZone(t, "example. over TLS twice", want, axfr(t, third.dns, "example.", "", ""))
	for _, from := range []string{over, bindOver} { // whoever it is
		any := startMover(t, t.TempDir(), freeAddress(t), fmt.Sprintf("[[zone]]\nname = \"example.\"\nprimaries = [{ address = %q, key = %q, tls = \"opportunistic\" }]\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n", from, moveKey))
		hasSerial(t, any.dns, "example.", 1)
		sameZone(t, "example. over TLS from "+from, want, axfr(t, any.dns, "example.", "", ""))
	}
	doubting := startMover(t, t.TempDir(), freeAddress(t), config("other.example"))
	doubting.says("certificate is valid for ns.example")
	if n, _ := serial(doubting.dns, "example."); n != 0 {
		t.Error("a zone is taken from a server that is not who it should be")
	}

	for what, c := range map[string]func() (*dns.Msg, error){
		"over TCP": func() (*dns.Msg, error) { return askAXFR(plain, nil) },
		"over TLS 1.2": func() (*dns.Msg, error) {
			return askAXFR(over, &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, NextProtos: []string{"dot"}})
		},
		"without the ALPN": func() (*dns.Msg, error) { return askAXFR(over, &tls.Config{InsecureSkipVerify: true}) },
	} {
		if m, err := c(); err != nil || m.Rcode != dns.RcodeRefused {
			t.Errorf("%s: %v, %v; want REFUSED", what, m, err)
		}
	}
	primary.says("tls=true")
}

// askAXFR asks for the zone with the key, and gives the first message of the answer.
func askAXFR(address string, cfg *tls.Config) (*dns.Msg, error) {
	m := new(dns.Msg).SetAxfr("example.")
	m.SetTsig(moveKey, dns.HmacSHA256, 300, time.Now().Unix())
	c := &dns.Client{Net: "tcp", TsigSecret: map[string]string{moveKey: moveSecret}, Timeout: answerWithin}
	if cfg != nil {
		c.Net, c.TLSConfig = "tcp-tls", cfg
	}
	r, _, err := c.Exchange(m, address)
	return r, err
}
