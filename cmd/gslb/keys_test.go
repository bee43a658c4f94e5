package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"gslb/dnssec"
	"gslb/test/bed"
)

const keysConfig = `
[dns]
listen = ["127.0.0.1:0"]
[node]
keys = "keys"
NODE
[[zone]]
name = "abc.com."
file = "abc.com.zone"
dnssec = "default"
[[zone]]
name = "two.example."
file = "abc.com.zone"
dnssec = "two"
[[zone]]
name = "plain.example."
file = "abc.com.zone"
[dnssec.two]
csk = false
algorithm = "ed25519"
`

// keysFile writes a configuration with signed zones; node stands in [node].
func keysFile(t *testing.T, node string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "abc.com.zone"), checkedZone)
	path := filepath.Join(dir, "gslb.toml")
	write(t, path, strings.Replace(keysConfig, "NODE", node, 1))
	return path
}

// runKeys runs gslb keys, which must succeed.
func runKeys(t *testing.T, config, args string) string {
	t.Helper()
	out, faults, err := runGSLB(append([]string{"keys", "-config", config}, strings.Fields(args)...)...)
	if err != nil || faults != "" {
		t.Fatalf("gslb keys %s: %v\n%s%s", args, err, out, faults)
	}
	return out
}

func wantText(t *testing.T, what, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("%s: want %q in\n%s", what, w, got)
		}
	}
}

// TestKeysStory follows a zone from its first key to a roll, as an operator does.
func TestKeysStory(t *testing.T) {
	config := keysFile(t, "")
	wantText(t, "list", runKeys(t, config, "list"), "abc.com.", "no keys yet", "two.example.")
	wantText(t, "list, by another word", runKeys(t, config, "show"), "abc.com.", "no keys yet", "two.example.")
	wantText(t, "new", runKeys(t, config, "new abc.com"), "CSK", "its DS is not to be at the parent yet", "next: its DS can go to the parent at ")
	if again := runKeys(t, config, "new abc.com"); strings.Count(again, "CSK") != 1 {
		t.Errorf("new again makes another key:\n%s", again)
	}
	wantText(t, "new of two", runKeys(t, config, "make two.example"), "KSK", "ZSK", "ED25519", "signs the keys", "signs the zone")
	store := dnssec.Folder(filepath.Join(filepath.Dir(config), "keys"))
	keys, err := store.Load([]byte("\x03abc\x03com\x00"))
	if err != nil || len(keys) != 1 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, command := range []string{"ds abc.com", "export-ds abc.com."} {
		wantText(t, command, runKeys(t, config, command), "abc.com. IN DS "+dsText(keys[0].DS(dnssec.SHA256))+"\n",
			"abc.com. IN DS "+dsText(keys[0].DS(dnssec.SHA384))+"\n", "abc.com. IN CDS ", "abc.com. IN CDNSKEY 257 3 13 ")
	}
	if _, _, err := runGSLB("keys", "roll", "abc.com", "-config", config); err == nil || !strings.Contains(err.Error(), "its DS is not confirmed") {
		t.Errorf("a roll before the DS is there: %v", err)
	}
	wantText(t, "seen", runKeys(t, config, "seen abc.com"), "the parent has its DS", takenUp)
	wantText(t, "seen again", runKeys(t, config, "seen abc.com"), "nothing is changed")
	wantText(t, "roll", runKeys(t, config, "roll abc.com"), "was made to follow", "signs the keys", "next: begins to sign at", takenUp)
	wantText(t, "roll of two", runKeys(t, config, "roll two.example ZSK"), "published, does not sign yet", "next: stops signing at")
	wantText(t, "gone", runKeys(t, config, "gone abc.com"), "does not have its DS any more", "caches may hold the DS until")
	keys, err = store.Load([]byte("\x03two\x07example\x00"))
	if err != nil || len(keys) != 3 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	wantText(t, "retire", runKeys(t, config, "retire two.example "+regexp.MustCompile(`\d+$`).FindString(strings.TrimPrefix(keys[0].BaseName(), "K"))), "is to go")
}

func TestKeysRefuse(t *testing.T) {
	config, other := keysFile(t, ""), keysFile(t, "maintain_keys = false")
	for _, tt := range []struct {
		config, args, want string
		usage              bool
	}{
		{config, "ds abc.com", "has no keys in", false},
		{config, "sen abc.com", `there is no command "sen"; did you mean "seen"?`, true},
		{config, "roll", "gslb keys roll: want ZONE", true},
		{config, "roll abc.com kks", `"kks": want ksk, zsk or csk`, true},
		{config, "roll abc.com zsk", "there is no ZSK to be rolled", false},
		{config, "ds abc.com x", `"x": want a key's tag`, true},
		{config, "retire abc.com", "and the key's TAG", true},
		{config, "retire abc.com 1", "abc.com. has ", false},
		{config, "new abd.com", `has no zone of that name; did you mean "abc.com."?`, false},
		{config, "new plain.example", `write dnssec = "default"`, false},
		{config, "import abc.com", "at least one FILE", true},
		{config, "import abc.com /nowhere", "/nowhere", false},
		{other, "roll abc.com", "maintain_keys = false", false},
		{other, "seen abc.com", "maintain_keys = false", false},
	} {
		_, _, err := runGSLB(append([]string{"keys", "-config", tt.config}, strings.Fields(tt.args)...)...)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), tt.want) || errors.As(err, &usage) != tt.usage {
			t.Errorf("gslb keys %s: %v, want %q (usage: %v)", tt.args, err, tt.want, tt.usage)
		}
	}
	wantText(t, "list elsewhere", runKeys(t, other, "list"), "made and rolled by another node")
	wantText(t, "list of a plain zone", runKeys(t, config, "list plain.example"), "the zone is not signed here")
}

// TestKeysOfDNSSECKeygen: keys that BIND made are taken over, and their DS is
// what BIND says.
func TestKeysOfDNSSECKeygen(t *testing.T) {
	for _, tool := range []string{"dnssec-keygen", "dnssec-dsfromkey"} {
		if _, err := exec.LookPath(tool); err != nil {
			bed.Missing(t, "%s is not installed", tool)
		}
	}
	config, from := keysFile(t, ""), t.TempDir()
	for _, args := range [][]string{{"-a", "ECDSAP256SHA256", "-f", "KSK", "abc.com"}, {"-a", "ECDSAP256SHA256", "abc.com"}} {
		if out, err := exec.Command("dnssec-keygen", append([]string{"-K", from}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	wantText(t, "import", runKeys(t, config, "import abc.com "+from), "KSK", "ZSK", "was taken over", takenUp,
		`the policy wants ECDSAP256SHA256 (CSK): all keys are rolled to that, step by step. Keys as these stay with algorithm = "ECDSAP256SHA256" and csk = false`)
	files, err := filepath.Glob(filepath.Join(filepath.Dir(config), "keys", "*.private"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f, info.Mode(), err)
		}
	}
	keys, err := dnssec.Folder(from).Load([]byte("\x03abc\x03com\x00"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		if k.Role != dnssec.KSK {
			continue
		}
		out, err := exec.Command("dnssec-dsfromkey", "-2", filepath.Join(from, k.BaseName())).Output()
		if err != nil {
			t.Fatal(err)
		}
		wantText(t, "ds", runKeys(t, config, "ds abc.com"), strings.TrimSpace(string(out))+"\n")
	}
	if plan := dnssec.DefaultPolicy.Step(keys, time.Now()); len(plan.SignZone) != 1 {
		t.Errorf("%d keys sign the zone", len(plan.SignZone))
	}
}

// TestKeysThatAreLost: who looks, or checks, is told what a start would be refused for.
func TestKeysThatAreLost(t *testing.T) {
	config := keysFile(t, "")
	state := filepath.Join(filepath.Dir(config), "gslb-data", "dnssec")
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(state, "abc.com.signatures"), "")
	wantText(t, "list", runKeys(t, config, "list"), "! none of its keys is in", "gslb keys new abc.com.", "no keys yet: the node makes them when it starts, gslb keys new two.example.")
	if _, faults, err := runGSLB("check", "-config", config); err == nil || !strings.Contains(faults+err.Error(), "zone abc.com.: none of its keys is in") {
		t.Errorf("check: %v, %s", err, faults)
	}
	wantText(t, "new", runKeys(t, config, "new abc.com"), "CSK")
	if _, faults, err := runGSLB("check", "-config", config); err != nil {
		t.Errorf("check with other keys: %v, %s", err, faults)
	}
}
