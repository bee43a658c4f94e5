package dnssec

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// timeFormat is how BIND writes a time, in UTC.
const timeFormat = "20060102150405"

// times are the fields of a Timing by their names in BIND's .key and .private
// files, in the order in which BIND writes them.
func (t *Timing) times() []namedTime {
	return []namedTime{
		{"Created", &t.Created}, {"Publish", &t.Publish}, {"Activate", &t.Activate}, {"Inactive", &t.Inactive},
		{"Delete", &t.Delete}, {"SyncPublish", &t.SyncPublish}, {"SyncDelete", &t.SyncDelete},
	}
}

// stateTimes are those that only BIND's .state file has.
func (t *Timing) stateTimes() []namedTime {
	return []namedTime{{"DSPublish", &t.DSSeen}, {"DSRemoved", &t.DSGone}}
}

type namedTime struct {
	name string
	at   *time.Time
}

// BaseName is the name of the key's files without ending, as BIND makes it:
// K<zone>+<algorithm>+<tag>.
func (k *Key) BaseName() string {
	return fmt.Sprintf("K%s+%03d+%05d", fileName(k.Zone), k.Algorithm, k.tag)
}

// ReadKey reads a key from BIND's files: path.key, path.private and, if there
// is one, path.state. The path may carry one of these endings. Without
// path.private the key's public half alone is known.
func ReadKey(path string) (*Key, error) {
	for _, ending := range []string{".key", ".private", ".state"} {
		path = strings.TrimSuffix(path, ending)
	}
	k, err := readPublic(path + ".key")
	if err != nil {
		return nil, err
	}
	if err := k.readPrivate(path + ".private"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err := k.readState(path + ".state"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if base := filepath.Base(path); base != k.BaseName() {
		return nil, fmt.Errorf("%s.key: the key in it is %s, by its zone, algorithm and tag", path, k.BaseName())
	}
	return k, nil
}

// readPublic reads a .key file: a DNSKEY record, and times in comments.
func readPublic(path string) (*Key, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	records := dns.NewZoneParser(bytes.NewReader(text), ".", path)
	records.SetDefaultTTL(0)
	var record *dns.DNSKEY
	for rr, ok := records.Next(); ok; rr, ok = records.Next() {
		if k, is := rr.(*dns.DNSKEY); is && record == nil {
			record = k
		} else {
			return nil, fmt.Errorf("%s: there is more in it than one DNSKEY record", path)
		}
	}
	if err := records.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if record == nil {
		return nil, fmt.Errorf("%s: there is no DNSKEY record in it", path)
	}
	zone, err := dnsname.Parse(record.Hdr.Name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	public, err := base64.StdEncoding.DecodeString(record.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%s: the public key is not in base64: %w", path, err)
	}
	k, err := newKey(zone, append([]byte{byte(record.Flags >> 8), byte(record.Flags), record.Protocol, record.Algorithm}, public...), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	k.TTL = record.Hdr.Ttl
	if err := readFields(text).readTimes(path, k.Timing.times()); err != nil {
		return nil, err
	}
	return k, nil
}

// HasLeft tells whether a .key file, whatever it is a key of, says that its key was
// taken out of its zone before now; BIND keeps the files of such keys. Where there is a
// .state file that counts, since the time alone is what was meant to be: a key stays on
// as long as the parent names it.
func HasLeft(path string, now time.Time) bool {
	text, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	var t Timing
	err = readFields(text).readTimes(path, t.times())
	if err != nil || !reached(t.Delete, now) {
		return false
	}
	state, err := os.ReadFile(strings.TrimSuffix(path, ".key") + ".state")
	return errors.Is(err, fs.ErrNotExist) || err == nil && readFields(state)["DNSKEYState"] == "hidden"
}

// readPrivate reads a .private file: the numbers that are secret, and times.
func (k *Key) readPrivate(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f := readFields(text)
	if v := f["Private-key-format"]; v != "v1.2" && v != "v1.3" {
		return fmt.Errorf("%s: Private-key-format: %q is none that is known: v1.2 or v1.3", path, v)
	}
	if number, _, _ := strings.Cut(f["Algorithm"], " "); number != fmt.Sprint(uint8(k.Algorithm)) {
		return fmt.Errorf("%s: Algorithm: %q, but the public key has %d", path, f["Algorithm"], uint8(k.Algorithm))
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o007 != 0 {
		return fmt.Errorf("%s: everybody may open it (mode %04o): a private key must not be exposed; chmod 600 it", path, info.Mode().Perm())
	}
	private, err := f.private(k)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	whole, err := newKey(k.Zone, k.rdata, private)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	k.private = whole.private
	return f.readTimes(path, k.Timing.times())
}

// readState reads a .state file, which tells what the others cannot: whether a
// key with the flag SEP signs the zone as well, and what the parent has.
func (k *Key) readState(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f := readFields(text)
	k.told = true
	switch [2]bool{f["KSK"] == "yes", f["ZSK"] == "yes"} {
	case [2]bool{true, true}:
		k.Role = CSK
	case [2]bool{true, false}:
		k.Role = KSK
	case [2]bool{false, true}:
		k.Role = ZSK
	default:
		k.told = false
	}
	return f.readTimes(path, k.Timing.stateTimes())
}

// fields are the lines "Name: value" of a file of BIND's, in a comment or not.
type fields map[string]string

func readFields(text []byte) fields {
	f := make(fields)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "; "), ":"); ok {
			f[name] = strings.TrimSpace(value)
		}
	}
	return f
}

func (f fields) readTimes(path string, into []namedTime) error {
	for _, t := range into {
		value, ok := f[t.name]
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(value, " ") // the time for people follows
		at, err := time.Parse(timeFormat, value)
		if err != nil {
			return fmt.Errorf("%s: %s: %q is not a time such as 20260102030405", path, t.name, value)
		}
		*t.at = at
	}
	return nil
}

// bytes reads a field in base64.
func (f fields) bytes(name string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(f[name])
	if err != nil {
		return nil, fmt.Errorf("%s: not in base64", name)
	}
	if len(b) == 0 {
		return nil, fmt.Errorf("%s is missing", name)
	}
	return b, nil
}

// private makes the private key of a .private file's fields. Which ones there
// are is RFC 6605, section 6, for ECDSA, RFC 8080, section 6, for Ed25519 and
// BIND's own for RSA.
func (f fields) private(k *Key) (crypto.Signer, error) {
	if !slices.Contains([]Algorithm{RSASHA256, RSASHA512}, k.Algorithm) {
		b, err := f.bytes("PrivateKey")
		if err != nil {
			return nil, err
		}
		// BIND leaves out the leading zeros of a private key of ECDSA, which one in 256 has.
		if short := k.Algorithm.width() - len(b); short > 0 && short < 4 && k.Algorithm != ED25519 {
			b = append(make([]byte, short, k.Algorithm.width()), b...)
		}
		if len(b) != k.Algorithm.width() {
			return nil, fmt.Errorf("PrivateKey: %d octets, %s has %d", len(b), k.Algorithm, k.Algorithm.width())
		}
		switch k.Algorithm {
		case ECDSAP256SHA256:
			return ecdsa.ParseRawPrivateKey(elliptic.P256(), b)
		case ECDSAP384SHA384:
			return ecdsa.ParseRawPrivateKey(elliptic.P384(), b)
		}
		return ed25519.NewKeyFromSeed(b), nil
	}
	var numbers []*big.Int
	for _, name := range []string{"Modulus", "PublicExponent", "PrivateExponent", "Prime1", "Prime2"} {
		b, err := f.bytes(name)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, new(big.Int).SetBytes(b))
	}
	if numbers[1].BitLen() > 31 {
		return nil, errors.New("PublicExponent: larger than any that is in use")
	}
	private := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: numbers[0], E: int(numbers[1].Int64())},
		D:         numbers[2], Primes: numbers[3:],
	}
	private.Precompute()
	if err := private.Validate(); err != nil {
		return nil, err
	}
	return private, nil
}
