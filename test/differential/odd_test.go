package differential

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// odd is a message that no resolver would send, or seldom.
type odd struct {
	id      string // one word for the differences to name it by
	what    string
	network string
	message []byte
}

// The names that odd messages ask for: one that is there, in a hand-made zone.
const (
	oddName = "www.rules.test."
	oddZone = "rules.test."
)

// oddMessages are written from a plain query by changing it.
func oddMessages() []*odd {
	var all []*odd
	add := func(id, what string, message []byte) {
		all = append(all, &odd{id: id, what: what, message: message})
	}
	plain := func(change func(m *dns.Msg)) []byte {
		m := &dns.Msg{Question: []dns.Question{{Name: oddName, Qtype: dns.TypeA, Qclass: dns.ClassINET}}}
		change(m)
		packed, err := m.Pack()
		if err != nil {
			panic(err) // written wrongly here
		}
		return packed
	}
	none := func(*dns.Msg) {}
	for opcode := range 16 {
		if opcode == dns.OpcodeQuery {
			continue
		}
		add(fmt.Sprintf("opcode-%d", opcode), fmt.Sprintf("opcode %d with a question", opcode), plain(func(m *dns.Msg) { m.Opcode = opcode }))
		add(fmt.Sprintf("opcode-%d-edns", opcode), fmt.Sprintf("opcode %d with a question and an OPT", opcode), plain(func(m *dns.Msg) { m.Opcode = opcode; m.SetEdns0(1232, false) }))
	}
	for _, class := range []uint16{0, 2, dns.ClassCHAOS, dns.ClassHESIOD, dns.ClassNONE, dns.ClassANY, 65280} {
		for _, name := range []string{oddName, oddZone, "nx." + oddZone, "elsewhere.example."} {
			add(fmt.Sprintf("class-%d", class), fmt.Sprintf("%s in class %d", name, class), plain(func(m *dns.Msg) { m.Question[0].Name, m.Question[0].Qclass = name, class }))
		}
	}
	for _, qtype := range []uint16{0, dns.TypeOPT, dns.TypeTKEY, dns.TypeTSIG, dns.TypeIXFR, dns.TypeAXFR, dns.TypeMAILB, dns.TypeMAILA, 128, 65535} {
		for _, name := range []string{oddName, oddZone, "elsewhere.example."} {
			add(fmt.Sprintf("type-%d", qtype), fmt.Sprintf("%s of type %d", name, qtype), plain(func(m *dns.Msg) { m.Question[0].Name, m.Question[0].Qtype = name, qtype }))
		}
	}
	// Counts that are not those of the records.
	count := func(at int, n uint16, change func(m *dns.Msg)) []byte {
		b := plain(change)
		binary.BigEndian.PutUint16(b[at:], n)
		return b
	}
	add("qdcount-0", "QDCOUNT 0, the question there", count(4, 0, none))
	add("qdcount-0-empty", "QDCOUNT 0 and nothing else", plain(func(m *dns.Msg) { m.Question = nil }))
	add("qdcount-0-edns", "QDCOUNT 0 and an OPT", plain(func(m *dns.Msg) { m.Question = nil; m.SetEdns0(1232, false) }))
	add("qdcount-2-one", "QDCOUNT 2 with one question", count(4, 2, none))
	two := func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }
	add("qdcount-2", "two questions, the same", plain(two))
	add("qdcount-2-edns", "two questions and an OPT", plain(func(m *dns.Msg) { two(m); m.SetEdns0(1232, false) }))
	add("qdcount-2-other", "two different questions", plain(func(m *dns.Msg) { two(m); m.Question[1].Qtype = dns.TypeMX }))
	add("ancount-1-none", "ANCOUNT 1 without a record", count(6, 1, none))
	add("nscount-1-none", "NSCOUNT 1 without a record", count(8, 1, none))
	add("arcount-1-none", "ARCOUNT 1 without a record", count(10, 1, none))
	a := func() dns.RR {
		return &dns.A{Hdr: dns.RR_Header{Name: oddName, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: []byte{192, 0, 2, 1}}
	}
	add("answer-in-query", "a record in the answer section of a query", plain(func(m *dns.Msg) { m.Answer = []dns.RR{a()} }))
	add("authority-in-query", "a record in the authority section of a query", plain(func(m *dns.Msg) { m.Ns = []dns.RR{a()} }))
	add("additional-in-query", "a record in the additional section of a query", plain(func(m *dns.Msg) { m.Extra = []dns.RR{a()} }))
	// Flags.
	for bit, name := range map[int]string{7: "qr", 2: "aa", 1: "tc"} {
		b := plain(none)
		b[2] |= 1 << bit
		add("flag-"+name, "a query with "+name+" set", b)
	}
	for bit, name := range map[int]string{7: "ra", 6: "z", 5: "ad", 4: "cd"} {
		b := plain(none)
		b[3] |= 1 << bit
		add("flag-"+name, "a query with "+name+" set", b)
	}
	b := plain(none)
	b[3] |= 5
	add("rcode-5", "a query with response code 5", b)
	// Cut short, and too long.
	whole := plain(none)
	for _, n := range []int{1, 2, 11, 12, 13, 20, len(whole) - 4, len(whole) - 1} {
		add(fmt.Sprintf("cut-%d", n), fmt.Sprintf("the first %d of %d octets", n, len(whole)), whole[:n])
	}
	add("left-over", "an octet left over", append(slices.Clone(whole), 0))
	add("left-over-many", "100 octets left over", append(slices.Clone(whole), make([]byte, 100)...))
	// Names.
	raw := func(name ...byte) []byte {
		head := slices.Clone(whole[:12])
		return append(append(head, name...), 0, 1, 0, 1)
	}
	add("pointer-self", "the question's name is a pointer to itself", raw(0xc0, 12))
	add("pointer-header", "the question's name is a pointer into the header", raw(0xc0, 4))
	add("pointer-forward", "the question's name is a pointer past the end", raw(0xc0, 200))
	add("label-64", "a label type of 01", raw(append([]byte{0x40}, make([]byte, 65)...)...))
	add("label-128", "a label type of 10", raw(append([]byte{0x80}, make([]byte, 65)...)...))
	long := []byte{}
	for range 4 {
		long = append(append(long, 63), []byte(strings.Repeat("a", 63))...)
	}
	add("name-257", "a name of 257 octets", raw(append(long, 0)...))
	add("name-256", "a name of 256 octets", raw(append(append(long[:192:192], 62), append([]byte(strings.Repeat("a", 62)), 0)...)...))
	add("name-255", "a name of 255 octets", raw(append(append(long[:192:192], 61), append([]byte(strings.Repeat("a", 61)), 0)...)...))
	all = append(all, oddEDNS(plain)...)
	return append(all, oddTSIG(whole)...)
}

// oddTSIG are messages with a TSIG that no server has the key of, or that stands where
// none may (RFC 8945, section 5.1). plain is a query.
func oddTSIG(plain []byte) []*odd {
	var all []*odd
	record := func(owner string, rrtype, class uint16, ttl uint32, data []byte) []byte {
		b := append([]byte(owner), byte(rrtype>>8), byte(rrtype), byte(class>>8), byte(class))
		b = binary.BigEndian.AppendUint32(b, ttl)
		return append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	add := func(id, what string, at int, records ...[]byte) {
		b := slices.Clone(plain)
		b[at] = byte(len(records))
		for _, r := range records {
			b = append(b, r...)
		}
		all = append(all, &odd{id: id, what: what, message: b})
	}
	const answers, authority, additional = 7, 9, 11
	data := []byte("\x0bhmac-sha256\x00")
	data = append(data, 0, 0, 0x6b, 0, 0, 0, 1, 44, 0, 0, 0, 1, 0, 0, 0, 0)
	tsig := record("\x03key\x00", dns.TypeTSIG, dns.ClassANY, 0, data)
	opt := record("\x00", dns.TypeOPT, 1232, 0, nil)
	add("tsig", "a TSIG of an unknown key", additional, tsig)
	add("tsig", "an OPT and a TSIG of an unknown key", additional, opt, tsig)
	add("tsig-early", "a TSIG before an OPT", additional, tsig, opt)
	add("tsig-two", "two TSIG", additional, tsig, tsig)
	add("edns-tsig-two", "two TSIG and an OPT", additional, opt, tsig, tsig)
	add("tsig-class", "a TSIG of class IN", additional, record("\x03key\x00", dns.TypeTSIG, dns.ClassINET, 0, data))
	add("tsig-ttl", "a TSIG with a TTL", additional, record("\x03key\x00", dns.TypeTSIG, dns.ClassANY, 5, data))
	add("tsig-short", "a TSIG of one octet", additional, record("\x03key\x00", dns.TypeTSIG, dns.ClassANY, 0, []byte{0}))
	add("edns-tsig-short", "a TSIG of one octet, and an OPT", additional, opt, record("\x03key\x00", dns.TypeTSIG, dns.ClassANY, 0, []byte{0}))
	add("tsig-section", "a TSIG in the answer section", answers, tsig)
	add("tsig-section", "a TSIG in the authority section", authority, tsig)
	return all
}

// oddEDNS are the messages whose OPT record is odd (RFC 6891).
func oddEDNS(plain func(change func(m *dns.Msg)) []byte) []*odd {
	var all []*odd
	add := func(id, what string, message []byte) {
		all = append(all, &odd{id: id, what: what, message: message})
	}
	opt := func(change func(o *dns.OPT)) func(m *dns.Msg) {
		return func(m *dns.Msg) {
			m.SetEdns0(1232, false)
			change(m.IsEdns0())
		}
	}
	for _, version := range []uint8{1, 2, 100, 255} {
		add("edns-version", fmt.Sprintf("EDNS version %d", version), plain(opt(func(o *dns.OPT) { o.SetVersion(version) })))
		add("edns-version", fmt.Sprintf("EDNS version %d with an unknown option", version), plain(opt(func(o *dns.OPT) {
			o.SetVersion(version)
			o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1, 2}}}
		})))
		add("edns-version-nx", fmt.Sprintf("EDNS version %d, a name that is not served", version), plain(func(m *dns.Msg) {
			m.Question[0].Name = "elsewhere.example."
			opt(func(o *dns.OPT) { o.SetVersion(version) })(m)
		}))
	}
	for _, code := range []uint16{0, 4, 5, 7, 17, 99, 65001, 65535} {
		for _, n := range []int{0, 1, 100} {
			add(fmt.Sprintf("edns-option-%d", code), fmt.Sprintf("EDNS option %d of %d octets", code, n), plain(opt(func(o *dns.OPT) {
				o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: code, Data: make([]byte, n)}}
			})))
		}
	}
	for _, code := range []uint16{3, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20} {
		for _, n := range []int{0, 1, 2, 4, 8, 1000} {
			for _, name := range []string{oddName, oddZone, "elsewhere.example."} {
				add(fmt.Sprintf("edns-known-%d", code), fmt.Sprintf("EDNS option %d of %d octets, %s", code, n, name), plain(func(m *dns.Msg) {
					m.Question[0].Name = name
					if name == oddZone {
						m.Question[0].Qtype = dns.TypeSOA
					}
					opt(func(o *dns.OPT) { o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: code, Data: make([]byte, n)}} })(m)
				}))
			}
		}
	}
	for _, n := range []int{0, 1, 7, 8, 9, 15, 16, 24, 40, 41, 100} {
		cookie := &dns.EDNS0_LOCAL{Code: dns.EDNS0COOKIE, Data: make([]byte, n)}
		add("cookie-length", fmt.Sprintf("a COOKIE of %d octets", n), plain(opt(func(o *dns.OPT) { o.Option = []dns.EDNS0{cookie} })))
		add("cookie-twice", fmt.Sprintf("two COOKIE options of %d octets", n), plain(opt(func(o *dns.OPT) { o.Option = []dns.EDNS0{cookie, cookie} })))
		add("cookie-version", fmt.Sprintf("a COOKIE of %d octets, version 1", n), plain(opt(func(o *dns.OPT) { o.SetVersion(1); o.Option = []dns.EDNS0{cookie} })))
		add("cookie-ping", fmt.Sprintf("a COOKIE of %d octets without a question", n), plain(func(m *dns.Msg) {
			m.Question = nil
			opt(func(o *dns.OPT) { o.Option = []dns.EDNS0{cookie} })(m)
		}))
		add("opcode-2-cookie", fmt.Sprintf("a COOKIE of %d octets with opcode 2", n), plain(func(m *dns.Msg) {
			m.Opcode = dns.OpcodeStatus
			opt(func(o *dns.OPT) { o.Option = []dns.EDNS0{cookie} })(m)
		}))
	}
	many := make([]dns.EDNS0, 5000)
	for i := range many {
		many[i] = &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}}
	}
	add("edns-many", "5000 options", plain(opt(func(o *dns.OPT) { o.Option = many })))
	add("edns-class", "EDNS in class CHAOS", plain(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS; m.SetEdns0(1232, true) }))
	add("edns-dup-nsid", "NSID twice", plain(opt(func(o *dns.OPT) {
		o.Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: dns.EDNS0NSID}, &dns.EDNS0_NSID{Code: dns.EDNS0NSID}}
	})))
	add("edns-flags", "unknown EDNS flags", plain(opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0x7fff })))
	add("edns-flags-do", "all EDNS flags", plain(opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0xffff })))
	add("edns-rcode", "an extended response code in a query", plain(opt(func(o *dns.OPT) { o.Hdr.Ttl |= 0xff << 24 })))
	for _, size := range []uint16{0, 1, 511, 512, 65535} {
		add("edns-size", fmt.Sprintf("EDNS size %d", size), plain(opt(func(o *dns.OPT) { o.SetUDPSize(size) })))
	}
	add("edns-two", "two OPT records", plain(func(m *dns.Msg) { m.SetEdns0(1232, false); m.SetEdns0(1232, false) }))
	add("edns-owner", "an OPT that is not at the root", plain(opt(func(o *dns.OPT) { o.Hdr.Name = "a." })))
	one := plain(opt(func(*dns.OPT) {}))
	inAnswer := slices.Clone(one)
	inAnswer[7], inAnswer[11] = 1, 0
	add("edns-in-answer", "an OPT in the answer section", inAnswer)
	inAuthority := slices.Clone(one)
	inAuthority[9], inAuthority[11] = 1, 0
	add("edns-in-authority", "an OPT in the authority section", inAuthority)
	for _, tail := range [][]byte{{0}, {0, 1, 0}, {0, 1, 0, 9}, {0, 1, 0, 9, 1, 2}} {
		b := append(slices.Clone(one), tail...)
		b[len(one)-1] = byte(len(tail))
		add("edns-option-cut", fmt.Sprintf("EDNS options that end too early: %x", tail), b)
	}
	short := slices.Clone(one)
	short[len(short)-1] = 4
	add("edns-cut", "an OPT whose length is past the end", short)
	for _, data := range [][]byte{{}, {0, 1}, {0, 1, 24, 0}, {0, 1, 24, 0, 192, 0, 2, 1}, {0, 1, 24, 1, 192, 0, 2}, {0, 1, 23, 0, 192, 0, 3}, {0, 1, 33, 0, 192, 0, 2, 1, 0}, {0, 3, 8, 0, 1}, {0, 2, 129, 0}} {
		add("subnet-bad", fmt.Sprintf("a Client Subnet that is not well formed: %x", data), plain(opt(func(o *dns.OPT) {
			o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: data}}
		})))
	}
	for _, data := range [][]byte{{0, 1, 24, 0, 192, 0, 2}, {0, 1, 0, 0}, {0, 2, 56, 0, 32, 1, 13, 184, 0, 0, 0}, {0, 0, 0, 0}} {
		add("subnet-good", fmt.Sprintf("a Client Subnet: %x", data), plain(opt(func(o *dns.OPT) {
			o.Option = []dns.EDNS0{&dns.EDNS0_LOCAL{Code: dns.EDNS0SUBNET, Data: data}}
		})))
	}
	return all
}

// askOdd sends all odd messages over UDP and TCP and compares what comes, if
// anything does. Behind each goes a plain question: when that is answered and
// nothing else comes, nothing will.
func askOdd(t *testing.T, peers []*peer, zones []*zone, ta *tally) int {
	t.Helper()
	type task struct {
		odd *odd
		n   int
	}
	work := make(chan task)
	var wg sync.WaitGroup
	for range 2 * askers {
		wg.Go(func() {
			for w := range work {
				c := comparison{zones: zones, odd: w.odd, answers: make([]*answer, len(peers))}
				var each sync.WaitGroup
				for i, p := range peers {
					each.Go(func() {
						raw, err := sendOdd(p, w.odd, uint16(w.n))
						if err != nil {
							ta.fail(fmt.Sprintf("%s: %s: %v", w.odd.what, p.name, err))
						}
						c.answers[i] = take(raw, p.adorns)
					})
				}
				each.Wait()
				ta.compare(peers, c)
			}
		})
	}
	n := 0
	for _, o := range oddMessages() {
		for _, network := range []string{"udp", "tcp"} {
			one := *o
			one.network, one.message = network, slices.Clone(o.message)
			if len(one.message) >= 2 {
				binary.BigEndian.PutUint16(one.message, uint16(2*n))
			}
			work <- task{&one, n}
			n++
		}
	}
	close(work)
	wg.Wait()
	return n
}

// grace is how long an answer may come after that to a later question.
const grace = 60 * time.Millisecond

// sendOdd gives the answer to an odd message, nil when there is none.
func sendOdd(p *peer, o *odd, n uint16) ([]byte, error) {
	a, err := newAsker([]*peer{p})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	probe := (way{}).message(pair{name: oddZone, rr: dns.TypeSOA}, 2*n+1)
	if o.network == "udp" {
		return sendOddUDP(a, o.message, probe)
	}
	return sendOddTCP(p, o.message)
}

func sendOddUDP(a *asker, message, probe []byte) ([]byte, error) {
	c := a.udp[0]
	for range 3 {
		for _, m := range [][]byte{message, probe} {
			if _, err := c.Write(m); err != nil {
				return nil, err
			}
		}
		var got []byte
		probed := false
		_ = c.SetReadDeadline(time.Now().Add(patience))
		for got == nil || !probed {
			n, err := c.Read(a.buf)
			if err != nil {
				break
			}
			if n >= 2 && binary.BigEndian.Uint16(a.buf) == binary.BigEndian.Uint16(probe) {
				probed = true
				_ = c.SetReadDeadline(time.Now().Add(grace))
			} else {
				got = slices.Clone(a.buf[:n])
			}
		}
		if probed {
			return got, nil
		}
	}
	return nil, fmt.Errorf("does not answer a plain question after it")
}

// sendOddTCP sends it alone: what does not come within a while does not come,
// unless the server closes the connection, which says so at once.
func sendOddTCP(p *peer, message []byte) ([]byte, error) {
	a := &asker{peers: []*peer{p}}
	defer a.Close()
	return a.sendFramed(message)
}
