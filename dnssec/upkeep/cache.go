package upkeep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gslb/dnssec"
	"gslb/durable"
)

// cachePath is where a zone's signatures are kept. A name can hold octets that
// no file's can.
func cachePath(dir, zone string) string {
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(zone, ".")) {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.' && b.Len() > 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return filepath.Join(dir, b.String()+".signatures")
}

// readCache reads a zone's signatures; without a file there are none.
func readCache(path string, keys []*dnssec.Key) (*dnssec.Cache, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	c, err := dnssec.ReadCache(f, keys)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// writeCache writes a zone's signatures.
func writeCache(path string, c *dnssec.Cache) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return durable.Write(path, 0o600, func(w io.Writer) error {
		_, err := c.WriteTo(w)
		return err
	})
}
