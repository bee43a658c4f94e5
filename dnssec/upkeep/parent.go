package upkeep

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"gslb/dnssec"
)

// look is a look at the parent's servers for a zone's DS.
type look struct {
	at   time.Time
	tags []uint16 // that the DS RRset names
	// secure: each server's answer was signed with keys of the parent that a
	// resolver has validated.
	secure bool
	err    error
}

func (l look) String() string {
	how := "validated"
	if !l.secure {
		how = "not validated"
	}
	switch {
	case l.err != nil:
		return fmt.Sprintf("looked at %s: %v", stated(l.at), l.err)
	case len(l.tags) == 0:
		return fmt.Sprintf("looked at %s: the parent has no DS (%s)", stated(l.at), how)
	}
	return fmt.Sprintf("looked at %s: the parent's DS names %s (%s)", stated(l.at), tagsText(l.tags), how)
}

// broken tells what is wrong at the parent for a zone with these keys, if anything is:
//
//	names keys, none of which signs here     validators refuse the zone (RFC 4035, section 5.2)
//	has none any more, and had               nobody validates it
func (l look) broken(zone string, plan dnssec.Plan) string {
	if l.err != nil || l.at.IsZero() || plan.Leaving != dnssec.Stays {
		return ""
	}
	had := false
	for _, k := range plan.SignKeys {
		if slices.Contains(l.tags, k.Tag()) {
			return ""
		}
		had = had || !k.Timing.DSSeen.IsZero()
	}
	const mend = "put the DS of its keys there (gslb keys ds %s)"
	switch {
	case len(l.tags) > 0:
		return fmt.Sprintf("the parent's DS names %s, none of which signs the zone's keys here: resolvers that validate refuse all of it; "+mend, tagsText(l.tags), zone)
	case had:
		return fmt.Sprintf("the parent has no DS any more, so that nobody validates the zone: "+mend+", or have it served unsigned", zone)
	}
	return ""
}

func tagsText(tags []uint16) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(tags)), ", "), "[]")
}

// Parents looks for the DS of the zones at their parents' servers, as often as
// each zone's configuration has it, and notes with the keys what it found, until
// ctx ends. Only the node that maintains the keys does.
func (k *Keeper) Parents(ctx context.Context) error {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for {
		for _, c := range k.toLook(time.Now()) {
			l := k.look(ctx, c)
			if ctx.Err() != nil {
				return nil
			}
			k.mu.Lock()
			if k.zones[c.Name] != nil {
				k.looks[c.Name] = l
			}
			k.mu.Unlock()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
	}
}

// toLook lists the zones whose parents are to be asked now.
func (k *Keeper) toLook(now time.Time) []*kept {
	if !k.maintain {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var all []*kept
	for _, name := range slices.Sorted(maps.Keys(k.zones)) {
		c := k.zones[name]
		if len(c.Config.Parents()) > 0 && (len(c.plan.CDS) > 0 || c.plan.Leaving == dnssec.AsksParent) && now.Sub(k.looks[name].at).Abs() >= c.Config.DSCheck {
			all = append(all, c)
		}
	}
	return all
}

func (k *Keeper) look(ctx context.Context, c *kept) look {
	l := look{at: time.Now()}
	ds, secure, err := lookup{resolvers: c.Config.Parents()}.ds(ctx, c.Name)
	if l.secure = secure; err == nil && !secure && c.Config.DSValidated {
		err = errors.New("no resolver says that it has validated the parent's keys, which ds_validated = true asks for")
	}
	if err == nil && k.clock.check(l.at) == nil {
		for _, d := range ds {
			l.tags = append(l.tags, uint16(d[0])<<8|uint16(d[1]))
		}
		slices.Sort(l.tags)
		l.tags = slices.Compact(l.tags)
		var changed []*dnssec.Key
		if c.plan.Leaving != dnssec.Stays && len(ds) == 0 {
			changed, err = k.store.Gone(c.apex, c.Config.Policy(), l.at)
		} else {
			changed, err = k.store.Seen(c.apex, ds, l.at)
		}
		if len(changed) > 0 {
			k.log.Info("the parent's DS has changed", "zone", c.Name, "names", l.tags)
		}
	}
	if l.err = err; err != nil && ctx.Err() == nil {
		k.log.Warn("looking for the DS at the parent", "zone", c.Name, "error", err)
	}
	return l
}

// lookup finds a zone's DS at its parent's servers.
type lookup struct {
	resolvers []netip.AddrPort
	port      uint16 // of the servers; 0 means 53
}

// lookTime bounds one question.
const lookTime = 5 * time.Second

// ds gives the DS RRset of a zone, as rdata in order, if all of the parent's
// servers agree on it. A server may fail at some of its addresses, not at all.
// Where a resolver has validated the parent's keys each answer has to be signed
// with them, and secure is true.
func (l lookup) ds(ctx context.Context, zone string) (found [][]byte, secure bool, err error) {
	parent, servers, err := l.parent(ctx, zone)
	if err != nil {
		return nil, false, err
	}
	keys, err := l.keys(ctx, parent)
	if err != nil {
		return nil, false, err
	}
	for i, server := range servers {
		m, err := l.at(ctx, server, zone)
		if err == nil && len(keys) > 0 {
			err = proven(m, zone, parent, keys, time.Now())
		}
		var ds [][]byte
		if err == nil {
			ds, err = dsOf(m, zone)
		}
		if err != nil {
			return nil, false, fmt.Errorf("%s, server of %s: %w", server, parent, err)
		}
		if i > 0 && !slices.EqualFunc(ds, found, slices.Equal) {
			return nil, false, fmt.Errorf("the servers of %s do not agree on the DS yet: %s and %s", parent, servers[0], server)
		}
		found = ds
	}
	return found, len(keys) > 0, nil
}

// parent gives the zone above and its servers.
func (l lookup) parent(ctx context.Context, zone string) (string, []string, error) {
	for name := zone; name != "."; {
		if next, end := dns.NextLabel(name, 0); end {
			name = "."
		} else {
			name = name[next:]
		}
		m, err := l.resolve(ctx, name, dns.TypeNS)
		if err != nil {
			return "", nil, err
		}
		var servers []string
		for _, rr := range m.Answer {
			if ns, ok := rr.(*dns.NS); ok && strings.EqualFold(ns.Hdr.Name, name) {
				servers = append(servers, dns.CanonicalName(ns.Ns))
			}
		}
		if len(servers) > 0 {
			slices.Sort(servers)
			return name, servers, nil
		}
	}
	return "", nil, errors.New("no resolver knows servers of any zone above")
}

// at asks one server, at one of its addresses after the other.
func (l lookup) at(ctx context.Context, server, zone string) (*dns.Msg, error) {
	var addrs []netip.Addr
	var errs []error
	for _, qtype := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := l.resolve(ctx, server, qtype)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, rr := range m.Answer {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if a, ok := netip.AddrFromSlice(ip); ok {
				addrs = append(addrs, a.Unmap())
			}
		}
	}
	port := l.port
	if port == 0 {
		port = 53
	}
	for _, a := range addrs {
		m, err := ask(ctx, "tcp", netip.AddrPortFrom(a, port), zone, dns.TypeDS, false)
		switch {
		case err != nil:
		case !m.Authoritative || m.Rcode != dns.RcodeSuccess:
			err = fmt.Errorf("%s: answers %s without authority for the DS", a, dns.RcodeToString[m.Rcode])
		default:
			return m, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, errors.New("it has no address")
	}
	return nil, errors.Join(errs...)
}

// resolve asks the resolvers, one after the other.
func (l lookup) resolve(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	var errs []error
	for _, r := range l.resolvers {
		m, err := ask(ctx, "udp", r, name, qtype, true)
		if err == nil && m.Truncated {
			m, err = ask(ctx, "tcp", r, name, qtype, true)
		}
		if err == nil && m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			err = fmt.Errorf("resolver %s answers %s for %s %s", r, dns.RcodeToString[m.Rcode], name, dns.Type(qtype))
		}
		if err == nil {
			return m, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func ask(ctx context.Context, network string, server netip.AddrPort, name string, qtype uint16, recurse bool) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.RecursionDesired = recurse
	q.AuthenticatedData = recurse // asks whether the resolver has validated
	q.SetEdns0(1232, true)
	c := dns.Client{Net: network, Timeout: lookTime}
	m, _, err := c.ExchangeContext(ctx, q, server.String())
	return m, err
}

// dsOf gives the DS records of an answer as rdata.
func dsOf(m *dns.Msg, zone string) ([][]byte, error) {
	var all [][]byte
	for _, rr := range m.Answer {
		ds, ok := rr.(*dns.DS)
		if !ok || !strings.EqualFold(ds.Hdr.Name, zone) {
			continue
		}
		digest, err := hex.DecodeString(ds.Digest)
		if err != nil {
			return nil, err
		}
		all = append(all, append([]byte{byte(ds.KeyTag >> 8), byte(ds.KeyTag), ds.Algorithm, ds.DigestType}, digest...))
	}
	slices.SortFunc(all, slices.Compare)
	return all, nil
}
