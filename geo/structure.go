package geo

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/oschwald/maxminddb-golang/v2"

	"gslb/parallel"
)

// newSearchTree checks what a walk over the networks relies on to end: that
// the search tree is a tree. (A tree whose nodes are shared can stand for 2^100
// networks in a few hundred bytes.) The decoder checks the records themselves.
//
// maxminddb's own Verify is not used: it refuses databases for missing
// descriptions, accepts shared nodes, and takes three times as long as all the rest.
func newSearchTree(file []byte, m maxminddb.Metadata) (*searchTree, error) {
	switch {
	case m.BinaryFormatMajorVersion != 2:
		return nil, fmt.Errorf("MaxMind DB format version %d: must be 2", m.BinaryFormatMajorVersion)
	case m.IPVersion != 4 && m.IPVersion != 6:
		return nil, fmt.Errorf("ip_version %d: must be 4 or 6", m.IPVersion)
	case m.RecordSize != 24 && m.RecordSize != 28 && m.RecordSize != 32:
		return nil, fmt.Errorf("record_size %d: must be 24, 28 or 32", m.RecordSize)
	case m.NodeCount == 0:
		return nil, errors.New("node_count 0: must be at least 1")
	}
	t := &searchTree{data: file, nodes: m.NodeCount, width: m.RecordSize / 4, only4: m.IPVersion == 4}
	size := t.nodes * t.width // OpenBytes made sure that this much is there
	end := bytes.LastIndex(file, metadataMarker)
	if end < 0 || uint(end) < size+separatorSize {
		return nil, fmt.Errorf("node_count %d: too many for a file of %d bytes", m.NodeCount, len(file))
	}
	if !bytes.Equal(file[size:size+separatorSize], make([]byte, separatorSize)) {
		return nil, errors.New("no separator of 16 zero bytes after the search tree")
	}
	t.dataSize = uint(end) - size - separatorSize
	if !t.only4 {
		t.ipv4 = t.rootOfIPv4()
	}
	return t, t.check()
}

// separatorSize is the number of zero bytes between search tree and data.
const separatorSize = 16

// metadataMarker ends the data section.
var metadataMarker = []byte("\xab\xcd\xefMaxMind.com")

// check makes sure that no node is reached on two ways, apart from the root of
// the IPv4 addresses in an IPv6 tree, to which the ranges that hold them point.
func (t *searchTree) check() error {
	shared := t.nodes // none
	if !t.only4 {
		shared = t.ipv4
	}
	reached := newBitset(t.nodes)
	reached.set(0)
	for n := range t.nodes {
		left, right := t.children(n)
		for _, child := range [...]uint{left, right} {
			if child >= t.nodes {
				continue
			}
			if reached.has(child) && child != shared || child == 0 {
				return fmt.Errorf("corrupt search tree: node %d is reached a second time from node %d", child, n)
			}
			reached.set(child)
		}
		if n%(4*yieldEvery) == 0 {
			parallel.Yield()
		}
	}
	return nil
}
