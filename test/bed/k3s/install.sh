#!/bin/sh
# The bed's stand-in for the installer at https://get.k3s.io: the same variables, files, unit and scripts, in our
# own words. README.md says what it leaves out.
#
#   curl -sfL https://get.k3s.io | [VARIABLE=VALUE ...] sh -s - [server|agent] [FLAG ...]
#
# INSTALL_K3S_VERSION, _CHANNEL, _CHANNEL_URL, _SKIP_DOWNLOAD, _FORCE_RESTART, _SKIP_ENABLE, _SKIP_START, _EXEC,
# _NAME, _TYPE, _BIN_DIR, _BIN_DIR_READ_ONLY, _SYSTEMD_DIR, _SYMLINK, and K3S_*, which become the service's.
set -e
set -o noglob

releases=${GITHUB_URL:-https://github.com/k3s-io/k3s/releases}

info() { echo '[INFO] ' "$@"; }
die() { echo '[ERROR] ' "$@" >&2; exit 1; }

# as_root COMMAND...: itself, or by sudo.
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }

# shell_word WORD: quoted so that a shell reads it back as one word.
shell_word() { printf '%s\n' "$1" | sed "s/'/'\\\\''/g; 1s/^/'/; \$s/\$/'/"; }

# settings [ARGUMENT...]: decides on names and places.
settings() {
    case "$1" in
        -* | '')
            command=server
            if [ -n "$K3S_URL" ]; then
                command=agent
                [ -n "$K3S_TOKEN$K3S_TOKEN_FILE" ] || die "K3S_URL makes this an agent, and an agent needs K3S_TOKEN or K3S_TOKEN_FILE."
            fi
            ;;
        *) command=$1; shift ;;
    esac
    case "$K3S_URL" in
        '' | https://*) ;;
        *) die "Only https:// URLs are supported for K3S_URL (have $K3S_URL)" ;;
    esac
    name=k3s
    [ "$command" = server ] || name=k3s-$command
    [ -z "$INSTALL_K3S_NAME" ] || name=k3s-$INSTALL_K3S_NAME
    case "$name" in
        *[!A-Za-z0-9.@:-]*) die "Invalid characters for system name: $name" ;;
    esac
    type=${INSTALL_K3S_TYPE:-notify}
    bin=${INSTALL_K3S_BIN_DIR:-/usr/local/bin}
    units=${INSTALL_K3S_SYSTEMD_DIR:-/etc/systemd/system}
    unit=$units/$name.service
    unit_env=$unit.env
    killall=$bin/k3s-killall.sh
    uninstall=$bin/$name-uninstall.sh
    exec_line=$command
    for argument in "$@"; do
        exec_line="$exec_line \\
	$(shell_word "$argument")"
    done
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" != true ] || INSTALL_K3S_SKIP_DOWNLOAD=true
    installed_before=$(hashes)
}

# hashes: of what a service's start depends on.
hashes() { as_root sha256sum "$bin/k3s" "$unit" "$unit_env" 2>&1 || true; }

# fetch URL FILE
fetch() {
    if command -v curl >/dev/null; then
        curl -sfL -o "$2" "$1" || die 'Download failed'
    elif command -v wget >/dev/null; then
        wget -q -O "$2" "$1" || die 'Download failed'
    else
        die 'Can not find curl or wget for downloading files'
    fi
}

# chosen_version: the given one, or what the channel's address leads to.
chosen_version() {
    if [ -n "$INSTALL_K3S_VERSION" ]; then
        version=$INSTALL_K3S_VERSION
    else
        channel=${INSTALL_K3S_CHANNEL_URL:-https://update.k3s.io/v1-release/channels}/${INSTALL_K3S_CHANNEL:-stable}
        info "Finding release for channel ${INSTALL_K3S_CHANNEL:-stable}"
        version=$(curl -sS -L -o /dev/null -w '%{url_effective}' "$channel" | sed 's|.*/||')
    fi
    info "Using $version as release"
}

download() {
    case "$INSTALL_K3S_SKIP_DOWNLOAD" in
        true | binary)
            info 'Skipping k3s download and verify'
            [ -x "$bin/k3s" ] || die "Executable k3s binary not found at $bin/k3s"
            return
            ;;
    esac
    case "${ARCH:-$(uname -m)}" in
        amd64 | x86_64) arch=amd64 suffix= ;;
        arm64 | aarch64) arch=arm64 suffix=-arm64 ;;
        *) die "Unsupported architecture ${ARCH:-$(uname -m)}" ;;
    esac
    work=$(mktemp -d -t k3s-install.XXXXXXXXXX)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 130' INT
    chosen_version
    info "Downloading hash $releases/download/$version/sha256sum-$arch.txt"
    fetch "$releases/download/$version/sha256sum-$arch.txt" "$work/hashes"
    expected=$(sed -n "s/^\\([0-9a-f]*\\) [ *]k3s$suffix\$/\\1/p" "$work/hashes")
    if [ -n "$expected" ] && echo "$expected  $bin/k3s" | sha256sum -c --status 2>/dev/null; then
        info 'Skipping binary downloaded, installed k3s matches hash'
        return
    fi
    info "Downloading binary $releases/download/$version/k3s$suffix"
    fetch "$releases/download/$version/k3s$suffix" "$work/k3s"
    info 'Verifying binary download'
    got=$(sha256sum "$work/k3s" | cut -d ' ' -f 1)
    [ "$got" = "$expected" ] || die "Download sha256 does not match $expected, got $got"
    info "Installing k3s to $bin/k3s"
    chmod 755 "$work/k3s"
    as_root chown root:root "$work/k3s"
    as_root mv -f "$work/k3s" "$bin/k3s"
}

links() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" != true ] && [ "$INSTALL_K3S_SYMLINK" != skip ] || return 0
    for tool in kubectl crictl ctr; do
        if [ "$INSTALL_K3S_SYMLINK" != force ]; then
            if [ -e "$bin/$tool" ]; then
                info "Skipping $bin/$tool symlink to k3s, already exists"
                continue
            fi
            if found=$(command -v "$tool" 2>/dev/null); then
                info "Skipping $bin/$tool symlink to k3s, command exists in PATH at $found"
                continue
            fi
        fi
        info "Creating $bin/$tool symlink to k3s"
        as_root ln -sf k3s "$bin/$tool"
    done
}

# script FILE: writes a program of root's from stdin.
script() {
    as_root tee "$1" >/dev/null
    as_root chmod 755 "$1"
    as_root chown root:root "$1"
}

killall_script() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" != true ] || return 0
    info "Creating killall script $killall"
    script "$killall" <<'KILLALL'
#!/bin/sh
# Stops k3s' services and everything that they started: containers, mounts, interfaces, firewall rules.
[ "$(id -u)" -eq 0 ] || exec sudo --preserve-env=K3S_DATA_DIR "$0" "$@"
data=${K3S_DATA_DIR:-/var/lib/rancher/k3s}
set -x

for unit in /etc/systemd/system/k3s*.service; do
    [ -s "$unit" ] && systemctl stop "$(basename "$unit")"
done

# descendants PID: it and all processes below it.
descendants() {
    echo "$1"
    for child in $(ps -e -o ppid= -o pid= | awk -v parent="$1" '$1 == parent { print $2 }'); do
        descendants "$child"
    done
}

for shim in $(ps -e -o pid= -o args= | grep -E "$data/data/[^/]+/bin/containerd-shim" | grep -v grep | awk '{ print $1 }'); do
    kill -9 $(descendants "$shim") 2>/dev/null
done

# unmount_below PREFIX: unmounts what is mounted there, the deepest first, and removes the mount points.
unmount_below() {
    awk -v prefix="$1" 'index($2, prefix) == 1 { print $2 }' /proc/self/mounts | sort -r | while read -r path; do
        umount -f "$path" && rm -rf "$path"
    done
}
unmount_below /run/k3s
unmount_below /var/lib/kubelet/pods
unmount_below /var/lib/kubelet/plugins
unmount_below /run/netns/cni-

ip netns show 2>/dev/null | awk '/^cni-/ { print $1 }' | xargs -r -n 1 ip netns delete
ip -o link show master cni0 2>/dev/null | awk -F '[ @:]+' '{ print $2 }' | xargs -r -n 1 ip link delete
for interface in cni0 flannel.1 flannel-v6.1 kube-ipvs0 flannel-wg flannel-wg-v6; do
    ip link delete "$interface" 2>/dev/null
done
# Upstream has tailscale forget the routes of pods.
if [ -n "$(command -v tailscale)" ]; then
    tailscale set --advertise-routes=
fi
rm -rf /var/lib/cni/
for tables in iptables ip6tables; do
    "$tables-save" | grep -v KUBE- | grep -v CNI- | grep -iv flannel | "$tables-restore"
done
KILLALL
}

uninstall_script() {
    [ "$INSTALL_K3S_BIN_DIR_READ_ONLY" != true ] || return 0
    info "Creating uninstall script $uninstall"
    script "$uninstall" <<UNINSTALL
#!/bin/sh
# Removes k3s, its settings and its data.
[ "\$(id -u)" -eq 0 ] || exec sudo --preserve-env=K3S_DATA_DIR "\$0" "\$@"
data=\${K3S_DATA_DIR:-/var/lib/rancher/k3s}
set -x
$killall
systemctl disable $name
systemctl reset-failed $name
systemctl daemon-reload
rm -f $unit $unit_env
trap 'rm -f $uninstall' EXIT
if ls $units/k3s*.service >/dev/null 2>&1; then
    echo 'Additional k3s services installed, skipping uninstall of k3s'
    exit
fi
for tool in kubectl crictl ctr; do
    if [ -L $bin/\$tool ]; then rm -f $bin/\$tool; fi
done
# remove_around_mounts FOLDER: all of it, except what somebody has mounted there.
remove_around_mounts() {
    if ! grep -q " \$1" /proc/mounts; then
        rm -rf "\$1"
        return
    fi
    for path in "\$1"/*; do
        if [ -d "\$path" ] && grep -q " \$path" /proc/mounts; then
            remove_around_mounts "\$path"
        else
            rm -rf "\$path"
        fi
    done
}
rm -rf /etc/rancher/k3s /run/k3s /run/flannel
remove_around_mounts "\$data"
rm -rf /var/lib/kubelet
rm -f $bin/k3s $killall
UNINSTALL
}

# exported: the variables of the environment, as upstream writes them down: blanks in a row become one, backslashes get
# lost (create_env_file puts them through `read` and `echo`).
# shellcheck disable=SC2086,SC2162
exported() { sh -c export | while read _ variable; do echo $variable; done; }

service() {
    as_root systemctl disable "$name" >/dev/null 2>&1 || true
    as_root rm -f "$units/$name.service" "$units/$name.service.env" || true
    info "env: Creating environment file $unit_env"
    as_root touch "$unit_env"
    as_root chmod 0600 "$unit_env"
    exported | grep -E '^(K3S|CONTAINERD)_' | as_root tee "$unit_env" >/dev/null || true
    exported | grep -Ei '^(NO|HTTP|HTTPS)_PROXY' | as_root tee -a "$unit_env" >/dev/null || true
    info "systemd: Creating service file $unit"
    as_root tee "$unit" >/dev/null <<UNIT
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=$type
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-$unit_env
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=$bin/k3s \\
    $exec_line
UNIT
}

start() {
    [ "$INSTALL_K3S_SKIP_ENABLE" != true ] || return 0
    info "systemd: Enabling $name unit"
    as_root systemctl enable "$unit" >/dev/null 2>&1
    as_root systemctl daemon-reload >/dev/null
    [ "$INSTALL_K3S_SKIP_START" != true ] || return 0
    if [ "$installed_before" = "$(hashes)" ] && [ "$INSTALL_K3S_FORCE_RESTART" != true ]; then
        info 'No change detected so skipping service start'
        return 0
    fi
    for tables in iptables ip6tables; do
        if as_root sh -c "command -v $tables-save && command -v $tables-restore" >/dev/null; then
            as_root "$tables-save" 2>/dev/null | grep -v KUBE- | grep -iv flannel | as_root "$tables-restore"
        fi
    done
    info "systemd: Starting $name"
    as_root systemctl restart "$name"
}

# INSTALL_K3S_EXEC comes before the arguments; its words are split, and no shell character in them works.
set -- $INSTALL_K3S_EXEC "$@"
# OpenRC comes before systemd, also where both are: upstream writes /etc/init.d/k3s and no unit then.
[ ! -x /sbin/openrc-run ] || die 'OpenRC is here: the unit of systemd would not be written'
command -v systemctl >/dev/null || die 'Can not find systemd to use as a process supervisor for k3s'
settings "$@"
download
links
killall_script
uninstall_script
service
start
