package dnssec

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"gslb/test/bed"
)

var allAlgorithms = []Algorithm{ECDSAP256SHA256, ECDSAP384SHA384, ED25519, RSASHA256, RSASHA512}

// generate runs BIND's dnssec-keygen and gives the key's path.
func generate(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := exec.Command(tool(t, "dnssec-keygen"), append([]string{"-q", "-K", dir}, args...)...).Output()
	if err != nil {
		t.Fatalf("dnssec-keygen %v: %v", args, err)
	}
	return filepath.Join(dir, strings.TrimSpace(string(out)))
}

// Keys that BIND makes are read with all their times, sign, and are written as
// BIND reads them.
func TestKeysOfBIND(t *testing.T) {
	bed.OneGoroutine(t)
	settime := tool(t, "dnssec-settime")
	timing := Timing{
		Publish: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC), Activate: time.Date(2027, 2, 2, 3, 4, 5, 0, time.UTC),
		Inactive: time.Date(2027, 3, 2, 3, 4, 5, 0, time.UTC), Delete: time.Date(2027, 4, 2, 3, 4, 5, 0, time.UTC),
		SyncPublish: time.Date(2027, 1, 3, 3, 4, 5, 0, time.UTC), SyncDelete: time.Date(2027, 3, 3, 3, 4, 5, 0, time.UTC),
	}
	for _, alg := range allAlgorithms {
		for _, zone := range []string{"example.com.", ".", `a\.b/c.Example.`} {
			if alg.width() == 0 && zone != "." {
				continue // making these takes long
			}
			args := []string{"-a", alg.String(), "-P", "20270102030405", "-A", "20270202030405", "-I", "20270302030405",
				"-D", "20270402030405", "-P", "sync", "20270103030405", "-D", "sync", "20270303030405", "-L", "7200", "-f", "KSK"}
			if alg.width() == 0 {
				args = append(args, "-b", "2048")
			}
			theirs := generate(t, t.TempDir(), append(args, zone)...)
			folder := Folder(filepath.Join(t.TempDir(), "new", "folder"))
			k, err := folder.Import(theirs + ".private")
			if err != nil {
				t.Fatalf("%s %s: %v", alg, zone, err)
			}
			want := timing
			want.Created = k.Timing.Created
			if k.Timing != want || k.Timing.Created.IsZero() || k.TTL != 7200 || k.Flags() != 257 || k.Algorithm != alg || k.Role != KSK || !k.CanSign() {
				t.Errorf("%s: %s: %+v", theirs, k, k)
			}
			keys, err := folder.Load(mustName(t, zone))
			if err != nil || len(keys) != 1 || keys[0].Timing != k.Timing || !bytes.Equal(keys[0].DNSKEY(), k.DNSKEY()) || keys[0].TTL != k.TTL {
				t.Fatalf("%s: read again: %v, %v", theirs, keys, err)
			}
			path := filepath.Join(string(folder), k.BaseName())
			out, err := exec.Command(settime, "-p", "all", path).CombinedOutput()
			theirOut, theirErr := exec.Command(settime, "-p", "all", theirs).CombinedOutput()
			if err != nil || theirErr != nil || !bytes.Equal(out, theirOut) {
				t.Errorf("%s: dnssec-settime says of ours:\n%s%v\nof theirs:\n%s%v", alg, out, err, theirOut, theirErr)
			}
			ours, _ := os.ReadFile(path + ".private")
			original, _ := os.ReadFile(theirs + ".private")
			if !bytes.Equal(ours, original) {
				t.Errorf("%s: the private file is another one", alg)
			}
			if info, err := os.Stat(path + ".private"); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
}

// Keys made here are known to BIND, with the same tag and DS.
func TestKeysMadeHere(t *testing.T) {
	bed.OneGoroutine(t)
	fromkey := tool(t, "dnssec-dsfromkey")
	for _, alg := range allAlgorithms {
		for _, role := range []Role{KSK, ZSK, CSK} {
			if alg.width() == 0 && role != CSK {
				continue
			}
			folder := Folder(t.TempDir())
			k, err := folder.Generate(mustName(t, "Example.COM."), alg, 0, role, Timing{Created: testTime, Publish: testTime, DSSeen: testTime, DSGone: testTime.Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			keys, err := folder.Load(mustName(t, "example.com"))
			if err != nil || len(keys) != 1 || keys[0].Timing != k.Timing || keys[0].Role != role || keys[0].Tag() != k.Tag() {
				t.Fatalf("%s: %v, %v", k, keys, err)
			}
			record := recordOf(t, k.Zone, dns.TypeDNSKEY, dns.ClassINET, 0, k.DNSKEY()).(*dns.DNSKEY)
			if record.KeyTag() != k.Tag() {
				t.Errorf("%s: tag %d by the library", k, record.KeyTag())
			}
			for digest, option := range map[DigestType]string{SHA256: "SHA-256", SHA384: "SHA-384"} {
				out, err := exec.Command(fromkey, "-A", "-a", option, filepath.Join(string(folder), k.BaseName())).CombinedOutput()
				ds := k.DS(digest)
				want := fmt.Sprintf("example.com. IN DS %d %d %d %s\n", k.Tag(), alg, digest, strings.ToUpper(hex.EncodeToString(ds[4:])))
				if err != nil || string(out) != want {
					t.Errorf("%s: dnssec-dsfromkey: %s%v; here %s", k, out, err, want)
				}
				if !k.NamedBy([][]byte{{1}, ds}) || mustKey(t, "example.com", ED25519, KSK).NamedBy([][]byte{ds}) {
					t.Errorf("%s: NamedBy", k)
				}
			}
		}
	}
}

// A zone of which only CSKs are known comes from BIND with keys that have the
// flag SEP and sign all.
func TestRolesFromTheFolder(t *testing.T) {
	dir := t.TempDir()
	generate(t, dir, "-a", "13", "-f", "KSK", "example.com")
	keys, err := Folder(dir).Load(mustName(t, "example.com"))
	if err != nil || len(keys) != 1 || keys[0].Role != CSK {
		t.Errorf("one key with SEP: %v, %v", keys, err)
	}
	generate(t, dir, "-a", "13", "example.com")
	generate(t, dir, "-a", "13", "-f", "KSK", "sub.example.com")
	keys, err = Folder(dir).Load(mustName(t, "example.com"))
	if err != nil || len(keys) != 2 || keys[0].Role == CSK || keys[1].Role == CSK || keys[0].Role == keys[1].Role {
		t.Errorf("with a ZSK: %v, %v", keys, err)
	}
	policy := t.TempDir()
	generate(t, policy, "-k", "default", "-l", "/dev/null", "example.com")
	keys, err = Folder(policy).Load(mustName(t, "example.com"))
	if err != nil || len(keys) != 1 || keys[0].Role != CSK {
		t.Errorf("of a dnssec-policy: %v, %v", keys, err)
	}
	if none, err := Folder(filepath.Join(dir, "none")).Load(mustName(t, "example.com")); err != nil || none != nil {
		t.Errorf("no folder: %v, %v", none, err)
	}
}

// BIND writes a private key of ECDSA without its leading zeros.
func TestPrivateKeyWithoutLeadingZeros(t *testing.T) {
	var k *Key
	var text, written string
	var octets []byte
	for range 100_000 { // one in 256 will do
		k = mustKey(t, "example.com.", ECDSAP256SHA256, KSK)
		text = k.privateText()
		_, rest, _ := strings.Cut(text, "PrivateKey: ")
		written, _, _ = strings.Cut(rest, "\n")
		var err error
		if octets, err = base64.StdEncoding.DecodeString(written); err != nil {
			t.Fatal(err)
		}
		if octets[0] == 0 {
			break
		}
	}
	folder := Folder(t.TempDir())
	if err := folder.Save(k); err != nil {
		t.Fatal(err)
	}
	short := strings.Replace(text, written, base64.StdEncoding.EncodeToString(bytes.TrimLeft(octets, "\x00")), 1)
	if err := os.WriteFile(filepath.Join(string(folder), k.BaseName()+".private"), []byte(short), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := folder.Load(k.Zone)
	if err != nil || len(keys) != 1 || !keys[0].CanSign() || !bytes.Equal(keys[0].DNSKEY(), k.DNSKEY()) {
		t.Errorf("%v, %v", keys, err)
	}
}

// Files that are not right are told by path and fault, and nothing is loaded.
func TestBadKeyFiles(t *testing.T) {
	good := mustKey(t, "example.com.", ECDSAP256SHA256, KSK)
	other := mustKey(t, "example.com.", ECDSAP256SHA256, KSK)
	tests := []struct {
		ending string
		change func(string) string
		mode   os.FileMode
		want   string
	}{
		{".key", func(string) string { return "" }, 0o644, ".key: there is no DNSKEY"},
		{".key", func(s string) string { return s + "example.com. IN A 192.0.2.1\n" }, 0o644, "more in it than one DNSKEY"},
		{".key", func(s string) string { return strings.Replace(s, "257 3 13", "257 3 7", 1) }, 0o644, "algorithm 7 is not one to sign with"},
		{".key", func(s string) string { return strings.Replace(s, "257 3 13", "385 3 13", 1) }, 0o644, "revoked"},
		{".key", func(s string) string { return strings.Replace(s, "257 3 13", "1 3 13", 1) }, 0o644, "not a zone's"},
		{".key", func(s string) string { return strings.Replace(s, "257 3 13", "257 3 15", 1) }, 0o644, "none of ED25519"},
		{".key", func(s string) string { return strings.Replace(s, "Publish: 2026", "Publish: soon", 1) }, 0o644, `Publish: "soon`},
		{".key", func(s string) string { return strings.Replace(s, "example.com. IN", "example.net. IN", 1) }, 0o644, "the key in it is Kexample.net."},
		{".key", func(string) string { return other.publicText() }, 0o644, "does not belong"},
		{".private", func(string) string { return other.privateText() }, 0o600, ".private: the private key does not belong"},
		{".private", func(s string) string { return s }, 0o644, "everybody may open it (mode 0644)"},
		{".private", func(s string) string { return strings.Replace(s, "v1.3", "v9", 1) }, 0o600, "Private-key-format"},
		{".private", func(s string) string { return strings.Replace(s, "Algorithm: 13", "Algorithm: 8", 1) }, 0o600, "but the public key has 13"},
		{".private", func(s string) string { return strings.Replace(s, "PrivateKey: ", "PrivateKey: *", 1) }, 0o600, "PrivateKey: not in base64"},
		{".private", func(s string) string { return strings.Replace(s, "PrivateKey: ", "Nothing: ", 1) }, 0o600, "PrivateKey is missing"},
		{".private", func(string) string {
			return "Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: AAAA\n"
		}, 0o600, "PrivateKey: 3 octets"},
		{".private", func(s string) string { return strings.Replace(s, "Created: 2026", "Created: 20269", 1) }, 0o600, "Created: "},
		{".state", func(s string) string { return s + "DSPublish: never\n" }, 0o644, `.state: DSPublish: "never"`},
	}
	for _, test := range tests {
		folder := Folder(t.TempDir())
		if err := folder.Save(good); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(string(folder), good.BaseName()) + test.ending
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(test.change(string(text))), test.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, test.mode); err != nil {
			t.Fatal(err)
		}
		keys, err := folder.Load(good.Zone)
		if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), string(folder)) || keys != nil {
			t.Errorf("%v; want …%s…", err, test.want)
		}
	}
	folder := Folder(t.TempDir())
	if err := folder.Save(good); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(string(folder), good.BaseName()+".private")); err != nil {
		t.Fatal(err)
	}
	keys, err := folder.Load(good.Zone)
	if err != nil || len(keys) != 1 || keys[0].CanSign() {
		t.Errorf("a public half: %v, %v", keys, err)
	}
	if _, err := Folder(t.TempDir()).Import(filepath.Join(string(folder), good.BaseName())); err == nil || !strings.Contains(err.Error(), "no private key") {
		t.Errorf("import of a public half: %v", err)
	}
}

// A DNSKEY of RSA that is short, and RSA of any length that is asked for.
func TestRSALengths(t *testing.T) {
	for _, bits := range []int{1, 1024, 2047, 8192} {
		if _, err := Generate(mustName(t, "example."), RSASHA256, bits, KSK, Timing{}); err == nil || !strings.Contains(err.Error(), "2048 to 4096") {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
	short := generate(t, t.TempDir(), "-a", "RSASHA256", "-b", "1024", "example.com")
	if _, err := ReadKey(short); err == nil || !strings.Contains(err.Error(), "an RSA key of 1024 bits") {
		t.Errorf("imported: %v", err)
	}
}

// Writing fails as a whole: what was there stays.
func TestSaveDoesNotOverwriteAnother(t *testing.T) {
	folder := Folder(t.TempDir())
	k := mustKey(t, "example.", ED25519, KSK)
	if err := folder.Save(k); err != nil {
		t.Fatal(err)
	}
	impostor := *mustKey(t, "example.", ED25519, KSK)
	impostor.tag = k.tag
	if err := folder.Save(&impostor); err == nil || !strings.Contains(err.Error(), "another key of the same tag") {
		t.Errorf("%v", err)
	}
	if err := folder.Save(k.WithTiming(Timing{Delete: testTime})); err != nil {
		t.Fatal(err)
	}
	keys, err := folder.Load(k.Zone)
	if err != nil || len(keys) != 1 || (keys[0].Timing != Timing{Delete: testTime}) {
		t.Errorf("%v, %v", keys, err)
	}
	if err := folder.Remove(k); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(string(folder)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestParseAlgorithm(t *testing.T) {
	for s, want := range map[string]Algorithm{"ECDSAP256SHA256": 13, "ecdsap256": 13, "ecdsap384": 14, "ed25519": 15, "15": 15, "RSASHA256": 8, "10": 10, "rsa": 0, "": 0, "5": 0, "RSASHA1": 0} {
		if got, err := ParseAlgorithm(s); got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
}
