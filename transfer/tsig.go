package transfer

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/miekg/dns"

	"gslb/dnsname"
)

// fudge is how far clocks may be apart, in seconds (RFC 8945, section 10).
const fudge = 300

// algorithm is one of those of RFC 8945, section 6; HMAC-MD5 is not among them.
type algorithm struct {
	name string // as configuration writes it
	wire []byte // a domain name
	new  func() hash.Hash
}

var algorithms = []algorithm{
	{"hmac-sha1", []byte("\x09hmac-sha1\x00"), sha1.New},
	{"hmac-sha224", []byte("\x0bhmac-sha224\x00"), sha256.New224},
	{"hmac-sha256", []byte("\x0bhmac-sha256\x00"), sha256.New},
	{"hmac-sha384", []byte("\x0bhmac-sha384\x00"), sha512.New384},
	{"hmac-sha512", []byte("\x0bhmac-sha512\x00"), sha512.New},
}

func algorithmNamed(name string) *algorithm {
	for i := range algorithms {
		if algorithms[i].name == name {
			return &algorithms[i]
		}
	}
	return nil
}

func algorithmNames() (all []string) {
	for _, a := range algorithms {
		all = append(all, fmt.Sprintf("%q", a.name))
	}
	return all
}

// key is a TSIG key, ready for use.
type key struct {
	name   []byte // wire form, lower case
	alg    *algorithm
	secret []byte
}

// same tells whether keys, nil for none, sign alike.
func (k *key) same(o *key) bool {
	if k == nil || o == nil {
		return k == o
	}
	return string(k.name) == string(o.name) && k.alg == o.alg && string(k.secret) == string(o.secret)
}

// newKey reads the secret of a key of the configuration.
func newKey(name string, cfg Key) (*key, error) {
	cfg = cfg.WithDefaults()
	wire, err := dnsname.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("[tsig.%q]: %w", name, err)
	}
	k := &key{name: lowered(wire), alg: algorithmNamed(cfg.Algorithm)}
	if k.alg == nil {
		return nil, fmt.Errorf("[tsig.%q]: algorithm %q is not known", name, cfg.Algorithm)
	}
	if k.secret, err = cfg.read(); err != nil {
		return nil, fmt.Errorf("[tsig.%q]: secret: %w", name, err)
	}
	return k, nil
}

// signature is a TSIG record (RFC 8945, section 4.2).
type signature struct {
	at       int // where the record begins in its message
	key, alg []byte
	time     uint64 // Unix time, 48 bits
	fudge    uint16
	mac      []byte
	id       uint16
	fault    uint16 // the Error field
	other    []byte
}

// TSIG errors, for the Error field (RFC 8945, section 3).
const (
	badSig   = 16
	badKey   = 17
	badTime  = 18
	badTrunc = 22
)

// tsigError is a signature that is not accepted.
type tsigError uint16

func (e tsigError) Error() string {
	return map[tsigError]string{badSig: "BADSIG: the signature is not one of this key", badKey: "BADKEY: the key or its algorithm is not known here",
		badTime: "BADTIME: the clocks are too far apart", badTrunc: "BADTRUNC: the signature is cut too short"}[e]
}

var errForm = errors.New("the message is malformed")

// parseSignature reads the data of a TSIG record.
func parseSignature(owner, data []byte, at int) (*signature, error) {
	s := &signature{at: at, key: lowered(owner)}
	n := dnsname.Len(data)
	if n < 0 || len(data) < n+16 {
		return nil, errForm
	}
	s.alg = lowered(data[:n])
	data = data[n:]
	s.time = uint64(binary.BigEndian.Uint16(data))<<32 | uint64(binary.BigEndian.Uint32(data[2:]))
	s.fudge = binary.BigEndian.Uint16(data[6:])
	size := int(binary.BigEndian.Uint16(data[8:]))
	if data = data[10:]; len(data) < size+6 {
		return nil, errForm
	}
	s.mac, data = data[:size], data[size:]
	s.id, s.fault = binary.BigEndian.Uint16(data), binary.BigEndian.Uint16(data[2:])
	if s.other = data[6:]; len(s.other) != int(binary.BigEndian.Uint16(data[4:])) {
		return nil, errForm
	}
	return s, nil
}

// session signs and verifies the messages of one exchange, each of which covers
// the one before it (RFC 8945, section 5.3). Without a key it does nothing.
type session struct {
	key    *key
	mac    []byte // of the message before
	timers bool   // the next message is a later one of several
	now    func() time.Time
	// unsigned holds the messages of several that came without a TSIG since the
	// last one that had it (section 5.3.1).
	unsigned [][]byte
	fault    tsigError // to be told with the answer
	sent     uint64    // the client's time, for BADTIME
}

// maxUnsigned is how many messages in a row may come without a TSIG (RFC 8945,
// section 5.3.1).
const maxUnsigned = 99

// digest computes the MAC over messages, of which the last is signed as s says.
func (ss *session) digest(s *signature, messages ...[]byte) []byte {
	h := hmac.New(ss.key.alg.new, ss.key.secret)
	if len(ss.mac) > 0 {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(ss.mac))))
		h.Write(ss.mac)
	}
	for _, m := range messages {
		h.Write(m)
	}
	var b []byte
	if !ss.timers {
		b = append(b, ss.key.name...)
		b = append(b, 0, dns.ClassANY, 0, 0, 0, 0)
		b = append(b, ss.key.alg.wire...)
	}
	b = append(b, byte(s.time>>40), byte(s.time>>32), byte(s.time>>24), byte(s.time>>16), byte(s.time>>8), byte(s.time))
	b = binary.BigEndian.AppendUint16(b, s.fudge)
	if !ss.timers {
		b = binary.BigEndian.AppendUint16(b, s.fault)
		b = binary.BigEndian.AppendUint16(b, uint16(len(s.other)))
		b = append(b, s.other...)
	}
	h.Write(b)
	return h.Sum(nil)
}

// sign appends the TSIG record to a message that is complete otherwise.
func (ss *session) sign(msg []byte) []byte {
	if ss.key == nil {
		return msg
	}
	s := &signature{time: uint64(ss.now().Unix()), fudge: fudge, fault: uint16(ss.fault)}
	if ss.fault == badTime { // RFC 8945, section 5.2.3
		s.other = []byte{byte(s.time >> 40), byte(s.time >> 32), byte(s.time >> 24), byte(s.time >> 16), byte(s.time >> 8), byte(s.time)}
		s.time = ss.sent
	}
	if ss.fault != badSig && ss.fault != badKey {
		s.mac = ss.digest(s, msg)
		ss.mac, ss.timers = s.mac, true
	}
	return appendSignature(msg, ss.key.name, ss.key.alg.wire, s)
}

func appendSignature(msg, key, alg []byte, s *signature) []byte {
	msg = append(msg, key...)
	msg = append(msg, 0, byte(dns.TypeTSIG), 0, dns.ClassANY, 0, 0, 0, 0)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(alg)+16+len(s.mac)+len(s.other)))
	msg = append(msg, alg...)
	msg = append(msg, byte(s.time>>40), byte(s.time>>32), byte(s.time>>24), byte(s.time>>16), byte(s.time>>8), byte(s.time))
	msg = binary.BigEndian.AppendUint16(msg, s.fudge)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(s.mac)))
	msg = append(msg, s.mac...)
	msg = append(msg, msg[0], msg[1]) // the original ID
	msg = binary.BigEndian.AppendUint16(msg, s.fault)
	msg = binary.BigEndian.AppendUint16(msg, uint16(len(s.other)))
	msg = append(msg, s.other...)
	binary.BigEndian.PutUint16(msg[10:], binary.BigEndian.Uint16(msg[10:])+1)
	return msg
}

// signedSize is what sign adds to a message, in octets.
func (ss *session) signedSize() int {
	if ss.key == nil {
		return 0
	}
	return len(ss.key.name) + 10 + len(ss.key.alg.wire) + 16 + ss.key.alg.new().Size() + 6
}

// verify looks at the signature of a message (RFC 8945, sections 5.2 and 5.3).
// The message must have one.
func (ss *session) verify(msg []byte, s *signature) error {
	size := ss.key.alg.new().Size()
	switch {
	case string(s.key) != string(ss.key.name) || string(s.alg) != string(ss.key.alg.wire):
		return tsigError(badKey)
	case len(s.mac) > size || len(s.mac) < max(10, size/2): // section 5.2.2.1
		return errForm
	}
	unsigned := append([]byte(nil), msg[:s.at]...)
	binary.BigEndian.PutUint16(unsigned, s.id)
	binary.BigEndian.PutUint16(unsigned[10:], binary.BigEndian.Uint16(unsigned[10:])-1)
	mac := ss.digest(s, append(ss.unsigned, unsigned)...)
	if !hmac.Equal(mac[:len(s.mac)], s.mac) {
		return tsigError(badSig)
	}
	ss.mac, ss.unsigned = append([]byte(nil), s.mac...), nil
	now := uint64(ss.now().Unix())
	if now > s.time+uint64(s.fudge) || s.time > now+uint64(s.fudge) {
		ss.sent = s.time
		return tsigError(badTime)
	}
	if len(s.mac) < size { // allowed by section 5.2.2.1, but not here
		return tsigError(badTrunc)
	}
	return nil
}

// verifyAnswer looks at one message of an answer. Of several, the first and the
// last, and at least every hundredth, must be signed: the caller sees to the last.
func (ss *session) verifyAnswer(msg []byte, s *signature) error {
	if ss.key == nil {
		return nil
	}
	if s == nil {
		if !ss.timers || len(ss.unsigned) >= maxUnsigned {
			return errors.New("the answer is not signed")
		}
		ss.unsigned = append(ss.unsigned, append([]byte(nil), msg...))
		return nil
	}
	if len(s.mac) == 0 && (s.fault == badSig || s.fault == badKey) { // section 5.2: such answers are not signed
		return ss.told(s)
	}
	if err := ss.verify(msg, s); err != nil {
		return err
	}
	ss.timers = true
	if s.fault != 0 {
		return ss.told(s)
	}
	return nil
}

// told is what the other server says of the signature that it was sent.
func (ss *session) told(s *signature) error {
	switch s.fault {
	case badKey:
		return fmt.Errorf("it answers BADKEY: it does not know the key %s with %s", format(ss.key.name), ss.key.alg.name)
	case badSig:
		return fmt.Errorf("it answers BADSIG: it has another secret for the key %s", format(ss.key.name))
	case badTime:
		if len(s.other) == 6 { // its time: section 5.2.3
			there := int64(uint64(binary.BigEndian.Uint16(s.other))<<32 | uint64(binary.BigEndian.Uint32(s.other[2:])))
			return fmt.Errorf("it answers BADTIME: %s", apart(there-ss.now().Unix()))
		}
	}
	if text := tsigError(s.fault).Error(); text != "" {
		return fmt.Errorf("it answers %s", text)
	}
	return fmt.Errorf("it answers with the TSIG error %d", s.fault)
}

// apart tells by how many seconds another server's clock is ahead of this one.
func apart(ahead int64) string {
	if ahead < 0 {
		return fmt.Sprintf("its clock is %d s behind the one here, and may be %d", -ahead, fudge)
	}
	return fmt.Sprintf("its clock is %d s ahead of the one here, and may be %d", ahead, fudge)
}
