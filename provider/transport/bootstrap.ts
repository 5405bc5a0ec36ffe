/**
 * The shell text that starts the agent on a host, and delivers it first where it is missing. Pure.
 *
 * It comes by standard input of `sh -s`, so the login's own shell, its quoting and its limits do not matter, and asks
 * for no more than a POSIX shell, head -c, gzip, sha256sum, stat and mktemp (coreutils or busybox). It says what
 * happens in lines that begin with a nonce, so whatever a login prints before is no harm:
 *
 *   from <peer> <port> <address> <port>   SSH_CONNECTION of the login, which sudo drops
 *   as <user>                it goes on with `sudo -n`
 *   no-sudo                  it is not root and there is no sudo
 *   unsupported <system>     no bundle for this operating system or architecture
 *   need <arch> <variant>    the bundle is missing or damaged; answer: a line with the compressed size of each file
 *   send <path>              answer: the compressed bytes of that file
 *   damaged                  what arrived is not what was sent
 *   no-agent                 the login may only start an agent that is there, and the one of this version is not
 *   start                    the agent now has standard input and output
 *
 * A bundle directory is named by its contents, and each file in it appears by rename after all files were verified.
 * The first start after a boot verifies it again (Node itself by its size). It notes, as a delivery does, which bundle
 * and which Node the host takes in <run>/platform, and inode, size and ctime of each file of both in
 * <run>/verified-<digest>. The next ones compare those, which every write changes: to hash 3 MB and to ask Node for its
 * version would take as long as the rest of the start. So a partial or damaged one is never used but repaired, and any
 * number of deliveries at once end in the same files. A delivery also removes what has not been started for a month.
 */
import { randomBytes } from "node:crypto";
import { type Bundle, type Bundles, checksums, NODE_PATH, type Variant } from "./bundle";
import type { Architecture } from "./packages";

export const STATE_ROOT = "/var/lib/pulumi-ebpf";
export const AGENT_ROOT = `${STATE_ROOT}/agent`;
export const RUN_ROOT = "/run/pulumi-ebpf";
/** What a login that may do no more can run by `sudo -n`; ebpf.Host writes it (host-setup.ts). */
export const LAUNCHER = "/usr/local/sbin/pulumi-ebpf-agent";

/** Sets `arch`, empty where there is no agent, and `node`. */
const detectPlatform = `
case "$(uname -sm)" in
  "Linux x86_64") arch=x64 ;;
  "Linux aarch64") arch=arm64 ;;
  *) arch= ;;
esac
node=$(command -v node || command -v nodejs)`;

const askVersion = `
case "$([ -z "$node" ] || "$node" --version 2>/dev/null)" in
  v1[89].* | v[2-9][0-9].*) variant=plain ;;
  *) variant=node ;;
esac`;

/** Sets `variant` too. */
export const detectVariant = detectPlatform + askVersion;

export function newNonce(): string {
  return `pulumi-ebpf-${randomBytes(12).toString("hex")}`;
}

/** Ends in the command that replaces the shell: what follows on standard input is the agent's. */
export function bootstrapScript(bundles: Bundles, nonce: string): string {
  return `
say() { printf '\\n%s %s\\n' ${nonce} "$*"; }
[ -z "$SSH_CONNECTION" ] || say from "$SSH_CONNECTION"
script=${quote(asRoot(bundles, nonce))}
uid=
[ -r /proc/self/status ] && while read -r name _ uid _ && [ "$name" != Uid: ]; do :; done </proc/self/status
if [ "\${uid:-$(id -u)}" = 0 ]; then
  eval "$script"
elif ! command -v sudo >/dev/null; then
  say no-sudo "$(id -un)"
  exit 1
else
  say as "$(id -un)"
  if [ -x ${LAUNCHER} ] && ! sudo -n -l sh >/dev/null 2>&1; then
    exec sudo -n ${LAUNCHER} ${nonce} ${digests(bundles).join(" ")}
  fi
  exec sudo -n sh -c "$script"
fi
`;
}

/** Whichever of them the host has is the right one: it was chosen when it was installed. */
function digests(bundles: Bundles): string[] {
  return (["x64", "arm64"] as const).flatMap((arch) =>
    (["plain", "node"] as const).map((variant) => bundles.get(arch, variant).digest),
  );
}

function asRoot(bundles: Bundles, nonce: string): string {
  return `
say() { printf '\\n%s %s\\n' ${nonce} "$*"; }
umask 077
cd /
PATH=$PATH:/usr/local/bin:/usr/bin:/bin
choose() {
  case $arch-$variant in
${(["x64", "arm64"] as const).flatMap((arch) => [known(bundles, arch, "plain"), known(bundles, arch, "node")]).join("\n")}
  *) return 1 ;;
  esac
  dir=${AGENT_ROOT}/$digest
}
now() { cd "$dir" 2>/dev/null && stat -Lc '%n %i %s %z' \${node:+"$node"} $paths 2>/dev/null; }
unchanged() {
  [ -r ${RUN_ROOT}/platform ] && read -r arch variant node <${RUN_ROOT}/platform && choose || return
  [ "$(now)" = "$(cat ${RUN_ROOT}/verified-$digest 2>/dev/null || echo none)" ]
}
intact() {
  cd "$dir" 2>/dev/null && printf '%s' "$sums" | sha256sum -c >/dev/null 2>&1 &&
    { [ $variant = plain ] || [ "$(wc -c 2>/dev/null <${NODE_PATH})" -eq $node_size ]; }
}
note() {
  file=${RUN_ROOT}/$1
  { mkdir -p ${RUN_ROOT} && printf '%s\\n' "$2" >$file.$$ && mv -f $file.$$ $file; } 2>/dev/null
}
if ! unchanged; then
${detectVariant.trim()}
[ -n "$arch" ] || { say unsupported "$(uname -s) $(uname -m)"; exit 1; }
[ $variant = plain ] || node=
choose
found=$(now)
if ! intact; then
  mkdir -p ${AGENT_ROOT} && new=$(mktemp -d ${AGENT_ROOT}/.new.XXXXXX) || exit 1
  trap 'rm -rf "$new"' EXIT
  trap 'exit 1' HUP INT TERM PIPE
  find ${AGENT_ROOT} -maxdepth 1 -name '.new.*' -mmin +60 -exec rm -rf {} +
  cd "$new" || exit 1
  say need $arch $variant
  read -r sizes || exit 1
  for path in $paths; do
    mkdir -p "$(dirname "$path")"
    say send "$path"
    head -c "\${sizes%% *}" | gzip -dc >"$path" || exit 1
    sizes=\${sizes#* }
  done
  printf '%s' "$sums$node_sum" | sha256sum -c >/dev/null 2>&1 || { say damaged; exit 1; }
  [ $variant = plain ] || chmod 700 ${NODE_PATH}
  for path in $paths; do
    mkdir -p "$dir/$(dirname "$path")" && mv -f "$path" "$dir/$path" || exit 1
  done
  cd / && rm -rf "$new"
  trap - EXIT HUP INT TERM PIPE
  found=$(now)
${removeUnused}
fi
note platform "$arch $variant $node"
note verified-$digest "$found"
fi
cd /
say start
[ $variant = plain ] || node=$dir/${NODE_PATH}
exec "$node" "$dir/agent.js" serve
`;
}

/** Other bundles, a month after their last start (start.ts), but for what a unit starts at boot. */
const removeUnused = `
  for old in $(find ${AGENT_ROOT} -maxdepth 1 -type d -mtime +30); do
    old=\${old##*/}
    [ \${#old} = 64 ] && [ $old != $digest ] && ! grep -rqs $old /etc/systemd/system || continue
    rm -rf ${AGENT_ROOT}/$old ${RUN_ROOT}/*-$old
  done`;

function known(bundles: Bundles, architecture: Architecture, variant: Variant): string {
  const bundle: Bundle = bundles.get(architecture, variant);
  const node = bundle.files.filter(({ path }) => path === NODE_PATH);
  const others = bundle.files.filter(({ path }) => path !== NODE_PATH);
  return [
    `  ${architecture}-${variant})`,
    `    digest=${bundle.digest}`,
    `    paths=${quote(bundle.files.map(({ path }) => path).join(" "))}`,
    `    sums=${quote(checksums(others))}`,
    `    node_sum=${quote(checksums(node))} node_size=${node[0]?.size ?? 0} ;;`,
  ].join("\n");
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
