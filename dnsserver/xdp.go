package dnsserver

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gslb/afxdp"
)

// xdpQueue answers the queries that AF_XDP takes from one receive queue of an
// interface: the same way as those of a UDP socket, with a responder of its own.
type xdpQueue struct {
	s   *Server
	w   *responder
	out []byte
}

// Answer is part of afxdp.Handler. What does not fit the interface's MTU is
// truncated, never sent in fragments (RFC 9715, section 3.1).
func (q *xdpQueue) Answer(query []byte, src netip.AddrPort, limit int) []byte {
	transport := udp6
	if src.Addr().Is4() {
		transport = udp4
	}
	q.w.count.queries[transport].Add(1)
	src, query, ok := q.s.unwrap(query, src)
	if !ok {
		return nil
	}
	q.w.limits.udpSize = min(q.s.cfg.MaxUDPSize, limit)
	reply := q.s.answer(q.w, query, src, false, q.out)
	if len(reply) == 0 && q.w.handed {
		reply = q.other(query, src)
	}
	return reply
}

// other lets Other answer at once: the frame can't wait. Opcodes other than
// QUERY never come this way, so that all there is to do is to look at a signature.
func (q *xdpQueue) other(query []byte, src netip.AddrPort) (reply []byte) {
	q.s.respondOther(context.Background(), q.w, query, src, false, nil, q.out, func(msg []byte) error {
		reply = append(q.out[:0], msg...)
		return nil
	})
	return reply
}

// Answered is part of afxdp.Handler: what was counted is published once a batch.
func (q *xdpQueue) Answered() { q.w.publish() }

// xdpPorts makes what takes queries from the interfaces of the configuration, for
// the addresses that are bound: the ordinary sockets get what these leave.
func (s *Server) xdpPorts() (all []*afxdp.Port) {
	shard := len(s.udp)
	for _, name := range s.cfg.XDP {
		all = append(all, afxdp.New(afxdp.Config{
			Interface: name, Served: s.Addrs(), Log: s.log,
			Handler: func(queue int) afxdp.Handler {
				q := &xdpQueue{s: s, w: s.responder(shard+queue, s.newCounters()), out: make([]byte, 0, maxMessage+maxRecordHead)}
				q.w.batched = true
				return q
			},
		}))
	}
	return all
}

// serveXDP serves the interfaces until ctx ends.
func (s *Server) serveXDP(ctx context.Context, wg *sync.WaitGroup) {
	for i, p := range s.xdp {
		wg.Go(func() {
			if err := p.Run(ctx); errors.Is(err, afxdp.ErrUnsupported) {
				s.log.Error("the ordinary sockets take all queries", "interface", s.cfg.XDP[i], "error", err)
			}
		})
	}
}

// XDP tells how each interface of the configuration does.
func (s *Server) XDP() (all []afxdp.Status) {
	for _, p := range s.xdp {
		all = append(all, p.Status())
	}
	return all
}

var (
	xdpLabels       = []string{"interface", "queue"}
	descXDPServing  = prometheus.NewDesc("gslb_dns_xdp_serving", "Whether AF_XDP takes queries from the receive queue, in this mode.", append(xdpLabels, "mode"), nil)
	descXDPReceived = prometheus.NewDesc("gslb_dns_xdp_received_total", "Frames that AF_XDP took.", xdpLabels, nil)
	descXDPAnswered = prometheus.NewDesc("gslb_dns_xdp_answered_total", "Answers given to the driver.", xdpLabels, nil)
	descXDPUnsent   = prometheus.NewDesc("gslb_dns_xdp_unsent_total", "Answers that the driver threw away.", xdpLabels, nil)
	descXDPLost     = prometheus.NewDesc("gslb_dns_xdp_lost_total", "Frames that came faster than they were taken.", xdpLabels, nil)
	descXDPDropped  = prometheus.NewDesc("gslb_dns_xdp_dropped_total", "Frames that were not understood, by reason.", append(xdpLabels, "reason"), nil)
)

func describeXDP(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descXDPServing, descXDPReceived, descXDPAnswered, descXDPUnsent, descXDPLost, descXDPDropped} {
		ch <- d
	}
}

// collectXDP gives the counts of all queues to Prometheus.
func (s *Server) collectXDP(ch chan<- prometheus.Metric) {
	for _, st := range s.XDP() {
		for _, q := range st.Queues {
			labels := []string{st.Interface, strconv.Itoa(q.Queue)}
			count := func(d *prometheus.Desc, n uint64, more ...string) {
				ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), append(labels, more...)...)
			}
			serving := 0.0
			if q.Active {
				serving = 1
			}
			ch <- prometheus.MustNewConstMetric(descXDPServing, prometheus.GaugeValue, serving, append(labels, xdpMode(st, q))...)
			count(descXDPReceived, q.Received)
			count(descXDPAnswered, q.Answered)
			count(descXDPUnsent, q.Unsent)
			count(descXDPLost, q.Lost)
			for reason, n := range q.Dropped {
				count(descXDPDropped, n, reason)
			}
		}
	}
}

// xdpMode is how a queue is served: by the driver or by the network stack, and
// with how many copies.
func xdpMode(st afxdp.Status, q afxdp.QueueStatus) string {
	switch {
	case q.ZeroCopy:
		return "native, zero-copy"
	case st.Native:
		return "native, copy"
	}
	return "generic, copy"
}
