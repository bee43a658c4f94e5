package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

const (
	peerAnswers = time.Second      // so long a peer may take to tell who the members are
	reordered   = 10 * time.Second // and the cluster to change that, once this node serves
	rejoinRest  = 10               // times timings.retry between two attempts
)

// notJoined is why a member is not in its cluster yet. It may be later, without anybody mending this node.
type notJoined struct{ why error }

func (e notJoined) Error() string { return "has not joined its cluster: " + e.why.Error() }
func (e notJoined) Unwrap() error { return e.why }

// rejoin prepares the start of a member without data. Its cluster lets nobody in as a member that has been there: who
// has lost the log has forgotten what it promised. So, as etcd's manual has it for a member that is
// lost for good, it is taken out of the cluster and put in anew, by the majority of the others. One that the cluster
// does not know is put in, too. Where nobody is there, or nobody knows it to have begun, the cluster is new.
func (m *member) rejoin(ctx context.Context, ec *embed.Config, patience time.Duration) error {
	cfg := m.cfg
	if cfg.Cluster == "" || wal.Exist(filepath.Join(ec.Dir, "member", "wal")) {
		return nil
	}
	named, err := types.NewURLsMap(cfg.Cluster)
	if err != nil {
		return err
	}
	peers, err := peersOf(ec, named, cfg.Name)
	if err != nil {
		return err
	}
	found, err := peers.members()
	if err != nil {
		return nil // nobody is there
	}
	begun := func(one *membership.Member) bool { return len(one.ClientURLs) > 0 }
	own := itself(found.Members(), named[cfg.Name], cfg.Name)
	if own != nil && own.Name != "" && !begun(own) || !slices.ContainsFunc(found.Members(), begun) {
		return nil // the cluster is beginning, and it is to: nobody has heard of it yet
	}
	if own == nil || own.Name != "" {
		ctx, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		what := "this member is new to it"
		if own != nil {
			what = "the data of this member, in " + ec.Dir + ", are gone"
		}
		m.log.Warn("embedded etcd: the cluster has gone on, and this member is put in", "name", cfg.Name, "since", what)
		if err := m.putAnew(ctx, found, own, named[cfg.Name]); err != nil {
			return notJoined{fmt.Errorf("%s, so it has to be put in: %w", what, err)}
		}
		for {
			found, err = peers.members()
			if own = nil; err == nil {
				own = itself(found.Members(), named[cfg.Name], cfg.Name)
			}
			if own != nil && own.Name == "" {
				break
			}
			if ctx.Err() != nil {
				return notJoined{errors.New("it was put in, and the others do not list it yet")}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	ec.ClusterState = embed.ClusterStateFlagExisting
	ec.InitialCluster = initial(found.Members(), named)
	return nil
}

// tellAddress has the cluster know where the member is found by the others, if that is another place now than
// its data say: what the configuration says counts for new members alone.
func (m *member) tellAddress() {
	if m.cfg.Cluster == "" {
		return
	}
	server := m.etcd.Server
	select {
	case <-server.ReadyNotify():
	case <-server.StopNotify():
		return
	case <-m.living.Done():
		return
	}
	now := types.URLs(m.etcd.Config().AdvertisePeerUrls).StringSlice()
	for m.living.Err() == nil {
		known := server.Cluster().Member(server.MemberID())
		if known == nil || slices.Equal(slices.Sorted(slices.Values(known.PeerURLs)), now) {
			return
		}
		ctx, cancel := context.WithTimeout(m.living, reordered)
		_, err := server.UpdateMember(ctx, membership.Member{ID: server.MemberID(), RaftAttributes: membership.RaftAttributes{PeerURLs: now}})
		cancel()
		if err == nil {
			m.log.Info("embedded etcd: the others find this member at another address now", "name", m.cfg.Name, "at", now, "before", known.PeerURLs)
			return
		}
		m.log.Warn("embedded etcd: the others do not know yet that this member is at another address", "name", m.cfg.Name, "at", now, "error", err)
		sleep(m.living, rejoinRest*m.opts.timings.retry)
	}
}

// peers asks the other members who is one.
type peers struct {
	urls []string
	by   http.RoundTripper
}

func peersOf(ec *embed.Config, named types.URLsMap, name string) (*peers, error) {
	by, err := transport.NewTimeoutTransport(ec.PeerTLSInfo, peerAnswers, peerAnswers, peerAnswers)
	if err != nil {
		return nil, err
	}
	p := &peers{by: by}
	for other, urls := range named {
		if other != name {
			p.urls = append(p.urls, urls.StringSlice()...)
		}
	}
	slices.Sort(p.urls) // etcd asks in this order, too
	return p, nil
}

func (p *peers) members() (*membership.RaftCluster, error) {
	return etcdserver.GetClusterFromRemotePeers(zap.NewNop(), p.urls, p.by)
}

// itself finds a member by its addresses, or else its name.
func itself(all []*membership.Member, urls types.URLs, name string) *membership.Member {
	for _, m := range all {
		if slices.ContainsFunc(m.PeerURLs, func(u string) bool { return slices.Contains(urls.StringSlice(), u) }) {
			return m
		}
	}
	for _, m := range all {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// initial is the cluster as it is, for etcd to compare; one that has not begun has no name yet.
func initial(all []*membership.Member, named types.URLsMap) string {
	var out []string
	for _, m := range all {
		name := m.Name
		for n, urls := range named {
			if name == "" && slices.Contains(m.PeerURLs, urls[0].String()) {
				name = n
			}
		}
		if name == "" {
			name = m.ID.String()
		}
		for _, u := range m.PeerURLs {
			out = append(out, name+"="+u)
		}
	}
	return strings.Join(out, ",")
}

// putAnew has the cluster take the member out, if it is in there, and put it in.
func (m *member) putAnew(ctx context.Context, in *membership.RaftCluster, own *membership.Member, urls types.URLs) error {
	for _, u := range urls {
		if c, err := net.DialTimeout("tcp", u.Host, peerAnswers); err == nil {
			c.Close()
			return fmt.Errorf("somebody is at its address, %s: is another node configured as this member? Each needs a \"name\" of its own", u.Host)
		}
	}
	at := clientsOf(in.Members(), own)
	cfg := m.cfg
	cfg.Embedded, cfg.Endpoints = false, at
	d, err := newDialer(cfg, "", m.log)
	if err != nil {
		return err
	}
	c, err := d.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	var right []string
	for _, one := range at { // such an address may be that of quite another etcd, from here
		var s *clientv3.StatusResponse
		if s, err = status(ctx, c, one); err == nil && s.Header.ClusterId == uint64(in.ID()) {
			right = append(right, one)
		}
	}
	if len(right) == 0 {
		return fmt.Errorf("the others do not serve this machine as clients at %s: each must \"listen\" at an address that it reaches", strings.Join(at, ", "))
	}
	c.SetEndpoints(right...)
	if err := reorder(ctx, c, own, urls); err != nil {
		return fmt.Errorf("asked at %s: %w", strings.Join(right, ", "), err)
	}
	return nil
}

func status(ctx context.Context, c *clientv3.Client, endpoint string) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*peerAnswers)
	defer cancel()
	return c.Status(ctx, endpoint)
}

func reorder(ctx context.Context, c *clientv3.Client, own *membership.Member, urls types.URLs) error {
	if own != nil {
		if _, err := c.MemberRemove(ctx, uint64(own.ID)); err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
			return err
		}
	}
	for {
		_, err := c.MemberAdd(ctx, urls.StringSlice())
		if err == nil || !errors.Is(err, rpctypes.ErrUnhealthy) && !errors.Is(err, rpctypes.ErrMemberNotEnoughStarted) {
			return err
		}
		select { // the others have not all heard yet that it is out
		case <-ctx.Done():
			return err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// clientsOf lists where the other members may serve clients: where they say, and, as one that listens
// on all addresses says its loopback's, at that port of where their peers find them.
func clientsOf(all []*membership.Member, own *membership.Member) (out []string) {
	for _, m := range all {
		if own != nil && m.ID == own.ID {
			continue
		}
		for _, text := range m.ClientURLs {
			u, err := url.Parse(text)
			if err != nil {
				continue
			}
			out = append(out, text)
			for _, peer := range m.PeerURLs {
				if p, err := url.Parse(peer); err == nil && onLoopback(u.Host) && p.Hostname() != u.Hostname() {
					out = append(out, u.Scheme+"://"+net.JoinHostPort(p.Hostname(), u.Port()))
				}
			}
		}
	}
	return out
}
