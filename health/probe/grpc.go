package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/encoding/protowire"
)

// grpcProber is healthy when the standard health service (grpc.health.v1.Health,
// method Check) says that the service is serving. The one message of that is
// written by hand over HTTP/2: a grpc.ClientConn would keep a dozen goroutines for
// each probe, and try again by itself.
type grpcProber struct {
	place
	hop    hop
	secure *secure // nil: plain
}

func newGRPC(c Config, _ Target, address string, m *means) (Prober, error) {
	p := &grpcProber{place: placeOf(c, address)}
	scheme := "http"
	if c.TLS {
		scheme = "https"
		var err error
		if p.secure, err = newSecure(c, address, m, "h2"); err != nil {
			return nil, err
		}
	}
	host := c.Host
	if host == "" {
		host = hostHeader(scheme, address)
	}
	p.hop = hop{
		scheme: scheme, address: address, host: host, method: http.MethodPost, path: "/grpc.health.v1.Health/Check",
		headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers"}, body: healthRequest(c.Service),
	}
	return p, nil
}

// healthRequest is a HealthCheckRequest (field 1: the service) behind the prefix
// of a message: not compressed, its length.
func healthRequest(service string) string {
	var message []byte
	if service != "" {
		message = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), service)
	}
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...))
}

func (p *grpcProber) Probe(ctx context.Context) (Seen, error) {
	a := begin(ctx, p.place)
	defer a.end()
	if err := a.connect("tcp"); err != nil {
		return Seen{}, err
	}
	var seen Seen
	stream := a.conn
	if p.secure != nil {
		conn, err := p.secure.handshake(a)
		if err != nil {
			return Seen{}, err
		}
		seen.Warning = p.secure.warning(conn)
		stream = conn
	}
	response, _, err := p.hop.ask2(a, stream)
	if err != nil {
		return Seen{}, err
	}
	if response.StatusCode != http.StatusOK {
		return Seen{}, fmt.Errorf("http %d from %s: want 200, as gRPC answers", response.StatusCode, a.address)
	}
	a.phase = reading
	body, err := io.ReadAll(response.Body) // bounded
	if err != nil {
		return Seen{}, a.fault(err)
	}
	if err := judgeGRPC(response, body); err != nil {
		return Seen{}, fmt.Errorf("answer from %s: %w", a.address, err)
	}
	return seen, nil
}

// judgeGRPC looks at the status, which stands in the trailer, or in the header of
// a response without a message, and at the message.
func judgeGRPC(r *http.Response, body []byte) error {
	from := r.Trailer
	if from.Get("Grpc-Status") == "" {
		from = r.Header
	}
	switch code := from.Get("Grpc-Status"); code {
	case "0":
	case "":
		return errors.New("it has no grpc-status: this is no gRPC server, or the answer was cut off")
	case "5":
		return errors.New("the health service does not know the service")
	case "12":
		return errors.New("the server has no health service (UNIMPLEMENTED)")
	default:
		message, err := url.PathUnescape(from.Get("Grpc-Message"))
		if err != nil {
			message = from.Get("Grpc-Message")
		}
		return fmt.Errorf("grpc status %.10q: %s", code, excerpt([]byte(message)))
	}
	status, err := healthStatus(body)
	if err != nil {
		return err
	}
	if status != 1 {
		names := []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}
		if status < uint64(len(names)) {
			return fmt.Errorf("the service is %s", names[status])
		}
		return fmt.Errorf("the service has the status %d", status)
	}
	return nil
}

// healthStatus reads a HealthCheckResponse (field 1: the status), which may be anything.
func healthStatus(body []byte) (uint64, error) {
	if len(body) < 5 || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-5) {
		return 0, errors.New("it is not one plain gRPC message")
	}
	var status uint64
	for rest := body[5:]; len(rest) > 0; {
		number, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		rest = rest[n:]
		if number == 1 && typ == protowire.VarintType {
			status, n = protowire.ConsumeVarint(rest)
		} else {
			n = protowire.ConsumeFieldValue(number, typ, rest)
		}
		if n < 0 {
			return 0, protowire.ParseError(n)
		}
		rest = rest[n:]
	}
	return status, nil
}

func (c Config) validateGRPC(bad func(key, msg string)) {
	if !c.TLS {
		for key, set := range map[string]bool{"skip_verify": c.SkipVerify, "ca": c.CA != "", "expiry_warning": c.ExpiryWarning != 0} {
			if set {
				bad(key, "is only for TLS: set tls = true")
			}
		}
		c.validateHost(bad)
		return
	}
	c.validateTLS(bad)
}
