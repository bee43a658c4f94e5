package console

import (
	"context"
	"net/http"
	"time"
)

// MaxReloaded is how many changed zones a Reloaded lists.
const MaxReloaded = 1000

// reloadTimeout is how long one is waited for: beside a flood of queries a large
// fleet's configuration takes minutes.
const reloadTimeout = 10 * time.Minute

// ReloadOrder has a node read its files again.
type ReloadOrder struct {
	Zones []string `json:"zones,omitempty"` // whose files alone are read again; none: everything
}

// Reloaded is what a reload has changed.
type Reloaded struct {
	Took    time.Duration `json:"took"` // nanoseconds
	Zones   int           `json:"zones"`
	Changed int           `json:"changed"` // how many zones are others than before
	List    []ChangedZone `json:"list"`    // of them, MaxReloaded at most
}

// ChangedZone is a zone that a reload has changed. It may have come or gone.
type ChangedZone struct {
	Zone   string `json:"zone"`
	Was    uint32 `json:"was"`    // its serial number before
	Serial uint32 `json:"serial"` // and now
	New    bool   `json:"new,omitempty"`
	Gone   bool   `json:"gone,omitempty"`
}

// POST /api/v1/reload
func (s *Server) postReload(w http.ResponseWriter, r *http.Request) error {
	var o ReloadOrder
	if err := decode(r, &o); err != nil {
		return err
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(reloadTimeout + writeTimeout)) // not every writer has deadlines
	ctx, cancel := context.WithTimeout(r.Context(), reloadTimeout)
	defer cancel()
	s.log.Info("reload ordered", "zones", o.Zones, "remote", r.RemoteAddr)
	done, err := s.backend.Reload(ctx, o.Zones)
	if err != nil {
		return reloadError(err)
	}
	done.List = list(done.List)
	writeJSON(w, http.StatusOK, done)
	return nil
}

// reloadError gives an error the status that fits: what the files say is for the operator to mend.
func reloadError(err error) error {
	if code := statusOf(err); code != http.StatusInternalServerError {
		return err
	}
	return refuse(http.StatusUnprocessableEntity, "nothing is reloaded, what was served is still served: %v", err)
}

// Reload has the node read its configuration and zones again, or the files of these
// zones alone. It waits until that is in force, which takes minutes where there is
// much to compile beside many queries.
func (c *Client) Reload(ctx context.Context, zones []string) (Reloaded, error) {
	var done Reloaded
	err := c.patiently(reloadTimeout+writeTimeout, func(p *Client) error {
		return p.do(ctx, http.MethodPost, "/api/v1/reload", ReloadOrder{Zones: zones}, &done)
	})
	return done, err
}
