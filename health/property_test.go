package health

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// material makes an Input out of bytes: small alphabets, so that speakers, sites
// and times collide, and values that no honest node would send.
type material struct{ data []byte }

func (m *material) byte() byte {
	if len(m.data) == 0 {
		return 0
	}
	b := m.data[0]
	m.data = m.data[1:]
	return b
}

func (m *material) name(kind string) string { return kind + string(rune('a'+m.byte()%4)) }
func (m *material) time() time.Time         { return noon.Add(time.Duration(int8(m.byte())) * time.Second) }
func (m *material) int() int {
	return []int{0, 1, 2, 3, -1, math.MaxInt, math.MinInt, 7}[m.byte()%8]
}

func (m *material) float() float64 {
	b := m.byte()
	return []float64{float64(b), float64(b) / 64, 0, -1, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64}[m.byte()%8]
}

func (m *material) input() Input {
	in := Input{Revision: int64(m.byte()), Now: m.time(), Quorum: Quorum{Share: m.float(), Count: int(m.byte()) % 4}, Capacity: map[string]float64{}}
	for range m.byte() % 5 {
		in.Sites = append(in.Sites, m.name("site-"))
	}
	for range m.byte() % 24 {
		in.Votes = append(in.Votes, Vote{Vantage: m.name("v"), Site: m.name("site-"), State: State(m.byte() % 6), Since: m.time(), Detail: m.name("")})
	}
	for range m.byte() % 10 {
		r := Report{Site: m.name("site-"), Node: m.name("b"), Healthy: m.int(), Total: m.int(), Load: m.float(), Capacity: m.float(), Connections: int64(m.int()), At: m.time()}
		for range m.byte() % 3 {
			r.Servers = append(r.Servers, Server{Address: m.name("10.0.0."), InService: m.byte()%2 == 0, Draining: m.byte()%2 == 0})
		}
		in.Reports = append(in.Reports, r)
	}
	for range m.byte() % 5 {
		kind := []OverrideKind{Drain, ForceUp, ForceDown, "other"}[m.byte()%4]
		in.Overrides = append(in.Overrides, Override{Site: m.name("site-"), Kind: kind, Who: m.name(""), Since: m.time(), Until: m.time()})
	}
	for range m.byte() % 4 {
		in.Capacity[m.name("site-")] = m.float()
	}
	return in
}

// shuffled is in with each slice in another order.
func shuffled(in Input, rng *rand.Rand) Input {
	in.Sites, in.Votes = slices.Clone(in.Sites), slices.Clone(in.Votes)
	in.Reports, in.Overrides = slices.Clone(in.Reports), slices.Clone(in.Overrides)
	rng.Shuffle(len(in.Sites), func(i, j int) { in.Sites[i], in.Sites[j] = in.Sites[j], in.Sites[i] })
	rng.Shuffle(len(in.Votes), func(i, j int) { in.Votes[i], in.Votes[j] = in.Votes[j], in.Votes[i] })
	rng.Shuffle(len(in.Reports), func(i, j int) { in.Reports[i], in.Reports[j] = in.Reports[j], in.Reports[i] })
	rng.Shuffle(len(in.Overrides), func(i, j int) { in.Overrides[i], in.Overrides[j] = in.Overrides[j], in.Overrides[i] })
	return in
}

// examine checks what must hold of any Input and what comes after it.
func examine(t *testing.T, data []byte) {
	t.Helper()
	m := &material{data}
	rng := rand.New(rand.NewPCG(uint64(len(data)), 3))
	var prev *States
	for step := 0; step == 0 || len(m.data) > 0 && step < 8; step++ {
		in := m.input()
		in.Prev = prev
		out := Evaluate(in)
		for range 3 {
			if again := Evaluate(shuffled(in, rng)); !reflect.DeepEqual(out, again) {
				t.Fatalf("the order of the input matters:\n%+v\n%+v", out, again)
			}
		}
		if _, err := json.Marshal(out); err != nil {
			t.Fatalf("as JSON: %v", err)
		}
		for _, name := range in.Sites {
			if st, ok := out.Sites[name]; !ok || !sound(st) {
				t.Fatalf("site %s: %+v", name, st)
			}
		}
		in.Prev = out
		second := Evaluate(in)
		for name, st := range second.Sites {
			if was := out.Sites[name]; st.Shed != was.Shed || st.Since != was.Since || st.State != was.State {
				t.Fatalf("the same input again is a step:\n%+v\n%+v", was, st)
			}
		}
		prev = out
	}
}

// sound tells whether a Status can be believed at all.
func sound(st Status) bool {
	finite := st.Load >= 0 && st.Capacity >= 0 && st.Utilization >= 0 && !math.IsInf(st.Load+st.Capacity+st.Utilization, 0)
	return finite && st.State <= Down && st.Shed >= 0 && st.Shed <= shedMax && st.Why != "" && !st.Since.IsZero() &&
		(st.State != Down || !st.InService()) &&
		slices.IsSortedFunc(st.Votes, func(a, b Vote) int { return compareStrings(a.Vantage, b.Vantage) }) &&
		slices.IsSortedFunc(st.Reports, func(a, b Report) int { return compareStrings(a.Node, b.Node) })
}

func compareStrings(a, b string) int {
	if a < b {
		return -1
	}
	return 1 // equal ones are out of order too: each speaker is there once
}

func FuzzEvaluate(f *testing.F) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		data := make([]byte, rng.IntN(2000))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		f.Add(data)
	}
	f.Fuzz(examine)
}

// TestEvaluateAnything is FuzzEvaluate on more material than its seeds, for go test.
func TestEvaluateAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for range 400 {
		data := make([]byte, rng.IntN(1200))
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		examine(t, data)
	}
}

// TestEvaluateLeavesInput: the Input is not changed, its order included.
func TestEvaluateLeavesInput(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	in, same := (&material{data}).input(), (&material{data}).input()
	Evaluate(in)
	a, b := []any{in.Sites, in.Votes, in.Overrides}, []any{same.Sites, same.Votes, same.Overrides}
	if !reflect.DeepEqual(a, b) || len(in.Reports) != len(same.Reports) {
		t.Error("the Input was changed")
	}
}

func BenchmarkEvaluate(b *testing.B) {
	in := Input{Now: noon}
	for _, s := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"} {
		in.Sites = append(in.Sites, s)
		in.Votes = append(in.Votes, votes(s, "UUDUU")...)
		in.Reports = append(in.Reports, reports(s, [2]int{3, 3}, [2]int{2, 3})...)
	}
	b.ReportAllocs()
	for b.Loop() {
		in.Prev = Evaluate(in)
	}
}
