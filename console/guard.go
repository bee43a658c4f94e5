package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// A guard decides who may ask for what.
//
//	request                          | refused with
//	---------------------------------+------------------------------------------
//	Host is a name we don't know     | 421, but for /livez and /readyz…
//	changes something, and …         |
//	  comes from another origin      | 403 (Sec-Fetch-Site, else Origin against Host)
//	  has a body that isn't JSON     | 415
//	  token set, and not the same    | 401
//	  no token set, not from loopback| 403
type guard struct {
	hosts map[string]bool // in lower case, without a last dot
	token [sha256.Size]byte
	// tokenSet is apart from token, so that an empty token never matches an empty header.
	tokenSet bool
	origin   *http.CrossOriginProtection
}

func newGuard(cfg Config) *guard {
	g := &guard{
		hosts:    make(map[string]bool, len(cfg.Hosts)+1),
		token:    sha256.Sum256([]byte(cfg.Token)),
		tokenSet: cfg.Token != "",
		origin:   http.NewCrossOriginProtection(),
	}
	for _, h := range cfg.Hosts {
		g.hosts[bareHost(h)] = true
	}
	if host, _, err := net.SplitHostPort(cfg.Listen); err == nil && host != "" {
		g.hosts[bareHost(host)] = true
	}
	return g
}

// A refusal is an answer that isn't what was asked for.
type refusal struct {
	code int
	msg  string
}

func (e *refusal) Error() string { return e.msg }

func refuse(code int, format string, args ...any) *refusal {
	return &refusal{code, fmt.Sprintf(format, args...)}
}

// host refuses a Host that a DNS rebinding attack would send: the attacker's own
// name, made to point at this machine.
func (g *guard) host(r *http.Request) *refusal {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	name := bareHost(host)
	if name == "localhost" || strings.HasSuffix(name, ".localhost") || g.hosts[name] {
		return nil
	}
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") { // IPv6 without a port
		host = host[1 : len(host)-1]
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	return refuse(http.StatusMisdirectedRequest,
		"host %.100q isn't known here: ask by IP address, or list the name as hosts of [api]", host)
}

func bareHost(h string) string { return strings.ToLower(strings.TrimSuffix(h, ".")) }

// change refuses a request that may not change anything.
func (g *guard) change(r *http.Request) *refusal {
	if err := g.origin.Check(r); err != nil {
		return refuse(http.StatusForbidden, "request comes from a page of another origin")
	}
	// A form of another origin can send only the types of forms; JSON needs
	// its consent (CORS), which is never given. DELETE needs it anyway.
	if ct := r.Header.Get("Content-Type"); ct != "" || r.Method != http.MethodDelete {
		if t, _, err := mime.ParseMediaType(ct); err != nil || t != "application/json" {
			return refuse(http.StatusUnsupportedMediaType, "content type %.100q: must be application/json", ct)
		}
	}
	return g.trusted(r, "change something")
}

// trusted refuses who has not got the token or, where none is configured, is not
// on this machine. what says for what.
func (g *guard) trusted(r *http.Request, what string) *refusal {
	if g.tokenSet {
		return g.bearer(r)
	}
	if a := remote(r); !a.IsLoopback() {
		return refuse(http.StatusForbidden, "no token is configured, so only this machine itself may %s, and not %v", what, a)
	}
	return nil
}

// bearer refuses a request without the token (RFC 6750). Hashes are compared
// and not the tokens, so that the time tells nothing of the token's length either.
func (g *guard) bearer(r *http.Request) *refusal {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(token)))
	if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(sum[:], g.token[:]) != 1 {
		return refuse(http.StatusUnauthorized, "token missing or wrong: send it as \"Authorization: Bearer …\"")
	}
	return nil
}

// remote is the address that the request came from; the zero Addr when there is none.
func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// securityHeaders are the same for each answer. The policy lets the page load
// its own script, style and API and nothing else, and forbids the script to
// make markup out of text (Trusted Types), so that a hostile string from a
// probe or an override can't become code even by a mistake of ours.
var securityHeaders = [][2]string{
	{"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"},
	{"X-Content-Type-Options", "nosniff"},
	{"X-Frame-Options", "DENY"},
	{"Referrer-Policy", "no-referrer"},
	{"Cross-Origin-Opener-Policy", "same-origin"},
	{"Cross-Origin-Resource-Policy", "same-origin"},
	{"Permissions-Policy", "camera=(), geolocation=(), microphone=()"},
}

func setSecurityHeaders(h http.Header) {
	for _, kv := range securityHeaders {
		h.Set(kv[0], kv[1])
	}
	h.Set("Cache-Control", "no-store") // assets say otherwise
}
