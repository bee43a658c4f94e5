// Package waits is how a worker waits in the system that serves packets or
// connections all the time: as a program in C would, without telling Go's
// scheduler. It knows nothing of what is served.
//
// The runtime's poller costs an epoll_wait(2) or two, and the scheduler's search
// for other work, for each wait, and a system call that the runtime is told of
// costs no less, as its monitor hands the processor (P) to others meanwhile. So
// a busy worker keeps its P while it waits. That delays nobody: SpareP makes one
// P more than there are cores, and Hold leaves at least one to all others; who
// wants to stop the world, or the goroutine, sends its thread a signal, which ends
// the wait, and another each 100 µs until the goroutine stops.
package waits

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Short bounds the wait of a worker that keeps its P: one tick of most kernels,
// and less than the 10 ms after which the runtime sends its signal. A worker that
// waited less keeps its P from then on: it is busy.
const Short = 4 * time.Millisecond

// holders counts the workers that keep their P while they wait.
var holders atomic.Int32

// Holder is a worker that may keep its P while it waits. The zero Holder does not.
type Holder struct{ holding bool }

// Holding tells whether it does.
func (h *Holder) Holding() bool { return h.holding }

// Hold lets the worker keep its P from now on, if one is left for all others. It
// must not hold it yet.
func (h *Holder) Hold() {
	if int(holders.Add(1)) < runtime.GOMAXPROCS(0) {
		h.holding = true
		return
	}
	holders.Add(-1)
}

// Release ends that; a worker that ends must.
func (h *Holder) Release() {
	if h.holding {
		h.holding = false
		holders.Add(-1)
	}
}

// Cores is how many cores the runtime used when it was first asked.
var Cores = sync.OnceValue(func() int { return runtime.GOMAXPROCS(0) })

// SpareP adds a P to those of the cores, once, so that workers can keep theirs
// on all cores. Who sets GOMAXPROCS gets what it says.
var SpareP = sync.OnceFunc(func() {
	if n := Cores(); os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(n + 1)
	}
})
