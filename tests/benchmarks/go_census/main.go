// Counts the live values of an etcd database by what their heads say, on one thread: the peer of keyctl's offline census.
//
// go_census [-sha256] FILE: with -sha256 the digest at the end of a snapshot is checked first.
// Prints one JSON object: how many values, and how many under each head. The last line of standard error is how many
// seconds that took, without the start of the process.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"go.etcd.io/bbolt"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
)

const (
	digestBytes = 32
	// The revision of a change, and the mark of a deletion.
	deletionBytes = 18
)

var (
	errDigest  = errors.New("the digest at the end is not that of the data")
	sealMarker = []byte("k8s:enc:")
)

type answer struct {
	Values int            `json:"values"`
	Heads  map[string]int `json:"heads"`
}

func main() {
	runtime.GOMAXPROCS(1)
	digest := flag.Bool("sha256", false, "check the digest at the end of the file first")
	flag.Parse()
	begun := time.Now()
	heads, values, err := census(flag.Arg(0), *digest)
	elapsed := time.Since(begun)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(answer{values, heads})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, elapsed.Seconds())
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
			var found mvccpb.KeyValue
			if err := proto.Unmarshal(record, &found); err != nil || len(record) == 0 {
				return err
			}
			if len(revision) == deletionBytes {
				delete(live, string(found.Key))
			} else {
				live[string(found.Key)] = headOf(found.Value)
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
