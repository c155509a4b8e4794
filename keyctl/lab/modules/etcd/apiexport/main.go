// Command apiexport writes etcd's client API (messages and services) to stdout
// as a serialized google.protobuf.FileDescriptorSet, dependencies first.
//
// The output is the same for the same module versions. Options (HTTP mappings,
// documentation, version marks) are left out, and with them every file that
// only they need: the wire format does not depend on them.
package main

import (
	"log"
	"os"

	"go.etcd.io/etcd/api/v3/authpb"
	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

func main() {
	keyValue, auth := plain(mvccpb.File_kv_proto), plain(authpb.File_auth_proto)
	// The imports named inside are paths of etcd's source tree; the files are registered under shorter ones.
	service := plain(etcdserverpb.File_rpc_proto, keyValue.GetName(), auth.GetName())
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{keyValue, auth, service}}

	output, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := os.Stdout.Write(output); err != nil {
		log.Fatal(err)
	}
}

// plain copies a file's descriptor without options, importing exactly the files named.
func plain(file protoreflect.FileDescriptor, imports ...string) *descriptorpb.FileDescriptorProto {
	copied := protodesc.ToFileDescriptorProto(file)
	copied.Options = nil
	copied.Dependency = imports
	stripMessages(copied.MessageType)
	stripEnums(copied.EnumType)
	for _, service := range copied.Service {
		service.Options = nil
		for _, method := range service.Method {
			method.Options = nil
		}
	}
	return copied
}

func stripMessages(messages []*descriptorpb.DescriptorProto) {
	for _, message := range messages {
		// A map's entry type is known only by its option.
		if !message.GetOptions().GetMapEntry() {
			message.Options = nil
		}
		for _, field := range message.Field {
			field.Options = nil
		}
		stripEnums(message.EnumType)
		stripMessages(message.NestedType)
	}
}

func stripEnums(enums []*descriptorpb.EnumDescriptorProto) {
	for _, enum := range enums {
		enum.Options = nil
		for _, value := range enum.Value {
			value.Options = nil
		}
	}
}
