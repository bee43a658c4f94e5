package nft

import (
	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
)

// Registers of four bytes each, one after the other: a key of several parts is
// loaded into a row of them. reg is the first.
const reg = unix.NFT_REG32_00

// exprs are the expressions of one rule.
type exprs []expr.Any

// rule joins parts to one rule.
func rule(parts ...exprs) []expr.Any {
	var out []expr.Any
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

// of is a single expression as a part of a rule.
func of(e ...expr.Any) exprs { return e }

// family is one of the two of the internet protocol, in the words of nftables.
type family struct {
	nfproto  byte
	tables   nftables.TableFamily
	addr     nftables.SetDatatype
	size     uint32 // of an address, in bytes
	src, dst uint32 // where the addresses are in the header
}

var (
	v4 = &family{unix.NFPROTO_IPV4, nftables.TableFamilyIPv4, nftables.TypeIPAddr, 4, 12, 16}
	v6 = &family{unix.NFPROTO_IPV6, nftables.TableFamilyIPv6, nftables.TypeIP6Addr, 16, 8, 24}
)

var families = []*family{v4, v6}

// slotsOf returns the slots of s that are of this family.
func (f *family) slotsOf(s *kernel.Service) []uint16 {
	if f == v4 {
		return s.Slots4
	}
	return s.Slots6
}

// words is how many registers an address takes.
func (f *family) words() uint32 { return f.size / 4 }

func network(offset, size, to uint32) exprs {
	return of(&expr.Payload{DestRegister: to, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size})
}

func transport(offset, size, to uint32) exprs {
	return of(&expr.Payload{DestRegister: to, Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: size})
}

func protocol(to uint32) exprs {
	return of(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: to})
}

// virtual loads where a packet goes: address, protocol, port.
func (f *family) virtual() exprs {
	w := f.words()
	return rule(network(f.dst, f.size, reg), protocol(reg+w), transport(2, 2, reg+w+1))
}

// virtualKey is the type of what virtual loads.
func (f *family) virtualKey() nftables.SetDatatype {
	return nftables.MustConcatSetType(f.addr, nftables.TypeInetProto, nftables.TypeInetService)
}

func portKey() nftables.SetDatatype {
	return nftables.MustConcatSetType(nftables.TypeInetProto, nftables.TypeInetService)
}

// local matches packets to this machine's own addresses.
func local() exprs {
	return of(&expr.Fib{Register: unix.NFT_REG_1, ResultADDRTYPE: true, FlagDADDR: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)})
}

// vmap goes where a map says for the key that is loaded, if it says anything.
func vmap(s *nftables.Set) exprs {
	return of(&expr.Lookup{SourceRegister: reg, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetID: s.ID, SetName: s.Name})
}

// in matches if the key that is loaded is in a set.
func in(s *nftables.Set) exprs {
	return of(&expr.Lookup{SourceRegister: reg, SetID: s.ID, SetName: s.Name})
}

// slot leaves the number of the slot for a new connection in the first register.
func (f *family) slot(by kernel.By, seed uint32, size int) exprs {
	hash := func(length uint32) exprs {
		return of(&expr.Hash{SourceRegister: reg, DestRegister: reg, Length: length, Modulus: uint32(size), Seed: seed, Type: expr.HashTypeJenkins})
	}
	switch by {
	case kernel.ByAddress:
		return rule(network(f.src, f.size, reg), hash(f.size))
	case kernel.ByConnection:
		return rule(f.tuple(reg), hash(f.tupleSize()))
	}
	return of(&expr.Numgen{Register: reg, Modulus: uint32(size), Type: unix.NFT_NG_INCREMENTAL})
}

// tuple loads both ends of a connection: addresses, then ports, which are four bytes together.
func (f *family) tuple(to uint32) exprs {
	w := f.words()
	return rule(network(f.src, f.size, to), network(f.dst, f.size, to+w), transport(0, 4, to+2*w))
}

func (f *family) tupleSize() uint32 { return 2*f.size + 4 }

// askedPort loads the port that the client of a connection asked for.
func askedPort(to uint32) exprs {
	return of(&expr.Ct{Key: expr.CtKeyPROTODST, Direction: original, Register: to})
}

// translated matches packets of connections whose destination was rewritten.
func translated() exprs {
	const ipsDstNAT = 1 << 5 // IPS_DST_NAT of nf_conntrack_common.h
	mask, zero := binaryutil.NativeEndian.PutUint32(ipsDstNAT), make([]byte, 4)
	return of(&expr.Ct{Key: expr.CtKeySTATUS, Register: unix.NFT_REG_1},
		&expr.Bitwise{SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4, Mask: mask, Xor: zero},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: zero})
}

// goTo ends a chain by going to another one.
func goTo(chain string) *expr.Verdict {
	return &expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}
}

// refuse has the client told that nobody is there.
func (f *family) refuse(protocol uint8) exprs {
	switch {
	case protocol == kernel.TCP:
		return of(&expr.Reject{Type: unix.NFT_REJECT_TCP_RST})
	case f == v4:
		return of(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 3}) // port unreachable, RFC 792
	}
	return of(&expr.Reject{Type: unix.NFT_REJECT_ICMP_UNREACH, Code: 4}) // port unreachable, RFC 4443 3.1
}
