/**
 * Rows entries-binary, entries-csv and entries-delta: a million rows of a hash map on a remote host.
 *
 * Timed is the provider's create or update call, with the session open and the inputs checked, as the engine calls it.
 * The rival is scp of the same binary file and a C program on the host that calls bpf_map_update_batch, by ssh.
 * Each fill gets rows that no host has seen, and an empty map.
 */
import { openSync, writeSync, closeSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../../support/lab.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { compileProgram, inDirectory } from "../objects.js";
import { scp, ssh } from "../openssh.js";
import { Resource } from "../product.js";
import { type Bench, inTurn, median, ratioAtMost, type RowGroup, seconds } from "../row.js";

const rows = 1_000_000;
const changed = 10;
const keySize = 4;
const valueSize = 8;
const recordSize = keySize + valueSize;

export const entries: RowGroup = {
  names: ["entries-binary", "entries-csv", "entries-delta"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const fill = await compileProgram("fill", directory);
      const lab = await Lab.create();
      try {
        const run = new Fills(lab.host(), directory, fill);
        if (wanted.has("entries-binary")) await measureFill(run, "binary", 1.3, bench);
        if (wanted.has("entries-csv")) await measureFill(run, "csv", 4, bench);
        if (wanted.has("entries-delta")) await measureDelta(run, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measureFill(run: Fills, format: Format, limit: number, bench: Bench): Promise<void> {
  bench.say(`${bench.repeat} pairs of ${rows.toLocaleString("en-US")} rows from ${format}`);
  const values = await inTurn(
    bench.repeat,
    () => run.ours(format),
    () => run.rival(),
  );
  bench.report({
    name: `entries-${format}`,
    ...values,
    unit: "s",
    goal: ratioAtMost(limit),
    compares: `create of MapEntries from a ${format} file, against scp of the binary file and a C program`,
    remark: `the check before it, which reads the file, took ${median(run.checks.splice(0)).toFixed(2)} s`,
  });
}

async function measureDelta(run: Fills, bench: Bench): Promise<void> {
  bench.say(`${bench.repeat} pairs of ${changed} changes in ${rows.toLocaleString("en-US")} rows`);
  const fills: number[] = [];
  const values = await inTurn(
    bench.repeat,
    async () => {
      const { fill, update } = await run.delta();
      fills.push(fill);
      return update;
    },
    () => run.rival(),
  );
  bench.report({
    name: "entries-delta",
    ...values,
    unit: "s",
    goal: ratioAtMost(0.3),
    compares: `update of ${changed} rows in a binary file, against filling by scp and a C program`,
    remark: `our own fill took ${median(fills).toFixed(2)} s`,
  });
}

type Format = "binary" | "csv";

class Fills {
  /** Seconds of each check before a create, since it was last emptied. */
  readonly checks: number[] = [];
  private made = 0;

  constructor(
    private readonly host: NetnsHost,
    private readonly directory: string,
    private readonly fill: string,
  ) {}

  /** Seconds of a create on an empty map. */
  async ours(format: Format): Promise<number> {
    const file = this.writeRows(format);
    return this.withMap(async (map) => {
      const entries = await this.prepared(map, file, format);
      const time = await seconds(() => entries.create());
      await this.verify(map.mapId, valueOf(rows - 1, this.made));
      await entries.delete();
      return time;
    });
  }

  /** Seconds of a create, and of the update after `changed` rows were rewritten in the file. */
  async delta(): Promise<{ fill: number; update: number }> {
    const file = this.writeRows("binary");
    return this.withMap(async (map) => {
      const entries = await this.prepared(map, file, "binary");
      const fill = await seconds(() => entries.create());
      rewriteRows(file);
      await entries.check({ map: map.resource.ref, file, format: "binary" });
      const update = await seconds(() => entries.update());
      await this.verify(map.mapId, changedValue);
      await entries.delete();
      return { fill, update };
    });
  }

  /** Seconds of copying the binary file and filling an empty map from it. */
  async rival(): Promise<number> {
    const file = this.writeRows("binary");
    const pin = "/sys/fs/bpf/bench-rows";
    const shape = `type hash key ${keySize} value ${valueSize} entries ${rows} name rows`;
    await this.host.exec(["sh", "-ec", `bpftool map create ${pin} ${shape}; rm -f /tmp/rows /tmp/fill`]);
    await scp(this.host, this.fill, "/tmp/fill");
    const time = await seconds(async () => {
      await scp(this.host, file, "/tmp/rows");
      await ssh(this.host, `/tmp/fill ${pin} /tmp/rows ${keySize} ${valueSize}`);
    });
    await this.host.exec(["rm", pin]);
    return time;
  }

  private async prepared(map: OurMap, file: string, format: Format): Promise<Resource> {
    const resource = new Resource("MapEntries", `rows-${this.made}`, this.host.connection);
    this.checks.push(await seconds(() => resource.check({ map: map.resource.ref, file, format })));
    return resource;
  }

  private async withMap<T>(use: (map: OurMap) => Promise<T>): Promise<T> {
    const resource = await Resource.create("Map", `map-${this.made}`, this.host.connection, {
      type: "hash",
      key: "u32",
      value: "u64",
      maxEntries: rows,
    });
    try {
      return await use({ resource, mapId: resource.output<{ mapId: number }>("status").mapId });
    } finally {
      await resource.delete();
    }
  }

  /** By bpftool: the last row is there, with the value of the file. */
  private async verify(mapId: number, expected: bigint): Promise<void> {
    const key = Buffer.alloc(keySize);
    key.writeUInt32LE(rows - 1);
    const lookup = ["map", "lookup", "id", String(mapId), "key", ...[...key].map(String)];
    const { value } = await this.host.bpftool<{ value: string[] }>(...lookup);
    const found = Buffer.from(value.map(Number)).readBigUInt64LE();
    if (found !== expected) throw new Error(`the map holds ${found} where the file says ${expected}`);
  }

  private writeRows(format: Format): string {
    const seed = ++this.made;
    const file = join(this.directory, `rows.${format === "binary" ? "bin" : "csv"}`);
    if (format === "binary") {
      const bytes = Buffer.alloc(rows * recordSize);
      for (let i = 0; i < rows; i++) {
        bytes.writeUInt32LE(i, i * recordSize);
        bytes.writeBigUInt64LE(valueOf(i, seed), i * recordSize + keySize);
      }
      writeFileSync(file, bytes);
    } else {
      const lines = Array.from({ length: rows }, (_, i) => `${i},${valueOf(i, seed)}\n`);
      writeFileSync(file, `key,value\n${lines.join("")}`);
    }
    return file;
  }
}

interface OurMap {
  resource: Resource;
  mapId: number;
}

const changedValue = 0xffff_ffffn;

/** Differs in every row and every file. */
function valueOf(row: number, seed: number): bigint {
  return (BigInt(row) * 2_654_435_761n + BigInt(seed) * 40_503n) & 0x7fff_ffff_ffffn;
}

/** `changed` of them, the last one included. */
function rewriteRows(file: string): void {
  const value = Buffer.alloc(valueSize);
  value.writeBigUInt64LE(changedValue);
  const target = openSync(file, "r+");
  for (let i = 1; i <= changed; i++) {
    const row = (rows / changed) * i - 1;
    writeSync(target, value, 0, valueSize, row * recordSize + keySize);
  }
  closeSync(target);
}
