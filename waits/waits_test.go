package waits

import (
	"runtime"
	"testing"
)

// One P stays for everybody else, however many workers are busy.
func TestHoldLeavesOne(t *testing.T) {
	SpareP()
	before := holders.Load()
	all := make([]Holder, 2*runtime.GOMAXPROCS(0))
	n := 0
	for i := range all {
		if all[i].Hold(); all[i].Holding() {
			n++
		}
	}
	if most := runtime.GOMAXPROCS(0) - 1; n+int(before) != most {
		t.Errorf("%d of %d keep their P", n, most+1)
	}
	for i := range all {
		all[i].Release()
	}
	if holders.Load() != before {
		t.Errorf("%d holders, %d before", holders.Load(), before)
	}
}
