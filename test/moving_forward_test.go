package test

import (
	"fmt"
	"strings"
	"testing"
)

const (
	farKey = "far.test." // that the secondary does not know
	farSec = "ZmFyLWZhci1mYXItZmFyLWZhci1mYXItZmFyLWZhci0="
	farY   = "hmac-sha256:" + farKey + ":" + farSec
)

// TestUpdatesForwarded: a secondary passes updates on to a primary of another make, with signatures
// of keys that it does not know itself, and what the primary says to that back.
func TestUpdatesForwarded(t *testing.T) {
	needTool(t, "nsupdate")
	for _, name := range []string{"BIND", "Knot"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at, dir := freeAddress(t), t.TempDir()
			zone := writeZone(t, dir, 10, "")
			var primary *another
			if name == "BIND" {
				primary = startBIND(t, at, fmt.Sprintf(`key %[1]q { algorithm hmac-sha256; secret %[2]q; };
zone "example" { type primary; file %[3]q; allow-update { key %[1]q; }; allow-transfer { key %[4]q; }; };`, farKey, farSec, zone, moveKey))
			} else {
				primary = startKnot(t, at, fmt.Sprintf(`key:
  - id: %[1]s
    algorithm: hmac-sha256
    secret: %[2]s
acl:
  - id: far
    key: %[1]s
    action: update
  - id: move
    key: %[4]s
    action: transfer
zone:
  - domain: example
    file: %[3]q
    acl: [far, move]
    semantic-checks: off
`, farKey, farSec, zone, moveKey))
			}
			hasSerial(t, at, "example.", 10)
			m := startMover(t, dir, freeAddress(t), fmt.Sprintf(`[[zone]]
name = "example."
primaries = [{ address = %q, key = %q }]
forward_updates = [{ network = "127.0.0.0/8" }]

[[zone]]
name = "near.example."
primaries = [{ address = %[1]q, key = %[2]q }]
forward_updates = [{ key = %[3]q }]
`, at, moveKey, otherKey))
			hasSerial(t, m.dns, "example.", 10)
			for _, c := range []struct {
				what, key, script, want string
				serial                  uint32
				flags                   []string
			}{
				{"over UDP", farY, "update add a.example. 60 A 192.0.2.1\nsend", "", 11, nil},
				{"over TCP", farY, "update add b.example. 60 A 192.0.2.1\nsend", "", 12, []string{"-v"}},
				{"a prerequisite that is not met", farY, "prereq yxdomain c.example.\nupdate add c.example. 60 A 192.0.2.1\nsend", "NXDOMAIN", 12, nil},
				{"a key that the primary does not let change anything", moveY, "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend", map[string]string{"BIND": "REFUSED", "Knot": "NOTAUTH"}[name], 12, nil},
				{"no key", "", "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend", map[string]string{"BIND": "REFUSED", "Knot": "NOTAUTH"}[name], 12, nil},
				{"another secret", "hmac-sha256:" + farKey + ":" + moveSecret, "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend", "BADSIG", 12, nil},
				{"a client who may not", farY, "zone near.example.\nupdate add d.near.example. 60 A 192.0.2.1\nsend", "BADKEY", 12, nil},
			} {
				r := nsupdate(t, m.dns, c.key, c.script, c.flags...)
				if said := r.out + r.err; c.want == "" && (said != "" || r.code != 0) || !strings.Contains(said, c.want) {
					t.Errorf("%s: nsupdate says %q (exit code %d), want %q", c.what, said, r.code, c.want)
				}
				hasSerial(t, at, "example.", c.serial)
				hasSerial(t, m.dns, "example.", c.serial)
			}
			m.says("passed on an update")
			primary.Kill()
			r := nsupdate(t, m.dns, farY, "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend")
			if !strings.Contains(r.out+r.err, "SERVFAIL") {
				t.Errorf("without the primary nsupdate says %q", r.out+r.err)
			}
		})
	}
}

// TestUpdatesInARing: two servers that take each other for the primary do not pass an update on
// for ever.
func TestUpdatesInARing(t *testing.T) {
	t.Parallel()
	needTool(t, "nsupdate")
	a, b := freeAddress(t), freeAddress(t)
	zone := "[[zone]]\nname = \"example.\"\nprimaries = [{ address = %q }]\nforward_updates = [{ network = \"127.0.0.0/8\" }]\n"
	m := startMover(t, t.TempDir(), a, fmt.Sprintf(zone, b))
	other := startMover(t, t.TempDir(), b, fmt.Sprintf(zone, a))
	r := nsupdate(t, m.dns, moveY, "zone example.\nupdate add d.example. 60 A 192.0.2.1\nsend")
	if !strings.Contains(r.out+r.err, "SERVFAIL") {
		t.Errorf("nsupdate says %q (exit code %d)", r.out+r.err, r.code)
	}
	other.says("64 are on their way already")
}
