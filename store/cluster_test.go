package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gslb/test/bed"
)

// openCluster opens members a, b and c at once.
func openCluster(t *testing.T, edit func(*Config)) map[string]*Store {
	t.Helper()
	names := []string{"a", "b", "c"}
	scheme := "http"
	probe := Config{}
	edit(&probe)
	if probe.Cert != "" {
		scheme = "https"
	}
	var entries []string
	for _, name := range names {
		entries = append(entries, fmt.Sprintf("%s=%s://%s", name, scheme, bed.FreeAddress(t)))
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	members := map[string]*Store{}
	for _, name := range names {
		cfg := Config{Name: name, Cluster: strings.Join(entries, ","), Listen: "127.0.0.1:0"}
		edit(&cfg)
		dir := t.TempDir()
		wg.Go(func() {
			s, err := Open(context.Background(), cfg, dir, quiet(), ForTests())
			if err != nil {
				t.Errorf("member %s: %v", name, err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			members[name] = s
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, s := range members { // one by one: leadership is handed over quickly as long as there is a majority
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return members
}

// TestCluster: three members lose one and go on; they lose two, and a watch on
// the last one says so. (It runs apart from the others: many members at
// once starve each other of the processor.)
func TestCluster(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	views, _ := watchTest(t, m["a"], "w", "w/")
	putSoon(t, m["b"], "w/x", "1")
	await(t, views, "x=1", has("w/x", "1", false))
	if err := m["c"].Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, m["b"], "w/x", "2")
	await(t, views, "x=2", has("w/x", "2", false))
	if err := m["b"].Close(); err != nil {
		t.Fatal(err)
	}
	await(t, views, "x=2 stale", has("w/x", "2", true))
}

// TestClusterAlone: a member whose others are away does not hold the node up,
// new or not, and ends when told.
func TestClusterAlone(t *testing.T) {
	t.Parallel()
	cfg := Config{Name: "a", Listen: "127.0.0.1:0", Cluster: fmt.Sprintf("a=http://%s,b=http://%s,c=http://%s", bed.FreeAddress(t), bed.FreeAddress(t), bed.FreeAddress(t))}
	dir := t.TempDir()
	for _, life := range []string{"first", "second"} {
		start := time.Now()
		s, err := Open(t.Context(), cfg, dir, quiet(), ForTests())
		if err != nil {
			t.Fatalf("%s life: %v", life, err)
		}
		if d := time.Since(start); d > time.Minute {
			t.Errorf("%s life: Open took %v", life, d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if _, err := s.Put(ctx, "x", nil); err == nil {
			t.Errorf("%s life: put without a majority: no error", life)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s life: %v", life, err)
		}
	}
}

// TestClusterTLS: with certificates, between members and for clients.
func TestClusterTLS(t *testing.T) {
	t.Parallel()
	cert, key, ca := certificates(t)
	secure := func(c *Config) { c.Cert, c.Key, c.CA = cert, key, ca }
	m := openCluster(t, secure)
	putSoon(t, m["a"], "w/x", "1")
	if !strings.HasPrefix(m["b"].Status().Endpoints[0], "https://") {
		t.Errorf("endpoints %v", m["b"].Status().Endpoints)
	}
	outside := Config{Endpoints: []string{m["b"].member.endpoint}}
	secure(&outside)
	s := openTest(t, outside, t.TempDir())
	v, ok, err := s.Get(t.Context(), "w/x")
	if err != nil || !ok || string(v.Data) != "1" {
		t.Errorf("Get over TLS: %s %v %v", v.Data, ok, err)
	}
	outside.Cert, outside.Key = "", ""
	bare := openTest(t, outside, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, _, err := bare.Get(ctx, "w/x"); err == nil {
		t.Error("a client without a certificate was served")
	}
}

// putSoon puts as soon as the cluster has a leader.
func putSoon(t *testing.T, s *Store, key, val string) {
	t.Helper()
	end := time.Now().Add(time.Minute)
	for {
		_, err := s.Put(t.Context(), key, []byte(val))
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// certificates writes a certificate for 127.0.0.1 that signs itself.
func certificates(t *testing.T) (cert, key, ca string) {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pk, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cert = write("cert.pem", "CERTIFICATE", der)
	return cert, write("key.pem", "PRIVATE KEY", pk), cert
}
