package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"gslb/health"
)

// firstEpoch is when the database says it was built, before it is replaced.
const firstEpoch = 1767225600

// node is a gslb that things happen to.
type node struct {
	*server
	api      string // host:port
	tools    string
	data     *dataset // what it serves: copies that are replaced
	original *dataset
	client   netip.Prefix // of a country with a site of its own
	home     site         // that site
	epoch    uint32
	serial   uint32
	changes  atomic.Int64 // in force since the disturbance began
}

// startNode starts gslb with its API, on any core.
func startNode(ctx context.Context, who *contestant, w *workload, d, original *dataset, dir string) (*node, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	withAPI := *d
	withAPI.api = fmt.Sprintf("127.0.0.1:%d", port)
	n := &node{api: withAPI.api, tools: dir, data: d, original: original, epoch: firstEpoch, serial: 1}
	if err := n.findClient(); err != nil {
		return nil, err
	}
	n.server, err = who.start(ctx, job{cpu: -1, workers: 1, needs: w.needs, within: 2 * time.Minute}, &withAPI, dir)
	return n, err
}

// findClient looks for a network of one country whose site can be put down.
func (n *node) findClient() error {
	all, err := readSubnets(n.data.subnets4)
	if err != nil {
		return err
	}
	for _, p := range all[:min(len(all), 2000)] {
		var record struct {
			Country struct {
				ISOCode string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
		}
		_, whole, err := lookUp(n.data.database, p, &record)
		if err != nil {
			return err
		}
		for _, s := range sites[1:] {
			if whole && s.address == addressFor(record.Country.ISOCode).String() {
				n.client, n.home = p, s
				return nil
			}
		}
	}
	return errors.New("the database has no client network of a country with a site")
}

// errDone ends every without an error.
var errDone = errors.New("done")

// every calls f in turn until it is done or fails, or ctx ends.
func every(ctx context.Context, pause time.Duration, f func() error) error {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			switch err := f(); {
			case err == errDone || err != nil && ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			}
		}
	}
}

// flip forces the site down and takes that back, ten times a second in all, and
// counts how often that changes the answer to its client: an order that was taken
// is in force at the node that took it. In the end the site is up.
func (n *node) flip(ctx context.Context) error {
	v := verifier{server: n.address, data: n.data}
	v.client.Timeout = time.Second
	down, before := false, netip.Addr{}
	err := every(ctx, 100*time.Millisecond, func() error {
		down = !down
		if err := n.force(ctx, down); err != nil {
			return err
		}
		m, err := v.ask(ctx, steeredName, n.client, false)
		if err != nil {
			return nil // loadgen counts what is lost
		}
		now := addressOf(m)
		if before.IsValid() && now != before {
			n.changes.Add(1)
		}
		before = now
		return nil
	})
	return errors.Join(err, n.force(context.WithoutCancel(ctx), false))
}

// force puts the site down, or takes that back.
func (n *node) force(ctx context.Context, down bool) error {
	method, url, body := http.MethodDelete, "/api/v1/override/"+n.home.name, []byte(nil)
	if down {
		text, err := json.Marshal(health.Override{Site: n.home.name, Kind: health.ForceDown, Who: "bench", Why: "a flip under load"})
		if err != nil {
			return err
		}
		method, url, body = http.MethodPost, "/api/v1/override", text
	}
	_, err := n.call(ctx, method, url, body)
	return err
}

// call asks the node's API.
func (n *node) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.api+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, text)
	}
	return text, err
}

// siteIsUp is what flip leaves.
func (n *node) siteIsUp(context.Context) error { return nil }

var builtMetric = regexp.MustCompile(`(?m)^gslb_geo_database_build_timestamp_seconds\{.*\} (\S+)$`)

// databaseInUse waits until the database as it lies there is in use. It asks
// seldom: the metrics are work for the node, too.
func (n *node) databaseInUse(ctx context.Context) error {
	return every(ctx, time.Second, func() error {
		text, err := n.call(ctx, http.MethodGet, "/metrics", nil)
		if err != nil {
			return err
		}
		if m := builtMetric.FindSubmatch(text); m != nil {
			if value, err := strconv.ParseFloat(string(m[1]), 64); err == nil && uint32(value) == n.epoch {
				return errDone
			}
		}
		return nil
	})
}

// zoneInUse waits until the zone as it lies there is served.
func (n *node) zoneInUse(ctx context.Context) error {
	v := verifier{server: n.address, data: n.data}
	v.client.Timeout = time.Second
	return every(ctx, 20*time.Millisecond, func() error {
		m, err := v.askType(ctx, staticZone, dns.TypeSOA, netip.Prefix{}, false)
		if err != nil || len(m.Answer) == 0 {
			return nil // loadgen counts what is lost
		}
		if soa, ok := m.Answer[0].(*dns.SOA); ok && soa.Serial == n.serial {
			return errDone
		}
		return nil
	})
}

// replaceDatabase replaces the City database by one that was built later, again
// and again, and counts those that came into use.
func (n *node) replaceDatabase(ctx context.Context) error {
	for ctx.Err() == nil {
		n.epoch++
		if err := withEpoch(n.original.database, n.data.database, n.epoch); err != nil {
			return err
		}
		if err := n.databaseInUse(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			n.changes.Add(1)
		}
	}
	return nil
}

// reloadZone gives the static zone another serial and has the node reload, again
// and again, and counts the serials that were served.
func (n *node) reloadZone(ctx context.Context) error {
	zone, err := os.ReadFile(n.original.static)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		n.serial++
		text := bytes.Replace(zone, []byte("hostmaster 1 "), fmt.Appendf(nil, "hostmaster %d ", n.serial), 1)
		aside := n.data.static + ".new"
		if err := errors.Join(os.WriteFile(aside, text, 0o644), os.Rename(aside, n.data.static), n.signal(syscall.SIGHUP)); err != nil {
			return err
		}
		if err := n.zoneInUse(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			n.changes.Add(1)
		}
	}
	return nil
}
