// Package parallel spreads work that is done beside the serving path, such as
// reading zones and databases, over the processors, and paces it: what is done
// in the Background of a server that is busy takes what its work leaves of them.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Each runs f for 0 to n-1, on as many processors as there are; for 0 alone in
// this goroutine. A panic in one of them comes out here, when all have ended.
// Between two of them it yields.
func Each(n int, f func(i int)) { Workers(n, func() func(int) { return f }) }

// Workers is Each with something of each goroutine's own: worker is called once
// in each, and what it gives back for the numbers that fall to it.
func Workers(n int, worker func() func(i int)) {
	if n == 1 {
		worker()(0)
		return
	}
	var wg sync.WaitGroup
	var turn atomic.Int64
	var fault atomic.Pointer[any]
	for range min(n, Processors()) {
		wg.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					fault.CompareAndSwap(nil, &r)
				}
			}()
			f := worker()
			for i := int(turn.Add(1)) - 1; i < n; i = int(turn.Add(1)) - 1 {
				f(i)
				Yield()
			}
		})
	}
	wg.Wait()
	if r := fault.Load(); r != nil {
		panic(*r)
	}
}

// Processors is how many goroutines can compute at once: the CPUs of this
// process, of which GOMAXPROCS may allow less. (A server that answers allows one
// more, for workers that wait in the kernel.)
func Processors() int { return min(runtime.NumCPU(), runtime.GOMAXPROCS(0)) }
