package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gslb/config"
	"gslb/dnssec/upkeep"
	"gslb/dnsserver"
	"gslb/geo"
	"gslb/history"
	"gslb/parallel"
	"gslb/steady"
)

// tryCanary answers a share of the clients by the revision that is a canary, beside the one that
// is served: what goes wrong with it is told, and leaves that alone.
func (n *node) tryCanary(ctx context.Context, head history.Head) {
	if n.dns == nil {
		return
	}
	r, share := head.Trial()
	n.mu.Lock()
	places := n.places
	n.mu.Unlock()
	signed := n.signed.Load()
	if share > 0 && n.dns.Generation().Trial() == r.Number && n.tried == places && n.triedSigned == signed {
		return
	}
	if share == 0 && n.dns.Generation().Trial() == 0 {
		n.fault("canary", "")
		return
	}
	var gen *dnsserver.Generation
	var err error
	if share > 0 {
		gen, err = n.trialOf(ctx, r, places)
	}
	n.mu.Lock()
	n.dns.Swap(n.dns.Generation().WithTrial(gen, share, r.Number))
	n.mu.Unlock()
	n.tried, n.triedSigned = places, signed
	n.fleet.Tries(n.dns.Generation().Trial())
	text := ""
	switch {
	case err != nil:
		text = fmt.Sprintf("revision %d of the topology, a canary, is not tried here: %s", r.Number, n.follow.plain(r, err))
		n.log.Error(text)
	case share > 0:
		n.log.Info("a revision of the topology is tried", "revision", r.Number, "share", share)
	default:
		n.log.Info("the trial of a revision of the topology is over")
	}
	n.fault("canary", text)
}

// trialOf compiles a revision as it would be served, with no part of the node changed by it.
func (n *node) trialOf(ctx context.Context, r history.Revision, places *geo.DB) (gen *dnsserver.Generation, err error) {
	bundle, err := n.follow.book.Content(ctx, r)
	if err != nil {
		return nil, err
	}
	file, err := n.follow.disk.Place(r, bundle)
	if err != nil {
		return nil, err
	}
	served := n.inForce()
	parallel.Background(func() {
		var cfg *config.Config
		if cfg, err = config.LoadBoth(n.path, file); err != nil {
			return
		}
		if places, err = places.Reopen(cfg.Geo); err != nil {
			return
		}
		var topo *topology
		var signing *signings
		if signing, err = n.trialSigning(cfg, served); err != nil {
			return
		}
		if topo, err = (ingredients{places: places, prev: served, signing: signing}).compile(cfg); err != nil {
			return
		}
		if len(topo.policies) == 0 {
			err = errors.New("it steers no name")
			return
		}
		gen = topo.generation(nil, nil)
	})
	return gen, err
}

// trialSigning says how the zones that a trial and what is served both sign are signed: by the keys
// of what is served, so that validators take either's answers.
func (n *node) trialSigning(cfg *config.Config, served *topology) (*signings, error) {
	if !n.signs {
		return nil, nil
	}
	both := slices.DeleteFunc(signedZones(cfg), func(z upkeep.Zone) bool {
		return !slices.ContainsFunc(served.signed, func(s upkeep.Zone) bool { return s.Name == z.Name })
	})
	n.turn.Lock()
	defer n.turn.Unlock()
	round, err := n.signer.keeper.Prepare(both, steady.Now())
	if err != nil {
		return nil, err
	}
	return &signings{zones: round.Signing, now: n.signer.keeper.Now, numbers: n.signer.keeper.Serials(), round: round}, nil
}
