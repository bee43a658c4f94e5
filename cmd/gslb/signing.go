package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"gslb/config"
	"gslb/console"
	"gslb/dnsname"
	"gslb/dnssec"
	"gslb/dnssec/upkeep"
	"gslb/parallel"
	"gslb/steady"
	"gslb/zones"
)

// lookAgain is how soon signing is tried again after it failed.
const lookAgain = 10 * time.Second

// signer is the node's part in keeping zones signed. All of it is guarded by
// node.turn but presigned, which node.mu guards.
type signer struct {
	keeper *upkeep.Keeper
	db     *zones.DB              // that was looked at last
	served map[string]*zones.Zone // signed zones in it, by name
	// presigned are the zones that come signed, as they were when last looked at.
	presigned map[*zones.Zone]presigned
}

func newSigner(cfg *config.Config, n *node) (signer, error) {
	k, err := upkeep.New(upkeep.Options{
		Keys: cfg.Node.Keys, Maintain: *cfg.Node.MaintainKeys, State: stateOf(cfg), Log: n.log,
	})
	return signer{keeper: k}, err
}

// stateOf is the folder for what is kept of signing over a restart, but for the keys.
func stateOf(cfg *config.Config) string { return filepath.Join(cfg.Node.DataDir, "dnssec") }

// signings say how zones are signed while they are loaded.
type signings struct {
	zones   map[string]*dnssec.Signing
	now     func() time.Time
	numbers map[string]uint32 // that zones were served with before the start
	round   *upkeep.Round
}

// prepareSigning says how the zones of a configuration are signed now. Only a
// node that answers queries signs.
func (n *node) prepareSigning(cfg *config.Config) (*signings, error) {
	if !n.signs {
		return nil, nil
	}
	round, err := n.signer.keeper.Prepare(signedZones(cfg), steady.Now())
	if err != nil {
		return nil, err
	}
	return &signings{zones: round.Signing, now: n.signer.keeper.Now, numbers: n.signer.keeper.Serials(), round: round}, nil
}

// commitSigning notes that zones are served as they were signed.
func (n *node) commitSigning(s *signings, topo *topology) {
	if s != nil {
		n.signer.keeper.Commit(s.round, n.newZones(topo))
	}
}

// signedZones lists the zones that are signed here.
func signedZones(cfg *config.Config) []upkeep.Zone {
	var all []upkeep.Zone
	for _, z := range cfg.Zones {
		if z.DNSSEC != "" {
			all = append(all, upkeep.Zone{Name: z.Name, Config: cfg.SigningPolicy(z.DNSSEC)})
		}
	}
	return all
}

// maintain keeps the zones signed until ctx ends. It looks each second whether
// keys have changed on disk or something is due.
func (n *node) maintain(ctx context.Context) error {
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	var wait time.Time
	for {
		select {
		case <-ctx.Done():
			if err := n.signer.keeper.Close(); err != nil {
				n.log.Error("signatures are not kept over the restart", "error", err)
			}
			return nil
		case <-ticks.C:
		}
		if now := steady.Now(); n.signingDue(now) && (now.After(wait) || wait.Sub(now) > lookAgain) {
			var changed bool
			var err error
			parallel.Background(func() { changed, err = n.resign(now) })
			if changed && n.moves != nil {
				n.moves.Changed() // secondaries want the signatures
			}
			if wait = (time.Time{}); err != nil {
				wait = now.Add(lookAgain)
				n.log.Error("signing failed; the signatures of before are served", "error", err)
				n.fault("dnssec", fmt.Sprintf("DNSSEC: what was served before is still served: %v", err))
			} else {
				n.fault("dnssec", "")
			}
		}
	}
}

// signingDue tells whether keys may have changed, or something is due.
func (n *node) signingDue(now time.Time) bool {
	n.turn.Lock()
	defer n.turn.Unlock()
	topo := n.inForce()
	n.noteZones(topo, now)
	next := n.signer.keeper.Next(now)
	return len(topo.signed) > 0 && (n.signer.keeper.Changed(now) || !next.IsZero() && !now.Before(next))
}

// resign puts in force what keys, their times and those of signatures ask for at
// now, if anything; changed says that zones are served with other signatures.
func (n *node) resign(now time.Time) (changed bool, err error) {
	n.turn.Lock()
	defer n.turn.Unlock()
	topo := n.inForce()
	k := n.signer.keeper
	round, err := k.Prepare(topo.signed, now)
	if err != nil {
		return false, err
	}
	if len(round.Due) == 0 {
		k.Commit(round, nil)
		return false, nil
	}
	db, err := topo.db.Resign(round.Signing)
	if err != nil {
		return false, err
	}
	n.keepSerials(db)
	n.mu.Lock()
	t := *n.topo
	t.db = db
	n.topo = &t
	if n.dns != nil {
		n.dns.Swap(n.dns.Generation().WithDB(db))
	}
	n.mu.Unlock()
	if n.signed.Add(1); n.follow != nil {
		n.follow.wake() // so are those of a canary's trial
	}
	outcomes := n.newZones(&t)
	k.Commit(round, outcomes)
	for name, o := range outcomes {
		n.log.Info("zone signed", "zone", name, "made", o.Made, "reused", o.Reused, "took", o.Took.Round(time.Millisecond), "next", o.Next)
	}
	return true, nil
}

// keepSerials has the serial numbers of signing on disk before zones are served
// with them.
func (n *node) keepSerials(db *zones.DB) {
	if !n.signs {
		return
	}
	text := ""
	if err := n.signer.keeper.KeepSerials(db.Numbers()); err != nil {
		text = fmt.Sprintf("DNSSEC: the serial numbers of signed zones cannot be kept, so that they may come twice after a restart: %v", err)
		n.log.Error(text)
	}
	n.fault("serials", text)
}

// newZones gives how it went with the zones that were signed since it was called last.
func (n *node) newZones(topo *topology) map[string]upkeep.Outcome {
	s := &n.signer
	if s.db == topo.db {
		return nil
	}
	outcomes, served := make(map[string]upkeep.Outcome), make(map[string]*zones.Zone)
	for _, z := range topo.signed {
		apex, err := dnsname.Parse(z.Name)
		if err != nil {
			continue // it was refused before
		}
		zone := topo.db.Zone(apex)
		if zone == nil {
			continue
		}
		served[z.Name] = zone
		if r, took, ok := zone.Signing(); ok && s.served[z.Name] != zone {
			outcomes[z.Name] = upkeep.Outcome{Result: r, Took: took}
		}
	}
	s.db, s.served = topo.db, served
	n.lookAtPresigned(topo.db)
	return outcomes
}

// noteZones takes in what was signed for other reasons than the keeper's.
func (n *node) noteZones(topo *topology, now time.Time) {
	if outcomes := n.newZones(topo); len(outcomes) > 0 {
		n.signer.keeper.Note(outcomes, now)
	}
	for _, p := range n.signer.presigned {
		if p.due(now) {
			n.lookAtPresigned(topo.db)
			break
		}
	}
}

// signedStatus tells how zones are signed, by name; what a person should look at
// is the second value.
func (n *node) signedStatus(now time.Time) (map[string]*console.DNSSEC, []string) {
	all := make(map[string]*console.DNSSEC)
	var problems []string
	add := func(zone, format string, args ...any) {
		problems = append(problems, "zone "+zone+": "+fmt.Sprintf(format, args...))
	}
	n.mu.Lock()
	for z, p := range n.signer.presigned {
		all[z.Name] = &console.DNSSEC{CameSigned: true, Expires: p.Expires, Problems: p.Faults}
		problems = append(problems, p.Faults...)
		if left := p.Expires.Sub(now); !p.Expires.IsZero() && left > 0 && left < soonExpired {
			add(z.Name, "it comes signed, and its first signature expires at %s: sign it again", moment(p.Expires))
		}
	}
	n.mu.Unlock()
	list, fault := n.signer.keeper.Status(now)
	if fault != nil {
		problems = append(problems, fmt.Sprintf("DNSSEC: what a restart needs cannot be kept: %v", fault))
	}
	for _, s := range list {
		d := signedZone(s)
		all[s.Zone.Name] = d
		for _, p := range s.Problems {
			add(s.Zone.Name, "%s", p)
		}
		if s.Leaving {
			add(s.Zone.Name, "it is to be unsigned, and waits until the parent has no DS any more (gslb keys gone %s once none of its servers has it)", s.Zone.Name)
		}
		if d.Waiting && s.Rolling {
			add(s.Zone.Name, "a roll waits for the DS at the parent: %s (gslb keys seen %s once all of its servers have it)", d.DS[0], s.Zone.Name)
		}
	}
	return all, problems
}

// soonExpired is how long before it should be known that somebody else has not
// signed a zone again.
const soonExpired = 48 * time.Hour

// signedZone puts a zone's state into the console's words.
func signedZone(s upkeep.Status) *console.DNSSEC {
	d := &console.DNSSEC{
		Maintained: s.Maintain, Waiting: s.Waiting, Parent: s.Parent, Progress: s.Progress, Compact: s.Zone.Config.Signing().Compact, Signatures: s.Signatures, Made: s.Made, Signed: s.Signed,
		Seconds: s.Took.Seconds(), Renewal: s.Renewal, Expires: s.Expires, NextKey: s.NextKey, Problems: s.Problems,
	}
	for _, ds := range s.DS {
		d.DS = append(d.DS, dsText(ds))
	}
	for _, k := range s.Keys {
		d.Keys = append(d.Keys, console.Key{Role: k.Role.String(), Tag: k.Tag(), Algorithm: k.Algorithm.String(), State: k.State, Next: k.Next, At: k.At, Gone: k.Gone})
	}
	return d
}
