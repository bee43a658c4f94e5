package balancer

import (
	"sync"
	"testing"

	"gslb/balancer/kernel"
)

// What the kernel refuses is counted as in the plane proxy, also when its counters begin anew.
func TestRefusedByTheKernel(t *testing.T) {
	k := newInKernel(PlaneNAT, kernel.Way{}, kernel.Options{}, 0, new(sync.WaitGroup), nil)
	f := new(frontend)
	for _, seen := range []kernel.Refused{{Denied: 3, OverRate: 1}, {Denied: 5, OverRate: 1, OverCount: 2}, {}, {Denied: 1, OverCount: 1}} {
		k.takeRefused(f, seen)
	}
	if denied, rate, count := f.refusals.denied.Load(), f.refusals.rate.Load(), f.refusals.count.Load(); denied != 6 || rate != 1 || count != 3 {
		t.Errorf("%d denied, %d over the rate and %d over the count; want 6, 1 and 3", denied, rate, count)
	}
}
