package test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/miekg/dns"
)

// startReleases serves each site's health page with the content generation that the
// value says, in this process.
func (tp *topology) startReleases() map[string]*atomic.Value {
	tp.t.Helper()
	out := map[string]*atomic.Value{}
	for _, s := range sites {
		generation := new(atomic.Value)
		generation.Store("v1")
		out[s.name] = generation
		ln, err := net.Listen("tcp", fmt.Sprintf("%s:%d", s.address, tp.port))
		if err != nil {
			tp.t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Release", generation.Load().(string))
		})}
		go srv.Serve(ln) // ends with Close
		tp.t.Cleanup(func() { srv.Close() })
	}
	return out
}

// TestRelease: users stay with the released content while sites get the next one, all
// of them move when it is released, and a site that lacks it gets none until it has it.
func TestRelease(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	serves := tp.startReleases()
	path := tp.writeDNSNode()
	replaceText(t, path, "path = \"/healthz\"\n", "path = \"/healthz\"\ngeneration = { header = \"X-Release\" }\n")
	replaceText(t, path, "name = \"www.abc.com.\"\n", "name = \"www.abc.com.\"\nrelease = \"hold\"\ntrouble_ttl = \"2s\"\n")
	n := tp.startNode("ns1", path, tp.dns, tp.api)
	n.waitUp("kt", "lgu", "cn", "us")
	release := func(args ...string) string {
		t.Helper()
		return must(t, append([]string{binary(t), "release"}, args...)...)
	}
	until(t, patience, func() error {
		if out := release("--api", n.api); strings.Count(out, "v1") < 4 {
			return fmt.Errorf("not every site serves v1:\n%s", out)
		}
		return nil
	})
	release("set", "v1", "--api", n.api, "--for", "www.abc.com", "--why", "the first")
	n.sentTo(patience, clientKT, "kt")
	ttl := func(want uint32) { // while a site of the name is held it is lower
		t.Helper()
		m := n.ask("www.abc.com.", dns.TypeA, clientKT)
		if len(m.Answer) == 0 || m.Answer[0].Header().Ttl != want {
			t.Errorf("want the TTL %d:\n%s", want, m)
		}
	}
	ttl(5)
	serves["kt"].Store("v2") // gets the next one early: its users go on seeing v1
	n.sentTo(patience, clientKT, "lgu")
	ttl(2)
	if out := n.explain(clientKT); !strings.Contains(out, "held, for it serves v2 and v1 is released") {
		t.Errorf("explain:\n%s", out)
	}
	out := release("set", "v2", "--api", n.api, "--for", "www.abc.com", "--why", "spring sale")
	if !strings.Contains(out, "www.abc.com.: v2 is released") {
		t.Errorf("set says %q", out)
	}
	n.sentTo(patience, clientKT, "kt")
	n.sentTo(patience, clientCN, "kt") // cn lacks it
	serves["cn"].Store("v2")
	n.sentTo(patience, clientCN, "cn")
	if out := release("--api", n.api); !strings.Contains(out, "spring sale") || !strings.Contains(out, "lgu, us") {
		t.Errorf("gslb release:\n%s", out)
	}
	release("clear", "--api", n.api, "--for", "www.abc.com.", "--why", "over")
	n.sentTo(patience, clientLGU, "lgu")
	if out := must(t, binary(t), "events", "--api", n.api); !strings.Contains(out, "v2 is released for www.abc.com.") {
		t.Errorf("events:\n%s", out)
	}
	if res := run(t, patience, binary(t), "release", "set", "v2", "--api", n.api, "--for", "img.abc.com", "--why", "x"); res.code == 0 || !strings.Contains(res.err, "www.abc.com.") {
		t.Errorf("a name that does not hold: %+v", res)
	}
}
