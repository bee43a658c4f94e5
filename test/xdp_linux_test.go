package test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
	"gslb/tools/l4bed"
)

// Addresses of the two ends of the wire: the node's and its clients'.
const (
	wireNode4, wireNode6 = "198.51.100.53", "2001:db8:1::53"
	wirePeer4, wirePeer6 = "198.51.100.7", "2001:db8:1::7"
	wireFront            = "198.51.100.8" // of the clients' end too: a front end
)

// wire is two network namespaces joined by a veth pair, eth0 in each.
type wire struct{ node, peer []string } // words that run a command there

func newWire(t testing.TB) wire {
	t.Helper()
	w := wire{namespace(t), namespace(t)}
	node, peer := w.node[3], w.peer[3]
	must(t, "ip", "link", "add", "eth0", "netns", node, "type", "veth", "peer", "name", "eth0", "netns", peer)
	for ns, addrs := range map[string][]string{node: {wireNode4 + "/24", wireNode6 + "/64"}, peer: {wirePeer4 + "/24", wireFront + "/24", wirePeer6 + "/64"}} {
		for _, a := range addrs {
			must(t, "ip", "-n", ns, "addr", "add", a, "dev", "eth0", "nodad")
		}
		must(t, "ip", "-n", ns, "link", "set", "eth0", "up")
	}
	return w
}

// startXDPNode starts a node that takes queries from the wire, and waits until
// it does.
func (tp *topology) startXDPNode() *node {
	tp.t.Helper()
	n := tp.beginXDPNode()
	until(tp.t, patience, func() error {
		log := n.log.String()
		switch {
		case strings.Contains(log, "AF_XDP takes queries"):
			return nil
		case strings.Contains(log, "operation not permitted"), strings.Contains(log, "built without AF_XDP"):
			bed.Missing(tp.t, "the kernel refuses AF_XDP:\n%s", tail(log, 5))
		case n.ended():
			tp.t.Fatalf("%s ended: %v", n.name, n.cmd.ProcessState)
		}
		return errors.New("AF_XDP is not there yet")
	})
	return n
}

// beginXDPNode starts a node that is to take queries from the wire.
func (tp *topology) beginXDPNode() *node {
	tp.t.Helper()
	tp.dns, tp.api = wireNode4+":53", "127.0.0.1:8053"
	text := nodeConfiguration("ns1", `["dns", "checker"]`, "embedded = true\nlisten = \"127.0.0.1:2379\"\npeer_listen = \"127.0.0.1:2380\"\n", tp.api)
	text += "[dns]\nlisten = [\"0.0.0.0:53\", \"[::]:53\"]\nxdp = [\"eth0\"]\nproxy_from = [\"" + wireFront + "/32\"]\n\n"
	return tp.startNode("ns1", write(tp.t, tp.dir, "ns1.toml", text+tp.configuration()), tp.dns, tp.api)
}

func (w wire) metrics(t testing.TB, n *node) string {
	t.Helper()
	return must(t, append(append([]string{}, w.node...), "curl", "-sS", "http://"+n.api+"/metrics")...)
}

// taken is how many frames AF_XDP took from the wire.
func (w wire) taken(t testing.TB, n *node) int {
	t.Helper()
	body := w.metrics(t, n)
	m := regexp.MustCompile(`gslb_dns_xdp_received_total\{interface="eth0",queue="0"\} (\S+)`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no gslb_dns_xdp_received_total in\n%s", body)
	}
	count, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int(count)
}

// TestXDP asks a node that takes queries from the driver what it asks over the
// ordinary sockets, and compares octet by octet.
func TestXDP(t *testing.T) {
	t.Parallel()
	needTool(t, "dig", "curl")
	w := newWire(t)
	tp := newTopology(t)
	tp.prefix = w.node
	tp.startPlainSites()
	n := tp.startXDPNode()
	// raw asks without reading the answer.
	raw := func(words []string, network, server string, q []byte) (answer []byte, err error) {
		err = l4bed.Within(words[3], func() error {
			c, err := dns.DialTimeout(network, server, answerWithin)
			if err != nil {
				return err
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(answerWithin))
			if _, err := c.Write(q); err != nil {
				return err
			}
			buf := make([]byte, dns.MaxMsgSize)
			k, err := c.Read(buf)
			answer = buf[:k]
			return err
		})
		return answer, err
	}
	same := func(server, ordinary string, m *dns.Msg) []byte {
		t.Helper()
		q, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		got, err := raw(w.peer, "udp", server, q)
		if err != nil {
			t.Fatalf("%v: %v", m.Question, err)
		}
		if want, err := raw(w.node, "udp", ordinary, q); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%v:\n%x over AF_XDP,\n%x over the sockets (%v)", m.Question, got, want, err)
		}
		return got
	}
	// Until all sites are known answers may change between one way and the other.
	until(t, patience, func() error {
		for _, site := range []string{"kt", "lgu", "cn", "us"} {
			if !strings.Contains(n.log.String(), "site="+site+" state=up") {
				return fmt.Errorf("%s is not up yet", site)
			}
		}
		m := question("www.abc.com.", dns.TypeA, clientKT)
		q, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		answer, err := raw(w.node, "udp", "127.0.0.1:53", q)
		if err == nil {
			err = m.Unpack(answer)
		}
		if err == nil && slices.ContainsFunc(m.IsEdns0().Option, func(o dns.EDNS0) bool { return o.Option() == dns.EDNS0EDE }) {
			err = errors.New("answers say that not all is known yet")
		}
		return err
	})
	asked := 0
	for server, ordinary := range map[string]string{wireNode4 + ":53": "127.0.0.1:53", "[" + wireNode6 + "]:53": "[::1]:53"} {
		for _, subnet := range []string{clientKT, clientLGU, clientCN, clientUS, clientUnknown, "2001:db8::/56"} {
			for _, name := range []string{"www.abc.com.", "img.abc.com.", "nothing.abc.com.", "mail.abc.com.", "other.example.", "host.sub.abc.com."} {
				for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeTXT} {
					same(server, ordinary, question(name, qtype, subnet))
					asked++
				}
			}
		}
		same(server, ordinary, new(dns.Msg).SetQuestion("MAIL.abc.com.", dns.TypeA)) // without EDNS
		for _, padding := range []int{0, 400, 900, 1300} {                           // queries of more than 512 octets too (RFC 7830)
			m := question("www.abc.com.", dns.TypeA, clientKT)
			opt := m.IsEdns0()
			opt.Option = append(opt.Option, &dns.EDNS0_PADDING{Padding: make([]byte, padding)})
			same(server, ordinary, m)
			asked++
		}
		asked++
	}
	took := func(want int, what string) {
		t.Helper()
		until(t, patience, func() error { // it counts after it has answered
			if got := w.taken(t, n); got != want {
				return fmt.Errorf("AF_XDP took %d %s, want %d", got, what, want)
			}
			return nil
		})
	}
	took(asked, "queries")
	t.Run("dig", func(t *testing.T) {
		for _, server := range []string{wireNode4, wireNode6} {
			for _, transport := range []string{"+notcp", "+tcp"} {
				argv := append(append([]string{}, w.peer...), "dig", "@"+server, "+short", "+norecurse", "+time=30", "+tries=1", transport, "www.abc.com", "A", "+subnet=198.51.100.0/24")
				if got := strings.Join(strings.Fields(must(t, argv...)), " "); got != "a.www.abc.com. 127.0.11.10" {
					t.Errorf("%s %s: %q", server, transport, got)
				}
			}
		}
	})
	// A PROXY header looks like another opcode to the XDP program, and so the
	// ordinary sockets answer a front end.
	t.Run("front end", func(t *testing.T) {
		before := w.taken(t, n)
		for client, want := range map[string]string{clientLGU: "b.www.abc.com.", clientCN: "c.www.abc.com."} {
			for _, network := range []string{"udp", "tcp"} {
				client, _, _ := strings.Cut(client, "/")
				if err := l4bed.Within(w.peer[3], func() error {
					got, err := askBehind(wireFront, network, wireNode4+":53", "", proxyHeader(client, network == "tcp"))
					if err == nil && got != want {
						err = fmt.Errorf("%s, want %s", got, want)
					}
					return err
				}); err != nil {
					t.Errorf("%s for %s: %v", network, client, err)
				}
			}
		}
		dropped(t, func() (c net.Conn, err error) {
			err = l4bed.Within(w.peer[3], func() error {
				c, err = net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(wireFront)}, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(wireNode4+":53")))
				return err
			})
			return c, err
		}, func() (string, error) { return w.metrics(t, n), nil })
		took(before+1, "datagrams") // of a front end's the one without a header, to be dropped
	})
	t.Run("truncation", func(t *testing.T) {
		q := new(dns.Msg).SetQuestion("big.abc.com.", dns.TypeTXT)
		q.SetEdns0(4096, false)
		packed, err := q.Pack()
		if err != nil {
			t.Fatal(err)
		}
		var m dns.Msg
		if answer, err := raw(w.peer, "udp", wireNode4+":53", packed); err != nil || m.Unpack(answer) != nil || !m.Truncated {
			t.Errorf("%x, %v: no TC", answer, err)
		}
		if answer, err := raw(w.peer, "tcp", wireNode4+":53", packed); err != nil || m.Unpack(answer) != nil || m.Truncated || len(m.Answer) != 8 {
			t.Errorf("over TCP: %v, %v", &m, err)
		}
	})
	t.Run("loadgen", func(t *testing.T) {
		before := w.taken(t, n)
		for _, args := range []string{
			`-server ` + wireNode4 + `:53 -ecs random4 -answers 2 -match CNAME\s[abcd]\.www\.abc\.com\.`,
			`-server [` + wireNode6 + `]:53 -ecs random6 -name img.abc.com -answers 1`,
			`-server ` + wireNode4 + `:53 -names random-nx -name abc.com -ecs random4`,
		} {
			argv := append(append([]string{}, w.peer...), built(t, buildLoadgen), "-duration", "1s", "-timeout", "30s", "-inflight", "50", "-check", "-max-loss", "0")
			if r := run(t, patience, append(argv, strings.Fields(args)...)...); r.code != 0 {
				t.Errorf("%s: exit code %d\n%s%s", args, r.code, r.out, r.err)
			}
		}
		if got := w.taken(t, n) - before; got < 1000 {
			t.Errorf("AF_XDP took only %d queries", got)
		}
	})
	t.Run("interface goes down", func(t *testing.T) {
		status := func() string {
			return must(t, append(append([]string{}, w.node...), binary(t), "status", "-api", n.api)...)
		}
		must(t, "ip", "-n", w.node[3], "link", "set", "eth0", "down")
		until(t, patience, func() error {
			if text := status(); !strings.Contains(text, "AF_XDP on eth0: the interface is down") {
				return fmt.Errorf("status does not tell of it:\n%s", text)
			}
			return nil
		})
		must(t, "ip", "-n", w.node[3], "link", "set", "eth0", "up")
		until(t, patience, func() error {
			if text := status(); strings.Contains(text, "AF_XDP on eth0") {
				return fmt.Errorf("status still tells of it:\n%s", text)
			}
			return nil
		})
	})
	t.Run("death of the process detaches", func(t *testing.T) {
		if out := must(t, "ip", "-n", w.node[3], "link", "show", "eth0"); !strings.Contains(out, "xdp") {
			t.Fatalf("no XDP program is there to begin with:\n%s", out)
		}
		n.Kill()
		until(t, patience, func() error {
			if out, err := exec.Command("ip", "-n", w.node[3], "link", "show", "eth0").CombinedOutput(); err != nil || strings.Contains(string(out), "xdp") {
				return fmt.Errorf("%s%v", out, err)
			}
			return nil
		})
	})
}

// Without the rights that AF_XDP needs the ordinary sockets serve, and log and
// status tell which rights those are.
func TestXDPWithoutRights(t *testing.T) {
	t.Parallel()
	needTool(t, "dig", "setpriv")
	w := newWire(t)
	tp := newTopology(t)
	tp.prefix = append(append([]string{}, w.node...), "setpriv", "--bounding-set", "-all,+net_bind_service")
	n := tp.beginXDPNode()
	const want = "it needs CAP_NET_ADMIN, CAP_BPF and CAP_NET_RAW"
	until(t, patience, func() error {
		argv := append(append([]string{}, w.node...), binary(t), "status", "-api", n.api)
		text := run(t, patience, argv...).out // it is not there at first
		if !strings.Contains(text, "AF_XDP on eth0: ") || !strings.Contains(text, want) || !strings.Contains(text, "the ordinary sockets take all queries") {
			return fmt.Errorf("status does not tell of it:\n%s", text)
		}
		if !strings.Contains(n.log.String(), want) {
			return fmt.Errorf("the log does not tell of it:\n%s", n.log.String())
		}
		return nil
	})
	for _, server := range []string{wireNode4, wireNode6} {
		argv := append(append([]string{}, w.peer...), "dig", "@"+server, "+short", "+norecurse", "+time=30", "+tries=1", "mail.abc.com", "A")
		if got := strings.TrimSpace(must(t, argv...)); got == "" {
			t.Errorf("%s does not answer", server)
		}
	}
}
