package balancer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// teller is a server that hears of its client by the PROXY protocol, reads to the
// end, and says what it heard and read.
func teller(t *testing.T) *backend {
	return newBackend(t, "teller", func(c *net.TCPConn) {
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		in := bufio.NewReader(c)
		head, err := in.Peek(proxyproto.Head)
		if err != nil {
			return
		}
		header := make([]byte, proxyproto.Length(head))
		io.ReadFull(in, header)
		h, _, err := proxyproto.ParseV2(header)
		body, _ := io.ReadAll(in)
		fmt.Fprintf(c, "%v at %v, %v|%s", h.Client, h.Local, err, body)
	})
}

// say writes parts to the balancer, each when the one before is surely read on its
// own if pause is set, finishes if that is asked for, and returns what comes back.
func (r *rig) say(parts [][]byte, pause time.Duration, finish bool) (string, error) {
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			return "", err
		}
		time.Sleep(pause)
	}
	if finish {
		c.(*net.TCPConn).CloseWrite()
	}
	got, err := io.ReadAll(c)
	return string(got), err
}

func octets(b []byte) (parts [][]byte) {
	for i := range b {
		parts = append(parts, b[i:i+1])
	}
	return parts
}

// A front end says who its client is, and that client counts from there on.
func TestProxyFrom(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		t.Parallel()
		cfg := config(teller(t))
		cfg.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		cfg.Deny = []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
		cfg.NetworkConnections, cfg.NetworkRate = 1, 1000
		cfg.NetworkExempt = []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("127.0.0.0/8")}
		cfg.SendProxy, cfg.PreambleTimeout = ProxyV2, patience
		cfg.LogConnections, cfg.ConnectionLog = 1, filepath.Join(t.TempDir(), "log")
		r := newRig(t, cfg, nil)
		at := netip.MustParseAddrPort("198.51.100.7:443")
		four, six := netip.MustParseAddrPort("192.0.2.1:51000"), netip.MustParseAddrPort("[2001:db8::1]:51000")
		six2 := netip.MustParseAddrPort("[2001:db8::7]:443")
		body := strings.Repeat("what the client says. ", 2000) // more than one buffer
		for _, version := range []string{ProxyV1, ProxyV2} {
			for _, way := range [][2]netip.AddrPort{{four, at}, {six, six2}} {
				header := proxyproto.Append(nil, version, way[0], way[1])
				want := fmt.Sprintf("%v at %v, <nil>|%s", way[0], way[1], body)
				for name, parts := range map[string][][]byte{
					"in one":           {append(bytes.Clone(header), body...)},
					"header apart":     {header, []byte(body)},
					"octet by octet":   append(octets(header), []byte(body)),
					"header and a bit": {append(bytes.Clone(header), body[:1]...), []byte(body[1:])},
				} {
					eventually(t, "room for another of its network", func() bool { return r.Status()[0].Open == 0 })
					if got, err := r.say(parts, time.Millisecond/2, true); got != want || err != nil {
						t.Fatalf("%s, %v, %s: %.120q, %v", version, way[0], name, got, err)
					}
				}
			}
			// A front end that speaks for itself is its own client, whatever the limits are.
			got, err := r.say([][]byte{[]byte(proxyproto.Local(version) + "x")}, 0, true)
			if !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, "at "+r.address+", <nil>|x") || err != nil {
				t.Errorf("%s, local: %q, %v", version, got, err)
			}
		}
		r.proxyRefusals(at)
		r.stop()
		ends := loggedEnds(t, cfg.ConnectionLog)
		for client, want := range map[string][]string{four.String(): {"client"}, six.String(): {"client"}, "192.0.2.3:1": {"denied"}, "203.0.113.9:1": {"denied"}} {
			if got := ends[client]; !slices.Equal(got, want) {
				t.Errorf("the log has %q for %s, want %q", got, client, want)
			}
		}
	})
}

// proxyRefusals tries what is refused, and how that is counted.
func (r *rig) proxyRefusals(at netip.AddrPort) {
	t := r.t
	before := r.Status()[0].Counters
	reset := func(name string, b []byte, finish bool) {
		t.Helper()
		if got, err := r.say([][]byte{b}, 0, finish); got != "" || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %q, %v, want a reset", name, got, err)
		}
	}
	reset("no header", []byte("GET / HTTP/1.1\r\n\r\n"), false)
	reset("malformed", []byte("PROXY TCP4 192.0.2.1 198.51.100.7 99999 443\r\nx"), false)
	reset("cut short", []byte("PROXY TCP4 192.0.2"), true)
	reset("nothing at all", nil, true)
	reset("denied", proxyproto.Append(nil, ProxyV2, netip.MustParseAddrPort("203.0.113.9:1"), at), false)
	eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
	held, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	held.Write(proxyproto.Append(nil, ProxyV2, netip.MustParseAddrPort("192.0.2.2:1"), at))
	eventually(t, "the first of its network", func() bool { return r.Status()[0].Servers[0].Connections == 1 })
	reset("the second of its network", proxyproto.Append(nil, ProxyV2, netip.MustParseAddrPort("192.0.2.3:1"), at), false)
	held.Close()
	eventually(t, "an empty balancer", func() bool { return r.Status()[0].Open == 0 })
	c := r.Status()[0].Counters
	if c.NoHeader-before.NoHeader != 4 || c.Denied-before.Denied != 1 || c.OverCount-before.OverCount != 1 || c.Accepted-before.Accepted != 7 || c.Refused != before.Refused {
		t.Errorf("counted %+v, before %+v", c, before)
	}
}

// loggedEnds are the ways that connections of each client ended, without repetition.
func loggedEnds(t *testing.T, path string) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string][]string{}
	for line := range bytes.Lines(text) {
		var l LoggedConnection
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		ends[l.Client] = append(ends[l.Client], l.End)
	}
	for client := range ends {
		slices.Sort(ends[client])
		ends[client] = slices.Compact(ends[client])
	}
	return ends
}

// Who is no front end is a client itself, and its bytes are nobody's header; a front
// end that says nothing has its time.
func TestProxyFromOthers(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		cfg := config(teller(t))
		cfg.ProxyFrom = []netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}
		cfg.SendProxy, cfg.PreambleTimeout = ProxyV2, 50*time.Millisecond
		r := newRig(t, cfg, nil)
		forged := string(proxyproto.Append(nil, ProxyV1, netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddrPort("192.0.2.2:2")))
		got, err := r.say([][]byte{[]byte(forged)}, 0, true)
		if !strings.HasPrefix(got, "127.0.0.1:") || !strings.HasSuffix(got, "|"+forged) || err != nil {
			t.Errorf("a client that is no front end: %q, %v", got, err)
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
		c, err := d.Dial("tcp", r.address)
		if err != nil {
			t.Skipf("127.0.0.2 is no loopback address here: %v", err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		_, err = c.Write([]byte(forged[:9])) // which may be too late already
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a header that does not come: %v, want a reset", err)
		}
		eventually(t, "it counted", func() bool { return r.Status()[0].Counters.NoHeader == 1 })
	})
}

func TestPreambleConfig(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.ProxyFrom, c.PreambleTimeout = networks, time.Second }, ""},
		{func(c *Config) { c.PreambleTimeout = 1 }, "preamble_timeout"},
		{func(c *Config) { c.ProxyFrom, c.Protocol = networks, UDP }, "proxy_from"},
	} {
		wantRefused(t, test.change, test.want)
	}
}
