// Package replay keeps what decisions of the past were made from, so that they
// can be made again: the States of the sites over time, with what steered and the stamps of the geo databases.
//
// A decision is a pure function of these and of client and time, so nothing is kept
// of single queries. The log is a few files of JSON lines, each line with a checksum: one that
// was torn by a crash, or that a disk has spoilt, counts for nothing. Its size is bounded; the
// oldest goes first.
package replay
