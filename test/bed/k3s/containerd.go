package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// startRuntime starts containerd and imports the images in agent/images.
func (a *agent) startRuntime(ctx context.Context) error {
	config := fmt.Sprintf(`version = 2
root = %q
state = "/run/k3s/containerd"

[grpc]
  address = %q

[plugins."io.containerd.internal.v1.opt"]
  path = %q

[plugins."io.containerd.grpc.v1.cri"]
  stream_server_address = "127.0.0.1"
  stream_server_port = "10010"
  enable_unprivileged_ports = true
  enable_unprivileged_icmp = true
  sandbox_image = %q
  # The machine that runs the bed may not let us lower the score.
  restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = %q

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = %q
  conf_dir = %q
`, a.path("containerd"), containerdSocket, a.path("containerd"), a.options.text("pause-image", pauseImage),
		a.options.text("snapshotter", "overlayfs"), filepath.Join(a.supervisor.bin, "cni"), a.path("etc/cni/net.d"))
	file := a.path("etc/containerd/config.toml")
	if err := writeIfChanged(file, []byte(config), 0o600); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(containerdSocket), 0o711); err != nil {
		return err
	}
	logFile := a.path("containerd/containerd.log")
	if err := a.supervisor.start("containerd", logFile, "--config="+file, "--log-level=info"); err != nil {
		return err
	}
	if err := until(ctx, time.Minute, "containerd", func() bool { return a.ctr(ctx, nil, "version") == nil }); err != nil {
		return err
	}
	log.Printf("level=info msg=\"containerd is now running\"")
	return a.importImages(ctx)
}

func (a *agent) ctr(ctx context.Context, input io.Reader, args ...string) error {
	args = append([]string{"--address=" + containerdSocket, "--namespace=k8s.io"}, args...)
	command := exec.CommandContext(ctx, filepath.Join(a.supervisor.bin, "ctr"), args...)
	command.Stdin = input
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("ctr %s: %w: %s", args[2], err, output)
	}
	return nil
}

// importArchive imports the images in a tar archive, which may be compressed.
func (a *agent) importArchive(ctx context.Context, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	var archive io.Reader = file
	switch filepath.Ext(path) {
	case ".gz", ".tgz":
		archive, err = gzip.NewReader(file)
	case ".zst", ".tzst":
		archive, err = zstd.NewReader(file)
	}
	if err != nil {
		return err
	}
	return a.ctr(ctx, archive, "images", "import", "--all-platforms", "-")
}

// importImages imports the archives in agent/images that are new or changed since the last time.
func (a *agent) importImages(ctx context.Context) error {
	entries, err := os.ReadDir(a.path("images"))
	if err != nil {
		return err
	}
	cacheFile := a.path("images/.cache.json")
	imported, current := map[string]string{}, map[string]string{}
	if content, err := os.ReadFile(cacheFile); err == nil {
		json.Unmarshal(content, &imported)
	}
	for _, entry := range entries {
		name := entry.Name()
		if !isArchive(name) {
			continue
		}
		info, err := os.Stat(a.path("images", name))
		if err != nil {
			return err
		}
		current[name] = fmt.Sprint(info.Size(), info.ModTime().UnixNano())
		if imported[name] == current[name] {
			continue
		}
		began := time.Now()
		if err := a.importArchive(ctx, a.path("images", name)); err != nil {
			// As k3s does: a damaged archive is told, and the node starts without its images.
			log.Printf("level=error msg=\"Unable to import %s\" error=%q", a.path("images", name), err)
			delete(current, name)
			continue
		}
		log.Printf("level=info msg=\"Imported images from %s in %s\"", a.path("images", name), time.Since(began).Round(time.Millisecond))
	}
	content, err := json.Marshal(current)
	if err != nil {
		return err
	}
	return os.WriteFile(cacheFile, content, 0o644)
}

func isArchive(name string) bool {
	for _, ending := range []string{".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst"} {
		if strings.HasSuffix(name, ending) {
			return true
		}
	}
	return false
}
