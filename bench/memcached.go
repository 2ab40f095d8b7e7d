package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
)

// memcached is its classic text protocol.
type memcached struct{}

func (memcached) appendWrite(to, key, value []byte) []byte {
	to = append(to, "set "...)
	to = append(to, key...)
	to = append(to, " 0 0 "...)
	to = strconv.AppendInt(to, int64(len(value)), 10)
	to = append(to, "\r\n"...)
	to = append(to, value...)
	return append(to, "\r\n"...)
}

func (memcached) appendRead(to, key []byte) []byte {
	to = append(to, "get "...)
	to = append(to, key...)
	return append(to, "\r\n"...)
}

var (
	lineStored = []byte("STORED")
	lineEnd    = []byte("END")
	lineValue  = []byte("VALUE ")
	lineBusy   = []byte("SERVER_ERROR busy")
)

func (memcached) readReply(from *bufio.Reader, write bool, valueBytes int) (outcome, string, error) {
	line, err := readLine(from)
	switch {
	case err != nil:
		return failed, "", err
	case write && bytes.Equal(line, lineStored):
		return done, "", nil
	case bytes.HasPrefix(line, lineBusy):
		return refused, string(line), nil
	case write || !bytes.HasPrefix(line, lineValue):
		return failed, string(line), nil
	}
	length, err := parseInt(line[bytes.LastIndexByte(line, ' ')+1:])
	if err != nil {
		return failed, "", err
	}
	if err := skipValue(from, length); err != nil {
		return failed, "", err
	}
	if line, err = readLine(from); err != nil {
		return failed, "", err
	}
	if !bytes.Equal(line, lineEnd) {
		return failed, "", fmt.Errorf("%q after a value, want END", line)
	}
	if length != valueBytes {
		return failed, fmt.Sprintf("a value of %d bytes", length), nil
	}
	return done, "", nil
}
