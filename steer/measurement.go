package steer

import (
	"math"
	"net/netip"
	"slices"
	"strings"

	"gslb/geo"
	"gslb/health"
)

// Measurement is round-trip times that clients have to the sites, as somebody has
// measured them otherwise than the vantage points do, such as in the users' browsers.
// Clients are told apart by one of Networks, ASN and Country.
type Measurement struct {
	Name     string // for people: where it stands, and whose times they are
	Networks []netip.Prefix
	ASN      []uint32
	Country  []string           // codes, without regard to case
	RTT      map[string]float64 // milliseconds, by site
}

// measurements are those of a policy, compiled. A client has up to three, the first
// the most specific:
//
//	1  that of the longest network that contains it
//	2  that of its AS number
//	3  that of its country
type measurements struct {
	rows     []measurement // from 1; the first stands for none
	networks map[netip.Prefix]int32
	bits     []int // the distinct lengths in networks, the longest first
	asn      map[uint32]int32
	country  map[string]int32 // upper case
}

type measurement struct {
	times health.Times
	rtt   []float64 // by site; NaN: not measured
}

// own are a client's measurements by their numbers; 0: none.
type own [3]int32

func compileMeasurements(list []Measurement, sites []Site) *measurements {
	if len(list) == 0 {
		return nil
	}
	m := &measurements{rows: make([]measurement, 1, 1+len(list)), networks: map[netip.Prefix]int32{}, asn: map[uint32]int32{}, country: map[string]int32{}}
	for _, x := range list {
		n := int32(len(m.rows))
		for _, network := range x.Networks {
			network = canonical(network)
			m.networks[network] = n
			m.bits = append(m.bits, network.Bits())
		}
		for _, asn := range x.ASN {
			m.asn[asn] = n
		}
		for _, country := range x.Country {
			m.country[strings.ToUpper(country)] = n
		}
		row := measurement{times: health.Times{Vantage: x.Name, RTT: x.RTT}, rtt: make([]float64, len(sites))}
		for i := range sites {
			row.rtt[i] = math.NaN()
			if ms, ok := x.RTT[sites[i].Name]; ok {
				row.rtt[i] = ms
			}
		}
		m.rows = append(m.rows, row)
	}
	slices.SortFunc(m.bits, func(a, b int) int { return b - a })
	m.bits = slices.Compact(m.bits)
	return m
}

// cuts are the networks that it tells apart.
func (m *measurements) cuts() (all []netip.Prefix) {
	if m != nil {
		for n := range m.networks {
			all = append(all, n)
		}
	}
	return all
}

// of gives a client's measurements. within is the longest of the policy's cuts that
// contains it: a network contains the client if and only if it contains that.
func (m *measurements) of(p *geo.Place, within netip.Prefix) (o own) {
	if m == nil {
		return o
	}
	for _, bits := range m.bits {
		if !within.IsValid() || bits > within.Bits() {
			continue
		}
		if n, err := within.Addr().Prefix(bits); err == nil && m.networks[n] > 0 {
			o[0] = m.networks[n]
			break
		}
	}
	if p.ASN != 0 {
		o[1] = m.asn[p.ASN]
	}
	o[2] = m.country[strings.ToUpper(p.Country)]
	return o
}

// orders is the most specific of a client's measurements that has times of two members
// of the tier; 0: none has.
func (m *measurements) orders(t *Target, o own) int32 {
	for _, row := range o {
		if row == 0 {
			continue
		}
		n := 0
		for _, x := range t.Members {
			if !math.IsNaN(m.rows[row].rtt[x.Site]) {
				n++
			}
		}
		if n >= leastMeasured {
			return row
		}
	}
	return 0
}
