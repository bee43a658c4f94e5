package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"gslb/balancer"
	"gslb/bgp"
	"gslb/bgp/speaker"
	"gslb/console"
)

// newSpeaker makes what announces this node's addresses; without [bgp] it waits for a
// configuration that has it.
func (n *node) newSpeaker(takesOver bool) *speaker.Speaker {
	return speaker.New(n.inForce().cfg.BGP, n.log, speaker.Options{Wishes: n.wishes, TakesOver: takesOver,
		Notice: func(text string) { n.noticed(balancer.Event{At: time.Now(), What: text}) }})
}

// wishes are the addresses to announce: those of the frontends that say so, each while all
// that listen there are ready, and those of the DNS service.
func (n *node) wishes(dns []netip.Addr) (all []bgp.Wish) {
	if n.balancer != nil {
		for _, r := range n.readiness() {
			if !r.Announce {
				continue
			}
			for _, a := range r.Addresses {
				all = append(all, bgp.Wish{Address: a, Ready: r.Ready, Why: "frontend " + r.Frontend + ": " + r.Why})
			}
		}
	}
	if len(dns) > 0 {
		ready, why := true, "this node answers queries"
		if err := n.Ready(); err != nil {
			ready, why = false, err.Error()
		}
		for _, a := range dns {
			all = append(all, bgp.Wish{Address: a, Ready: ready, Why: why})
		}
	}
	return all
}

// readiness is that of the balancer's frontends. Nothing is ready before the node serves,
// nor when it is about to end.
func (n *node) readiness() []balancer.Readiness {
	all := n.balancer.Readiness()
	for i := range all {
		switch {
		case n.leavingNow.Load():
			all[i].Ready, all[i].Why = false, errLeaving.Error()
		case !n.serving.Load():
			all[i].Ready, all[i].Why = false, "starting"
		}
	}
	return all
}

// errLeaving is why a node that goes on serving is not ready.
var errLeaving = errors.New("this node is about to end (node.shutdown_wait)")

// FrontendReady is part of console.Backend.
func (n *node) FrontendReady(name string) error {
	if n.balancer == nil {
		return fmt.Errorf("%w: this node has no balancer", console.ErrNotFound)
	}
	var names []string
	for _, r := range n.readiness() {
		if r.Frontend == name {
			if !r.Ready {
				return errors.New(r.Why)
			}
			return nil
		}
		names = append(names, r.Frontend)
	}
	return fmt.Errorf("%w: frontend %q: this node has %s", console.ErrNotFound, name, strings.Join(names, ", "))
}

// leave says that no more users are to be sent here, and goes on serving until they have heard.
func (n *node) leave() {
	n.leavingNow.Store(true)
	wait := n.inForce().cfg.Node.ShutdownWait
	if wait <= 0 {
		return
	}
	n.log.Info("no longer ready; serving on for those who have not heard of it yet", "for", wait)
	end := time.Now().Add(wait)
	ctx, cancel := context.WithDeadline(context.Background(), end)
	n.speaker.Withdraw(ctx)
	cancel()
	time.Sleep(time.Until(end))
}

// announced puts what routers are told into st.
func (n *node) announced(st *console.Status) {
	s := n.speaker.Status()
	if s.AS == 0 {
		return
	}
	st.BGP = &s
	st.Problems = slices.Concat(st.Problems, s.Problems(st.Now))
}
