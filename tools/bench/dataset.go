package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The zones that every server gets. The steered names have zones of their own,
// since PowerDNS's geoip backend serves whole zones.
const (
	staticZone   = "bench.example."
	signedZone   = "signed.example." // the same names, with DNSSEC signatures
	paddedZone   = "padded.example." // the same names, unsigned, with TXT records that make answers as large as signed ones; its name is as long
	steeredZone  = "steered.example."
	steeredName  = "www." + steeredZone // by country
	operatorZone = "operator.example."
	operatorName = "www." + operatorZone // by autonomous system
	ttl          = 60
)

// site is where clients of some countries are sent.
type site struct {
	name    string
	address string
	asn     uint32  // the operator whose clients come here for the name by operator; 0: everyone else
	places  []place // none: everyone else
}

// place is a country with the continent that holds it, which gdnsd's maps need.
type place struct{ continent, country string }

// sites is the steering that every server gets; the first is the default.
var sites = []site{
	{"rest", "192.0.2.1", 0, nil},
	{"kr", "192.0.2.2", 4766, []place{{"AS", "KR"}}},
	{"jp", "192.0.2.3", 4713, []place{{"AS", "JP"}}},
	{"cn", "192.0.2.4", 4134, []place{{"AS", "CN"}, {"AS", "HK"}, {"AS", "TW"}}},
	{"us", "192.0.2.5", 7922, []place{{"NA", "US"}, {"NA", "CA"}, {"NA", "MX"}}},
	{"br", "192.0.2.6", 27699, []place{{"SA", "BR"}, {"SA", "AR"}, {"SA", "CL"}}},
	{"de", "192.0.2.7", 3320, []place{{"EU", "DE"}, {"EU", "AT"}, {"EU", "CH"}, {"EU", "NL"}}},
	{"gb", "192.0.2.8", 2856, []place{{"EU", "GB"}, {"EU", "IE"}, {"EU", "FR"}}},
	{"au", "192.0.2.9", 1221, []place{{"OC", "AU"}, {"OC", "NZ"}}},
}

// addressFor is the right answer to a client in the country.
func addressFor(country string) netip.Addr {
	for _, s := range sites {
		for _, p := range s.places {
			if p.country == country {
				return netip.MustParseAddr(s.address)
			}
		}
	}
	return netip.MustParseAddr(sites[0].address)
}

// addressForOperator is the right answer to a client of the autonomous system.
func addressForOperator(asn uint32) netip.Addr {
	for _, s := range sites[1:] {
		if s.asn == asn {
			return netip.MustParseAddr(s.address)
		}
	}
	return netip.MustParseAddr(sites[0].address)
}

// dataset is what all servers serve and loadgen asks, as files.
type dataset struct {
	names     int         // of the static zone
	static    string      // master file of staticZone
	signed    string      // master file of signedZone; there only when some workload needs it
	padded    string      // that of paddedZone, likewise
	database  string      // City database
	operators string      // ASN database; there only when some workload needs it
	many      []plainZone // zones of few names each
	api       string      // where gslb's API listens, host:port; "": nowhere

	// For loadgen.
	staticNames, signedNames, paddedNames string // all names of the zone
	mixedNames                            string // the mix
	subnets4, subnets6                    string // networks that the City database knows, in /24 and /56
	operatorSubnets                       string // those of the ASN database, in /24
}

// newDataset writes the files into dir. The tools directory holds the binaries
// that buildTools made; needs is what the workloads need.
func newDataset(ctx context.Context, o *options, needs abilities, dir, tools string) (*dataset, error) {
	in := func(name string) string { return filepath.Join(dir, name) }
	d := &dataset{
		names: o.Names, static: in("bench.example.zone"), signed: in("signed.example.zone"), padded: in("padded.example.zone"), database: in("city.mmdb"), operators: in("asn.mmdb"),
		staticNames: in("static.names"), signedNames: in("signed.names"), paddedNames: in("padded.names"), mixedNames: in("mixed.names"),
		subnets4: in("known4.subnets"), subnets6: in("known6.subnets"), operatorSubnets: in("operator4.subnets"),
	}
	if err := d.writeStatic(o.Names); err != nil {
		return nil, err
	}
	if needs.signed {
		if err := writeSignedZone(d.signed, o.Names); err != nil {
			return nil, fmt.Errorf("signing a zone: %w", err)
		}
		if err := os.WriteFile(d.padded, []byte(paddedZoneText(o.Names)), 0o644); err != nil {
			return nil, err
		}
	}
	if needs.steer {
		if o.City != "" {
			file, err := filepath.Abs(o.City)
			if err != nil {
				return nil, err
			}
			d.database = file
		} else if err := makeDatabase(ctx, tools, "city", "GeoLite2-City", o.Networks, d.database); err != nil {
			return nil, err
		}
		if err := writeSubnets(d.database, "country", map[string]int{d.subnets4: 24, d.subnets6: 56}); err != nil {
			return nil, err
		}
	}
	if needs.operator {
		if err := makeDatabase(ctx, tools, "asn", "GeoLite2-ASN", o.Networks, d.operators); err != nil {
			return nil, err
		}
		if err := writeSubnets(d.operators, "autonomous_system_number", map[string]int{d.operatorSubnets: 24}); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// makeDatabase makes one up. The type's name is MaxMind's, since some servers refuse others.
func makeDatabase(ctx context.Context, tools, edition, typeName string, networks int, file string) error {
	mkgeo := exec.CommandContext(ctx, filepath.Join(tools, "mkgeo"), "-type", edition, "-database-type", typeName,
		"-random", fmt.Sprint(networks), "-epoch", "1767225600", "-o", file)
	if out, err := mkgeo.CombinedOutput(); err != nil {
		return fmt.Errorf("making a geo database: %w: %s", err, out)
	}
	return nil
}

// writeStatic writes the static zone and the lists of names.
func (d *dataset) writeStatic(names int) error {
	var static, signed, padded strings.Builder
	for i := range min(names, mostAsked) {
		at := i * names / min(names, mostAsked)
		fmt.Fprintf(&static, "%s A\n", staticName(at))
		fmt.Fprintf(&signed, "%s.%s A\n", staticLabel(at), signedZone)
		fmt.Fprintf(&padded, "%s.%s TXT\n", staticLabel(at), paddedZone)
	}
	for file, text := range map[string]string{d.static: staticZoneText(names), d.staticNames: static.String(), d.signedNames: signed.String(), d.paddedNames: padded.String(), d.mixedNames: mixedNames(min(names, mostAsked))} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// mostAsked bounds the names that loadgen is given: it reads them at each start.
const mostAsked = 100_000

// staticLabel begins with characters that spread the names over the order of the
// zone, as those of a real one are, so that random names fall between them.
func staticLabel(i int) string {
	const digits = "0123456789abcdefghijklmnopqrstuv" // those of loadgen's random names
	h := uint32(i) * 2654435761                       // Knuth's multiplicative hash
	return fmt.Sprintf("%c%c%c%05d", digits[h>>27], digits[h>>22&31], digits[h>>17&31], i)
}

func staticName(i int) string { return staticLabel(i) + "." + staticZone }

// staticAddress is the A record of staticName(i).
func staticAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// zoneHead is the apex of all zones.
func zoneHead(zone string) string {
	return fmt.Sprintf("$ORIGIN %s\n$TTL %d\n@ SOA ns1 hostmaster 1 3600 900 604800 %d\n@ NS ns1\nns1 A 192.0.2.53\n", zone, ttl, ttl)
}

func staticZoneText(names int) string {
	var b strings.Builder
	b.WriteString(zoneHead(staticZone))
	for i := range names {
		fmt.Fprintf(&b, "%s A %s\n", staticLabel(i), staticAddress(i))
	}
	return b.String()
}

// paddedZoneText has a TXT record for each name, whose answer is as large as an address
// with its signature.
func paddedZoneText(names int) string {
	const address, signature = 12 + 4, 12 + 18 + len(signedZone) + 1 + 64 // records with a compressed owner; RFC 4034 section 3.1, ECDSA P-256
	var b strings.Builder
	b.WriteString(zoneHead(paddedZone))
	for i := range names {
		fmt.Fprintf(&b, "%s TXT \"%s\"\n", staticLabel(i), strings.Repeat("x", address+signature-12-1))
	}
	return b.String()
}

// steeredZoneText is a steered zone with these records of the name www,
// "" if the server keeps them elsewhere.
func steeredZoneText(zone, rdata string) string {
	if rdata == "" {
		return zoneHead(zone)
	}
	return zoneHead(zone) + "www " + rdata + "\n"
}
