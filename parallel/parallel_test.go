package parallel

import (
	"sync/atomic"
	"testing"
)

func TestEach(t *testing.T) {
	for _, n := range []int{0, 1, 2, 3, 1000} {
		seen := make([]atomic.Int32, n)
		Each(n, func(i int) { seen[i].Add(1) })
		for i := range seen {
			if got := seen[i].Load(); got != 1 {
				t.Errorf("n %d: %d was done %d times", n, i, got)
			}
		}
	}
}

// What a worker has for itself is touched by one goroutine only: the race
// detector would tell.
func TestWorkers(t *testing.T) {
	var total atomic.Int64
	Workers(1000, func() func(int) {
		own := 0
		return func(int) {
			own++
			total.Add(1)
		}
	})
	if total.Load() != 1000 {
		t.Errorf("%d of 1000", total.Load())
	}
}

func TestPanicComesOut(t *testing.T) {
	for _, n := range []int{1, 100} {
		var done atomic.Int32
		func() {
			defer func() {
				if r := recover(); r != "at 0" {
					t.Errorf("n %d: recovered %v", n, r)
				}
			}()
			Each(n, func(i int) {
				if i == 0 {
					panic("at 0")
				}
				done.Add(1)
			})
		}()
		if n > 1 && Processors() > 1 && done.Load() == 0 {
			t.Error("nobody went on")
		}
	}
}
