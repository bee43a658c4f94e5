package transfer

import (
	"crypto/tls"
	"fmt"
	"net/netip"

	"gslb/dnsname"
)

// rule is an Allow, compiled.
type rule struct {
	network netip.Prefix // not valid: any
	key     *key         // nil: any, or none
	tls     bool         // see private
}

// allows tells whether who speaks from an address and signs with a key, or nil,
// is who is meant; private is how that comes.
func (r rule) allows(from netip.Addr, signed *key, private bool) bool {
	if r.tls && !private || r.network.IsValid() && !r.network.Contains(from.Unmap()) {
		return false
	}
	return (r.key == nil || r.key == signed) && (r.key != nil || r.network.IsValid())
}

func allowed(list []rule, from netip.Addr, signed *key, private bool) bool {
	for _, r := range list {
		if r.allows(from, signed, private) {
			return true
		}
	}
	return false
}

// barred tells why nobody of a list is who asks, for the log: the rule that comes
// nearest says it.
func barred(list []rule, from netip.Addr, signed *key, private bool) string {
	why := "no transfer_to is for that address and key"
	for _, r := range list {
		switch {
		case !private && r.allows(from, signed, true):
			return "transfer_to has tls = true: TLS 1.3 or QUIC is needed"
		case signed != nil && r.key == signed:
			why = fmt.Sprintf("transfer_to has that key for the network %s alone", r.network)
		case signed == nil && r.key != nil && (!r.network.IsValid() || r.network.Contains(from.Unmap())):
			why = fmt.Sprintf("transfer_to wants it signed with the key %s", format(r.key.name))
		}
	}
	if len(list) == 0 {
		return "the zone has no transfer_to"
	}
	return why
}

func rules(list []Allow, keys map[string]*key) (all []rule, err error) {
	for _, a := range list {
		r := rule{network: a.Network, tls: a.TLS}
		if r.key, err = keyNamed(a.Key, keys); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, nil
}

// keyNamed finds a key; nil for no name.
func keyNamed(name string, keys map[string]*key) (*key, error) {
	if name == "" {
		return nil, nil
	}
	wire, err := dnsname.Parse(name)
	if err != nil {
		return nil, err
	}
	k := keys[string(lowered(wire))]
	if k == nil {
		return nil, fmt.Errorf("there is no [tsig.%q]", name)
	}
	return k, nil
}

// peer is a Peer, compiled.
type peer struct {
	addr   netip.AddrPort
	source netip.Addr  // not valid: any
	key    *key        // nil: none
	tls    *tls.Config // nil: none
}

// String gives the address, for messages.
func (p peer) String() string { return p.addr.String() }

func peersOf(list []Peer, keys map[string]*key) (all []peer, err error) {
	for _, cfg := range list {
		var p peer
		if p.addr, err = cfg.addrPort(); err != nil {
			return nil, err
		}
		if cfg.Source != "" {
			if p.source, err = netip.ParseAddr(cfg.Source); err != nil {
				return nil, err
			}
		}
		if p.tls, err = cfg.tlsConfig(); err != nil {
			return nil, err
		}
		if p.key, err = keyNamed(cfg.Key, keys); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}
