package transfer

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// WithDefaults returns k with the defaults in place of zero values.
func (k Key) WithDefaults() Key {
	if k.Algorithm == "" {
		k.Algorithm = "hmac-sha256"
	}
	return k
}

// Validate calls bad once for each fault, with the key it is in.
func (k Key) Validate(bad func(key, msg string)) {
	k = k.WithDefaults()
	if algorithmNamed(k.Algorithm) == nil {
		bad("algorithm", fmt.Sprintf("%q: must be one of %s", k.Algorithm, strings.Join(algorithmNames(), ", ")))
	}
	switch {
	case k.Secret == "" && k.SecretFile == "":
		bad("secret", "missing: must be the key's secret in base64, or secret_file the name of a file with it")
	case k.Secret != "" && k.SecretFile != "":
		bad("secret_file", "stands beside secret: one of them is enough")
	case k.Secret != "":
		if _, err := decodeSecret(k.Secret); err != nil {
			bad("secret", err.Error()) // the secret itself is not shown
		}
	}
}

// decodeSecret reads a secret as tsig-keygen and others write it.
func decodeSecret(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		return nil, fmt.Errorf("not base64 (%v)", err)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("empty")
	}
	return b, nil
}

// read gives the secret, from its file where it stands in one.
func (k Key) read() ([]byte, error) {
	if k.SecretFile == "" {
		return decodeSecret(k.Secret)
	}
	text, err := os.ReadFile(k.SecretFile)
	if err != nil {
		return nil, err
	}
	b, err := decodeSecret(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.SecretFile, err)
	}
	return b, nil
}

// Validate calls bad once for each fault, with the key it is in. name is the
// zone's apex, and known tells whether there is a [tsig.NAME] of that name.
func (z Zone) Validate(name string, known func(key string) bool, bad func(key, msg string)) {
	allows(z.TransferTo, "transfer_to", known, bad)
	allows(z.NotifyFrom, "notify_from", known, bad)
	allows(z.ForwardUpdates, "forward_updates", known, bad)
	peers(z.Notify, "notify", known, bad)
	peers(z.Primaries, "primaries", known, bad)
	for i, u := range z.Update {
		u.validate(name, known, func(key, msg string) { bad(fmt.Sprintf("update[%d].%s", i, key), msg) })
	}
	if z.Steered != "" && z.Steered != SteeredDefault && z.Steered != SteeredOmit {
		bad("steered", fmt.Sprintf(`%q: must be "default" or "omit"`, z.Steered))
	}
	secondary := len(z.Primaries) > 0
	switch {
	case z.Catalog != "" && z.Catalog != Producer && z.Catalog != Consumer:
		bad("catalog", fmt.Sprintf(`%q: must be "producer" or "consumer"`, z.Catalog))
	case z.Catalog == Consumer && !secondary:
		bad("primaries", "missing: a catalog that is consumed comes from somewhere")
	case z.Catalog == Producer && secondary:
		bad("primaries", "a catalog that is produced here has no primaries")
	case z.Catalog == Producer && len(z.Update) > 0:
		bad("update", "a catalog is made of the zones whose member_of names it: it takes no updates")
	case secondary && len(z.Update) > 0:
		bad("update", "a zone with primaries takes no updates: send them to its primary, or let forward_updates pass them on")
	case !secondary && len(z.NotifyFrom) > 0:
		bad("notify_from", "means nothing without primaries")
	case !secondary && len(z.ForwardUpdates) > 0:
		bad("forward_updates", "means nothing without primaries: who may change a zone of this server is said in [[zone.update]]")
	case z.Catalog == Consumer && len(z.ForwardUpdates) > 0:
		bad("forward_updates", "a catalog takes no updates; for its members it is said in [zone.member]")
	}
	switch {
	case z.MaxRecords < 0:
		bad("max_records", fmt.Sprintf("%d: must be how many records a transfer may bring, or left out for %d", z.MaxRecords, defaultMaxRecords))
	case z.MaxRecords > 0 && !secondary:
		bad("max_records", "means nothing without primaries")
	}
	if z.Group != "" && z.MemberOf == "" {
		bad("group", "means nothing without member_of")
	}
	if len(z.Group) > 255 {
		bad("group", "must be 255 octets at most")
	}
	m := z.Member
	if z.Catalog != Consumer && len(m.Primaries)+len(m.TransferTo)+len(m.Notify)+len(m.NotifyFrom)+len(m.ForwardUpdates) > 0 {
		bad("member", `means nothing without catalog = "consumer"`)
	}
	allows(m.TransferTo, "member.transfer_to", known, bad)
	allows(m.NotifyFrom, "member.notify_from", known, bad)
	allows(m.ForwardUpdates, "member.forward_updates", known, bad)
	peers(m.Notify, "member.notify", known, bad)
	peers(m.Primaries, "member.primaries", known, bad)
}

func allows(list []Allow, key string, known func(string) bool, bad func(key, msg string)) {
	for i, a := range list {
		who(a.Network, a.Key, known, func(sub, msg string) { bad(fmt.Sprintf("%s[%d].%s", key, i, sub), msg) })
	}
}

// who tells what is wrong with a network and a key that say who may do something.
func who(network netip.Prefix, name string, known func(string) bool, bad func(key, msg string)) {
	if !network.IsValid() && name == "" {
		bad("key", "missing: must be the name of a [tsig.NAME], or network must say who")
	}
	if network.IsValid() && network != network.Masked() {
		bad("network", fmt.Sprintf("%q: has bits set beyond its length; the network is %q", network, network.Masked()))
	}
	unknownKey(name, known, bad)
}

func unknownKey(name string, known func(string) bool, bad func(key, msg string)) {
	if name != "" && !known(name) {
		bad("key", fmt.Sprintf("%q: there is no [tsig.%q]", name, name))
	}
}

func peers(list []Peer, key string, known func(string) bool, bad func(key, msg string)) {
	for i, p := range list {
		sub := func(k, msg string) { bad(fmt.Sprintf("%s[%d].%s", key, i, k), msg) }
		if p.Address == "" {
			sub("address", `missing: must be the server's IP address, such as "192.0.2.1" or "192.0.2.1:53"`)
		} else if _, err := p.addrPort(); err != nil {
			sub("address", err.Error())
		}
		if p.Source != "" {
			if _, err := netip.ParseAddr(p.Source); err != nil {
				sub("source", fmt.Sprintf("%q: must be an IP address", p.Source))
			}
		}
		unknownKey(p.Key, known, sub)
		p.validateTLS(sub)
	}
}

// addrPort reads the address of a server.
func (p Peer) addrPort() (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(p.Address); err == nil {
		if p.TLS != "" {
			return netip.AddrPortFrom(a, 853), nil
		}
		return netip.AddrPortFrom(a, 53), nil
	}
	host, port, err := net.SplitHostPort(p.Address)
	if err == nil {
		a, err1 := netip.ParseAddr(host)
		n, err2 := strconv.ParseUint(port, 10, 16)
		if err1 == nil && err2 == nil && n > 0 {
			return netip.AddrPortFrom(a, uint16(n)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf(`%q: must be an IP address, with or without a port, such as "192.0.2.1" or "[2001:db8::1]:53"`, p.Address)
}

func (u Update) validate(zone string, known func(string) bool, bad func(key, msg string)) {
	who(u.Network, u.Key, known, bad)
	apex, _ := dnsname.Parse(zone) // what is wrong with it is said elsewhere
	for _, list := range []struct {
		key   string
		names []string
	}{{"names", u.Names}, {"below", u.Below}} {
		for i, name := range list.names {
			wire, err := dnsname.Parse(name)
			switch {
			case err != nil:
				bad(fmt.Sprintf("%s[%d]", list.key, i), err.Error())
			case apex != nil && !isBelow(lowered(wire), lowered(apex)):
				bad(fmt.Sprintf("%s[%d]", list.key, i), fmt.Sprintf("%q: is not in the zone %s", name, zone))
			}
		}
	}
	for i, t := range u.Types {
		n, ok := dns.StringToType[strings.ToUpper(t)]
		if !ok || n >= 128 && n <= 255 || n == dns.TypeOPT || slices.Contains(signingTypes, n) {
			bad(fmt.Sprintf("types[%d]", i), fmt.Sprintf("%q: must be a type of records that an update may change, such as \"TXT\"", t))
		}
	}
}

// signingTypes are made by whoever signs a zone, not by updates.
var signingTypes = []uint16{dns.TypeRRSIG, dns.TypeNSEC, dns.TypeNSEC3, dns.TypeNSEC3PARAM, dns.TypeDNSKEY}

func lowered(name []byte) []byte { return dnsname.AppendLower(nil, name) }

// isBelow tells whether a name in lower case is at or below another.
func isBelow(name, top []byte) bool {
	for len(name) > len(top) {
		name = name[1+int(name[0]):]
	}
	return string(name) == string(top)
}
