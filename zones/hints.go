package zones

import (
	"encoding/binary"
	"fmt"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// serviceTypes are the types whose records can hold address hints (RFC 9460,
// section 7.3), in the order of siteSets.services.
var serviceTypes = [...]uint16{dns.TypeHTTPS, dns.TypeSVCB}

// serviceIndex is where a type stands in serviceTypes; -1: nowhere.
func serviceIndex(rrtype uint16) int {
	for i, t := range serviceTypes {
		if t == rrtype {
			return i
		}
	}
	return -1
}

// addHints gives each site HTTPS and SVCB records with its own addresses as hints,
// made of those that stand at the name: clients that connect by the hints are sent
// to the site that was chosen for them.
func (s *Steered) addHints(cfg SteeredConfig, name *Name, sites []Site) error {
	z := s.zone
	found := false
	n := z.find(name, 0)
	for i, rrtype := range serviceTypes {
		if n == 0 {
			break
		}
		set, _, ok := z.arena.find(n, rrtype)
		if !ok || !hintable(set) {
			continue
		}
		if needsHints(set) {
			return fmt.Errorf("steered name %s: its %s record in %s lists hints as mandatory, but not every site has addresses of both families: leave that out", s.Name, dns.Type(rrtype), z.File)
		}
		found, s.hints[i] = true, true
		for _, site := range cfg.Sites {
			v4, v6 := splitAddresses(sites[site].Addresses)
			s.sites[site].services[i] = withHints(set, min(set.TTL(), s.TTL), v4, v6)
		}
	}
	if !found {
		return fmt.Errorf("steered name %s has hints = true, but no HTTPS or SVCB record in %s whose target is \".\": add one, such as %s HTTPS 1 . alpn=h2, or leave hints out", s.Name, z.File, s.Name)
	}
	return nil
}

// hintable tells whether hints of the owner's addresses belong into some record of
// the set: one in service mode (RFC 9460, section 2.4.3) whose target is the owner.
func hintable(set RRset) bool {
	for d := range set.Data() {
		if isService(d) {
			return true
		}
	}
	return false
}

func isService(d []byte) bool {
	if len(d) < 3 || binary.BigEndian.Uint16(d) == 0 || d[2] != 0 {
		return false
	}
	return wholeParams(d[3:])
}

// isAliasMode tells whether a record leads to the one of another name (RFC 9460, section 2.4.2).
func isAliasMode(rrtype uint16, d []byte) bool {
	return serviceIndex(rrtype) >= 0 && binary.BigEndian.Uint16(d) == 0
}

// wholeParams tells whether service parameters end where their record does: one
// that is written as octets (RFC 3597) may hold anything.
func wholeParams(p []byte) bool {
	for len(p) > 0 {
		if len(p) < 4 || len(p) < 4+int(binary.BigEndian.Uint16(p[2:])) {
			return false
		}
		p = p[4+int(binary.BigEndian.Uint16(p[2:])):]
	}
	return true
}

// needsHints tells whether a record makes hints mandatory (RFC 9460, section 8).
func needsHints(set RRset) bool {
	for d := range set.Data() {
		if !isService(d) {
			continue
		}
		for p := d[3:]; len(p) > 0; {
			n := int(binary.BigEndian.Uint16(p[2:]))
			if dns.SVCBKey(binary.BigEndian.Uint16(p)) == dns.SVCB_MANDATORY {
				for keys := p[4 : 4+n]; len(keys) >= 2; keys = keys[2:] {
					if isHint(keys) {
						return true
					}
				}
			}
			p = p[4+n:]
		}
	}
	return false
}

// isHint tells whether a service parameter, which begins with its key, is a hint.
func isHint(param []byte) bool {
	key := dns.SVCBKey(binary.BigEndian.Uint16(param))
	return key == dns.SVCB_IPV4HINT || key == dns.SVCB_IPV6HINT
}

// withHints gives the set with these addresses as the hints of those records that
// hints belong into, in place of any that they have.
func withHints(set RRset, ttl uint32, v4, v6 [][]byte) RRset {
	var data [][]byte
	for d := range set.Data() {
		if isService(d) {
			d = hintedRecord(d, v4, v6)
		}
		if len(d) > 1<<16-1-dnsname.Max {
			return RRset{} // cannot be: a site has not that many addresses
		}
		data = append(data, d)
	}
	return newRRset(set.Type, ttl, data...)
}

// hintedRecord makes the data of one record: parameters stand in the order of their
// keys (RFC 9460, section 2.2).
func hintedRecord(d []byte, v4, v6 [][]byte) []byte {
	out := append([]byte(nil), d[:3]...)
	wait := []struct {
		key       dns.SVCBKey
		addresses [][]byte
	}{{dns.SVCB_IPV4HINT, v4}, {dns.SVCB_IPV6HINT, v6}}
	flush := func(before int) {
		for len(wait) > 0 && int(wait[0].key) < before {
			if w := wait[0]; len(w.addresses) > 0 {
				out = binary.BigEndian.AppendUint16(out, uint16(w.key))
				out = binary.BigEndian.AppendUint16(out, uint16(len(w.addresses)*len(w.addresses[0])))
				for _, a := range w.addresses {
					out = append(out, a...)
				}
			}
			wait = wait[1:]
		}
	}
	for p := d[3:]; len(p) > 0; {
		end := 4 + int(binary.BigEndian.Uint16(p[2:]))
		if !isHint(p) {
			flush(int(binary.BigEndian.Uint16(p)))
			out = append(out, p[:end]...)
		}
		p = p[end:]
	}
	flush(1 << 16)
	return out
}
