package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	complete("etcd.cert", &c.Etcd.Cert)
	complete("etcd.key", &c.Etcd.Key)
	complete("etcd.ca", &c.Etcd.CA)
}

// checkFiles reports the files that are named but cannot be read. What is in
// them is for the room that reads them.
func (c *Config) checkFiles(r *report) {
	for i, z := range c.Zones[:c.listed] {
		if c.fileless[i] {
			continue // gslb writes it
		}
		if r.checkFile(indexPath("zone", i)+".file", "zone file", z.File) {
			c.Elsewhere, c.fileless[i] = append(c.Elsewhere, z), true
		}
	}
	for i, path := range c.Geo.Databases {
		r.checkFile(indexPath("geo.databases", i), "database", path)
	}
	for name, key := range c.TSIG {
		r.checkFile(joinPath("tsig", name)+".secret_file", "file with the secret", key.SecretFile)
	}
	for name, check := range c.Checks {
		if r.checkFile(joinPath("check", name)+".ca", "PEM file", check.CA) {
			check.CA = ""
			c.Checks[name] = check
		}
	}
	r.checkFile("dns.cookie_secret_file", "file of cookie secrets", c.DNS.CookieSecretFile)
	r.checkFile("dns.tls.cert", "PEM file", c.DNS.TLS.Cert)
	r.checkFile("dns.tls.key", "PEM file", c.DNS.TLS.Key)
	r.checkFile("dns.https.cert", "PEM file", c.DNS.HTTPS.Cert)
	r.checkFile("dns.https.key", "PEM file", c.DNS.HTTPS.Key)
	r.checkFile("etcd.cert", "PEM file", c.Etcd.Cert)
	r.checkFile("etcd.key", "PEM file", c.Etcd.Key)
	r.checkFile("etcd.ca", "PEM file", c.Etcd.CA)
	if info, err := os.Stat(c.Node.DataDir); err == nil && !info.IsDir() {
		r.bad("node.data_dir", "%s: must be a directory", c.Node.DataDir)
	}
	if info, err := os.Stat(c.Node.Keys); err == nil && !info.IsDir() {
		r.bad("node.keys", "%s: must be a directory", c.Node.Keys)
	}
}

// checkFile reports a file that cannot be read. elsewhere: it is one that each
// node has to have, and need not be here.
func (r *report) checkFile(key, what, path string) (elsewhere bool) {
	if path == "" || !r.at.has(key) {
		return false // whoever needs it says so
	}
	f, err := os.Open(path)
	if err != nil {
		err = withoutPath(err) // the path is in the message already
		if errors.Is(err, fs.ErrNotExist) && r.scope == alone && r.inTopology(key) {
			r.warn(key, "%s: the %s is not on this machine: each node must have it", path, what)
			return true
		}
		r.bad(key, "%s: cannot read the %s: %v", path, what, err)
		return false
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err == nil && info.IsDir() {
		r.bad(key, "%s: must be a %s, is a directory", path, what)
	}
	return false
}

// withoutPath is an error of a file without the file's name.
func withoutPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
