package console

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"gslb/zones"
)

// GET /api/v1/status
func (s *Server) getStatus(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, s.status())
	return nil
}

func (s *Server) status() Status { return s.backend.Status().complete(s.now()) }

// ZoneList is the answer of /api/v1/zones.
type ZoneList struct {
	Zones   []Zone    `json:"zones"`
	Steered []Steered `json:"steered"`
}

// GET /api/v1/zones
func (s *Server) getZones(w http.ResponseWriter, _ *http.Request) error {
	st := s.status()
	writeJSON(w, http.StatusOK, ZoneList{st.Zones, st.Steered})
	return nil
}

// GET /api/v1/explain?name=www.abc.com&client=203.0.113.7&type=A
func (s *Server) getExplain(w http.ResponseWriter, r *http.Request) error {
	name, client, qtype, err := explainQuery(r)
	if err != nil {
		return err
	}
	ex, err := s.backend.Explain(name, client, qtype)
	if err != nil {
		return err
	}
	out := *ex
	out.Answer = list(out.Answer)
	writeJSON(w, http.StatusOK, &out)
	return nil
}

// explainQuery reads what to explain. client may be a network, as ECS has it,
// and is the asker's own address when it is missing; the type is A when missing.
func explainQuery(r *http.Request) (name, client, qtype string, err error) {
	q := r.URL.Query()
	for k, v := range q {
		if !slices.Contains([]string{"name", "client", "type"}, k) {
			return "", "", "", fmt.Errorf("%w: parameter %.40q: must be name, client or type", ErrInvalid, k)
		}
		if len(v) != 1 {
			return "", "", "", fmt.Errorf("%w: parameter %q is given %d times", ErrInvalid, k, len(v))
		}
	}
	name = strings.TrimSpace(q.Get("name"))
	if name == "" {
		return "", "", "", fmt.Errorf("%w: parameter \"name\" is missing", ErrInvalid)
	}
	// Other octets have an escape (RFC 1035 section 5.1), other letters the form of IDNA.
	full, err := zones.CanonicalName(name)
	if err != nil || strings.ContainsFunc(name, func(c rune) bool { return c < '!' || c > '~' }) {
		return "", "", "", fmt.Errorf("%w: name %.300q: must be a domain name in ASCII", ErrInvalid, name)
	}
	qtype = strings.ToUpper(strings.TrimSpace(q.Get("type")))
	if qtype == "" {
		qtype = "A"
	}
	if t, ok := dns.StringToType[qtype]; !ok || t == dns.TypeNone {
		return "", "", "", fmt.Errorf("%w: type %.40q: must be a DNS record type such as A, AAAA or HTTPS", ErrInvalid, qtype)
	}
	addr := remote(r)
	if c := strings.TrimSpace(q.Get("client")); c != "" {
		if addr, err = parseClient(c); err != nil {
			return "", "", "", err
		}
	}
	if !addr.IsValid() { // asked by something that has no address
		return "", "", "", fmt.Errorf("%w: parameter \"client\" is missing", ErrInvalid)
	}
	return full, addr.String(), qtype, nil
}

func parseClient(c string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(c); err == nil && a.Zone() == "" {
		return a.Unmap(), nil
	}
	if p, err := netip.ParsePrefix(c); err == nil {
		return p.Addr().Unmap(), nil
	}
	return netip.Addr{}, fmt.Errorf("%w: client %.80q: must be an IP address or network such as 203.0.113.7 or 203.0.113.0/24", ErrInvalid, c)
}

// GET /livez: the process answers.
func (s *Server) getLive(w http.ResponseWriter, _ *http.Request) error {
	writeText(w, "ok\n")
	return nil
}

// GET /readyz: the node answers queries.
func (s *Server) getReady(w http.ResponseWriter, _ *http.Request) error {
	if err := s.backend.Ready(); err != nil {
		return refuse(http.StatusServiceUnavailable, "not ready: %v", err)
	}
	writeText(w, "ok\n")
	return nil
}

// GET /readyz/{frontend}: a virtual address may lead here for it.
func (s *Server) getFrontendReady(w http.ResponseWriter, r *http.Request) error {
	err := s.backend.FrontendReady(r.PathValue("frontend"))
	switch {
	case errors.Is(err, ErrNotFound):
		return err
	case err != nil:
		return refuse(http.StatusServiceUnavailable, "not ready: %v", err)
	}
	writeText(w, "ok\n")
	return nil
}

func writeText(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // fails only when the client is gone
}
