package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/quic-go/quic-go/http3"
)

// newPair makes a certificate of its own for a name and 127.0.0.1, and its key, in PEM.
func newPair(t testing.TB, name string, life time.Duration) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-60 * 24 * time.Hour), NotAfter: time.Now().Add(life), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// shownName is the name in the certificate that a server shows.
func shownName(address string) (string, error) {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"dot"}})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func shows(t testing.TB, address, name string) {
	t.Helper()
	until(t, patience, func() error {
		got, err := shownName(address)
		if err == nil && got != name {
			err = fmt.Errorf("%s shows the certificate of %s, want %s", address, got, name)
		}
		return err
	})
}

// TestDNSOverTLS: kdig asks and takes a zone over TLS, and the certificate is
// replaced while the node serves.
func TestDNSOverTLS(t *testing.T) {
	t.Parallel()
	needTool(t, "kdig")
	tp := newTopology(t)
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	cert, key := newPair(t, "first.example", 90*24*time.Hour)
	certFile, keyFile := write(t, tp.dir, "ns.pem", string(cert)), write(t, tp.dir, "ns.key", string(key))
	tp.keys = fmt.Sprintf("[dns.tls]\nlisten = [%q]\ncert = \"ns.pem\"\nkey = \"ns.key\"\n", address)
	tp.startPlainSites()
	config := tp.writeDNSNode()
	replaceText(t, config, "[[zone]]\n", "[[zone]]\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n")
	n := tp.startNode("ns1", config, tp.dns, tp.api)
	kdig := func(args ...string) string {
		return must(t, append([]string{"kdig", "+timeout=30", "@127.0.0.1", "-p", port, "+tls-ca=" + certFile, "+tls-hostname=first.example"}, args...)...)
	}
	if out := kdig("www.abc.com", "+subnet=198.51.100.0/24", "+padding"); !strings.Contains(out, "a.www.abc.com.") || !strings.Contains(out, "TLS1.3") || !strings.Contains(out, "468 B") {
		t.Errorf("no steered answer of 468 octets over TLS 1.3 in\n%s", out)
	}
	if out := kdig("abc.com", "AXFR"); strings.Count(out, "\tSOA\t") != 2 || !strings.Contains(out, "host20.abc.com.") {
		t.Errorf("no zone over TLS:\n%s", out)
	}

	cert, key = newPair(t, "second.example", 5*24*time.Hour)
	replace(t, keyFile, key) // and between the two files there is a time
	n.problem("the one read before stays in use")
	shows(t, address, "first.example")
	replace(t, certFile, cert)
	shows(t, address, "second.example")
	n.problem("ns.pem expires at")
	replace(t, certFile, []byte("no certificate\n"))
	n.Signal(syscall.SIGHUP)
	n.problem("the one read before stays in use")
	shows(t, address, "second.example")

	text, err := get("http://" + n.api + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`gslb_dns_queries_total{transport="tls4"} 2`, `gslb_dns_certificate_expiry_timestamp_seconds{table="dns.tls"}`, "gslb_dns_tls_handshake_failures_total"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
}

// proxyHeader is a header of the PROXY protocol, version 2, with an IPv4 client
// and a TLV behind it.
func proxyHeader(client string, stream bool) []byte {
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, 0x12, 0, 16)
	if stream {
		b[13] = 0x11
	}
	b = append(b, netip.MustParseAddr(client).AsSlice()...)
	return append(b, 127, 0, 0, 1, 0x30, 0x39, 0, 53, 0xe0, 0, 1, 7)
}

// TestFrontEnd: a front end tells the client over UDP, TCP and TLS, and the steered
// answer follows it.
func TestFrontEnd(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	address := freeAddress(t)
	cert, key := newPair(t, "ns.example", 90*24*time.Hour)
	write(t, tp.dir, "ns.pem", string(cert))
	write(t, tp.dir, "ns.key", string(key))
	tp.keys = fmt.Sprintf("proxy_from = [\"127.0.0.1/32\"]\n[dns.tls]\nlisten = [%q]\ncert = \"ns.pem\"\nkey = \"ns.key\"\n", address)
	tp.startPlainSites()
	n := tp.startDNSNode()
	for client, want := range map[string]string{"198.51.100.7": "a.www.abc.com.", "203.0.113.9": "b.www.abc.com.", "192.0.2.77": "c.www.abc.com."} {
		for _, network := range []string{"udp", "tcp", "tls"} {
			got, err := askBehind("", network, n.dns, address, proxyHeader(client, network != "udp"))
			if err != nil || got != want {
				t.Errorf("%s for %s: %s, %v; want %s", network, client, got, err, want)
			}
		}
	}
	// Whoever is no front end is not believed, and needs no header.
	local := net.Dialer{Timeout: patience, LocalAddr: &net.UDPAddr{IP: net.IPv4(127, 0, 0, 9)}}
	c := &dns.Client{Dialer: &local, Timeout: patience}
	if m, _, err := c.Exchange(question("host1.abc.com", dns.TypeA, ""), n.dns); err != nil || len(m.Answer) != 1 {
		t.Errorf("from elsewhere: %v, %v", m, err)
	}
	dropped(t, func() (net.Conn, error) { return net.Dial("udp", n.dns) }, func() (string, error) { return get("http://" + n.api + "/metrics") })
}

// dropped sends a query without a header over UDP, as the front end that dials, and sees that none
// comes back once the node's metrics count it as one of one.
func dropped(t testing.TB, dial func() (net.Conn, error), metrics func() (string, error)) {
	t.Helper()
	c, err := dial()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wire, err := question("www.abc.com", dns.TypeA, "").Pack()
	if err == nil {
		_, err = c.Write(wire)
	}
	if err != nil {
		t.Fatal(err)
	}
	until(t, patience, func() error {
		text, err := metrics()
		if err == nil && !strings.Contains(text, "\ngslb_dns_proxy_errors_total 1\n") {
			err = errors.New("no error is counted")
		}
		return err
	})
	c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if m, err := (&dns.Conn{Conn: c}).ReadMsg(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a front end without a header is answered: %v, %v", m, err)
	}
}

// askBehind asks for www.abc.com as a front end with an address does ("": any), and
// gives the CNAME.
func askBehind(from, network, plain, encrypted string, header []byte) (string, error) {
	address := plain
	over := network
	if network == "tls" {
		over, address = "tcp", encrypted
	}
	d := net.Dialer{Timeout: patience}
	if from != "" {
		ap := netip.AddrPortFrom(netip.MustParseAddr(from), 0)
		if d.LocalAddr = net.UDPAddrFromAddrPort(ap); over == "tcp" {
			d.LocalAddr = net.TCPAddrFromAddrPort(ap)
		}
	}
	c, err := d.Dial(over, address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerWithin))
	wire, err := question("www.abc.com", dns.TypeA, "").Pack()
	if err != nil {
		return "", err
	}
	if network == "tls" {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	if network != "udp" {
		wire = append([]byte{byte(len(wire) >> 8), byte(len(wire))}, wire...)
	}
	if _, err := c.Write(append(header, wire...)); err != nil {
		return "", err
	}
	m, err := (&dns.Conn{Conn: c}).ReadMsg()
	if err != nil || len(m.Answer) == 0 {
		return "", fmt.Errorf("%v: %w", m, err)
	}
	return m.Answer[0].(*dns.CNAME).Target, nil
}

// startWebNode starts a node with DNS over HTTPS, HTTP/3 and QUIC, all with one
// certificate, and gives the addresses.
func startWebNode(t *testing.T) (n *node, web, quic, certFile string) {
	t.Helper()
	tp := newTopology(t)
	web, quic = freeAddress(t), freeAddress(t)
	cert, key := newPair(t, "ns.example", 90*24*time.Hour)
	certFile = write(t, tp.dir, "ns.pem", string(cert))
	write(t, tp.dir, "ns.key", string(key))
	tp.keys = fmt.Sprintf("[dns.https]\nlisten = [%q]\nhttp3 = true\ncert = \"ns.pem\"\nkey = \"ns.key\"\n[dns.quic]\nlisten = [%q]\ncert = \"ns.pem\"\nkey = \"ns.key\"\n", web, quic)
	tp.startPlainSites()
	config := tp.writeDNSNode()
	replaceText(t, config, "[[zone]]\n", "[[zone]]\ntransfer_to = [{ network = \"127.0.0.0/8\" }]\n")
	return tp.startNode("ns1", config, tp.dns, tp.api), web, quic, certFile
}

// TestDNSOverHTTPS: kdig and curl ask over HTTP/2, and are told of HTTP/3, over
// which quic-go's client asks (Debian's curl has no HTTP/3).
func TestDNSOverHTTPS(t *testing.T) {
	t.Parallel()
	needTool(t, "kdig", "curl")
	_, address, _, certFile := startWebNode(t)
	_, port, _ := net.SplitHostPort(address)
	if out := must(t, "kdig", "+timeout=30", "@127.0.0.1", "-p", port, "+https", "+tls-ca="+certFile, "+tls-hostname=ns.example", "www.abc.com", "+subnet=198.51.100.0/24"); !strings.Contains(out, "a.www.abc.com.") || !strings.Contains(out, "HTTP/2") {
		t.Errorf("no steered answer over HTTP/2 in\n%s", out)
	}
	url := "https://" + address + "/dns-query?dns=AAABAAABAAAAAAAABWhvc3QxA2FiYwNjb20AAAEAAQ"
	out := must(t, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %{content_type}", "-D", "-", "--cacert", certFile, url)
	if want := fmt.Sprintf("alt-svc: h3=\":%s\"; ma=86400", port); !strings.Contains(out, "2 200 application/dns-message") || !strings.Contains(out, want) {
		t.Errorf("curl: %q, want %s in it", out, want)
	}
	pool := x509.NewCertPool()
	text, err := os.ReadFile(certFile)
	if err != nil || !pool.AppendCertsFromPEM(text) {
		t.Fatal(err)
	}
	tr := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "ns.example"}}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	if m := new(dns.Msg); m.Unpack(b) != nil || len(m.Answer) != 1 || resp.ProtoMajor != 3 {
		t.Errorf("%s: %x", resp.Proto, b)
	}
}

// TestDNSOverQUIC: kdig asks and takes a zone over QUIC.
func TestDNSOverQUIC(t *testing.T) {
	t.Parallel()
	needTool(t, "kdig")
	if out := run(t, patience, "kdig", "+help").out; !strings.Contains(out, "+[no]quic") {
		t.Skip("this kdig is built without QUIC")
	}
	n, _, address, certFile := startWebNode(t)
	_, port, _ := net.SplitHostPort(address)
	kdig := func(args ...string) string {
		return must(t, append([]string{"kdig", "+timeout=30", "@127.0.0.1", "-p", port, "+tls-ca=" + certFile, "+tls-hostname=ns.example", "+quic"}, args...)...)
	}
	if out := kdig("www.abc.com", "+subnet=198.51.100.0/24", "+padding"); !strings.Contains(out, "a.www.abc.com.") || !strings.Contains(out, "(QUICv1)") || !strings.Contains(out, "468 B") {
		t.Errorf("no steered answer of 468 octets over QUIC in\n%s", out)
	}
	if out := kdig("abc.com", "AXFR"); strings.Count(out, "\tSOA\t") != 2 || !strings.Contains(out, "host20.abc.com.") {
		t.Errorf("no zone over QUIC:\n%s", out)
	}
	text, err := get("http://" + n.api + "/metrics")
	if want := `gslb_dns_queries_total{transport="quic4"} 2`; err != nil || !strings.Contains(text, want) {
		t.Errorf("no %s in the metrics: %v", want, err)
	}
}
