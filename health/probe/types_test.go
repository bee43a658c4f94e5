package probe

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	gslbhealth "gslb/health"
	"gslb/test/bed"
)

// patient is a timeout for what has to succeed on a busy machine, brief for what
// never comes: long enough for what comes before it.
const (
	patient = 30 * time.Second
	brief   = 4 * time.Second
)

// wireCase is one probe of a real counterpart.
type wireCase struct {
	name    string
	address string
	cfg     Config
	want    string // of the error, with the address as ADDR; a last "…": only the begin
}

// run makes the probe. One that hangs until its timeout is to be brief.
func (c wireCase) run(t *testing.T, typ string) {
	t.Helper()
	c.cfg.Type = typ
	if c.cfg.Interval = patient; c.cfg.Timeout == 0 {
		c.cfg.Timeout = patient
	}
	got := probeOnce(t, c.cfg, c.address)
	if begin, ok := strings.CutSuffix(c.want, "…"); ok && strings.HasPrefix(got, begin) {
		return
	}
	if got != c.want {
		t.Errorf("got  %q\nwant %q", got, c.want)
	}
}

func runAll(t *testing.T, typ string, cases []wireCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, typ)
		})
	}
}

// flood writes without end.
func flood(b string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		for err := error(nil); err == nil; _, err = c.Write([]byte(b)) {
		}
	}
}

// drip writes a byte now and then.
func drip(c *net.TCPConn) {
	for err := error(nil); err == nil; _, err = c.Write([]byte("x")) {
		time.Sleep(20 * time.Millisecond)
	}
}

// reset ends the connection the hard way once something has come.
func reset(c *net.TCPConn) { _, _ = c.Read(make([]byte, 4096)); _ = c.SetLinger(0) }

func TestTCPExchange(t *testing.T) {
	t.Parallel()
	echo := func(c *net.TCPConn) { _, _ = io.Copy(c, c) }
	runAll(t, "tcp", []wireCase{
		{"a banner", listen(t, func(c *net.TCPConn) { _, _ = c.Write([]byte("220 mail ESMTP\r\n")); hang(c) }), Config{Expect: "^220 "}, ""},
		{"asked and answered", listen(t, echo), Config{Send: "PING\r\n", Expect: "PING\r\n$"}, ""},
		{"in octets", listen(t, echo), Config{SendHex: "00ff01", Expect: `^\x00`}, ""},
		{"in two parts", listen(t, func(c *net.TCPConn) {
			_, _ = c.Write([]byte("+PO"))
			time.Sleep(50 * time.Millisecond)
			_, _ = c.Write([]byte("NG"))
			hang(c)
		}), Config{Expect: `^\+PONG`}, ""},
		{"something else", listen(t, say("-ERR\r\n")), Config{Send: "PING\r\n", Expect: "PONG"}, `answer from ADDR: "-ERR\r\n" does not match "PONG"`},
		{"never answers", listen(t, hang), Config{Send: "x", Expect: "y", Timeout: brief}, "timeout after 4s while waiting for an answer from ADDR"},
		{"drips", listen(t, drip), Config{Expect: "y", Timeout: brief}, `answer from ADDR: "x…`},
		{"without end", listen(t, flood(strings.Repeat("x", 4096))), Config{Expect: "y"}, `answer from ADDR: nothing in the first 64 KiB matches "y"`},
		{"reset", listen(t, reset), Config{Send: "x", Expect: "y"}, "answer from ADDR: connection reset by peer"},
		{"closed", listen(t, func(c *net.TCPConn) { _, _ = c.Read(make([]byte, 9)) }), Config{Send: "x", Expect: "y"}, "answer from ADDR: connection closed by the other side"},
	})
}

// listenUDP answers each datagram with what answer makes of it.
func listenUDP(t *testing.T, answer func(string) []string) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			for _, a := range answer(string(b[:n])) {
				_, _ = c.WriteTo([]byte(a), from)
			}
		}
	}()
	return c.LocalAddr().String()
}

func TestUDP(t *testing.T) {
	t.Parallel()
	refused := bed.Reserve(t, "udp")
	runAll(t, "udp", []wireCase{
		{"answered", listenUDP(t, func(s string) []string { return []string{"got " + s} }), Config{Send: "hello", Expect: "^got hello$"}, ""},
		{"anything", listenUDP(t, func(string) []string { return []string{""} }), Config{Send: "hello"}, ""},
		{"the second matches", listenUDP(t, func(string) []string { return []string{"no", "yes"} }), Config{Send: "x", Expect: "yes"}, ""},
		{"none matches", listenUDP(t, func(string) []string { return []string{"no"} }), Config{Send: "x", Expect: "yes", Timeout: brief}, `answer from ADDR: "no" does not match "yes"`},
		{"a flood of others", listenUDP(t, func(string) []string { return strings.Split(strings.Repeat("no ", 80), " ") }), Config{Send: "x", Expect: "yes"}, `answer from ADDR: none of 64 datagrams matches "yes"`},
		{"silent", listenUDP(t, func(string) []string { return nil }), Config{Send: "x", Timeout: brief}, "timeout after 4s while waiting for an answer from ADDR"},
		{"refused", refused, Config{Send: "x"}, "answer from ADDR: connection refused"},
	})
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	year := ca.issue(t, time.Now().Add(365*24*time.Hour), "www.abc.com")
	runAll(t, "tls", []wireCase{
		{"verified", serveTLS(t, year, nil), Config{Host: "www.abc.com", CA: ca.file}, ""},
		{"another name", serveTLS(t, year, nil), Config{Host: "b.abc.com", CA: ca.file}, "tls handshake with ADDR: certificate is valid for www.abc.com, not b.abc.com"},
		{"another CA", serveTLS(t, year, nil), Config{Host: "www.abc.com"}, "tls handshake with ADDR: certificate signed by unknown authority"},
		{"silent", listen(t, hang), Config{Timeout: brief}, "timeout after 4s while handshaking with ADDR"},
		{"not TLS", listen(t, flood("hello")), Config{}, "tls handshake with ADDR: first record does not look like a TLS handshake"},
		{"drips", listen(t, drip), Config{}, "tls handshake with ADDR: first record does not look like a TLS handshake"},
		{"reset", listen(t, reset), Config{}, "tls handshake with ADDR: connection reset by peer"},
	})
}

// TestExpiryWarning: a certificate that ends soon is warned of, and no failure.
func TestExpiryWarning(t *testing.T) {
	ca := newAuthority(t) // ends in an hour
	address := serveTLS(t, ca.issue(t, time.Now().Add(50*time.Minute), "www.abc.com"), nil)
	for _, test := range []struct {
		typ    string
		within time.Duration
		want   string
	}{
		{"tls", time.Minute, ""},
		{"tls", 0, "the certificate ends in 49 minutes, at "},
		{"https", time.Hour, "the certificate ends in 49 minutes, at "},
	} {
		p, err := New(Config{Type: test.typ, Host: "www.abc.com", CA: ca.file, ExpiryWarning: test.within, Timeout: patient, Interval: patient}, Target{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		seen, err := p.Probe(t.Context())
		if err != nil || !strings.HasPrefix(seen.Warning, test.want) || test.want == "" && seen.Warning != "" {
			t.Errorf("%s within %v: %q, %v, want %q", test.typ, test.within, seen.Warning, err, test.want)
		}
	}
}

// TestCAWarning: a CA that ends soon is known before any probe.
func TestCAWarning(t *testing.T) {
	c := Config{Type: "https", CA: newAuthority(t).file} // ends in an hour
	if got := c.CAWarning(time.Now()); !strings.Contains(got, `of "test CA": the certificate ends in 59 minutes, at `) {
		t.Errorf("got %q", got)
	}
	if got := c.CAWarning(time.Now().Add(2 * time.Hour)); !strings.Contains(got, "has ended at") {
		t.Errorf("ended: %q", got)
	}
	c.ExpiryWarning = time.Minute
	if got := c.CAWarning(time.Now()); got != "" {
		t.Errorf("not soon: %q", got)
	}
}

// web is a server with a page for each case, over HTTP/1.1 and HTTP/2.
func web(t *testing.T, secure *tls.Config) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"up","n":1.50,"deep":{"a.b":[null,{"ok":true}]}}`)
	})
	mux.HandleFunc("/method", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q %s", r.Proto, r.Method, body, r.Header.Get("X-Key"))
	})
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/secret", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "key %q at %s", r.Header.Get("Authorization"), r.Host)
	})
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) {
		for range 200 {
			_, _ = io.WriteString(w, strings.Repeat("x", 1000))
		}
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, _ *http.Request) {
		for i := range 100 {
			w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 1000))
		}
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	s := httptest.NewUnstartedServer(mux)
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetHTTP2(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	if secure != nil {
		s.TLS, s.EnableHTTP2 = secure, true
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func TestHTTPMatches(t *testing.T) {
	t.Parallel()
	address := web(t, nil).Listener.Addr().String()
	other := web(t, nil).Listener.Addr().String()
	cases := func(version string) []wireCase {
		with := func(path string, edit func(*Config)) Config {
			c := Config{Path: path, HTTPVersion: version}
			if edit != nil {
				edit(&c)
			}
			return c
		}
		proto := map[string]string{"1.1": "HTTP/1.1", "2": "HTTP/2.0"}[version]
		return []wireCase{
			{"body " + version, address, with("/json", func(c *Config) { c.BodyMatch = `"status":\s*"up"` }), ""},
			{"body does not " + version, address, with("/json", func(c *Config) { c.BodyMatch = "down" }), `body from ADDR/json: "{\"status\":\"up\",\"n\":1.50,\"deep\":{\"a.b\":[null,{\"ok\":true}]}}" does not match "down"`},
			{"json " + version, address, with("/json", func(c *Config) {
				c.JSON = map[string]string{"status": "^up$", `deep["a.b"][1].ok`: "true", `$.n`: `^1\.50$`}
			}), ""},
			{"json does not " + version, address, with("/json", func(c *Config) { c.JSON = map[string]string{"status": "^down$"} }), `body from ADDR/json: json status: "up" does not match "^down$"`},
			{"json has none " + version, address, with("/json", func(c *Config) { c.JSON = map[string]string{"deep.x": ""} }), "body from ADDR/json: json deep.x: there is no deep.x"},
			{"no json " + version, address, with("/method", func(c *Config) { c.JSON = map[string]string{"a": ""} }), `body from ADDR/method: "` + proto + ` GET \"\" " is no JSON: …`},
			{"json too long " + version, address, with("/big", func(c *Config) { c.JSON = map[string]string{"a": ""} }), "body from ADDR/big: is longer than 64 KiB: too long to be read as JSON"},
			{"header " + version, address, with("/json", func(c *Config) { c.HeaderMatch = map[string]string{"content-type": "json"} }), ""},
			{"header is not there " + version, address, with("/json", func(c *Config) { c.HeaderMatch = map[string]string{"X-No": "."} }), `header X-No from ADDR/json: is not there, so it does not match "."`},
			{"method, headers, body " + version, address, with("/method", func(c *Config) {
				c.Method, c.Body, c.Headers, c.BodyMatch = "POST", "ping", map[string]string{"x-key": "k1"}, "^"+proto+` POST "ping" k1$`
			}), ""},
			{"status range " + version, address, with("/bad", func(c *Config) { c.Status = []Status{{200, 299}, {503, 503}} }), ""},
			{"status " + version, address, with("/bad", nil), "http 503 from ADDR/bad, want 200-399"},
			{"redirect not followed " + version, address, with("/loop", nil), ""},
			{"redirects without end " + version, address, with("/loop", func(c *Config) { c.Redirects = 3 }), "http 302 from ADDR/loop: more than 3 redirects"},
			{"redirect followed " + version, address, with("/to?to=/json", func(c *Config) { c.Redirects, c.BodyMatch = 1, "status" }), ""},
			{"redirect to the host that is asked for stays " + version, address, with("/to?to=http://www.abc.invalid/method", func(c *Config) {
				c.Redirects, c.Host, c.Method, c.Body, c.BodyMatch = 1, "www.abc.invalid", "POST", "ping", `POST "ping"`
			}), ""},
			{"redirect elsewhere, without secrets " + version, address, with("/to?to=http://"+other+"/secret", func(c *Config) {
				c.Redirects, c.Headers, c.BodyMatch = 1, map[string]string{"authorization": "Bearer x"}, `key "" at `+other
			}), ""},
			{"body without end is enough " + version, address, with("/big", nil), ""},
			{"body stalls " + version, address, with("/hang", func(c *Config) { c.Timeout = brief }), "timeout after 4s while reading the body from ADDR"},
			{"huge headers " + version, address, with("/headers", nil), map[string]string{"1.1": "headers from ADDR: more than 64 KiB", "2": "headers from ADDR: …"}[version]},
		}
	}
	runAll(t, "http", append(cases("1.1"), cases("2")...))
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert := ca.issue(t, time.Now().Add(time.Hour), "www.abc.com")
	address := web(t, &tls.Config{Certificates: []tls.Certificate{cert}}).Listener.Addr().String()
	two := Config{Host: "www.abc.com", CA: ca.file, HTTPVersion: "2"}
	with := func(edit func(*Config)) Config {
		c := two
		edit(&c)
		return c
	}
	runAll(t, "https", []wireCase{
		{"spoken", address, with(func(c *Config) { c.Path, c.BodyMatch = "/method", "^HTTP/2.0 GET" }), ""},
		{"1.1 by default", address, with(func(c *Config) { c.Path, c.BodyMatch, c.HTTPVersion = "/method", "^HTTP/1.1 GET", "" }), ""},
		{"not spoken", serveTLS(t, cert, nil), two, "tls handshake with ADDR: remote error: tls: no application protocol"},
		{"silent", listen(t, hang), with(func(c *Config) { c.Timeout = brief }), "timeout after 4s while handshaking with ADDR"},
		{"body stalls", address, with(func(c *Config) { c.Path, c.Timeout = "/hang", brief }), "timeout after 4s while reading the body from ADDR…"},
	})
	runAll(t, "http", []wireCase{
		{"plain, silent", listen(t, hang), Config{HTTPVersion: "2", Timeout: brief}, "timeout after 4s while waiting for headers from ADDR"},
		{"plain, not HTTP/2", listen(t, say("HTTP/1.1 400 Bad Request\r\n\r\n")), Config{HTTPVersion: "2"}, "headers from ADDR: …"},
		{"plain, reset", listen(t, reset), Config{HTTPVersion: "2"}, "headers from ADDR: …"},
	})
}

// serveDNS is a DNS server on UDP and TCP on one port.
func serveDNS(t *testing.T, handle dns.HandlerFunc) string {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil { // the port is another's there
			l.Close()
			continue
		}
		for _, s := range []*dns.Server{{Listener: l, Handler: handle}, {PacketConn: p, Handler: handle}} {
			started := make(chan struct{})
			s.NotifyStartedFunc = func() { close(started) }
			go func() { _ = s.ActivateAndServe() }()
			<-started
			t.Cleanup(func() { _ = s.Shutdown() })
		}
		return l.Addr().String()
	}
	t.Fatal("no port is free on UDP and TCP")
	return ""
}

func TestDNS(t *testing.T) {
	t.Parallel()
	address := serveDNS(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		add := func(rr string) {
			r, err := dns.NewRR(rr)
			if err != nil {
				panic(err)
			}
			m.Answer = append(m.Answer, r)
		}
		switch strings.ToLower(q.Question[0].Name) {
		case "www.abc.com.":
			switch q.Question[0].Qtype {
			case dns.TypeA:
				add("www.abc.com. 30 CNAME a.www.abc.com.")
				add("a.www.abc.com. 30 A 192.0.2.1")
			case dns.TypeAAAA:
				add("www.abc.com. 30 AAAA 2001:db8::1")
			case dns.TypeMX:
				add("www.abc.com. 30 MX 10 mail.abc.com.")
			case dns.TypeTXT:
				add(`www.abc.com. 30 TXT "a" "b"`)
			case dns.TypeHTTPS:
				add(`www.abc.com. 30 HTTPS 1 .`)
			}
		case "long.abc.com.":
			for i := range 100 {
				add(fmt.Sprintf("long.abc.com. 30 A 192.0.2.%d", i))
			}
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				m.Truncate(512)
			}
		case "other.abc.com.":
			m.Question[0].Name = "another.abc.com."
		case "fake.abc.com.":
			fake := m.Copy()
			fake.Id++
			_ = w.WriteMsg(fake)
			add("fake.abc.com. 30 A 192.0.2.1")
		case "refused.abc.com.":
			m.Rcode = dns.RcodeRefused
		default:
			m.Rcode = dns.RcodeNameError
		}
		_ = w.WriteMsg(m)
	})
	ask := func(name, typ string, answer ...string) Config {
		return Config{Query: name, QueryType: typ, Answer: answer}
	}
	tcp := func(c Config) Config { c.Transport = "tcp"; return c }
	rcode := func(c Config, r string) Config { c.Rcode = r; return c }
	hurried := func(c Config) Config { c.Timeout = brief; return c }
	runAll(t, "dns", []wireCase{
		{"any answer", address, ask("www.abc.com", ""), ""},
		{"over TCP", address, tcp(ask("WWW.abc.com.", "a", "192.0.2.1", "A.www.abc.com")), ""},
		{"AAAA in another form", address, ask("www.abc.com.", "AAAA", "2001:DB8:0::1"), ""},
		{"MX", address, ask("www.abc.com.", "MX", "10 mail.abc.com."), ""},
		{"TXT", address, ask("www.abc.com.", "TXT", "ab"), ""},
		{"a type without a form", address, ask("www.abc.com.", "TYPE65"), ""},
		{"another answer", address, ask("www.abc.com.", "A", "192.0.2.2"), `answer from ADDR: has no "192.0.2.2", but "a.www.abc.com., 192.0.2.1"`},
		{"rcode", address, ask("none.abc.com.", "A"), "answer from ADDR: rcode NXDOMAIN, want NOERROR"},
		{"wanted rcode", address, rcode(ask("refused.abc.com.", ""), "refused"), ""},
		{"truncated, and enough", address, ask("long.abc.com.", "A", "192.0.2.1"), ""},
		{"truncated before it", address, ask("long.abc.com.", "A", "192.0.2.99"), `answer from ADDR: is truncated before "192.0.2.99"; set transport = "tcp"`},
		{"whole over TCP", address, tcp(ask("long.abc.com.", "A", "192.0.2.99")), ""},
		{"a forged one before it", address, ask("fake.abc.com.", "A", "192.0.2.1"), ""},
		{"another question", address, tcp(ask("other.abc.com.", "A")), "answer from ADDR: is the response to another question"},
		{"silent", listenUDP(t, func(string) []string { return nil }), hurried(ask("a.", "A")), "timeout after 4s while waiting for an answer from ADDR"},
		{"garbage", listenUDP(t, func(string) []string { return []string{"\x00\x01garbage"} }), hurried(ask("a.", "A")), "timeout after 4s while waiting for an answer from ADDR"},
		{"silent over TCP", listen(t, hang), hurried(tcp(ask("a.", "A"))), "timeout after 4s while waiting for an answer from ADDR"},
		{"cut off over TCP", listen(t, say("\x00\x40half")), tcp(ask("a.", "A")), "answer from ADDR: connection closed by the other side"},
		{"not DNS over TCP", listen(t, say("\x00\x02no")), tcp(ask("a.", "A")), "answer from ADDR: …"},
	})
}

// TestICMP pings loopback, where this machine lets it.
func TestICMP(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1"} {
		p, err := New(Config{Type: "icmp", Timeout: patient, Interval: patient}, Target{Address: address})
		if err != nil {
			t.Fatal(err)
		}
		switch _, err := p.Probe(t.Context()); {
		case errors.Is(err, ErrNotProbed):
			if !strings.Contains(err.Error(), "CAP_NET_RAW") {
				t.Errorf("%s: %v: does not say what is needed", address, err)
			}
			bed.Missing(t, "no ICMP sockets: %v", err)
		case err != nil && address == "::1" && strings.Contains(err.Error(), "cannot assign"):
			bed.Missing(t, "no IPv6 on loopback: %v", err)
		case err != nil:
			t.Errorf("%s: %v", address, err)
		}
	}
	p, err := New(Config{Type: "icmp", Timeout: patient, Interval: patient}, Target{Address: "127.0.0.1:80"}) // a port means nothing to it
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Probe(t.Context()); err != nil {
		t.Errorf("with a port: %v", err)
	}
}

func TestGRPC(t *testing.T) {
	t.Parallel()
	serve := func(options ...grpc.ServerOption) (string, *health.Server) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server, service := grpc.NewServer(options...), health.NewServer()
		grpc_health_v1.RegisterHealthServer(server, service)
		go func() { _ = server.Serve(l) }()
		t.Cleanup(server.Stop)
		return l.Addr().String(), service
	}
	plain, service := serve()
	service.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING)
	service.SetServingStatus("cart", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	ca := newAuthority(t)
	cert := ca.issue(t, time.Now().Add(time.Hour), "www.abc.com")
	secure, _ := serve(grpc.Creds(credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{cert}})))
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	none := grpc.NewServer()
	go func() { _ = none.Serve(bare) }()
	t.Cleanup(none.Stop)
	runAll(t, "grpc", []wireCase{
		{"the server", plain, Config{}, ""},
		{"a service", plain, Config{Service: "shop"}, ""},
		{"not serving", plain, Config{Service: "cart"}, "answer from ADDR: the service is NOT_SERVING"},
		{"not known", plain, Config{Service: "x"}, "answer from ADDR: the health service does not know the service"},
		{"no health service", bare.Addr().String(), Config{}, "answer from ADDR: the server has no health service (UNIMPLEMENTED)"},
		{"TLS", secure, Config{TLS: true, Host: "www.abc.com", CA: ca.file}, ""},
		{"another name", secure, Config{TLS: true, Host: "b.abc.com", CA: ca.file}, "tls handshake with ADDR: certificate is valid for www.abc.com, not b.abc.com"},
		{"a web server", web(t, nil).Listener.Addr().String(), Config{}, "http 404 from ADDR: want 200, as gRPC answers"},
		{"silent", listen(t, hang), Config{Timeout: brief}, "timeout after 4s while waiting for headers from ADDR"},
		{"a flood", listen(t, flood("\x00")), Config{}, "headers from ADDR: …"},
		{"refused", closedPort(t), Config{}, "connect to ADDR: connection refused"},
	})
}

func TestExec(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("/bin/sh")
	if err != nil {
		t.Skip("no /bin/sh here")
	}
	run := func(script string) Config { return Config{Argv: []string{sh, "-c", script, "sh", "a b", "$HOME"}} }
	with := func(c Config, edit func(*Config)) Config { edit(&c); return c }
	runAll(t, "exec", []wireCase{
		{"0", "192.0.2.1", run("exit 0"), ""},
		{"1", "192.0.2.1", run("echo no disk; echo more; exit 1"), "sh: exit status 1: no disk"},
		{"2 on the error output", "192.0.2.1", run("echo broken >&2; exit 2"), "sh: exit status 2: broken"},
		{"degraded", "192.0.2.1", with(run("exit 1"), func(c *Config) { c.ExitDegraded = []int{1} }), ""},
		{"killed", "192.0.2.1", run("kill -9 $$"), "sh: signal: killed"},
		{"arguments as they are", "192.0.2.1", run(`test "$1" = "a b" && test "$2" = '$HOME'`), ""},
		{"environment", "192.0.2.1:443", run(`test "$GSLB_ADDRESS" = 192.0.2.1 && test "$GSLB_PORT" = 443 && test -z "$HOME$GSLB_TOKEN" && test "$PWD" = /`), ""},
		{"never ends", "192.0.2.1", with(run("echo begun; sleep 100"), func(c *Config) { c.Timeout = brief }), "timeout after 4s while running sh: begun"},
		{"output without end", "192.0.2.1", with(run("while :; do echo x; done"), func(c *Config) { c.Timeout = brief }), "timeout after 4s while running sh: x"},
		{"leaves a child with its output", "192.0.2.1", run("sleep 100 & exit 0"), ""},
	})
}

// TestExecLimits: the group of a program ends with it, what cannot be started
// says nothing of the target, and nothing runs that is not allowed.
func TestExecLimits(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/bin/sh"); err != nil {
		t.Skip("no /bin/sh here")
	}
	mark := filepath.Join(t.TempDir(), "alive")
	script := `(while :; do echo x >> ` + mark + `; sleep 0.05; done) & wait`
	p, err := New(Config{Type: "exec", Argv: []string{"/bin/sh", "-c", script}, Timeout: brief, Interval: patient}, Target{Address: "192.0.2.1"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Probe(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "timeout") {
		t.Errorf("got %v", err)
	}
	size := func() int64 {
		info, err := os.Stat(mark)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	for end := time.Now().Add(patient); ; { // it may be ending still
		time.Sleep(300 * time.Millisecond)
		after := size()
		if after == before {
			break
		}
		if before = after; time.Now().After(end) {
			t.Fatal("the program's child lives on")
		}
	}

	p, _ = New(Config{Type: "exec", Timeout: patient, Interval: patient, Argv: []string{"/nonexistent/program"}}, Target{Address: "192.0.2.1"})
	if _, err := p.Probe(t.Context()); !errors.Is(err, ErrNotProbed) {
		t.Errorf("a program that is not there: %v", err)
	}
	p, _ = New(Config{Type: "exec", Timeout: patient, Interval: patient, Argv: []string{"/bin/sh", "-c", "exit 3"}, ExitUnknown: []int{3}}, Target{Address: "192.0.2.1"})
	if _, err := p.Probe(t.Context()); !errors.Is(err, ErrNotProbed) {
		t.Errorf("exit_unknown: %v", err)
	}
	r := NewRunner(nil)
	err = r.Set([]Check{{Target{"kt", "192.0.2.1"}, Config{Type: "exec", Argv: []string{"/bin/true"}}}})
	if err == nil || !strings.Contains(err.Error(), "exec is not allowed on this node") {
		t.Errorf("a Runner that was not allowed to: %v", err)
	}
}

func TestAgent(t *testing.T) {
	t.Parallel()
	runAll(t, "agent", []wireCase{
		{"up", listen(t, say("up\n")), Config{Send: "hello\n"}, ""},
		{"without an end of line", listen(t, say("75%")), Config{Send: "x"}, ""},
		{"not the protocol", listen(t, say("HTTP/1.1 400 Bad Request\r\n")), Config{Send: "x"}, `answer from ADDR: "http/1.1": is no word of the agent-check protocol`},
		{"nothing", listen(t, say("\n")), Config{Send: "x"}, `answer from ADDR: "": says nothing`},
		{"closed", listen(t, func(*net.TCPConn) {}), Config{}, "answer from ADDR: connection closed by the other side"},
		{"silent", listen(t, hang), Config{Timeout: brief}, "timeout after 4s while waiting for an answer from ADDR"},
		{"drips", listen(t, drip), Config{Timeout: brief}, "timeout after 4s while waiting for an answer from ADDR"},
		{"without end", listen(t, flood("up ")), Config{}, "answer from ADDR: no end of the line within 1024 octets"},
		{"reset", listen(t, reset), Config{Send: "x"}, "answer from ADDR: connection reset by peer"},
	})
}

func TestParseAgent(t *testing.T) {
	for _, test := range []struct {
		line   string
		said   gslbhealth.State
		wish   Wish
		detail string
	}{
		{"up", gslbhealth.Up, Wish{}, "agent: up"},
		{"READY", gslbhealth.Up, Wish{}, "agent: READY"},
		{"down", gslbhealth.Down, Wish{}, "agent: down"},
		{"failed#disk full\x1b[2J", gslbhealth.Down, Wish{}, "agent: failed (disk full [2J)"},
		{"stopped", gslbhealth.Down, Wish{}, "agent: stopped"},
		{"drain", gslbhealth.Down, Wish{Share: 1, Drain: true}, "agent: drain"},
		{"up maint", gslbhealth.Down, Wish{Share: 1, Drain: true}, "agent: up maint"},
		{"75%", gslbhealth.Unknown, Wish{Share: 0.75}, "agent: 75%"},
		{"up, 50%,maxconn:30", gslbhealth.Up, Wish{Share: 0.5, Connections: 30}, "agent: up, 50%,maxconn:30"},
		{"0%", gslbhealth.Down, Wish{Drain: true}, "agent: 0%"},
	} {
		s, err := parseAgent(test.line)
		if err != nil || s.Said != test.said || s.Detail != test.detail || (s.Wish == nil) != (test.wish == Wish{}) || s.Wish != nil && *s.Wish != test.wish {
			t.Errorf("%q: %+v %+v, %v", test.line, s, s.Wish, err)
		}
	}
	for _, line := range []string{"", "#up", "fine", "-1%", "99999%", "%", "maxconn:", "maxconn:x", "up down sideways"} {
		if s, err := parseAgent(line); err == nil {
			t.Errorf("%q: %+v, want an error", line, s)
		}
	}
}

// TestSource: a probe leaves from the address that is configured for its family.
func TestSource(t *testing.T) {
	from := make(chan string, 1)
	address := listen(t, func(c *net.TCPConn) { from <- c.RemoteAddr().String() })
	cfg := Config{Source: addrs("::1", "127.0.0.9"), Timeout: patient, Interval: patient, Type: "tcp"}
	if got := probeOnce(t, cfg, address); got != "" {
		t.Skipf("this system has no 127.0.0.9: %s", got)
	}
	if got := <-from; !strings.HasPrefix(got, "127.0.0.9:") {
		t.Errorf("came from %s", got)
	}
	p, err := New(Config{Type: "tcp", Timeout: patient, Interval: patient, Source: addrs("192.0.2.77")}, Target{Address: address})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Probe(t.Context()); !errors.Is(err, ErrNotProbed) {
		t.Errorf("an address that is not ours: %v, want that it is this machine's fault", err)
	}
}

func FuzzAgent(f *testing.F) {
	for _, s := range []string{"up", "75% maxconn:3,drain#x", "0%", "\xff", "ready\tup"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		s, err := parseAgent(line)
		if err == nil && (s.Wish != nil && (s.Wish.Share < 0 || s.Wish.Connections < 0) || strings.ContainsAny(s.Detail, "\n\r\x1b")) {
			t.Errorf("%q: %+v", line, s)
		}
	})
}

func FuzzJSONPath(f *testing.F) {
	for _, s := range []string{"a.b[0]", `$["a.b"][1].c`, "[", "a..b", "$", "", `["\u0041"]`} {
		f.Add(s, `{"a":{"b":[1,2]},"a.b":[0,{"c":null}]}`)
	}
	f.Fuzz(func(t *testing.T, path, document string) {
		p, err := parseJSONPath(path)
		if err != nil {
			return
		}
		if len(p) > 0 {
			again, err := parseJSONPath(p.String())
			if err != nil || again.String() != p.String() {
				t.Errorf("%q is written %q, which is read as %q, %v", path, p, again, err)
			}
		}
		if v, err := decodeJSON([]byte(document)); err == nil {
			if found, err := p.find(v); err == nil {
				jsonText(found)
			}
		}
	})
}

func FuzzDNSReply(f *testing.F) {
	p, err := newDNS(Config{Query: "www.abc.com", QueryType: "A", Rcode: "NOERROR"}, Target{}, "192.0.2.1:53", nil)
	if err != nil {
		f.Fatal(err)
	}
	prober := p.(*dnsProber)
	m := new(dns.Msg).SetQuestion("www.abc.com.", dns.TypeA)
	m.Id, m.Response = 1, true
	for _, rr := range []string{"www.abc.com. 1 A 192.0.2.1", "www.abc.com. 1 TXT a", "www.abc.com. 1 SOA a. b. 1 2 3 4 5", "www.abc.com. 1 SRV 1 2 3 a."} {
		r, _ := dns.NewRR(rr)
		m.Answer = append(m.Answer, r)
		packed, _ := m.Pack()
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) >= 2 {
			binary.BigEndian.PutUint16(raw, 1)
		}
		if r, err := parseReply(raw, 1, prober.question); err == nil {
			_ = prober.judge(r)
		}
	})
}

func FuzzGRPCStatus(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x00\x02\x08\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x00"))
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = healthStatus(raw) })
}
