package console

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"gslb/balancer"
	"gslb/health"
)

// WriteFrontends prints a node's frontends with their servers for a person at a terminal.
func WriteFrontends(w io.Writer, l FrontendList) error {
	for _, f := range l.Frontends {
		if err := frontendTable(f, l.Now).write(w); err != nil {
			return err
		}
	}
	t := newTable("HOOKS", "FRONTEND", "ASKS FOR", "SERVER", "NEEDED FOR", "LAST CALL", "CALLS", "OUTCOME")
	for _, h := range l.Hooks {
		outcome := or(h.Outcome, "-")
		switch {
		case h.Running:
			outcome = "running"
		case h.Failed:
			outcome = "FAILED: " + h.Outcome
		}
		t.add(h.Frontend, h.Hook, or(h.Server, "-"), sinceText(h.Needed, l.Now), sinceText(h.Asked, l.Now), strconv.FormatInt(h.Calls, 10), outcome)
	}
	return t.write(w)
}

func frontendTable(f balancer.FrontendStatus, now time.Time) *table {
	title := fmt.Sprintf("FRONTEND %s on %v, %s, pick %s: %d of %d wanted servers available, %d connections open",
		f.Name, f.Listen, f.Plane, f.Pick, f.Available, f.MinServers, f.Open)
	if f.Panic {
		title += ", PANIC: all are tried"
	}
	c := f.Counters
	if n := c.Denied + c.OverRate + c.OverCount; n > 0 {
		title += fmt.Sprintf("; reset at once: %d denied, %d over network_rate, %d over network_connections", c.Denied, c.OverRate, c.OverCount)
	}
	if n := c.Silent + c.Slow + c.NoHeader; n > 0 {
		title += fmt.Sprintf("; reset later: %d said nothing, %d too slow, %d of front ends without a PROXY header", c.Silent, c.Slow, c.NoHeader)
	}
	if c.Routed > 0 {
		title += fmt.Sprintf("; %d led to other frontends", c.Routed)
	}
	if n := c.NotTLS + c.NoRoute; n > 0 {
		title += fmt.Sprintf("; reset: %d not TLS, %d for names without a route", c.NotTLS, c.NoRoute)
	}
	t := newTable(clean(title), "SERVER", "STATE", "FOR", "OPEN", "LOAD", "WEIGHT", "NEW/S", "FIRST BYTE", "P99", "FAILED", "IN", "OUT", "WHY")
	for _, s := range f.Servers {
		address := s.Address
		if s.Registered {
			address += " (added)"
		}
		open := strconv.FormatInt(s.Connections, 10)
		if s.Most > 0 {
			open += " of " + strconv.FormatInt(s.Most, 10)
		}
		load := "-"
		if s.Capacity > 0 {
			load = fmt.Sprintf("%.0f%% of %s", 100*s.Load, number(s.Capacity))
		}
		r := t.add(address, serverText(FrontendServer{State: s.State, Role: s.Role, InService: s.InService, Draining: s.Draining,
			Isolated: !s.InService && !s.Draining && s.State == health.Down}), sinceText(s.Since, now), open, load, number(s.Weight*s.Share*s.SlowStart),
			fmt.Sprintf("%.1f", s.Rate), latencyText(s.FirstByte.Count, s.FirstByte.Median), latencyText(s.FirstByte.Count, s.FirstByte.P99),
			strconv.FormatInt(s.Failures+s.Broken, 10), bytesText(s.BytesUp), bytesText(s.BytesDown), or(s.Why, "-"))
		if d := s.Drain; d != nil {
			text := fmt.Sprintf("draining for %s: %d of %d connections left", sinceText(d.Since, now), d.Left, d.Begun)
			if !d.Until.IsZero() {
				text += fmt.Sprintf("; they are reset in %s", age(d.Until.Sub(now)))
			}
			r.note("%s", text)
		}
	}
	return t
}

func latencyText(n uint64, seconds float64) string {
	if n == 0 {
		return "-"
	}
	return durationText(seconds)
}

// durationText is a time of three digits or so: "340µs", "12.3ms", "1.5s".
func durationText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// bytesText is a number of bytes with a decimal prefix: "812", "1.2 MB".
func bytesText(n int64) string {
	f := float64(n)
	for _, unit := range []string{"", " kB", " MB", " GB", " TB"} {
		if f < 1000 {
			if unit == "" {
				return strconv.FormatInt(n, 10)
			}
			return strconv.FormatFloat(f, 'f', 1, 64) + unit
		}
		f /= 1000
	}
	return strconv.FormatFloat(f, 'f', 1, 64) + " PB"
}

// WriteConnections prints connections, or groups of them, for a person at a terminal.
func WriteConnections(w io.Writer, l ConnectionList, by string) error {
	var t *table
	if by != "" {
		t = newTable(fmt.Sprintf("%d CONNECTIONS BY %s", l.Matching, by), "OF", "WHERE", "OPEN", "IN", "OUT")
		for _, g := range l.Top {
			t.add(g.Of, or(g.Place, "-"), strconv.Itoa(g.Open), bytesText(g.Up), bytesText(g.Down))
		}
	} else {
		t = newTable(fmt.Sprintf("%d OF %d CONNECTIONS", len(l.Connections), l.Matching), "PROTO", "CLIENT", "WHERE", "AT", "FRONTEND", "SERVER", "AGE", "IDLE", "IN", "OUT", "STATE", "NAME")
		for _, c := range l.Connections {
			t.add(c.Protocol, c.Client, or(c.Place, "-"), or(c.At, "-"), c.Frontend, c.Server, age(time.Duration(c.Age*1e9)), age(time.Duration(c.Idle*1e9)), bytesText(c.Up), bytesText(c.Down), or(c.State, "-"), or(c.Name, "-"))
		}
	}
	if len(t.rows) < 2 {
		_, err := fmt.Fprintln(w, "no connections")
		return err
	}
	return t.write(w)
}
