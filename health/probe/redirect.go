package probe

import (
	"net"
	"net/http"
	"net/url"
)

// redirect is the request that a response leads to, if it does (RFC 9110
// section 15.4). What leads back to the host of the first request stays at the
// target, whatever that name resolves to: the check is of this target.
func (h hop) redirect(r *http.Response, first hop) (hop, bool) {
	switch r.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		return hop{}, false
	}
	base := url.URL{Scheme: h.scheme, Host: h.host, Path: "/"}
	if here, err := base.Parse(h.path); err == nil {
		base = *here
	}
	to, err := base.Parse(r.Header.Get("Location"))
	if err != nil || r.Header.Get("Location") == "" || to.Scheme != "http" && to.Scheme != "https" || !validHost(to.Hostname()) {
		return hop{}, false
	}
	next := h
	next.scheme, next.host, next.path = to.Scheme, to.Host, to.RequestURI()
	name, port := to.Hostname(), to.Port()
	own, ownPort := splitHost(first.host)
	targetHost, targetPort := splitHost(first.address)
	if port == "" {
		port = portOf(to.Scheme)
	}
	if name == own || name == targetHost {
		if name = targetHost; to.Scheme == first.scheme && to.Port() == ownPort {
			port = targetPort
		}
	}
	next.address = net.JoinHostPort(name, port)
	if to.Host != first.host { // what is secret is for the first host alone (as browsers and curl do)
		next.headers = withoutSecrets(h.headers)
	}
	switch r.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect: // the request stays the same
	default:
		if h.method != http.MethodGet && h.method != http.MethodHead {
			next.method, next.body = http.MethodGet, ""
		}
	}
	return next, true
}

func withoutSecrets(headers map[string]string) map[string]string {
	out := map[string]string{}
	for name, value := range headers {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization", "Cookie", "Proxy-Authorization":
		default:
			out[name] = value
		}
	}
	return out
}
