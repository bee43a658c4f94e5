package differential

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// The parts of an answer, in the order in which they are compared.
var parts = []string{"response", "rcode", "header", "question", "tc", "answer", "order", "authority", "additional", "opt", "options"}

// answer is what one server sent, taken apart.
type answer struct {
	raw   []byte
	msg   *dns.Msg // nil: none came, or it cannot be parsed
	parts map[string]string
}

// take takes an answer apart. raw nil means that none came. adorned tells that
// the server adds its own NS records where nobody needs them.
func take(raw []byte, adorned bool) *answer {
	a := &answer{raw: raw, parts: map[string]string{}}
	if raw == nil {
		a.parts["response"] = "none"
		return a
	}
	m := new(dns.Msg)
	if err := m.Unpack(raw); err != nil {
		a.parts["response"] = "cannot be parsed: " + err.Error() + ": " + hex.EncodeToString(raw)
		return a
	}
	if adorned {
		undress(m)
	}
	a.msg = m
	a.parts["response"] = "one"
	a.parts["rcode"] = rcodeName(m)
	a.parts["header"] = fmt.Sprintf("id %d, %s", m.Id, header(m))
	a.parts["question"] = fmt.Sprint(m.Question)
	a.parts["tc"] = fmt.Sprint(m.Truncated)
	if !m.Truncated {
		a.parts["answer"] = section(m.Answer)
		a.parts["order"] = order(m)
		a.parts["authority"] = section(m.Ns)
		a.parts["additional"] = section(m.Extra)
	}
	a.parts["opt"], a.parts["options"] = options(m)
	return a
}

func rcodeName(m *dns.Msg) string {
	rcode := m.Rcode
	if o := m.IsEdns0(); o != nil && rcode < 16 {
		rcode |= int(o.Hdr.Ttl>>24) << 4
	}
	if name, ok := dns.RcodeToString[rcode]; ok && rcode != dns.RcodeBadVers {
		return name
	}
	return fmt.Sprintf("RCODE%d", rcode)
}

// header is the flags but TC, as dig writes them.
func header(m *dns.Msg) string {
	words := []string{fmt.Sprintf("opcode %d", m.Opcode)}
	for _, f := range []struct {
		on   bool
		name string
	}{{m.Response, "qr"}, {m.Authoritative, "aa"}, {m.RecursionDesired, "rd"}, {m.RecursionAvailable, "ra"}, {m.Zero, "z"}, {m.AuthenticatedData, "ad"}, {m.CheckingDisabled, "cd"}} {
		if f.on {
			words = append(words, f.name)
		}
	}
	return strings.Join(words, " ")
}

// section is the records as a set; one that comes twice stands there twice.
func section(records []dns.RR) string {
	var lines []string
	for _, rr := range records {
		if rr.Header().Rrtype != dns.TypeOPT {
			lines = append(lines, canonical(rr))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// namesInData are the types whose data is compared without regard to letter
// case, since it holds names and no text whose case counts.
var namesInData = []uint16{dns.TypeNS, dns.TypeCNAME, dns.TypeDNAME, dns.TypePTR, dns.TypeMX, dns.TypeSRV, dns.TypeSOA, dns.TypeRP, dns.TypeAFSDB, dns.TypeKX,
	dns.TypeRT, dns.TypeMINFO, dns.TypeMB, dns.TypeMG, dns.TypeMR, dns.TypePX, dns.TypeNSEC, dns.TypeLP, dns.TypeTALINK, dns.TypeMD, dns.TypeMF}

// canonical writes a record with its names in lower case.
func canonical(rr dns.RR) string {
	h := *rr.Header()
	h.Name = strings.ToLower(h.Name)
	data := strings.TrimPrefix(rr.String(), rr.Header().String())
	if slices.Contains(namesInData, h.Rrtype) {
		data = strings.ToLower(data)
	}
	return strings.ReplaceAll(h.String()+data, "\t", " ")
}

// order tells whether the answer follows the chain of aliases from the question
// on, as resolvers expect that read it once (RFC 1034, section 4.3.2).
func order(m *dns.Msg) string {
	if len(m.Question) != 1 {
		return ""
	}
	at := m.Question[0].Name
	for _, rr := range m.Answer {
		h := rr.Header()
		c, alias := rr.(*dns.CNAME)
		switch {
		case h.Rrtype == dns.TypeRRSIG:
			continue // with what it signs
		case h.Rrtype == dns.TypeDNAME && !strings.EqualFold(h.Name, at):
			continue // before the CNAME that it implies
		case !strings.EqualFold(h.Name, at):
			return fmt.Sprintf("%s %s where the chain is at %s", h.Name, dns.Type(h.Rrtype), at)
		case alias:
			at = c.Target
		}
	}
	return "along the chain"
}

func options(m *dns.Msg) (opt, codes string) {
	n := 0
	for _, rr := range m.Extra {
		o, ok := rr.(*dns.OPT)
		if !ok {
			continue
		}
		n++
		opt = fmt.Sprintf("version %d, DO %v, size %d, flags %x", o.Version(), o.Do(), o.UDPSize(), o.Hdr.Ttl&0x7fff)
		var list []string
		for _, option := range o.Option {
			list = append(list, fmt.Sprint(option.Option()))
		}
		codes = strings.Join(list, " ")
	}
	if n != 1 {
		opt = fmt.Sprintf("%d OPT records", n)
	}
	return opt, codes
}

// short is the answer in a few lines, for people.
func (a *answer) short() string {
	if a.msg == nil {
		return a.parts["response"]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, tc %s, %d octets, %s", a.parts["rcode"], header(a.msg), a.parts["tc"], len(a.raw), a.parts["opt"])
	for _, s := range []struct {
		name    string
		records []dns.RR
	}{{"answer", a.msg.Answer}, {"authority", a.msg.Ns}, {"additional", a.msg.Extra}} {
		for i, rr := range s.records {
			switch {
			case rr.Header().Rrtype == dns.TypeOPT:
			case i < 6:
				fmt.Fprintf(&b, "\n      %s: %.120s", s.name, canonical(rr))
			case i == 6:
				fmt.Fprintf(&b, "\n      %s: … %d in all", s.name, len(s.records))
			}
		}
	}
	return b.String()
}

// undress takes the zone's own NS records, and their addresses, out of a
// positive answer. RFC 1034, section 4.3.2, lets a server add them; NSD alone does.
func undress(m *dns.Msg) {
	if !m.Authoritative || m.Rcode != dns.RcodeSuccess || len(m.Answer) == 0 {
		return
	}
	keep := map[string]bool{}
	for _, rr := range m.Answer {
		if target, ok := targetOf(rr); ok {
			keep[strings.ToLower(target)] = true
		}
	}
	drop := map[string]bool{}
	for _, rr := range m.Ns {
		ns, ok := rr.(*dns.NS)
		if !ok || !dns.IsSubDomain(ns.Hdr.Name, m.Answer[len(m.Answer)-1].Header().Name) {
			return
		}
		drop[strings.ToLower(ns.Ns)] = true
	}
	m.Ns = nil
	m.Extra = slices.DeleteFunc(m.Extra, func(rr dns.RR) bool {
		name := strings.ToLower(rr.Header().Name)
		return drop[name] && !keep[name]
	})
}
