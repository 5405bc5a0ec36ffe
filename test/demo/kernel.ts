/**
 * What a host's kernel holds, by bpftool and ip: the second path that the demo's figures are checked by.
 *
 * Owns: reading. Nothing here asks pulumi-ebpf. Does not own: packets (stage.ts).
 */
import { type TestHost } from "../support/host.js";

export interface Judge {
  programId: number;
  name: string;
  linkId: number;
  /** As ip names it: `xdp` (in the driver) or `xdpgeneric`. */
  mode: string;
}

interface Pinned {
  id: number;
  pinned?: string[];
}

/** The XDP program on an interface, if there is one. */
export async function judgeOf(host: TestHost, device: string): Promise<Judge | undefined> {
  type Link = { xdp?: { mode: number; prog: { id: number } } };
  const [{ xdp } = {}] = await host.ip<Link[]>("link", "show", device);
  if (xdp === undefined) return undefined;
  const programId = xdp.prog.id;
  const { name } = await host.bpftool<{ name: string }>("prog", "show", "id", String(programId));
  const links = await host.bpftool<{ id: number; type: string; prog_id: number }[]>("link", "list");
  const linkId = links.find((link) => link.type === "xdp" && link.prog_id === programId)?.id ?? 0;
  return { programId, name, linkId, mode: xdp.mode === 2 ? "generic" : "native" };
}

/** Ids of what is pinned in the host's bpffs. */
export async function pinnedOn(host: TestHost): Promise<Holdings> {
  const read = async (kind: string): Promise<number[]> => {
    const objects = await host.bpftool<Pinned[] | null>("-f", kind, "list");
    return (objects ?? []).filter(({ pinned = [] }) => pinned.length > 0).map(({ id }) => id);
  };
  return { prog: await read("prog"), map: await read("map"), link: await read("link") };
}

export type Holdings = Record<"prog" | "map" | "link", number[]>;

/** Those of the ids that the kernel still knows. */
export async function stillThere(host: TestHost, ids: Holdings): Promise<string[]> {
  const found: string[] = [];
  for (const kind of ["prog", "map", "link"] as const) {
    const all = await host.bpftool<{ id: number }[] | null>(kind, "list");
    const known = new Set((all ?? []).map(({ id }) => id));
    found.push(...ids[kind].filter((id) => known.has(id)).map((id) => `${kind} ${id}`));
  }
  return found;
}

/** What examples/firewall counted itself in its map `verdicts`, over all processors. */
export async function verdictsOf(host: TestHost): Promise<{ passed: number; dropped: number }> {
  type Row = { formatted: { key: number; values: { value: { packets: number } }[] } };
  const rows = await host.bpftool<Row[]>("map", "dump", "pinned", await pinOf(host, "verdicts"));
  const packets = (index: number): number =>
    (rows.find(({ formatted }) => formatted.key === index)?.formatted.values ?? [])
      .map(({ value }) => value.packets)
      .reduce((sum, value) => sum + value, 0);
  return { passed: packets(0), dropped: packets(1) };
}

/** Rows of the map `blocked`: `203.0.113.0/24 DROP`. */
export async function rulesOf(host: TestHost): Promise<string[]> {
  type Row = { key: string[]; value: string[] };
  const rows = await host.bpftool<Row[]>("map", "dump", "pinned", await pinOf(host, "blocked"));
  return rows
    .map(({ key, value }) => {
      const bytes = key.map(Number);
      const action = Number(value[0]) === 1 ? "DROP" : "PASS";
      return `${bytes.slice(4, 8).join(".")}/${bytes[0]} ${action}`;
    })
    .sort();
}

async function pinOf(host: TestHost, map: string): Promise<string> {
  const { stdout } = await host.exec(["find", "/sys/fs/bpf", "-path", `*/maps/${map}`]);
  const [path] = stdout.split("\n").filter((line) => line !== "");
  if (path === undefined) throw new Error(`${host.name}: no map "${map}" is pinned`);
  return path;
}
