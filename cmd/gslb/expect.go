package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"gslb/config"
	"gslb/dnsserver"
	"gslb/health"
	"gslb/steer"
)

// checkExpected runs the [[expect]] of a configuration on what it compiles to, by
// the code that answers. The error joins one for each that fails, with file and line.
func (t *topology) checkExpected() error {
	if len(t.cfg.Expects) == 0 {
		return nil
	}
	g := t.generation(nil, nil)
	var errs []error
	for i, e := range t.cfg.Expects {
		states := expectedStates(t.sites, e)
		fault := t.expectedTimes(states, e)
		if fault == "" {
			fault = t.fails(g.WithStates(states), e)
		}
		if fault != "" {
			errs = append(errs, t.cfg.Fault("expect", i, fault))
		}
	}
	return errors.Join(errs...)
}

// expectedStates are all up, but for those that are said to be otherwise.
func expectedStates(sites []string, e config.Expect) *health.States {
	s := &health.States{Revision: 1, Sites: make(map[string]health.Status, len(sites))}
	for _, name := range sites {
		st := health.Status{Site: name, State: health.Up, Why: "expected to be up", Draining: slices.Contains(e.Drain, name)}
		if slices.Contains(e.Down, name) {
			st.State, st.Why = health.Down, "expected to be down"
		}
		s.Sites[name] = st
	}
	return s
}

// expectedTimes adds the round-trip times that are given, as those of a checker that stands where
// the client is. It says why that cannot be; "": it can.
func (t *topology) expectedTimes(states *health.States, e config.Expect) string {
	if len(e.RTT) == 0 {
		return ""
	}
	at := e.Place.Place()
	if !e.HasPlace() {
		at, _ = t.places.Lookup(e.Addr())
	}
	if !at.HasLocation {
		return fmt.Sprintf("rtt_ms: it is not known where %s is, so that no checker's times are for it: give the place a location", who(e))
	}
	states.Times = []health.Times{{Vantage: "a checker beside the client", Location: &[2]float64{at.Location.Latitude, at.Location.Longitude}, RTT: e.RTT}}
	return ""
}

// got is an answer as expectations see it.
type got struct {
	sites     []string // of the answer, the preferred one first
	cname     string
	addresses []netip.Addr
	why       string
}

// fails says how the answer differs; "" if it does not.
func (t *topology) fails(g *dnsserver.Generation, e config.Expect) string {
	var have got
	var err error
	if e.HasPlace() {
		have, err = t.placed(g.States, e)
	} else {
		have, err = t.asked(g, e)
	}
	if err != nil {
		return err.Error()
	}
	var wrong string
	none := len(have.sites) == 0
	switch site := cmp.Or(strings.Join(have.sites, ", "), "none"); {
	case e.Site != "" && (none || have.sites[0] != e.Site):
		wrong = fmt.Sprintf("site %s, expected %s", site, e.Site)
	case e.Sites != nil && (none || slices.ContainsFunc(have.sites, func(s string) bool { return !slices.Contains(e.Sites, s) })):
		wrong = fmt.Sprintf("site %s, expected %s", site, strings.Join(e.Sites, " or "))
	case e.CNAME != "" && !strings.EqualFold(e.CNAME, have.cname):
		wrong = fmt.Sprintf("cname %s, expected %s", cmp.Or(have.cname, "none"), e.CNAME)
	case e.Addresses != nil && !sameAddresses(e.Addresses, have.addresses):
		wrong = fmt.Sprintf("addresses %s, expected %s", cmp.Or(showAddresses(have.addresses), "none"), showAddresses(e.Addresses))
	default:
		return ""
	}
	return fmt.Sprintf("%s %s for %s gives %s%s", e.Name, e.Type, who(e), wrong, have.why)
}

func who(e config.Expect) string {
	if e.HasPlace() {
		return e.Place.Place().String()
	}
	return e.Client
}

// asked asks as the client would.
func (t *topology) asked(g *dnsserver.Generation, e config.Expect) (got, error) {
	x, err := g.Explain(t.cfg.DNS, e.Name, dns.StringToType[strings.ToUpper(e.Type)], e.Addr(), periodOf(e))
	if err != nil {
		return got{}, err
	}
	var have got
	for _, rr := range x.Message.Answer {
		switch rr := rr.(type) {
		case *dns.CNAME:
			if have.cname == "" {
				have.cname = rr.Target
			}
		case *dns.A:
			have.addresses = appendAddr(have.addresses, rr.A)
		case *dns.AAAA:
			have.addresses = appendAddr(have.addresses, rr.AAAA)
		}
	}
	if x.Trace != nil && x.Trace.Choice != nil {
		have.sites, have.why = x.Trace.Choice.All(), " ("+x.Trace.Sentence+")"
	}
	return have, nil
}

func appendAddr(all []netip.Addr, ip []byte) []netip.Addr {
	if a, ok := netip.AddrFromSlice(ip); ok {
		all = append(all, a.Unmap())
	}
	return all
}

// placed decides for a client of whom no more than the place is known. What is compiled has met
// only the places of the databases, so the policy is compiled once more.
func (t *topology) placed(states *health.States, e config.Expect) (got, error) {
	i := slices.IndexFunc(t.cfg.Steers, func(s config.Steer) bool { return s.Name == e.Name })
	policies, err := t.cfg.Policies()
	if err != nil {
		return got{}, err
	}
	p := sharedPolicy(policies, i)
	c, err := steer.Compile(&p, t.cfg.SteerSites())
	if err != nil {
		return got{}, err
	}
	tr := new(steer.Trace)
	cohort := c.Classify(e.Place.Place(), netip.Prefix{}, tr)
	ttl := max(uint32(policies[i].TTL/time.Second), 1)
	live := c.Live(states)
	choice := live.Choose(cohort, steer.Ask{Period: periodOf(e) / ttl}, tr)
	have := got{sites: tr.Choice.All(), why: " (" + tr.Sentence + ")"}
	if t.cfg.Steers[i].Answer == config.AnswerCNAME {
		have.cname = t.cfg.Sites[choice.Site].CNAME
		return have, nil
	}
	for _, site := range live.Sites(choice) {
		for _, a := range t.cfg.Sites[site].Addresses {
			if a.Is4() == !strings.EqualFold(e.Type, "AAAA") {
				have.addresses = append(have.addresses, a)
			}
		}
	}
	return have, nil
}

// periodOf is the time that an expectation is of, in seconds: some fixed one if it says none, so
// that it comes out the same each time.
func periodOf(e config.Expect) uint32 {
	if e.At.IsZero() {
		return 1 << 30
	}
	return uint32(e.At.Unix())
}

func sameAddresses(a, b []netip.Addr) bool {
	sorted := func(all []netip.Addr) []netip.Addr { return slices.SortedFunc(slices.Values(all), netip.Addr.Compare) }
	return slices.Equal(sorted(a), sorted(b))
}

func showAddresses(all []netip.Addr) string {
	var words []string
	for _, a := range all {
		words = append(words, a.String())
	}
	return strings.Join(words, ", ")
}
