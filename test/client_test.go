package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// answerWithin is when a question that has no answer counts as one that gets none: no machine stands
// still for so long, and whoever asks again and again is patient enough for some of them.
const answerWithin = 30 * time.Second

// question makes a query. subnet is the EDNS client subnet, "" for none.
func question(name string, qtype uint16, subnet string) *dns.Msg {
	m := new(dns.Msg).SetQuestion(dns.Fqdn(name), qtype)
	m.RecursionDesired = false
	m.SetEdns0(1232, false)
	if subnet != "" {
		p := netip.MustParsePrefix(subnet).Masked()
		ecs := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(p.Bits()), Address: p.Addr().AsSlice()}
		if p.Addr().Is6() {
			ecs.Family = 2
		}
		m.IsEdns0().Option = []dns.EDNS0{ecs}
	}
	return m
}

// exchange asks a server and checks that the answer is well-formed and belongs
// to the question.
func exchange(network, server string, q *dns.Msg) (*dns.Msg, error) {
	client := dns.Client{Net: network, Timeout: answerWithin}
	m, _, err := client.Exchange(q, server)
	if err != nil {
		return nil, err
	}
	return m, wellFormed(q, m)
}

// wellFormed is what every answer must be, whatever it says.
func wellFormed(q, m *dns.Msg) error {
	switch {
	case m.Id != q.Id || !m.Response || m.Opcode != q.Opcode:
		return fmt.Errorf("header does not belong to the query: %v", m)
	case len(m.Question) != 1 || m.Question[0] != q.Question[0]:
		return fmt.Errorf("question %v, asked %v", m.Question, q.Question)
	case m.Rcode == dns.RcodeServerFailure:
		return errors.New("SERVFAIL")
	case q.IsEdns0() != nil && m.IsEdns0() == nil:
		return errors.New("no OPT record in the answer")
	}
	sent, got := subnetOf(q), subnetOf(m)
	if (sent == nil) != (got == nil) {
		return fmt.Errorf("client subnet asked %v, answered %v", sent, got)
	}
	if sent != nil && (sent.Family != got.Family || sent.SourceNetmask != got.SourceNetmask || !sent.Address.Equal(got.Address)) {
		return fmt.Errorf("client subnet %v came back as %v", sent, got)
	}
	return nil
}

func subnetOf(m *dns.Msg) *dns.EDNS0_SUBNET {
	if opt := m.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if ecs, ok := o.(*dns.EDNS0_SUBNET); ok {
				return ecs
			}
		}
	}
	return nil
}

// ask asks the node over UDP.
func (n *node) ask(name string, qtype uint16, subnet string) *dns.Msg {
	n.t.Helper()
	m, err := exchange("udp", n.dns, question(name, qtype, subnet))
	if err != nil {
		n.t.Fatalf("%s %s from %s: %v", name, dns.TypeToString[qtype], subnet, err)
	}
	return m
}

// www asks for www.abc.com as a client of the subnet and gives the site it is sent to.
func (n *node) www(subnet string) string {
	n.t.Helper()
	return siteOf(n.ask("www.abc.com.", dns.TypeA, subnet))
}

// siteOf tells the site that an answer sends to, by its canonical name or address.
func siteOf(m *dns.Msg) string {
	for _, rr := range m.Answer {
		for _, s := range sites {
			switch rr := rr.(type) {
			case *dns.CNAME:
				if strings.EqualFold(rr.Target, s.cname) {
					return s.name
				}
			case *dns.A:
				if rr.A.String() == s.address {
					return s.name
				}
			}
		}
	}
	return fmt.Sprintf("none (%s, %v)", dns.RcodeToString[m.Rcode], m.Answer)
}

// sentTo waits until the clients of the subnet are sent to the site.
func (n *node) sentTo(limit time.Duration, subnet, want string) {
	n.t.Helper()
	until(n.t, limit, func() error {
		m, err := exchange("udp", n.dns, question("www.abc.com.", dns.TypeA, subnet))
		if err != nil {
			return err
		}
		if got := siteOf(m); got != want {
			return fmt.Errorf("%s is sent to %s, want %s", subnet, got, want)
		}
		return nil
	})
}

// status is what the tests read of /api/v1/status.
type status struct {
	Stale bool `json:"stale"`
	Sites []struct {
		Site     string           `json:"site"`
		State    string           `json:"state"`
		Draining bool             `json:"draining"`
		Why      string           `json:"why"`
		Override *json.RawMessage `json:"override"`
		// DownFor is why it is down, by the audience for which it is down alone.
		DownFor map[string]string `json:"down_for"`
		Votes   []struct {
			Vantage string `json:"vantage"`
		} `json:"votes"`
	} `json:"sites"`
	Etcd struct {
		Connected bool `json:"connected"`
	} `json:"etcd"`
	Frontends []struct {
		Servers []struct {
			Address   string `json:"address"`
			State     string `json:"state"`
			Role      string `json:"role"`
			InService bool   `json:"in_service"`
			Isolated  bool   `json:"isolated"`
		} `json:"servers"`
	} `json:"frontends"`
	Problems []string `json:"problems"`
}

func (n *node) status() (s status, err error) {
	body, err := get("http://" + n.api + "/api/v1/status")
	if err == nil {
		err = json.Unmarshal([]byte(body), &s)
	}
	return s, err
}

// waitStates waits until the node sees the sites in these states ("kt" -> "up").
func (n *node) waitStates(limit time.Duration, want map[string]string) {
	n.t.Helper()
	n.waitStatus(limit, func(s status) error {
		for _, site := range s.Sites {
			if state, ok := want[site.Site]; ok && site.State != state {
				return fmt.Errorf("site %s is %s (%s), want %s", site.Site, site.State, site.Why, state)
			}
		}
		return nil
	})
}

// waitUp waits until the node has seen these sites up.
func (n *node) waitUp(names ...string) {
	n.t.Helper()
	want := map[string]string{}
	for _, name := range names {
		want[name] = "up"
	}
	n.waitStates(patience, want)
}

func (n *node) waitStatus(limit time.Duration, good func(status) error) {
	n.t.Helper()
	until(n.t, limit, func() error {
		s, err := n.status()
		if err != nil {
			return err
		}
		return good(s)
	})
}

// httpClient opens a connection for each request and uses no proxy.
var httpClient = &http.Client{Timeout: answerWithin, Transport: &http.Transport{DisableKeepAlives: true}}

// get fetches a page; any status but 200 is an error.
func get(url string) (string, error) {
	r, err := httpClient.Get(url)
	if err != nil {
		return "", err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", err
	}
	if r.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, r.Status, body)
	}
	return string(body), nil
}

// event is one try of a stream.
type event struct {
	at   time.Time // when it began
	took time.Duration
	got  string // the site or server that answered
	err  error
}

// stream tries something every so often, in the background, until it is stopped.
type stream struct {
	stop chan struct{}
	done chan struct{}
	mu   sync.Mutex
	all  []event // guarded by mu
}

func startStream(t testing.TB, every time.Duration, try func() (string, error)) *stream {
	s := &stream{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(s.done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-s.stop:
				return
			case <-ticker.C:
			}
			at := time.Now()
			got, err := try()
			s.mu.Lock()
			s.all = append(s.all, event{at, time.Since(at), got, err})
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() { s.end() })
	return s
}

// end stops the stream and gives all that happened.
func (s *stream) end() []event {
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	<-s.done
	return s.all
}

// far is what has happened up to now.
func (s *stream) far() []event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event(nil), s.all...)
}

// queries is a steady stream of queries for www.abc.com by clients of the subnet.
func (n *node) queries(every time.Duration, subnet string) *stream {
	return startStream(n.t, every, func() (string, error) {
		m, err := exchange("udp", n.dns, question("www.abc.com.", dns.TypeA, subnet))
		if err != nil {
			return "", err
		}
		return siteOf(m), nil
	})
}

// connections is a steady stream of new connections with one request each.
func connections(t testing.TB, every time.Duration, address string) *stream {
	return startStream(t, every, func() (string, error) {
		body, err := get("http://" + address + "/")
		name, _, _ := strings.Cut(body, " ")
		return name, err
	})
}
