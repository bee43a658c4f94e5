package store

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

// The defaults that WithDefaults fills in.
const (
	DefaultListen = "127.0.0.1:2379"
	DefaultPrefix = "/gslb/"
	defaultName   = "gslb"
)

// Config says which etcd the fleet shares.
type Config struct {
	// Embedded runs an etcd member inside this process, with its data in
	// data_dir/etcd. It is the default when no endpoints are given.
	Embedded bool `toml:"embedded"`
	// Listen is where the embedded member serves clients ("127.0.0.1:2379").
	// Port 0 takes a free port.
	Listen string `toml:"listen"`
	// PeerListen is where it talks with other members ("10.0.0.1:2380"). Empty:
	// the address that Cluster gives for Name; without a Cluster nothing
	// listens for peers.
	PeerListen string `toml:"peer_listen"`
	// Name and Cluster make it a member of a cluster: etcd's initial-cluster,
	// "a=http://10.0.0.1:2380,b=…", the same on each member. Empty: a cluster
	// of one.
	Name    string `toml:"name"`
	Cluster string `toml:"cluster"`

	// Endpoints are the client URLs of an outside cluster.
	Endpoints []string `toml:"endpoints"`
	// Cert, Key and CA are PEM files. For an outside cluster they are the
	// client's; an embedded member serves clients and peers with them, and
	// then asks both for a certificate of the CA.
	Cert     string `toml:"cert"`
	Key      string `toml:"key"`
	CA       string `toml:"ca"`
	User     string `toml:"user"`
	Password string `toml:"password"`

	// Prefix stands before every key ("/gslb/").
	Prefix string `toml:"prefix"`
}

// WithDefaults returns the configuration with everything that was left out.
func (c Config) WithDefaults() Config {
	if len(c.Endpoints) == 0 {
		c.Embedded = true
	}
	if c.Embedded {
		if c.Listen == "" {
			c.Listen = DefaultListen
		}
		if c.Name == "" {
			c.Name = defaultName
		}
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	return c
}

// Validate calls bad once for each fault. Whether files exist is looked at by
// Open, since a configuration may be checked on another machine.
func (c Config) Validate(bad func(key, msg string)) {
	if c.Embedded && len(c.Endpoints) > 0 {
		bad("embedded", "true, but there are endpoints too: must be either an embedded member or an outside cluster")
	}
	c.validateMember(bad)
	c.validateClient(bad)
	if c.Prefix != "" && !strings.HasPrefix(c.Prefix, "/") {
		bad("prefix", fmt.Sprintf("%q: must begin with a slash, like %q", c.Prefix, DefaultPrefix))
	}
}

// validateMember checks what concerns the embedded member.
func (c Config) validateMember(bad func(key, msg string)) {
	if len(c.Endpoints) > 0 {
		for _, f := range [][2]string{{"listen", c.Listen}, {"peer_listen", c.PeerListen}, {"name", c.Name}, {"cluster", c.Cluster}} {
			if f[1] != "" {
				bad(f[0], fmt.Sprintf("%q: must only be given for an embedded member, not beside endpoints", f[1]))
			}
		}
		return
	}
	checkHostPort("listen", c.Listen, bad)
	checkHostPort("peer_listen", c.PeerListen, bad)
	if c.Cluster == "" {
		return
	}
	if c.Name == "" {
		bad("name", `"": must name this member as it stands in "cluster"`)
		return
	}
	urls, err := types.NewURLsMap(c.Cluster)
	switch {
	case err != nil:
		bad("cluster", fmt.Sprintf("%q: %v; must be like \"a=http://10.0.0.1:2380,b=http://10.0.0.2:2380\"", c.Cluster, err))
	case urls[c.Name] == nil:
		bad("cluster", fmt.Sprintf("%q: must have an entry for this member, %q", c.Cluster, c.Name))
	default:
		c.validateSchemes(urls, bad)
	}
}

// validateSchemes wants TLS everywhere in a cluster, or nowhere.
func (c Config) validateSchemes(urls types.URLsMap, bad func(key, msg string)) {
	want := "http"
	if c.Cert != "" {
		want = "https"
	}
	for _, us := range urls {
		for _, u := range us {
			if u.Scheme != want {
				bad("cluster", fmt.Sprintf("%q: must be %s:// (https with \"cert\", \"key\" and \"ca\", else http)", u.String(), want))
				return
			}
		}
	}
}

// validateClient checks what concerns the client of an outside cluster.
func (c Config) validateClient(bad func(key, msg string)) {
	secure := false
	for i, e := range c.Endpoints {
		key := "endpoints[" + strconv.Itoa(i) + "]"
		u, err := url.Parse(e)
		switch {
		case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
			bad(key, fmt.Sprintf("%q: must be a URL like \"https://10.0.0.5:2379\"", e))
		case u.Port() == "" || u.Hostname() == "":
			bad(key, fmt.Sprintf("%q: must have a host and a port, like \"%s://10.0.0.5:2379\"", e, u.Scheme))
		case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
			bad(key, fmt.Sprintf("%q: must be scheme, host and port only", e))
		default:
			secure = secure || u.Scheme == "https"
		}
	}
	if (c.Cert == "") != (c.Key == "") {
		bad("cert", fmt.Sprintf("%q, but \"key\" is %q: must both be given, or neither", c.Cert, c.Key))
	}
	if len(c.Endpoints) > 0 && !secure && c.Cert+c.CA != "" {
		bad("endpoints", fmt.Sprintf("%q: must be https:// when \"cert\" or \"ca\" is given", strings.Join(c.Endpoints, ",")))
	}
	if len(c.Endpoints) == 0 && (c.Cert == "") != (c.CA == "") {
		bad("ca", fmt.Sprintf("%q, but \"cert\" is %q: must both be given for an embedded member with TLS, or neither", c.CA, c.Cert))
	}
	switch {
	case c.User == "" && c.Password != "":
		bad("password", "is given without a user: must come with \"user\"")
	case c.User != "" && c.Password == "":
		bad("user", fmt.Sprintf("%q: must come with \"password\"", c.User))
	case c.User != "" && len(c.Endpoints) == 0:
		bad("user", fmt.Sprintf("%q: must only be given with endpoints, an embedded member has no users", c.User))
	}
}

// checkHostPort wants "host:port" with a literal address or a name, port 0 to 65535.
func checkHostPort(key, val string, bad func(key, msg string)) {
	if val == "" {
		return
	}
	_, port, err := net.SplitHostPort(val)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		bad(key, fmt.Sprintf("%q: must be an address and a port, like %q", val, DefaultListen))
	}
}
