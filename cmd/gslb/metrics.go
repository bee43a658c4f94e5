package main

import (
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gslb/console"
	"gslb/health"
)

// register gives Prometheus what the rooms count.
func (n *node) register() {
	n.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		console.BuildInfo(versionString()),
		&nodeCollector{n},
	)
	if n.api != nil {
		n.registry.MustRegister(n.api)
	}
	if n.dns != nil {
		n.registry.MustRegister(n.dns.Collector(func() []string { return n.inForce().sites }))
	}
}

// nodeCollector reads the state of the rooms when Prometheus asks.
type nodeCollector struct{ n *node }

var (
	descSiteState  = prometheus.NewDesc("gslb_site_state", "1 for the state that a site is in, 0 for the others.", []string{"site", "state"}, nil)
	descSiteDrain  = prometheus.NewDesc("gslb_site_draining", "1 while an override drains the site.", []string{"site"}, nil)
	descSiteRTT    = prometheus.NewDesc("gslb_site_rtt_seconds", "Round-trip time from this node to the site, as it has published it for the pick latency.", []string{"site"}, nil)
	descSiteShed   = prometheus.NewDesc("gslb_site_shed_ratio", "Share of new users that the site sheds because of load.", []string{"site"}, nil)
	descHeld       = prometheus.NewDesc("gslb_held", "Sites that the breaker holds in service though they were judged down.", nil, nil)
	descHeldChange = prometheus.NewDesc("gslb_held_change", "1 while the breaker holds back new databases, or a new topology, that would move too many users at once.", []string{"what"}, nil)
	descSiteHeld   = prometheus.NewDesc("gslb_site_held", "1 while a site that is up gets no new users, because of how it is to come back after it was down.", []string{"site"}, nil)
	descSiteWith   = prometheus.NewDesc("gslb_site_withheld_ratio", "Share of new users withheld from the site by slow start or an operator's order.", []string{"site"}, nil)
	descDrainSafe  = prometheus.NewDesc("gslb_site_drain_safe", "1 when a site that is to get no new users can be switched off, 0 while it can not.", []string{"site"}, nil)
	descDrainOpen  = prometheus.NewDesc("gslb_site_drain_connections", "Connections open at a site that is to get no new users, as its balancers report.", []string{"site"}, nil)
	descDrainNew   = prometheus.NewDesc("gslb_site_drain_new_connections", "Connections that came to the site since its balancers saw that it is to get no new users.", []string{"site"}, nil)
	descSiteLoad   = prometheus.NewDesc("gslb_site_load", "Load that the site's balancers report.", []string{"site"}, nil)
	descSiteCap    = prometheus.NewDesc("gslb_site_capacity", "Capacity of the site, in the units of its load; 0: not known.", []string{"site"}, nil)
	descSiteVotes  = prometheus.NewDesc("gslb_site_votes", "Live vantage points by what they say of the site.", []string{"site", "state"}, nil)
	descHealthy    = prometheus.NewDesc("gslb_site_servers_healthy", "Healthy servers in service that the site's balancers report.", []string{"site"}, nil)
	descServers    = prometheus.NewDesc("gslb_site_servers", "Servers that the site's balancers report, spares not counted.", []string{"site"}, nil)
	descZones      = prometheus.NewDesc("gslb_zones", "Zones that are served.", nil, nil)
	descZoneNames  = prometheus.NewDesc("gslb_zones_names", "Names that own records or are steered, of all zones.", nil, nil)
	descZoneBytes  = prometheus.NewDesc("gslb_zones_bytes", "Memory that all zones take.", nil, nil)
	descZoneLoad   = prometheus.NewDesc("gslb_zones_load_seconds", "How long the last load of the zones took.", nil, nil)
	descSerial     = prometheus.NewDesc("gslb_zone_serial", "Serial number of the zone as it is served; of the first 10000 zones by name.", []string{"zone"}, nil)
	descGeoBuilt   = prometheus.NewDesc("gslb_geo_database_build_timestamp_seconds", "When the geo database in use was built, as it says itself.", []string{"database", "type"}, nil)
	descGeoBytes   = prometheus.NewDesc("gslb_geo_database_bytes", "Memory that the geo database takes.", []string{"database", "type"}, nil)
	descTableBytes = prometheus.NewDesc("gslb_geo_table_bytes", "Memory that the tables of cohorts take.", nil, nil)
	descTableNets  = prometheus.NewDesc("gslb_geo_table_networks", "Networks in the tables of cohorts, by IP version.", []string{"family"}, nil)
	descTableBuild = prometheus.NewDesc("gslb_geo_table_build_seconds", "How long the tables in use took to build.", nil, nil)
	descStale      = prometheus.NewDesc("gslb_states_stale", "1 while the store cannot be reached and the last known states are served.", nil, nil)
	descRevision   = prometheus.NewDesc("gslb_states_revision", "Store revision that the served states come from.", nil, nil)
	descTopology   = prometheus.NewDesc("gslb_topology_revision", "Revision of the topology in etcd that is served; 0: none yet.", nil, nil)
	descWanted     = prometheus.NewDesc("gslb_topology_wanted_revision", "Revision of the topology in etcd that is to be served.", nil, nil)
	descEtcd       = prometheus.NewDesc("gslb_etcd_connected", "1 while the store answers.", nil, nil)
	descProblems   = prometheus.NewDesc("gslb_problems", "Things that a person should look at; gslb status lists them.", nil, nil)
	descServer     = prometheus.NewDesc("gslb_balancer_server_in_service", "1 while the server is given connections.", []string{"frontend", "server", "role"}, nil)
	descServerConn = prometheus.NewDesc("gslb_balancer_server_connections", "Connections open to the server.", []string{"frontend", "server"}, nil)
	descServerTot  = prometheus.NewDesc("gslb_balancer_server_connections_total", "Connections made to the server.", []string{"frontend", "server"}, nil)
	descServerFail = prometheus.NewDesc("gslb_balancer_server_connect_failures_total", "Connects to the server that failed.", []string{"frontend", "server"}, nil)
	descServerWait = prometheus.NewDesc("gslb_balancer_server_queue", "Clients that wait because the server was picked for them and has as many connections as it may.", []string{"frontend", "server"}, nil)
	descServerVain = prometheus.NewDesc("gslb_balancer_server_queue_timeouts_total", "Clients that waited for the server for too long.", []string{"frontend", "server"}, nil)
	descServerTime = prometheus.NewDesc("gslb_balancer_server_connect_seconds", "Moving average of the time that connects to the server take: up at once, down slowly.", []string{"frontend", "server"}, nil)
	descServerByte = prometheus.NewDesc("gslb_balancer_server_bytes_total", "Bytes carried, by direction as the client sees it.", []string{"frontend", "server", "direction"}, nil)
	descServerBrok = prometheus.NewDesc("gslb_balancer_server_broken_total", "Connections that the server reset before it had said anything.", []string{"frontend", "server"}, nil)
	descServerIso  = prometheus.NewDesc("gslb_balancer_server_isolations_total", "How often the server was isolated.", []string{"frontend", "server"}, nil)
	descFrontOpen  = prometheus.NewDesc("gslb_balancer_connections", "Client connections open.", []string{"frontend"}, nil)
	descFrontEvent = prometheus.NewDesc("gslb_balancer_events_total", "What happened to client connections.", []string{"frontend", "event"}, nil)
)

// Describe is part of prometheus.Collector.
func (c *nodeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSiteState, descSiteDrain, descSiteRTT, descSiteShed, descHeld, descHeldChange, descSiteHeld, descSiteWith, descDrainSafe, descDrainOpen, descDrainNew, descSiteLoad, descSiteCap, descSiteVotes, descHealthy, descServers, descZones, descZoneNames, descZoneBytes, descZoneLoad, descSerial, descGeoBuilt, descGeoBytes, descTableBytes, descTableNets, descTableBuild, descStale,
		descRevision, descTopology, descWanted, descEtcd, descProblems, descServer, descServerConn, descServerTot, descServerFail, descServerByte, descServerWait, descServerVain, descServerTime, descFrontOpen, descFrontEvent, descServerBrok, descServerIso,
		descMoved, descUpdates, descConfirmed, descExpires} {
		ch <- d
	}
	for i := range descFrontTimes {
		ch <- descFrontTimes[i]
		ch <- descServerTimes[i]
	}
	for _, d := range append(vipDescs, dnssecDescs...) {
		ch <- d
	}
}

// Collect is part of prometheus.Collector.
func (c *nodeCollector) Collect(ch chan<- prometheus.Metric) {
	st := c.n.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descHeld, float64(len(st.Held)))
	c.n.collectVIP(&st, gauge)
	for _, h := range st.HeldChanges {
		gauge(descHeldChange, 1, h.What)
	}
	for _, s := range st.Sites {
		votes := make(map[health.State]int)
		for _, v := range s.Votes {
			votes[v.State]++
		}
		for state := health.Unknown; state <= health.Down; state++ {
			gauge(descSiteState, truth(s.State == state), s.Site, state.String())
			gauge(descSiteVotes, float64(votes[state]), s.Site, state.String())
		}
		gauge(descSiteDrain, truth(s.Draining), s.Site)
		gauge(descSiteShed, s.Shed, s.Site)
		gauge(descSiteHeld, truth(s.Held != ""), s.Site)
		gauge(descSiteWith, s.Withheld, s.Site)
		if p := s.Drain; p != nil {
			gauge(descDrainSafe, truth(p.Safe), s.Site)
			if p.Clients != nil {
				gauge(descDrainOpen, float64(p.Clients.Open), s.Site)
				gauge(descDrainNew, float64(p.Clients.New), s.Site)
			}
		}
		gauge(descSiteLoad, s.Load, s.Site)
		gauge(descSiteCap, s.Capacity, s.Site)
		if len(s.Reports) > 0 {
			healthy, total := 0, 0
			for _, r := range s.Reports {
				healthy, total = healthy+r.Healthy, total+r.Total
			}
			gauge(descHealthy, float64(healthy), s.Site)
			gauge(descServers, float64(total), s.Site)
		}
	}
	for _, t := range st.Times {
		if t.Vantage != st.Node.Name { // that one has its own
			continue
		}
		for site, ms := range t.RTT {
			gauge(descSiteRTT, ms/1000, site)
		}
	}
	for _, z := range st.Zones {
		gauge(descSerial, float64(z.Serial), z.Name)
	}
	if t := st.Topology; t.Follows {
		gauge(descTopology, float64(t.Serving))
		wanted := t.Serving
		if t.Wanted > 0 {
			wanted = t.Wanted
		}
		gauge(descWanted, float64(wanted))
	}
	collectMovements(st, ch)
	gauge(descZones, float64(st.AllZones.Zones))
	gauge(descZoneNames, float64(st.AllZones.Names))
	gauge(descZoneBytes, float64(st.AllZones.Bytes))
	gauge(descZoneLoad, st.ZonesLoadSeconds)
	named := make(map[string]bool) // two files of one name and type would be one series twice
	for _, d := range st.Geo {
		name := filepath.Base(d.Path)
		if named[name+"\x00"+d.Type] {
			continue
		}
		named[name+"\x00"+d.Type] = true
		gauge(descGeoBytes, float64(d.Bytes), name, d.Type)
		if !d.Built.IsZero() {
			gauge(descGeoBuilt, float64(d.Built.Unix()), name, d.Type)
		}
	}
	var bytes, networks4, networks6, took float64
	for _, t := range st.Tables {
		bytes, networks4, networks6 = bytes+float64(t.Bytes), networks4+float64(t.Networks4), networks6+float64(t.Networks6)
		took = max(took, t.BuildSeconds)
	}
	gauge(descTableBytes, bytes)
	gauge(descTableNets, networks4, "4")
	gauge(descTableNets, networks6, "6")
	gauge(descTableBuild, took)
	gauge(descStale, truth(st.Stale))
	gauge(descRevision, float64(st.Revision))
	gauge(descEtcd, truth(st.Etcd.Connected))
	gauge(descProblems, float64(len(st.Attention())))
	collectDNSSEC(ch, st)
	c.frontends(ch)
}

func (c *nodeCollector) frontends(ch chan<- prometheus.Metric) {
	if c.n.balancer == nil {
		return
	}
	count := func(d *prometheus.Desc, v int64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, f := range c.n.balancer.Status() {
		gauge(descFrontOpen, float64(f.Open), f.Name)
		for event, v := range map[string]int64{
			"accepted": f.Counters.Accepted, "refused": f.Counters.Refused, "retried": f.Counters.Retried,
			"local-error": f.Counters.LocalErrors, "accept-error": f.Counters.AcceptErrors, "reset": f.Counters.Resets,
			"timed-out": f.Counters.TimedOut, "cut": f.Counters.Cut,
			"denied": f.Counters.Denied, "over-rate": f.Counters.OverRate, "over-count": f.Counters.OverCount,
			"silent": f.Counters.Silent, "slow": f.Counters.Slow, "no-header": f.Counters.NoHeader,
			"routed": f.Counters.Routed, "not-tls": f.Counters.NotTLS, "no-route": f.Counters.NoRoute, "unlogged": f.Counters.Unlogged,
			"queue-timeout": f.Counters.QueueTimeouts, "queue-full": f.Counters.QueueFull, "dropped": f.Counters.Dropped,
		} {
			count(descFrontEvent, v, f.Name, event)
		}
		for i, d := range descFrontTimes {
			ch <- &nativeHistogram{d, f.Times[i], []string{f.Name}}
		}
		for _, s := range f.Servers {
			for i, d := range descServerTimes {
				ch <- &nativeHistogram{d, s.Times[i], []string{f.Name, s.Address}}
			}
			gauge(descServer, truth(s.InService), f.Name, s.Address, s.Role)
			gauge(descServerConn, float64(s.Connections), f.Name, s.Address)
			count(descServerTot, s.Total, f.Name, s.Address)
			count(descServerFail, s.Failures, f.Name, s.Address)
			count(descServerBrok, s.Broken, f.Name, s.Address)
			count(descServerIso, s.Isolations, f.Name, s.Address)
			gauge(descServerWait, float64(s.Queued), f.Name, s.Address)
			count(descServerVain, s.QueueTimeouts, f.Name, s.Address)
			gauge(descServerTime, s.Latency.Seconds(), f.Name, s.Address)
			count(descServerByte, s.BytesUp, f.Name, s.Address, "up")
			count(descServerByte, s.BytesDown, f.Name, s.Address, "down")
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
