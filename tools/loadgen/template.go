package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"

	"github.com/miekg/dns"
)

const (
	randomNX    = "random-nx"
	headerSize  = 12
	maxQuery    = 512                                // of a query in wire form: header, a name of 255 octets, OPT with ECS
	labelDigits = "0123456789abcdefghijklmnopqrstuv" // base 32: five bits for each character of a random label
	labelSize   = 12
)

// template is one question in wire form, ready but for what differs from query
// to query: the id, a random first label, a random client subnet.
type template struct {
	wire        []byte
	questionEnd int            // offset behind the question section
	label       int            // offset of the random label's first character; 0: none
	subnet      int            // offset of the random subnet's first octet; 0: none
	subnetSize  int            // octets of it that are random
	subnets     []netip.Prefix // to choose from; nil: at random
	rcode       uint8          // to expect
}

// templates prepares the questions that o asks for.
func templates(o *options) ([]template, error) {
	switch o.Names {
	case "", randomNX:
		t, err := newTemplate(o, o.Name, o.Type)
		return []template{t}, err
	}
	f, err := os.Open(o.Names)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTemplates(o, f, o.Names)
}

// readTemplates reads "name type rcode" lines; "#" and ";" start a comment line, the
// type and the rcode default to those of o. Errors of all lines come at once.
func readTemplates(o *options, r io.Reader, file string) ([]template, error) {
	var all []template
	var errs []error
	scanner := bufio.NewScanner(r)
	for line := 1; scanner.Scan(); line++ {
		fields := strings.Fields(scanner.Text())
		if len(fields) == 0 || strings.ContainsAny(fields[0][:1], "#;") {
			continue
		}
		qtype := o.Type
		if len(fields) > 1 {
			var ok bool
			if qtype, ok = parseType(fields[1]); !ok {
				errs = append(errs, fmt.Errorf("%s:%d: %q is not a record type", file, line, fields[1]))
				continue
			}
		}
		rcode := o.Rcode
		if len(fields) > 2 {
			var ok bool
			if rcode, ok = parseRcode(fields[2]); !ok {
				errs = append(errs, fmt.Errorf("%s:%d: %q is not an rcode such as NOERROR or NXDOMAIN", file, line, fields[2]))
				continue
			}
		}
		t, err := newTemplate(o, fields[0], qtype)
		t.rcode = uint8(rcode)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", file, line, err))
			continue
		}
		all = append(all, t)
	}
	if err := scanner.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", file, err))
	}
	if len(all) == 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%s: holds no names", file))
	}
	return all, errors.Join(errs...)
}

func newTemplate(o *options, name string, qtype uint16) (template, error) {
	name = dns.Fqdn(name)
	t := template{rcode: uint8(o.Rcode)}
	if o.Names == randomNX {
		name = strings.Repeat("0", labelSize) + "." + name
		t.label = headerSize + 1
	}
	if _, ok := dns.IsDomainName(name); !ok {
		return t, fmt.Errorf("%q: not a domain name", name)
	}
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.RecursionDesired = false
	if opt := o.opt(); opt != nil {
		m.Extra = []dns.RR{opt}
	}
	wire, err := m.Pack()
	if err != nil {
		return t, fmt.Errorf("%q: %w", name, err)
	}
	if len(wire) > maxQuery {
		return t, fmt.Errorf("%q: query of %d octets, at most %d are sent", name, len(wire), maxQuery)
	}
	t.wire = wire
	t.questionEnd = headerSize + questionSize(wire[headerSize:])
	// The subnet's octets are the last of the message: the option is the only
	// one, and OPT the last record.
	switch o.ECS {
	case ecsRandom4:
		t.subnetSize = 3
	case ecsRandom6:
		t.subnetSize = 7
	case ecsFile:
		t.subnetSize, t.subnets = (o.Subnet.Bits()+7)/8, o.Subnets
	}
	if t.subnetSize > 0 {
		t.subnet = len(wire) - t.subnetSize
	}
	return t, nil
}

// opt is the OPT record that goes with every query, or nil.
func (o *options) opt() *dns.OPT {
	if o.EDNSSize == 0 && o.ECS == ecsNone && !o.DO {
		return nil
	}
	opt := &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
	opt.SetUDPSize(max(o.EDNSSize, dns.MinMsgSize))
	if o.DO {
		opt.SetDo()
	}
	subnet := o.Subnet
	switch o.ECS {
	case ecsNone:
		return opt
	case ecsRandom4:
		subnet = netip.MustParsePrefix("255.255.255.0/24") // every octet is set, so that none is left out
	case ecsRandom6:
		subnet = netip.MustParsePrefix("ffff:ffff:ffff:ff00::/56")
	case ecsFile: // likewise
		full := netip.MustParseAddr("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
		if subnet.Addr().Is4() {
			full = netip.MustParseAddr("255.255.255.255")
		}
		subnet = netip.PrefixFrom(full, subnet.Bits()).Masked()
	}
	ecs := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(subnet.Bits()), Address: subnet.Addr().AsSlice()}
	if subnet.Addr().Is6() {
		ecs.Family = 2
	}
	opt.Option = []dns.EDNS0{ecs}
	return opt
}

// fill writes the query with this id into buf, which has room for maxQuery
// octets, and returns its length. It does not allocate.
func (t *template) fill(buf []byte, id uint16, rng *rand.Rand) int {
	n := copy(buf, t.wire)
	binary.BigEndian.PutUint16(buf, id)
	if t.label > 0 {
		bits := rng.Uint64()
		for i := range labelSize {
			buf[t.label+i] = labelDigits[bits>>(5*i)&31]
		}
	}
	if t.subnets != nil {
		fillSubnet(buf[t.subnet:n], t.subnets[rng.IntN(len(t.subnets))].Addr())
		return n
	}
	switch t.subnetSize {
	case 3: // 1.0.0.0 to 223.255.255.0, without 10.0.0.0/8 and 127.0.0.0/8, which a server must not use (RFC 7871 section 11)
		network := 1<<16 + rng.Uint32N(223<<16)
		if first := network >> 16; first == 10 || first == 127 {
			network += 1 << 16
		}
		buf[t.subnet], buf[t.subnet+1], buf[t.subnet+2] = byte(network>>16), byte(network>>8), byte(network)
	case 7: // 2000::/3: global unicast (RFC 4291 section 2.4)
		bits := rng.Uint64()
		binary.BigEndian.PutUint32(buf[t.subnet:], uint32(bits>>32)&0x1fffffff|0x20000000)
		binary.BigEndian.PutUint16(buf[t.subnet+4:], uint16(bits>>16))
		buf[t.subnet+6] = byte(bits)
	}
	return n
}

// fillSubnet writes the leading octets of an address.
func fillSubnet(to []byte, a netip.Addr) {
	if a.Is4() {
		octets := a.As4()
		copy(to, octets[:])
		return
	}
	octets := a.As16()
	copy(to, octets[:])
}

// questionSize is the length of the question at the start of b: a name without
// compression, type and class.
func questionSize(b []byte) int {
	i := 0
	for i < len(b) && b[i] != 0 {
		i += 1 + int(b[i])
	}
	return i + 1 + 4
}
