package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"gslb/bgp"
	"gslb/console"
)

var (
	descReady     = prometheus.NewDesc("gslb_balancer_ready", "1 while a virtual address may lead to this node for the frontend.", []string{"frontend"}, nil)
	descSession   = prometheus.NewDesc("gslb_bgp_session_up", "1 while the BGP session with the neighbour is established.", []string{"neighbor"}, nil)
	descAnnounced = prometheus.NewDesc("gslb_bgp_announced", "1 while the address is announced to the neighbours.", []string{"address"}, nil)
)

var vipDescs = []*prometheus.Desc{descReady, descSession, descAnnounced}

// collectVIP tells which virtual addresses may lead here, and what routers are told of them.
func (n *node) collectVIP(st *console.Status, gauge func(d *prometheus.Desc, v float64, labels ...string)) {
	if n.balancer != nil {
		for _, r := range n.readiness() {
			gauge(descReady, truth(r.Ready), r.Frontend)
		}
	}
	if st.BGP == nil {
		return
	}
	for _, s := range st.BGP.Neighbors {
		gauge(descSession, truth(s.State == bgp.Established), s.Address)
	}
	for _, a := range st.BGP.Addresses {
		gauge(descAnnounced, truth(a.Announced), a.Address)
	}
}
