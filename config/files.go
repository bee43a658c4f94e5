package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"gslb/parallel"
)

// completePaths makes every path absolute, relative to the directory of the file
// that it stands in.
func (c *Config) completePaths(r *report) {
	complete := func(key string, path *string) {
		c.checkTravels(r, key, *path)
		*path = r.absolute(key, *path)
	}
	complete("node.data_dir", &c.Node.DataDir)
	if c.Node.Keys == "" {
		c.Node.Keys = filepath.Join(c.Node.DataDir, "keys")
	}
	complete("node.keys", &c.Node.Keys)
	complete("dns.cookie_secret_file", &c.DNS.CookieSecretFile)
	complete("dns.tls.cert", &c.DNS.TLS.Cert)
	complete("dns.tls.key", &c.DNS.TLS.Key)
	complete("dns.https.cert", &c.DNS.HTTPS.Cert)
	complete("dns.https.key", &c.DNS.HTTPS.Key)
	complete("dns.quic.cert", &c.DNS.QUIC.Cert)
	complete("dns.quic.key", &c.DNS.QUIC.Key)
	for i := range c.Listed {
		if !c.Listed[i].Moves() {
			continue
		}
		for key, p := range c.Listed[i].Peers() {
			key = indexPath("zone", i) + "." + key + ".tls_ca"
			complete(key, &p.TLSCA)
			r.checkFile(key, "PEM file", p.TLSCA) // of the list no more is known later
		}
	}
	for i := range c.Zones {
		complete(indexPath("zone", i)+".file", &c.Zones[i].File)
	}
	for name, key := range c.TSIG {
		complete(joinPath("tsig", name)+".secret_file", &key.SecretFile)
		c.TSIG[name] = key
	}
	for i := range c.Geo.Databases {
		complete(indexPath("geo.databases", i), &c.Geo.Databases[i])
	}
	for name, check := range c.Checks {
		complete(joinPath("check", name)+".ca", &check.CA)
		c.Checks[name] = check
	}
	for i := range c.BGP.Neighbors {
		complete(indexPath("bgp.neighbor", i)+".password_file", &c.BGP.Neighbors[i].PasswordFile)
	}
	complete("etcd.cert", &c.Etcd.Cert)
	complete("etcd.key", &c.Etcd.Key)
	complete("etcd.ca", &c.Etcd.CA)
}

// checkFiles reports the files that are named but cannot be read. What is in
// them is for the room that reads them.
func (c *Config) checkFiles(r *report) {
	faults := make([]error, c.listed)
	parallel.Each(c.listed, func(i int) {
		if !c.fileless[i] && c.Zones[i].File != "" { // the others gslb writes, or they are reported
			faults[i] = notFile(c.Zones[i].File)
		}
	})
	for i, fault := range faults {
		if fault != nil && r.badFile(indexPath("zone", i)+".file", "zone file", c.Zones[i].File, fault) {
			c.Elsewhere, c.fileless[i] = append(c.Elsewhere, c.Zones[i]), true
		}
	}
	for name, check := range c.Checks {
		if r.checkFile(joinPath("check", name)+".ca", "PEM file", check.CA) {
			check.CA = ""
			c.Checks[name] = check
		}
	}
	c.eachNamed(func(key, what, path string) { r.checkFile(key, what, path) })
	if notDirectory(c.Node.DataDir) {
		r.bad("node.data_dir", "%s: must be a directory", c.Node.DataDir)
	}
	if notDirectory(c.Node.Keys) {
		r.bad("node.keys", "%s: must be a directory", c.Node.Keys)
	}
}

// eachNamed calls f with the files that are named, but for those of zones and checks.
func (c *Config) eachNamed(f func(key, what, path string)) {
	for i, path := range c.Geo.Databases {
		f(indexPath("geo.databases", i), "database", path)
	}
	for name, key := range c.TSIG {
		f(joinPath("tsig", name)+".secret_file", "file with the secret", key.SecretFile)
	}
	for i, n := range c.BGP.Neighbors {
		f(indexPath("bgp.neighbor", i)+".password_file", "file with the password", n.PasswordFile)
	}
	f("dns.cookie_secret_file", "file of cookie secrets", c.DNS.CookieSecretFile)
	f("dns.tls.cert", "PEM file", c.DNS.TLS.Cert)
	f("dns.tls.key", "PEM file", c.DNS.TLS.Key)
	f("dns.https.cert", "PEM file", c.DNS.HTTPS.Cert)
	f("dns.https.key", "PEM file", c.DNS.HTTPS.Key)
	f("dns.quic.cert", "PEM file", c.DNS.QUIC.Cert)
	f("dns.quic.key", "PEM file", c.DNS.QUIC.Key)
	f("etcd.cert", "PEM file", c.Etcd.Cert)
	f("etcd.key", "PEM file", c.Etcd.Key)
	f("etcd.ca", "PEM file", c.Etcd.CA)
}

// checkFile reports a file that cannot be read. elsewhere: it is one that each
// node has to have, and need not be here.
func (r *report) checkFile(key, what, path string) (elsewhere bool) {
	fault := unreadable(path)
	return fault != nil && r.badFile(key, what, path, fault)
}

func (r *report) badFile(key, what, path string, fault error) (elsewhere bool) {
	switch {
	case !r.at.has(key): // whoever needs it says so
	case errors.Is(fault, errDirectory):
		r.bad(key, "%s: must be a %s, is a directory", path, what)
	case errors.Is(fault, fs.ErrNotExist) && r.scope == alone && r.inTopology(key):
		r.warn(key, "%s: the %s is not on this machine: each node must have it", path, what)
		return true
	default:
		r.bad(key, "%s: cannot read the %s: %v", path, what, fault)
	}
	return false
}

func notDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

var errDirectory = errors.New("is a directory")

// unreadable tells why a file cannot be read. Without a name it is no file, and all is well.
func unreadable(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return withoutPath(err) // the path is in the message already
	}
	defer f.Close() // only read
	return notFile(path)
}

// notFile is unreadable for the file of a zone, of which there may be a million:
// whether it can be opened is told when it is read.
func notFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return withoutPath(err)
	case info.IsDir():
		return errDirectory
	}
	return nil
}

// withoutPath is an error of a file without the file's name.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
