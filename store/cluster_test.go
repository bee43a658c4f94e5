package store

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
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

// openMember opens one more member, or one again.
func openMember(t *testing.T, m map[string]*Store, name string, cfg Config, dir string) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg, dir, quiet(), ForTests())
	if err != nil {
		t.Fatal(err)
	}
	m[name] = s
	return s
}

// soon waits until try has no error any more.
func soon(t *testing.T, try func() error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
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

// TestLostMember: a member whose data are gone is put into its cluster anew, with all that is in there, and
// counts in its majority; not while there is no majority that could do it, nor while somebody is at its address.
func TestLostMember(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	dir := func(s *Store) string { return filepath.Dir(s.lkgDir) }
	lose := func(name string) *Store {
		t.Helper()
		was := m[name]
		if err := was.Close(); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir(was), "etcd")); err != nil {
			t.Fatal(err)
		}
		cfg := was.cfg
		cfg.Listen = "127.0.0.1:0"
		began := time.Now()
		s := openMember(t, m, name, cfg, dir(was))
		if took := time.Since(began); took > time.Minute {
			t.Errorf("Open took %v", took)
		}
		return s
	}
	says := func(s *Store, want string) {
		t.Helper()
		if st := s.Status(); !strings.Contains(st.LastError, want) || st.Ended != "" {
			t.Errorf("status %+v does not say %q, or that it has ended", st, want)
		}
	}
	gets := func(s *Store, want string) {
		t.Helper()
		soon(t, func() error {
			v, _, err := s.Get(t.Context(), "w/x")
			if err == nil && string(v.Data) == want {
				return nil
			}
			return fmt.Errorf("w/x is %q, %v, want %q; status %+v", v.Data, err, want, s.Status())
		})
	}
	putSoon(t, m["a"], "w/x", "1")

	other := m["c"].cfg
	other.Listen = "127.0.0.1:0"
	twin, err := Open(t.Context(), other, t.TempDir(), quiet(), ForTests())
	if err != nil {
		t.Fatal(err)
	}
	says(twin, "somebody is at its address")
	if err := twin.Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, m["c"], "w/x", "2")

	gets(lose("c"), "2")
	if err := m["b"].Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, m["c"], "w/x", "3") // with a alone

	says(lose("c"), "has not joined its cluster")
	openMember(t, m, "b", m["b"].cfg, dir(m["b"]))
	gets(m["c"], "3")
	if st := m["c"].Status(); st.LastError != "" {
		t.Errorf("it has joined, and the status says %q", st.LastError)
	}
	if err := m["a"].Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, m["b"], "w/x", "4")
	gets(m["c"], "4")
}

// TestMembers: the members are known with how they are, also without a majority; one that is stopped can be taken
// out, one that is at work cannot, nor can any where there is nobody to decide it.
func TestMembers(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	list := func(want int, well string) (all []Member) {
		t.Helper()
		soon(t, func() (err error) {
			if all, err = m["a"].Members(t.Context()); err != nil {
				return err
			}
			got, leaders := "", 0
			for _, one := range all {
				if one.Answers {
					got += one.Name
				}
				if one.Leader {
					leaders++
				}
				if one.Here != (one.Name == "a") || !one.Answers && one.Why == "" || one.Answers != (one.Version != "") {
					return fmt.Errorf("%+v", one)
				}
			}
			if len(all) != want || got != well || len(well) > 1 && leaders != 1 {
				return fmt.Errorf("%d members, %q answer, %d lead; want %d, %q", len(all), got, leaders, want, well)
			}
			return nil
		})
		return all
	}
	refused := func(which string, want error) {
		t.Helper()
		if _, err := m["a"].RemoveMember(t.Context(), which); !errors.Is(err, want) {
			t.Errorf("taking out %q: %v, want %v", which, err, want)
		}
	}
	list(3, "abc")
	refused("d", ErrNoMember)
	refused("", ErrNoMember)
	refused("c", ErrNeeded)
	if err := m["c"].Close(); err != nil {
		t.Fatal(err)
	}
	all := list(3, "ab")
	soon(t, func() error { _, err := m["a"].RemoveMember(t.Context(), all[2].ID); return err }) // there may be an election
	refused("c", ErrNoMember)
	list(2, "ab")
	putSoon(t, m["b"], "w/x", "1")
	if err := m["b"].Close(); err != nil {
		t.Fatal(err)
	}
	list(2, "a")
	refused("b", ErrNeeded)
}

// TestNewMember: one more member is put in where its own configuration alone has it.
func TestNewMember(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	putSoon(t, m["a"], "w/x", "1")
	cfg := m["a"].cfg
	cfg.Name, cfg.Listen = "d", "127.0.0.1:0"
	cfg.Cluster += ",d=http://" + bed.FreeAddress(t)
	d := openMember(t, m, "d", cfg, t.TempDir())
	putSoon(t, d, "w/x", "2")
	if err := m["b"].Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, d, "w/x", "3") // three of four
	if err := m["c"].Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := d.Put(ctx, "w/x", []byte("4")); err == nil {
		t.Error("two of four are a majority")
	}
}

// TestMovedMember: a member that has another address in its own configuration is found there by the others.
func TestMovedMember(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	putSoon(t, m["a"], "w/x", "1")
	cfg, dir := m["c"].cfg, filepath.Dir(m["c"].lkgDir)
	if err := m["c"].Close(); err != nil {
		t.Fatal(err)
	}
	entries := strings.Split(cfg.Cluster, ",")
	to := "http://" + bed.FreeAddress(t)
	entries[2] = "c=" + to
	cfg.Cluster = strings.Join(entries, ",")
	c := openMember(t, m, "c", cfg, dir)
	putSoon(t, c, "w/x", "2")
	soon(t, func() error {
		var at []string
		for _, one := range m["a"].member.etcd.Server.Cluster().Members() {
			at = append(at, one.PeerURLs...)
		}
		if slices.Contains(at, to) && len(at) == 3 {
			return nil
		}
		return fmt.Errorf("the members are at %v, want one at %s", at, to)
	})
	if err := m["b"].Close(); err != nil {
		t.Fatal(err)
	}
	putSoon(t, m["a"], "w/x", "3")
	putSoon(t, c, "w/x", "4")
}

// TestBrokenMember: a member whose data are of no use holds up no node. What is wrong and what to
// do is told, and done it helps.
func TestBrokenMember(t *testing.T) {
	m := openCluster(t, func(*Config) {})
	putSoon(t, m["a"], "w/x", "1")
	cfg, dir := m["c"].cfg, filepath.Dir(m["c"].lkgDir)
	data := filepath.Join(dir, "etcd")
	again := func(prepare func() error) *Store {
		t.Helper()
		if err := m["c"].Close(); err != nil {
			t.Fatal(err)
		}
		if err := prepare(); err != nil {
			t.Fatal(err)
		}
		return openMember(t, m, "c", cfg, dir)
	}
	ended := func(s *Store, wants ...string) {
		t.Helper()
		soon(t, func() error {
			if s.Status().Ended == "" {
				return errors.New("it has not ended")
			}
			return nil
		})
		for _, want := range wants {
			if st := s.Status(); !strings.Contains(st.Ended, want) {
				t.Errorf("it has ended: %q does not say %q", st.Ended, want)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := s.Get(ctx, "w/x"); err == nil {
			t.Error("it answers all the same")
		}
	}
	before := filepath.Join(t.TempDir(), "before")
	s := again(func() error { return os.CopyFS(before, os.DirFS(data)) })
	putSoon(t, s, "w/x", "2")
	s = again(func() error { return os.RemoveAll(data) })
	putSoon(t, s, "w/x", "3")
	s = again(func() error { return errors.Join(os.RemoveAll(data), os.CopyFS(data, os.DirFS(before))) })
	ended(s, "permanently removed", data)
	s = again(func() error {
		return os.WriteFile(filepath.Join(data, "member", "snap", "db"), []byte("not a database"), 0o600)
	})
	ended(s, "can't be opened", data)
	s = again(func() error { return os.RemoveAll(data) })
	putSoon(t, s, "w/x", "4")
	if st := s.Status(); st.Ended != "" || st.LastError != "" {
		t.Errorf("anew, its status is %+v", st)
	}
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
	soon(t, func() error {
		_, err := s.Put(t.Context(), key, []byte(val))
		return err
	})
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
