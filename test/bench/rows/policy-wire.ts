/**
 * Rows wire-<workload>-<rules>-<path> and plain-<workload>-<path>: real packets over a veth pair, judged by a policy or
 * by nftables with the same rules. Timed is all that one core does for a packet, from making it to the end of the receiver's
 * work.
 *
 * `stateless-tcx` is a policy without connections at the hook that policies have by default, `stateless` and `blocked` are
 * at XDP. To both sides of those two XDP sends, as live frames of BPF_PROG_TEST_RUN: veth hands them over in pages of their
 * own, as a network card with XDP does. `stateless-socket` and `blocked-socket` are the same from a socket, as all other
 * paths are: XDP on a veth copies each packet first (veth_convert_skb_to_xdp_buff), which nftables does not pay for.
 *
 * wire: against the faster of nftables with interval sets and as plain rules. plain: against plain rules, of 10,000; a
 * tracked packet meets no rule in either.
 */
import { DataPlane } from "../../support/data-plane.js";
import { type Form, rulesetOf } from "../network-policy/nft.js";
import {
  comesAsFrame,
  generationOf,
  isStateless,
  type Path,
  settingsOf,
  shapeFor,
} from "../network-policy/planes.js";
import { compileSender, type Sender, timeInTurn, Wire } from "../network-policy/wire.js";
import { type Workload } from "../network-policy/workloads.js";
import { inDirectory } from "../objects.js";
import { type Bench, median, ratioAtMost, type RowGroup, timesFaster } from "../row.js";

const PATHS: Path[] = [
  "stateless-tcx",
  "stateless",
  "stateless-socket",
  "blocked",
  "blocked-socket",
  "denied",
  "tracked",
  "new",
];
const SIZES = { W1: [10, 1000, 10_000, 100_000], W2: [10, 1000, 10_000, 100_000], W3: [1000, 10_000] };
type Name = keyof typeof SIZES;
/** Above, nftables takes a millisecond a packet for plain rules. */
const MOST_PLAIN = 10_000;

const wireRow = (name: Name, count: number, path: Path): string => `wire-${name}-${count}-${path}`;
const plainRow = (name: Name, path: Path): string => `plain-${name}-${path}`;
const NAMES = Object.keys(SIZES) as Name[];

export const policyWire: RowGroup = {
  names: NAMES.flatMap((name) =>
    PATHS.flatMap((path) => [
      ...SIZES[name].map((count) => wireRow(name, count, path)),
      ...(path === "tracked" ? [] : [plainRow(name, path)]),
    ]),
  ),
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const sender = await compileSender(directory);
      for (const name of NAMES) {
        for (const count of SIZES[name]) {
          for (const path of PATHS) {
            const rows = [
              wireRow(name, count, path),
              ...(count === MOST_PLAIN ? [plainRow(name, path)] : []),
            ];
            const chosen = rows.filter((row) => wanted.has(row));
            if (chosen.length === 0) continue;
            bench.say(`${bench.repeat} rounds of ${chosen.join(" and ")}`);
            report(chosen, await measure(sender, { name, count }, path, bench.repeat), path, bench);
          }
        }
      }
    }),
};

interface Times {
  ours: number[];
  sets: number[];
  plain?: number[];
}

async function measure(sender: Sender, workload: Workload, path: Path, repeat: number): Promise<Times> {
  const shape = shapeFor(path);
  const forms: Form[] = workload.count > MOST_PLAIN ? ["sets"] : ["sets", "plain"];
  const wires: Partial<Record<"ours" | Form, Wire>> = {};
  const generation = generationOf(workload, { ...shape, protocol: "UDP" });
  using plane = new DataPlane(...settingsOf(path, generation));
  try {
    wires.ours = await Wire.create(sender, path);
    plane.install(generation);
    wires.ours.attach(plane);
    for (const form of forms) {
      wires[form] = await Wire.create(sender, path);
      await wires[form].load(
        rulesetOf(workload, { form, action: shape.action, stateful: !isStateless(path) }),
      );
    }
    const contenders = ["ours", ...forms] as const;
    if (path === "tracked") for (const who of contenders) await wires[who]!.open(workload);
    const [ours, sets, plain] = await timeInTurn(
      contenders.map((who) => wires[who]!),
      workload,
      repeat,
    );
    const [reason, verdict] =
      path === "tracked" ? (["connection", "allow"] as const) : (["rule", shape.action] as const);
    if (plane.total(reason, "ingress", verdict) === 0n) throw new Error(`no packet was ${path}`);
    return { ours: ours!, sets: sets!, ...(plain && { plain }) };
  } finally {
    for (const wire of Object.values(wires)) await wire.destroy();
  }
}

function report(rows: string[], { ours, sets, plain }: Times, path: Path, bench: Bench): void {
  const setsAreFaster = plain === undefined || median(sets) <= median(plain);
  const text = (form: string, times?: number[]) =>
    times === undefined ? [] : [`${form} ${Math.round(median(times))} ns`];
  for (const name of rows) {
    const isPlain = name.startsWith("plain-");
    bench.report({
      name,
      ours,
      baseline: isPlain || !setsAreFaster ? plain! : sets,
      unit: "ns",
      goal: isPlain ? timesFaster(10) : ratioAtMost(1),
      compares: `a ${comesAsFrame(path) ? "frame by XDP" : "packet"} over a veth pair, sent and received, against nftables with ${isPlain || !setsAreFaster ? "plain rules" : "interval sets"}`,
      remark: [
        ...text("interval sets", sets),
        ...text("plain rules", plain),
        ...(path.endsWith("-socket") ? ["XDP on a veth copies what a socket sent"] : []),
      ].join(", "),
    });
  }
}
