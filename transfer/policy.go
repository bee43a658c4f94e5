package transfer

import (
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// permit is an Update, compiled.
type permit struct {
	rule
	names, below [][]byte // wire form, lower case
	types        []uint16 // empty: see permits
}

func permitsOf(list []Update, keys map[string]*key) (all []permit, err error) {
	for _, u := range list {
		p := permit{rule: rule{network: u.Network}}
		if p.key, err = keyNamed(u.Key, keys); err != nil {
			return nil, err
		}
		for _, l := range []struct {
			from []string
			to   *[][]byte
		}{{u.Names, &p.names}, {u.Below, &p.below}} {
			for _, name := range l.from {
				wire, err := dnsname.Parse(name)
				if err != nil {
					return nil, err
				}
				*l.to = append(*l.to, lowered(wire))
			}
		}
		for _, t := range u.Types {
			p.types = append(p.types, dns.StringToType[strings.ToUpper(t)])
		}
		all = append(all, p)
	}
	return all, nil
}

// permits tells whether a name, in lower case, and a type may be changed.
func (p *permit) permits(name []byte, rrtype uint16, apex []byte) bool {
	switch {
	case len(p.types) > 0:
		if !slices.Contains(p.types, rrtype) {
			return false
		}
	case slices.Contains(signingTypes, rrtype), string(name) == string(apex) && (rrtype == typeSOA || rrtype == dns.TypeNS):
		return false
	}
	return p.permitsName(name)
}

// matches tells whether a name is the one that a pattern stands for, in which a
// label "*" stands for any one.
func matches(pattern, name []byte) bool {
	for pattern[0] != 0 && name[0] != 0 {
		p, n := pattern[:1+int(pattern[0])], name[:1+int(name[0])]
		if string(p) != "\x01*" && string(p) != string(n) {
			return false
		}
		pattern, name = pattern[len(p):], name[len(n):]
	}
	return pattern[0] == name[0]
}

// permitsName tells whether anything of a name may be changed.
func (p *permit) permitsName(name []byte) bool {
	return len(p.names)+len(p.below) == 0 ||
		slices.ContainsFunc(p.names, func(pattern []byte) bool { return matches(pattern, name) }) ||
		slices.ContainsFunc(p.below, func(top []byte) bool { return isBelow(name, top) })
}
