package geo

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/oschwald/maxminddb-golang/v2"
)

// checkStructure checks what a walk over the networks relies on to end: that
// the search tree is a tree. (A tree whose nodes are shared can stand for 2^100
// networks in a few hundred bytes.) The decoder checks the records themselves.
//
// maxminddb's own Verify is not used: it refuses databases for missing
// descriptions, accepts shared nodes, and takes three times as long as all the rest.
func checkStructure(file []byte, m maxminddb.Metadata) error {
	switch {
	case m.BinaryFormatMajorVersion != 2:
		return fmt.Errorf("MaxMind DB format version %d: must be 2", m.BinaryFormatMajorVersion)
	case m.IPVersion != 4 && m.IPVersion != 6:
		return fmt.Errorf("ip_version %d: must be 4 or 6", m.IPVersion)
	case m.RecordSize != 24 && m.RecordSize != 28 && m.RecordSize != 32:
		return fmt.Errorf("record_size %d: must be 24, 28 or 32", m.RecordSize)
	case m.NodeCount == 0:
		return errors.New("node_count 0: must be at least 1")
	}
	t := searchTree{nodes: m.NodeCount, width: m.RecordSize / 4}
	size := t.nodes * t.width // OpenBytes made sure that this much is there
	if uint(len(file)) < size+separatorSize {
		return fmt.Errorf("node_count %d: too many for a file of %d bytes", m.NodeCount, len(file))
	}
	t.data = file[:size]
	if !bytes.Equal(file[size:size+separatorSize], make([]byte, separatorSize)) {
		return errors.New("no separator of 16 zero bytes after the search tree")
	}
	return t.check(m.IPVersion)
}

// separatorSize is the number of zero bytes between search tree and data.
const separatorSize = 16

// searchTree reads the nodes at the start of a MaxMind DB file: pairs of
// records, each the number of another node, or no less than the number of nodes.
type searchTree struct {
	data  []byte
	nodes uint
	width uint // of a node, in bytes
}

// check makes sure that no node is reached on two ways, apart from the root of
// the IPv4 addresses in an IPv6 tree, to which the ranges that hold them point.
func (t *searchTree) check(ipVersion uint) error {
	shared := t.nodes // none
	if ipVersion == 6 {
		shared = t.rootOfIPv4()
	}
	reached := make([]bool, t.nodes)
	reached[0] = true
	for n := range t.nodes {
		left, right := t.children(n)
		for _, child := range [...]uint{left, right} {
			if child >= t.nodes {
				continue
			}
			if reached[child] && child != shared || child == 0 {
				return fmt.Errorf("corrupt search tree: node %d is reached a second time from node %d", child, n)
			}
			reached[child] = true
		}
	}
	return nil
}

func (t *searchTree) rootOfIPv4() uint {
	n := uint(0)
	for range 96 {
		if n >= t.nodes {
			break
		}
		n, _ = t.children(n)
	}
	return n
}

// children returns the two records of a node. In a node of 7 bytes they share
// the middle one: its upper half tops the left record, its lower half the right one.
func (t *searchTree) children(n uint) (left, right uint) {
	b := t.data[n*t.width : (n+1)*t.width]
	switch t.width {
	case 6:
		return bigEndian(b[:3]), bigEndian(b[3:])
	case 7:
		return uint(b[3]>>4)<<24 | bigEndian(b[:3]), uint(b[3]&0xf)<<24 | bigEndian(b[4:])
	}
	return bigEndian(b[:4]), bigEndian(b[4:])
}

func bigEndian(b []byte) (v uint) {
	for _, c := range b {
		v = v<<8 | uint(c)
	}
	return v
}
