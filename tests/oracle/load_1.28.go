//go:build kubernetes1.28

package main

import (
	"context"

	"k8s.io/apiserver/pkg/server/options/encryptionconfig"
)

func loadEncryptionConfig(
	ctx context.Context, path string, reload bool,
) (*encryptionconfig.EncryptionConfiguration, error) {
	return encryptionconfig.LoadEncryptionConfig(ctx, path, reload)
}
