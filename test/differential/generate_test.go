package differential

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

const (
	seed           = 20260101
	generatedZones = 36
)

// generated makes zones from a fixed seed. Their names have few labels, so that
// names collide: wildcards beside names, cuts above names, aliases to all of
// them. Every fourth zone lies in the one before it, so that both sides of a
// cut are served.
func generated(t testing.TB, dir string) []*zone {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	var zones []*zone
	var origins []string
	for i := range generatedZones {
		origin := fmt.Sprintf("g%02d.test.", i)
		if i%4 == 3 {
			origin = "a." + origins[i-1]
		}
		origins = append(origins, origin)
	}
	for i, origin := range origins {
		g := &generator{rng: rng, origin: origin, others: origins, parent: slices.Contains(origins, "a."+origin)}
		text := g.zone(8 + i%5*8)
		file := filepath.Join(dir, strings.TrimSuffix(origin, ".")+".zone")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		zones = append(zones, readZone(t, origin, file, text))
	}
	return zones
}

type generator struct {
	rng    *rand.Rand
	origin string
	others []string // origins of all zones
	parent bool     // there is a zone "a" in it
}

// zone writes a master file of about so many names.
func (g *generator) zone(size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$TTL %d\n$ORIGIN %s\n@ %d SOA ns hostmaster 1 7200 900 1209600 %d\n", 60+g.rng.IntN(500), g.origin, 30+g.rng.IntN(600), 30+g.rng.IntN(600))
	fmt.Fprint(&b, "@ NS ns\nns A 192.0.2.1\n")
	if g.rng.IntN(3) == 0 {
		fmt.Fprintf(&b, "@ NS ns.%s\n", g.others[g.rng.IntN(len(g.others))])
	}
	taken := map[string]bool{g.origin: true, "ns." + g.origin: true}
	if g.rng.IntN(6) == 0 && !g.parent {
		// A DNAME at the apex leaves no names below it (RFC 6672, section 2.4).
		return fmt.Sprintf("$TTL 300\n$ORIGIN %s\n@ SOA ns.test. hostmaster.test. 1 7200 900 1209600 60\n@ NS ns.test.\n@ DNAME %s\n@ A 192.0.2.9\n", g.origin, g.target())
	}
	var dnames []string
	for range size {
		name := g.name(1+g.rng.IntN(3)) + "." + g.origin
		if taken[name] || below(name, dnames) {
			continue
		}
		taken[name] = true
		switch kind := g.rng.IntN(20); {
		case kind < 4:
			fmt.Fprintf(&b, "%s CNAME %s\n", name, g.target())
		case kind == 4 && !anyBelow(name, taken) && (!g.parent || name != "a."+g.origin):
			dnames = append(dnames, name)
			fmt.Fprintf(&b, "%s DNAME %s\n", name, g.target())
			if g.rng.IntN(2) == 0 {
				fmt.Fprintf(&b, "%s A 192.0.2.%d\n", name, g.rng.IntN(256))
			}
		case kind < 8 && !strings.HasPrefix(name, "*"):
			for range 1 + g.rng.IntN(2) {
				server := g.server(name)
				fmt.Fprintf(&b, "%s NS %s\n", name, server)
				if server == "ns."+name && !taken[server] && g.rng.IntN(4) > 0 {
					taken[server] = true
					fmt.Fprintf(&b, "%s A 192.0.2.%d\n%[1]s AAAA 2001:db8::%x\n", server, g.rng.IntN(256), g.rng.IntN(65536))
				}
			}
			if g.rng.IntN(3) == 0 {
				fmt.Fprintf(&b, "%s DS %d 13 2 %064x\n", name, g.rng.IntN(65536), g.rng.Uint64())
			}
			if g.rng.IntN(4) == 0 {
				fmt.Fprintf(&b, "%s TXT \"below the cut\"\n", name)
			}
		default:
			for _, line := range g.data() {
				fmt.Fprintf(&b, "%s %s\n", name, line)
			}
		}
	}
	return b.String()
}

func (g *generator) label() string {
	labels := []string{"a", "b", "c", "*", "a", "b", "ns", "x-y", "A"}
	return labels[g.rng.IntN(len(labels))]
}

func (g *generator) name(labels int) string {
	var words []string
	for range labels {
		words = append(words, strings.ToLower(g.label()))
	}
	return strings.Join(words, ".")
}

// target is a name to lead to: mostly in the zone, sometimes in another one or in none.
func (g *generator) target() string {
	switch g.rng.IntN(10) {
	case 0:
		return g.name(2) + ".elsewhere.example."
	case 1, 2:
		return g.name(1+g.rng.IntN(2)) + "." + g.others[g.rng.IntN(len(g.others))]
	case 3:
		return g.origin
	}
	return g.name(1+g.rng.IntN(3)) + "." + g.origin
}

// server is the name of a server for a delegated name.
func (g *generator) server(cut string) string {
	switch g.rng.IntN(3) {
	case 0:
		return "ns." + cut
	case 1:
		return "ns." + g.origin
	}
	return g.target()
}

// data is records of one or some types, without aliases.
func (g *generator) data() []string {
	var lines []string
	for range 1 + g.rng.IntN(3) {
		switch g.rng.IntN(9) {
		case 0, 1:
			for range 1 + g.rng.IntN(3) {
				lines = append(lines, fmt.Sprintf("A 192.0.2.%d", g.rng.IntN(256)))
			}
		case 2:
			lines = append(lines, fmt.Sprintf("AAAA 2001:db8::%x", g.rng.IntN(65536)))
		case 3, 4:
			lines = append(lines, fmt.Sprintf("MX %d %s", g.rng.IntN(20), g.target()))
		case 5:
			lines = append(lines, fmt.Sprintf("TXT %q", strings.Repeat("x", g.rng.IntN(200))))
		case 6:
			lines = append(lines, fmt.Sprintf("SRV 0 %d 443 %s", g.rng.IntN(20), g.target()))
		case 7:
			lines = append(lines, fmt.Sprintf("TYPE65280 \\# 2 %04x", g.rng.IntN(65536)))
		case 8:
			lines = append(lines, fmt.Sprintf("PTR %s", g.target()))
		}
	}
	return lines
}

// below tells whether a name is below one of the list: nothing may stand below a DNAME.
func below(name string, list []string) bool {
	for _, up := range list {
		if name != up && dns.IsSubDomain(up, name) {
			return true
		}
	}
	return false
}

func anyBelow(name string, taken map[string]bool) bool {
	for k := range taken {
		if below(k, []string{name}) {
			return true
		}
	}
	return false
}
