package main

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"

	"gslb/balancer"
)

// The times of a balancer's connections, in the order of balancer.FrontendStatus.Times.
var (
	descFrontTimes = [3]*prometheus.Desc{
		prometheus.NewDesc("gslb_balancer_connect_seconds", "Time until a server accepted a connection.", []string{"frontend"}, nil),
		prometheus.NewDesc("gslb_balancer_first_byte_seconds", "Time from a client's first byte, or its server's accept if that speaks first, to the server's first byte.", []string{"frontend"}, nil),
		prometheus.NewDesc("gslb_balancer_connection_seconds", "How long connections were open.", []string{"frontend"}, nil),
	}
	descServerTimes = [3]*prometheus.Desc{
		prometheus.NewDesc("gslb_balancer_server_accept_seconds", "Time until the server accepted a connection.", []string{"frontend", "server"}, nil),
		prometheus.NewDesc("gslb_balancer_server_first_byte_seconds", "Time from a client's first byte, or the server's accept if it speaks first, to its first byte.", []string{"frontend", "server"}, nil),
		prometheus.NewDesc("gslb_balancer_server_connection_seconds", "How long connections to the server were open.", []string{"frontend", "server"}, nil),
	}
)

// nativeHistogram shows a histogram of the balancer both ways: with its own fine
// buckets to a Prometheus that asks for native histograms (in protobuf), and with every eighth bound,
// a factor of 4, as classic buckets to all others.
type nativeHistogram struct {
	desc   *prometheus.Desc
	h      balancer.Histogram
	labels []string
}

const classicStep = 8 // buckets of the histogram in one classic bucket

// Desc is part of prometheus.Metric.
func (m *nativeHistogram) Desc() *prometheus.Desc { return m.desc }

// Write is part of prometheus.Metric.
func (m *nativeHistogram) Write(out *dto.Metric) error {
	schema, first := m.h.Schema()
	h := &dto.Histogram{SampleSum: proto.Float64(m.h.Sum.Seconds()), SampleCount: proto.Uint64(m.h.Count()),
		Schema: proto.Int32(schema), ZeroThreshold: proto.Float64(math.SmallestNonzeroFloat64), ZeroCount: proto.Uint64(0)}
	var sum uint64
	var last int64
	next := -1 // the bucket that would go on with the last span
	for i, n := range m.h.Buckets {
		if sum += n; i%classicStep == 0 && m.h.Bound(i) < 1e4 {
			h.Bucket = append(h.Bucket, &dto.Bucket{CumulativeCount: proto.Uint64(sum), UpperBound: proto.Float64(m.h.Bound(i))})
		}
		if n == 0 {
			continue
		}
		if i != next {
			offset := int32(i - next)
			if next < 0 {
				offset = int32(i + first)
			}
			h.PositiveSpan = append(h.PositiveSpan, &dto.BucketSpan{Offset: proto.Int32(offset), Length: proto.Uint32(0)})
		}
		span := h.PositiveSpan[len(h.PositiveSpan)-1]
		span.Length = proto.Uint32(*span.Length + 1)
		h.PositiveDelta = append(h.PositiveDelta, int64(n)-last)
		last, next = int64(n), i+1
	}
	if h.PositiveSpan == nil { // tells a native histogram that is empty from a classic one
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
	}
	out.Histogram = h
	out.Label = prometheus.MakeLabelPairs(m.desc, m.labels)
	return nil
}
