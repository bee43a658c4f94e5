package zones

import (
	"bytes"
	"slices"
	"sort"
)

// chainEdit makes the next chain of a zone that is being patched. Chunks in which no
// name comes or goes keep their trees.
type chainEdit struct {
	z      *Zone // the one before, whose arena has the names
	chunks []*chain
	// lists are the chunks that are being changed, in the place of those in chunks, and
	// nodes likewise where only nodes of them have moved.
	lists map[int][]keyed
	nodes map[int][]node
	// owners are the names of those that have come and are not written yet, by key.
	owners map[string][]byte
}

func newChainEdit(z *Zone) *chainEdit {
	return &chainEdit{z: z, chunks: slices.Clone(z.chain.pieces()), lists: make(map[int][]keyed), nodes: make(map[int][]node), owners: make(map[string][]byte)}
}

// key is that of a name.
func (e *chainEdit) key(owner []byte) []byte { return appendKey(nil, owner, len(e.z.apex)) }

// chunk is the number of the chunk that a key belongs to.
func (e *chainEdit) chunk(key []byte) int {
	return max(0, sort.Search(len(e.chunks), func(i int) bool { return bytes.Compare(e.chunks[i].first, key) > 0 })-1)
}

// open gives a chunk for names to come and go.
func (e *chainEdit) open(i int) []keyed {
	if list, ok := e.lists[i]; ok {
		return list
	}
	list := make([]keyed, 0, len(e.chunks[i].nodes)+4)
	moved := e.nodes[i]
	for j, n := range e.chunks[i].nodes { // the old node has the same name
		key := e.key(e.z.arena.owner(n))
		if moved != nil {
			n = moved[j]
		}
		list = append(list, keyed{keyHead(key, 0), key, n})
	}
	delete(e.nodes, i)
	e.lists[i] = list
	return list
}

func place(list []keyed, key []byte) (at int, found bool) {
	return slices.BinarySearchFunc(list, key, func(k keyed, key []byte) int { return bytes.Compare(k.key, key) })
}

// come puts a name in whose node is not written yet.
func (e *chainEdit) come(owner []byte) {
	key := e.key(owner)
	i := e.chunk(key)
	list := e.open(i)
	at, found := place(list, key)
	if !found {
		e.lists[i] = slices.Insert(list, at, keyed{keyHead(key, 0), key, 0})
		e.owners[string(key)] = owner
	}
}

// leave takes a name out.
func (e *chainEdit) leave(owner []byte) {
	key := e.key(owner)
	i := e.chunk(key)
	list := e.open(i)
	if at, found := place(list, key); found {
		e.lists[i] = slices.Delete(list, at, at+1)
		delete(e.owners, string(key))
	}
}

// has tells whether a name is in the chain as it is to be.
func (e *chainEdit) has(owner []byte) bool {
	key := e.key(owner)
	_, found := place(e.open(e.chunk(key)), key)
	return found
}

// moved tells of a node that a name of the chain, if it is one, has from now on. It
// lies in an arena that is longer than that of the zone before.
func (e *chainEdit) moved(a arena, n node) {
	key := e.key(a.owner(n))
	i := e.chunk(key)
	if list, ok := e.lists[i]; ok {
		if at, found := place(list, key); found {
			list[at].n = n
		}
		return
	}
	c := e.chunks[i]
	if len(c.nodes) == 0 || bytes.Compare(key, c.first) < 0 {
		return
	}
	at := c.at(e.z, key)
	if !bytes.Equal(e.key(e.z.arena.owner(c.nodes[at])), key) {
		return
	}
	if e.nodes[i] == nil {
		e.nodes[i] = slices.Clone(c.nodes)
	}
	e.nodes[i][at] = n
}

// neighbour gives the owner of the name in the chain that stands next to a key: before
// it, or behind it, and not at it.
func (e *chainEdit) neighbour(key []byte, before bool) []byte {
	i := e.chunk(key)
	list := e.open(i)
	at, found := place(list, key)
	switch {
	case before:
		at--
	case found:
		at++
	}
	for n := len(e.chunks); at < 0 || at >= len(list); {
		if before {
			i = (i - 1 + n) % n
			list = e.open(i)
			at = len(list) - 1
		} else {
			i = (i + 1) % n
			list, at = e.open(i), 0
		}
	}
	return e.owner(list[at])
}

func (e *chainEdit) owner(k keyed) []byte {
	if owner := e.owners[string(k.key)]; owner != nil {
		return owner
	}
	return e.z.arena.owner(k.n)
}

// finish gives the next chain. The nodes of all names are there.
func (e *chainEdit) finish() *chain {
	var next []*chain
	for i, c := range e.chunks {
		if nodes := e.nodes[i]; nodes != nil {
			moved := *c
			moved.nodes = nodes
			c = &moved
		}
		list, changed := e.lists[i]
		if !changed {
			next = append(next, c)
			continue
		}
		for len(list) > mostChunk {
			next = append(next, newChunk(list[:chunkSize]))
			list = list[chunkSize:]
		}
		if len(list) > 0 {
			next = append(next, newChunk(list))
		}
	}
	return chainOf(next)
}
