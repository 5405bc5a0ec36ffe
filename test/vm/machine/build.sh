#!/bin/bash
# Builds what vm.ts boots: Debian kernels with their modules and an initramfs, and one Debian root for all of them.
#   build.sh DIRECTORY     what DIRECTORY has already is kept
# The mirror is the machine's own (or $DEBIAN_MIRROR); its apt is only read.
set -euo pipefail
directory=$1
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=${DEBIAN_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* /etc/apt/mirrors/* 2>/dev/null |
  grep -oE 'https?://[^ ]+/debian/?( |$)' | head -1 | tr -d ' ' || true)}
[ -n "$mirror" ] || { echo "no Debian mirror in apt's sources: set DEBIAN_MIRROR" >&2; exit 1; }
declare -A suites=([5.10]=bullseye [6.1]=bookworm [6.12]=trixie [sid]=sid)
mkdir -p "$directory"
exec 9> "$directory/lock"
flock 9
work=$(mktemp -d -p "$directory" build.XXXXXX)
trap 'rm -rf "$work"' EXIT

# A private apt for one suite: sets `options`. A mirror's index of sid may be past its date; signatures are checked.
private_apt() { # SUITE
  local apt=$work/apt-$1
  mkdir -p "$apt"/{state/lists/partial,cache/archives/partial,parts}
  echo "deb [signed-by=$keyring] $mirror $1 main" > "$apt/sources.list"
  : > "$apt/status"
  options=(-qq -o "Dir::State=$apt/state" -o "Dir::State::status=$apt/status" -o "Dir::Cache=$apt/cache"
    -o "Dir::Etc::SourceList=$apt/sources.list" -o "Dir::Etc::SourceParts=$apt/parts" -o APT::Sandbox::User=root
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
  apt-get "${options[@]}" update
}

unpack() { # PACKAGE DIRECTORY
  local download
  download=$(mktemp -d -p "$work")
  (cd "$download" && apt-get "${options[@]}" download "$1")
  dpkg-deb -x "$download"/*.deb "$2"
  rm -r "$download"
}

kernel() { # NAME
  local kernel=$work/$1 tree=$work/$1/tree version package
  mkdir -p "$tree/usr/lib"
  ln -s usr/lib "$tree/lib"
  private_apt "${suites[$1]}"
  # the newest of the suite; sid splits it into linux-image, -binary, -modules and -base
  version=$(apt-cache "${options[@]}" show linux-image-cloud-amd64 |
    sed -n 's/^Depends:.*linux-image-\([0-9][^ ,]*\).*/\1/p' | head -1)
  for package in $(apt-cache "${options[@]}" search --names-only \
    "^linux-(image|binary|modules|base)-${version//+/\\+}\$" | cut -d' ' -f1); do unpack "$package" "$tree"; done
  [ -L "$tree/lib" ] || { mv "$tree/lib/modules" "$tree/usr/lib/" && rm -rf "$tree/lib" && ln -s usr/lib "$tree/lib"; }
  version=$(ls "$tree/usr/lib/modules")
  echo "$version" > "$kernel/version"
  mv "$(find "$tree" -name 'vmlinuz*' -type f | head -1)" "$kernel/vmlinuz"
  depmod -b "$tree" "$version"
  initramfs "$tree" "$version" "$kernel"
  local megabytes=$(($(du -sm "$tree/usr/lib/modules" | cut -f1) * 5 / 4 + 16))
  mke2fs -qF -t ext4 -O ^has_journal -m 0 -d "$tree/usr/lib/modules" "$kernel/modules.img" "${megabytes}M"
  rm -rf "$tree"
  mv "$kernel" "$directory/$1"
}

# busybox and the modules that disk and network need, unpacked, in the order of their dependencies
initramfs() { # TREE VERSION KERNEL
  local initramfs=$work/initramfs file name module
  rm -rf "$initramfs"
  mkdir -p "$initramfs"/{bin,modules,proc,sys,dev,new}
  cp "$(command -v busybox)" "$initramfs/bin/busybox"
  for module in virtio_pci virtio_mmio virtio_blk virtio_net virtio_rng ext4; do
    modprobe -d "$1" -S "$2" --show-depends "$module" 2>/dev/null | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' | while read -r file; do
    name=$(basename "$file")
    name=${name%.ko*}.ko
    case $file in *.xz) xz -dc "$file" ;; *.zst) zstd -qdc "$file" ;; *) cat "$file" ;; esac > "$initramfs/modules/$name"
    echo "$name"
  done > "$initramfs/order"
  cp "$(dirname "$0")/initramfs-init" "$initramfs/init"
  chmod 755 "$initramfs/init"
  (cd "$initramfs" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) > "$3/initrd"
}

root() {
  local root=$work/root
  mmdebstrap --quiet --variant=essential --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Check-Valid-Until "false"' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --include=openssh-server,bpftool,iproute2,ethtool,kmod,nftables,busybox-static,libstdc++6,procps,iputils-ping,sudo,systemd,udev \
    trixie "$root" "deb [signed-by=$keyring] $mirror trixie main"
  ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/id"
  install -D -m 600 "$work/id.pub" "$root/root/.ssh/authorized_keys"
  chmod 700 "$root/root/.ssh"
  cp "$root/etc/ssh/ssh_host_ed25519_key.pub" "$work/host_key.pub"
  echo vm > "$root/etc/hostname"
  echo '127.0.0.1 localhost vm' > "$root/etc/hosts"
  mkdir -p "$root/vm" "$root/lib/modules" "$root/etc/ssh/sshd_config.d"
  install -m 755 "$(dirname "$0")/vm-init" "$root/vm/init"
  # a handshake is emulated too: cheap cryptography
  printf '%s\n' 'HostKey /etc/ssh/ssh_host_ed25519_key' 'KexAlgorithms curve25519-sha256' 'UsePAM no' 'UseDNS no' \
    'MaxStartups 100' 'MaxSessions 100' 'PrintMotd no' > "$root/etc/ssh/sshd_config.d/vm.conf"
  printf '%s\n' '::respawn:/usr/sbin/sshd -D -e' '::ctrlaltdel:/bin/busybox reboot' > "$root/etc/inittab"
  rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
  mke2fs -qF -t ext4 -m 0 -d "$root" "$work/root.img" 1500M
  mv "$work/id" "$work/id.pub" "$work/host_key.pub" "$directory/"
  mv "$work/root.img" "$directory/"
}

[ -f "$directory/root.img" ] || root
for name in "${!suites[@]}"; do
  [ -d "$directory/$name" ] || kernel "$name"
done
