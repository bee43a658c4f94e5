package probe

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is a CA made for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string // PEM
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return authority{cert, key, file}
}

// issue makes a server's certificate for names and addresses, good until end.
func (a authority) issue(t *testing.T, end time.Time, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: end}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func serveTLS(t *testing.T, c tls.Certificate, sni chan<- string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sni != nil {
			sni <- r.TLS.ServerName + " " + r.Proto
		}
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{c}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestHTTPS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t), newAuthority(t)
	soon, past := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	tests := []struct {
		name    string
		address string
		cfg     Config
		want    string // a prefix, after ADDR took the address's place
	}{
		{"host verified", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{Host: "www.abc.com", CA: ca.file}, ""},
		{"host with a port", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{Host: "www.abc.com:8443", CA: ca.file}, ""},
		{"address verified", serveTLS(t, ca.issue(t, soon, "127.0.0.1"), nil), Config{CA: ca.file}, ""},
		{"wrong host", serveTLS(t, ca.issue(t, soon, "b.www.abc.com"), nil), Config{Host: "a.www.abc.com", CA: ca.file},
			"tls handshake with ADDR: certificate is valid for b.www.abc.com, not a.www.abc.com"},
		{"address not in it", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{CA: ca.file},
			"tls handshake with ADDR: cannot validate certificate for 127.0.0.1 because it doesn't contain any IP SANs"},
		{"expired", serveTLS(t, ca.issue(t, past, "www.abc.com"), nil), Config{Host: "www.abc.com", CA: ca.file},
			"tls handshake with ADDR: certificate has expired or is not yet valid: current time "},
		{"another CA", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{Host: "www.abc.com", CA: other.file},
			"tls handshake with ADDR: certificate signed by unknown authority"},
		{"the system's CAs by default", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{Host: "www.abc.com"},
			"tls handshake with ADDR: certificate signed by unknown authority"},
		{"not verified", serveTLS(t, ca.issue(t, past, "b.www.abc.com"), nil), Config{Host: "a.www.abc.com", SkipVerify: true}, ""},
		{"not TLS", plain.Listener.Addr().String(), Config{SkipVerify: true}, "tls handshake with ADDR: first record does not look like a TLS handshake"},
		{"silent", listen(t, hang), Config{}, "timeout after 4s while handshaking with ADDR"},
		{"reset", listen(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 9)); _ = c.SetLinger(0) }), Config{},
			"tls handshake with ADDR: connection reset by peer"},
		{"closed", listen(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)) }), Config{},
			"tls handshake with ADDR: connection closed by the other side"},
		{"refused", closedPort(t), Config{}, "connect to ADDR: connection refused"},
		{"404 over TLS", serveTLS(t, ca.issue(t, soon, "www.abc.com"), nil), Config{Host: "www.abc.com", CA: ca.file, Status: []Status{{404, 404}}},
			"http 200 from ADDR/, want 404"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.cfg.Type = "https"
			test.cfg.Timeout = patient // a handshake may be slow on a busy machine
			test.cfg.Interval = patient
			if test.name == "silent" {
				test.cfg.Timeout = brief
			}
			got := probeOnce(t, test.cfg, test.address)
			if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// TestSNI: the configured host is asked for, HTTP/1.1 is spoken, and no session is resumed.
func TestSNI(t *testing.T) {
	ca := newAuthority(t)
	sni := make(chan string, 1)
	address := serveTLS(t, ca.issue(t, time.Now().Add(time.Hour), "www.abc.com"), sni)
	if got := probeOnce(t, Config{Type: "https", Timeout: patient, Interval: patient, Host: "www.abc.com", CA: ca.file}, address); got != "" {
		t.Fatal(got)
	}
	if got := <-sni; got != "www.abc.com HTTP/1.1" {
		t.Errorf("got %q", got)
	}
}

// TestSharedAuthorities: checks that name one CA file share its certificates.
func TestSharedAuthorities(t *testing.T) {
	ca := newAuthority(t)
	var cas authorities
	a, err := cas.pool(ca.file)
	if err != nil {
		t.Fatal(err)
	}
	if b, _ := cas.pool(ca.file); a != b {
		t.Error("the file was read twice")
	}
	if p, err := cas.pool(""); p != nil || err != nil {
		t.Errorf("no file: %v, %v", p, err)
	}
}
