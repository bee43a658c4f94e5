package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsProber is healthy when a query (RFC 1035) is answered with the wanted rcode
// and, where some are wanted, with these data.
type dnsProber struct {
	place
	transport string
	question  dnsmessage.Question
	rcode     dnsmessage.RCode
	answer    []string
}

func newDNS(c Config, _ Target, address string, _ *means) (Prober, error) {
	name, err := dnsmessage.NewName(absolute(c.Query))
	if err != nil {
		return nil, err
	}
	kind, _ := queryType(c.QueryType)
	rcode, _ := rcodeOf(c.Rcode)
	return &dnsProber{
		place: placeOf(c, address), transport: c.Transport, rcode: rcode, answer: c.Answer,
		question: dnsmessage.Question{Name: name, Type: kind, Class: dnsmessage.ClassINET},
	}, nil
}

func (p *dnsProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	query := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{p.question},
	}
	packed, err := query.Pack()
	if err != nil {
		return Seen{}, fmt.Errorf("query: %w", err)
	}
	if err := a.connect(p.transport); err != nil {
		return Seen{}, err
	}
	if p.transport == "tcp" { // RFC 1035 section 4.2.2
		packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	}
	a.phase = sending
	if _, err := a.conn.Write(packed); err != nil {
		return Seen{}, a.fault(err)
	}
	a.phase = listening
	reply, err := p.receive(a, query.ID)
	if err != nil {
		return Seen{}, err
	}
	if err := p.judge(reply); err != nil {
		return Seen{}, fmt.Errorf("answer from %s: %w", a.address, err)
	}
	return Seen{}, nil
}

// receive reads until the reply to the query is there. Over UDP others may come
// before it: from an address like the target's anybody can send.
func (p *dnsProber) receive(a *attempt, id uint16) (*reply, error) {
	message := make([]byte, 64<<10)
	for range maxDatagrams {
		var n int
		var err error
		if p.transport == "tcp" {
			n, err = readPrefixed(a.conn, message)
		} else {
			n, err = a.conn.Read(message)
		}
		if err != nil {
			return nil, a.fault(err)
		}
		r, err := parseReply(message[:n], id, p.question)
		if err == nil {
			return r, nil
		}
		if p.transport == "tcp" {
			return nil, fmt.Errorf("answer from %s: %w", a.address, err)
		}
	}
	return nil, fmt.Errorf("answer from %s: none of %d datagrams answers the query", a.address, maxDatagrams)
}

func readPrefixed(r io.Reader, message []byte) (int, error) {
	var prefix [2]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return 0, err
	}
	n := int(binary.BigEndian.Uint16(prefix[:]))
	return io.ReadFull(r, message[:n])
}

// reply is what a probe looks at in a response.
type reply struct {
	rcode     dnsmessage.RCode
	truncated bool
	data      []string // of the answer section, in presentation format
}

// parseReply reads a response, which may be anything, to the query id for q.
func parseReply(message []byte, id uint16, q dnsmessage.Question) (*reply, error) {
	var p dnsmessage.Parser
	h, err := p.Start(message)
	switch {
	case err != nil:
		return nil, err
	case !h.Response || h.ID != id:
		return nil, errors.New("is not the response to the query")
	}
	questions, err := p.AllQuestions()
	if err != nil {
		return nil, err
	}
	if len(questions) == 1 && (questions[0].Type != q.Type || !strings.EqualFold(questions[0].Name.String(), q.Name.String())) || len(questions) > 1 {
		return nil, errors.New("is the response to another question")
	}
	r := &reply{rcode: h.RCode, truncated: h.Truncated}
	for {
		resource, err := p.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return r, nil
		}
		if err != nil {
			if r.truncated {
				return r, nil
			}
			return nil, err
		}
		if text := dataText(resource.Body); text != "" {
			r.data = append(r.data, text)
		}
	}
}

// dataText is a record's data in presentation format; "" of types that it does not know.
func dataText(body dnsmessage.ResourceBody) string {
	switch d := body.(type) {
	case *dnsmessage.AResource:
		return fmt.Sprintf("%d.%d.%d.%d", d.A[0], d.A[1], d.A[2], d.A[3])
	case *dnsmessage.AAAAResource:
		return addrText(d.AAAA)
	case *dnsmessage.CNAMEResource:
		return d.CNAME.String()
	case *dnsmessage.NSResource:
		return d.NS.String()
	case *dnsmessage.PTRResource:
		return d.PTR.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", d.Pref, d.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", d.Priority, d.Weight, d.Port, d.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(d.TXT, "")
	case *dnsmessage.SOAResource:
		return fmt.Sprintf("%s %s %d %d %d %d %d", d.NS, d.MBox, d.Serial, d.Refresh, d.Retry, d.Expire, d.MinTTL)
	}
	return ""
}

func (p *dnsProber) judge(r *reply) error {
	if r.rcode != p.rcode {
		return fmt.Errorf("rcode %s, want %s", rcodeText(r.rcode), rcodeText(p.rcode))
	}
	for _, want := range p.answer {
		if slices.ContainsFunc(r.data, func(got string) bool { return sameData(got, want) }) {
			continue
		}
		if r.truncated {
			return fmt.Errorf(`is truncated before %q; set transport = "tcp"`, want)
		}
		return fmt.Errorf("has no %q, but %s", want, excerpt([]byte(strings.Join(r.data, ", "))))
	}
	return nil
}

// sameData compares data in presentation format: case does not count, nor the
// last dot, nor how an IPv6 address is written.
func sameData(got, want string) bool {
	norm := func(s string) string {
		if a, ok := parseAddr(s); ok {
			return a
		}
		return strings.TrimSuffix(strings.ToLower(s), ".")
	}
	return norm(got) == norm(want)
}

var queryTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS,
	"PTR": dnsmessage.TypePTR, "SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
}

// queryType reads a type's mnemonic, or TYPE65 (RFC 3597 section 5).
func queryType(s string) (dnsmessage.Type, bool) {
	if t, ok := queryTypes[strings.ToUpper(s)]; ok {
		return t, true
	}
	digits, ok := strings.CutPrefix(strings.ToUpper(s), "TYPE")
	n, err := strconv.ParseUint(digits, 10, 16)
	return dnsmessage.Type(n), ok && err == nil && n > 0
}

// rcodes are those that a server answers with (RFC 1035 section 4.1.1, RFC 2136), by number.
var rcodes = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

func rcodeOf(s string) (dnsmessage.RCode, bool) {
	i := slices.Index(rcodes, strings.ToUpper(s))
	return dnsmessage.RCode(max(i, 0)), i >= 0
}

func rcodeText(r dnsmessage.RCode) string {
	if int(r) < len(rcodes) {
		return rcodes[r]
	}
	return fmt.Sprintf("RCODE%d", r)
}

func absolute(name string) string { return strings.TrimSuffix(name, ".") + "." }

func (c Config) validateDNS(bad func(key, msg string)) {
	if c.Query == "" {
		bad("query", `is not set: must be the name to ask for, such as "www.abc.com."`)
	} else if err := checkQuery(c.Query); err != nil {
		bad("query", fmt.Sprintf("%q: must be a domain name: %v", c.Query, err))
	}
	if _, ok := queryType(c.QueryType); !ok {
		bad("query_type", fmt.Sprintf(`%q: must be A, AAAA, CNAME, MX, NS, PTR, SOA, SRV or TXT, or another as "TYPE65"`, c.QueryType))
	}
	if c.Transport != "udp" && c.Transport != "tcp" {
		bad("transport", fmt.Sprintf(`%q: must be "udp" or "tcp"`, c.Transport))
	}
	if _, ok := rcodeOf(c.Rcode); !ok {
		bad("rcode", fmt.Sprintf("%q: must be one of %s", c.Rcode, strings.Join(rcodes, ", ")))
	}
	for i, want := range c.Answer {
		if msg := answerFault(c.QueryType, want); msg != "" {
			bad(fmt.Sprintf("answer[%d]", i), fmt.Sprintf("%q: %s", want, msg))
		}
	}
}

// answerFault tells of data that no answer can have. An answer to A or AAAA may have
// names too, of aliases on the way.
func answerFault(kind, want string) string {
	a, err := netip.ParseAddr(want)
	digits := strings.Trim(want, "0123456789.") == ""
	switch kind = strings.ToUpper(kind); {
	case want == "":
		return "must be the data of a record"
	case kind == "A" && (err == nil && !a.Is4() || err != nil && digits):
		return "can be in no answer: must be an IPv4 address"
	case kind == "AAAA" && (err == nil && !a.Is6() || err != nil && (digits || strings.Contains(want, ":"))):
		return "can be in no answer: must be an IPv6 address"
	}
	return ""
}

// checkQuery tells whether a name can be put into a question.
func checkQuery(s string) error {
	name, err := dnsmessage.NewName(absolute(s))
	if err != nil {
		return err
	}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	_, err = m.Pack()
	return err
}
