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
 * The first start after a boot verifies it again (Node itself by its size) and notes inode, size and ctime of each
 * file in <run>/verified-<digest>, and of a Node of the host's own in <run>/node; the next ones compare those, which
 * every write changes, since to hash 3 MB takes as long as to load them. So a partial or damaged one is never used but
 * repaired, and any number of deliveries at once end in the same files. A delivery also removes what has not been
 * started for a month.
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

/** As askVersion, which takes as long as all the rest: a Node that is new enough is noted, as the bundle's files are. */
const recallVersion = `
before=
[ -r ${RUN_ROOT}/node ] && read -r before <${RUN_ROOT}/node
now=$([ -z "$node" ] || stat -Lc '%n %i %s %z' "$node" 2>/dev/null)
if [ -n "$now" ] && [ "$now" = "$before" ]; then
  variant=plain
else
  ${askVersion.trim()}
  [ $variant = plain ] && ${noted("node")}
fi`;

export function newNonce(): string {
  return `pulumi-ebpf-${randomBytes(12).toString("hex")}`;
}

/** Ends in the line that replaces the shell: what follows on standard input is the agent's. */
export function bootstrapScript(bundles: Bundles, nonce: string): string {
  return `
say() { printf '\\n%s %s\\n' ${nonce} "$*"; }
[ -z "$SSH_CONNECTION" ] || say from "$SSH_CONNECTION"
script=${quote(asRoot(bundles, nonce))}
if [ "$(id -u)" = 0 ]; then run=; elif command -v sudo >/dev/null; then run='sudo -n'; say as "$(id -un)"; else say no-sudo "$(id -un)"; exit 1; fi
if [ -n "$run" ] && [ -x ${LAUNCHER} ] && ! sudo -n -l sh >/dev/null 2>&1; then
  exec sudo -n ${LAUNCHER} ${nonce} ${digests(bundles).join(" ")}
fi
exec $run sh -c "$script"
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
${detectPlatform}
${recallVersion}
[ -n "$arch" ] || { say unsupported "$(uname -s) $(uname -m)"; exit 1; }
case $arch-$variant in
${(["x64", "arm64"] as const).flatMap((arch) => [known(bundles, arch, "plain"), known(bundles, arch, "node")]).join("\n")}
esac
dir=${AGENT_ROOT}/$digest
[ $variant = plain ] || node=$dir/${NODE_PATH}
intact() {
  cd "$dir" 2>/dev/null || return 1
  now=$(stat -c '%n %i %s %z' $paths 2>/dev/null)
  [ -n "$now" ] && [ "$now" = "$(cat ${RUN_ROOT}/verified-$digest 2>/dev/null)" ] && return
  printf '%s' "$sums" | sha256sum -c >/dev/null 2>&1 &&
    { [ $variant = plain ] || [ "$(wc -c 2>/dev/null <${NODE_PATH})" -eq $node_size ]; } || return
  ${noted("verified-$digest")}
  return 0
}
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
${removeUnused}
fi
cd /
say start
exec "$node" "$dir/agent.js" serve
`;
}

/** Keeps `now`; where it cannot be kept, the next start finds out again. */
function noted(name: string): string {
  const file = `${RUN_ROOT}/${name}`;
  return `{ mkdir -p ${RUN_ROOT} && printf '%s\\n' "$now" >${file}.$$ && mv -f ${file}.$$ ${file}; } 2>/dev/null`;
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
