/**
 * Rows agent-start, rpc and agent-memory: the session with the agent of one host. The rivals of the first two are
 * OpenSSH's `ssh host node -e 0` and `ssh host bpftool`, a connection per command; memory is held against an idle Node.
 */
import { SessionPool } from "../../../provider/transport/pool.js";
import { type AgentSession } from "../../../provider/transport/session.js";
import { Lab } from "../../support/lab.js";
import { type NetnsHost } from "../../support/netns-host.js";
import { compileObject, inDirectory } from "../objects.js";
import { ssh } from "../openssh.js";
import { Resource } from "../product.js";
import {
  alwaysAtMost,
  type Bench,
  inTurn,
  ratioAtMost,
  type RowGroup,
  seconds,
  timesFaster,
} from "../row.js";

/** Per measured value: one is over too soon to be timed. */
const calls = 100;
/** Of each of the four kinds. */
const ofEachKind = 250;
const interfaces = Array.from({ length: 10 }, (_, i) => `bench${i}`);

export const session: RowGroup = {
  names: ["agent-start", "rpc", "agent-memory"],
  run: (wanted, bench) =>
    inDirectory(async (directory) => {
      const object = await compileObject("filter", directory);
      const lab = await Lab.create();
      try {
        const host = lab.host();
        await withAgent(host, async () => undefined); // delivers it
        if (wanted.has("agent-start")) await measureStart(host, bench);
        if (wanted.has("rpc")) await measureCall(host, object, bench);
        if (wanted.has("agent-memory")) await measureMemory(host, object, bench);
      } finally {
        await lab.destroy();
      }
    }),
};

async function measureStart(host: NetnsHost, bench: Bench): Promise<void> {
  const values = await inTurn(
    bench.repeat,
    async () => {
      const pool = new SessionPool();
      const time = await seconds(() => pool.open(host.connection));
      pool.closeAll();
      return time;
    },
    () => seconds(() => ssh(host, "node -e 0")),
  );
  bench.report({
    name: "agent-start",
    ...values,
    unit: "s",
    goal: ratioAtMost(1.5),
    compares: "dial and first answer of an agent that is there, against ssh host node -e 0",
  });
}

async function measureCall(host: NetnsHost, object: string, bench: Bench): Promise<void> {
  const program = await Resource.create("Program", "rpc", host.connection, { source: object });
  const pin = program.output<Record<string, { pin: string }>>("entrypoints")["drop_ports"]?.pin;
  const values = await inTurn(
    bench.repeat,
    () =>
      withAgent(host, async (agent) => {
        const time = await seconds(async () => {
          for (let call = 0; call < calls; call++) await agent.call("observe", { ids: [program.specId] });
        });
        return (time / calls) * 1000;
      }),
    async () => (await seconds(() => ssh(host, `bpftool -j prog show pinned ${pin}`))) * 1000,
  );
  await program.delete();
  bench.report({
    name: "rpc",
    ...values,
    unit: "ms",
    goal: timesFaster(100),
    compares: "observe of a Program with 2 entrypoints and 3 maps, against ssh host bpftool prog show",
  });
}

async function measureMemory(host: NetnsHost, object: string, bench: Bench): Promise<void> {
  bench.say(`${4 * ofEachKind} resources on one host`);
  for (const name of interfaces) await host.addInterface(name);
  const made: Resource[] = [];
  for (let i = 0; i < ofEachKind; i++) made.push(...(await createOneOfEach(host, object, i)));
  const values = await inTurn(
    bench.repeat,
    () =>
      withAgent(host, async (agent) => {
        await Promise.all(made.map(({ specId }) => agent.call("observe", { ids: [specId] })));
        return peakOf(host, agent.hello.pid);
      }),
    async () => {
      const { stdout } = await host.exec(["node", "-p", "process.memoryUsage.rss()"]);
      return Number(stdout) / 1e6;
    },
  );
  bench.report({
    name: "agent-memory",
    ...values,
    unit: "MB",
    goal: alwaysAtMost(150, "MB"),
    compares: `peak resident memory of an agent that observes ${made.length} resources, against an idle node`,
  });
}

async function createOneOfEach(host: NetnsHost, object: string, i: number): Promise<Resource[]> {
  const { connection } = host;
  const program = await Resource.create("Program", `program-${i}`, connection, {
    source: object,
    load: ["count_packets"],
    globals: { revision: i },
  });
  const direction = i % 2 === 0 ? "ingress" : "egress";
  const attachment = await Resource.create("Attachment", `attachment-${i}`, connection, {
    program: program.entrypoint("count_packets"),
    tcx: { interface: interfaces[(i >> 1) % interfaces.length], direction },
  });
  const shape = { type: "hash", key: "u32", value: "u64", maxEntries: 16 };
  const map = await Resource.create("Map", `map-${i}`, connection, shape);
  const rows = { map: map.ref, entries: [{ key: i, value: 0 }] };
  return [program, attachment, map, await Resource.create("MapEntries", `rows-${i}`, connection, rows)];
}

/** With a session of its own, as each Pulumi operation has. */
async function withAgent<T>(host: NetnsHost, use: (agent: AgentSession) => Promise<T>): Promise<T> {
  const pool = new SessionPool();
  try {
    return await use(await pool.open(host.connection));
  } finally {
    pool.closeAll();
  }
}

/** `pid` as the host itself counts. */
async function peakOf(host: NetnsHost, pid: number): Promise<number> {
  const { stdout } = await host.exec(["cat", `/proc/${pid}/status`]);
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(stdout)?.[1];
  if (kilobytes === undefined) throw new Error(`process ${pid} of the host shows no VmHWM`);
  return (Number(kilobytes) * 1024) / 1e6;
}
