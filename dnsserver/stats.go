package dnsserver

import (
	"maps"
	"sync/atomic"
	"time"

	"gslb/steer"
)

// maxRcode bounds the response codes that are counted apart: BADVERS is 16.
const maxRcode = 24

// counters are what serving goroutines have counted; anyone may read them.
type counters struct {
	queries   [len(transports)]atomic.Uint64
	rcodes    [maxRcode]atomic.Uint64
	dropped   atomic.Uint64 // not a query, or too short
	truncated atomic.Uint64
	subnet    atomic.Uint64 // answers to queries with a Client Subnet
	tailored  atomic.Uint64
	failOpen  atomic.Uint64
	resort    atomic.Uint64
	shed      atomic.Uint64
	panics    atomic.Uint64
	sendFail  atomic.Uint64
	denied    atomic.Uint64                   // to clients that configuration denies
	limited   atomic.Uint64                   // answers over the limit, slipped ones too
	slipped   atomic.Uint64                   // of those, sent truncated or with BADCOOKIE
	cookies   [len(cookieKinds)]atomic.Uint64 // queries with a COOKIE
	compact   [len(compactKinds)]atomic.Uint64
	_         [64]byte // keep neighbours off this cache line
}

// Transports, as counters index them.
const (
	udp4 = iota
	udp6
	tcp4
	tcp6
	tls4
	tls6
	https4
	https6
	quic4
	quic6
	http3v4
	http3v6
)

var transports = [...]string{"udp4", "udp6", "tcp4", "tcp6", "tls4", "tls6", "https4", "https6", "quic4", "quic6", "http3_4", "http3_6"}

// tally is what a responder has counted and not yet published: adding to what
// others read costs as much as a good part of the answer.
type tally struct {
	rcodes                                                       [maxRcode]uint32
	dropped, truncated, subnet, tailored, failOpen, resort, shed uint32
	denied, limited, slipped                                     uint32
	cookies                                                      [len(cookieKinds)]uint32
	compact                                                      [len(compactKinds)]uint32
}

// cookieKinds are what the COOKIE of a query can be: without a server cookie, with
// one that is good, or with another.
var cookieKinds = [...]string{"client", "good", "bad"}

func (t *tally) cookie(good bool, size int) { t.cookies[cookieKind(good, size)]++ }

func cookieKind(good bool, size int) int {
	switch {
	case good:
		return 1
	case size == clientCookieLen:
		return 0
	}
	return 2
}

func (t *tally) answer(rcode int) { t.rcodes[min(uint(rcode), maxRcode-1)]++ }

func (t *tally) choice(ch steer.Choice) {
	t.tailored++
	if ch.FailOpen {
		t.failOpen++
	}
	if ch.LastResort {
		t.resort++
	}
	if ch.Shed {
		t.shed++
	}
}

// publish adds what was counted to the counters that others read.
func (w *responder) publish() {
	t, c := &w.tally, w.count
	for i := range t.rcodes {
		move(&t.rcodes[i], &c.rcodes[i])
	}
	move(&t.dropped, &c.dropped)
	move(&t.truncated, &c.truncated)
	move(&t.subnet, &c.subnet)
	move(&t.tailored, &c.tailored)
	move(&t.failOpen, &c.failOpen)
	move(&t.resort, &c.resort)
	move(&t.shed, &c.shed)
	move(&t.denied, &c.denied)
	move(&t.limited, &c.limited)
	move(&t.slipped, &c.slipped)
	for i := range t.cookies {
		move(&t.cookies[i], &c.cookies[i])
	}
	for i := range t.compact {
		move(&t.compact[i], &c.compact[i])
	}
}

func move(from *uint32, to *atomic.Uint64) {
	if *from != 0 {
		to.Add(uint64(*from))
		*from = 0
	}
}

// Stats is what a Server has counted since it began.
type Stats struct {
	Queries   map[string]uint64 `json:"queries"` // by transport: udp4 udp6 tcp4 tcp6 tls4 tls6 https4 https6 quic4 quic6 http3_4 http3_6
	Rcodes    map[int]uint64    `json:"rcodes"`  // answers by response code
	Dropped   uint64            `json:"dropped"`
	Truncated uint64            `json:"truncated"`
	Subnet    uint64            `json:"client_subnet"`
	Tailored  uint64            `json:"tailored"`
	FailOpen  uint64            `json:"fail_open"`
	Resort    uint64            `json:"last_resort"`
	Shed      uint64            `json:"shed"`
	Panics    uint64            `json:"panics"`
	SendFail  uint64            `json:"send_failed"`
	Denied    uint64            `json:"denied"`
	Limited   uint64            `json:"rate_limited"`
	Slipped   uint64            `json:"rate_slipped"`
	Cookies   map[string]uint64 `json:"cookies"` // queries: client good bad
	Compact   map[string]uint64 `json:"compact"` // names that do not exist, in zones with compact denial: signed kept chain
	TCPOpen   int64             `json:"tcp_open"`
	TCPRefuse uint64            `json:"tcp_refused"`
	TCPEvict  uint64            `json:"tcp_evicted"`
	Handshake uint64            `json:"tls_handshake_failed"`
	// ProxyErrors counts messages and connections of front ends without a good header.
	ProxyErrors uint64 `json:"proxy_errors"`
	// Picked counts choices by steered name, then by site index. A reload does not
	// reset them, as long as the name and the site are there.
	Picked map[string][]uint64 `json:"picked"`
}

// Splits tells how the clients of steered names were spread lately, beside how their policies
// spread such clients; of names that were asked for often enough.
func (s *Server) Splits() map[string]Split {
	s.splits.fold(s.gen.Load(), time.Now())
	all := s.splits.shares()
	maps.DeleteFunc(all, func(_ string, one Split) bool { return one.Samples < leastSamples })
	return all
}

// Stats sums up what all goroutines have counted.
func (s *Server) Stats() Stats {
	st := Stats{Queries: map[string]uint64{}, Rcodes: map[int]uint64{}, Cookies: map[string]uint64{}, Compact: map[string]uint64{}, Picked: map[string][]uint64{}}
	s.mu.Lock()
	all := s.counters
	s.mu.Unlock()
	for _, c := range all {
		for i, name := range transports {
			st.Queries[name] += c.queries[i].Load()
		}
		for code := range c.rcodes {
			if n := c.rcodes[code].Load(); n > 0 {
				st.Rcodes[code] += n
			}
		}
		st.Dropped += c.dropped.Load()
		st.Truncated += c.truncated.Load()
		st.Subnet += c.subnet.Load()
		st.Tailored += c.tailored.Load()
		st.FailOpen += c.failOpen.Load()
		st.Resort += c.resort.Load()
		st.Shed += c.shed.Load()
		st.Panics += c.panics.Load()
		st.SendFail += c.sendFail.Load()
		st.Denied += c.denied.Load()
		st.Limited += c.limited.Load()
		st.Slipped += c.slipped.Load()
		for i, kind := range cookieKinds {
			st.Cookies[kind] += c.cookies[i].Load()
		}
		for i, kind := range compactKinds {
			st.Compact[kind] += c.compact[i].Load()
		}
	}
	st.TCPOpen, st.TCPRefuse, st.TCPEvict = s.tcp.open.Load(), s.tcp.refused.Load(), s.tcp.evicted.Load()
	st.Handshake = s.handshakes.total()
	st.ProxyErrors = s.proxyErrors.Load()
	if g := s.gen.Load(); g != nil {
		for _, n := range g.DB.Steered() {
			by := make([]uint64, g.sites)
			for i := range by {
				by[i] = g.picked.get(n.Index, i)
			}
			st.Picked[n.Name] = by
		}
	}
	return st
}
