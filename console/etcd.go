package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"gslb/history"
	"gslb/store"
)

// EtcdMembers is the answer of /api/v1/etcd/members.
type EtcdMembers struct {
	Members []store.Member `json:"members"`
}

// membersTimeout is more than it takes until members that are gone are given up.
const membersTimeout = 12 * time.Second

// GET /api/v1/etcd/members
func (s *Server) getMembers(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), membersTimeout)
	defer cancel()
	all, err := s.backend.Members(ctx)
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	writeJSON(w, http.StatusOK, EtcdMembers{list(all)})
	return nil
}

// DELETE /api/v1/etcd/members/{member}?who=lee&why=scrapped
func (s *Server) deleteMember(w http.ResponseWriter, r *http.Request) error {
	by := orderIn(r)
	if err := checkWhy(by.Why); err != nil {
		return err
	}
	if err := checkTexts(by.Who, by.Why); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), membersTimeout)
	defer cancel()
	gone, err := s.backend.RemoveMember(ctx, r.PathValue("member"), by)
	switch {
	case errors.Is(err, store.ErrNoMember):
		return refuse(http.StatusNotFound, "%v", err)
	case errors.Is(err, store.ErrNeeded):
		return refuse(http.StatusConflict, "%v", err)
	case err != nil:
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	s.log.Info("a member was taken out of etcd", "member", gone.Text(), "who", by.Who, "why", by.Why, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, gone)
	return nil
}

// Members lists the members of the fleet's etcd, with how they are as seen from the node.
func (c *Client) Members(ctx context.Context) ([]store.Member, error) {
	var all EtcdMembers
	err := c.do(ctx, http.MethodGet, "/api/v1/etcd/members", nil, &all)
	return all.Members, err
}

// RemoveMember takes a member out of etcd for good, by its name or ID.
func (c *Client) RemoveMember(ctx context.Context, member string, by history.Order) (gone store.Member, err error) {
	q := url.Values{"who": {by.Who}, "why": {by.Why}}
	err = c.do(ctx, http.MethodDelete, "/api/v1/etcd/members/"+url.PathEscape(member)+"?"+q.Encode(), nil, &gone)
	return gone, err
}

// WriteMembers prints the members, and how many of them may fail.
func WriteMembers(w io.Writer, all []store.Member) error {
	t := newTable("ETCD MEMBERS", "NAME", "ID", "STATE", "PEERS", "VERSION", "SIZE", "APPLIED")
	for _, m := range all {
		state := "answers"
		switch {
		case !m.Answers:
			state = "DOES NOT ANSWER"
		case m.Leader:
			state = "leads"
		case m.Learner:
			state = "learns"
		}
		if m.Here {
			state += " (this node)"
		}
		size, applied := "-", "-"
		if m.Answers {
			size, applied = bytesText(m.Bytes), fmt.Sprint(m.Applied)
		}
		r := t.add(or(m.Name, "-"), m.ID, state, or(strings.Join(m.Peers, " "), "-"), or(m.Version, "-"), size, applied)
		if m.Why != "" {
			r.note("%s", m.Why)
		}
	}
	if err := t.write(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n"+toleranceText(store.Votes(all)))
	return err
}

// toleranceText says how many more members may fail before nothing can be written.
func toleranceText(votes, well int) string {
	need := votes/2 + 1
	switch {
	case well < need:
		return fmt.Sprintf("NO MAJORITY: %d of %d answer, %d are needed. Nodes answer on with what they know; nothing can be ordered.", well, votes, need)
	case votes == 1:
		return "One member: without it nodes answer on with what they know, and nothing can be ordered."
	case well == need:
		return fmt.Sprintf("%d of %d answer, which is just a majority: none may fail.", well, votes)
	}
	return fmt.Sprintf("%d of %d answer: %d may fail.", well, votes, well-need)
}
