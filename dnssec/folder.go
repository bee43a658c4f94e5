package dnssec

import (
	"crypto"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
	"gslb/durable"
)

// Folder is where keys are kept, in BIND's files, so that BIND's tools can
// read them. Several zones may share a folder.
type Folder string

// Load reads a zone's keys, the oldest first. A folder that is not there has
// none. All faults come as one error.
//
// Keys with the flag SEP alone, without a .state file that says otherwise,
// sign everything (CSK), as with BIND.
func (f Folder) Load(zone []byte) ([]*Key, error) {
	l, err := f.List()
	if err != nil {
		return nil, err
	}
	return f.LoadListed(zone, l)
}

// Listing is which keys' files a folder has, by zone: to load many zones of one
// folder without reading it anew for each.
type Listing map[string][]string

// List reads the names in the folder.
func (f Folder) List() (Listing, error) {
	entries, err := os.ReadDir(string(f))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l := make(Listing)
	for _, e := range entries {
		if zone, _, ok := strings.Cut(e.Name(), "+"); ok && strings.HasPrefix(zone, "K") && strings.HasSuffix(e.Name(), ".key") {
			l[zone[1:]] = append(l[zone[1:]], e.Name())
		}
	}
	return l, nil
}

// Files gives the .key files of a zone.
func (f Folder) Files(zone []byte) (paths []string, err error) {
	l, err := f.List()
	for _, name := range l[fileName(zone)] {
		paths = append(paths, filepath.Join(string(f), name))
	}
	return paths, err
}

// LoadListed is Load with the folder's names as they were listed.
func (f Folder) LoadListed(zone []byte, l Listing) ([]*Key, error) {
	var keys []*Key
	var errs []error
	for _, name := range l[fileName(zone)] {
		k, err := ReadKey(filepath.Join(string(f), name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		keys = append(keys, k)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if !slices.ContainsFunc(keys, func(k *Key) bool { return k.Role.zone() }) {
		for _, k := range keys {
			if !k.told {
				k.Role = CSK
			}
		}
	}
	sortKeys(keys)
	return keys, nil
}

// sortKeys puts the oldest first.
func sortKeys(keys []*Key) {
	slices.SortFunc(keys, func(a, b *Key) int {
		if c := a.Timing.Created.Compare(b.Timing.Created); c != 0 {
			return c
		}
		return int(a.tag) - int(b.tag)
	})
}

// Generate makes a key and keeps it. No two keys of a zone get the same tag,
// since a validator would have to try both.
func (f Folder) Generate(zone []byte, alg Algorithm, bits int, role Role, timing Timing) (*Key, error) {
	keys, err := f.Load(zone)
	if err != nil {
		return nil, err
	}
	return f.generate(zone, keys, NewKey{alg, bits, role, timing})
}

// generate is Generate for a zone with these keys.
func (f Folder) generate(zone []byte, keys []*Key, n NewKey) (*Key, error) {
	for range 100 {
		k, err := Generate(zone, n.Algorithm, n.Bits, n.Role, n.Timing)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(keys, func(other *Key) bool { return other.tag == k.tag }) {
			return k, f.Save(k)
		}
	}
	return nil, fmt.Errorf("%s: no key tag is free for %s; it has %d keys", f, dnsname.Format(zone), len(keys))
}

// Import takes a key over from other files of BIND's, with its times; see
// ReadKey.
func (f Folder) Import(path string) (*Key, error) {
	k, err := ReadKey(path)
	if err != nil {
		return nil, err
	}
	if !k.CanSign() {
		return nil, fmt.Errorf("%s: there is no private key beside it", path)
	}
	return k, f.Save(k)
}

// Save writes a key's files, each as a whole or not at all; .key comes last,
// so that no half of a new key is taken for a key. The private file has mode
// 0600. What root writes is for the node's user, to whom the folder belongs. It refuses to write over another key.
func (f Folder) Save(k *Key) error {
	if err := durable.MakeFolderFor(string(f), 0o700); err != nil {
		return err
	}
	base := filepath.Join(string(f), k.BaseName())
	if old, err := readPublic(base + ".key"); err == nil && old.id != k.id {
		return fmt.Errorf("%s.key: another key of the same tag is there", base)
	}
	if k.CanSign() {
		if err := durable.WriteFileFor(base+".private", 0o600, []byte(k.privateText())); err != nil {
			return err
		}
	}
	if err := durable.WriteFileFor(base+".state", 0o644, []byte(k.stateText())); err != nil {
		return err
	}
	return durable.WriteFileFor(base+".key", 0o644, []byte(k.publicText()))
}

// Remove deletes a key's files, the .key first.
func (f Folder) Remove(k *Key) error {
	base := filepath.Join(string(f), k.BaseName())
	for _, ending := range []string{".key", ".state", ".private"} {
		if err := os.Remove(base + ending); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return durable.SyncFolder(string(f))
}

// publicText is the .key file.
func (k *Key) publicText() string {
	var b strings.Builder
	kind := "zone"
	if k.Flags()&flagSEP != 0 {
		kind = "key"
	}
	zone := dnsname.Format(k.Zone)
	fmt.Fprintf(&b, "; This is a %s-signing key, keyid %d, for %s\n", kind, k.tag, zone)
	for _, t := range k.Timing.times() {
		writeTime(&b, "; "+t.name, *t.at)
	}
	ttl := ""
	if k.TTL > 0 {
		ttl = fmt.Sprintf("%d ", k.TTL)
	}
	fmt.Fprintf(&b, "%s %sIN DNSKEY %d 3 %d %s\n", zone, ttl, k.Flags(), uint8(k.Algorithm), base64.StdEncoding.EncodeToString(k.rdata[4:]))
	return b.String()
}

// privateText is the .private file.
func (k *Key) privateText() string {
	record := dns.DNSKEY{Algorithm: uint8(k.Algorithm)}
	var b strings.Builder
	b.WriteString(record.PrivateKeyString(crypto.PrivateKey(k.private)))
	for _, t := range k.Timing.times() {
		if !t.at.IsZero() {
			fmt.Fprintf(&b, "%s: %s\n", t.name, t.at.UTC().Format(timeFormat))
		}
	}
	return b.String()
}

// stateText is the .state file, in the fields that BIND 9.16 and later know.
func (k *Key) stateText() string {
	yes := map[bool]string{true: "yes", false: "no"}
	var b strings.Builder
	fmt.Fprintf(&b, "; This is the state of key %d, for %s\n", k.tag, dnsname.Format(k.Zone))
	fmt.Fprintf(&b, "Algorithm: %d\nLength: %d\n", uint8(k.Algorithm), k.bits())
	if k.told {
		fmt.Fprintf(&b, "KSK: %s\nZSK: %s\n", yes[k.Role.entry()], yes[k.Role.zone()])
	}
	t := k.Timing
	writeTime(&b, "Generated", t.Created)
	writeTime(&b, "Published", t.Publish)
	writeTime(&b, "Active", t.Activate)
	writeTime(&b, "Retired", t.Inactive)
	writeTime(&b, "Removed", t.Delete)
	for _, s := range t.stateTimes() {
		writeTime(&b, s.name, *s.at)
	}
	writeTime(&b, "PublishCDS", t.SyncPublish)
	writeTime(&b, "DeleteCDS", t.SyncDelete)
	return b.String()
}

func writeTime(b *strings.Builder, name string, at time.Time) {
	if !at.IsZero() {
		at = at.UTC()
		fmt.Fprintf(b, "%s: %s (%s)\n", name, at.Format(timeFormat), at.Format(time.ANSIC))
	}
}

// bits is the key's length as people state it.
func (k *Key) bits() int {
	if w := k.Algorithm.width(); w > 0 {
		return 8 * w
	}
	public, err := parsePublic(k.Algorithm, k.rdata[4:])
	if p, ok := public.(*rsa.PublicKey); ok && err == nil {
		return p.N.BitLen()
	}
	return 0
}
