package store

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/zap"
)

// What belongs to the life of a member is not logged, what does not is.
func TestZapLog(t *testing.T) {
	for _, c := range []struct {
		message string
		err     error
		logged  bool
	}{
		{"failed to update storage version", fmt.Errorf("cannot detect storage schema version: %w", errors.New("missing term information")), false},
		{"setting up serving from embedded etcd failed.", http.ErrServerClosed, false},
		{"setting up serving from embedded etcd failed.", fmt.Errorf("accept: %w", net.ErrClosed), false},
		{"simple token is not cryptographically signed", nil, false},
		{"setting up serving from embedded etcd failed.", errors.New("address already in use"), true},
		{"failed to update storage version", errors.New("cannot detect storage schema version: no such bucket"), true},
	} {
		var text strings.Builder
		log, _ := newZap(slog.New(slog.NewTextHandler(&text, nil)))
		log.Error(c.message, zap.Error(c.err))
		if got := strings.Contains(text.String(), "etcd: "+c.message); got != c.logged {
			t.Errorf("%s, %v: logged %v, want %v: %s", c.message, c.err, got, c.logged, text.String())
		}
	}
}
