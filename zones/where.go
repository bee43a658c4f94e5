package zones

import (
	"io/fs"

	"gslb/dnsname"
)

// Where tells where the first record of a type that a name owns stands in the
// zone's master files, as FILE:LINE. They are read for it. Where that is not to be
// found, as the zone comes from elsewhere or the file has changed, it is the file alone.
func (z *Zone) Where(owner []byte, rrtype uint16) string {
	s := &seeker{owner: dnsname.AppendLower(nil, owner), rrtype: rrtype}
	f, err := open(z.File)
	if err != nil {
		return z.File
	}
	defer f.Close()
	new(master).read(z.Name, z.File, z.apex, &whole{File: f}, s)
	if s.at == "" {
		return z.File
	}
	return s.at
}

// seeker is a sink that looks for one record.
type seeker struct {
	owner  []byte // in lower case
	rrtype uint16
	at     string
}

func (s *seeker) add(r record) error {
	if s.at == "" && r.rrtype == s.rrtype && string(dnsname.AppendLower(nil, r.owner)) == string(s.owner) {
		s.at = at(r.file, r.line)
	}
	return nil
}

func (s *seeker) opened(string, fs.FileInfo) {}
