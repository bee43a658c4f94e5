package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// completePaths makes every path absolute, relative to the configuration's directory.
func (c *Config) completePaths(r *report) {
	c.Node.DataDir = r.absolute(c.Node.DataDir)
	if c.Node.Keys == "" {
		c.Node.Keys = filepath.Join(c.Node.DataDir, "keys")
	}
	c.Node.Keys = r.absolute(c.Node.Keys)
	c.DNS.CookieSecretFile = r.absolute(c.DNS.CookieSecretFile)
	for _, pem := range []*string{&c.DNS.TLS.Cert, &c.DNS.TLS.Key, &c.DNS.HTTPS.Cert, &c.DNS.HTTPS.Key} {
		*pem = r.absolute(*pem)
	}
	for i := range c.Zones {
		c.Zones[i].File = r.absolute(c.Zones[i].File)
	}
	for name, key := range c.TSIG {
		key.SecretFile = r.absolute(key.SecretFile)
		c.TSIG[name] = key
	}
	for i := range c.Geo.Databases {
		c.Geo.Databases[i] = r.absolute(c.Geo.Databases[i])
	}
	for name, check := range c.Checks {
		check.CA = r.absolute(check.CA)
		c.Checks[name] = check
	}
	for _, pem := range []*string{&c.Etcd.Cert, &c.Etcd.Key, &c.Etcd.CA} {
		*pem = r.absolute(*pem)
	}
}

// checkFiles reports the files that are named but cannot be read. What is in
// them is for the room that reads them.
func (c *Config) checkFiles(r *report) {
	for i, z := range c.Zones[:c.listed] {
		if c.fileless[i] {
			continue // gslb writes it
		}
		r.checkFile(indexPath("zone", i)+".file", "zone file", z.File)
	}
	for i, path := range c.Geo.Databases {
		r.checkFile(indexPath("geo.databases", i), "database", path)
	}
	for name, key := range c.TSIG {
		r.checkFile(joinPath("tsig", name)+".secret_file", "file with the secret", key.SecretFile)
	}
	for name, check := range c.Checks {
		r.checkFile(joinPath("check", name)+".ca", "PEM file", check.CA)
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

func (r *report) checkFile(key, what, path string) {
	if path == "" || !r.at.has(key) {
		return // whoever needs it says so
	}
	f, err := os.Open(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err // the path is in the message already
		}
		r.bad(key, "%s: cannot read the %s: %v", path, what, err)
		return
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err == nil && info.IsDir() {
		r.bad(key, "%s: must be a %s, is a directory", path, what)
	}
}
