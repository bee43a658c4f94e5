package forecast

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Weights say how many users there are where. The zero Weights count IPv4 addresses.
type Weights struct {
	// IPv6 counts IPv6 networks of 48 bits instead of IPv4 addresses.
	IPv6 bool

	networks map[netip.Prefix]float64
	groups   map[Group]float64 // Operator "": the whole country, but for operators that stand on their own
}

// Group are the users of one operator in one country; empty: unknown. Operator is the
// Place's ISP, or else its ASOrg or Organization.
type Group struct {
	Country  string `json:"country,omitempty"`
	Operator string `json:"operator,omitempty"`
}

// String is for people.
func (g Group) String() string {
	switch {
	case g.Country == "" && g.Operator == "":
		return "unknown"
	case g.Country == "":
		return g.Operator
	case g.Operator == "":
		return g.Country
	}
	return g.Country + " " + g.Operator
}

// String says what is counted.
func (w *Weights) String() string {
	switch {
	case w.networks != nil:
		return fmt.Sprintf("weights of %d networks", len(w.networks))
	case w.groups != nil:
		return fmt.Sprintf("weights of %d countries and operators", len(w.groups))
	case w.IPv6:
		return "IPv6 networks of 48 bits"
	}
	return "IPv4 addresses"
}

// maxWeights bounds the lines of a file of weights: they are held in memory.
const maxWeights = 4 << 20

// ReadWeights reads comma-separated lines of one of three forms, all of the same:
//
//	network,weight             203.0.113.0/24,17      recorded queries by client network, for example
//	country,weight             KR,51700000            people
//	country,operator,weight    KR,LG Uplus,4600000
//
// A network's weight lies evenly on those of its addresses that are in no longer
// network of the file; a country's on its IPv4 addresses, but for those of operators with a line of
// their own. What occurs twice is added up. The first line may be a heading; empty lines and those
// that begin with # count for nothing. Errors name the line.
func ReadWeights(r io.Reader) (*Weights, error) {
	w := &Weights{}
	in := bufio.NewScanner(r)
	var errs []error
	lines := 0
	for n := 1; in.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(in.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		if lines++; lines > maxWeights {
			return nil, fmt.Errorf("line %d: more than %d lines", n, maxWeights)
		}
		if err := w.read(line); err != nil && (lines > 1 || !heading(line)) {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			if len(errs) == 10 {
				return nil, errors.Join(errs...)
			}
		}
	}
	if err := in.Err(); err != nil {
		errs = append(errs, err)
	}
	if errs == nil && w.networks == nil && w.groups == nil {
		errs = append(errs, errors.New(`no weights: want lines such as "203.0.113.0/24,17" or "KR,51700000"`))
	}
	return w, errors.Join(errs...)
}

// heading tells whether a line that is none of weights can be one of titles.
func heading(line string) bool {
	last := line[strings.LastIndexByte(line, ',')+1:]
	_, err := strconv.ParseFloat(strings.TrimSpace(last), 64)
	return err != nil && strings.Contains(line, ",")
}

func (w *Weights) read(line string) error {
	fields := strings.Split(line, ",")
	for i := range fields {
		fields[i] = strings.Trim(strings.TrimSpace(fields[i]), `"`)
	}
	if len(fields) < 2 {
		return fmt.Errorf("%.60q: want network,weight or country,weight or country,operator,weight", line)
	}
	last := fields[len(fields)-1]
	weight, err := strconv.ParseFloat(last, 64)
	if err != nil || !(weight >= 0) || math.IsInf(weight, 0) {
		return fmt.Errorf("weight %.60q: must be a number, 0 or more", last)
	}
	if len(fields) == 2 {
		if network, ok := parseNetwork(fields[0]); ok {
			return addTo(&w.networks, network, weight, w.groups == nil)
		}
	}
	if len(fields[0]) != 2 {
		return fmt.Errorf("%.60q: must be a network, or a country's code of two letters", fields[0])
	}
	// An operator's name may hold commas.
	g := Group{Country: strings.ToUpper(fields[0]), Operator: strings.Join(fields[1:len(fields)-1], ", ")}
	return addTo(&w.groups, g, weight, w.networks == nil)
}

func addTo[K comparable](m *map[K]float64, key K, weight float64, fits bool) error {
	if !fits {
		return errors.New("networks and countries in one file: must be one or the other")
	}
	if *m == nil {
		*m = make(map[K]float64)
	}
	(*m)[key] += weight
	return nil
}

func parseNetwork(s string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(s); err == nil {
		a = a.Unmap().WithZone("")
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// cuts are the networks of the weights, in an order of their own.
func (w *Weights) cuts() []netip.Prefix {
	all := make([]netip.Prefix, 0, len(w.networks))
	for n := range w.networks {
		all = append(all, n)
	}
	slices.SortFunc(all, netip.Prefix.Compare)
	return all
}
