package balancer

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"gslb/balancer/kernel"
	"gslb/networks"
	"gslb/quota"
)

// admission decides whether a client may have a connection, before anything is
// done for it. It never changes; a new configuration makes another, which takes
// over the tables whose limits stay.
type admission struct {
	allowed *networks.Ranges[bool] // nil: all are
	rates   *quota.Rates           // nil: no limit
	counts  *quota.Counts          // nil: no limit
	bits    [2]int                 // of a client's network, IPv4 and IPv6
	exempt  *networks.Ranges[bool] // from both limits; nil: nobody
	key     quota.Key
	of      limited // what the tables were made of
}

// limited is the configuration that an admission's tables depend on.
type limited struct {
	connections, rate int
	bits              [2]int
}

// tableSize is how many client networks a table counts: 512 KiB of them.
const tableSize = 1 << 16

// seat is the place of an admitted client. The zero seat is nowhere.
type seat struct{ quota.Place }

func (s seat) leave() { s.Leave() }

// admissionOf returns the admission of cfg (with defaults); nil if it lets
// everybody in, or if the kernel admits. before is the one until now, or nil.
func admissionOf(cfg *Config, before *admission) *admission {
	if !cfg.admits() || cfg.inKernel() {
		return nil
	}
	a := &admission{of: limited{cfg.NetworkConnections, cfg.NetworkRate, [2]int{cfg.NetworkBits4, cfg.NetworkBits6}}}
	a.bits = a.of.bits
	if len(cfg.Allow)+len(cfg.Deny) > 0 {
		a.allowed = networks.New(slices.Concat(cfg.Allow, cfg.Deny), networks.Allowed(cfg.Allow, cfg.Deny))
	}
	if len(cfg.NetworkExempt) > 0 {
		a.exempt = networks.New(cfg.NetworkExempt, networks.Allowed(cfg.NetworkExempt, nil))
	}
	if before != nil && before.of == a.of {
		a.rates, a.counts, a.key = before.rates, before.counts, before.key
		return a
	}
	a.key = quota.NewKey()
	if n := cfg.NetworkConnections; n > 0 {
		a.counts = quota.NewCounts(uint64(n), tableSize)
	}
	if n := cfg.NetworkRate; n > 0 {
		a.rates = quota.NewRates(uint64(n), uint64(networkBurst.Milliseconds()), tableSize)
	}
	return a
}

// admits tells whether somebody may be refused.
func (c *Config) admits() bool {
	return len(c.Allow)+len(c.Deny) > 0 || c.NetworkConnections != 0 || c.NetworkRate != 0
}

// kernelAdmission is the admission of a frontend (with defaults) that the kernel carries.
func (c *Config) kernelAdmission() *kernel.Admission {
	if !c.admits() {
		return nil
	}
	return &kernel.Admission{Allow: c.Allow, Deny: c.Deny, Exempt: c.NetworkExempt, Rate: c.NetworkRate, Burst: networkBurst,
		Connections: c.NetworkConnections, Bits4: c.NetworkBits4, Bits6: c.NetworkBits6}
}

// refusals count who was not admitted, or was sent away for how it behaved.
type refusals struct {
	denied atomic.Int64 // by allow and deny
	rate   atomic.Int64 // its network had too many new connections
	count  atomic.Int64 // its network has too many connections
	silent atomic.Int64 // it said nothing within the first-byte time-out
	slow   atomic.Int64 // it was slower than the least rate
	header atomic.Int64 // it is a front end, and sent no good PROXY header

	notTLS  atomic.Int64 // it did not begin with a ClientHello
	noRoute atomic.Int64 // no route takes the name that it asked for
}

// admit decides about a client that has just connected. A false is counted, and
// the client is to be reset at once. The seat of a true is left once: by
// connection.end, or by leave if there was no connection.open.
func (f *frontend) admit(from flow) (seat, bool) {
	a := f.admission.Load()
	if a == nil {
		return seat{}, true
	}
	client := from.client.Addr()
	if a.allowed != nil && !a.allowed.At(client) {
		f.refusals.denied.Add(1)
		return seat{}, false
	}
	if a.exempt != nil && a.exempt.At(client) || a.counts == nil && a.rates == nil {
		return seat{}, true
	}
	h := a.key.Mix(0, quota.Network(client, a.bits[0], a.bits[1]))
	if a.rates != nil && !a.rates.Take(h, uint32(instantNow()/1e6)) {
		f.refusals.rate.Add(1)
		return seat{}, false
	}
	if a.counts == nil {
		return seat{}, true
	}
	place, ok := a.counts.Enter(h)
	if !ok {
		f.refusals.count.Add(1)
	}
	return seat{place}, ok
}

// networkBurst is how long a client network may save up new connections.
const networkBurst = 2 * time.Second

func (c Config) validateAdmission(bad func(key, msg string)) {
	for _, n := range []struct {
		key               string
		value, from, most int
	}{
		{"network_connections", c.NetworkConnections, 0, quota.MostCount}, {"network_rate", c.NetworkRate, 0, quota.MostRate},
		{"network_bits4", c.NetworkBits4, 0, 32}, {"network_bits6", c.NetworkBits6, 0, 64},
	} {
		if n.value < n.from || n.value > n.most {
			bad(n.key, fmt.Sprintf("%d: must be %d to %d", n.value, n.from, n.most))
		}
	}
}

func (c Config) validatePassive(bad func(key, msg string)) {
	for _, n := range []struct {
		key   string
		value int
	}{{"passive_failures", c.PassiveFailures}, {"passive_resets", c.PassiveResets}} {
		if n.value < -1 || n.value > 1000 {
			bad(n.key, fmt.Sprintf("%d: must be 1 to 1000, or -1 (never)", n.value))
		}
	}
	for _, n := range []struct {
		key   string
		value float64
	}{{"max_ejected", c.MaxEjected}, {"panic_below", c.PanicBelow}} {
		if !(n.value >= 0 && n.value <= 1) {
			bad(n.key, fmt.Sprintf("%v: must be a share, 0 to 1", n.value))
		}
	}
	if c.EjectTime > 0 && c.EjectTimeMost > 0 && c.EjectTimeMost < c.EjectTime {
		bad("eject_time_most", fmt.Sprintf("%v: must be eject_time (%v) or more", c.EjectTimeMost, c.EjectTime))
	}
	if c.MinRate < 0 {
		bad("min_rate", fmt.Sprintf("%d: must be a number of bytes a second, or 0 (any)", c.MinRate))
	}
}
