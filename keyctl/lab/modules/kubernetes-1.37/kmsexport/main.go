// Command kmsexport writes the API of KMS v2 plugins (messages and service) to
// stdout as a serialized google.protobuf.FileDescriptorSet.
//
// The output is the same for the same module versions. Options are left out,
// but for the one by which an entry of a map is known.
package main

import (
	"log"
	"os"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	kms "k8s.io/kms/apis/v2"
)

func main() {
	file := protodesc.ToFileDescriptorProto(kms.File_staging_src_k8s_io_kms_apis_v2_api_proto)
	file.Options = nil
	for _, service := range file.Service {
		service.Options = nil
		for _, method := range service.Method {
			method.Options = nil
		}
	}
	output, err := proto.MarshalOptions{Deterministic: true}.Marshal(
		&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{file}},
	)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(output); err != nil {
		log.Fatal(err)
	}
}
