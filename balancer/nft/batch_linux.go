package nft

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
)

// buffers bounds what one transaction may have: it is sent with one call, and
// acknowledged message by message.
const buffers = 64 << 20

// dial returns a connection to nftables. What is done with it between two calls of
// Flush is one transaction.
func dial() (*nftables.Conn, error) {
	return nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(buffers), c.SetReadBuffer(buffers))
	}))
}

// explain puts what the kernel refuses in words.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("needs CAP_NET_ADMIN: %w", err)
	case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.EPROTONOSUPPORT), errors.Is(err, syscall.EAFNOSUPPORT):
		return fmt.Errorf("this kernel's nftables lacks something that it needs (modules nf_tables, nft_nat, nft_numgen, nft_hash, nft_ct, nft_fwd_netdev; for network_rate nft_limit, for network_connections nft_connlimit, for allow and deny nft_reject): %w", err)
	}
	return err
}

// tableName is the name of this node's tables.
func tableName(node string) string {
	if node == "" {
		return "gslb"
	}
	return "gslb-" + node
}

// chunk is how many elements go in one message, whose length is a number of 16 bits.
const chunk = 256

func addElements(c *nftables.Conn, s *nftables.Set, elements []nftables.SetElement) error {
	for len(elements) > 0 {
		n := min(chunk, len(elements))
		if err := c.SetAddElements(s, elements[:n]); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

func deleteElements(c *nftables.Conn, s *nftables.Set, elements []nftables.SetElement) error {
	for len(elements) > 0 {
		n := min(chunk, len(elements))
		if err := c.SetDeleteElements(s, elements[:n]); err != nil {
			return err
		}
		elements = elements[n:]
	}
	return nil
}

// ownerPrefix begins the name of an empty chain, which tells whose a table is: a
// process that ends must not take away what its successor has put in its place.
const ownerPrefix = "owner."

func newOwner() string {
	b := make([]byte, 8)
	rand.Read(b)
	return ownerPrefix + hex.EncodeToString(b)
}

// remove deletes a table if it is the owner's, or, without one, whoever's it is.
func remove(family nftables.TableFamily, name, owner string) error {
	c, err := dial()
	if err != nil {
		return err
	}
	t, err := c.ListTableOfFamily(name, family)
	if err != nil || t == nil {
		return nil // there is none
	}
	if owner != "" {
		chains, err := c.ListChainsOfTableFamily(family)
		if err != nil {
			return err
		}
		for _, chain := range chains {
			if chain.Table.Name == name && strings.HasPrefix(chain.Name, ownerPrefix) && chain.Name != owner {
				return nil
			}
		}
	}
	c.DelTable(t)
	return c.Flush()
}

// slotElements are the elements of a map of slots, or, with was, only those that
// are others now, and as they were.
func slotElements(slots, was []uint16, data func(server uint16) nftables.SetElement) (now, before []nftables.SetElement) {
	for i, server := range slots {
		if was != nil && was[i] == server {
			continue
		}
		e := data(server)
		e.Key = slotBytes(i)
		now = append(now, e)
		if was != nil {
			before = append(before, nftables.SetElement{Key: e.Key})
		}
	}
	return now, before
}
