/**
 * The shell text that makes a machine a host for good, and undoes it: what ebpf.Host runs over @pulumi/command. Pure.
 *
 * Owns: the agent's directory filled from an upload (the same that bootstrap.ts fills), the launcher, the service user,
 * sysctls, and the removal of all that. Does not own: units (host-units.ts), the upload (archive.ts), the order of things
 * (sdk/nodejs/host.ts).
 *
 * It is read by `sh -s install` or `sh -s uninstall` as root, asks for no more than bootstrap.ts does, and can be run
 * any number of times. Its standard output ends in what the units print, and a line `features <JSON>`.
 */
import { AGENT_ROOT, detectVariant, LAUNCHER, quote, RUN_ROOT, STATE_ROOT } from "./bootstrap";
import { type Bundle, checksums, NODE_PATH, type Variant } from "./bundle";
import { installUnits, removeUnits, unitFunctions, type Units } from "./host-units";

export interface HostSetup extends Units {
  /** Directory of the upload below the login's home. */
  upload: string;
  variant: Variant;
  bundle: Bundle;
  /** Name → value, as in sysctl.conf. */
  sysctls: Readonly<Record<string, string>>;
  serviceUser?: ServiceUser | undefined;
}

/** A login that may start the agent as root, and nothing else. */
export interface ServiceUser {
  name: string;
  /** Lines of its authorized_keys. */
  authorizedKeys: readonly string[];
}

const SUDOERS = "/etc/sudoers.d/pulumi-ebpf";
const SYSCTLS = "/etc/sysctl.d/60-pulumi-ebpf.conf";
/** What was before us, to be put back. */
const BEFORE = `${STATE_ROOT}/host`;

/** What says whether a machine can be a host, and which of the bundles it needs: `<arch> <variant>`. */
export const checkScript = `
say() { echo "$@" >&2; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
${detectVariant}
[ -n "$arch" ] || { say "there is no agent for $(uname -s) $(uname -m): use a Linux host with x86_64 or aarch64"; exit 1; }
for tool in gzip sha256sum mktemp find; do
  command -v $tool >/dev/null || { say "the host has no $tool: install coreutils, gzip and findutils, or busybox"; exit 1; }
done
echo "$arch $variant"
`;

/** The command line that reads a script of these on standard input, as root. */
export function asRoot(verb: "install" | "uninstall"): string {
  const run = `exec $run sh -s ${verb} "$PWD"`;
  return `sh -c ${quote(`if [ "$(id -u)" = 0 ]; then run=; else run='sudo -n'; fi; ${run}`)}`;
}

export function hostScript(setup: HostSetup): string {
  return `
set -eu
umask 077
verb=$1 home=$2
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin
cd /
fail() { echo "$@" >&2; exit 1; }
put() { mkdir -p "$(dirname "$1")"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f "$1.new" "$1"; }
${unitFunctions}
${restoreSysctls}
${removeUser}
install() {
${installAgent(setup)}
${installUnits(setup)}
${installUser(setup.serviceUser)}
${installSysctls(setup.sysctls)}
  printf 'features '; "$node" "$dir/agent.js" probe
}
uninstall() {
${uninstall}
}
$verb
`;
}

function installAgent({ bundle, variant, upload }: HostSetup): string {
  const names = bundle.files.map(({ path, sha256 }) => `${sha256}:${path}`).join(" ");
  return `
  dir=${AGENT_ROOT}/${bundle.digest}
  sums=${quote(checksums(bundle.files))}
  verify() { (cd "$1" 2>/dev/null && printf '%s' "$sums" | sha256sum -c >/dev/null 2>&1); }
  upload=$home/${upload}
  if ! verify "$dir"; then
    [ -d "$upload" ] || fail "$dir is damaged, and its upload is gone: \`npx pulumi-ebpf doctor\` for this host delivers it anew, then run this again"
    mkdir -p ${AGENT_ROOT}
    new=$(mktemp -d ${AGENT_ROOT}/.new.XXXXXX)
    trap 'rm -rf "$new"' EXIT
    for file in ${names}; do
      path=\${file#*:}
      mkdir -p "$new/$(dirname "$path")"
      packed=$(find "$upload" -name "\${file%%:*}.gz" | head -n 1)
      [ -n "$packed" ] || fail "the upload lacks $path"
      gzip -dc "$packed" >"$new/$path"
    done
    verify "$new" || fail "what arrived of the agent has another sha256: run it again; if it persists, check disk and memory"
    [ ${variant} = plain ] || chmod 700 "$new/${NODE_PATH}"
    for file in ${names}; do
      path=\${file#*:}
      mkdir -p "$dir/$(dirname "$path")"
      mv -f "$new/$path" "$dir/$path"
    done
    rm -rf "$new"
    trap - EXIT
  fi
  rm -rf "$upload"
  ${variant === "node" ? `node=$dir/${NODE_PATH}` : "node=$(command -v node || command -v nodejs)"}
  "$node" "$dir/agent.js" --version >/dev/null || fail "$dir does not start: see above"
  put ${LAUNCHER} 755 <<'END'
${launcher}END`;
}

/**
 * What a service user may run as root: the agent of one of the digests that it names, no other file, with no
 * environment of the caller's. See bootstrap.ts for its words.
 */
const launcher = `#!/bin/sh
# Written by ebpf.Host of pulumi-ebpf: starts the agent for the service user. NONCE DIGEST …
nonce=$1
shift
case "$nonce $*" in *[!a-z0-9\\ -]*) exit 2 ;; esac
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /
for digest in "$@"; do
  dir=${AGENT_ROOT}/$digest
  [ \${#digest} = 64 ] && [ -f "$dir/agent.js" ] || continue
  node=$dir/${NODE_PATH}
  [ -x "$node" ] || node=$(command -v node || command -v nodejs) || continue
  printf '\\n%s start\\n' "$nonce"
  exec env -i PATH="$PATH" "$node" "$dir/agent.js" serve
done
printf '\\n%s no-agent\\n' "$nonce"
exit 1
`;

function installUser(user: ServiceUser | undefined): string {
  if (user === undefined) return "  remove_user ''";
  const { name, authorizedKeys } = user;
  return `
  remove_user ${name}
  if ! id ${name} >/dev/null 2>&1; then
    mkdir -p ${BEFORE} && echo ${name} >${BEFORE}/user
    if command -v useradd >/dev/null; then useradd --system --create-home --shell /bin/sh --password "*" ${name}
    else adduser -S -D -s /bin/sh ${name}; passwd -u ${name} >/dev/null 2>&1 || true; fi
  fi
  command -v sudo >/dev/null || fail "a service user needs sudo, which the host has not"
  eval "their=~${name}"
  put "$their/.ssh/authorized_keys" 600 <<'END'
${authorizedKeys.join("\n")}
END
  chown -R ${name} "$their/.ssh"
  put ${SUDOERS}.checked 440 <<'END'
${name} ALL=(root) NOPASSWD: ${LAUNCHER}
END
  ! command -v visudo >/dev/null || visudo -cqf ${SUDOERS}.checked
  mv -f ${SUDOERS}.checked ${SUDOERS}`;
}

/** Keeps the user of the given name; touches none that was there before us. */
const removeUser = `
remove_user() {
  former=$(cat ${BEFORE}/user 2>/dev/null) || former=
  rm -f ${SUDOERS}
  [ -n "$former" ] && [ "$former" != "$1" ] || return 0
  if command -v userdel >/dev/null; then userdel --remove "$former" 2>/dev/null || userdel "$former"
  else deluser "$former" >&2; fi
  rm -f ${BEFORE}/user
}`;

/** A value is noted once, before it is set for the first time; what is not wanted any more gets its own back. */
function installSysctls(sysctls: Readonly<Record<string, string>>): string {
  const entries = Object.entries(sysctls);
  const wanted = entries.map(([name]) => name).join(" ");
  const lines = entries.map(([name, value]) => `  set_sysctl ${name} ${quote(value)}`);
  const file = entries.map(([name, value]) => `${name} = ${value}\n`).join("");
  return `
  restore_sysctls ${quote(` ${wanted} `)}
${lines.join("\n")}
${entries.length === 0 ? `  rm -f ${SYSCTLS}` : `  put ${SYSCTLS} 644 <<'END'\n${file}END`}`;
}

const restoreSysctls = `
path_of() { echo "/proc/sys/$(echo "$1" | tr . /)"; }
set_sysctl() {
  path=$(path_of "$1")
  [ -e "$path" ] || fail "the host has no sysctl $1"
  mkdir -p ${BEFORE}/sysctls
  [ -e ${BEFORE}/sysctls/"$1" ] || cat "$path" >${BEFORE}/sysctls/"$1"
  echo "$2" >"$path" || fail "sysctl $1 does not take $2"
}
restore_sysctls() {
  for note in ${BEFORE}/sysctls/*; do
    [ -e "$note" ] || continue
    name=\${note##*/}
    case "$1" in *" $name "*) continue ;; esac
    cat "$note" >"$(path_of "$name")" || true
    rm -f "$note"
  done
}`;

/** The directory of the Records is removed only if it is empty, in one step: what holds something stays whole. */
const uninstall = `
  if [ -d ${STATE_ROOT}/records ] && ! rmdir ${STATE_ROOT}/records 2>/dev/null; then
    echo "this host still holds resources of other stacks, or such that were dropped from a state:" >&2
    for record in ${STATE_ROOT}/records/*.json; do
      record=\${record##*/}
      echo "  \${record%.json}" | sed 's/%2F/\\//g; s/%3A/:/g; s/%2E/./g' >&2
    done
    fail "destroy those first, or keep the host with \\\`pulumi state delete\\\`"
  fi
${removeUnits}
  remove_user ''
  restore_sysctls ''
  rm -f ${SYSCTLS} ${LAUNCHER}
  [ ! -d /sys/fs/bpf/pulumi-ebpf ] || find /sys/fs/bpf/pulumi-ebpf -depth -type d -exec rmdir {} + || true
  for root in ${STATE_ROOT} ${RUN_ROOT}; do
    [ ! -d $root ] || find $root -mindepth 1 -delete
    rmdir $root 2>/dev/null || true # a mount point stays
  done`;
