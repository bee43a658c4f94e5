package geo

// sweep runs over partitions of one family in step. It calls emit for each
// piece in which all of them are constant, in address order: at is the piece
// (a hole if any of them has one there), values hold what each partition says.
// changed is the least index whose value may differ from the call before.
func sweep(parts []partition, emit func(at run, values []uint32, changed int)) {
	cursors := make([]cursor, len(parts))
	current := make([]run, len(parts))
	last := make([]key, len(parts))
	values := make([]uint32, len(parts))
	step := func(i int) {
		current[i] = cursors[i].next()
		last[i] = current[i].last()
		values[i] = current[i].value
	}
	for i, p := range parts {
		cursors[i] = p.cursor()
		step(i)
	}
	changed := 0
	for {
		// Networks nest: the narrowest of those around this address lies within
		// all the others, and begins here.
		at := run{leaf: leaf{kind: plain}}
		end := lastKey
		for i := range current {
			if current[i].bits >= at.bits {
				at.start, at.bits, end = current[i].start, current[i].bits, last[i]
			}
			if current[i].kind == hole {
				at.kind = hole
			}
		}
		emit(at, values, changed)
		if end == lastKey {
			return
		}
		changed = len(parts)
		for i := len(parts) - 1; i >= 0; i-- {
			if last[i] == end {
				step(i)
				changed = i
			}
		}
	}
}
