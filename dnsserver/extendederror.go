package dnsserver

// extendedError is the info-code of an Extended DNS Error (RFC 8914, section 4),
// which tells an operator why; negative: none. It has no text: whatever it would
// say stands in the code already, and it is never to cause truncation.
type extendedError int

const (
	noError          extendedError = -1
	staleAnswer      extendedError = 3  // what is known of the sites is old
	notReady         extendedError = 14 // nothing is known of the sites yet
	prohibited       extendedError = 18 // this client is not served
	notAuthoritative extendedError = 20 // no zone served here holds the name
	notSupported     extendedError = 21 // a class or type that is not served
	invalidType      extendedError = 30 // a type that nobody can own
)
