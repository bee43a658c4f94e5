package nft

import (
	"errors"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// The directions of a connection, as nft_ct and ct direction number them.
const (
	original = 0
	reply    = 1
)

var hostOrder = binaryutil.NativeEndian

// account adds the chain that counts bytes: each packet of a translated connection
// looks an element up, and elements have counters. Which one is told by the
// connection's own entry, so it does not matter what is rewritten where.
func (r *ruleset) account(c *nftables.Conn) error {
	chain := c.AddChain(&nftables.Chain{Name: "account", Table: r.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityConntrackHelper})
	for _, any := range []bool{false, true} {
		elements := r.accountKeys(any)
		if len(elements) == 0 {
			continue
		}
		for _, down := range []bool{false, true} {
			name, which := "up", byte(original)
			if down {
				name, which = "down", reply
			}
			if any {
				name += ".any"
			}
			set := &nftables.Set{Name: name, Concatenation: true, Counter: true, KeyType: r.accountType(any)}
			if _, err := r.set(c, set, elements); err != nil {
				return err
			}
			r.accounts[set] = direction{down, any}
			rule, err := r.accountRule(chain.Name, which, any, set)
			if err != nil {
				return err
			}
			r.later = append(r.later, rule)
		}
	}
	return nil
}

func (f *family) accountType(any bool) nftables.SetDatatype {
	if any {
		return nftables.MustConcatSetType(nftables.TypeInetService, f.addr, nftables.TypeInetService, nftables.TypeInetProto)
	}
	return nftables.MustConcatSetType(f.addr, nftables.TypeInetService, f.addr, nftables.TypeInetService, nftables.TypeInetProto)
}

// accountRule looks an element up by where the client connected to, and the server.
func (r *ruleset) accountRule(chain string, which byte, any bool, set *nftables.Set) (rawRule, error) {
	w, at := r.words(), uint32(reg)
	var key []raw
	if !any {
		key = append(key, r.ctAddress(false, original, at))
		at += w
	}
	key = append(key, ctDirected(unix.NFT_CT_PROTO_DST, original, at), r.ctAddress(true, reply, at+1), ctDirected(unix.NFT_CT_PROTO_SRC, reply, at+1+w))
	before, err := r.encode(translated(), of(
		&expr.Ct{Key: expr.CtKeyDIRECTION, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{which}},
	))
	after, err2 := r.encode(protocol(at+2+w), in(set))
	return rawRule{r.table, chain, append(append(before, key...), after...)}, errors.Join(err, err2)
}

func accountBytes(protocol uint8, virtual, server netip.AddrPort) []byte {
	var address []byte
	if !virtual.Addr().IsUnspecified() {
		address = addrBytes(virtual.Addr())
	}
	return join(address, portBytes(virtual.Port()), addrBytes(server.Addr()), portBytes(server.Port()), protoBytes(protocol))
}

// pairs calls see for each virtual address and server that belong together.
func (r *ruleset) pairs(any bool, see func(s *kernel.Service, virtual, server netip.AddrPort)) {
	for i := range r.services {
		s := &r.services[i]
		for _, a := range s.Listen {
			if !r.has(a.Addr()) || a.Addr().IsUnspecified() != any {
				continue
			}
			for _, one := range s.Servers {
				if r.has(one.Address.Addr()) {
					see(s, a, one.Address)
				}
			}
		}
	}
}

func (r *ruleset) accountKeys(any bool) (out []nftables.SetElement) {
	r.pairs(any, func(s *kernel.Service, virtual, server netip.AddrPort) {
		out = append(out, nftables.SetElement{Key: accountBytes(s.Protocol, virtual, server)})
	})
	return out
}

// counters reads what the kernel has counted for this ruleset.
func (r *ruleset) counters() (map[counted]kernel.Counters, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	out := map[counted]kernel.Counters{}
	packets, err := counterPackets(c, r.table)
	if err != nil {
		return nil, err
	}
	for i := range r.services {
		s := &r.services[i]
		for j, one := range s.Servers {
			if n := packets[serverChain(s, j)]; n > 0 {
				key := counted{s.Name, one.Address}
				out[key] = add(out[key], kernel.Counters{Connections: n})
			}
		}
	}
	for set, d := range r.accounts {
		elements, err := c.GetSetElements(set)
		if err != nil {
			return nil, err
		}
		bytes := map[string]int64{}
		for _, e := range elements {
			if e.Counter != nil {
				bytes[string(e.Key)] = int64(e.Counter.Bytes)
			}
		}
		r.pairs(d.any, func(s *kernel.Service, virtual, server netip.AddrPort) {
			n := bytes[string(accountBytes(s.Protocol, virtual, server))]
			if n == 0 {
				return
			}
			key := counted{s.Name, server}
			if d.down {
				out[key] = add(out[key], kernel.Counters{BytesDown: n})
			} else {
				out[key] = add(out[key], kernel.Counters{BytesUp: n})
			}
		})
	}
	return out, nil
}
