package transfer

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPrivate(t *testing.T) {
	state := func(version uint16, alpn string) *tls.ConnectionState {
		return &tls.ConnectionState{Version: version, NegotiatedProtocol: alpn}
	}
	for i, c := range []struct {
		state *tls.ConnectionState
		want  bool
	}{
		{nil, false}, {state(tls.VersionTLS12, "dot"), false}, {state(tls.VersionTLS13, ""), false}, {state(tls.VersionTLS13, "h2"), false},
		{state(tls.VersionTLS13, "dot"), true}, {state(tls.VersionTLS13, "doq"), true},
	} {
		if got := private(c.state); got != c.want {
			t.Errorf("%d: %v", i, got)
		}
	}
	r := rule{network: netip.MustParsePrefix("192.0.2.0/24"), tls: true}
	if from := netip.MustParseAddr("192.0.2.1"); r.allows(from, nil, false) || !r.allows(from, nil, true) {
		t.Error("a rule that wants TLS allows what has none, or not what has")
	}
}

// A primary is believed, or not, by its name, by who made its certificate, and by its key.
func TestPeerTLS(t *testing.T) {
	other := httptest.NewUnstartedServer(nil)
	other.TLS = &tls.Config{NextProtos: []string{"dot"}}
	other.StartTLS()
	defer other.Close()
	web := httptest.NewTLSServer(nil) // speaks TLS 1.3, but not DNS
	defer web.Close()
	cert := other.Certificate()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	pin, wrong := base64.StdEncoding.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(make([]byte, 32))
	for what, c := range map[string]struct {
		peer Peer
		want string // in the error; "": none
	}{
		"name and CA":           {Peer{TLS: TLSStrict, TLSName: "example.com", TLSCA: ca}, ""},
		"address and CA":        {Peer{TLS: TLSStrict, TLSName: "127.0.0.1", TLSCA: ca}, ""},
		"another name":          {Peer{TLS: TLSStrict, TLSName: "ns.other", TLSCA: ca}, "ns.other"},
		"nobody knows the CA":   {Peer{TLS: TLSStrict, TLSName: "example.com"}, "unknown authority"},
		"pin":                   {Peer{TLS: TLSStrict, TLSPins: []string{wrong, pin}}, ""},
		"another pin":           {Peer{TLS: TLSStrict, TLSPins: []string{wrong}}, "tls_pins"},
		"name, CA, another pin": {Peer{TLS: TLSStrict, TLSName: "example.com", TLSCA: ca, TLSPins: []string{wrong}}, "tls_pins"},
		"anybody":               {Peer{TLS: TLSOpportunistic}, ""},
		"not DNS":               {Peer{TLS: TLSOpportunistic, Address: web.Listener.Addr().String()}, "application protocol"},
	} {
		if c.peer.Address == "" {
			c.peer.Address = other.Listener.Addr().String()
		}
		peers, err := peersOf([]Peer{c.peer}, nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for range 2 { // the second one resumes
			conn, err := peers[0].connect(t.Context())
			if conn != nil {
				conn.Close()
			}
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, want %q", what, err, c.want)
			}
		}
	}
	if _, err := peersOf([]Peer{{Address: "192.0.2.1", TLS: TLSStrict, TLSName: "a", TLSCA: "nowhere"}}, nil); err == nil {
		t.Error("a CA that is not there is no fault")
	}
	if p, _ := (Peer{Address: "192.0.2.1", TLS: TLSStrict}).addrPort(); p.Port() != 853 {
		t.Errorf("port %d", p.Port())
	}
}

func TestBadPeerTLS(t *testing.T) {
	for want, p := range map[string]Peer{
		"tls":         {TLS: "yes"},
		"tls_name":    {TLS: TLSStrict},
		"tls_ca":      {TLSCA: "ca.pem"},
		"tls_pins":    {TLS: TLSOpportunistic, TLSPins: []string{base64.StdEncoding.EncodeToString(make([]byte, 32))}},
		"tls_pins[0]": {TLS: TLSStrict, TLSPins: []string{"abc"}},
	} {
		var got []string
		p.validateTLS(func(key, _ string) { got = append(got, key) })
		if len(got) != 1 || got[0] != want {
			t.Errorf("%+v: faults of %v, want one of %s", p, got, want)
		}
	}
}
