package health

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// resultOf is what a letter stands for: "+" healthy, "~" degraded, "-" failed.
func resultOf(r rune) State { return map[rune]State{'+': Up, '~': Degraded, '-': Down}[r] }

// TestMachine walks results, "+" a success, "~" a degraded one and "-" a failure, and
// compares the state after each: "?" unknown, "U" up, "G" degraded, "D" down.
func TestMachine(t *testing.T) {
	tests := []struct {
		name       string
		rise, fall int
		results    string
		want       string
	}{
		{"first success is enough", 3, 3, "+", "U"},
		{"first failures are not down", 2, 3, "--", "??"},
		{"fall failures at the start", 2, 3, "---", "??D"},
		{"failures, then a first success", 2, 3, "--+", "??U"},
		{"one lost packet", 2, 3, "+-+", "UUU"},
		{"fall failures in a row", 2, 3, "+---", "UUUD"},
		{"fall failures, not in a row", 2, 3, "+--+--+", "UUUUUUU"},
		{"rise successes in a row", 2, 3, "---++", "??DDU"},
		{"rise successes, not in a row", 2, 3, "---+-+-++", "??DDDDDDU"},
		{"one each", 1, 1, "-+-+", "DUDD"}, // the second fall doubles the rise: see below
		{"less than one is one", 0, -5, "+-+", "UDU"},
		{"hold-down doubles", 1, 1, "-+-++-++++-++++++++", "DUDDUDDDDUDDDDDDDDU"},
		{"hold-down is bounded", 1, 1, strings.Repeat("-"+strings.Repeat("+", 16), 7),
			"DUUUUUUUUUUUUUUUU" + "DDUUUUUUUUUUUUUUU" + "DDDDUUUUUUUUUUUUU" + "DDDDDDDDUUUUUUUUU" + strings.Repeat("DDDDDDDDDDDDDDDDU", 3)},
		{"settled after 20 successes", 1, 1, "-" + strings.Repeat("+", 20) + "-+", "D" + strings.Repeat("U", 20) + "DU"},
		{"not settled after 19", 1, 1, "-" + strings.Repeat("+", 19) + "-++", "D" + strings.Repeat("U", 19) + "DDU"},
		{"not settled by 30 with a failure between", 1, 2, "--" + strings.Repeat("+", 15) + "-" + strings.Repeat("+", 15) + "--++",
			"?D" + strings.Repeat("U", 15) + "U" + strings.Repeat("U", 15) + "UDDU"},
		{"first success is degraded", 2, 3, "~++", "GGU"},
		{"fall degraded ones in a row", 2, 3, "+~~~", "UUUG"},
		{"degraded ones, not in a row", 2, 3, "+~~+~~-~~", "UUUUUUUUU"},
		{"rise healthy ones in a row", 3, 1, "+~++~+++", "UGGGGGGU"},
		{"degraded ones hold nothing up", 2, 3, "+~~---", "UUUUUD"},
		{"and count as successes after a fall", 2, 3, "---~~++", "??DDGGU"},
		{"the last of the successes grades", 2, 3, "---~+", "??DDU"},
		{"failures between leave degraded alone", 2, 3, "~--~", "GGGG"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := NewMachine(test.rise, test.fall)
			now := time.Unix(1000, 0)
			var got strings.Builder
			last := Unknown
			since := time.Time{}
			for i, r := range test.results {
				now = now.Add(time.Second)
				state, changed := m.Observe(resultOf(r), "seen", now)
				if changed != (state != last) || state != m.State() {
					t.Fatalf("result %d: %v (was %v), changed %v, State() %v", i, state, last, changed, m.State())
				}
				if changed {
					since = now
				}
				if !m.Since().Equal(since) || m.Detail() != "seen" {
					t.Fatalf("result %d: since %v, want %v; detail %q", i, m.Since(), since, m.Detail())
				}
				last = state
				got.WriteByte("?UGD"[state])
			}
			if got.String() != test.want {
				t.Errorf("results %s\ngot     %s\nwant    %s", test.results, got.String(), test.want)
			}
		})
	}
}

func TestMachineRestore(t *testing.T) {
	then := time.Unix(500, 0)
	m := NewMachine(2, 3)
	m.Restore(Down, then, "refused")
	if m.State() != Down || !m.Since().Equal(then) || m.Detail() != "refused" {
		t.Fatalf("restored %v since %v: %s", m.State(), m.Since(), m.Detail())
	}
	if s, _ := m.Observe(Up, "", then); s != Down {
		t.Errorf("one success after Restore: %v, want down: it is not a first result", s)
	}
	if s, _ := m.Observe(Up, "", then); s != Up {
		t.Errorf("rise successes after Restore: %v, want up", s)
	}
	m.Restore(Unknown, time.Time{}, "")
	if s, changed := m.Observe(Up, "", then); s != Up || !changed {
		t.Errorf("first success after Restore to unknown: %v, changed %v", s, changed)
	}
	var zero Machine
	if s, _ := zero.Observe(Down, "", then); s != Down {
		t.Errorf("zero Machine after a failure: %v, want down (fall 1)", s)
	}
}

// TestMachineRecall: a target that was down before a restart is down, and up by
// the first success, unless fall failures have borne the verdict out.
func TestMachineRecall(t *testing.T) {
	for _, test := range []struct{ results, want string }{
		{"+", "U"},
		{"--+", "DDU"},
		{"---+", "DDDD"},
		{"---++", "DDDDU"},
		{"+---+", "UUUDD"},
	} {
		then := time.Unix(500, 0)
		m := NewMachine(2, 3)
		m.Recall(then, "refused")
		if m.State() != Down || !m.Since().Equal(then) || m.Detail() != "refused" {
			t.Fatalf("recalled %v since %v: %s", m.State(), m.Since(), m.Detail())
		}
		got := ""
		for _, r := range test.results {
			s, _ := m.Observe(resultOf(r), "", then.Add(time.Second))
			got += map[State]string{Unknown: "?", Up: "U", Down: "D"}[s]
		}
		if got != test.want {
			t.Errorf("results %s: %s, want %s", test.results, got, test.want)
		}
	}
}

// TestMachineDeclare: the target's own word counts at once, and probes go on from there.
func TestMachineDeclare(t *testing.T) {
	now := time.Unix(500, 0)
	m := NewMachine(2, 3)
	if !m.Declare(Down, "drain", now) || m.State() != Down || !m.Since().Equal(now) || m.Detail() != "drain" {
		t.Fatalf("declared down: %v since %v: %s", m.State(), m.Since(), m.Detail())
	}
	if m.Declare(Down, "maint", now.Add(time.Second)) || !m.Since().Equal(now) || m.Detail() != "maint" {
		t.Errorf("declared down again: since %v: %s", m.Since(), m.Detail())
	}
	if s, _ := m.Observe(Up, "", now); s != Down {
		t.Errorf("one success after it: %v, want down: rise is 2", s)
	}
	if !m.Declare(Up, "ready", now) || m.State() != Up {
		t.Errorf("declared up: %v", m.State())
	}
	if !m.Declare(Unknown, "silent", now) || m.State() != Unknown || !m.Since().IsZero() {
		t.Errorf("declared unknown: %v since %v", m.State(), m.Since())
	}
}

// FuzzMachine: no sequence breaks what the table at Machine says.
func FuzzMachine(f *testing.F) {
	f.Add(2, 3, []byte{1, 0, 0, 0, 1, 1})
	f.Add(-1, 100, []byte{0, 1})
	f.Fuzz(func(t *testing.T, rise, fall int, results []byte) {
		rise, fall = rise%101, fall%101
		m := NewMachine(rise, fall)
		streak, before := 0, byte(2)
		for _, b := range results {
			grade := resultOf('+')
			if b&2 != 0 {
				grade = Degraded
			}
			if b &= 1; b == 0 {
				grade = Down
			}
			if b != before {
				before, streak = b, 0
			}
			streak++
			was := m.State()
			now, _ := m.Observe(grade, "", time.Time{})
			switch {
			case now == Unknown && was != Unknown:
				t.Fatalf("from %v to %v", was, now)
			case was != Down && now == Down && (b == 1 || streak < fall):
				t.Fatalf("down after %d failures, fall %d", streak, fall)
			case was == Down && now != Down && (b == 0 || streak < rise):
				t.Fatalf("up after %d successes, rise %d", streak, rise)
			case was == Down && now == Down && b == 1 && streak >= max(rise, 1)*16:
				t.Fatalf("still down after %d successes, rise %d", streak, rise)
			}
		}
	})
}

func TestStateText(t *testing.T) {
	for state, want := range map[State]string{Unknown: "unknown", Up: "up", Degraded: "degraded", Down: "down"} {
		text, err := state.MarshalText()
		if err != nil || string(text) != want || state.String() != want {
			t.Errorf("%d: %q, %q, %v", state, text, state, err)
		}
		back := State(77)
		if err := back.UnmarshalText(text); err != nil || back != state {
			t.Errorf("%s read back as %v, %v", text, back, err)
		}
	}
	if s := State(9).String(); s != "state(9)" {
		t.Errorf("State(9) is %q", s)
	}
	if _, err := State(9).MarshalText(); err == nil {
		t.Error("State(9) has a text")
	}
	for _, bad := range []string{"", "UP", "up ", "ok", "1"} {
		s := Up
		if err := s.UnmarshalText([]byte(bad)); err == nil || s != Up {
			t.Errorf("%q read as %v, %v", bad, s, err)
		}
	}
	vote, err := json.Marshal(Vote{Vantage: "ns1", Site: "kt", State: Degraded})
	if err != nil || !strings.Contains(string(vote), `"state":"degraded"`) {
		t.Errorf("vote as JSON: %s, %v", vote, err)
	}
	var v Vote
	if err := json.Unmarshal([]byte(`{"state":"sideways"}`), &v); err == nil || !strings.Contains(err.Error(), `state "sideways": must be unknown, up, degraded or down`) {
		t.Errorf("unknown state in JSON: %v", err)
	}
}
