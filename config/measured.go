package config

import (
	"fmt"
	"net/netip"
	"strings"

	"gslb/health"
	"gslb/steer"
)

// Measured is one [[measured]]: round-trip times from some clients to the sites, as the
// operator has them. One of Network, ASN and Country is set.
type Measured struct {
	Network []netip.Prefix     `toml:"network"`
	ASN     []uint32           `toml:"asn"`
	Country []string           `toml:"country"`
	RTT     map[string]float64 `toml:"rtt_ms"` // by site
}

// mostMeasured bounds how many [[measured]] there are: each makes a cohort or more of
// every name that picks by latency.
const mostMeasured = 5000

// measurements are the [[measured]] as the decision sees them.
func (c *Config) measurements() (all []steer.Measurement) {
	for i, m := range c.Measured {
		who := ""
		switch {
		case len(m.Network) > 0:
			who = "network " + firstOf(m.Network)
		case len(m.ASN) > 0:
			who = "asn " + firstOf(m.ASN)
		case len(m.Country) > 0:
			who = "country " + firstOf(m.Country)
		}
		all = append(all, steer.Measurement{Name: fmt.Sprintf("[[measured]] %d, %s", i+1, who), Networks: m.Network, ASN: m.ASN, Country: m.Country, RTT: m.RTT})
	}
	return all
}

// firstOf names the first of some clients.
func firstOf[T any](list []T) string {
	if len(list) == 1 {
		return fmt.Sprint(list[0])
	}
	return fmt.Sprintf("%v and %d more", list[0], len(list)-1)
}

func (c *Config) checkMeasured(r *report) {
	if len(c.Measured) > mostMeasured {
		r.bad(indexPath("measured", mostMeasured), "%d of these: at most %d; put clients with the same times into one", len(c.Measured), mostMeasured)
		return
	}
	taken := make(map[string]int)
	for i, m := range c.Measured {
		path := indexPath("measured", i)
		kinds := 0
		for _, n := range []int{len(m.Network), len(m.ASN), len(m.Country)} {
			kinds += min(n, 1)
		}
		if kinds != 1 {
			r.bad(path, "must say in one of network, asn and country whose times they are")
		}
		c.checkMatchers(r, path, SteerRule{Network: m.Network, ASN: m.ASN, Country: m.Country})
		once := func(key string, n int, what any) {
			text := strings.ToUpper(fmt.Sprint(what))
			if first, ok := taken[key+text]; ok && first != i {
				r.bad(indexPath(path+"."+key, n), "%v: is in [[measured]] %d too", what, first+1)
			}
			taken[key+text] = i
		}
		for n, v := range m.Network {
			once("network", n, v)
		}
		for n, v := range m.ASN {
			once("asn", n, v)
		}
		for n, v := range m.Country {
			once("country", n, v)
		}
		if len(m.RTT) < 2 {
			r.bad(path+".rtt_ms", "%d times: must be those to 2 sites or more, in milliseconds, such as { kt = 12, lgu = 15.5 }: there is nothing to compare else", len(m.RTT))
		}
		for site := range m.RTT {
			c.checkSiteName(r, path+".rtt_ms."+site, site)
		}
		if err := (&health.Times{RTT: m.RTT}).Fault(); err != nil {
			r.bad(path+".rtt_ms", "%v", err)
		}
	}
	if len(c.Measured) > 0 && len(r.errors.Problems) == 0 && !c.latency(c.Steers) {
		r.warn(indexPath("measured", 0), "no steered name has a target that picks by latency, so these times decide nothing")
	}
}

// latency tells whether a target of some name is written with that pick.
func (c *Config) latency(list []Steer) bool {
	for _, s := range list {
		targets := s.LastResort
		for _, rule := range s.Rules {
			targets = append(targets[:len(targets):len(targets)], rule.To...)
		}
		for _, t := range targets {
			if pick, _, ok := strings.Cut(t, ":"); ok && strings.TrimSpace(pick) == steer.Latency.String() {
				return true
			}
		}
	}
	return false
}
