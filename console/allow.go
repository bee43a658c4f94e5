package console

import (
	"context"
	"net/http"

	"gslb/history"
)

// POST /api/v1/breaker/allow
func (s *Server) postAllow(w http.ResponseWriter, r *http.Request) error {
	return s.decide(w, r, s.backend.Allow, "what the breaker holds is let through")
}

// POST /api/v1/breaker/drop
func (s *Server) postDrop(w http.ResponseWriter, r *http.Request) error {
	return s.decide(w, r, s.backend.Drop, "what the breaker holds is dropped")
}

// decide gives an order about what is held.
func (s *Server) decide(w http.ResponseWriter, r *http.Request, order func(context.Context, history.Order) error, done string) error {
	var by history.Order
	if err := decode(r, &by); err != nil {
		return err
	}
	by = orderBy(r, by)
	if err := checkWhy(by.Why); err != nil {
		return err
	}
	if err := checkTexts(by.Who, by.Why); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if err := order(ctx, by); err != nil {
		return refuse(http.StatusServiceUnavailable, "%v", err)
	}
	s.log.Info(done, "who", by.Who, "why", by.Why, "remote", r.RemoteAddr)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
