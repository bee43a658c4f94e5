package nft

import (
	"cmp"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// sources adds the chain that rewrites where connections come from: of services
// that are to have it so, and of servers that are clients of their own service
// (hairpin), whose answers would not come by here otherwise.
func (r *ruleset) sources(c *nftables.Conn) error {
	chain := c.AddChain(&nftables.Chain{Name: "postrouting", Table: r.table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	byServer := map[kernel.Source]map[string]nftables.SetElement{}
	hairpin := map[string]nftables.SetElement{}
	for i := range r.services {
		s := &r.services[i]
		for _, one := range s.Servers {
			if !r.has(one.Address.Addr()) {
				continue
			}
			b := addrBytes(one.Address.Addr())
			hairpin[string(b)] = nftables.SetElement{Key: b}
			if s.Source == (kernel.Source{}) {
				continue
			}
			if byServer[s.Source] == nil {
				byServer[s.Source] = map[string]nftables.SetElement{}
			}
			for _, a := range s.Listen { // the port that was asked for tells frontends of one server apart
				if r.has(a.Addr()) {
					key := join(b, portBytes(one.Address.Port()), protoBytes(s.Protocol), portBytes(a.Port()))
					byServer[s.Source][string(key)] = nftables.SetElement{Key: key}
				}
			}
		}
	}
	order := sortedKeys(byServer, func(a, b kernel.Source) int {
		return cmp.Or(a.Address.Compare(b.Address), cmp.Compare(btoi(a.Masquerade), btoi(b.Masquerade)))
	})
	w := r.words()
	for i, source := range order {
		set, err := r.set(c, &nftables.Set{Name: "source." + string(rune('a'+i)), Concatenation: true,
			KeyType: nftables.MustConcatSetType(r.addr, nftables.TypeInetService, nftables.TypeInetProto, nftables.TypeInetService)}, values(byServer[source]))
		if err != nil {
			return err
		}
		key := rule(network(r.dst, r.size, reg), transport(2, 2, reg+w), protocol(reg+w+1), askedPort(reg+w+2))
		r.rule(c, chain, translated(), key, in(set), r.snat(source))
	}
	set, err := r.set(c, &nftables.Set{Name: "hairpin", KeyType: r.addr}, values(hairpin))
	if err != nil || set == nil {
		return err
	}
	r.rule(c, chain, translated(), network(r.src, r.size, reg), in(set), r.snat(kernel.Source{Masquerade: true}))
	return nil
}

// snat ends a rule by rewriting the source.
func (f *family) snat(s kernel.Source) exprs {
	if s.Masquerade {
		return of(&expr.Masq{})
	}
	return of(&expr.Immediate{Register: unix.NFT_REG_1, Data: addrBytes(s.Address)},
		&expr.NAT{Type: expr.NATTypeSourceNAT, Family: uint32(f.nfproto), RegAddrMin: unix.NFT_REG_1})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func sortedKeys[K comparable, V any](m map[K]V, compare func(a, b K) int) []K {
	var out []K
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, compare)
	return out
}

func values(m map[string]nftables.SetElement) []nftables.SetElement {
	var out []nftables.SetElement
	for _, k := range sortedKeys(m, cmp.Compare[string]) {
		out = append(out, m[k])
	}
	return out
}
