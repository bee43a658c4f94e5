package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// report is what a run found, for people and as JSON. Durations are in
// microseconds, rates in queries per second.
type report struct {
	Server    string  `json:"server"`
	Transport string  `json:"transport"`
	Sockets   int     `json:"sockets"`
	Inflight  int     `json:"inflight"` // of each socket
	AskedRate float64 `json:"asked_rate"`
	Seconds   float64 `json:"seconds"` // of sending

	Sent       uint64  `json:"sent"`
	Received   uint64  `json:"received"`
	Lost       uint64  `json:"lost"`
	Loss       float64 `json:"loss"` // share of Sent, 0 to 1
	Unexpected uint64  `json:"unexpected"`
	HeldBack   uint64  `json:"held_back"`
	Truncated  uint64  `json:"truncated"`
	Rate       float64 `json:"rate"` // answers per second

	Checked    bool              `json:"checked"`
	Mismatches uint64            `json:"mismatches"`
	Reasons    map[string]uint64 `json:"mismatch_reasons,omitempty"`
	Rcodes     map[string]uint64 `json:"rcodes"`
	Scopes     map[string]uint64 `json:"ecs_scopes,omitempty"` // answers by scope prefix length

	Latency latencies `json:"latency_us"`
	Errors  []string  `json:"errors,omitempty"`
}

type latencies struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p99_9"`
	Max  float64 `json:"max"`
}

// newReport adds up what the lanes counted in took of sending.
func newReport(o *options, lanes []*lane, took time.Duration) report {
	r := report{
		Server: o.Server, Transport: "udp", Sockets: o.Sockets, Inflight: o.Inflight, AskedRate: o.Rate, Seconds: took.Seconds(), Checked: o.Check,
		Reasons: map[string]uint64{}, Rcodes: map[string]uint64{}, Scopes: map[string]uint64{},
	}
	if o.TCP {
		r.Transport = "tcp"
	}
	var total stats
	for _, l := range lanes {
		total.add(&l.stats)
		for bits, n := range l.check.scopes {
			count(r.Scopes, strconv.Itoa(bits), n)
		}
		if l.stats.Err != nil {
			r.Errors = append(r.Errors, l.stats.Err.Error())
		}
	}
	r.Sent, r.Received, r.Lost = total.Sent, total.Received, total.Lost
	r.Unexpected, r.HeldBack, r.Truncated = total.Unexpected, total.HeldBack, total.Truncated
	r.Rate = float64(r.Received) / took.Seconds()
	if r.Sent > 0 {
		r.Loss = float64(r.Lost) / float64(r.Sent)
	}
	for v, n := range total.Verdicts {
		if verdict(v) != answerGood {
			r.Mismatches += n
			count(r.Reasons, verdictNames[v], n)
		}
	}
	for rcode, n := range total.Rcodes {
		count(r.Rcodes, cmp.Or(dns.RcodeToString[rcode], strconv.Itoa(rcode)), n)
	}
	h := &total.Latency
	us := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
	r.Latency = latencies{
		us(h.Min()), us(h.Mean()), us(h.Percentile(50)), us(h.Percentile(90)), us(h.Percentile(99)), us(h.Percentile(99.9)), us(h.Max()),
	}
	return r
}

// count keeps m free of what did not happen.
func count(m map[string]uint64, key string, n uint64) {
	if n > 0 {
		m[key] += n
	}
}

func (s *stats) add(other *stats) {
	s.Sent += other.Sent
	s.Received += other.Received
	s.Lost += other.Lost
	s.Unexpected += other.Unexpected
	s.HeldBack += other.HeldBack
	s.Truncated += other.Truncated
	for i, n := range other.Rcodes {
		s.Rcodes[i] += n
	}
	for i, n := range other.Verdicts {
		s.Verdicts[i] += n
	}
	s.Latency.Merge(&other.Latency)
}

// fault says why the run did not pass, nil if it did.
func (r *report) fault(o *options) error {
	var errs []error
	for _, e := range r.Errors {
		errs = append(errs, errors.New(e))
	}
	if r.Received == 0 {
		errs = append(errs, fmt.Errorf("no answer from %s", r.Server))
	}
	if r.Checked && r.Mismatches > 0 {
		errs = append(errs, fmt.Errorf("%d answers differ from what is right", r.Mismatches))
	}
	if r.Loss > o.MaxLoss {
		errs = append(errs, fmt.Errorf("loss of %.4f%% is more than %.4f%%", 100*r.Loss, 100*o.MaxLoss))
	}
	return errors.Join(errs...)
}

func (r *report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r *report) writeText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "server      %s over %s, %d sockets with %d in flight each, %.2f s\n", r.Server, r.Transport, r.Sockets, r.Inflight, r.Seconds)
	fmt.Fprintf(&b, "queries     %d sent, %d answered, %d lost (%.4f%%)\n", r.Sent, r.Received, r.Lost, 100*r.Loss)
	fmt.Fprintf(&b, "rate        %.0f answers per second", r.Rate)
	if r.AskedRate > 0 {
		fmt.Fprintf(&b, ", %.0f asked for, %d queries held back by full windows", r.AskedRate, r.HeldBack)
	}
	fmt.Fprintf(&b, "\nlatency µs  p50 %.0f  p90 %.0f  p99 %.0f  p99.9 %.0f  max %.0f  (mean %.0f, min %.0f)\n",
		r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max, r.Latency.Mean, r.Latency.Min)
	fmt.Fprintf(&b, "rcodes      %s\n", counts(r.Rcodes))
	if r.Truncated > 0 {
		fmt.Fprintf(&b, "truncated   %d\n", r.Truncated)
	}
	if len(r.Scopes) > 0 {
		fmt.Fprintf(&b, "ECS scopes  %s\n", counts(r.Scopes))
	}
	if r.Unexpected > 0 {
		fmt.Fprintf(&b, "unexpected  %d answers to no outstanding query (late, repeated)\n", r.Unexpected)
	}
	if r.Checked {
		fmt.Fprintf(&b, "checked     %d answers, %d wrong", r.Received, r.Mismatches)
		if r.Mismatches > 0 {
			fmt.Fprintf(&b, ": %s", counts(r.Reasons))
		}
		b.WriteByte('\n')
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "error       %s\n", e)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// counts lists a map's entries, the most frequent first.
func counts(m map[string]uint64) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
