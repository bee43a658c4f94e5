package speaker

import (
	"net/netip"
	"time"

	"github.com/osrg/gobgp/v4/api"
	"github.com/osrg/gobgp/v4/pkg/apiutil"
	packet "github.com/osrg/gobgp/v4/pkg/packet/bgp"
	"github.com/osrg/gobgp/v4/pkg/server"

	"gslb/bgp"
)

// settings are a configuration with what is in its files.
type settings struct {
	bgp.Config
	passwords map[netip.Addr]string // by neighbour
}

// families are those that a session tells of: its own, and those with a next hop.
func (s *settings) families(n bgp.Neighbor) []*api.AfiSafi {
	has := map[bool]bool{n.Address.Is4(): true}
	for _, a := range s.NextHops {
		has[a.Is4()] = true
	}
	var out []*api.AfiSafi
	for _, family := range []struct {
		is4 bool
		afi api.Family_Afi
	}{{true, api.Family_AFI_IP}, {false, api.Family_AFI_IP6}} {
		if has[family.is4] {
			out = append(out, &api.AfiSafi{
				Config:            &api.AfiSafiConfig{Family: &api.Family{Afi: family.afi, Safi: api.Family_SAFI_UNICAST}, Enabled: true},
				MpGracefulRestart: &api.MpGracefulRestart{Config: &api.MpGracefulRestartConfig{Enabled: s.GracefulRestart > 0}},
			})
		}
	}
	return out
}

// How long GoBGP waits between connects, and, after it has taken over, for the
// neighbours' routes, of which it takes none, before it tells of its own.
const (
	connectRetry = 5 * time.Second
	deferral     = 2 * time.Second
)

// peer is a neighbour in GoBGP's words. takesOver: it has the routes of a process before this one.
func (s *settings) peer(n bgp.Neighbor, takesOver bool) *api.Peer {
	seconds := func(d time.Duration) uint64 { return uint64(d / time.Second) }
	p := &api.Peer{
		Conf:      &api.PeerConf{NeighborAddress: n.Address.String(), PeerAsn: n.AS, AuthPassword: s.passwords[n.Address]},
		Transport: &api.Transport{RemotePort: uint32(n.Port)},
		Timers: &api.Timers{Config: &api.TimersConfig{HoldTime: seconds(n.HoldTime), KeepaliveInterval: max(1, seconds(n.HoldTime)/3),
			ConnectRetry: seconds(connectRetry), IdleHoldTimeAfterReset: seconds(connectRetry)}},
		AfiSafis: s.families(n),
	}
	if n.LocalAddress.IsValid() {
		p.Transport.LocalAddress = n.LocalAddress.String()
	}
	if n.Multihop > 1 {
		p.EbgpMultihop = &api.EbgpMultihop{Enabled: true, MultihopTtl: uint32(n.Multihop)}
	}
	if s.GracefulRestart > 0 {
		p.GracefulRestart = &api.GracefulRestart{Enabled: true, RestartTime: uint32(seconds(s.GracefulRestart)),
			DeferralTime: uint32(seconds(deferral)), LocalRestarting: takesOver}
	}
	return p
}

// route adds the route to an address to what all neighbours are told, in the place of one
// that is there already, or takes it out.
func (s *settings) route(gobgp *server.BgpServer, ip netip.Addr, announce bool) error {
	nlri, err := packet.NewIPAddrPrefix(netip.PrefixFrom(ip, ip.BitLen()))
	if err != nil {
		return err
	}
	path := &apiutil.Path{Family: packet.RF_IPv4_UC, Nlri: nlri}
	hop := netip.IPv4Unspecified() // "this end of the session"
	if ip.Is6() {
		path.Family, hop = packet.RF_IPv6_UC, netip.IPv6Unspecified()
	}
	for _, a := range s.NextHops {
		if a.Is4() == ip.Is4() {
			hop = a
		}
	}
	if path.Attrs, err = s.attributes(path, hop); err != nil {
		return err
	}
	if !announce {
		return gobgp.DeletePath(apiutil.DeletePathRequest{Paths: []*apiutil.Path{path}})
	}
	_, err = gobgp.AddPath(apiutil.AddPathRequest{Paths: []*apiutil.Path{path}})
	return err
}

// originIGP is the attribute ORIGIN of a route that begins here (RFC 4271, section 4.3).
const originIGP = 0

func (s *settings) attributes(path *apiutil.Path, hop netip.Addr) ([]packet.PathAttributeInterface, error) {
	attrs := []packet.PathAttributeInterface{packet.NewPathAttributeOrigin(originIGP)}
	if path.Family == packet.RF_IPv4_UC {
		a, err := packet.NewPathAttributeNextHop(hop)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	} else {
		a, err := packet.NewPathAttributeMpReachNLRI(path.Family, []packet.PathNLRI{{NLRI: path.Nlri}}, hop)
		if err != nil {
			return nil, err
		}
		attrs = append(attrs, a)
	}
	if n := s.Prepend; n > 0 {
		own := make([]uint32, n)
		for i := range own {
			own[i] = s.AS
		}
		attrs = append(attrs, packet.NewPathAttributeAsPath([]packet.AsPathParamInterface{packet.NewAs4PathParam(packet.BGP_ASPATH_ATTR_TYPE_SEQ, own)}))
	}
	if s.MED > 0 {
		attrs = append(attrs, packet.NewPathAttributeMultiExitDisc(s.MED))
	}
	if s.LocalPref > 0 {
		attrs = append(attrs, packet.NewPathAttributeLocalPref(s.LocalPref))
	}
	var plain []uint32
	var large []*packet.LargeCommunity
	for _, text := range s.Communities {
		switch c, err := bgp.ParseCommunity(text); {
		case err != nil:
			return nil, err
		case c.Large:
			large = append(large, packet.NewLargeCommunity(c.A1, c.A2, c.A3))
		default:
			plain = append(plain, c.Standard)
		}
	}
	if len(plain) > 0 {
		attrs = append(attrs, packet.NewPathAttributeCommunities(plain))
	}
	if len(large) > 0 {
		attrs = append(attrs, packet.NewPathAttributeLargeCommunities(large))
	}
	return attrs, nil
}
