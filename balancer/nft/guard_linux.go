package nft

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/google/nftables"
	"gslb/balancer/kernel"
)

// guard is the table that stands before a nat's, for one family, and refuses clients that
// are not admitted:
//
//	chain prerouting, output   where a packet goes -> map virtual (or any) -> the chain of the service
//	chain www.GENERATION       the rules of admitting
//
// Its chains are of type nat, so only the first packet of a connection comes by. It is a
// table of its own since what it knows of clients outlives changes of the services.
type guard struct {
	*family
	table  *nftables.Table
	owner  string
	number int
	known  bool             // it is known what is in the kernel
	of     []kernel.Service // what that was made of
	refusals
}

func newGuard(f *family, node, owner string) *guard {
	return &guard{family: f, owner: owner, table: &nftables.Table{Name: guardName(node), Family: f.tables}, refusals: refusals{base: map[string]kernel.Refused{}}}
}

func guardName(node string) string { return tableName(node) + "-guard" }

// guarded are the services that the table is about, with nothing but what it needs.
func (g *guard) guarded(services []kernel.Service) (out []kernel.Service) {
	for _, s := range services {
		if s.Admission != nil && g.listens(&s) {
			out = append(out, kernel.Service{Name: s.Name, Protocol: s.Protocol, Listen: s.Listen, Admission: s.Admission})
		}
	}
	return out
}

// change puts into a transaction what makes the table that of services, and returns what
// is to be done when that has succeeded. (When it has not, known is to be set to false.)
func (g *guard) change(c *nftables.Conn, services []kernel.Service) (done func(), err error) {
	of := g.guarded(services)
	if g.known && reflect.DeepEqual(of, g.of) {
		return func() {}, nil
	}
	seen, err := g.read(g.table)
	if err != nil {
		return nil, err
	}
	c.AddTable(g.table)
	afresh := !g.known && g.number > 0 // a transaction has failed, and what is there may be why
	if g.number++; afresh || len(of) == 0 {
		c.DelTable(g.table)
	}
	has := map[string]*admitting{}
	done = func() {
		if afresh {
			g.admits = nil
		}
		g.follow(has, seen)
		g.of, g.known = of, true
	}
	if len(of) == 0 {
		return done, nil
	}
	owner := strings.TrimPrefix(g.owner, ownerPrefix)
	generation := fmt.Sprintf("%s.%d", owner, g.number)
	keep := map[string]bool{g.owner: true, "prerouting": true, "output": true, "virtual": true, "any": true}
	c.AddTable(g.table)
	c.AddChain(&nftables.Chain{Name: g.owner, Table: g.table})
	for i := range of {
		s := &of[i]
		a := g.admitting(g.table, s, generation, owner)
		if err := a.build(c); err != nil {
			return nil, err
		}
		chain := c.AddChain(&nftables.Chain{Name: s.Name + "." + generation, Table: g.table})
		for _, e := range a.rules(g.turnAway(s.Protocol)) {
			c.AddRule(&nftables.Rule{Table: g.table, Chain: chain, Exprs: e})
		}
		keep[chain.Name] = true
		a.keeps(func(name string) { keep[name] = true })
		has[s.Name] = a
	}
	if err := g.entrance(c, of, generation); err != nil {
		return nil, err
	}
	if afresh {
		return done, nil
	}
	return done, g.clear(c, keep)
}

// entrance has the hooks lead to the chains of the services.
func (g *guard) entrance(c *nftables.Conn, services []kernel.Service, generation string) error {
	exact, every := g.entrances(services, func(s *kernel.Service) string { return s.Name + "." + generation })
	virtual := &nftables.Set{Table: g.table, Name: "virtual", IsMap: true, Concatenation: true, KeyType: g.virtualKey(), DataType: nftables.TypeVerdict}
	any := &nftables.Set{Table: g.table, Name: "any", IsMap: true, Concatenation: true, KeyType: portKey(), DataType: nftables.TypeVerdict}
	for set, elements := range map[*nftables.Set][]nftables.SetElement{virtual: exact, any: every} {
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
		c.FlushSet(set)
		if err := addElements(c, set, elements); err != nil {
			return err
		}
	}
	before := nftables.ChainPriorityRef(*nftables.ChainPriorityNATDest - 1)
	for name, hook := range map[string]*nftables.ChainHook{"prerouting": nftables.ChainHookPrerouting, "output": nftables.ChainHookOutput} {
		chain := c.AddChain(&nftables.Chain{Name: name, Table: g.table, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: before})
		c.FlushChain(chain)
		c.AddRule(&nftables.Rule{Table: g.table, Chain: chain, Exprs: rule(g.virtual(), vmap(virtual))})
		if len(every) > 0 {
			c.AddRule(&nftables.Rule{Table: g.table, Chain: chain, Exprs: rule(local(), protocol(reg), transport(2, 2, reg+1), vmap(any))})
		}
	}
	return nil
}

// clear takes away what is in the table now and is not to be kept.
func (g *guard) clear(c *nftables.Conn, keep map[string]bool) error {
	look, err := dial()
	if err != nil {
		return err
	}
	if t, err := look.ListTableOfFamily(g.table.Name, g.tables); err != nil || t == nil {
		return nil // there is none yet
	}
	chains, err := look.ListChainsOfTableFamily(g.tables)
	if err != nil {
		return err
	}
	sets, err := look.GetSets(g.table)
	if err != nil {
		return err
	}
	counters, err := counterPackets(look, g.table)
	if err != nil {
		return err
	}
	var doomed []*nftables.Chain
	for _, chain := range chains {
		if chain.Table.Name == g.table.Name && !keep[chain.Name] {
			chain.Table = g.table
			doomed = append(doomed, chain)
			c.FlushChain(chain)
		}
	}
	for _, set := range sets {
		if !keep[set.Name] {
			set.Table = g.table
			c.DelSet(set)
		}
	}
	for name := range counters {
		if !keep[name] {
			c.DeleteObject(&nftables.NamedObj{Table: g.table, Name: name, Type: nftables.ObjTypeCounter})
		}
	}
	for _, chain := range doomed {
		c.DelChain(chain)
	}
	return nil
}
