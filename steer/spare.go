package steer

import "gslb/health"

// spares estimates the spare capacity of every site, for Load: its capacity
// times the share of it that is free.
//
//	the site's balancer reports │ the site states one │ capacity
//	────────────────────────────┼─────────────────────┼────────────────────────────
//	a capacity                  │ -                   │ the reported
//	none                        │ yes                 │ the stated
//	none                        │ no                  │ the mean of those known; 1
//
//	reports there are │ share that is free
//	──────────────────┼──────────────────────────────────
//	yes               │ 1 - load/capacity, at least 0
//	none              │ the mean of those known; all of it
//
// So a site that says nothing is neither starved nor flooded.
func spares(sites []Site, stats []health.Status, all []standing) {
	var capacity, free mean
	for i := range sites {
		if c := capacityOf(&sites[i], &stats[i]); c > 0 {
			capacity.add(c)
			if reported(&stats[i]) {
				free.add(1 - share(stats[i].Load/c))
			}
		}
	}
	for i := range sites {
		c := capacityOf(&sites[i], &stats[i])
		f := free.or(1)
		switch {
		case c == 0:
			c = capacity.or(1)
		case reported(&stats[i]):
			f = 1 - share(stats[i].Load/c)
		}
		all[i].spare, all[i].capacity = c*f, c
	}
}

// maxCapacity keeps the arithmetic on capacities far from overflow.
const maxCapacity = 1e30

// capacityOf is the site's capacity; 0: unknown.
func capacityOf(s *Site, st *health.Status) float64 {
	if st.Capacity > 0 {
		return min(st.Capacity, maxCapacity)
	}
	return s.Capacity
}

// reported tells whether the Load is more than the absence of a report.
func reported(st *health.Status) bool { return len(st.Reports) > 0 || st.Load > 0 }

// mean is a running mean.
type mean struct{ sum, n float64 }

func (m *mean) add(x float64) { m.sum += x; m.n++ }

// or is the mean, or otherwise when there is none.
func (m *mean) or(otherwise float64) float64 {
	if m.n == 0 {
		return otherwise
	}
	return m.sum / m.n
}
