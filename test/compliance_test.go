package test

import (
	octets "encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// Header bits of a query (RFC 1035, section 4.1.1), and DO (RFC 3225).
const (
	aa, tc, rd, ra, zbit, ad, cd = 1 << 10, 1 << 9, 1 << 8, 1 << 7, 1 << 6, 1 << 5, 1 << 4
	do                           = 0x8000
)

// compliance are the queries by which the Internet Systems Consortium tests the
// servers of the world (DNS Compliance Testing, genreport; the method is that of
// RFC 8906, section 8), under its names for them.
var compliance = []complianceQuery{
	{name: "dns", qtype: dns.TypeSOA},
	{name: "aa", qtype: dns.TypeSOA, bits: aa},
	{name: "ad", qtype: dns.TypeSOA, bits: ad},
	{name: "cd", qtype: dns.TypeSOA, bits: cd},
	{name: "ra", qtype: dns.TypeSOA, bits: ra},
	{name: "rd", qtype: dns.TypeSOA, bits: rd},
	{name: "tc", qtype: dns.TypeSOA, bits: tc},
	{name: "zflag", qtype: dns.TypeSOA, bits: zbit},
	{name: "opcode", opcode: 15},
	{name: "opcodeflg", opcode: 15, bits: aa | tc | rd | ra | zbit | ad | cd},
	{name: "type666", qtype: 666},
	{name: "tcp", qtype: dns.TypeSOA, tcp: true},

	{name: "edns", qtype: dns.TypeSOA, size: 4096},
	{name: "edns1", qtype: dns.TypeSOA, size: 4096, version: 1},
	{name: "edns@512", qtype: dns.TypeDNSKEY, size: 512, eflags: do, cut: true},
	{name: "ednsopt", qtype: dns.TypeSOA, size: 4096, options: "\x00\x64\x00\x00"},
	{name: "edns1opt", qtype: dns.TypeSOA, size: 4096, version: 1, options: "\x00\x64\x00\x00"},
	{name: "do", qtype: dns.TypeSOA, size: 4096, eflags: do},
	{name: "docd", qtype: dns.TypeSOA, size: 4096, eflags: do, bits: cd},
	{name: "edns1do", qtype: dns.TypeSOA, size: 4096, version: 1, eflags: do},
	{name: "ednsflags", qtype: dns.TypeSOA, size: 4096, eflags: 0x0080},
	{name: "optlist", qtype: dns.TypeSOA, size: 4096, options: nsidOption + ecsOption + expireOption + clientCookie, want: "nsid ecs expire cookie"},
	{name: "ednsnsid", qtype: dns.TypeSOA, size: 4096, options: nsidOption, want: "nsid"},
	{name: "ednscookie", qtype: dns.TypeSOA, size: 4096, options: clientCookie, want: "cookie"},
	{name: "ednsexpire", qtype: dns.TypeSOA, size: 4096, options: expireOption, want: "expire"},
	{name: "ednssubnet", qtype: dns.TypeSOA, size: 4096, options: ecsOption, want: "ecs"},
	{name: "edns1nsid", qtype: dns.TypeSOA, size: 4096, version: 1, options: nsidOption},
	{name: "edns1cookie", qtype: dns.TypeSOA, size: 4096, version: 1, options: clientCookie},
	{name: "edns1expire", qtype: dns.TypeSOA, size: 4096, version: 1, options: expireOption},
	{name: "edns1subnet", qtype: dns.TypeSOA, size: 4096, version: 1, options: ecsOption},
	{name: "edns512tcp", qtype: dns.TypeDNSKEY, size: 512, eflags: do, tcp: true},
	{name: "docookie", qtype: dns.TypeSOA, size: 4096, eflags: do, options: clientCookie, want: "cookie"},
	{name: "dig11", qtype: dns.TypeSOA, size: 4096, options: clientCookie, bits: rd | ad, want: "cookie"},
}

const (
	nsidOption   = "\x00\x03\x00\x00"
	ecsOption    = "\x00\x08\x00\x04\x00\x01\x00\x00"
	expireOption = "\x00\x09\x00\x00"
	clientCookie = "\x00\x0a\x00\x08\x01\x02\x03\x04\x05\x06\x07\x08"
)

type complianceQuery struct {
	name    string
	qtype   uint16
	bits    uint16 // of the header
	opcode  uint16 // other than QUERY: a header is all there is
	size    uint16 // 0: without EDNS
	version uint8
	eflags  uint16
	options string
	tcp     bool
	cut     bool   // TC is not followed
	want    string // the options of the answer that a full server has
}

// pack makes the query for a zone's apex.
func (q complianceQuery) pack(zone string) []byte {
	b := octets.BigEndian.AppendUint16(nil, 0x4711)
	b = octets.BigEndian.AppendUint16(b, q.opcode<<11|q.bits)
	if q.opcode != dns.OpcodeQuery {
		return append(b, make([]byte, 8)...)
	}
	b = append(b, 0, 1, 0, 0, 0, 0, 0, 0)
	for _, label := range dns.SplitDomainName(zone) {
		b = append(append(b, byte(len(label))), label...)
	}
	b = append(b, 0)
	b = octets.BigEndian.AppendUint16(b, q.qtype)
	b = octets.BigEndian.AppendUint16(b, dns.ClassINET)
	if q.size > 0 {
		b[11] = 1
		b = append(b, 0, 0, byte(dns.TypeOPT))
		b = octets.BigEndian.AppendUint16(b, q.size)
		b = append(b, 0, q.version)
		b = octets.BigEndian.AppendUint16(b, q.eflags)
		b = octets.BigEndian.AppendUint16(b, uint16(len(q.options)))
		b = append(b, q.options...)
	}
	return b
}

// judge gives the faults of an answer, by the words of genreport; none is "ok".
func (q complianceQuery) judge(answer []byte) (faults []string) {
	fault := func(is bool, word string) {
		if is {
			faults = append(faults, word)
		}
	}
	m := new(dns.Msg)
	if err := m.Unpack(answer); err != nil || len(answer) < 12 {
		return []string{"malformed"}
	}
	flags := octets.BigEndian.Uint16(answer[2:])
	opt, plain := m.IsEdns0(), q.opcode == dns.OpcodeQuery
	rcode := int(flags & 0xf)
	if opt != nil {
		rcode |= int(opt.Hdr.Ttl>>24) << 4
	}
	fault(octets.BigEndian.Uint16(answer) != 0x4711 || flags>>15 == 0, "not-an-answer")
	fault(flags>>11&0xf != q.opcode, "opcode")
	switch {
	case !plain:
		fault(rcode != dns.RcodeNotImplemented, "not-notimp")
		fault(len(m.Question) > 0, "non-empty-question-section")
		fault(len(m.Answer) > 0, "non-empty-answer-section")
		fault(len(m.Ns) > 0, "non-empty-authority-section")
		fault(len(m.Extra) > 0, "non-empty-additional-section")
	case q.version > 0:
		fault(rcode != dns.RcodeBadVers, "not-badvers")
	default:
		fault(rcode != dns.RcodeSuccess, "not-noerror")
		fault(flags&aa == 0, "noaa")
	}
	soa := slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeSOA })
	if q.qtype == dns.TypeSOA {
		fault(q.version == 0 && !soa, "nosoa")
		fault(q.version > 0 && soa, "soa")
	}
	fault(opt == nil && q.size > 0, "noopt")
	fault(opt != nil && q.size == 0, "opt")
	fault(flags&aa > 0 && !plain, "aa")
	fault(flags&tc > 0 && !q.cut, "tc")
	fault(flags&rd > 0 && (!plain || q.bits&rd == 0), "rd")
	fault(flags&rd == 0 && plain && q.bits&rd > 0, "nord")
	fault(flags&ra > 0, "ra")
	fault(flags&zbit > 0, "z")
	fault(flags&ad > 0 && (!plain || q.bits&ad == 0 && q.eflags&do == 0), "ad")
	fault(flags&cd > 0 && (!plain || q.bits&cd == 0), "cd")
	fault(q.cut && len(answer) > max(512, int(q.size)), "toobig")
	if opt != nil {
		fault(opt.Version() != 0, "version-not-zero")
		fault(opt.Hdr.Ttl&0x7fff != 0, "mbz")
		fault(q.eflags&do > 0 && opt.Hdr.Ttl&do == 0, "nodo")
		faults = append(faults, q.judgeOptions(opt)...)
	}
	return faults
}

// judgeOptions sees that the options are there that a full server has, and none
// that was not asked for.
func (q complianceQuery) judgeOptions(opt *dns.OPT) (faults []string) {
	var got []string
	for _, o := range opt.Option {
		switch o := o.(type) {
		case *dns.EDNS0_NSID:
			if o.Nsid != "" {
				got = append(got, "nsid")
			}
		case *dns.EDNS0_SUBNET:
			got = append(got, "ecs")
		case *dns.EDNS0_EXPIRE:
			if !o.Empty {
				got = append(got, "expire")
			}
		case *dns.EDNS0_COOKIE:
			if len(o.Cookie) >= 32 && len(o.Cookie) <= 80 && strings.HasPrefix(o.Cookie, "0102030405060708") {
				got = append(got, "cookie")
			}
		default:
			if o.Option() == 100 {
				faults = append(faults, "echoed")
			}
		}
	}
	want := strings.Fields(q.want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		faults = append(faults, fmt.Sprintf("options: %v, want %v", got, want))
	}
	return faults
}

// exchangeRaw sends octets and gives those that come back.
func exchangeRaw(t testing.TB, network, server string, query []byte) []byte {
	t.Helper()
	c, err := net.Dial(network, server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if network == "tcp" {
		query = append(octets.BigEndian.AppendUint16(nil, uint16(len(query))), query...)
	}
	if _, err := c.Write(query); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65535)
	if network == "tcp" {
		if _, err := io.ReadFull(c, buf[:2]); err != nil {
			t.Fatal(err)
		}
		n := octets.BigEndian.Uint16(buf)
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			t.Fatal(err)
		}
		return buf[:n]
	}
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// TestCompliance: the compliance checks of the Internet Systems Consortium are all
// "ok", with every option that they look for; over TCP too.
func TestCompliance(t *testing.T) {
	t.Parallel()
	tp := newTopology(t)
	tp.keys = "identity = \"ns1.test\"\n"
	tp.startPlainSites()
	n := tp.startDNSNode()
	for _, q := range compliance {
		for _, network := range []string{"udp", "tcp"} {
			if q.tcp && network == "udp" {
				continue
			}
			t.Run(q.name+"/"+network, func(t *testing.T) {
				answer := exchangeRaw(t, network, n.dns, q.pack("abc.com."))
				if faults := q.judge(answer); len(faults) > 0 {
					t.Errorf("%v: %x", faults, answer)
				}
			})
		}
	}
}

// TestComplianceJudge: the judge finds what a server can do wrong.
func TestComplianceJudge(t *testing.T) {
	good := func(q complianceQuery, change func(m *dns.Msg)) []byte {
		m := new(dns.Msg)
		if err := m.Unpack(q.pack("abc.com.")); err != nil {
			t.Fatal(err)
		}
		m.Response, m.Authoritative = true, true
		soa, _ := dns.NewRR("abc.com. 60 IN SOA ns1 hostmaster 1 2 3 4 5")
		m.Answer = append(m.Answer, soa)
		change(m)
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := complianceQuery{qtype: dns.TypeSOA}
	edns := complianceQuery{qtype: dns.TypeSOA, size: 4096}
	for _, c := range []struct {
		q      complianceQuery
		change func(m *dns.Msg)
		want   string
	}{
		{plain, func(m *dns.Msg) {}, ""},
		{edns, func(m *dns.Msg) {}, ""},
		{plain, func(m *dns.Msg) { m.Authoritative = false }, "noaa"},
		{plain, func(m *dns.Msg) { m.Answer = nil }, "nosoa"},
		{plain, func(m *dns.Msg) { m.RecursionAvailable = true }, "ra"},
		{plain, func(m *dns.Msg) { m.RecursionDesired = true }, "rd"},
		{plain, func(m *dns.Msg) { m.Zero = true }, "z"},
		{plain, func(m *dns.Msg) { m.AuthenticatedData = true }, "ad"},
		{plain, func(m *dns.Msg) { m.CheckingDisabled = true }, "cd"},
		{plain, func(m *dns.Msg) { m.Rcode = dns.RcodeRefused }, "not-noerror"},
		{plain, func(m *dns.Msg) { m.SetEdns0(512, false) }, "opt"},
		{edns, func(m *dns.Msg) { m.Extra = nil }, "noopt"},
		{edns, func(m *dns.Msg) { m.IsEdns0().Hdr.Ttl |= 0x80 }, "mbz"},
		{edns, func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }, "version-not-zero"},
		{edns, func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_LOCAL{Code: 100})
		}, "echoed"},
		{edns, func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: "00"})
		}, "options: [nsid], want []"},
		{complianceQuery{qtype: dns.TypeSOA, size: 4096, version: 1}, func(m *dns.Msg) { m.IsEdns0().SetVersion(0) }, "not-badvers soa"},
		{complianceQuery{qtype: dns.TypeSOA, size: 4096, eflags: do}, func(m *dns.Msg) { m.IsEdns0().SetDo(false) }, "nodo"},
		{complianceQuery{qtype: dns.TypeSOA, bits: rd}, func(m *dns.Msg) { m.RecursionDesired = false }, "nord"},
	} {
		if got := strings.Join(c.q.judge(good(c.q, c.change)), " "); got != c.want {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	if got := plain.judge([]byte("short")); len(got) != 1 || got[0] != "malformed" {
		t.Errorf("of five octets: %v", got)
	}
}
