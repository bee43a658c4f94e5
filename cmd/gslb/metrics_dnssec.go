package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"gslb/console"
)

var (
	descSigExpiry = prometheus.NewDesc("gslb_dnssec_signature_expiry_seconds", "Until the first of the zone's signatures expires.", []string{"zone"}, nil)
	descSigCount  = prometheus.NewDesc("gslb_dnssec_signatures", "Signatures of the zone that are in force.", []string{"zone"}, nil)
	descSigMade   = prometheus.NewDesc("gslb_dnssec_signatures_made_total", "Signatures made for the zone since the start.", []string{"zone"}, nil)
	descSigTime   = prometheus.NewDesc("gslb_dnssec_sign_seconds", "How long the zone's last signing took.", []string{"zone"}, nil)
	descKeys      = prometheus.NewDesc("gslb_dnssec_keys", "Keys of the zone that have not gone, by role.", []string{"zone", "role"}, nil)
	descNextKey   = prometheus.NewDesc("gslb_dnssec_next_key_event_timestamp_seconds", "When something happens to a key of the zone next.", []string{"zone"}, nil)
	descWaiting   = prometheus.NewDesc("gslb_dnssec_ds_waiting", "1 while a key of the zone waits for its DS at the parent.", []string{"zone"}, nil)
)

var dnssecDescs = []*prometheus.Desc{descSigExpiry, descSigCount, descSigMade, descSigTime, descKeys, descNextKey, descWaiting}

// collectDNSSEC gives what there is to tell of the zones that are signed here.
func collectDNSSEC(ch chan<- prometheus.Metric, st console.Status) {
	for _, z := range st.Zones {
		d := z.DNSSEC
		if d == nil {
			continue
		}
		gauge := func(desc *prometheus.Desc, v float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, v, append([]string{z.Name}, labels...)...)
		}
		if !d.Expires.IsZero() {
			gauge(descSigExpiry, d.Expires.Sub(st.Now).Seconds())
		}
		gauge(descSigCount, float64(d.Signatures))
		gauge(descSigTime, d.Seconds)
		gauge(descWaiting, truth(d.Waiting))
		if !d.NextKey.IsZero() {
			gauge(descNextKey, float64(d.NextKey.Unix()))
		}
		ch <- prometheus.MustNewConstMetric(descSigMade, prometheus.CounterValue, float64(d.Made), z.Name)
		roles := make(map[string]int)
		for _, k := range d.Keys {
			if !k.Gone {
				roles[k.Role]++
			}
		}
		for role, n := range roles {
			gauge(descKeys, float64(n), role)
		}
	}
}
