package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The release that serves this program says which version it is by a line after the end of the ELF file. So
// that two releases are two different files, as they should be, and one build is enough for both.
const (
	versionMark    = "\nk3s stand-in version "
	defaultVersion = "v1.36.4+k3s1"
)

func version() string {
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return defaultVersion
	}
	defer self.Close()
	tail := make([]byte, 128)
	if _, err := self.Seek(-int64(len(tail)), io.SeekEnd); err != nil {
		return defaultVersion
	}
	n, _ := io.ReadFull(self, tail)
	if _, told, found := strings.Cut(string(tail[:n]), versionMark); found {
		return strings.TrimSpace(told)
	}
	return defaultVersion
}

// What k3s has inside of its binary lies in these folders of the server: the bed's own programs, and Debian's
// containerd, runc and CNI plugins.
const (
	bedPrograms   = "/usr/lib/k3s-stand-in"
	debianNode    = "/opt/node/bin"
	debianPlugins = "/opt/node/cni"
)

// ensurePrograms gives the programs the place where k3s unpacks its own: DATA/data/NAME/bin, with the link
// DATA/data/current. The scripts of the installer find containerd's shims by this path.
func ensurePrograms(dataDir string) (string, error) {
	name := strings.NewReplacer("+", "-", ".", "-").Replace(version())
	folder := filepath.Join(dataDir, "data", name)
	bin := filepath.Join(folder, "bin")
	if _, err := os.Stat(filepath.Join(folder, "complete")); err != nil {
		if err := placePrograms(bin); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(folder, "complete"), nil, 0o644); err != nil {
			return "", err
		}
	}
	current := filepath.Join(dataDir, "data", "current")
	if target, err := os.Readlink(current); err != nil || target != folder {
		os.Remove(current + ".new")
		if err := os.Symlink(folder, current+".new"); err != nil {
			return "", err
		}
		if err := os.Rename(current+".new", current); err != nil {
			return "", err
		}
	}
	return bin, nil
}

func placePrograms(bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	wanted := map[string]string{"cni": debianPlugins}
	for _, folder := range []string{bedPrograms, debianNode} {
		programs, err := os.ReadDir(folder)
		if err != nil {
			return err
		}
		for _, program := range programs {
			wanted[program.Name()] = filepath.Join(folder, program.Name())
		}
	}
	for name, from := range wanted {
		to := filepath.Join(bin, name)
		os.Remove(to)
		if err := place(name, from, to); err != nil {
			return err
		}
	}
	return nil
}

// place puts a program there: a link to the bed's, but a copy of Debian's, since containerd starts its shim from
// the folder that it is in itself, and the scripts of the installer know the shims by that folder. Those that
// tell Kubernetes' version are copied too where ours is another patch release than the one they were built for,
// and the copy tells that instead: both strings have the same length.
func place(name, from, to string) error {
	built, _, _ := strings.Cut(defaultVersion, "+")
	told, _, _ := strings.Cut(version(), "+")
	retold := told != built && len(told) == len(built) && (name == "kubelet" || name == "kube-apiserver")
	if !retold && filepath.Dir(from) != debianNode {
		return os.Symlink(from, to)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if retold {
		content = bytes.ReplaceAll(content, []byte(built), []byte(told))
	}
	return os.WriteFile(to, content, 0o755)
}
