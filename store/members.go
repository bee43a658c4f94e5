package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

// Member is one of the servers that etcd is made of, as it says of itself.
type Member struct {
	ID      string   `json:"id"`   // hexadecimal
	Name    string   `json:"name"` // "" until it has started once
	Peers   []string `json:"peers"`
	Clients []string `json:"clients"`
	Here    bool     `json:"here"`    // in this process
	Learner bool     `json:"learner"` // it has no vote yet
	Leader  bool     `json:"leader"`
	// Answers tells that it serves clients, as seen from this node, and Why why not.
	Answers bool   `json:"answers"`
	Why     string `json:"why,omitempty"`
	Version string `json:"version,omitempty"` // of etcd
	Bytes   int64  `json:"bytes,omitempty"`   // of its database file
	Applied uint64 `json:"applied,omitempty"` // the last entry of the log that it has made
}

// Text names the member for people.
func (m Member) Text() string { return cmp.Or(m.Name, m.ID) }

var (
	// ErrNoMember is that no member is called so.
	ErrNoMember = errors.New("no such member")
	// ErrNeeded is that a member is not taken out, since the cluster would suffer.
	ErrNeeded = errors.New("the member is not taken out")
)

// Members lists the members of etcd, by name, and asks each how it is. It needs one of
// them, not a majority: the list is what that one knows.
func (s *Store) Members(ctx context.Context) ([]Member, error) {
	c, err := s.client()
	if err != nil {
		return nil, fmt.Errorf("store: the members of etcd: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timings.call)
	defer cancel()
	r, err := c.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		return nil, fmt.Errorf("store: the members of etcd: %w", err)
	}
	all := make([]Member, len(r.Members))
	leaders := make([]uint64, len(all))
	var asking sync.WaitGroup
	for i, m := range r.Members {
		all[i] = Member{ID: types.ID(m.ID).String(), Name: m.Name, Peers: m.PeerURLs, Clients: m.ClientURLs, Learner: m.IsLearner}
		all[i].Here = s.member != nil && m.ID == r.Header.MemberId
		one := &membership.Member{RaftAttributes: membership.RaftAttributes{PeerURLs: m.PeerURLs}, Attributes: membership.Attributes{ClientURLs: m.ClientURLs}}
		at := clientsOf([]*membership.Member{one}, nil)
		if all[i].Here {
			at = s.dialer.endpoints
		}
		asking.Go(func() { leaders[i] = all[i].ask(ctx, c, m.ID, at) })
	}
	asking.Wait()
	for i := range all {
		all[i].Leader = all[i].Answers && slices.ContainsFunc(leaders, func(id uint64) bool { return id == r.Members[i].ID })
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
	return all, nil
}

// ask fills in how the member is, and gives the leader that it knows; 0: none.
func (m *Member) ask(ctx context.Context, c *clientv3.Client, id uint64, at []string) (leader uint64) {
	m.Why = "it has not started yet"
	for _, endpoint := range at {
		st, err := status(ctx, c, endpoint)
		switch {
		case err != nil:
			m.Why = fmt.Sprintf("%s: %v", endpoint, err)
		case st.Header.MemberId != id: // such an address may be that of quite another etcd, from here
			m.Why = fmt.Sprintf("%s: another member answers there", endpoint)
		default:
			m.Answers, m.Why = true, strings.Join(st.Errors, "; ")
			m.Version, m.Bytes, m.Applied = st.Version, st.DbSize, st.RaftAppliedIndex
			return st.Leader
		}
	}
	return 0
}

// RemoveMember takes a member out of etcd for good, by its name or ID, so that the others
// need fewer for a majority. Its errors wrap ErrNoMember, and ErrNeeded for one that still answers,
// or where there is no majority to decide it.
func (s *Store) RemoveMember(ctx context.Context, which string) (Member, error) {
	all, err := s.Members(ctx)
	if err != nil {
		return Member{}, err
	}
	m, err := memberCalled(all, which)
	if err == nil {
		err = spare(all, m)
	}
	if err != nil {
		return Member{}, err
	}
	id, err := types.IDFromString(m.ID)
	if err != nil {
		return Member{}, err
	}
	c, err := s.client()
	if err != nil {
		return Member{}, fmt.Errorf("store: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.timings.call)
	defer cancel()
	if _, err := c.MemberRemove(ctx, uint64(id)); err != nil {
		return Member{}, fmt.Errorf("store: taking out the member %s: %w", m.Text(), err)
	}
	s.log.Info("a member was taken out of etcd", "name", m.Name, "id", m.ID)
	return m, nil
}

func memberCalled(all []Member, which string) (Member, error) {
	var found []Member
	var names []string
	for _, m := range all {
		if m.ID == which {
			return m, nil
		}
		if m.Name == which && which != "" {
			found = append(found, m)
		}
		names = append(names, m.Text())
	}
	switch len(found) {
	case 0:
		return Member{}, fmt.Errorf("%w: %.100q: etcd has %s", ErrNoMember, which, strings.Join(names, ", "))
	case 1:
		return found[0], nil
	}
	return Member{}, fmt.Errorf("%w: %d are called %q: name one by its ID", ErrNoMember, len(found), which)
}

// Votes counts the members that have a vote, and those of them that answer.
func Votes(all []Member) (votes, well int) {
	for _, m := range all {
		if !m.Learner {
			votes++
			if m.Answers {
				well++
			}
		}
	}
	return votes, well
}

// spare tells why a member cannot be done without.
func spare(all []Member, m Member) error {
	if m.Answers {
		return fmt.Errorf("%w: %s still answers: stop its node first, so that nobody is cut off who is at work", ErrNeeded, m.Text())
	}
	votes, well := Votes(all)
	if need := votes/2 + 1; well < need { // to decide that it goes; those that are left need no more
		return fmt.Errorf("%w: of the %d members %d answer, and %d are needed for a majority: bring others back first", ErrNeeded, votes, well, need)
	}
	return nil
}
