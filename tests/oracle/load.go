//go:build !kubernetes1.28

package main

import (
	"context"

	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
)

func loadEncryptionConfig(
	ctx context.Context, path string, reload bool,
) (*encryptionconfig.EncryptionConfiguration, error) {
	// The last argument, since 1.29, is a label of metrics.
	return encryptionconfig.LoadEncryptionConfig(ctx, path, reload, "oracle")
}
