package transfer

import "github.com/miekg/dns"

// update answers UPDATE (RFC 2136).
func (m *Manager) update(_ *state, r *request) { r.answer(dns.RcodeRefused) }
