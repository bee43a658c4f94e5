package differential

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"

	"github.com/miekg/dns"
)

// pair is one question to one zone.
type pair struct {
	zone *zone
	name string // absolute, in the letters that it is asked with
	rr   uint16
}

// absent are types that a name is asked for whether it has them or not.
var absent = []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeMX, dns.TypeTXT, dns.TypeCNAME, dns.TypeDNAME, dns.TypeSOA, dns.TypeDS,
	dns.TypeANY, dns.TypeSRV, dns.TypeHTTPS, dns.TypePTR, 65280}

// pairsOf derives the questions of a zone: every name and type that it has, and
// beside, below and above each name what it has not. extra is how many absent
// types each of those names is asked for.
func pairsOf(z *zone, extra int) []pair {
	h := fnv.New64a()
	h.Write([]byte(z.origin))
	rng := rand.New(rand.NewPCG(h.Sum64(), 1))
	seen := map[string]bool{}
	var pairs []pair
	add := func(name string, qtype uint16) {
		id := fmt.Sprint(strings.ToLower(name), qtype)
		if _, ok := dns.IsDomainName(name); !ok || seen[id] || wireLen(name) > 255 {
			return
		}
		seen[id] = true
		pairs = append(pairs, pair{z, mixCase(rng, name), qtype})
	}
	some := func(name string, n int) {
		for range n {
			add(name, absent[rng.IntN(len(absent))])
		}
	}
	for _, name := range z.names() {
		for _, qtype := range z.types(name) {
			add(name, qtype)
		}
		some(name, extra)
		for _, label := range []string{"a", "*", "nx", "x.y"} {
			some(label+"."+name, 1)
		}
		if name == z.origin {
			continue
		}
		next, _ := dns.NextLabel(name, 0)
		up := name[next:]
		for _, label := range []string{"b", "zz"} {
			some(label+"."+up, 1)
		}
	}
	for _, rr := range z.records {
		if target, ok := targetOf(rr); ok {
			some(target, 1)
			some("a."+target, 1)
		}
	}
	for _, a := range z.asks {
		for _, qtype := range a.types {
			add(a.name, qtype)
		}
	}
	return pairs
}

// targetOf is the name that a record leads to.
func targetOf(rr dns.RR) (string, bool) {
	switch rr := rr.(type) {
	case *dns.CNAME:
		return rr.Target, true
	case *dns.DNAME:
		return rr.Target, true
	case *dns.NS:
		return rr.Ns, true
	case *dns.MX:
		return rr.Mx, true
	case *dns.SRV:
		return rr.Target, true
	case *dns.SVCB:
		return rr.Target, true
	case *dns.HTTPS:
		return rr.Target, true
	case *dns.AFSDB:
		return rr.Hostname, true
	case *dns.KX:
		return rr.Exchanger, true
	case *dns.RT:
		return rr.Host, true
	case *dns.MB:
		return rr.Mb, true
	}
	return "", false
}

func wireLen(name string) int {
	buf := make([]byte, 600)
	n, err := dns.PackDomainName(name, buf, 0, nil, false)
	if err != nil {
		return 1 << 20
	}
	return n
}

// mixCase writes some names in other letters, since names have no case (RFC 4343).
func mixCase(rng *rand.Rand, name string) string {
	switch rng.IntN(6) {
	case 0:
		return strings.ToUpper(name)
	case 1:
		b := []byte(name)
		for i, c := range b {
			if 'a' <= c && c <= 'z' && rng.IntN(2) == 0 {
				b[i] = c - 'a' + 'A'
			}
		}
		return string(b)
	}
	return name
}

// way is how a question is put.
type way struct {
	network    string // "udp", "tcp"
	edns       uint16 // size that is offered; 0: no EDNS
	do         bool
	rd, cd, ad bool
}

// waysOf gives the ways in which the n-th question is put. Flags and sizes go
// round, so that each comes with many questions.
func waysOf(n int) []way {
	sizes := []uint16{1232, 512, 4096, 0, 700, 65535}
	ways := []way{
		{network: "tcp", rd: n%2 == 0},
		{network: "udp", rd: n%3 == 0, ad: n%5 == 1},
		{network: "udp", edns: 1232, do: n%2 == 1, cd: n%7 == 3},
	}
	if size := sizes[n%len(sizes)]; size != 0 && size != 1232 {
		ways = append(ways, way{network: "udp", edns: size, do: n%4 < 2, ad: n%3 == 2})
	} else if n%2 == 1 {
		ways = append(ways, way{network: "tcp", edns: 1232, do: true, rd: true})
	}
	return ways
}

// message makes the query.
func (w way) message(p pair, id uint16) []byte {
	m := &dns.Msg{Question: []dns.Question{{Name: p.name, Qtype: p.rr, Qclass: dns.ClassINET}}}
	m.Id, m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = id, w.rd, w.cd, w.ad
	if w.edns != 0 {
		m.SetEdns0(w.edns, w.do)
	}
	packed, err := m.Pack()
	if err != nil {
		panic(fmt.Sprintf("question %v cannot be packed: %v", p, err)) // pairsOf checks the name
	}
	return packed
}

// dig is the question as a command for people.
func (w way) dig(p pair, address string) string {
	host, port, _ := strings.Cut(address, ":")
	words := []string{"dig", "@" + host, "-p", port, "+qr", "+noednsnegotiation", "+ignore"}
	flag := func(on bool, name string) {
		if !on {
			name = "no" + name
		}
		words = append(words, "+"+name)
	}
	flag(w.rd, "rec")
	flag(w.cd, "cd")
	flag(w.ad, "ad")
	flag(w.network == "tcp", "tcp")
	if w.edns == 0 {
		words = append(words, "+noedns")
	} else {
		words = append(words, "+nocookie", fmt.Sprintf("+bufsize=%d", w.edns))
		flag(w.do, "dnssec")
	}
	name := p.name
	if strings.ContainsAny(name, `\;"'$()& `) {
		name = "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
	}
	return strings.Join(append(words, name, dns.Type(p.rr).String()), " ")
}
