package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// resp is Redis' protocol.
type resp struct {
	// wait follows each write by WAIT 1: it counts as done when one replica has it too.
	wait bool
}

const waitCommand = "*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$4\r\n5000\r\n"

func (c resp) appendWrite(to, key, value []byte) []byte {
	to = append(to, "*3\r\n$3\r\nSET\r\n"...)
	to = appendBulk(appendBulk(to, key), value)
	if c.wait {
		to = append(to, waitCommand...)
	}
	return to
}

func (c resp) appendRead(to, key []byte) []byte {
	return appendBulk(append(to, "*2\r\n$3\r\nGET\r\n"...), key)
}

func appendBulk(to, value []byte) []byte {
	to = append(to, '$')
	to = strconv.AppendInt(to, int64(len(value)), 10)
	to = append(to, "\r\n"...)
	to = append(to, value...)
	return append(to, "\r\n"...)
}

func (c resp) readReply(from *bufio.Reader, write bool, valueBytes int) (outcome, string, error) {
	kind, text, length, err := readRESP(from)
	if err != nil || !write || !c.wait {
		return judgeRESP(kind, text, length, write, valueBytes, err)
	}
	waitKind, waitText, replicas, err := readRESP(from)
	o, why, err := judgeRESP(kind, text, length, true, 0, err)
	if err == nil && o == done && (waitKind != ':' || replicas < 1) {
		return failed, fmt.Sprintf("WAIT: %s (%d replicas)", waitText, replicas), nil
	}
	return o, why, err
}

func judgeRESP(kind byte, text string, length int, write bool, valueBytes int, err error) (outcome, string, error) {
	switch {
	case err != nil:
		return failed, "", err
	case kind == '-' && isBusy(text):
		return refused, text, nil
	case kind == '-':
		return failed, text, nil
	case write && kind == '+', !write && kind == '$' && length == valueBytes:
		return done, "", nil
	}
	return failed, fmt.Sprintf("a reply of kind %q and length %d", kind, length), nil
}

// isBusy tells an error that says "not executed, try later" from the others.
func isBusy(text string) bool {
	return bytes.HasPrefix([]byte(text), []byte("TRYAGAIN")) || bytes.HasPrefix([]byte(text), []byte("BUSY"))
}

// readRESP reads one reply that is no array. The text is that of an error; the number is the length of a bulk string, -1
// for null, or the value of an integer.
func readRESP(from *bufio.Reader) (kind byte, text string, number int, err error) {
	line, err := readLine(from)
	if err != nil {
		return 0, "", 0, err
	}
	if len(line) == 0 {
		return 0, "", 0, errors.New("an empty line for a reply")
	}
	kind, line = line[0], line[1:]
	switch kind {
	case '+':
		return kind, "", 0, nil
	case '-':
		return kind, string(line), 0, nil
	case '_':
		return '$', "", -1, nil
	case ':', '$':
		number, err = parseInt(line)
		if err == nil && kind == '$' && number >= 0 {
			err = skipValue(from, number)
		}
		return kind, "", number, err
	}
	return 0, "", 0, fmt.Errorf("a reply of the unexpected kind %q", kind)
}

// readLine returns a line without its end; it is valid until the next read.
func readLine(from *bufio.Reader) ([]byte, error) {
	line, err := from.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if len(line) < 2 || line[len(line)-2] != '\r' {
		return nil, fmt.Errorf("a line that does not end in CR LF: %q", line)
	}
	return line[:len(line)-2], nil
}

// parseInt is strconv.Atoi without a string.
func parseInt(digits []byte) (int, error) {
	text, sign := digits, 1
	if len(text) > 0 && text[0] == '-' {
		text, sign = text[1:], -1
	}
	if len(text) == 0 || len(text) > 18 {
		return 0, fmt.Errorf("%q is no number of a reply", digits)
	}
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			return 0, fmt.Errorf("%q is no number of a reply", digits)
		}
		n = 10*n + int(c-'0')
	}
	return sign * n, nil
}

// skipValue reads past a value and the CR LF behind it.
func skipValue(from *bufio.Reader, length int) error {
	if length > 2*maxValueBytes {
		return fmt.Errorf("a value of %d bytes, longer than any that was written", length)
	}
	if _, err := from.Discard(length); err != nil {
		return err
	}
	var end [2]byte
	if _, err := io.ReadFull(from, end[:]); err != nil {
		return err
	}
	if string(end[:]) != "\r\n" {
		return fmt.Errorf("%q after a value, want CR LF", end)
	}
	return nil
}
