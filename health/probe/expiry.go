package probe

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"time"
)

// CAWarning tells of a certificate in the check's CA file that has ended or ends
// within the check's expiry_warning at now; "" if there is none, or no such file:
// that it cannot be read is an error of [New].
func (c Config) CAWarning(now time.Time) string {
	if c.CA == "" {
		return ""
	}
	data, err := os.ReadFile(c.CA)
	if err != nil {
		return ""
	}
	within := c.WithDefaults().ExpiryWarning
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil || cert.NotAfter.Sub(now) >= within {
			continue
		}
		return fmt.Sprintf("ca %s: of %.80q: %s", c.CA, cert.Subject.CommonName, expiring([]*x509.Certificate{cert}, within, now))
	}
	return ""
}
