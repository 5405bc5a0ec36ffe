/**
 * What differs from kernel to kernel: every hook that it has passes the contract of Attachment, what it lacks is a
 * clear error that names the remedy, and maps hold their rows where batches are missing.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { closeAll } from "../../provider/transport/pool";
import { attachmentContract } from "../e2e/attachments/contract";
import { type AttachmentKind, kindOf } from "../e2e/attachments/kinds";
import { bpffsOf } from "../e2e/filter";
import { ManagedResource } from "../support/managed-resource";
import type { KernelName } from "./machine/images";
import { carried, type Vm } from "./machine/vm";

const source = resolve(__dirname, "../fixtures/e2e/contract.bpf.c");

const withoutTcx: readonly KernelName[] = ["5.10", "6.1"];
const withoutPerfLink: readonly KernelName[] = ["5.10"];

/** With no TCX a clsact filter stands in, if the user allows it. */
const tcxFallback: AttachmentKind = {
  ...kindOf("tc ingress"),
  title: "tcx ingress, by its fallback",
  args: () => ({ tcx: { interface: "eth0", direction: "ingress", fallback: "tc" } }),
};

function kindsOf(kernel: KernelName): AttachmentKind[] {
  const everywhere = ["xdp native", "xdp generic", "tc egress", "cgroup connect4", "raw tracepoint"].map(
    kindOf,
  );
  const tcx = withoutTcx.includes(kernel) ? tcxFallback : kindOf("tcx ingress");
  return [...everywhere, tcx, ...(withoutPerfLink.includes(kernel) ? [] : [kindOf("tracepoint")])];
}

/** Tests on a machine that is up. */
export function kernelLimits(kernel: KernelName, machine: () => Vm): void {
  describe("Given its hooks and maps", () => {
    const host = () => machine().host();
    after(closeAll);

    for (const kind of kindsOf(kernel)) {
      describe(`Attachment to ${kind.title}`, () => attachmentContract(kind, machine, carried));
    }

    if (withoutTcx.includes(kernel)) {
      it("has no tcx: the error names the kernel that has it, and the fallback", async () => {
        const tcx = { interface: "eth0", direction: "ingress" };
        await refused("guard_tc", { tcx }, [/needs Linux 6\.6/, hostKernel(machine()), /fallback: "tc"/]);
      });
    }

    if (withoutPerfLink.includes(kernel)) {
      it("has no links of tracepoints: the error names the kernel that has them, and rawTracepoint", async () => {
        const tracepoint = { event: "sched/sched_process_exec" };
        const expected = [/needs Linux 5\.15/, hostKernel(machine()), /rawTracepoint/];
        await refused("guard_tracepoint", { tracepoint }, expected);
      });
    }

    it("holds 1,000 rows of an LPM trie, and takes a delta", async () => {
      const shape = { type: "lpm_trie", key: "cidr4", value: "u32", maxEntries: 1_000 };
      const map = await ManagedResource.create("Map", "networks", { ...connected(), ...shape });
      const rows = Array.from({ length: 1_000 }, (_, n) => ({
        key: `10.${n >> 8}.${n & 255}.0/24`,
        value: n,
      }));
      const args = { map: map.asMap(), mode: "authoritative" };
      const entries = await ManagedResource.create("MapEntries", "networks", {
        ...connected(),
        ...args,
        entries: rows,
      });
      assert.deepEqual(new Set(await dump("networks")), new Set(rows.map(networkRow)));
      const changed = rows.slice(1).map((row) => (row.value === 999 ? { ...row, value: 7 } : row));
      assert.equal(await entries.update({ ...connected(), ...args, entries: changed }), true);
      assert.deepEqual(new Set(await dump("networks")), new Set(changed.map(networkRow)));
      assert.deepEqual(await entries.refresh(), []);
      await entries.delete();
      assert.deepEqual(await dump("networks"), []);
      await map.delete();
    });

    it("loads the program of network policies, with connections and without", async () => {
      const policy = resolve(__dirname, "../../dist/provider/modules/network-policy/network-policy.bpf.o");
      // a verifier walks only what these constants leave
      for (const globals of [{}, { untracked: 1 }]) {
        const args = { ...connected(), source: policy, globals };
        const program = await ManagedResource.create("Program", "policy", args);
        const { stdout } = await host().exec(["bpftool", "-j", "prog", "show", "name", "judge_xdp"]);
        assert.match(stdout, /"type":"xdp"/);
        await program.delete();
      }
    });

    it("holds rows of a per-CPU array, one value for all processors or one for each", async () => {
      const shape = { type: "percpu_array", value: "u32", maxEntries: 4 };
      const map = await ManagedResource.create("Map", "counters", { ...connected(), ...shape });
      const args = { ...connected(), map: map.asMap() };
      const all = [{ key: 1, value: 5 }];
      const entries = await ManagedResource.create("MapEntries", "counters", { ...args, entries: all });
      assert.deepEqual((await perCpu("counters"))[1], [5, 5]);
      const each = [{ key: 2, value: { perCpu: [6, 7] } }];
      const others = await ManagedResource.create("MapEntries", "others", { ...args, entries: each });
      assert.deepEqual((await perCpu("counters")).slice(1, 3), [
        [5, 5],
        [6, 7],
      ]);
      assert.deepEqual([await entries.refresh(), await others.refresh()], [[], []]);
      await others.delete();
      await entries.delete();
      await map.delete();
    });

    it("keeps nothing of all that", async () => {
      assert.deepEqual(await bpffsOf(host()), []);
      const qdiscs = await host().exec(["tc", "qdisc", "show", "dev", "eth0"]);
      assert.doesNotMatch(qdiscs.stdout, /clsact/);
    });

    const connected = () => ({ connection: host().connection });

    /** That an Attachment of the entrypoint fails so, and leaves nothing. */
    async function refused(entrypoint: string, hook: object, expected: RegExp[]): Promise<void> {
      const loaded = { ...connected(), source, load: [entrypoint] };
      const program = await ManagedResource.create("Program", "limits", loaded);
      const pins = await bpffsOf(host());
      const args = { ...connected(), program: program.entrypoint(entrypoint), ...hook };
      await assert.rejects(ManagedResource.create("Attachment", "limits", args), ({ message }: Error) => {
        for (const pattern of expected) assert.match(message, pattern);
        return true;
      });
      assert.deepEqual(await bpffsOf(host()), pins);
      await program.delete();
    }

    const pinned = async (name: string): Promise<string> => {
      const pin = (await bpffsOf(host())).find((path) => path.endsWith(`/maps/${name}`));
      return pin ?? assert.fail(`no pin of map ${name}`);
    };

    /** Rows of an LPM trie as bpftool shows them: bytes of prefix length and address, then of the value. */
    async function dump(name: string): Promise<string[]> {
      const rows = await host().bpftool<Row[]>("map", "dump", "pinned", await pinned(name));
      return rows.map(({ key, value }) => [...key, ...value].map(Number).join(" "));
    }

    async function perCpu(name: string): Promise<number[][]> {
      const rows = await host().bpftool<PerCpuRow[]>("map", "dump", "pinned", await pinned(name));
      return rows.map(({ values }) => values.map(({ value }) => littleEndian(value)));
    }
  });
}

interface Row {
  key: string[];
  value: string[];
}

interface PerCpuRow {
  key: string[];
  values: { cpu: number; value: string[] }[];
}

const littleEndian = (bytes: string[]): number => Buffer.from(bytes.map(Number)).readUInt32LE();

function networkRow({ key, value }: { key: string; value: number }): string {
  const [address = "", prefix = ""] = key.split("/");
  return [Number(prefix), 0, 0, 0, ...address.split("."), value & 255, value >> 8, 0, 0].join(" ");
}

const hostKernel = (vm: Vm): RegExp => new RegExp(vm.release.replaceAll(/[.+]/g, "\\$&"));
