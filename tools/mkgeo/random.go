package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"gslb/geo"
)

// operator is an autonomous system with the cities that its users live in.
type operator struct {
	isp, asOrg string
	asn        uint32
	cities     []int // indexes of cities
}

type city struct {
	continent, country, subdivision, name string
	location                              geo.Coordinates
}

var cities = []city{
	{"AS", "KR", "11", "Seoul", geo.Coordinates{Latitude: 37.57, Longitude: 126.98}},
	{"AS", "KR", "26", "Busan", geo.Coordinates{Latitude: 35.18, Longitude: 129.08}},
	{"AS", "CN", "SH", "Shanghai", geo.Coordinates{Latitude: 31.23, Longitude: 121.47}},
	{"AS", "CN", "BJ", "Beijing", geo.Coordinates{Latitude: 39.90, Longitude: 116.41}},
	{"AS", "CN", "GD", "Guangzhou", geo.Coordinates{Latitude: 23.13, Longitude: 113.26}},
	{"AS", "JP", "13", "Tokyo", geo.Coordinates{Latitude: 35.69, Longitude: 139.69}},
	{"AS", "JP", "27", "Osaka", geo.Coordinates{Latitude: 34.69, Longitude: 135.50}},
	{"AS", "IN", "MH", "Mumbai", geo.Coordinates{Latitude: 19.08, Longitude: 72.88}},
	{"AS", "SG", "", "Singapore", geo.Coordinates{Latitude: 1.29, Longitude: 103.85}},
	{"NA", "US", "VA", "Ashburn", geo.Coordinates{Latitude: 39.04, Longitude: -77.49}},
	{"NA", "US", "CA", "San Jose", geo.Coordinates{Latitude: 37.34, Longitude: -121.89}},
	{"NA", "US", "TX", "Dallas", geo.Coordinates{Latitude: 32.78, Longitude: -96.80}},
	{"NA", "US", "IL", "Chicago", geo.Coordinates{Latitude: 41.88, Longitude: -87.63}},
	{"NA", "CA", "ON", "Toronto", geo.Coordinates{Latitude: 43.65, Longitude: -79.38}},
	{"SA", "BR", "SP", "São Paulo", geo.Coordinates{Latitude: -23.55, Longitude: -46.63}},
	{"SA", "AR", "C", "Buenos Aires", geo.Coordinates{Latitude: -34.60, Longitude: -58.38}},
	{"EU", "DE", "HE", "Frankfurt am Main", geo.Coordinates{Latitude: 50.11, Longitude: 8.68}},
	{"EU", "DE", "BE", "Berlin", geo.Coordinates{Latitude: 52.52, Longitude: 13.41}},
	{"EU", "GB", "ENG", "London", geo.Coordinates{Latitude: 51.51, Longitude: -0.13}},
	{"EU", "FR", "IDF", "Paris", geo.Coordinates{Latitude: 48.86, Longitude: 2.35}},
	{"EU", "NL", "NH", "Amsterdam", geo.Coordinates{Latitude: 52.37, Longitude: 4.90}},
	{"AF", "ZA", "GP", "Johannesburg", geo.Coordinates{Latitude: -26.20, Longitude: 28.05}},
	{"AF", "EG", "C", "Cairo", geo.Coordinates{Latitude: 30.04, Longitude: 31.24}},
	{"OC", "AU", "NSW", "Sydney", geo.Coordinates{Latitude: -33.87, Longitude: 151.21}},
}

// known are the operators of the examples and some more; the rest are made up.
var known = []operator{
	{"China Telecom", "CHINANET-BACKBONE", 4134, []int{2, 3, 4}},
	{"Comcast", "COMCAST-7922", 7922, []int{9, 12, 11}},
	{"KT", "Korea Telecom", 4766, []int{0, 1}},
	{"AT&T", "ATT-INTERNET4", 7018, []int{10, 11, 12}},
	{"China Unicom", "CHINA UNICOM China169 Backbone", 4837, []int{3, 2, 4}},
	{"NTT", "NTT Communications Corporation", 4713, []int{5, 6}},
	{"Deutsche Telekom", "Deutsche Telekom AG", 3320, []int{16, 17}},
	{"LG Uplus", "LG DACOM Corporation", 3786, []int{0, 1}},
	{"SK Broadband", "SK Broadband Co Ltd", 9318, []int{0, 1}},
	{"KDDI", "KDDI CORPORATION", 2516, []int{5, 6}},
	{"BT", "British Telecommunications PLC", 2856, []int{18}},
	{"Orange", "Orange S.A.", 3215, []int{19}},
	{"Telstra", "Telstra Corporation Ltd", 1221, []int{23}},
	{"Vivo", "TELEFONICA BRASIL S.A", 27699, []int{14}},
}

// pool is a part of the address space that is handed out, in networks of the
// widths that routing tables hold.
type pool struct {
	within           netip.Prefix
	shortest, finest int
}

// pools leaves out what is private, reserved or multicast.
func pools() []pool {
	var list []pool
	for first := 1; first < 224; first++ {
		switch first {
		case 10, 100, 127, 169, 172, 192, 198, 203:
			continue // hold private, shared or documentation networks
		}
		list = append(list, pool{netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(first)}), 8), 11, 24})
	}
	for _, p := range []string{"2400::/12", "2600::/12", "2800::/12", "2a00::/12", "2c00::/12"} {
		list = append(list, pool{netip.MustParsePrefix(p), 20, 48})
	}
	return list
}

// v6Share is the part of the networks that are IPv6.
const v6Share = 0.3

// randomRows makes up about n networks (never fewer than 2,500, since no network
// is larger than an operator gets): large and small operators, whose sizes fall
// off as they do in reality, neighbours often of the same one, gaps between.
// The same n and seed give the same rows.
func randomRows(n int, seed uint64) []row {
	g := generator{
		random:    rand.New(rand.NewPCG(seed, 0x6d6b67656f)),
		operators: madeUp(max(len(known), n/8)),
	}
	all := pools()
	v4 := 0
	for _, p := range all {
		if p.within.Addr().Is4() {
			v4++
		}
	}
	for _, p := range all {
		g.pool = p
		quota := float64(n) * (1 - v6Share) / float64(v4)
		if p.within.Addr().Is6() {
			quota = float64(n) * v6Share / float64(len(all)-v4)
		}
		g.divide(p.within, quota/(1-gaps))
	}
	return g.rows
}

func madeUp(n int) []operator {
	list := append([]operator(nil), known...)
	for i := len(list); i < n; i++ {
		name := fmt.Sprintf("Example Network %d", i)
		// Private-use numbers (RFC 6996), so that nobody real is meant.
		list = append(list, operator{name, name, 4200000000 + uint32(i), []int{i % len(cities)}})
	}
	return list
}

type generator struct {
	random    *rand.Rand
	operators []operator
	pool      pool
	current   int // operator of the last network
	rows      []row
}

// gaps is the part of the space that nobody has.
const gaps = 0.08

// divide splits a network at random until its share of the networks is spent.
func (g *generator) divide(p netip.Prefix, quota float64) {
	bits := p.Bits()
	if bits >= g.pool.finest || bits >= g.pool.shortest && quota < 1+g.random.Float64() {
		g.assign(p)
		return
	}
	share := 0.2 + 0.6*g.random.Float64()
	left, right := halves(p)
	g.divide(left, quota*share)
	g.divide(right, quota*(1-share))
}

func (g *generator) assign(p netip.Prefix) {
	if g.random.Float64() < gaps {
		return
	}
	if g.random.Float64() < 0.4 { // else the neighbour's operator
		x := g.random.Float64()
		g.current = int(x * x * x * float64(len(g.operators))) // the first ones have the most
	}
	o := &g.operators[g.current]
	c := &cities[o.cities[g.random.IntN(len(o.cities))]]
	g.rows = append(g.rows, row{
		network: p, continent: c.continent, country: c.country, subdivisions: [2]string{c.subdivision},
		city: c.name, located: true, location: c.location, isp: o.isp, asn: o.asn, asOrg: o.asOrg,
	})
}

func halves(p netip.Prefix) (left, right netip.Prefix) {
	bits := p.Bits()
	b := p.Addr().AsSlice()
	b[bits/8] |= 0x80 >> (bits % 8)
	a, _ := netip.AddrFromSlice(b)
	return netip.PrefixFrom(p.Addr(), bits+1), netip.PrefixFrom(a, bits+1)
}
