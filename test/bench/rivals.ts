/**
 * What an operator without us does: scp of the object, then ssh with a script of bpftool commands. As quick as such a
 * script gets: two connections per host, not one per command.
 *
 * Owns: that script and its way to many hosts. Does not own: ssh and scp (openssh.ts).
 */
import { type TestHost } from "../support/host.js";
import { scp, ssh } from "./openssh.js";

const pins = "/sys/fs/bpf/bench";
const copy = "/tmp/bench-filter.o";
const attach = `bpftool net attach xdp pinned ${pins}/programs/drop_ports dev eth0`;
const detach = "bpftool net detach xdp dev eth0";

/** Loads and attaches filter.bpf.c's XDP program, and puts `ports` into its map. */
export async function deployByScript(host: TestHost, object: string, ports: number[]): Promise<void> {
  await scp(host, object, copy);
  const updates = ports.map((port) => {
    const key = Buffer.alloc(4);
    key.writeUInt32LE(port);
    return `bpftool map update pinned ${pins}/maps/ports key hex ${hex(key)} value hex ${hex(Buffer.alloc(8))}`;
  });
  const script = [
    "set -e",
    `mkdir -p ${pins}/maps`,
    `bpftool prog loadall ${copy} ${pins}/programs pinmaps ${pins}/maps`,
    attach,
    ...updates,
  ];
  await ssh(host, "sh -s", { input: `${script.join("\n")}\n` });
}

function hex(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
}

/** Not timed: the next run starts from nothing. */
export async function removeByScript(host: TestHost): Promise<void> {
  await host.exec(["sh", "-ec", `${detach}; rm -r ${pins} ${copy}`]);
}

/** After deployByScript: `times` detached and attached again, in a shell on the host. */
export async function swapByScript(host: TestHost, times: number): Promise<void> {
  await repeat(host, times, `${detach}; ${attach}`);
}

/** After deployByScript: `times` detached, an object loaded that the verifier rejects, the old one attached again. */
export async function rejectByScript(host: TestHost, times: number, rejected: string): Promise<void> {
  await scp(host, rejected, copy);
  const load = `! bpftool prog load ${copy} ${pins}/rejected 2>/dev/null`;
  await repeat(host, times, `${detach}; ${load}; ${attach}`);
}

async function repeat(host: TestHost, times: number, commands: string): Promise<void> {
  const loop = `i=0; while [ $i -lt ${times} ]; do ${commands}; i=$((i + 1)); done`;
  await host.exec(["sh", "-ec", loop], { timeoutSeconds: 300 });
}

/** At most `width` at a time, as `xargs -P` does. */
export async function atMost<T>(
  width: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = [...items];
  const worker = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, worker));
}
