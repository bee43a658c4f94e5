package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
	"github.com/oschwald/maxminddb-golang/v2"
)

// verifier asks a server single questions whose answers are known.
type verifier struct {
	client  dns.Client
	address string
	data    *dataset
}

// verify returns what the server answers wrongly for the workload, nil if
// nothing.
func (s *server) verify(ctx context.Context, w *workload, d *dataset) error {
	v := verifier{client: dns.Client{Timeout: 2 * time.Second}, address: s.address, data: d}
	if w.tcp {
		v.client.Net = "tcp"
	}
	switch w.name {
	case "static", "tcp":
		return v.static(ctx)
	case "nxdomain":
		return v.missing(ctx)
	case "source":
		return v.steered(ctx, nil)
	case "ecs":
		return v.subnets(ctx)
	}
	return errors.Join(v.static(ctx), v.missing(ctx), v.subnets(ctx))
}

func (v *verifier) static(ctx context.Context) error {
	for _, i := range []int{0, 1, v.data.names / 2, v.data.names - 1} {
		m, err := v.ask(ctx, staticName(i), nil)
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
	m, err := v.ask(ctx, "zzzzzzzzzzzz."+staticZone, nil)
	if err != nil {
		return err
	}
	if m.Rcode != dns.RcodeNameError || len(m.Ns) == 0 || m.Ns[0].Header().Rrtype != dns.TypeSOA {
		return fmt.Errorf("a name that does not exist: %s with %d authority records, must be NXDOMAIN with the SOA record", dns.RcodeToString[m.Rcode], len(m.Ns))
	}
	return nil
}

// subnets asks as clients of many networks.
func (v *verifier) subnets(ctx context.Context) error {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		client := netip.AddrFrom4([4]byte{byte(11 + random.IntN(110)), byte(random.Uint32()), byte(random.Uint32()), 0})
		if err := v.steered(ctx, &client); err != nil {
			return err
		}
	}
	return nil
}

// steered asks for the steered name, with the client in a client subnet unless
// it is nil: then it is this host.
func (v *verifier) steered(ctx context.Context, client *netip.Addr) error {
	who := netip.MustParseAddr("127.0.0.1")
	if client != nil {
		who = *client
	}
	country, known, err := countryOf(v.data.database, who)
	if err != nil || !known {
		return err
	}
	m, err := v.ask(ctx, steeredName, client)
	if err != nil {
		return err
	}
	if got := addressOf(m); got != addressFor(country) {
		return fmt.Errorf("%s A for %s in %q: answer %v (%s), must be %s", steeredName, who, country, got, dns.RcodeToString[m.Rcode], addressFor(country))
	}
	return nil
}

// countryOf is the judge: the database read by another library's code than any
// server's. known is false for networks that have a registered country only,
// which some servers take for the country.
func countryOf(database string, who netip.Addr) (country string, known bool, err error) {
	db, err := maxminddb.Open(database)
	if err != nil {
		return "", false, err
	}
	defer db.Close()
	var record struct {
		Country struct {
			ISOCode string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	found := db.Lookup(who)
	if err := found.Decode(&record); err != nil {
		return "", false, err
	}
	return record.Country.ISOCode, record.Country.ISOCode != "" || !found.Found(), nil
}

func (v *verifier) ask(ctx context.Context, name string, client *netip.Addr) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, dns.TypeA)
	q.RecursionDesired = false
	q.SetEdns0(1232, false)
	if client != nil {
		opt := q.IsEdns0()
		opt.Option = append(opt.Option, &dns.EDNS0_SUBNET{Code: dns.EDNS0SUBNET, Family: 1, SourceNetmask: 24, Address: net.IP(client.AsSlice())})
	}
	m, _, err := v.client.ExchangeContext(ctx, q, v.address)
	if err != nil {
		return nil, fmt.Errorf("%s A: %w", name, err)
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
