package nft

import (
	"fmt"
	"maps"
	"net"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"gslb/balancer/kernel"
	"gslb/networks"
)

// admitting is what the Admission of a service comes to in a table, for one family:
//
//	set www.4.denied.GENERATION   clients that may not, as intervals that do not overlap
//	set www.4.exempt.GENERATION   clients that the bounds are not for, likewise
//	set www.4.rate.50.24          client networks, of which each has a limit of its own
//	set www.4.count.100.24        client networks, each with its connections
//	counter www.4.denied.OWNER …  how many were refused, and why
//
// The sets of client networks, and the counters, outlive generations: what is in them is
// true until the bound changes, which is part of their names.
type admitting struct {
	*family
	of             *kernel.Admission
	table          *nftables.Table
	denied, exempt *nftables.Set // nil: nobody
	rate, count    *nftables.Set // nil: no bound
	why            [3]string     // the counters, in the order of kernel.Refused
}

// mostNetworks is how many client networks of a family a bound tells apart, for each
// service. Those beyond are admitted uncounted until others are forgotten.
const mostNetworks = 1 << 16

// admitting describes it. Nothing is there before build.
func (f *family) admitting(t *nftables.Table, s *kernel.Service, generation, owner string) *admitting {
	a := &admitting{family: f, of: s.Admission, table: t}
	name := s.Name + "." + f.digit()[:1]
	bits := a.of.Bits4
	if f == v6 {
		bits = a.of.Bits6
	}
	for i, kind := range []string{"denied", "rate", "count"} {
		a.why[i] = fmt.Sprintf("%s.%s.%s", name, kind, owner)
	}
	lasting := func(kind string, bound int) *nftables.Set {
		return &nftables.Set{Table: t, Name: fmt.Sprintf("%s.%s.%d.%d", name, kind, bound, bits), Dynamic: true, Size: mostNetworks, KeyType: f.addr}
	}
	if a.of.Rate > 0 {
		a.rate = lasting("rate", a.of.Rate)
		a.rate.HasTimeout = true
	}
	if a.of.Connections > 0 {
		a.count = lasting("count", a.of.Connections)
	}
	list := func(kind string) *nftables.Set {
		return &nftables.Set{Table: t, Name: fmt.Sprintf("%s.%s.%s", name, kind, generation), Interval: true, KeyType: f.addr}
	}
	if len(a.of.Allow)+len(a.of.Deny) > 0 {
		a.denied = list("denied")
	}
	if len(a.of.Exempt) > 0 && (a.rate != nil || a.count != nil) {
		a.exempt = list("exempt")
	}
	return a
}

// intervals returns the elements of a set of the addresses of this family that listed tells.
func (f *family) intervals(listed *networks.Ranges[bool], want bool) (out []nftables.SetElement) {
	for _, r := range listed.Where(func(held bool) bool { return held == want }) {
		if !f.has(r.First) {
			continue
		}
		out = append(out, nftables.SetElement{Key: addrBytes(r.First)})
		if after := r.Last.Next(); after.IsValid() {
			out = append(out, nftables.SetElement{Key: addrBytes(after), IntervalEnd: true})
		}
	}
	return out
}

// build adds sets and counters.
func (a *admitting) build(c *nftables.Conn) error {
	fill := func(set *nftables.Set, elements []nftables.SetElement) error {
		if set == nil {
			return nil
		}
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		return addElements(c, set, elements)
	}
	var denied, exempt []nftables.SetElement
	if a.denied != nil {
		denied = a.intervals(networks.New(slices.Concat(a.of.Allow, a.of.Deny), networks.Allowed(a.of.Allow, a.of.Deny)), false)
	}
	if a.exempt != nil {
		exempt = a.intervals(networks.New(a.of.Exempt, networks.Allowed(a.of.Exempt, nil)), true)
	}
	for _, one := range []struct {
		set      *nftables.Set
		elements []nftables.SetElement
	}{{a.denied, denied}, {a.exempt, exempt}, {a.rate, nil}, {a.count, nil}} {
		if err := fill(one.set, one.elements); err != nil {
			return err
		}
	}
	for _, name := range a.why { // one that is there goes on
		c.AddObj(&nftables.NamedObj{Table: a.table, Name: name, Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
	}
	return nil
}

// rules returns the rules of a chain that only first packets come to: refuse ends those of
// who is not admitted.
func (a *admitting) rules(refuse exprs) (out []exprs) {
	client := network(a.src, a.size, reg)
	because := func(reason int) exprs {
		return rule(of(&expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: a.why[reason]}), refuse)
	}
	if a.denied != nil {
		out = append(out, rule(client, in(a.denied), because(0)))
	}
	if a.exempt != nil {
		out = append(out, rule(client, in(a.exempt), of(&expr.Verdict{Kind: expr.VerdictReturn})))
	}
	// What an element has is evaluated where there is one, or room for one; else the rule ends.
	each := func(set *nftables.Set, d *expr.Dynset, bound expr.Any) exprs {
		d.SrcRegKey, d.SetID, d.SetName, d.Exprs = reg, set.ID, set.Name, []expr.Any{bound}
		return rule(client, a.clientNetwork(), of(d))
	}
	if a.rate != nil {
		saved := uint32(uint64(a.of.Rate) * uint64(a.of.Burst.Milliseconds()) / 1000)
		// Who has not come for as long as it takes to save up all is as good as new.
		out = append(out, rule(each(a.rate, &expr.Dynset{Operation: opUpdate, Timeout: 2 * a.of.Burst},
			&expr.Limit{Type: expr.LimitTypePkts, Rate: uint64(a.of.Rate), Unit: expr.LimitTimeSecond, Burst: max(1, saved), Over: true}), because(1)))
	}
	if a.count != nil {
		out = append(out, rule(each(a.count, &expr.Dynset{Operation: opAdd},
			&expr.Connlimit{Count: uint32(a.of.Connections), Flags: expr.NFT_CONNLIMIT_F_INV}), because(2)))
	}
	return out
}

// clientNetwork leaves of the address that is loaded its network.
func (a *admitting) clientNetwork() exprs {
	bits, all := a.of.Bits4, int(8*a.size)
	if a.family == v6 {
		bits = a.of.Bits6
	}
	if bits >= all {
		return nil
	}
	return of(&expr.Bitwise{SourceRegister: reg, DestRegister: reg, Len: a.size, Mask: net.CIDRMask(bits, all), Xor: make([]byte, a.size)})
}

// keeps tells the names of all that it has in the table.
func (a *admitting) keeps(see func(name string)) {
	for _, set := range []*nftables.Set{a.denied, a.exempt, a.rate, a.count} {
		if set != nil {
			see(set.Name)
		}
	}
	for _, name := range a.why {
		see(name)
	}
}

// refused reads its counters, from those of the table by name.
func (a *admitting) refused(packets map[string]int64) kernel.Refused {
	return kernel.Refused{Denied: packets[a.why[0]], OverRate: packets[a.why[1]], OverCount: packets[a.why[2]]}
}

// refusals are the counters of all services that one table has an admitting for.
type refusals struct {
	admits map[string]*admitting     // by the name of the service
	base   map[string]kernel.Refused // what counters had that are gone
}

// read tells what each service has refused.
func (r *refusals) read(t *nftables.Table) (map[string]kernel.Refused, error) {
	out := maps.Clone(r.base)
	if len(r.admits) == 0 {
		return out, nil
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	packets, err := counterPackets(c, t)
	if err != nil {
		return nil, err
	}
	for name, a := range r.admits {
		out[name] = addRefused(out[name], a.refused(packets))
	}
	return out, nil
}

// follow makes it the refusals of the next ones, of which those that there were before go
// on counting in the same counters; seen is what was read before.
func (r *refusals) follow(next map[string]*admitting, seen map[string]kernel.Refused) {
	base := map[string]kernel.Refused{}
	for name, total := range seen {
		base[name] = total
		if r.admits[name] != nil && next[name] != nil {
			base[name] = r.base[name]
		}
	}
	r.admits, r.base = next, base
}

func addRefused(a, b kernel.Refused) kernel.Refused {
	return kernel.Refused{Denied: a.Denied + b.Denied, OverRate: a.OverRate + b.OverRate, OverCount: a.OverCount + b.OverCount}
}

// counterPackets reads the named counters of a table.
func counterPackets(c *nftables.Conn, t *nftables.Table) (map[string]int64, error) {
	objects, err := c.GetNamedObjects(t)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for _, o := range objects {
		if named, ok := o.(*nftables.NamedObj); ok {
			if counter, ok := named.Obj.(*expr.Counter); ok {
				out[named.Name] = int64(counter.Packets)
			}
		}
	}
	return out, nil
}

// turnAway ends a new connection that is not admitted: a datagram gets no answer, so that
// nobody has one sent to somebody else.
func (f *family) turnAway(protocol uint8) exprs {
	if protocol == kernel.TCP {
		return f.refuse(protocol)
	}
	return of(&expr.Verdict{Kind: expr.VerdictDrop})
}
