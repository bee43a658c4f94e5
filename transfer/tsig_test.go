package transfer

import (
	"bytes"
	"encoding/base64"
	"errors"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var testSecret = base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))

func testKey(t testing.TB, algorithm string) *key {
	t.Helper()
	k, err := newKey("Key.Test.", Key{Algorithm: algorithm, Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// clock gives a time that tests set.
func clock(at int64) func() time.Time { return func() time.Time { return time.Unix(at, 0) } }

// TestSignatures: what another implementation signs is verified, and the reverse,
// for each algorithm, over an answer of several messages too.
func TestSignatures(t *testing.T) {
	for _, a := range algorithms {
		t.Run(a.name, func(t *testing.T) {
			k := testKey(t, a.name)
			q := new(dns.Msg).SetQuestion("example.", dns.TypeSOA)
			q.SetTsig("key.test.", a.name+".", 300, time.Now().Unix())
			msg, mac, err := dns.TsigGenerate(q, testSecret, "", false)
			if err != nil {
				t.Fatal(err)
			}
			m, err := parse(msg)
			if err != nil || m.tsig == nil {
				t.Fatalf("%v, %v", m, err)
			}
			server := session{key: k, now: time.Now}
			if err := server.verify(msg, m.tsig); err != nil {
				t.Fatalf("the request: %v", err)
			}
			client := session{key: k, now: time.Now, mac: m.tsig.mac}
			for i := range 3 {
				r := new(dns.Msg).SetReply(q)
				plain, err := r.Pack()
				if err != nil {
					t.Fatal(err)
				}
				if i == 1 { // one that is not signed itself (RFC 8945, section 5.3.1)
					copyOf := client
					if err := copyOf.verifyAnswer(plain, nil); err != nil {
						t.Errorf("a message without a signature: %v", err)
					}
				}
				signed := server.sign(plain)
				if err := dns.TsigVerify(bytes.Clone(signed), testSecret, mac, i > 0); err != nil {
					t.Errorf("message %d, other implementation: %v", i, err)
				}
				a, err := parse(signed)
				if err != nil {
					t.Fatal(err)
				}
				if err := client.verifyAnswer(signed, a.tsig); err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				var u dns.Msg
				if err := u.Unpack(signed); err != nil {
					t.Fatal(err)
				}
				mac = u.IsTsig().MAC
			}
		})
	}
}

// signedBy gives a query signed at a time, after a change of its TSIG.
func signedBy(t testing.TB, k *key, at int64, change func(s *signature)) []byte {
	t.Helper()
	plain, err := new(dns.Msg).SetQuestion("example.", dns.TypeSOA).Pack()
	if err != nil {
		t.Fatal(err)
	}
	ss := session{key: k, now: clock(at)}
	s := &signature{time: uint64(at), fudge: fudge}
	s.mac = ss.digest(s, plain)
	if change != nil {
		change(s)
	}
	return appendSignature(plain, k.name, k.alg.wire, s)
}

// TestSignaturesRefused holds RFC 8945, section 5.2.
func TestSignaturesRefused(t *testing.T) {
	const now = 1_700_000_000
	k := testKey(t, "hmac-sha256")
	for what, c := range map[string]struct {
		at     int64
		change func(s *signature)
		want   error
	}{
		"good":                     {now, nil, nil},
		"as old as may be":         {now - fudge, nil, nil},
		"too old":                  {now - fudge - 1, nil, tsigError(badTime)},
		"from the future":          {now + fudge + 1, nil, tsigError(badTime)},
		"another MAC":              {now, func(s *signature) { s.mac[3] ^= 1 }, tsigError(badSig)},
		"another time":             {now, func(s *signature) { s.time++ }, tsigError(badSig)},
		"cut to half":              {now, func(s *signature) { s.mac = s.mac[:16] }, tsigError(badTrunc)},
		"cut to half, and wrong":   {now, func(s *signature) { s.mac = s.mac[:16]; s.mac[0] ^= 1 }, tsigError(badSig)},
		"cut to half, and too old": {now - fudge - 1, func(s *signature) { s.mac = s.mac[:16] }, tsigError(badTime)},
		"cut to less":              {now, func(s *signature) { s.mac = s.mac[:15] }, errForm},
		"cut to nothing":           {now, func(s *signature) { s.mac = nil }, errForm},
		"too long":                 {now, func(s *signature) { s.mac = append(s.mac, 0) }, errForm},
	} {
		msg := signedBy(t, k, c.at, c.change)
		m, err := parse(msg)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		ss := session{key: k, now: clock(now)}
		if err := ss.verify(msg, m.tsig); !errors.Is(err, c.want) && (err != nil || c.want != nil) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	msg := signedBy(t, k, now, nil)
	m, _ := parse(msg)
	ss := session{key: testKey(t, "hmac-sha512"), now: clock(now)}
	if err := ss.verify(msg, m.tsig); !errors.Is(err, tsigError(badKey)) {
		t.Errorf("another algorithm: %v", err)
	}
}

// TestTold: what another server says of a signature is told with the key and what
// is wrong with it. Answers about keys and signatures are not signed themselves.
func TestTold(t *testing.T) {
	const now = 1_700_000_000
	k := testKey(t, "hmac-sha256")
	for _, c := range []struct {
		fault  tsigError
		server int64 // its time
		want   string
	}{
		{badKey, now, "it answers BADKEY: it does not know the key key.test. with hmac-sha256"},
		{badSig, now, "it answers BADSIG: it has another secret for the key key.test."},
		{badTime, now + 400, "it answers BADTIME: its clock is 400 s ahead of the one here, and may be 300"},
		{badTime, now - 3600, "it answers BADTIME: its clock is 3600 s behind the one here, and may be 300"},
		{badTrunc, now, "it answers BADTRUNC: the signature is cut too short"},
	} {
		client := session{key: k, now: clock(now)}
		query := client.sign(bytes.Clone([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}))
		client.timers = false
		q, err := parse(query)
		if err != nil {
			t.Fatal(err)
		}
		server := session{key: k, now: clock(c.server), mac: q.tsig.mac, sent: q.tsig.time, fault: c.fault}
		if c.fault == badSig {
			server.mac = nil
		}
		reply := bytes.Clone([]byte{0, 1, 0x80, 9, 0, 0, 0, 0, 0, 0, 0, 0})
		if c.fault == badKey {
			reply = appendSignature(reply, k.name, k.alg.wire, &signature{time: now, fudge: fudge, fault: badKey})
		} else {
			reply = server.sign(reply)
		}
		if _, err := accept(reply, query, &client); err == nil || err.Error() != c.want {
			t.Errorf("%v: %v, want %s", c.fault, err, c.want)
		}
	}
}

// TestUnsignedAnswers: of an answer to a signed question the first message must
// be signed, and one at least in a hundred.
func TestUnsignedAnswers(t *testing.T) {
	ss := session{key: testKey(t, "hmac-sha256"), now: time.Now}
	if err := ss.verifyAnswer([]byte("first"), nil); err == nil {
		t.Error("the first message need not be signed")
	}
	ss.timers = true
	for i := range maxUnsigned {
		if err := ss.verifyAnswer([]byte("more"), nil); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if err := ss.verifyAnswer([]byte("more"), nil); err == nil {
		t.Errorf("more than %d messages need not be signed", maxUnsigned)
	}
}

// FuzzParse: whatever comes, parsing ends, and a signature is judged without harm.
func FuzzParse(f *testing.F) {
	k := testKey(f, "hmac-sha256")
	f.Add(signedBy(f, k, 1_700_000_000, nil))
	u := new(dns.Msg)
	u.SetUpdate("example.")
	rr, _ := dns.NewRR("a.example. 300 IN MX 10 b.example.")
	u.Insert([]dns.RR{rr})
	u.RemoveName([]dns.RR{rr})
	u.NameNotUsed([]dns.RR{rr})
	b, err := u.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, msg []byte) {
		m, err := parse(msg)
		if err != nil || m.tsig == nil {
			return
		}
		ss := session{key: k, now: clock(1_700_000_000)}
		_ = ss.verify(msg, m.tsig)
	})
}
