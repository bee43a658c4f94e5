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

// The zones that every server gets. The steered name has a zone of its own,
// since PowerDNS's geoip backend serves whole zones.
const (
	staticZone  = "bench.example."
	steeredZone = "steered.example."
	steeredName = "www." + steeredZone
	ttl         = 60
)

// site is where clients of some countries are sent.
type site struct {
	name    string
	address string
	places  []place // none: everyone else
}

// place is a country with the continent that holds it, which gdnsd's maps need.
type place struct{ continent, country string }

// sites is the steering that every server gets; the first is the default.
var sites = []site{
	{"rest", "192.0.2.1", nil},
	{"kr", "192.0.2.2", []place{{"AS", "KR"}}},
	{"jp", "192.0.2.3", []place{{"AS", "JP"}}},
	{"cn", "192.0.2.4", []place{{"AS", "CN"}, {"AS", "HK"}, {"AS", "TW"}}},
	{"us", "192.0.2.5", []place{{"NA", "US"}, {"NA", "CA"}, {"NA", "MX"}}},
	{"br", "192.0.2.6", []place{{"SA", "BR"}, {"SA", "AR"}, {"SA", "CL"}}},
	{"de", "192.0.2.7", []place{{"EU", "DE"}, {"EU", "AT"}, {"EU", "CH"}, {"EU", "NL"}}},
	{"gb", "192.0.2.8", []place{{"EU", "GB"}, {"EU", "IE"}, {"EU", "FR"}}},
	{"au", "192.0.2.9", []place{{"OC", "AU"}, {"OC", "NZ"}}},
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

// dataset is what all servers serve and loadgen asks, as files.
type dataset struct {
	names       int    // of the static zone
	static      string // master file of staticZone
	database    string // City database
	staticNames string // for loadgen: all names of the static zone
	mixedNames  string // for loadgen: the mix
}

// newDataset writes the files into dir. The tools directory holds the binaries
// that buildTools made.
func newDataset(ctx context.Context, o *options, dir, tools string) (*dataset, error) {
	d := &dataset{
		names:       o.Names,
		static:      filepath.Join(dir, "bench.example.zone"),
		database:    filepath.Join(dir, "city.mmdb"),
		staticNames: filepath.Join(dir, "static.names"),
		mixedNames:  filepath.Join(dir, "mixed.names"),
	}
	var list strings.Builder
	for i := range o.Names {
		fmt.Fprintf(&list, "%s A\n", staticName(i))
	}
	for file, text := range map[string]string{d.static: staticZoneText(o.Names), d.staticNames: list.String(), d.mixedNames: mixedNames(o.Names)} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	if o.City != "" {
		file, err := filepath.Abs(o.City)
		d.database = file
		return d, err
	}
	// The type's name is MaxMind's, since some servers refuse others.
	mkgeo := exec.CommandContext(ctx, filepath.Join(tools, "mkgeo"), "-type", "city", "-database-type", "GeoLite2-City",
		"-random", fmt.Sprint(o.Networks), "-epoch", "1767225600", "-o", d.database)
	if out, err := mkgeo.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("making a geo database: %w: %s", err, out)
	}
	return d, nil
}

func staticName(i int) string { return fmt.Sprintf("host%05d.%s", i, staticZone) }

// staticAddress is the A record of staticName(i).
func staticAddress(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

// zoneHead is the apex of both zones.
func zoneHead(zone string) string {
	return fmt.Sprintf("$ORIGIN %s\n$TTL %d\n@ SOA ns1 hostmaster 1 3600 900 604800 %d\n@ NS ns1\nns1 A 192.0.2.53\n", zone, ttl, ttl)
}

func staticZoneText(names int) string {
	var b strings.Builder
	b.WriteString(zoneHead(staticZone))
	for i := range names {
		fmt.Fprintf(&b, "host%05d A %s\n", i, staticAddress(i))
	}
	return b.String()
}

// steeredZoneText is the steered zone with these records of the steered name,
// "" if the server keeps them elsewhere.
func steeredZoneText(rdata string) string {
	if rdata == "" {
		return zoneHead(steeredZone)
	}
	return zoneHead(steeredZone) + "www " + rdata + "\n"
}
