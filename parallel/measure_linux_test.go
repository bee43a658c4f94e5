package parallel

import (
	"testing"
	"time"
)

func TestUsable(t *testing.T) {
	const stat = `cpu  100 20 300 4000 50 0 7 0 0 0
cpu0 10 5 300 1000 25 0 7 0 0 0
cpu1 90 15 0 3000 25 0 0 0 0 0
cpu9 1 1 1 1 1 0 0 0 0 0
intr 12345 0 0
cpu2 0 0 0 9999 0
`
	for _, c := range []struct {
		counts func(int) bool
		want   processorUse
	}{
		{func(int) bool { return true }, processorUse{idle: 10 * time.Millisecond * (5 + 1000 + 25 + 15 + 3000 + 25 + 1 + 1 + 1), n: 3}},
		{func(cpu int) bool { return cpu == 1 }, processorUse{idle: 10 * time.Millisecond * (15 + 3000 + 25), n: 1}},
		{func(int) bool { return false }, processorUse{}},
	} {
		if got := usable([]byte(stat), c.counts); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
	if got := usable([]byte("cpu\ncpu0\ncpux 1 2 3 4 5 6\n\n"), func(int) bool { return true }); got != (processorUse{}) {
		t.Errorf("of nonsense: %+v", got)
	}
}

// This process computes, so its own time grows.
func TestMeasureProcessors(t *testing.T) {
	before, ok := measureProcessors()
	if !ok || before.n < 1 {
		t.Fatalf("%+v, %v", before, ok)
	}
	for {
		now, ok := measureProcessors()
		if !ok || now.n != before.n || now.own < before.own { // the kernel may take back some of what it has counted as idle (proc(5), iowait)
			t.Fatalf("%+v, %v after %+v", now, ok, before)
		}
		if now.own > before.own {
			break
		}
	}
}

func BenchmarkMeasureProcessors(b *testing.B) {
	for b.Loop() {
		measureProcessors()
	}
}
