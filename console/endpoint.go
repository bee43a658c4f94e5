package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
)

// A handler answers a request or returns why not; then it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods are an endpoint's handlers by HTTP method. GET serves HEAD too.
type methods map[string]handler

// plain makes a handler of an http.Handler, which writes its own errors.
func plain(h http.Handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

// change guards a handler that changes something, and bounds what it reads.
func (s *Server) change(h handler) handler { return s.changeUpTo(maxBodyBytes, h) }

// changeUpTo is change with another bound, in bytes.
func (s *Server) changeUpTo(most int64, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if e := s.guard.change(r); e != nil {
			s.denials.Do(func() {
				s.log.Warn("change refused", "remote", r.RemoteAddr, "method", r.Method, "path", r.URL.Path, "why", e.msg)
			})
			return e
		}
		r.Body = http.MaxBytesReader(w, r.Body, most)
		return h(w, r)
	}
}

// endpoint is the one place where requests come in: headers, host, method, a
// panic, the error's form and the count. name is a label of the count.
func (s *Server) endpoint(name string, ms methods) http.Handler {
	allow := allowed(ms)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{ResponseWriter: w}
		defer func() { s.metrics.requests.WithLabelValues(name, rec.class()).Inc() }()
		defer s.rescue(rec, r)
		setSecurityHeaders(w.Header())

		var err error
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		// Those who ask whether the node lives may call it what they like.
		if name != "/livez" && name != "/readyz" && name != "/readyz/{frontend}" {
			if e := s.guard.host(r); e != nil {
				writeError(rec, e)
				return
			}
		}
		switch h := ms[method]; {
		case ms == nil:
			err = refuse(http.StatusNotFound, "nothing at %.200q", r.URL.Path)
		case h == nil:
			w.Header().Set("Allow", allow)
			err = refuse(http.StatusMethodNotAllowed, "method %.20q: must be %s", r.Method, allow)
		default:
			err = h(rec, r)
		}
		if err != nil {
			writeError(rec, err)
		}
	})
}

func allowed(ms methods) string {
	var l []string
	for m := range ms {
		l = append(l, m)
		if m == http.MethodGet {
			l = append(l, http.MethodHead)
		}
	}
	slices.Sort(l)
	return strings.Join(l, ", ")
}

// rescue turns a panic into an error of this one request.
func (s *Server) rescue(rec *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p) // net/http's own way to drop a connection
	}
	s.log.Error("panic in the console", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
	if rec.code == 0 {
		writeError(rec, refuse(http.StatusInternalServerError, "internal error: see the node's log"))
	}
}

// statusOf is the HTTP status of an error.
func statusOf(err error) int {
	var e *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &tooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrUnavailable):
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// An errorBody is the body of each error.
type errorBody struct {
	Error string `json:"error"`
}

func writeError(w http.ResponseWriter, err error) {
	code := statusOf(err)
	switch code {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", `Bearer realm="gslb"`) // RFC 6750 section 3
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, code, errorBody{err.Error()})
}

// writeJSON writes v whole or, if it can't be said in JSON, an error instead.
func writeJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code = http.StatusInternalServerError
		body, _ = json.Marshal(errorBody{"internal error: " + err.Error()})
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(append(body, '\n')) // fails only when the client is gone
}

// A recorder remembers the status that was written.
type recorder struct {
	http.ResponseWriter
	code int
}

func (r *recorder) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.code == 0 {
		r.code = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// class is "2xx", "4xx" …; net/http writes 200 when a handler writes nothing.
func (r *recorder) class() string {
	code := r.code
	if code == 0 {
		code = http.StatusOK
	}
	return fmt.Sprintf("%dxx", code/100)
}
