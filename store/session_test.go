package store

import (
	"context"
	"testing"
	"time"
)

// runSession runs a session until stop is called.
func runSession(t *testing.T, x *Session) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Session.Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestSession(t *testing.T) {
	t.Parallel()
	s := openTest(t, Config{}, t.TempDir())
	views, _ := watchTest(t, s, "w", "w/")
	x := s.NewSession(15 * time.Second) // longer than a busy machine stands still; that a lease is gone is found out within a third of it
	x.Announce("w/a", []byte("1"))
	stop := runSession(t, x)
	await(t, views, "a=1", has("w/a", "1", false))
	x.Announce("w/b", []byte("1"))
	await(t, views, "b=1", has("w/b", "1", false))
	before := s.Status().Revision
	x.Announce("w/b", []byte("1"))
	x.Announce("w/a", []byte("2"))
	v := await(t, views, "a=2", has("w/a", "2", false))
	if v.Revision != before+1 {
		t.Errorf("an unchanged value was written: revision %d after %d", v.Revision, before)
	}
	x.Withdraw("w/a")
	await(t, views, "a gone", func(v View) bool { return v.KV["w/a"] == nil })

	if _, err := s.Delete(t.Context(), "w/b"); err != nil { // by somebody else
		t.Fatal(err)
	}
	x.Repair(await(t, views, "b gone", func(v View) bool { return v.KV["w/b"] == nil }))
	await(t, views, "b repaired", has("w/b", "1", false))

	leases, err := s.cli.Leases(t.Context())
	if err != nil || len(leases.Leases) != 1 {
		t.Fatalf("leases %v, %v", leases, err)
	}
	if _, err := s.cli.Revoke(t.Context(), leases.Leases[0].ID); err != nil {
		t.Fatal(err)
	}
	await(t, views, "b gone with the lease", func(v View) bool { return v.KV["w/b"] == nil })
	await(t, views, "b under a new lease", has("w/b", "1", false))
	stop()
	await(t, views, "nothing after the end", func(v View) bool { return len(v.KV) == 0 })
}

// TestSessionWithoutEtcd: etcd is away when the session begins, and comes.
func TestSessionWithoutEtcd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	etcd := openTest(t, Config{}, dir)
	addr := hostPort(etcd)
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, Config{Endpoints: []string{"http://" + addr}}, t.TempDir())
	x := s.NewSession(2 * time.Second)
	runSession(t, x)
	x.Announce("w/a", []byte("1"))
	back := openTest(t, Config{Listen: addr}, dir)
	views, _ := watchTest(t, back, "w", "w/")
	await(t, views, "a=1", has("w/a", "1", false))
}
