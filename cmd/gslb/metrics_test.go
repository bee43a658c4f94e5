package main

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDescribed: each metric is described once, and by a name of its own.
func TestDescribed(t *testing.T) {
	ch := make(chan *prometheus.Desc, 100)
	(&nodeCollector{}).Describe(ch)
	close(ch)
	seen := make(map[string]bool)
	for d := range ch {
		if seen[d.String()] {
			t.Errorf("described twice: %v", d)
		}
		seen[d.String()] = true
	}
	for _, d := range []*prometheus.Desc{descZones, descZoneNames, descZoneBytes, descZoneLoad, descSerial, descGeoBuilt, descGeoBytes, descTableBytes, descTableNets, descTableBuild, descHealthy, descServers} {
		if !seen[d.String()] {
			t.Errorf("not described: %v", d)
		}
	}
}
