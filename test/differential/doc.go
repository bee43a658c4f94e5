// Package differential compares what gslb answers with what NSD, Knot DNS and
// BIND answer: the real servers, on loopback ports, with the same master files,
// asked the same questions.
//
// The zones are hand-made ones in testdata, which go through the rules of RFC
// 1034, 1035, 2181, 2308, 4592, 6604, 6672, 8020 and 9460, and ones generated
// from a fixed seed with so few labels that their names collide. The questions
// are derived from the zones. Each is asked over UDP, with and without EDNS and
// in several sizes, and over TCP; messages that no resolver would send are
// written by hand.
//
// An answer is compared by its parts: response code, each flag, the question,
// each section as a set, the order of a chain of aliases, the OPT record. Where
// at least two of the three agree on a part and gslb has another, that is a
// difference. Each has to be explained, in differences_test.go by what it
// applies to and in docs/differences.md in words, with the RFC; any other
// fails the test.
package differential
