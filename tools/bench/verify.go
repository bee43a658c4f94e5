package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/oschwald/maxminddb-golang/v2"
)

// verifier asks a server single questions whose answers are known.
type verifier struct {
	client dns.Client
	server string // host:port
	data   *dataset
}

// verify returns what the server answers wrongly for the workload, nil if
// nothing.
func (s *server) verify(ctx context.Context, w *workload, d *dataset) error {
	v := verifier{client: dns.Client{Timeout: 2 * time.Second}, server: s.address, data: d}
	if w.tcp {
		v.client.Net = "tcp"
	}
	switch w.name {
	case "static", "tcp", "tcp-new":
		return v.static(ctx)
	case "nxdomain":
		return v.missing(ctx)
	case "source":
		return v.steered(ctx, netip.Prefix{})
	case "ecs":
		return v.subnets(ctx, d.subnets4, v.steered)
	case "ecs6":
		return v.subnets(ctx, d.subnets6, v.steered)
	case "operator":
		return v.subnets(ctx, d.operatorSubnets, v.byOperator)
	case "static-size":
		return v.padded(ctx)
	case "static-do":
		return v.signedStatic(ctx)
	case "nxdomain-do":
		return v.signedMissing(ctx)
	}
	return errors.Join(v.static(ctx), v.missing(ctx), v.subnets(ctx, d.subnets4, v.steered))
}

func (v *verifier) static(ctx context.Context) error {
	for _, i := range []int{0, 1, v.data.names / 2, v.data.names - 1} {
		m, err := v.ask(ctx, staticName(i), netip.Prefix{}, false)
		if err != nil {
			return err
		}
		if got := addressOf(m); got != staticAddress(i) {
			return fmt.Errorf("%s A: answer %v (%s), must be %s", staticName(i), got, dns.RcodeToString[m.Rcode], staticAddress(i))
		}
	}
	return nil
}

func (v *verifier) missing(ctx context.Context) error {
	m, err := v.ask(ctx, "kkkkkkkkkkkk."+staticZone, netip.Prefix{}, false)
	if err != nil {
		return err
	}
	if m.Rcode != dns.RcodeNameError || len(m.Ns) == 0 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
		return fmt.Errorf("a name that does not exist: %s with %d authority records, must be NXDOMAIN with the SOA record", dns.RcodeToString[m.Rcode], len(m.Ns))
	}
	return nil
}

// subnets asks as clients of many of the file's networks.
func (v *verifier) subnets(ctx context.Context, file string, ask func(context.Context, netip.Prefix) error) error {
	all, err := readSubnets(file)
	if err != nil {
		return err
	}
	for i := range 200 {
		if err := ask(ctx, all[i*len(all)/200]); err != nil {
			return err
		}
	}
	return nil
}

// steered asks for the name steered by country, with the client in a client subnet
// unless it is the zero prefix: then it is this host.
func (v *verifier) steered(ctx context.Context, client netip.Prefix) error {
	who := client
	if !client.IsValid() {
		who = netip.MustParsePrefix("127.0.0.1/32")
	}
	var record struct {
		Country struct {
			ISOCode string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	// Some servers take the registered country of a network that has no other for
	// its country: such networks are not asked about.
	found, whole, err := lookUp(v.data.database, who, &record)
	if err != nil || !whole || found && record.Country.ISOCode == "" {
		return err
	}
	return v.address(ctx, steeredName, client, addressFor(record.Country.ISOCode))
}

// byOperator asks for the name steered by autonomous system.
func (v *verifier) byOperator(ctx context.Context, client netip.Prefix) error {
	var record struct {
		Number uint32 `maxminddb:"autonomous_system_number"`
	}
	_, whole, err := lookUp(v.data.operators, client, &record)
	if err != nil || !whole {
		return err
	}
	return v.address(ctx, operatorName, client, addressForOperator(record.Number))
}

// address asks for a name that must have this one address.
func (v *verifier) address(ctx context.Context, name string, client netip.Prefix, want netip.Addr) error {
	m, err := v.ask(ctx, name, client, false)
	if err != nil {
		return err
	}
	if got := addressOf(m); got != want {
		return fmt.Errorf("%s A for %s: answer %v (%s), must be %s", name, client, got, dns.RcodeToString[m.Rcode], want)
	}
	return nil
}

// lookUp is the judge: the database read by another library's code than any
// server's. whole is false for networks that the database divides, of which there
// is no one right answer.
func lookUp(database string, who netip.Prefix, record any) (found, whole bool, err error) {
	db, err := maxminddb.Open(database)
	if err != nil {
		return false, false, err
	}
	defer db.Close()
	result := db.Lookup(who.Addr())
	if err := result.Decode(record); err != nil {
		return false, false, err
	}
	return result.Found(), result.Prefix().Bits() <= who.Bits(), nil
}

// signedStatic and signedMissing look at the shape of the answer and at whether its
// signatures hold.
func (v *verifier) signedStatic(ctx context.Context) error {
	m, err := v.ask(ctx, staticLabel(1)+"."+signedZone, netip.Prefix{}, true)
	if err != nil {
		return err
	}
	return v.signatures(ctx, m.Answer, dns.TypeA)
}

// padded checks that an unsigned answer has as many octets as a signed one.
func (v *verifier) padded(ctx context.Context) error {
	var sizes []int
	for _, q := range []struct {
		zone   string
		rrtype uint16
	}{{paddedZone, dns.TypeTXT}, {signedZone, dns.TypeA}} {
		m, err := v.askType(ctx, staticLabel(1)+"."+q.zone, q.rrtype, netip.Prefix{}, true)
		if err != nil {
			return err
		}
		if len(m.Answer) == 0 {
			return fmt.Errorf("%s %s: no answer", m.Question[0].Name, dns.TypeToString[q.rrtype])
		}
		m.Ns, m.Extra, m.Compress = nil, nil, true // some servers say more
		wire, err := m.Pack()
		if err != nil {
			return err
		}
		sizes = append(sizes, len(wire))
	}
	if sizes[0] != sizes[1] {
		return fmt.Errorf("the answer to compare with has %d octets, the signed one %d", sizes[0], sizes[1])
	}
	return nil
}

func (v *verifier) signedMissing(ctx context.Context) error {
	m, err := v.ask(ctx, "kkkkkkkkkkkk."+signedZone, netip.Prefix{}, true)
	if err != nil {
		return err
	}
	if m.Rcode != dns.RcodeNameError {
		return fmt.Errorf("a name that does not exist in the signed zone: %s, must be NXDOMAIN", dns.RcodeToString[m.Rcode])
	}
	return errors.Join(v.signatures(ctx, m.Ns, dns.TypeSOA), v.signatures(ctx, m.Ns, dns.TypeNSEC))
}

// signatures verifies all RRSIG records that cover the type, of which there must be some.
func (v *verifier) signatures(ctx context.Context, section []dns.RR, rrtype uint16) error {
	keys, err := v.askType(ctx, signedZone, dns.TypeDNSKEY, netip.Prefix{}, true)
	if err != nil {
		return err
	}
	var key *dns.DNSKEY
	for _, rr := range keys.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok {
			key = k
		}
	}
	if key == nil {
		return fmt.Errorf("%s has no DNSKEY record: does not serve zones that were signed beforehand", signedZone)
	}
	found := 0
	for _, rr := range section {
		sig, ok := rr.(*dns.RRSIG)
		if !ok || sig.TypeCovered != rrtype {
			continue
		}
		var set []dns.RR
		for _, rr := range section {
			if rr.Header().Rrtype == rrtype && rr.Header().Name == sig.Hdr.Name {
				set = append(set, rr)
			}
		}
		if err := sig.Verify(key, set); err != nil {
			return fmt.Errorf("the signature of %s %s: %w", sig.Hdr.Name, dns.TypeToString[rrtype], err)
		}
		found++
	}
	if found == 0 {
		return fmt.Errorf("an answer from the signed zone has no signature of its %s records", dns.TypeToString[rrtype])
	}
	return nil
}

func (v *verifier) ask(ctx context.Context, name string, client netip.Prefix, do bool) (*dns.Msg, error) {
	return v.askType(ctx, name, dns.TypeA, client, do)
}

// askType asks, with the client in a client subnet unless it is the zero prefix.
func (v *verifier) askType(ctx context.Context, name string, qtype uint16, client netip.Prefix, do bool) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.RecursionDesired = false
	q.SetEdns0(1232, do)
	if client.IsValid() {
		ecs := &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: uint8(client.Bits()), Address: client.Addr().AsSlice()}
		if client.Addr().Is6() {
			ecs.Family = 2
		}
		q.IsEdns0().Option = append(q.IsEdns0().Option, ecs)
	}
	m, _, err := v.client.ExchangeContext(ctx, q, v.server)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", name, dns.TypeToString[qtype], err)
	}
	return m, nil
}

// addressOf is the address of the only answer record; invalid if there is another number.
func addressOf(m *dns.Msg) netip.Addr {
	if len(m.Answer) != 1 {
		return netip.Addr{}
	}
	a, ok := m.Answer[0].(*dns.A)
	if !ok {
		return netip.Addr{}
	}
	got, _ := netip.AddrFromSlice(a.A.To4())
	return got
}
