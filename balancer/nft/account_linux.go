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
		for _, d := range []direction{{any: any}, {down: true, any: any}, {down: true, refused: true, any: any}} {
			elements := r.accountKeys(d)
			if len(elements) == 0 {
				continue
			}
			set := &nftables.Set{Name: d.name(), Concatenation: true, Counter: true, KeyType: r.accountType(any)}
			if _, err := r.set(c, set, elements); err != nil {
				return err
			}
			r.accounts[set] = d
			rule, err := r.accountRule(chain.Name, d, set)
			if err != nil {
				return err
			}
			r.later = append(r.later, rule)
		}
	}
	return nil
}

func (d direction) name() string {
	name := "up"
	switch {
	case d.refused:
		name = "refused"
	case d.down:
		name = "down"
	}
	if d.any {
		name += ".any"
	}
	return name
}

func (f *family) accountType(any bool) nftables.SetDatatype {
	if any {
		return nftables.MustConcatSetType(nftables.TypeInetService, f.addr, nftables.TypeInetService, nftables.TypeInetProto)
	}
	return nftables.MustConcatSetType(f.addr, nftables.TypeInetService, f.addr, nftables.TypeInetService, nftables.TypeInetProto)
}

// refusal matches what answers a SYN where nobody listens: RST and ACK, with the number 0 (RFC 9293, section 3.10.7.1).
func refusal() exprs {
	const rstAck = 0x04 | 0x10
	return of(
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 13, Len: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{rstAck}},
		&expr.Payload{DestRegister: unix.NFT_REG_1, Base: expr.PayloadBaseTransportHeader, Offset: 4, Len: 4},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: make([]byte, 4)},
	)
}

// accountRule looks an element up by where the client connected to, and the server.
func (r *ruleset) accountRule(chain string, d direction, set *nftables.Set) (rawRule, error) {
	w, at := r.words(), uint32(reg)
	which, only := byte(original), exprs(nil)
	if d.down {
		which = reply
	}
	if d.refused {
		only = refusal()
	}
	var key []raw
	if !d.any {
		key = append(key, r.ctAddress(false, original, at))
		at += w
	}
	key = append(key, ctDirected(unix.NFT_CT_PROTO_DST, original, at), r.ctAddress(true, reply, at+1), ctDirected(unix.NFT_CT_PROTO_SRC, reply, at+1+w))
	before, err := r.encode(only, translated(), of(
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

func (r *ruleset) accountKeys(d direction) (out []nftables.SetElement) {
	r.pairs(d.any, func(s *kernel.Service, virtual, server netip.AddrPort) {
		if d.refused && s.Protocol != kernel.TCP {
			return
		}
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
		seen := map[string]*expr.Counter{}
		for _, e := range elements {
			seen[string(e.Key)] = e.Counter
		}
		r.pairs(d.any, func(s *kernel.Service, virtual, server netip.AddrPort) {
			n := seen[string(accountBytes(s.Protocol, virtual, server))]
			if n == nil || n.Packets == 0 {
				return
			}
			key, more := counted{s.Name, server}, kernel.Counters{}
			switch {
			case d.refused:
				more.Failed = int64(n.Packets)
			case d.down:
				more.BytesDown = int64(n.Bytes)
			default:
				more.BytesUp = int64(n.Bytes)
			}
			out[key] = add(out[key], more)
		})
	}
	return out, nil
}
