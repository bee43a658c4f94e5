package differential

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// zone is one zone that all servers have.
type zone struct {
	origin string // absolute, lower case
	file   string // its master file, absolute path
	own    string // gslb's, where that is another one
	// records are as a server transfers them, so that no reader of master files
	// is needed here; sorted.
	records []dns.RR
	// asks are further questions, from ";? NAME TYPE…" lines of the file.
	asks []ask
}

// ask is a question that a zone is asked; the name is absolute.
type ask struct {
	name  string
	types []uint16
}

// handMade reads the zones of testdata: ORIGIN.zone, with the origin's final dot left out.
func handMade(t testing.TB) []*zone {
	t.Helper()
	files, err := filepath.Glob("testdata/*.zone")
	if err != nil || len(files) == 0 {
		t.Fatalf("no zones in testdata: %v", err)
	}
	var zones []*zone
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		origin := strings.TrimSuffix(filepath.Base(file), ".zone") + "."
		zones = append(zones, readZone(t, origin, file, string(text)))
	}
	return zones
}

// readZone reads the questions that the text of a master file has in its comments.
func readZone(t testing.TB, origin, file, text string) *zone {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	z := &zone{origin: origin, file: path}
	for _, line := range strings.Split(text, "\n") {
		words, ok := strings.CutPrefix(line, ";? ")
		if !ok {
			continue
		}
		fields := strings.Fields(words)
		a := ask{name: absolute(fields[0], origin)}
		for _, word := range fields[1:] {
			qtype, ok := dns.StringToType[word]
			if !ok {
				if n, ok := genericType(word); ok {
					qtype = n
				} else {
					t.Fatalf("%s: %q: %q is no type", file, line, word)
				}
			}
			a.types = append(a.types, qtype)
		}
		z.asks = append(z.asks, a)
	}
	return z
}

// transfer fills in the records, from a server that has the zone.
func (z *zone) transfer(t testing.TB, from *peer) {
	t.Helper()
	tr := &dns.Transfer{DialTimeout: 3 * patience, ReadTimeout: 3 * patience, WriteTimeout: 3 * patience}
	ch, err := tr.In(new(dns.Msg).SetAxfr(z.origin), from.address)
	if err != nil {
		t.Fatalf("transfer of %s from %s: %v", z.origin, from.name, err)
	}
	for envelope := range ch {
		if envelope.Error != nil {
			t.Fatalf("transfer of %s from %s: %v", z.origin, from.name, envelope.Error)
		}
		z.records = append(z.records, envelope.RR...)
	}
	slices.SortFunc(z.records, func(a, b dns.RR) int { return strings.Compare(canonical(a), canonical(b)) })
}

func absolute(name, origin string) string {
	switch {
	case name == "@":
		return origin
	case dns.IsFqdn(name):
		return name
	}
	return name + "." + origin
}

// genericType reads TYPE12345 (RFC 3597, section 5).
func genericType(word string) (n uint16, ok bool) {
	digits, ok := strings.CutPrefix(word, "TYPE")
	for _, c := range digits {
		n = n*10 + uint16(c-'0')
	}
	return n, ok && digits != ""
}

// names are the owner names of a zone and all names above them within it, in order.
func (z *zone) names() []string {
	seen := map[string]bool{}
	for _, rr := range z.records {
		for name := strings.ToLower(rr.Header().Name); ; {
			seen[name] = true
			if name == z.origin {
				break
			}
			next, end := dns.NextLabel(name, 0)
			if end {
				break
			}
			name = name[next:]
		}
	}
	names := make([]string, 0, len(seen))
	for name := range seen {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// types are those that a name has in the zone, in order.
func (z *zone) types(name string) []uint16 {
	var types []uint16
	for _, rr := range z.records {
		if h := rr.Header(); strings.EqualFold(h.Name, name) && !slices.Contains(types, h.Rrtype) {
			types = append(types, h.Rrtype)
		}
	}
	slices.Sort(types)
	return types
}
