package console

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"gslb/steady"
)

// Bounds on what one client, or all of them, can take from the node.
const (
	maxConnections   = 256
	maxHeaderBytes   = 16 << 10
	maxBodyBytes     = 16 << 10
	maxScrapes       = 4 // at a time
	headerTimeout    = 5 * time.Second
	readTimeout      = 10 * time.Second
	writeTimeout     = 30 * time.Second
	idleTimeout      = 60 * time.Second
	storeTimeout     = 5 * time.Second // for writing an override
	shutdownTimeout  = 2 * time.Second
	denialLogSpacing = time.Second
)

// Server is the console of one node. It is a prometheus.Collector of its own
// counters too, for cmd to register.
type Server struct {
	guard   *guard
	backend Backend
	metrics *metrics
	log     *slog.Logger
	// denials spaces out the log lines of refused changes, which a stranger can cause.
	denials rate.Sometimes
	now     func() time.Time
	handler http.Handler
}

// New makes the console; it starts nothing. cfg is valid. reg is what /metrics
// shows; it may have the Server itself registered. log must not be nil.
func New(cfg Config, b Backend, reg prometheus.Gatherer, log *slog.Logger) *Server {
	s := &Server{
		guard:   newGuard(cfg.WithDefaults()),
		backend: b,
		metrics: newMetrics(),
		log:     log,
		denials: rate.Sometimes{First: 1, Interval: denialLogSpacing},
		now:     steady.Now,
	}
	s.handler = s.routes(promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError, // one bad collector must not blind the rest
		MaxRequestsInFlight: maxScrapes,
		Timeout:             writeTimeout / 2,
	}))
	return s
}

// ServeHTTP answers one request, for tests and for those who bring their own http.Server.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// Serve answers on ln until ctx ends, then lets requests under way finish for a
// bounded time, and returns nil. It closes ln. Another error means that ln failed.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	srv := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		if srv.Shutdown(bounded) != nil {
			_ = srv.Close() // its error would be of a listener that is closed already
		}
	})
	err := srv.Serve(netutil.LimitListener(ln, maxConnections))
	if stop() { // ctx goes on: ln failed
		_ = srv.Close()
		return err
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// routes is the table of what there is to ask for.
func (s *Server) routes(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range []struct {
		pattern string
		methods methods
	}{
		{"/api/v1/status", methods{"GET": s.getStatus}},
		{"/api/v1/zones", methods{"GET": s.getZones}},
		{"/api/v1/explain", methods{"GET": s.getExplain}},
		{"/api/v1/override", methods{"POST": s.change(s.postOverride)}},
		{"/api/v1/drain/{site}", methods{"GET": s.getDrain}},
		{"/api/v1/push", methods{"POST": s.change(s.postPush)}},
		{"/api/v1/override/{site}", methods{"DELETE": s.change(s.deleteOverride)}},
		{"/api/v1/release", methods{"POST": s.change(s.postRelease)}},
		{"/api/v1/release/{name}", methods{"DELETE": s.change(s.deleteRelease)}},
		{"/api/v1/breaker/allow", methods{"POST": s.change(s.postAllow)}},
		{"/api/v1/breaker/drop", methods{"POST": s.change(s.postDrop)}},
		{"/api/v1/etcd/members", methods{"GET": s.getMembers}},
		{"/api/v1/etcd/members/{member}", methods{"DELETE": s.change(s.deleteMember)}},
		{"/api/v1/reload", methods{"POST": s.change(s.postReload)}},
		{"/api/v1/frontends", methods{"GET": s.getFrontends}},
		{"/api/v1/frontends/{name}/servers", methods{"POST": s.change(s.postServer)}},
		{"/api/v1/connections", methods{"GET": s.getConnections}},
		{"/api/v1/topology", methods{"GET": s.getTopology, "POST": s.changeUpTo(maxOrderBytes, s.postTopology)}},
		{"/api/v1/topology/revisions", methods{"GET": s.getRevisions}},
		{"/api/v1/topology/revisions/{number}", methods{"GET": s.getRevision}},
		{"/api/v1/topology/diff", methods{"GET": s.getDifferences}},
		{"/api/v1/simulate", methods{"GET": s.getSimulate}},
		{"/api/v1/simulate/each", methods{"GET": s.getSimulateEach}},
		{"/api/v1/events", methods{"GET": s.getEvents}},
		{"/livez", methods{"GET": s.getLive}},
		{"/readyz", methods{"GET": s.getReady}},
		{"/readyz/{frontend}", methods{"GET": s.getFrontendReady}},
		{"/metrics", methods{"GET": plain(metrics)}},
	} {
		mux.Handle(rt.pattern, s.endpoint(rt.pattern, rt.methods))
	}
	for path, a := range loadAssets() {
		if path == "/" {
			path = "/{$}"
		}
		mux.Handle(path, s.endpoint(path, methods{"GET": plain(a)}))
	}
	mux.Handle("/", s.endpoint("other", nil))
	return mux
}
