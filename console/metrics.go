package console

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the console's own; everything else comes from the rooms that count it.
type metrics struct {
	requests  *prometheus.CounterVec
	overrides *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gslb_console_requests_total",
			Help: "HTTP requests to the console, by endpoint and class of status code.",
		}, []string{"endpoint", "code"}),
		overrides: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gslb_console_overrides_total",
			Help: "Overrides set (drain, up, down) and taken back (clear) through this node's console.",
		}, []string{"kind"}),
	}
}

// Describe implements prometheus.Collector.
func (s *Server) Describe(ch chan<- *prometheus.Desc) {
	s.metrics.requests.Describe(ch)
	s.metrics.overrides.Describe(ch)
}

// Collect implements prometheus.Collector.
func (s *Server) Collect(ch chan<- prometheus.Metric) {
	s.metrics.requests.Collect(ch)
	s.metrics.overrides.Collect(ch)
}

// BuildInfo is the metric gslb_build_info: always 1, with the version, the
// commit it was built from (when the build knew it) and Go's version as labels.
func BuildInfo(version string) prometheus.Collector {
	revision := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, kv := range info.Settings {
			if kv.Key == "vcs.revision" {
				revision = kv.Value
			}
		}
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "gslb_build_info",
		Help: "What this gslb was built from; the value is always 1.",
		ConstLabels: prometheus.Labels{
			"version": version, "revision": revision, "goversion": runtime.Version(),
		},
	}, func() float64 { return 1 })
}
