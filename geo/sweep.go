package geo

// sweep runs over partitions of one family in step. It calls emit for each
// piece in which all of them are constant, in address order: at is the piece
// (a hole if any of them has one there), values hold what each partition says.
// changed is the least index whose value may differ from the call before.
func sweep(parts []*stream, emit func(at run, values []uint32, changed int)) {
	readers := make([]reader, len(parts))
	values := make([]uint32, len(parts))
	for i, p := range parts {
		readers[i] = p.reader()
		readers[i].next()
		values[i] = readers[i].value
	}
	changed := 0
	for {
		// Networks nest: the narrowest of those around this address lies within
		// all the others, and begins here.
		at, end := run{}, lastKey
		for i := range readers {
			r := &readers[i]
			if r.bits >= at.bits {
				at.start, at.bits, end = r.start, r.bits, r.last
			}
			at.hole = at.hole || r.hole
		}
		emit(at, values, changed)
		if end == lastKey {
			return
		}
		changed = len(parts)
		for i := len(parts) - 1; i >= 0; i-- {
			if r := &readers[i]; r.last == end {
				r.next()
				values[i] = r.value
				changed = i
			}
		}
	}
}
