package balancer

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"gslb/health/probe"
	"gslb/proxyproto"
)

// readProxy takes a header off a connection, and gives what it says.
func readProxy(in *bufio.Reader) (string, error) {
	start, err := in.Peek(len(proxyproto.Signature))
	if err != nil {
		return "", err
	}
	if !bytes.Equal(start, []byte(proxyproto.Signature)) {
		return in.ReadString('\n')
	}
	head := make([]byte, 16)
	if _, err := io.ReadFull(in, head); err != nil {
		return "", err
	}
	rest := make([]byte, int(head[14])<<8|int(head[15]))
	if _, err := io.ReadFull(in, rest); err != nil {
		return "", err
	}
	if len(rest) == 0 {
		return fmt.Sprintf("local %x", head[12]), nil
	}
	return fmt.Sprintf("%v %d", netip.AddrFrom4([4]byte(rest[:4])), int(rest[8])<<8|int(rest[9])), nil
}

// The server hears of the client before the client's first byte, and a check that
// goes the same way is no client.
func TestSendProxy(t *testing.T) {
	t.Parallel()
	eachEngine(t, func(t *testing.T, config configOf) {
		for _, version := range []string{ProxyV1, ProxyV2} {
			locals := make(chan string, 1000)
			a := newBackend(t, "a", func(c *net.TCPConn) {
				defer c.Close()
				in := bufio.NewReader(c)
				header, err := readProxy(in)
				if err != nil {
					return
				}
				if strings.HasPrefix(header, "local") || strings.Contains(header, "UNKNOWN") {
					select {
					case locals <- header:
					default:
					}
				}
				line, err := in.ReadString('\n')
				if err == nil {
					fmt.Fprintf(c, "%s|%s", strings.TrimSpace(header), line)
				}
			})
			cfg := config(a)
			cfg.SendProxy, cfg.Check = version, "tcp"
			r := newRig(t, cfg, map[string]probe.Config{"tcp": {Type: "tcp", Interval: 20 * time.Millisecond, Timeout: 10 * time.Second, Send: "x\n", Expect: "x"}})
			conn, err := net.Dial("tcp", r.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			fmt.Fprintln(conn, "hello")
			got, err := io.ReadAll(conn)
			own := conn.LocalAddr().(*net.TCPAddr).AddrPort()
			want := fmt.Sprintf("%v %d|hello\n", own.Addr(), own.Port())
			if version == ProxyV1 {
				at := netip.MustParseAddrPort(r.address)
				want = fmt.Sprintf("PROXY TCP4 %v %v %d %d|hello\n", own.Addr(), at.Addr(), own.Port(), at.Port())
			}
			if err != nil || string(got) != want {
				t.Errorf("%s: %q, %v, want %q", version, got, err, want)
			}
			select {
			case <-locals:
			case <-time.After(patience):
				t.Errorf("%s: the check came without a header of its own", version)
			}
		}
	})
}

func TestSendProxyConfig(t *testing.T) {
	for _, test := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.SendProxy = "v2" }, ""},
		{func(c *Config) { c.SendProxy = "2" }, "send_proxy"},
		{func(c *Config) { c.SendProxy, c.Protocol = "v2", UDP }, "send_proxy"},
	} {
		wantRefused(t, test.change, test.want)
	}
}

// wantRefused checks which keys of a good configuration are refused once it is changed.
func wantRefused(t *testing.T, change func(*Config), want string) {
	t.Helper()
	c := Config{Name: "www", Listen: []string{"127.0.0.1:80"}, Servers: []ServerConfig{{Address: "127.0.0.1:81"}}}
	change(&c)
	var keys []string
	c.Validate(func(key, _ string) { keys = append(keys, key) })
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
