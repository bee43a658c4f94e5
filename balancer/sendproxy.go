package balancer

import (
	"fmt"
	"strings"

	"gslb/proxyproto"
)

// What SendProxy may be.
const (
	ProxyV1 = proxyproto.V1
	ProxyV2 = proxyproto.V2
)

func (c Config) validateSendProxy(bad func(key, msg string)) {
	switch {
	case c.SendProxy == "":
	case c.SendProxy != ProxyV1 && c.SendProxy != ProxyV2:
		bad("send_proxy", fmt.Sprintf("%q: must be %s", c.SendProxy, strings.Join([]string{ProxyV1, ProxyV2}, " or ")))
	case c.inKernel() || c.Protocol == UDP:
		bad("send_proxy", fmt.Sprintf("is for plane %q and protocol %q alone", PlaneProxy, TCP))
	}
}
