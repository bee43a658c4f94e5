package dnsserver

import (
	"strconv"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
)

// collector gives a Server's counts to Prometheus.
type collector struct {
	s     *Server
	sites func() []string
}

var (
	descQueries   = prometheus.NewDesc("gslb_dns_queries_total", "Queries received, by transport and address family.", []string{"transport"}, nil)
	descAnswers   = prometheus.NewDesc("gslb_dns_answers_total", "Answers sent, by response code.", []string{"rcode"}, nil)
	descDropped   = prometheus.NewDesc("gslb_dns_dropped_total", "Messages that were not queries.", nil, nil)
	descTruncated = prometheus.NewDesc("gslb_dns_truncated_total", "Answers sent with TC.", nil, nil)
	descSubnet    = prometheus.NewDesc("gslb_dns_client_subnet_total", "Answers to queries with a Client Subnet option.", nil, nil)
	descTailored  = prometheus.NewDesc("gslb_dns_tailored_total", "Answers that a policy chose, by what was special about them.", []string{"kind"}, nil)
	descPanics    = prometheus.NewDesc("gslb_dns_panics_total", "Queries that made the server panic (answered SERVFAIL).", nil, nil)
	descSendFail  = prometheus.NewDesc("gslb_dns_send_failures_total", "UDP answers that the system refused to send.", nil, nil)
	descDenied    = prometheus.NewDesc("gslb_dns_denied_total", "Queries from networks that are denied.", nil, nil)
	descLimited   = prometheus.NewDesc("gslb_dns_rate_limited_total", "Answers over the rate limit, by what was done: drop, or slip (sent truncated, or with BADCOOKIE).", []string{"action"}, nil)
	descCookies   = prometheus.NewDesc("gslb_dns_cookies_total", "Queries with a COOKIE: client (without a server cookie), good or bad.", []string{"kind"}, nil)
	descCompact   = prometheus.NewDesc("gslb_dns_compact_denials_total", "Names that do not exist, in zones with compact denial (RFC 9824), by their proof: signed for the query, kept from a query before, or of the chain, since dns.compact_share was spent or the query could not wait.", []string{"proof"}, nil)
	descTCPOpen   = prometheus.NewDesc("gslb_dns_tcp_connections", "TCP connections that are open.", nil, nil)
	descTCPRefuse = prometheus.NewDesc("gslb_dns_tcp_refused_total", "TCP connections closed because of a limit.", nil, nil)
	descTCPEvict  = prometheus.NewDesc("gslb_dns_tcp_evicted_total", "Idle TCP connections closed to make room for others.", nil, nil)
	descHandshake = prometheus.NewDesc("gslb_dns_tls_handshake_failures_total", "TLS handshakes that failed or took too long, those of QUIC too, by the transport and why.", []string{"transport", "reason"}, nil)
	descCertEnd   = prometheus.NewDesc("gslb_dns_certificate_expiry_timestamp_seconds", "When the certificate in use expires, by the table that it is for.", []string{"table"}, nil)
	descProxy     = prometheus.NewDesc("gslb_dns_proxy_errors_total", "Messages and connections of front ends (dns.proxy_from) without a good PROXY header.", nil, nil)
	descSplit     = prometheus.NewDesc("gslb_dns_split_ratio", "Share of a site in the answers of the steered name in the last minutes, as clients got it, and as was to be expected of these clients in the long run.", []string{"name", "site", "share"}, nil)
	descPicked    = prometheus.NewDesc("gslb_dns_choices_total", "Answers by steered name and chosen site.", []string{"name", "site"}, nil)
)

// Collector gives the server's counts to Prometheus; sites names the sites by
// index, as the generation that is served has them.
func (s *Server) Collector(sites func() []string) prometheus.Collector {
	return &collector{s: s, sites: sites}
}

// Describe is part of prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descQueries, descAnswers, descDropped, descTruncated, descSubnet, descTailored,
		descPanics, descSendFail, descDenied, descLimited, descCookies, descCompact, descTCPOpen, descTCPRefuse, descTCPEvict, descHandshake, descCertEnd, descProxy, descPicked, descSplit} {
		ch <- d
	}
	describeXDP(ch)
}

// Collect is part of prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	st := c.s.Stats()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	for t, n := range st.Queries {
		count(descQueries, n, t)
	}
	for code, n := range st.Rcodes {
		name := dns.RcodeToString[code]
		switch {
		case code == dns.RcodeBadVers:
			name = "BADVERS"
		case name == "":
			name = strconv.Itoa(code)
		}
		count(descAnswers, n, name)
	}
	count(descDropped, st.Dropped)
	count(descTruncated, st.Truncated)
	count(descSubnet, st.Subnet)
	count(descTailored, st.Tailored, "all")
	count(descTailored, st.FailOpen, "fail-open")
	count(descTailored, st.Resort, "last-resort")
	count(descTailored, st.Shed, "shed")
	count(descPanics, st.Panics)
	count(descSendFail, st.SendFail)
	count(descDenied, st.Denied)
	count(descLimited, st.Limited-st.Slipped, "drop")
	count(descLimited, st.Slipped, "slip")
	for kind, n := range st.Cookies {
		count(descCookies, n, kind)
	}
	for kind, n := range st.Compact {
		count(descCompact, n, kind)
	}
	ch <- prometheus.MustNewConstMetric(descTCPOpen, prometheus.GaugeValue, float64(st.TCPOpen))
	count(descTCPRefuse, st.TCPRefuse)
	count(descTCPEvict, st.TCPEvict)
	c.s.collectHandshakes(ch)
	count(descProxy, st.ProxyErrors)
	for _, cert := range c.s.certificates {
		ch <- prometheus.MustNewConstMetric(descCertEnd, prometheus.GaugeValue, float64(cert.now.Load().Leaf.NotAfter.Unix()), "dns."+cert.what)
	}
	c.s.collectXDP(ch)
	names := c.sites()
	for name, by := range st.Picked {
		for i, n := range by {
			if i < len(names) && n > 0 {
				count(descPicked, n, name, names[i])
			}
		}
	}
	for name, split := range c.s.Splits() {
		for share, by := range map[string]map[string]float64{"got": split.Got, "expected": split.Expected} {
			for site, n := range by {
				ch <- prometheus.MustNewConstMetric(descSplit, prometheus.GaugeValue, n, name, site, share)
			}
		}
	}
}
