// Counts the live values of an etcd database by what their heads say, on one thread: the peer of keyctl's offline census.
//
// go_census [-sha256] FILE: with -sha256 the digest at the end of a snapshot is checked first.
// Prints one JSON object: how many values, how many under each head, and the seconds without the start.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
)

const digestBytes = 32

var (
	errRecord  = errors.New("a record is damaged")
	errDigest  = errors.New("the digest at the end is not that of the data")
	sealMarker = []byte("k8s:enc:")
)

type answer struct {
	Values  int            `json:"values"`
	Heads   map[string]int `json:"heads"`
	Seconds float64        `json:"seconds"`
}

func main() {
	runtime.GOMAXPROCS(1)
	digest := flag.Bool("sha256", false, "check the digest at the end of the file first")
	flag.Parse()
	begun := time.Now()
	heads, values, err := census(flag.Arg(0), *digest)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer{values, heads, time.Since(begun).Seconds()})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func census(path string, digest bool) (map[string]int, int, error) {
	if digest {
		if err := checkDigest(path); err != nil {
			return nil, 0, err
		}
	}
	database, err := bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return nil, 0, err
	}
	defer database.Close()
	live := map[string]string{}
	err = database.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("key")).ForEach(func(revision, record []byte) error {
			key, value, err := keyValue(record)
			if err != nil || len(record) == 0 {
				return err
			}
			if len(revision) == 18 {
				delete(live, string(key))
			} else {
				live[string(key)] = headOf(value)
			}
			return nil
		})
	})
	heads := map[string]int{}
	for _, head := range live {
		heads[head]++
	}
	return heads, len(live), err
}

// headOf gives "k8s:enc:aescbc:v1:key1:", "plaintext" or "other".
func headOf(value []byte) string {
	switch {
	case bytes.HasPrefix(value, sealMarker):
		end := 0
		for colons := 0; colons < 5 && end < len(value); end++ {
			if value[end] == ':' {
				colons++
			}
		}
		return intern(value[:end])
	case bytes.HasPrefix(value, []byte("k8s\x00")), bytes.HasPrefix(value, []byte("{")):
		return "plaintext"
	}
	return "other"
}

var known = map[string]string{}

func intern(head []byte) string {
	text, found := known[string(head)]
	if !found {
		text = string(head)
		known[text] = text
	}
	return text
}

// keyValue reads the key (1) and the value (5) of an mvccpb.KeyValue, without copying them.
func keyValue(record []byte) (key, value []byte, err error) {
	for len(record) > 0 {
		tag, size := binary.Uvarint(record)
		if size <= 0 {
			return nil, nil, errRecord
		}
		record = record[size:]
		number, size := binary.Uvarint(record)
		if size <= 0 {
			return nil, nil, errRecord
		}
		record = record[size:]
		switch tag & 7 {
		case 0:
		case 2:
			if number > uint64(len(record)) {
				return nil, nil, errRecord
			}
			if tag == 1<<3|2 {
				key = record[:number]
			} else if tag == 5<<3|2 {
				value = record[:number]
			}
			record = record[number:]
		default:
			return nil, nil, errRecord
		}
	}
	return key, value, nil
}

func checkDigest(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	status, err := file.Stat()
	if err != nil {
		return err
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, file, status.Size()-digestBytes); err != nil {
		return err
	}
	wanted, err := io.ReadAll(file)
	if err == nil && !bytes.Equal(sum.Sum(nil), wanted) {
		return errDigest
	}
	return err
}
