package dnsserver

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/health"
)

// unlimited is a share that no test comes near.
const unlimited = mostShare

// compactZone serves signedSteered's zone with compact denial; the responder signs where it answers.
func compactZone(t testing.TB, share float64) (*Server, *responder, *dnssec.Key) {
	t.Helper()
	signed, _, k := signedSteeredIn(t, testZone, dnssec.WithNSEC3, health.Up, func(s *dnssec.Signing) { s.Compact = true })
	s := New(Config{CompactShare: &share}, discard())
	s.Swap(signed.Generation())
	w := s.responder(0, s.newCounters())
	w.signs = signsHere
	return s, w, k
}

func wantsCO(m *dns.Msg) { m.IsEdns0().Hdr.Ttl |= flagCO << 8 }

// shown is an answer with its flag CO, and the types of NSEC records.
func shown(m *dns.Msg) string {
	text := brief(m)
	if m != nil && m.IsEdns0() != nil && m.IsEdns0().Hdr.Ttl&(flagCO<<8) != 0 {
		text += " co"
	}
	for _, rr := range m.Ns {
		if n, ok := rr.(*dns.NSEC); ok {
			text += " " + strings.Join(strings.Fields(n.String())[5:], " ")
		}
	}
	return strings.NewReplacer("ns:abc.com./SOA/ns1.abc.com./hostmaster.abc.com.", "soa", " ns:abc.com./RRSIG/SOA/13", "").Replace(text)
}

// RFC 9824, sections 3 and 5.
func TestCompactDenial(t *testing.T) {
	const chain = " ns:…/NSEC3"
	for _, share := range []float64{unlimited, 0} {
		s, w, k := compactZone(t, share)
		for _, c := range []struct {
			name  string
			qtype uint16
			opt   []func(*dns.Msg)
			own   string // with a proof of the name's own
			other string // without; "": the same
		}{
			{"none.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true)}, `NOERROR aa soa ns:none.abc.com./NSEC/\000.none.abc.com./RRSIG ns:none.abc.com./RRSIG/NSEC/13 opt RRSIG NSEC NXNAME`, "NXDOMAIN aa soa" + chain},
			{"NoNe.abc.com.", dns.TypeDS, []func(*dns.Msg){edns(1232, true)}, `NOERROR aa soa ns:NoNe.abc.com./NSEC/\000.none.abc.com./RRSIG ns:NoNe.abc.com./RRSIG/NSEC/13 opt RRSIG NSEC NXNAME`, "NXDOMAIN aa soa" + chain},
			{"a.b.none.abc.com.", dns.TypeNS, []func(*dns.Msg){edns(1232, true), wantsCO}, `NXDOMAIN aa soa ns:a.b.none.abc.com./NSEC/\000.a.b.none.abc.com./RRSIG ns:a.b.none.abc.com./RRSIG/NSEC/13 opt co RRSIG NSEC NXNAME`, "NXDOMAIN aa soa" + chain + " opt co"},
			{"x.app.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true)}, `NOERROR aa soa ns:x.app.abc.com./NSEC/\000.x.app.abc.com./RRSIG ns:x.app.abc.com./RRSIG/NSEC/13 opt RRSIG NSEC NXNAME`, "NXDOMAIN aa soa" + chain},
			// Without DO.
			{"none.abc.com.", dns.TypeA, nil, "NXDOMAIN aa soa", ""},
			{"none.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, false), wantsCO}, "NXDOMAIN aa soa opt co", ""},
			// Types that the proof itself has, all types, names that have no successor, and wildcards.
			{"none.abc.com.", dns.TypeNSEC, []func(*dns.Msg){edns(1232, true)}, "NXDOMAIN aa soa" + chain, ""},
			{"none.abc.com.", dns.TypeRRSIG, []func(*dns.Msg){edns(1232, true)}, "NXDOMAIN aa soa" + chain, ""},
			{"none.abc.com.", dns.TypeANY, []func(*dns.Msg){edns(1232, true)}, "NXDOMAIN aa soa" + chain, ""},
			{"*.none.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true)}, "NXDOMAIN aa soa" + chain, ""},
			{strings.Repeat("x.", 123) + "abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true)}, "NXDOMAIN aa soa" + chain, ""},
			{"none.abc.com.", dns.TypeNXNAME, []func(*dns.Msg){edns(1232, true), wantsCO}, "FORMERR opt ede=Invalid Query Type", ""},
			// What exists is proven by the chain: types, those of steered names, empty non-terminals, delegations, wildcards, aliases.
			{"static.abc.com.", dns.TypeTXT, []func(*dns.Msg){edns(1232, true), wantsCO}, "NOERROR aa soa" + chain + " opt co", ""},
			{"app.abc.com.", dns.TypeTXT, []func(*dns.Msg){edns(1232, true)}, "NOERROR aa soa" + chain, ""},
			{"cdn.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true)}, "NOERROR aa soa" + chain, ""},
			{"sub.abc.com.", dns.TypeDS, []func(*dns.Msg){edns(1232, true)}, "NOERROR aa soa" + chain, ""},
			{"foo.cdn.abc.com.", dns.TypeTXT, []func(*dns.Msg){edns(1232, true)}, "NOERROR aa soa" + chain, ""},
			{"app.abc.com.", dns.TypeA, []func(*dns.Msg){edns(1232, true), wantsCO}, "NOERROR aa app.abc.com./A/192.0.2.10 app.abc.com./RRSIG/A/13 opt co", ""},
			{"nothere.example.", dns.TypeA, []func(*dns.Msg){edns(1232, true), wantsCO}, "REFUSED opt ede=Not Authoritative", ""},
		} {
			want := c.own
			if share == 0 && c.other != "" {
				want = c.other
			}
			want, rest, _ := strings.Cut(want, chain)
			m := answer(t, s, w, query(t, c.name, c.qtype, c.opt...), false)
			got := shown(m)
			if rest != "" || strings.Contains(got, "/NSEC3/") {
				if !strings.HasPrefix(got, want+" ns:") || !strings.Contains(got, "/NSEC3/") || !strings.HasSuffix(got, rest) || strings.HasSuffix(got, " co") != strings.HasSuffix(rest, " co") {
					t.Errorf("%s %s, share %v: %s, want %s, NSEC3 and %s", c.name, dns.Type(c.qtype), share, got, want, rest)
				}
			} else if got != want {
				t.Errorf("%s %s, share %v:\n%s, want\n%s", c.name, dns.Type(c.qtype), share, got, want)
			}
			if o := m.IsEdns0(); o != nil && o.Do() {
				verifyAll(t, m, k)
			}
		}
		w.publish()
		got := s.Stats().Compact
		if want := (map[string]uint64{"signed": 3, "kept": 1, "chain": 0}); share > 0 && !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if want := (map[string]uint64{"signed": 0, "kept": 0, "chain": 4}); share == 0 && !maps.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	explained, _, _ := compactZone(t, unlimited)
	for name, want := range map[string]bool{"none.abc.com.": true, "static.abc.com.": false, "foo.cdn.abc.com.": false} {
		if e, err := explained.Generation().Explain(Config{}, name, dns.TypeA, source.Addr(), 0); err != nil || e.Compact != want {
			t.Errorf("explain %s: %+v, %v", name, e, err)
		}
	}
	s, w := signedServer(t, "nsec")
	if got := shown(answer(t, s, w, query(t, "none.signed.example.", dns.TypeA, edns(1232, true), wantsCO), false)); strings.HasSuffix(got, " co") || strings.Contains(got, "NXNAME") {
		t.Errorf("a zone without compact denial: %s", got)
	}
}

// A proof is kept until it is due, or the keys have changed, and given wherever the query comes in; in
// a roll it is signed by all keys that the zone is.
func TestCompactProofsAreKept(t *testing.T) {
	s, w, one := compactZone(t, unlimited)
	nowhere := s.responder(1, s.newCounters())
	msg := query(t, "none.abc.com.", dns.TypeA, edns(1232, true))
	counted := func(want string) {
		t.Helper()
		w.publish()
		nowhere.publish()
		st := s.Stats().Compact
		if got := fmt.Sprint(st["signed"], st["kept"], st["chain"]); got != want {
			t.Errorf("signed, kept, chain: %s, want %s", got, want)
		}
	}
	first := answer(t, s, nowhere, msg, false)
	counted("0 0 1")
	if first.Rcode != dns.RcodeNameError {
		t.Errorf("a worker that cannot sign:\n%s", first)
	}
	made := answer(t, s, w, msg, false)
	counted("1 0 1")
	if again := answer(t, s, nowhere, msg, false); again.String() != made.String() {
		t.Errorf("kept\n%s\nwhere it was\n%s", again, made)
	}
	counted("1 1 1")
	now := w.seconds.Load()
	w.seconds.Store(now + 10*24*3600) // the coarse clock: a proof is due after nine days at most
	answer(t, s, w, msg, false)
	counted("2 1 1")
	w.seconds.Store(now)

	apex, _ := dnsname.Parse("abc.com.")
	two, err := dnssec.Generate(apex, dnssec.ED25519, 0, dnssec.CSK, dnssec.Timing{})
	if err != nil {
		t.Fatal(err)
	}
	for i, keys := range [][]*dnssec.Key{{one, two}, {two}} {
		db, err := s.Generation().DB.Resign(map[string]*dnssec.Signing{"abc.com.": {Keys: dnssec.Plan{Publish: keys, SignKeys: keys, SignZone: keys}, Denial: dnssec.WithNSEC3, Compact: true}})
		if err != nil {
			t.Fatal(err)
		}
		s.Swap(s.Generation().WithDB(db))
		if m := answer(t, s, nowhere, msg, false); m.Rcode != dns.RcodeNameError {
			t.Errorf("a proof of old keys:\n%s", m)
		}
		m := answer(t, s, w, msg, false)
		var tags []uint16
		for _, rr := range m.Ns {
			if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == dns.TypeNSEC {
				tags = append(tags, sig.KeyTag)
			}
		}
		var want []uint16
		for _, k := range keys {
			want = append(want, k.Tag())
		}
		if m.Rcode != dns.RcodeSuccess || !slices.Equal(tags, want) {
			t.Errorf("roll, step %d: signed by %v, want %v\n%s", i, tags, want, m)
		}
		if len(keys) == 1 {
			verifyAll(t, m, two)
		}
	}
}

// Whether a name gets its own proof, one that was kept, a place with the signer, or the chain's
// proof as there is no room or budget left: the worker allocates nothing.
func TestCompactAllocatesNothing(t *testing.T) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	msg := query(t, "none.abc.com.", dns.TypeA, edns(1232, true), cookieOption([]byte("client01")))
	none := func(s *Server, w *responder, what string, answered bool) {
		t.Helper()
		if n := testing.AllocsPerRun(200, func() {
			if reply := s.answer(w, msg, source, false, out); len(reply) > 0 != answered {
				t.Fatalf("%s: %d octets", what, len(reply))
			}
			if w.waiting != nil {
				s.proofs.free <- w.fill(msg, source)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	s, w, _ := compactZone(t, unlimited)
	w.signs = signsElsewhere
	none(s, w, "handed over", false)
	if n := s.Stats().Cookies["client"]; n != 0 {
		t.Errorf("%d cookies are counted before the query is answered", n)
	}
	for range maxWaiting {
		s.answer(w, msg, source, false, out)
	}
	w.waiting = nil
	none(s, w, "all places taken", true)
	w.signs = signsHere
	s.answer(w, msg, source, false, out)
	none(s, w, "kept", true)
	s, w, _ = compactZone(t, 0)
	for _, w.signs = range []signing{signsNowhere, signsElsewhere, signsApart, signsHere} {
		none(s, w, "no budget", true)
	}
}

// The budget is a share of a core: what is taken stays below it but for what was saved up, and grows with
// what signatures cost.
func TestCompactBudget(t *testing.T) {
	for _, c := range []struct {
		share float64
		cost  int64
		want  int // of a second's saving, and one more
	}{{0, 1e6, 0}, {0.1, 1e6, 101}, {0.5, 1e6, 501}, {1, 1e7, 101}, {0.001, 1e7, 1}} {
		b := budget{share: c.share, began: time.Now()}
		b.cost.Store(c.cost)
		n, begin := 0, time.Now()
		for b.take() {
			n++
		}
		took := time.Since(begin).Seconds() // in which more has come in
		if most := float64(c.want) + 1 + took*c.share*1e9/float64(c.cost); n < min(c.want, 1) || n < c.want-1 || float64(n) > most {
			t.Errorf("share %v, cost %v: %d, want %d", c.share, time.Duration(c.cost), n, c.want)
		}
		if b.take() && c.share == 0 {
			t.Error("something was taken of nothing")
		}
	}
	b := budget{share: 1}
	b.cost.Store(firstCost)
	for range 100 {
		b.took(time.Hour)
	}
	if got := b.cost.Load(); got > mostCost || got < mostCost*9/10 {
		t.Errorf("after long stalls a proof costs %v", time.Duration(got))
	}
	for range 200 {
		b.took(0)
	}
	if got := b.cost.Load(); got < 1 || got > 1000 {
		t.Errorf("where it costs nothing: %v", time.Duration(got))
	}
}

// compactServer serves it over all transports.
func compactServer(t *testing.T, share float64, change func(*Config)) (*Server, *dnssec.Key) {
	t.Helper()
	base, _, k := compactZone(t, 0)
	s := startHTTPS(t, func(c *Config) {
		c.CompactShare = &share
		c.QUIC = QUIC{Listen: []string{"127.0.0.1:0"}, Cert: c.TLS.Cert, Key: c.TLS.Key}
		change(c)
	})
	s.Swap(base.Generation())
	return s, k
}

// A name that does not exist has its own proof over each transport, from each of their engines, with what was
// asked before it and after it on the same connection.
func TestCompactOverEachTransport(t *testing.T) {
	for name, batch := range modes {
		for _, engine := range engines() {
			t.Run(name+" "+engine, func(t *testing.T) {
				s, k := compactServer(t, unlimited, func(c *Config) {
					c.Listen, c.Batch, c.TCPEngine = []string{"0.0.0.0:0"}, batch, engine
				})
				address := fmt.Sprintf("127.0.0.2:%d", s.Addrs()[0].Port()) // and from there the answer has to come
				asked := 0
				check := func(what string, ask func(m *dns.Msg) *dns.Msg) {
					t.Helper()
					for _, name := range []string{"static.abc.com.", "x%d.none.abc.com.", "y%d.none.abc.com.", "static.abc.com."} {
						if strings.Contains(name, "%") {
							asked++
							name = fmt.Sprintf(name, asked)
						}
						m := new(dns.Msg).SetQuestion(name, dns.TypeA)
						m.SetEdns0(1232, true)
						cookieOption([]byte("client01"))(m)
						m.Id = 0 // as QUIC wants
						got := ask(m)
						if got == nil || got.Rcode != dns.RcodeSuccess || got.Question[0].Name != name || (len(got.Answer) == 0) != (name != "static.abc.com.") ||
							len(got.Answer) == 0 && !strings.HasSuffix(shown(got), "RRSIG NSEC NXNAME") {
							t.Fatalf("%s: %s\n%v", what, name, got)
						}
						verifyAll(t, got, k)
					}
				}
				unpacked := func(b []byte, err error) *dns.Msg {
					m := new(dns.Msg)
					if err != nil || m.Unpack(b) != nil {
						t.Fatalf("%x, %v", b, err)
					}
					return m
				}
				packed := func(m *dns.Msg) []byte {
					b, err := m.Pack()
					if err != nil {
						t.Fatal(err)
					}
					return b
				}
				for _, network := range []string{"udp", "tcp"} {
					c, err := net.Dial(network, address)
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					check(network, func(m *dns.Msg) *dns.Msg { return askOver(t, c, m) })
				}
				if tlsConn, err := dialTLS(s, nil); err != nil {
					t.Fatal(err)
				} else {
					defer tlsConn.Close()
					check("tls", func(m *dns.Msg) *dns.Msg { return askOver(t, tlsConn, m) })
				}
				web := &http.Client{Timeout: patience, Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
				defer web.CloseIdleConnections()
				check("https", func(m *dns.Msg) *dns.Msg {
					got, err := postDNS(web, s, packed(m))
					if err != nil {
						t.Fatal(err)
					}
					return got
				})
				quic := mustDialQUIC(t, s)
				check("quic", func(m *dns.Msg) *dns.Msg {
					b, err := askDoQ(quic, framed(packed(m)))
					return unpacked(b[min(2, len(b)):], err)
				})
				st := s.Stats()
				if st.Compact["signed"] != uint64(asked) || st.Compact["chain"] != 0 || st.Cookies["client"]+st.Cookies["good"]+st.Cookies["bad"] != uint64(2*asked) || st.Panics != 0 {
					t.Errorf("%d names: %v, cookies %v, %d panics", asked, st.Compact, st.Cookies, st.Panics)
				}
			})
		}
	}
}

// A flood of random names over the budget gets valid answers alone, each query one: a few with proofs of their
// own, all others from the chain. There is budget for three proofs at first: two connections may take two of it
// to go where proofs are signed.
func TestCompactFlood(t *testing.T) {
	const clients, each = 4, 100
	for name, batch := range modes {
		t.Run(name, func(t *testing.T) {
			s, k := compactServer(t, 1e-4, func(c *Config) { c.Batch = batch })
			var flood sync.WaitGroup
			answers := make([][]*dns.Msg, clients)
			for i := range clients {
				network := []string{"udp", "tcp"}[i%2]
				c, err := net.Dial(network, s.Addrs()[0].String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				flood.Go(func() {
					c.SetDeadline(time.Now().Add(patience))
					conn := &dns.Conn{Conn: c, UDPSize: 1232}
					for n := range each {
						m := new(dns.Msg).SetQuestion(fmt.Sprintf("x%d.y%d.abc.com.", n, i), dns.TypeAAAA)
						m.SetEdns0(1232, true)
						if conn.WriteMsg(m) != nil {
							return
						}
						r, err := conn.ReadMsg()
						if err != nil || r.Id != m.Id {
							return
						}
						answers[i] = append(answers[i], r)
					}
				})
			}
			flood.Wait()
			own, chain := 0, 0
			for i := range answers {
				if len(answers[i]) != each {
					t.Errorf("client %d: %d answers to %d queries", i, len(answers[i]), each)
				}
				for n, m := range answers[i] {
					switch text := shown(m); {
					case m.Rcode == dns.RcodeSuccess && strings.HasSuffix(text, "RRSIG NSEC NXNAME"):
						own++
					case m.Rcode == dns.RcodeNameError && strings.Contains(text, "/NSEC3/"):
						chain++
					default:
						t.Errorf("%s", m)
					}
					if n%10 == 0 {
						verifyAll(t, m, k)
					}
				}
			}
			if st := s.Stats().Compact; own == 0 || chain == 0 || st["signed"] != uint64(own) || st["chain"] != uint64(chain) {
				t.Errorf("%d with a proof of their own, %d of the chain; counted %v", own, chain, st)
			}
		})
	}
}

// A query that is too long for its place is answered at once.
func TestCompactLongQuery(t *testing.T) {
	s, w, _ := compactZone(t, unlimited)
	w.signs = signsElsewhere
	msg := query(t, "none.abc.com.", dns.TypeA, edns(1232, true), option(dns.EDNS0PADDING, make([]byte, maxWaitingLen)...))
	if m := answer(t, s, w, msg, false); m == nil || m.Rcode != dns.RcodeNameError {
		t.Errorf("%v", m)
	}
}

// BenchmarkCompact is a whole answer with DO for a name that does not exist.
func BenchmarkCompact(b *testing.B) {
	out := make([]byte, 0, maxMessage+maxRecordHead)
	for _, c := range []struct {
		what  string
		share float64
		keep  bool
	}{{"signed", unlimited, false}, {"kept", unlimited, true}, {"chain", 0, true}} {
		s, w, _ := compactZone(b, c.share)
		msg := query(b, "aaaaaaaa.abc.com.", dns.TypeA, edns(1232, true))
		if c.keep {
			s.answer(w, msg, source, false, out)
		}
		b.Run(c.what, func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if !c.keep {
					w.signs = signsPaid
					n++
					for i := range 8 { // another name each time
						msg[headerLen+1+i] = 'a' + byte(n>>(4*i)&0xf)
					}
				}
				s.answer(w, msg, source, false, out)
			}
		})
	}
}
