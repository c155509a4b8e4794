// Command oracle answers what kube-apiserver itself makes of an encryption configuration and of stored values.
//
// It calls the loader and the transformers of k8s.io/apiserver and adds no
// opinion of its own. One JSON request a line on stdin, one JSON answer a line
// on stdout, until stdin closes; bytes are base64. A request that panics is
// answered like any other. For tests only: answers hold plaintext, and the
// loader's own errors may hold keys.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/features"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/klog/v2"
)

// fileName is where a configuration stands while it is loaded. It is relative, so that errors name no directory.
const fileName = "config"

// request asks for one configuration to be loaded, and then for values to be written or for one to be read.
type request struct {
	Operation string   `json:"operation"` // "load" or "decrypt"
	Content   []byte   `json:"content"`
	Reload    bool     `json:"reload"` // --encryption-provider-config-automatic-reload
	KMSv1     *bool    `json:"kmsV1"`  // the feature gate; null is the version's default
	Resources []string `json:"resources"`
	EtcdKey   []byte   `json:"etcdKey"`
	Plain     []byte   `json:"plain"`  // load: written once for each of Resources
	Stored    []byte   `json:"stored"` // decrypt: read as the one of Resources
}

// answer says what came of it. Error is the loader's when Accepted is false, else the transformer's.
type answer struct {
	Accepted  bool              `json:"accepted"`
	Error     string            `json:"error"`
	Panicked  bool              `json:"panicked"`
	Written   map[string][]byte `json:"written"`
	Unwritten map[string]string `json:"unwritten"` // why the writer of a resource failed
	Plain     []byte            `json:"plain"`     // null when the value did not open
	Stale     bool              `json:"stale"`
}

func main() {
	klog.SetLogger(klog.Logger{}) // discards: what went wrong is in the answers
	if err := inScratchDirectory(func() error { return serve(os.Stdin, os.Stdout) }); err != nil {
		log.Fatal(err)
	}
}

// inScratchDirectory runs do in a new directory, which is gone afterwards.
func inScratchDirectory(do func() error) error {
	scratch, err := os.MkdirTemp("", "oracle-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := os.Chdir(scratch); err != nil {
		return err
	}
	return do()
}

func serve(requests io.Reader, answers io.Writer) error {
	server := server{kmsV1ByDefault: utilfeature.DefaultFeatureGate.Enabled(features.KMSv1)}
	lines, encoder := bufio.NewReader(requests), json.NewEncoder(answers)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := encoder.Encode(server.answer(line)); err != nil {
			return err
		}
	}
}

// server remembers the last configuration: tests often ask for many values under one.
type server struct {
	kmsV1ByDefault bool
	loaded         *loaded
}

type loaded struct {
	content       []byte
	reload, kmsV1 bool
	transformers  value.ResourceTransformers
}

func (s *server) answer(line []byte) (out answer) {
	defer func() {
		if reason := recover(); reason != nil {
			out = answer{Accepted: out.Accepted, Panicked: true, Error: fmt.Sprintf("panic: %v", reason)}
		}
	}()
	var asked request
	if err := json.Unmarshal(line, &asked); err != nil {
		return answer{Error: fmt.Sprintf("not a request: %v", err)}
	}
	transformers, err := s.load(asked)
	if err != nil {
		return answer{Error: err.Error()}
	}
	// NOTE: the result is named, so that a panic further on still tells that the configuration was accepted.
	out.Accepted = true
	switch {
	case asked.Operation == "load":
		write(transformers, asked, &out)
	case asked.Operation == "decrypt" && len(asked.Resources) == 1:
		read(transformers, asked, &out)
	default:
		out.Error = fmt.Sprintf("not an operation: %q of %d resources", asked.Operation, len(asked.Resources))
	}
	return out
}

func (s *server) load(asked request) (value.ResourceTransformers, error) {
	kmsV1 := s.kmsV1ByDefault
	if asked.KMSv1 != nil {
		kmsV1 = *asked.KMSv1
	}
	last := s.loaded
	if last != nil && last.reload == asked.Reload && last.kmsV1 == kmsV1 && bytes.Equal(last.content, asked.Content) {
		return last.transformers, nil
	}
	gate := map[string]bool{string(features.KMSv1): kmsV1}
	if err := utilfeature.DefaultMutableFeatureGate.SetFromMap(gate); err != nil {
		return nil, err
	}
	transformers, err := transformersOf(asked.Content, asked.Reload)
	if err != nil {
		return nil, err
	}
	s.loaded = &loaded{asked.Content, asked.Reload, kmsV1, transformers}
	return transformers, nil
}

func transformersOf(content []byte, reload bool) (value.ResourceTransformers, error) {
	defer os.Remove(fileName)
	if err := os.WriteFile(fileName, content, 0o600); err != nil {
		return nil, err
	}
	// NOTE: the context is over before loading begins. It has no part in whether a file is accepted; without this,
	// each KMS provider would be probed for its whole timeout, and keep connections and goroutines.
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	configuration, err := loadEncryptionConfig(ctx, fileName, reload)
	if err != nil {
		return nil, err
	}
	// The dynamic transformers of a server that reloads look resources up by the same function.
	return encryptionconfig.StaticTransformers(configuration.Transformers), nil
}

func write(transformers value.ResourceTransformers, asked request, out *answer) {
	out.Written, out.Unwritten = map[string][]byte{}, map[string]string{}
	for _, resource := range asked.Resources {
		stored, err := transformerOf(transformers, resource).TransformToStorage(
			context.Background(), asked.Plain, value.DefaultContext(asked.EtcdKey))
		if err != nil {
			out.Unwritten[resource] = err.Error()
			continue
		}
		out.Written[resource] = stored
	}
}

func read(transformers value.ResourceTransformers, asked request, out *answer) {
	plain, stale, err := transformerOf(transformers, asked.Resources[0]).TransformFromStorage(
		context.Background(), asked.Stored, value.DefaultContext(asked.EtcdKey))
	if err != nil {
		out.Error = err.Error()
		return
	}
	// An empty plaintext may come as nil, which would read as "did not open".
	out.Plain, out.Stale = append([]byte{}, plain...), stale
}

// transformerOf looks a resource up as the storage layer does, which knows it by its group and plural name.
func transformerOf(transformers value.ResourceTransformers, resource string) value.Transformer {
	return transformers.TransformerForResource(schema.ParseGroupResource(resource))
}
