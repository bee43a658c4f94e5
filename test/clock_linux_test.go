//go:build amd64 || arm64

package test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const year = 365 * 24 * time.Hour

// clockFleet are three nodes that answer, check, sign and have a member of etcd
// each, every one with a clock of its own. Of the sites
//
//	cn   drains, by an order that ends in half an hour
//	us   has a window of maintenance that begins in half an hour; it is checked by
//	     https, and its certificate ends in ten days
type clockFleet struct {
	t      *testing.T
	tp     *topology
	nodes  []*node
	clocks []*clock
	asks   []*stream // of clients in China and in America, who are never to see anything of all this
}

func newClockFleet(t *testing.T) *clockFleet {
	tp := newTopology(t)
	f := &clockFleet{t: t, tp: tp}
	cert, key := newPair(t, "www.abc.com", 10*24*time.Hour)
	serveSecure(t, fmt.Sprintf("%s:%d", siteNamed(t, "us").address, tp.port), cert, key)
	write(t, tp.dir, "us.pem", string(cert))
	soon := time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339)
	text := strings.Replace(tp.configuration(), "name = \"abc.com.\"\n", "name = \"abc.com.\"\ndnssec = \"default\"\n", 1)
	head, us, _ := strings.Cut(text, "name = \"us\"\n")
	us = strings.Replace(us, "check = \"web\"\n", "check = \"secure\"\n", 1)
	us = strings.Replace(us, "\n\n", fmt.Sprintf("\n  [[site.maintenance]]\n  from = %q\n  for = \"1h\"\n\n", soon), 1)
	text = head + "name = \"us\"\n" + us + fmt.Sprintf("[check.secure]\ntype = \"https\"\npath = \"/\"\nhost = \"www.abc.com\"\nca = \"us.pem\"\ninterval = %q\ntimeout = %[1]q\n", tp.interval)
	var members []string
	var clients []string
	for i := range 3 {
		members = append(members, fmt.Sprintf("ns%d=http://%s", i+1, freeAddress(t)))
		clients = append(clients, freeAddress(t))
	}
	for i := range 3 {
		name := fmt.Sprintf("ns%d", i+1)
		api, addr := freeAddress(t), freeAddress(t)
		etcd := fmt.Sprintf("embedded = true\nlisten = %q\nname = %q\ncluster = %q\n", clients[i], name, strings.Join(members, ","))
		config := write(t, tp.dir, name+".toml", nodeConfiguration(name, `["dns", "checker"]`, etcd, api)+fmt.Sprintf("[dns]\nlisten = [%q]\n\n", addr)+text)
		c := newClock(t, tp.dir, name)
		tp.prefix = c.words(t)
		f.nodes = append(f.nodes, tp.startNode(name, config, addr, api))
		f.clocks = append(f.clocks, c)
	}
	tp.prefix = nil
	return f
}

// serveSecure answers https in this process until the test ends.
func serveSecure(t testing.TB, address string, cert, key []byte) {
	t.Helper()
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }), ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
}

// TestClocksJump sets the clocks of real nodes wrong, of one and of all, by an hour
// and by ten years, and right again. No answer changes for it; what happens meanwhile is acted upon as ever.
func TestClocksJump(t *testing.T) {
	t.Parallel()
	needLong(t)
	needClock(t)
	f := newClockFleet(t)
	kt := f.tp.startPlainSites("kt", "lgu", "cn")["kt"]
	t.Cleanup(func() { // that they end well is for other tests, and the last members would wait for the first
		for _, n := range f.nodes {
			n.Kill()
		}
	})
	for _, n := range f.nodes {
		n.waitReady()
		n.waitUp("kt", "lgu", "cn", "us")
	}
	f.nodes[0].override("drain", "cn", "--for", "30m", "--why", "a new rack")
	for _, n := range f.nodes {
		n.sentTo(patience, clientCN, "lgu")
		f.asks = append(f.asks, n.queries(20*time.Millisecond, clientCN), n.queries(20*time.Millisecond, clientUS))
	}
	before := time.Now()
	cookie := f.cookie(f.nodes[0], "0102030405060708")
	one := f.clocks[1:2]
	for _, step := range []struct {
		name   string
		clocks []*clock
		by     time.Duration
		dies   bool // kt, meanwhile
	}{
		{"one is an hour ahead", one, time.Hour, false},
		{"one is an hour behind", one, -time.Hour, false},
		{"one is ten years ahead", one, 10 * year, false},
		{"one is right again", one, 0, false},
		{"all are an hour behind", f.clocks, -time.Hour, false},
		{"all are ten years ahead", f.clocks, 10 * year, true},
		{"all are an hour ahead", f.clocks, time.Hour, false},
		{"all are right again", f.clocks, 0, false},
	} {
		for _, c := range step.clocks {
			c.jump(step.by)
		}
		ok := t.Run(step.name, func(t *testing.T) {
			for i, n := range f.nodes {
				wrong := step.by != 0 && slices.Contains(step.clocks, f.clocks[i])
				n.waitStatus(patience, func(s status) error {
					told := slices.ContainsFunc(s.Problems, func(p string) bool { return strings.HasPrefix(p, "the clock of this machine went ") })
					if told != wrong || s.Stale || !s.Etcd.Connected {
						return fmt.Errorf("%s: stale %v, connected %v, its clock wrong %v, problems %q", n.name, s.Stale, s.Etcd.Connected, wrong, s.Problems)
					}
					return nil
				})
			}
			if step.dies { // checkers, votes and quorum
				kt.Kill()
			} else { // orders, by a node whose clock may be wrong
				f.nodes[1].override("drain", "kt", "--why", step.name, "--for", "20m")
			}
			for _, n := range f.nodes {
				n.sentTo(patience, clientKT, "lgu")
			}
			if step.dies {
				f.tp.startPlainSites("kt")
			} else {
				f.nodes[0].override("undrain", "kt")
			}
			for _, n := range f.nodes {
				n.sentTo(patience, clientKT, "kt")
				f.signed(t, n)
			}
			f.cookie(f.nodes[0], cookie)
		})
		if !ok {
			t.FailNow()
		}
	}
	for i, want := range []string{"lgu", "us"} {
		for n := range f.nodes {
			for _, e := range f.asks[2*n+i].end() {
				if e.err != nil || e.got != want && !f.starved() {
					t.Fatalf("%s, %v after: sent to %s %v, want %s", f.nodes[n].name, e.at.Sub(before), e.got, e.err, want)
				}
			}
		}
	}
	f.recorded(before)
}

// starved tells whether a node took a site for down since probes had no answer in time, which says
// nothing of clocks.
func (f *clockFleet) starved() bool {
	return slices.ContainsFunc(f.nodes, func(n *node) bool { return unanswered(n.log.String()) != "" })
}

// signed sees that what a node signs is good by the real time.
func (f *clockFleet) signed(t *testing.T, n *node) {
	t.Helper()
	for _, name := range []string{"abc.com.", "www.abc.com."} {
		q := question(name, dns.TypeCNAME, clientKT)
		if name == "abc.com." {
			q.Question[0].Qtype = dns.TypeSOA
		}
		q.IsEdns0().SetDo()
		m, err := exchange("udp", n.dns, q)
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, rr := range m.Answer {
			if sig, ok := rr.(*dns.RRSIG); ok {
				if count++; !sig.ValidityPeriod(time.Now()) {
					t.Errorf("%s: a signature that does not count now: %v", n.name, sig)
				}
			}
		}
		if count == 0 {
			t.Errorf("%s: %s is not signed: %v", n.name, name, m)
		}
	}
}

// cookie asks with a DNS cookie and sees that the answer has one that is new, where the
// client showed none, and else that its own is known.
func (f *clockFleet) cookie(n *node, hex string) string {
	f.t.Helper()
	q := question("www.abc.com.", dns.TypeA, clientKT)
	q.IsEdns0().Option = append(q.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex})
	m, err := exchange("udp", n.dns, q)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, o := range m.IsEdns0().Option {
		if c, ok := o.(*dns.EDNS0_COOKIE); ok {
			if len(hex) > 16 && c.Cookie != hex {
				f.t.Errorf("%s: the cookie %s is not known, %s is given", n.name, hex, c.Cookie)
			}
			return c.Cookie
		}
	}
	f.t.Fatalf("%s gives no cookie", n.name)
	return ""
}

// recorded sees that the order of before stands, that it stands in the copies on disk, that the time line has nothing
// that did not happen, in order, and that the past can be asked for.
func (f *clockFleet) recorded(before time.Time) {
	t := f.t
	t.Helper()
	for _, n := range f.nodes {
		f.tp.keeps(n.name+"-data/last-known-good/fleet.json", "fleet/overrides/cn")
		if past := must(t, binary(t), "explain", "www.abc.com", "-config", n.config, "--client", "192.0.2.77", "--at", before.UTC().Format(time.RFC3339Nano)); !strings.Contains(past, "CNAME  b.www.abc.com.") {
			t.Errorf("%s, asked for the past:\n%s", n.name, past)
		}
	}
	var line []struct {
		At               time.Time
		Kind, Site, Text string
	}
	until(t, patience, func() error {
		body, err := get("http://" + f.nodes[2].api + "/api/v1/events?limit=200")
		if err == nil {
			err = json.Unmarshal([]byte(body), &line)
		}
		if err == nil && len(line) < 16 {
			err = fmt.Errorf("%d events: %s", len(line), body)
		}
		return err
	})
	for _, e := range line {
		if e.At.Before(before.Add(-time.Hour/2)) || e.At.After(time.Now()) {
			t.Errorf("an event at a time that has not been: %+v", e)
		}
		if e.Text == "the override has ended" || e.Kind == "health" && e.Site != "kt" && e.At.After(before) && !f.starved() {
			t.Errorf("an event that was not to be: %+v", e)
		}
	}
}
