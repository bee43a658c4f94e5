package test

import (
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// far answers probes over UDP as late as a site would that is so far from who asks.
type far struct {
	conn  net.PacketConn
	delay [2]atomic.Int64 // milliseconds, for the first vantage point and the second
}

// The addresses that the two vantage points probe from.
var vantageSource = [2]string{"127.0.0.51", "127.0.0.52"}

func startFar(t testing.TB, address string, first, second int64) *far {
	t.Helper()
	conn, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	f := &far{conn: conn}
	f.delay[0].Store(first)
	f.delay[1].Store(second)
	t.Cleanup(func() { conn.Close() })
	go func() { // ends with the socket
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			answer := append([]byte(nil), buf[:n]...)
			which := 0
			if from.(*net.UDPAddr).IP.String() == vantageSource[1] {
				which = 1
			}
			time.AfterFunc(time.Duration(f.delay[which].Load())*time.Millisecond, func() { conn.WriteTo(answer, from) })
		}
	}()
	return f
}

// TestLatency: two vantage points measure sites whose times differ from where they stand, and
// every DNS node sends clients to the site with the least time from the vantage point near
// them: the next one when it goes down, another one when the times change. Who is near none goes by distance.
func TestLatency(t *testing.T) {
	t.Parallel()
	needLong(t)
	tp := newTopology(t)
	tp.shared = fmt.Sprintf(`[check.trip]
type = "udp"
send = "x"
expect = "x"
port = %d
source = [%q]
interval = "1s"
timeout = "1s"
rise = 1
fall = 3

[[steer]]
name = "lat.abc.com."
answer = "address"
ttl = "2s"
  [[steer.rule]]
  to = ["latency:all"]

`, tp.port, vantageSource[0])
	all := map[string]*far{}
	for name, ms := range map[string][2]int64{"kt": {250, 60}, "lgu": {10, 330}, "cn": {130, 300}, "us": {350, 200}} {
		s := siteNamed(t, name)
		all[name] = startFar(t, fmt.Sprintf("%s:%d", s.address, tp.port), ms[0], ms[1])
	}
	probed := func(text, location string) string {
		return strings.ReplaceAll(text, "check = \"web\"", "check = \"trip\"") + "\n[checker.place]\nlocation = " + location + "\n"
	}
	path := tp.writeDNSNode()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, path, []byte(probed(string(text), siteNamed(t, "kt").location)))
	ns1 := tp.startNode("ns1", path, tp.dns, tp.api)
	ns2 := tp.startMore("ns2", func(text string) string {
		return strings.ReplaceAll(probed(text, siteNamed(t, "us").location), vantageSource[0], vantageSource[1])
	})
	nodes := []*node{ns1, ns2}
	goes := func(client, want string) {
		t.Helper()
		for _, n := range nodes {
			until(t, patience, func() error {
				m, err := exchange("udp", n.dns, question("lat.abc.com.", dns.TypeA, client))
				if err != nil {
					return err
				}
				if len(m.Answer) == 1 && strings.HasSuffix(m.Answer[0].String(), "\t"+siteNamed(t, want).address) {
					return nil
				}
				return fmt.Errorf("%s: %s gets %v, want %s\n%s", n.name, client, m.Answer, want, run(t, patience, binary(t), "explain", "lat.abc.com", "--client", strings.TrimSuffix(client, "/24"), "--api", n.api).out)
			})
		}
	}
	goes(clientKT, "lgu") // 10 ms from Seoul, though kt is there
	goes(clientUS, "kt")  // 60 ms from San Francisco, though us is there
	out := must(t, binary(t), "explain", "lat.abc.com", "--client", "198.51.100.9", "--api", ns2.api)
	for _, want := range []string{"times measured by ns1, about", "the least time, ", " ms from ns1"} {
		if !strings.Contains(out, want) {
			t.Errorf("explain does not tell %q:\n%s", want, out)
		}
	}
	if out := must(t, binary(t), "status", "--api", ns2.api); !strings.Contains(out, "ROUND-TRIP TIMES, MS") {
		t.Errorf("status does not show the times:\n%s", out)
	}
	if body, err := get("http://" + ns2.api + "/metrics"); err != nil || !strings.Contains(body, `gslb_site_rtt_seconds{site="kt"} 0.`) {
		t.Errorf("metrics do not tell the times (%v)", err)
	}
	goes(clientKT, "lgu")
	at := time.Now()

	all["lgu"].conn.Close()
	goes(clientKT, "cn") // the next by time; by distance it would be kt
	all["us"].delay[1].Store(5)
	goes(clientUS, "us")
	goes(clientKT, "cn") // the other vantage point's times are its own

	past := must(t, binary(t), "explain", "lat.abc.com", "-config", ns1.config, "--client", "198.51.100.9", "--at", at.UTC().Format(time.RFC3339Nano))
	if !strings.Contains(past, "choice  lgu") || !strings.Contains(past, "times measured by ns1") {
		t.Errorf("what was decided is not replayed:\n%s", past)
	}
}
