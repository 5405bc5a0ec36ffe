/**
 * Rows apply-rules, apply-change, set-fill and set-delta: what it takes until a host judges by 100,000 rules, or by a
 * set of a million networks.
 *
 * Timed is the provider's create or update call, with the session open and the inputs checked. The rivals run on the host
 * with their files there already: `nft -f` with the same rules as interval sets, and a C program that fills an LPM map.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../../support/lab.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { rulesetOf } from "../network-policy/nft.js";
import { cidrOf, portsOf, type Workload } from "../network-policy/workloads.js";
import { compileProgram, inDirectory } from "../objects.js";
import { scp } from "../openssh.js";
import { Resource } from "../product.js";
import { type Bench, inTurn, median, ratioAtMost, type RowGroup, seconds } from "../row.js";

const RULES: Workload = { name: "W2", count: 100_000 };
const NETWORKS = 1_000_000;
const CHANGED = 10;
/** Of the host, with nothing behind it: the session comes in by another. */
const INTERFACE = "judged";
const PIN = "/sys/fs/bpf/bench-networks";

export const policyApply: RowGroup = {
  names: ["apply-rules", "apply-change", "set-fill", "set-delta"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const lab = await Lab.create();
      try {
        const host = lab.host();
        await host.exec(["ip", "link", "add", INTERFACE, "up", "type", "veth"]);
        if (wanted.has("apply-rules") || wanted.has("apply-change"))
          await rules(host, directory, wanted, bench);
        if (wanted.has("set-fill") || wanted.has("set-delta")) await sets(host, directory, wanted, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

function policy(ports: number[]): Record<string, unknown> {
  const ingress = ports.map((port, i) => ({
    name: `rule-${i}`,
    from: [{ cidr: cidrOf(RULES, i) }],
    ports: [{ protocol: "UDP", port }],
  }));
  return { interfaces: [INTERFACE], ingress };
}

async function rules(
  host: NetnsHost,
  directory: string,
  wanted: ReadonlySet<string>,
  bench: Bench,
): Promise<void> {
  const ports = Array.from({ length: RULES.count }, (_, i) => portsOf(RULES, i)!.first);
  const file = join(directory, "rules.nft");
  writeFileSync(file, rulesetOf(RULES, { form: "sets", action: "allow", stateful: true }));
  await scp(host, file, "/tmp/rules.nft");
  const changes: number[] = [];
  const checks: number[] = [];
  bench.say(`${bench.repeat} pairs of ${RULES.count.toLocaleString("en-US")} rules`);
  const values = await inTurn(
    bench.repeat,
    async () => {
      const resource = new Resource("NetworkPolicy", "rules", host.connection);
      checks.push(await seconds(() => resource.check(policy(ports))));
      const fill = await seconds(() => resource.create());
      await resource.check(policy(ports.map((port, i) => (i === RULES.count >> 1 ? 2000 : port))));
      changes.push(await seconds(() => resource.update()));
      await resource.delete();
      return fill;
    },
    async () => {
      const time = await seconds(() => host.exec(["nft", "-f", "/tmp/rules.nft"], { timeoutSeconds: 300 }));
      await host.exec(["nft", "flush", "ruleset"]);
      return time;
    },
  );
  const against = "against nft -f of the same as interval sets";
  const remark = `the check before it took ${median(checks).toFixed(2)} s`;
  if (wanted.has("apply-rules")) {
    const compares = `create of a NetworkPolicy of 100,000 rules, ${against}`;
    bench.report({ name: "apply-rules", ...values, unit: "s", goal: ratioAtMost(2), compares, remark });
  }
  if (wanted.has("apply-change")) {
    const compares = `update of one rule in 100,000, ${against}`;
    bench.report({
      name: "apply-change",
      ours: changes,
      baseline: values.baseline,
      unit: "s",
      goal: ratioAtMost(0.25),
      compares,
    });
  }
}

/** Networks of /20 to /32; `shift` moves the last ones elsewhere. */
function networks(shift = 0): { address: number; length: number }[] {
  return Array.from({ length: NETWORKS }, (_, i) => {
    const place = Math.imul(i + (i >= NETWORKS - CHANGED ? shift : 0), 40503) & 0xfffff;
    return { address: (place << 12) >>> 0, length: 20 + (i % 13) };
  });
}

async function sets(
  host: NetnsHost,
  directory: string,
  wanted: ReadonlySet<string>,
  bench: Bench,
): Promise<void> {
  const write = (list: { address: number; length: number }[]): string => {
    const file = join(directory, "networks.txt");
    const text = ({ address, length }: { address: number; length: number }) =>
      `${[24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join(".")}/${length}\n`;
    writeFileSync(file, list.map(text).join(""));
    return file;
  };
  const records = Buffer.alloc(NETWORKS * 12);
  networks().forEach(({ address, length }, i) => {
    records.writeUInt32LE(length, 12 * i);
    records.writeUInt32BE(address, 12 * i + 4);
  });
  writeFileSync(join(directory, "networks"), records);
  await scp(host, join(directory, "networks"), "/tmp/networks");
  await scp(host, await compileProgram("fill", directory), "/tmp/fill");
  const deltas: number[] = [];
  let memory = 0;
  bench.say(`${bench.repeat} pairs of ${NETWORKS.toLocaleString("en-US")} networks`);
  const values = await inTurn(
    bench.repeat,
    async () => {
      const set = new Resource("AddressSet", "networks", host.connection);
      const judge = new Resource("NetworkPolicy", "by-set", host.connection);
      await set.check({ file: write(networks()) });
      const fill = await seconds(async () => {
        await set.create();
      });
      await judge.check({
        interfaces: [INTERFACE],
        ingress: [{ name: "networks", from: [{ addressSet: set.specId }] }],
      });
      const apply = await seconds(() => judge.create());
      memory = judge.output<{ memoryBytes: number }>("status").memoryBytes;
      await set.check({ file: write(networks(NETWORKS / 100)) });
      deltas.push(await seconds(() => set.update()));
      await judge.delete();
      await set.delete();
      return fill + apply;
    },
    async () => {
      const shape = `type lpm_trie key 8 value 4 entries ${NETWORKS} name networks flags 1`;
      await host.exec(["sh", "-ec", `bpftool map create ${PIN} ${shape}`]);
      const time = await seconds(() => host.exec(["/tmp/fill", PIN, "/tmp/networks", "8", "4"]));
      await host.exec(["rm", PIN]);
      return time;
    },
  );
  const against = "against a C program that fills an LPM map on the host";
  if (wanted.has("set-fill")) {
    const compares = `create of an AddressSet of a million networks and of a policy that names it, ${against}`;
    const remark = `all maps take ${Math.round(memory / 1e6)} MB`;
    bench.report({ name: "set-fill", ...values, unit: "s", goal: ratioAtMost(3), compares, remark });
  }
  if (wanted.has("set-delta")) {
    const compares = `update of ${CHANGED} networks of a million, ${against}`;
    bench.report({
      name: "set-delta",
      ours: deltas,
      baseline: values.baseline,
      unit: "s",
      goal: ratioAtMost(0.1),
      compares,
    });
  }
}
