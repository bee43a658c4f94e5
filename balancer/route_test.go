package balancer

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gslb/proxyproto"
)

// testCertificate is one that nobody verifies.
func testCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// tlsBackend speaks TLS, says its name and what it heard in the handshake, and echoes.
func tlsBackend(t *testing.T, name string, certificate tls.Certificate) *backend {
	return newBackend(t, name, func(c *net.TCPConn) {
		defer c.Close()
		s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "imap", "http/1.1"}})
		if s.Handshake() != nil {
			return
		}
		fmt.Fprintf(s, "%s %s\n", name, s.ConnectionState().ServerName)
		io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
		s.CloseWrite()
	})
}

// routed is a frontend "www" with routes, and the frontends that they go to.
func routed(t *testing.T, config configOf) []Config {
	t.Helper()
	certificate := testCertificate(t)
	cfg := config(newBackend(t, "plain", nil))
	cfg.PreambleTimeout = patience
	cfgs := []Config{cfg}
	for _, name := range []string{"exact", "wild", "deep", "mail", "h2"} {
		to := config(tlsBackend(t, name, certificate))
		to.Name, to.Listen = name, nil
		cfgs = append(cfgs, to)
	}
	cfgs[0].Routes = []RouteConfig{
		{ServerNames: []string{"www.Example.com"}, Protocols: []string{"h2"}, To: "h2"},
		{ServerNames: []string{"www.example.com", "example.com"}, To: "exact"},
		{ServerNames: []string{"*.example.com"}, To: "wild"},
		{ServerNames: []string{"*.deep.example.com"}, To: "deep"},
		{Protocols: []string{"imap"}, To: "mail"},
	}
	return cfgs
}

func rigOf(t *testing.T, cfgs []Config) *rig {
	t.Helper()
	return newRigOf(t, Options{ReportEvery: 50 * time.Millisecond}, cfgs, nil)
}

// slow writes what it is given in small pieces.
type slow struct {
	net.Conn
	piece int // 0: whole
}

func (s slow) Write(b []byte) (n int, err error) {
	if s.piece == 0 {
		return s.Conn.Write(b)
	}
	for part := range slices.Chunk(b, s.piece) {
		m, err := s.Conn.Write(part)
		if n += m; err != nil {
			return n, err
		}
	}
	return n, nil
}

// handshake connects with TLS, each write in pieces, and returns what the server says.
func (r *rig) handshake(cfg *tls.Config, piece int, before []byte) (string, error) {
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	conn.Write(before)
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = true
	c := tls.Client(slow{conn, piece}, cfg)
	body := bytes.Repeat([]byte("all that the client says. "), 4000)
	go func() { c.Write(body); c.CloseWrite() }()
	got, err := io.ReadAll(c)
	line, rest, _ := bytes.Cut(got, []byte("\n"))
	if err == nil && !bytes.Equal(rest, body) {
		err = fmt.Errorf("%d octets came back of %d, or they were changed", len(rest), len(body))
	}
	return string(line), err
}

// TLS connections go where their ClientHello says, with every octet.
func TestRoutes(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		cfgs := routed(t, config)
		cfgs[0].ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		cfgs[2].Deny = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		file := filepath.Join(t.TempDir(), "log")
		for i := range cfgs {
			cfgs[i].LogConnections, cfgs[i].ConnectionLog = 1, file
		}
		r := rigOf(t, cfgs)
		local := []byte(proxyproto.Local(ProxyV2))
		for _, test := range []struct {
			name, protocol string
			want           string
		}{
			{"www.example.com", "", "exact www.example.com"},
			{"WWW.example.com", "", "exact WWW.example.com"},
			{"www.example.com", "h2", "h2 www.example.com"},
			{"example.com", "", "exact example.com"},
			{"shop.example.com", "h2", "wild shop.example.com"},
			{"a.b.example.com", "", "wild a.b.example.com"},
			{"x.deep.example.com", "", "deep x.deep.example.com"},
			{"elsewhere.test", "imap", "mail elsewhere.test"},
			{"", "imap", "mail "},
		} {
			cfg := &tls.Config{ServerName: test.name}
			if test.protocol != "" {
				cfg.NextProtos = []string{test.protocol}
			}
			for _, piece := range []int{0, 50} {
				if got, err := r.handshake(cfg, piece, local); got != test.want || err != nil {
					t.Errorf("%s with %q in pieces of %d: %q, %v; want %q", test.name, test.protocol, piece, got, err, test.want)
				}
			}
		}
		// What no route takes, and what is not TLS, is for the frontend's own servers.
		for name, b := range map[string]string{"not TLS": "hello\n", "TLS for another name": string(clientHello(t, "elsewhere.test"))} {
			got, err := r.say([][]byte{append(slices.Clone(local), b...)}, 0, true)
			if got != "plain\n"+b || err != nil {
				t.Errorf("%s: %.60q, %v", name, got, err)
			}
		}
		// The frontend where a route leads decides who may connect, too.
		denied := proxyproto.Append(nil, ProxyV2, netip.MustParseAddrPort("203.0.113.9:1"), netip.MustParseAddrPort("203.0.113.8:443"))
		if got, err := r.handshake(&tls.Config{ServerName: "wild.example.com"}, 0, denied); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("denied where its route leads: %q, %v, want a reset", got, err)
		}
		r.watchRouted()
		r.stop()
		if names := loggedNames(t, file); !slices.Contains(names, "x.deep.example.com deep server") || !slices.Contains(names, "elsewhere.test www client") {
			t.Errorf("the log has %q", names)
		}
	})
}

// clientHello is what crypto/tls sends first.
func clientHello(t *testing.T, name string) []byte {
	t.Helper()
	client, server := net.Pipe()
	go tls.Client(client, &tls.Config{ServerName: name}).Handshake()
	defer server.Close()
	b := make([]byte, 16<<10)
	n, err := server.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

// watchRouted sees how an open connection that was routed is shown and counted.
func (r *rig) watchRouted() {
	t := r.t
	eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 && r.Status()[1].Open == 0 })
	before := r.Status()
	conn, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte(proxyproto.Local(ProxyV2)))
	c := tls.Client(conn, &tls.Config{ServerName: "example.com", InsecureSkipVerify: true})
	c.SetDeadline(time.Now().Add(patience))
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	all, _ := r.Connections(ConnectionFilter{})
	if len(all) != 1 || all[0].Frontend != "exact" || all[0].Name != "example.com" {
		t.Errorf("shown as %+v", all)
	}
	s := r.Status()
	if s[0].Open != 1 || s[1].Open != 1 || s[1].Servers[0].Connections != 1 || s[0].Counters.Routed != before[0].Counters.Routed+1 || s[1].Counters.Accepted != before[1].Counters.Accepted+1 {
		t.Errorf("counted as %+v and %+v", s[0], s[1])
	}
	conn.Close()
	eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 && r.Status()[1].Open == 0 })
}

// loggedNames are the server names of the log, with where they went and how that ended.
func loggedNames(t *testing.T, path string) (names []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var l LoggedConnection
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		names = append(names, l.Name+" "+l.Frontend+" "+l.End)
	}
	return names
}

// Without servers of its own a frontend resets what no route takes, and what does not
// come in time; with not_tls = "reset" it takes TLS alone.
func TestRoutesRefuse(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		for name, change := range map[string]func(*Config){
			"no servers": func(c *Config) { c.Servers = nil },
			"TLS, and reset": func(c *Config) {
				c.NotTLS = NotTLSReset
				c.Routes = append(c.Routes, RouteConfig{Protocols: []string{"x"}, To: "mail"})
			},
		} {
			cfgs := routed(t, config)
			change(&cfgs[0])
			cfgs[0].PreambleTimeout = time.Second // longer than a busy machine lets a client stand still before it writes
			cfgs[1].MaxConnections = 1
			r := rigOf(t, cfgs)
			hello := clientHello(t, "elsewhere.test")
			reset := func(what string, b []byte, finish bool) {
				t.Helper()
				if got, err := r.say([][]byte{b}, 0, finish); got != "" || !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("%s, %s: %.60q, %v, want a reset", name, what, got, err)
				}
			}
			reset("not TLS", []byte("GET / HTTP/1.1\r\n\r\n"), false)
			reset("half of a ClientHello, and the end", hello[:len(hello)/2], true)
			reset("half of a ClientHello", hello[:len(hello)/2], false)
			if len(cfgs[0].Servers) == 0 {
				reset("a name of no route", hello, false)
			}
			eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
			c := r.Status()[0].Counters
			if want := int64(1 - min(1, len(cfgs[0].Servers))); c.NotTLS != 3 || c.NoRoute != want || c.Refused != 0 {
				t.Errorf("%s: counted %+v", name, c)
			}
			// Who does not fit where a route leads is reset, too.
			conn, err := tls.Dial("tcp", r.address, &tls.Config{ServerName: "example.com", InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			reset("one too many", clientHello(t, "example.com"), false)
			eventually(t, "it counted", func() bool { return r.Status()[1].Counters.QueueFull == 1 })
			conn.Close()
			if panics := r.Status()[0].Panic; panics && len(cfgs[0].Servers) == 0 {
				t.Errorf("%s: a frontend without servers has panicked for want of them", name)
			}
			r.stop()
		}
	})
}

// A protocol in which the server speaks first gets its server when the client has had
// its time.
func TestRoutesOfTheSilent(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		cfgs := routed(t, config)
		cfgs[0].PreambleTimeout = 50 * time.Millisecond
		r := rigOf(t, cfgs)
		if c := r.mustConnect(); c.from != "plain" || c.echo("hello") != nil {
			t.Errorf("served by %q", c.from)
		}
	})
}

func TestValidateRoutes(t *testing.T) {
	server := []ServerConfig{{Address: "10.0.0.1:443"}}
	route := func(names ...string) []RouteConfig { return []RouteConfig{{ServerNames: names, To: "to"}} }
	for _, test := range []struct {
		name string
		cfgs []Config
		want string
	}{
		{"good", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a.example", "*.example")}, {Name: "to", Servers: server}}, ""},
		{"no listen", []Config{{Name: "www", Servers: server}}, `0 listen must name at least one address`},
		{"nobody", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a.example")}}, `0 route[0].to "to": there is no frontend of that name`},
		{"in a circle", []Config{{Name: "to", Listen: []string{":443"}, Routes: route("a.example")}}, `0 route[0].to "to": has routes itself`},
		{"another site", []Config{{Name: "www", Site: "a", Listen: []string{":443"}, Routes: route("a.example")}, {Name: "to", Site: "b", Servers: server}}, `0 route[0].to "to": is of site "b"`},
		{"another plane", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a.example")}, {Name: "to", Listen: []string{"192.0.2.1:1"}, Plane: PlaneNAT, Servers: server}}, `0 route[0].to "to": must be of plane`},
		{"another engine", []Config{{Name: "www", Engine: EnginePortable, Listen: []string{":443"}, Routes: route("a.example")}, {Name: "to", Engine: "other", Servers: server}}, `0 route[0].to "to": has engine`},
		{"a bad name", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a..example")}, {Name: "to", Servers: server}}, `0 route[0].server_names[0] "a..example": must be a host name`},
		{"a star within", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a.*.example")}, {Name: "to", Servers: server}}, `0 route[0].server_names[0] "a.*.example": must be`},
		{"a name twice", []Config{{Name: "www", Listen: []string{":443"}, Routes: route("a.example", "A.example.")}, {Name: "to", Servers: server}}, `0 route[0].server_names[1] "A.example.": stands already in route[0].server_names[0]`},
		{"nothing to go by", []Config{{Name: "www", Listen: []string{":443"}, Routes: route()}, {Name: "to", Servers: server}}, `0 route[0] needs server_names`},
		{"own servers, of which there are none", []Config{{Name: "www", Listen: []string{":443"}, NotTLS: NotTLSOwn, Routes: route("a.example")}, {Name: "to", Servers: server}}, `0 not_tls "own": needs a [[frontend.server]]`},
		{"TLS alone, and no routes", []Config{{Name: "www", Listen: []string{":443"}, NotTLS: NotTLSReset, Servers: server}}, `0 not_tls needs a [[frontend.route]]`},
		{"UDP", []Config{{Name: "www", Protocol: UDP, Listen: []string{":443"}, Routes: route("a.example")}, {Name: "to", Servers: server}}, `0 route is for plane`},
	} {
		var got []string
		add := func(i int, key, msg string) { got = append(got, fmt.Sprintf("%d %s %s", i, key, msg)) }
		for i, c := range test.cfgs {
			c.Validate(func(key, msg string) { add(i, key, msg) })
		}
		ValidateRoutes(test.cfgs, add)
		got = slices.DeleteFunc(got, func(s string) bool {
			return strings.Contains(s, "engine \"other\": must be") || strings.Contains(s, `engine "other"`) && !strings.Contains(s, "route") || strings.HasPrefix(s, "1 engine")
		})
		if len(got) != min(1, len(test.want)) || len(got) == 1 && !strings.HasPrefix(got[0], test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
