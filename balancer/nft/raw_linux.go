package nft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// The library has not all expressions that rules here need, and takes none but its
// own. Rules with others are written as messages, and sent as a transaction that follows.

// raw is an expression as it is in a message.
type raw []byte

// rawRule is a rule of such.
type rawRule struct {
	table *nftables.Table
	chain string
	parts []raw
}

// encode writes expressions of the library.
func (f *family) encode(parts ...exprs) (out []raw, err error) {
	for _, e := range rule(parts...) {
		b, err := expr.Marshal(byte(f.tables), e)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// named writes an expression by its name, with attributes that are numbers of 32 bits.
func named(name string, attributes ...uint32) raw {
	var data []netlink.Attribute
	for i := 0; i < len(attributes); i += 2 {
		data = append(data, netlink.Attribute{Type: uint16(attributes[i]), Data: binary.BigEndian.AppendUint32(nil, attributes[i+1])})
	}
	inner, _ := netlink.MarshalAttributes(data)
	out, _ := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_EXPR_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NLA_F_NESTED | unix.NFTA_EXPR_DATA, Data: inner},
	})
	return out
}

// Keys of linux/netfilter/nf_tables.h, enum nft_ct_keys, by family.
const (
	ctSrcIP, ctDstIP   = 19, 20
	ctSrcIP6, ctDstIP6 = 21, 22
)

// ctAddress loads an address of a connection's entry.
func (f *family) ctAddress(source bool, direction, to uint32) raw {
	key := uint32(ctDstIP)
	switch {
	case f == v4 && source:
		key = ctSrcIP
	case f == v6 && source:
		key = ctSrcIP6
	case f == v6:
		key = ctDstIP6
	}
	return ctDirected(key, direction, to)
}

// ctDirected loads a part of one direction of a connection's entry. (The direction is a
// number of 8 bits; the library writes 32, of which the kernel reads the first.)
func ctDirected(key, direction, to uint32) raw {
	return named("ct", unix.NFTA_CT_KEY, key, unix.NFTA_CT_DREG, to, unix.NFTA_CT_DIRECTION, direction<<24)
}

// send adds rules, all or none.
func send(rules []rawRule) error {
	if len(rules) == 0 {
		return nil
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := errors.Join(c.SetWriteBuffer(buffers), c.SetReadBuffer(buffers)); err != nil {
		return err
	}
	edge := func(kind int) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request},
			Data: nfgenmsg(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)}
	}
	batch := []netlink.Message{edge(unix.NFNL_MSG_BATCH_BEGIN)}
	for _, r := range rules {
		data, err := r.marshal()
		if err != nil {
			return err
		}
		batch = append(batch, netlink.Message{
			Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWRULE,
				Flags: netlink.Request | netlink.Acknowledge | netlink.Create | netlink.Append},
			Data: append(nfgenmsg(uint8(r.table.Family), 0), data...),
		})
	}
	batch = append(batch, edge(unix.NFNL_MSG_BATCH_END))
	if _, err := c.SendMessages(batch); err != nil {
		return err
	}
	for range rules {
		if _, err := c.Receive(); err != nil {
			return fmt.Errorf("a rule of chain %q: %w", rules[0].chain, err)
		}
	}
	return nil
}

func nfgenmsg(family uint8, resource uint16) []byte {
	return binary.BigEndian.AppendUint16([]byte{family, unix.NFNETLINK_V0}, resource)
}

func (r rawRule) marshal() ([]byte, error) {
	var parts []netlink.Attribute
	for _, p := range r.parts {
		parts = append(parts, netlink.Attribute{Type: unix.NLA_F_NESTED | unix.NFTA_LIST_ELEM, Data: p})
	}
	list, err := netlink.MarshalAttributes(parts)
	if err != nil {
		return nil, err
	}
	return netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_RULE_TABLE, Data: append([]byte(r.table.Name), 0)},
		{Type: unix.NFTA_RULE_CHAIN, Data: append([]byte(r.chain), 0)},
		{Type: unix.NLA_F_NESTED | unix.NFTA_RULE_EXPRESSIONS, Data: list},
	})
}
