package zones

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/miekg/dns"
)

// mostSigned bounds how many sets of sites are signed ahead for a name and type: as
// many signatures, with each key, are made and held.
const mostSigned = 10000

// severalTypes are the types of which the records of several sites go into one answer.
var severalTypes = [...]uint16{dns.TypeA, dns.TypeAAAA}

// severalSets are the RRsets of a name that answers with several sites, signed ahead: by type and the
// sites' numbers, ascending, as setKey has them. An RRset has no order (RFC 4034, section 6.3), so that
// one signature is for all.
type severalSets [len(severalTypes)]map[string]RRset

// several is the set of a type of a site.
func (s *siteSets) several(i int) *RRset {
	if i == 0 {
		return &s.a
	}
	return &s.aaaa
}

// Join is the RRset of a type, A or AAAA, of several sites in this order, with its signatures where the
// zone is signed here. Without records of the type at any of them its Count is 0.
func (s *Steered) Join(qtype uint16, sites []int32) RRset {
	i := slices.Index(severalTypes[:], qtype)
	if i < 0 {
		return RRset{}
	}
	var with []int
	out := RRset{Type: qtype}
	for _, site := range sites {
		if uint(site) >= uint(len(s.sites)) {
			continue
		}
		if set := s.sites[site].several(i); set.Count > 0 {
			with = append(with, int(site))
			out.Count += set.Count
			out.Wire = append(out.Wire, set.Wire...)
		}
	}
	if len(with) == 1 {
		return *s.sites[with[0]].several(i)
	}
	slices.Sort(with)
	signed := s.joined[i][setKey(with)]
	if signed.Sigs == 0 {
		return out
	}
	n, ttl := len(out.Wire), out.TTL()
	all := append(out.Wire, signed.RRSIG()...)
	for w := all[n:]; len(w) > 0; { // RFC 4034, section 3: theirs is that of what they sign, which may be lowered
		binary.BigEndian.PutUint32(w[6:], ttl)
		_, w = nextData(w)
	}
	out.Sigs, out.Wire = signed.Sigs, all[:n:len(all)]
	return out
}

func setKey(sites []int) string {
	b := make([]byte, 0, 4*len(sites))
	for _, site := range sites {
		b = binary.LittleEndian.AppendUint32(b, uint32(site))
	}
	return string(b)
}

// combinations gives all that can be answered together of a type: the sets of 2 to s.answers
// sites with such records, of one of the groups. Each comes once, its sites ascending.
func (s *Steered) combinations(i int) ([][]int, error) {
	var all [][]int
	seen := map[string]bool{}
	var list []int
	for _, group := range s.groups {
		var with []int
		for _, site := range group {
			if uint(site) < uint(len(s.sites)) && s.sites[site].several(i).Count > 0 {
				with = append(with, site)
			}
		}
		slices.Sort(with)
		if sets := countSets(len(with), s.answers); sets > mostSigned {
			return nil, fmt.Errorf("steered name %s: any %d of %d sites can be answered together, which is %d or more sets to sign ahead: at most %d in a zone that is signed; lower answers, or have fewer sites in a tier", s.Name, min(s.answers, len(with)), len(with), sets, mostSigned)
		}
		var grow func(from int)
		grow = func(from int) {
			for at := from; at < len(with); at++ {
				list = append(list, with[at])
				if key := setKey(list); len(list) > 1 && !seen[key] {
					seen[key] = true
					all = append(all, slices.Clone(list))
				}
				if len(list) < s.answers {
					grow(at + 1)
				}
				list = list[:len(list)-1]
			}
		}
		grow(0)
		if len(all) > mostSigned {
			return nil, fmt.Errorf("steered name %s: its tiers have more than %d sets of sites that can be answered together, all to be signed ahead; lower answers", s.Name, mostSigned)
		}
	}
	return all, nil
}

// countSets is how many sets of 2 to most there are of n sites; more than mostSigned may
// be anything above that.
func countSets(n, most int) (sum int) {
	sets := n // of one
	for k := 2; k <= min(n, most); k++ {
		sets = sets * (n - k + 1) / k
		if sum += sets; sum > mostSigned {
			return sum
		}
	}
	return sum
}

// joint is one set of sites that is being signed.
type joint struct {
	kind  int // index in severalTypes
	sites []int
}

// joints lists what is to be signed of a name that answers with several sites.
func (s *Steered) joints() (all []joint, err error) {
	if s.answers < 2 {
		return nil, nil
	}
	for i := range severalTypes {
		sets, err := s.combinations(i)
		if err != nil {
			return nil, err
		}
		for _, sites := range sets {
			all = append(all, joint{i, sites})
		}
	}
	return all, nil
}

// unsigned is the RRset of a joint.
func (s *Steered) unsigned(j joint) RRset {
	out := RRset{Type: severalTypes[j.kind]}
	for _, site := range j.sites {
		set := s.sites[site].several(j.kind)
		out.Count += set.Count
		out.Wire = append(out.Wire, set.Wire...)
	}
	return out
}

// Give fills r, which Lookup left at Tailored, with the RRset that several sites were joined to.
func (r *Result) Give(set RRset) {
	r.Answer, r.Additional, r.Required = append(r.answer[:0], Record{Set: set}), Additional{}, 0
	r.nsynth, r.hops, r.Outcome = 0, 0, Answer
	r.Wire = Wire{Body: set.Wire, Answer: set.Count}
	if r.Signed && set.Sigs > 0 {
		r.Wire.Body, r.Wire.Answer = set.signed(), set.Count+set.Sigs
	}
}
