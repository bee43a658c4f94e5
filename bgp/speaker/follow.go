package speaker

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/server"

	"gslb/bgp"
)

// A new configuration, by what of it is another one:
//
//	AS, router_id, listen, listen_port               all sessions begin anew, with another GoBGP
//	a neighbour; graceful_restart and the families   its session, or those sessions
//	of next_hops, which sessions agree upon
//	next_hops, communities, med, local_pref, prepend no session: routes are told again
//	dns, announce_after, announce_after_most         no session

// Prepare reads what a valid configuration with defaults, or one that is not used, needs. The
// error says what keeps it from being in force; then all is as before. Else commit puts it in force.
func (s *Speaker) Prepare(cfg bgp.Config) (commit func(), err error) {
	next := settings{Config: cfg}
	if err := next.read(); err != nil {
		return nil, err
	}
	return func() {
		s.mu.Lock()
		same := reflect.DeepEqual(s.cfg, next)
		if !same {
			s.adopt(next)
		}
		s.mu.Unlock()
		if same {
			return
		}
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}, nil
}

// adopt makes next what is to be in force. Sessions that stay are kept. Under mu, except in New.
func (s *Speaker) adopt(next settings) {
	before, was := s.sessions, s.cfg
	s.cfg, s.sessions = next, nil
	for _, n := range next.Neighbors {
		i := slices.IndexFunc(before, func(o *session) bool { return o.Address == n.Address.String() })
		if i >= 0 && !anew(&was, &next) && stays(&was, &next, n) {
			s.sessions = append(s.sessions, before[i])
			continue
		}
		s.sessions = append(s.sessions, &session{NeighborStatus: bgp.NeighborStatus{
			Address: n.Address.String(), AS: n.AS, State: "idle", Since: s.opts.Now()}})
	}
	if !next.Used() {
		clear(s.addresses)
	}
}

// latest returns what is to be in force, with its files read.
func (s *Speaker) latest() (settings, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.changed: // it is this one
	default:
	}
	if s.cfg.passwords != nil {
		return s.cfg, nil
	}
	err := s.cfg.read()
	return s.cfg, err
}

// read reads the neighbours' passwords, from files where they have some.
func (s *settings) read() error {
	passwords := map[netip.Addr]string{}
	for _, n := range s.Neighbors {
		passwords[n.Address] = n.Password
		if n.PasswordFile == "" {
			continue
		}
		data, err := os.ReadFile(n.PasswordFile)
		if err != nil {
			return fmt.Errorf("bgp: neighbour %s: password_file: %w", n.Address, err)
		}
		passwords[n.Address] = strings.TrimRight(string(data), "\r\n")
	}
	s.passwords = passwords
	return nil
}

// anew tells whether GoBGP must be started anew for a configuration.
func anew(was, next *settings) bool {
	if was.AS != next.AS || was.RouterID != next.RouterID || was.ListenPort != next.ListenPort || !slices.Equal(was.Listen, next.Listen) || was.Used() != next.Used() {
		return true
	}
	for a, password := range was.passwords { // GoBGP leaves the key of a listener in force
		if one, still := next.passwords[a]; len(next.Listen) > 0 && still && one == "" && password != "" {
			return true
		}
	}
	return false
}

// stays tells whether the session with a neighbour of next goes on as it was.
func stays(was, next *settings, n bgp.Neighbor) bool {
	i := slices.IndexFunc(was.Neighbors, func(o bgp.Neighbor) bool { return o.Address == n.Address })
	return i >= 0 && reflect.DeepEqual(was.peer(was.Neighbors[i], false), next.peer(n, false))
}

// follow has GoBGP do what next says, which is not anew.
func (s *Speaker) follow(ctx context.Context, gobgp *server.BgpServer, was, next *settings) error {
	for _, n := range was.Neighbors {
		i := slices.IndexFunc(next.Neighbors, func(o bgp.Neighbor) bool { return o.Address == n.Address })
		if i >= 0 && stays(was, next, next.Neighbors[i]) {
			continue
		}
		if err := gobgp.DeletePeer(ctx, &api.DeletePeerRequest{Address: n.Address.String()}); err != nil {
			return fmt.Errorf("bgp: neighbour %s: %w", n.Address, err)
		}
	}
	if err := s.tellAgain(gobgp, was, next); err != nil {
		return err
	}
	for _, n := range next.Neighbors {
		if stays(was, next, n) {
			continue
		}
		s.log.Info("bgp: a session begins by a new configuration", "neighbour", n.Address, "as", n.AS)
		if err := gobgp.AddPeer(ctx, &api.AddPeerRequest{Peer: next.peer(n, false)}); err != nil {
			return fmt.Errorf("bgp: neighbour %s: %w", n.Address, err)
		}
	}
	return nil
}

// tellAgain tells neighbours of what is announced, if that has other attributes now.
func (s *Speaker) tellAgain(gobgp *server.BgpServer, was, next *settings) error {
	if was.MED == next.MED && was.LocalPref == next.LocalPref && was.Prepend == next.Prepend &&
		slices.Equal(was.NextHops, next.NextHops) && slices.Equal(was.Communities, next.Communities) {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ip, a := range s.addresses {
		if !a.hold.Announced {
			continue
		}
		if err := next.route(gobgp, ip, true); err != nil {
			return fmt.Errorf("bgp: %s was to be announced anew: %w", ip, err)
		}
	}
	return nil
}
