package dnssec

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Config is one [dnssec.NAME] of the configuration: how the zones that name it
// are signed. The zero value of each field means its default.
type Config struct {
	Algorithm string `toml:"algorithm"` // see ParseAlgorithm; default ECDSAP256SHA256
	Bits      int    `toml:"bits"`      // of an RSA key; default 2048
	CSK       *bool  `toml:"csk"`       // one key that signs all; default true
	Insecure  bool   `toml:"insecure"`  // see Policy
	// Lifetimes: 0 means that keys are not rolled by schedule.
	KSKLifetime time.Duration `toml:"ksk_lifetime"` // of a KSK or CSK
	ZSKLifetime time.Duration `toml:"zsk_lifetime"`

	Denial string `toml:"denial"`  // see denialNames; default "nsec"
	OptOut bool   `toml:"opt_out"` // of NSEC3; see NSEC3Params

	Validity time.Duration `toml:"validity"` // see Times
	Refresh  time.Duration `toml:"refresh"`
	Backdate time.Duration `toml:"backdate"`
	Step     time.Duration `toml:"step"`

	DNSKEYTTL         time.Duration `toml:"dnskey_ttl"` // see Policy
	MaxZoneTTL        time.Duration `toml:"max_zone_ttl"`
	DSTTL             time.Duration `toml:"ds_ttl"`
	Propagation       time.Duration `toml:"propagation"`
	ParentPropagation time.Duration `toml:"parent_propagation"`
	PublishSafety     time.Duration `toml:"publish_safety"`
	RetireSafety      time.Duration `toml:"retire_safety"`
	Purge             time.Duration `toml:"purge"`

	CDS []string `toml:"cds"` // digestNames, "sha256" and "sha384"; default sha256
	// Resolvers are asked for the parent's servers, which are then asked for the
	// DS. Without any an operator confirms it.
	Resolvers []string      `toml:"resolvers"`
	DSCheck   time.Duration `toml:"ds_check"` // how often; default 10m
	// DSValidated has what the parent's servers say count only where a resolver has
	// validated the parent's keys.
	DSValidated bool `toml:"ds_validated"`
}

// The ways of denial, and the digests, as a configuration writes them.
var (
	denialNames = map[string]Denial{"nsec": WithNSEC, "nsec3": WithNSEC3, denialCompact: WithNSEC3}
	digestNames = map[string]DigestType{"sha256": SHA256, "sha384": SHA384}
)

// denialCompact proves each name that does not exist by itself (RFC 9824), as far as there
// is time to sign, and all else by the chain.
const denialCompact = "compact"

// defaultDSCheck is often enough for a roll that takes days.
const defaultDSCheck = 10 * time.Minute

// WithDefaults returns c with the defaults in place of zero values.
func (c Config) WithDefaults() Config {
	p, t := DefaultPolicy, DefaultTimes
	if c.Algorithm == "" {
		c.Algorithm = p.Algorithm.String()
	}
	if c.CSK == nil {
		c.CSK = &p.CSK
	}
	if c.Denial == "" {
		c.Denial = "nsec"
	}
	if len(c.CDS) == 0 {
		c.CDS = []string{"sha256"}
	}
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{
		{&c.Validity, t.Validity}, {&c.Refresh, t.Refresh}, {&c.Backdate, t.Backdate}, {&c.Step, t.Step},
		{&c.DNSKEYTTL, p.DNSKEYTTL}, {&c.MaxZoneTTL, p.MaxZoneTTL}, {&c.DSTTL, p.DSTTL},
		{&c.Propagation, p.Propagation}, {&c.ParentPropagation, p.ParentPropagation},
		{&c.PublishSafety, p.PublishSafety}, {&c.RetireSafety, p.RetireSafety}, {&c.Purge, p.Purge},
		{&c.DSCheck, defaultDSCheck},
	} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	return c
}

// Policy is what the configuration says of keys. It must be valid.
func (c Config) Policy() Policy {
	c = c.WithDefaults()
	alg, _ := ParseAlgorithm(c.Algorithm) // Validate has seen it
	return Policy{
		Algorithm: alg, Bits: c.Bits, CSK: *c.CSK, Insecure: c.Insecure, KSKLifetime: c.KSKLifetime, ZSKLifetime: c.ZSKLifetime,
		DNSKEYTTL: c.DNSKEYTTL, MaxZoneTTL: c.MaxZoneTTL, DSTTL: c.DSTTL,
		Propagation: c.Propagation, ParentPropagation: c.ParentPropagation,
		PublishSafety: c.PublishSafety, RetireSafety: c.RetireSafety, Purge: c.Purge,
	}
}

// Times is what the configuration says of signatures.
func (c Config) Times() Times {
	c = c.WithDefaults()
	return Times{Validity: c.Validity, Refresh: c.Refresh, Backdate: c.Backdate, Step: c.Step}
}

// Signing is how a zone is signed with this configuration, but for its apex,
// keys and cache. It must be valid.
func (c Config) Signing() Signing {
	c = c.WithDefaults()
	s := Signing{TTL: uint32(c.DNSKEYTTL / time.Second), Times: c.Times(), Denial: denialNames[c.Denial], NSEC3: NSEC3Params{OptOut: c.OptOut}, Compact: c.Denial == denialCompact}
	for _, d := range c.CDS {
		s.CDS = append(s.CDS, digestNames[d])
	}
	return s
}

// Parents are the addresses of Resolvers.
func (c Config) Parents() []netip.AddrPort {
	var all []netip.AddrPort
	for _, r := range c.Resolvers {
		if a, err := parseResolver(r); err == nil {
			all = append(all, a)
		}
	}
	return all
}

// parseResolver reads an address, with or without a port.
func parseResolver(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, 53), nil
	}
	return netip.ParseAddrPort(s)
}

// Validate calls bad once for each fault, with the key it is in.
func (c Config) Validate(bad func(key, msg string)) {
	faults := 0
	fault := func(key, format string, args ...any) {
		faults++
		bad(key, fmt.Sprintf(format, args...))
	}
	d := c.WithDefaults()
	alg, err := ParseAlgorithm(d.Algorithm)
	if err != nil {
		fault("algorithm", "%v", err)
	}
	isRSA := alg.IsRSA()
	switch {
	case c.Bits == 0 || err != nil:
	case !isRSA:
		fault("bits", "%d: goes with RSASHA256 and RSASHA512 alone: keys of %s have one length", c.Bits, alg)
	case c.Bits < RSABits[0] || c.Bits > RSABits[1]:
		fault("bits", "%d: must be %d to %d", c.Bits, RSABits[0], RSABits[1])
	}
	if _, ok := denialNames[d.Denial]; !ok {
		fault("denial", `%q: must be "nsec", "nsec3" or "compact"`, d.Denial)
	}
	if c.OptOut && d.Denial == "nsec" {
		fault("opt_out", `true: goes with denial = "nsec3" or "compact" alone`)
	}
	for i, name := range c.CDS {
		if _, ok := digestNames[name]; !ok {
			fault(fmt.Sprintf("cds[%d]", i), `%q: must be "sha256" or "sha384"`, name)
		} else if slices.Contains(c.CDS[:i], name) {
			fault(fmt.Sprintf("cds[%d]", i), "%q: listed twice", name)
		}
	}
	for i, r := range c.Resolvers {
		if _, err := parseResolver(r); err != nil {
			fault(fmt.Sprintf("resolvers[%d]", i), `%q: must be an IP address, with a port if that is not 53, such as "192.0.2.1" or "[2001:db8::1]:5353"`, r)
		}
	}
	if c.DSValidated && len(c.Resolvers) == 0 {
		fault("ds_validated", "true: nobody looks for the DS without resolvers")
	}
	c.validateTimes(fault)
	if *d.CSK && c.ZSKLifetime != 0 {
		fault("zsk_lifetime", "%v: with csk = true there is no ZSK: ksk_lifetime is the CSK's", c.ZSKLifetime)
	}
	if faults > 0 {
		return // the rest would follow from them
	}
	if err := c.Times().Validate(max(d.MaxZoneTTL, d.DNSKEYTTL)); err != nil {
		fault(c.written("refresh", "validity", "max_zone_ttl", "dnskey_ttl", "step"), "%s", trimmed(err))
	}
	if err := c.Policy().Validate(); err != nil {
		fault(c.written("ksk_lifetime", "zsk_lifetime"), "%s", trimmed(err))
	}
}

// validateTimes looks at each time alone.
func (c Config) validateTimes(fault func(key, format string, args ...any)) {
	const long = 10 * 365 * 24 * time.Hour
	for _, t := range c.durations() {
		switch {
		case t.value == 0:
		case t.value < time.Second || t.value%time.Second != 0:
			fault(t.key, "%v: must be whole seconds, at least 1s", t.value)
		case t.value > long:
			fault(t.key, "%v: must be at most ten years", t.value)
		}
	}
}

type namedDuration struct {
	key   string
	value time.Duration
}

func (c Config) durations() []namedDuration {
	return []namedDuration{
		{"ksk_lifetime", c.KSKLifetime}, {"zsk_lifetime", c.ZSKLifetime},
		{"validity", c.Validity}, {"refresh", c.Refresh}, {"backdate", c.Backdate}, {"step", c.Step},
		{"dnskey_ttl", c.DNSKEYTTL}, {"max_zone_ttl", c.MaxZoneTTL}, {"ds_ttl", c.DSTTL},
		{"propagation", c.Propagation}, {"parent_propagation", c.ParentPropagation},
		{"publish_safety", c.PublishSafety}, {"retire_safety", c.RetireSafety}, {"purge", c.Purge}, {"ds_check", c.DSCheck},
	}
}

// written is the first of the keys that has a value, to point at.
func (c Config) written(keys ...string) string {
	for _, key := range keys {
		for _, d := range c.durations() {
			if d.key == key && d.value != 0 {
				return key
			}
		}
	}
	return ""
}

// trimmed is an error's text as one line without the subject, which the key tells.
func trimmed(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		_, text, _ := strings.Cut(strings.TrimSpace(line), ": ")
		lines = append(lines, text)
	}
	return strings.Join(lines, "; ")
}
