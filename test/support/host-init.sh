#!/bin/bash
# PID 1 of a network-namespace host; started by netns-host.ts inside fresh mount, pid, cgroup and uts namespaces.
#   host-init.sh BASE      BASE/files: laid over the root; BASE/host.env: settings; BASE/addresses: for `ip -batch`
# The host's root is an overlay over the machine's, so whatever happens in it stays in it. Ends when stdin does.
set -euo pipefail
trap 'echo "line $LINENO: $BASH_COMMAND: status $?; $(tail -n 3 /run/host/sshd.log 2>/dev/null)" >&2' ERR
base=$1
# shellcheck disable=SC1091
. "$base/host.env" # hostname, disk_size, remove (list of files), mounts (of the machine, beside /)
read -r pid _ < /proc/self/stat # as seen from outside
hostname "$hostname"

mount -t tmpfs -o mode=755 tmpfs "$base/disk"
root=$base/disk/root
mkdir "$root"
number=0
for directory in / $mounts; do # each file system of the machine gets its own overlay
  layer=$base/disk/layer$((number++))
  mkdir "$layer" "$layer/upper" "$layer/work"
  [ "$directory" != / ] || cp -a "$base/files/." "$layer/upper/"
  mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" overlay "$root$directory"
done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t bpf -o mode=700 bpf "$root/sys/fs/bpf"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tracefs tracefs "$root/sys/kernel/tracing"
[ ! -d /sys/kernel/security ] || mount -t securityfs securityfs "$root/sys/kernel/security"
cat "$base/accounts/passwd" >> "$root/etc/passwd"
cat "$base/accounts/group" >> "$root/etc/group"
cat "$base/accounts/shadow" >> "$root/etc/shadow"
ip -batch "$base/addresses"
cd "$root"
pivot_root . .
umount -l .
cd /

mkdir -p /run/sshd /run/pulumi-ebpf /run/host /var/lib/pulumi-ebpf
mount -t tmpfs -o "mode=700,size=$disk_size" tmpfs /var/lib/pulumi-ebpf
for user in deploy guest; do mkdir -p "/run/home/$user"; chown "$user:$user" "/run/home/$user"; done
# shellcheck disable=SC2086
[ -z "$remove" ] || rm -f $remove
cp /proc/sys/kernel/random/uuid /run/host/boot_id
mount --bind /run/host/boot_id /proc/sys/kernel/random/boot_id
/usr/sbin/sshd -f /etc/ssh/sshd_config_host -E /run/host/sshd.log
until [ -s /run/host/sshd.pid ]; do sleep 0.01; done # it listens
echo "$pid"
# bash reaps what the sessions leave behind
while read -r _; do :; done
