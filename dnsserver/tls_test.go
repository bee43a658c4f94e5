package dnsserver

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// writePair writes a certificate of its own for a name, and its key.
func writePair(t testing.TB, dir, name string, from, to time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: from, NotAfter: to, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func startTLS(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	cert, key := writePair(t, t.TempDir(), "ns1.abc.com", time.Now().Add(-time.Hour), time.Now().Add(90*24*time.Hour))
	cfg := Config{Listen: []string{"127.0.0.1:0"}, TLS: TLS{Listen: []string{"127.0.0.1:0"}, Cert: cert, Key: key}}
	if change != nil {
		change(&cfg)
	}
	return start(t, cfg)
}

// dialTLS connects; the tests look at the certificate themselves.
func dialTLS(s *Server, cfg *tls.Config) (*tls.Conn, error) {
	if cfg == nil {
		cfg = &tls.Config{NextProtos: []string{"dot"}}
	}
	cfg.InsecureSkipVerify = true
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.TLSAddrs()[0].String(), cfg)
}

func askOver(t *testing.T, c net.Conn, q *dns.Msg) *dns.Msg {
	t.Helper()
	c.SetDeadline(time.Now().Add(patience))
	conn := &dns.Conn{Conn: c}
	if err := conn.WriteMsg(q); err != nil {
		t.Fatal(err)
	}
	m, err := conn.ReadMsg()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// DNS over TLS: RFC 7858 with the ALPN of RFC 7858 (as RFC 9103 asks for), padding
// (RFC 8467) and TLS 1.2 or newer.
func TestTLS(t *testing.T) {
	s := startTLS(t, nil)
	c, err := dialTLS(s, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if st := c.ConnectionState(); st.NegotiatedProtocol != "dot" || st.Version != tls.VersionTLS13 {
		t.Errorf("ALPN %q, version %x", st.NegotiatedProtocol, st.Version)
	}
	q := new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA)
	q.SetEdns0(1232, false)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_PADDING{Padding: make([]byte, 50)})
	for range 3 { // over one connection
		m := askOver(t, c, q)
		m.Compress = true
		if wire, _ := m.Pack(); m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 || len(wire) != padBlock {
			t.Fatalf("an answer of %d octets, want %d\n%v", len(wire), padBlock, m)
		}
	}
	plain := dial(t, s) // TCP itself does not pad, whatever buffers it uses
	if m := askOver(t, plain, q); m.IsEdns0() == nil || len(m.IsEdns0().Option) != 0 {
		t.Errorf("padded over plain TCP:\n%v", m)
	}
	if st := s.Stats(); st.Queries["tls4"] != 3 || st.Queries["tcp4"] != 1 || st.Handshake != 0 {
		t.Errorf("queries %v, %d handshakes failed", st.Queries, st.Handshake)
	}
	for what, cfg := range map[string]*tls.Config{
		"TLS 1.1":    {MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10},
		"other ALPN": {NextProtos: []string{"h2"}},
	} {
		before := s.Stats().Handshake
		if c, err := dialTLS(s, cfg); err == nil {
			c.Close()
			t.Errorf("%s: a handshake succeeds", what)
		}
		if !eventually(func() bool { return s.Stats().Handshake == before+1 }) {
			t.Errorf("%s: the failure is not counted", what)
		}
	}
}

func eventually(f func() bool) bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return true
		}
	}
	return false
}

func TestTLSResumption(t *testing.T) {
	s := startTLS(t, nil)
	cfg := &tls.Config{ServerName: "ns1.abc.com", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	for i := range 2 {
		c, err := dialTLS(s, cfg)
		if err != nil {
			t.Fatal(err)
		}
		askOver(t, c, new(dns.Msg).SetQuestion("static.abc.com.", dns.TypeA)) // the ticket comes before it
		if got := c.ConnectionState().DidResume; got != (i == 1) {
			t.Errorf("connection %d resumes: %v", i, got)
		}
		c.Close()
	}
}

// A client that does not get on with its handshake is given up, and its connection
// counts among all, plain ones too.
func TestTLSHandshakeIsBounded(t *testing.T) {
	t.Parallel()
	silent := func(s *Server) (all [2]net.Conn) {
		for i := range all {
			c, err := net.Dial("tcp", s.TLSAddrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			all[i] = c
		}
		return all
	}
	s := startTLS(t, func(c *Config) { c.TCPIdle, c.TCPMaxClient = time.Hour, 2 })
	silent(s)
	if !eventually(func() bool { return s.Stats().TCPOpen == 2 }) {
		t.Fatalf("%d connections are open", s.Stats().TCPOpen)
	}
	third := dialAndBegin(t, s) // plain TCP of the same client
	third.SetReadDeadline(time.Now().Add(patience))
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection of one client is served")
	}
	s = startTLS(t, func(c *Config) { c.TCPIdle = 200 * time.Millisecond })
	for _, c := range silent(s) {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Error("a client that does nothing is not given up")
		}
	}
	if !eventually(func() bool { return s.Stats().Handshake == 2 && s.Stats().TCPOpen == 0 }) {
		t.Errorf("%+v", s.Stats())
	}
}

func TestCertificate(t *testing.T) {
	now := time.Now()
	dir := t.TempDir()
	cert, key := writePair(t, dir, "first.example", now.Add(-time.Hour), now.Add(90*24*time.Hour))
	c := &certificate{what: "tls", cert: cert, key: key, log: discard()}
	if err := c.read(); err != nil || c.changed() || c.problem(now) != "" {
		t.Fatalf("%v, changed %v, %q", err, c.changed(), c.problem(now))
	}
	name := func() string { p, _ := c.get(nil); return p.Leaf.Subject.CommonName }
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !c.changed() {
		t.Error("a change is not seen")
	}
	c.reread()
	if name() != "first.example" || !strings.Contains(c.problem(now), key) || !strings.Contains(c.problem(now), "stays in use") {
		t.Errorf("%s in use, problem %q", name(), c.problem(now))
	}
	os.Remove(cert)
	c.reread()
	if name() != "first.example" || c.problem(now) == "" {
		t.Errorf("%s in use, problem %q", name(), c.problem(now))
	}
	writePair(t, dir, "second.example", now.Add(-80*24*time.Hour), now.Add(10*24*time.Hour))
	if !c.changed() {
		t.Error("a new pair is not seen")
	}
	c.reread()
	for at, want := range map[time.Duration]string{
		-5 * 24 * time.Hour: "", 0: "expires at", 11 * 24 * time.Hour: "has expired", -90 * 24 * time.Hour: "not valid before",
	} {
		if got := c.problem(now.Add(at)); name() != "second.example" || (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%s at %v: %q, want %q", name(), at, got, want)
		}
	}
}

func TestListenWithoutCertificate(t *testing.T) {
	s := New(Config{Listen: []string{"127.0.0.1:0"}, TLS: TLS{Listen: []string{"127.0.0.1:0"}, Cert: "/nowhere/cert.pem", Key: "/nowhere/key.pem"}}, discard())
	if err := s.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "/nowhere/cert.pem") {
		t.Error(err)
	}
}
