/**
 * `doctor HOST`: the way to the host step by step, then what its kernel can and cannot do, each with a remedy.
 *
 * A step counts as done when a later one was reached: the session says at which it failed.
 */
import { EbpfError, type ErrorDetails } from "../errors";
import { Bundles } from "../transport/bundle";
import { type Connection, hostLabel } from "../transport/connection";
import type { AgentSession } from "../transport/session";
import { resolveHost } from "../transport/ssh-config";
import { type Check, failed, featureChecks, ok, recordCheck } from "./checks";
import { columns, type Command, type Invocation } from "./command";
import { openHost } from "./host";

export const doctor: Command = {
  operands: ["HOST"],
  async run(invocation) {
    const checks = await examine(invocation);
    const host = hostLabel(invocation.connections[0]!);
    return {
      well: checks.every(({ status }) => status !== "fail"),
      text: `${host}\n${table(checks)}`,
      json: { host, checks },
    };
  },
};

async function examine(invocation: Invocation): Promise<Check[]> {
  const connection = invocation.connections[0]!;
  try {
    await Bundles.load();
  } catch (error) {
    return [failed("package", EbpfError.from(error))];
  }
  const start = performance.now();
  let session: AgentSession;
  try {
    session = await openHost(invocation);
  } catch (error) {
    return failedWay(connection, EbpfError.from(error));
  }
  const took = `answered after ${Math.round(performance.now() - start)} ms`;
  const way = await passedWay(connection);
  const agent = ok("agent", `${session.hello.agent.slice(0, 12)}, process ${session.hello.pid}, ${took}`);
  const features = await session.call("probe", {});
  return [...way, agent, ...featureChecks(features), recordCheck(await session.call("list", {}))];
}

type Phase = ErrorDetails["transport"]["phase"];

/** Steps of each way to a host, with the phases of an error that mean them. `root` and `agent` follow on all. */
const ways: Record<NonNullable<Connection["transport"]>, [step: string, phases: Phase[]][]> = {
  ssh2: [
    ["configuration", ["config"]],
    ["reach", ["dial"]],
    ["host key", ["host-key"]],
    ["login", ["auth", "exec"]],
  ],
  // ssh itself tells only in words where it failed
  openssh: [["ssh", ["config", "dial", "host-key", "auth", "exec"]]],
  local: [],
};

export function failedWay(connection: Connection, error: EbpfError): Check[] {
  const way = ways[connection.transport ?? "ssh2"];
  const steps = [...way.map(([step]) => step), "root", "agent"];
  let at = EbpfError.is(error, "permission") ? "root" : "agent";
  if (EbpfError.is(error, "invalid")) at = steps[0]!;
  if (EbpfError.is(error, "transport")) {
    at = way.find(([, phases]) => phases.includes(error.details.phase))?.[0] ?? at;
  }
  return [...steps.slice(0, steps.indexOf(at)).map((step) => ok(step, "")), failed(at, error)];
}

async function passedWay(connection: Connection): Promise<Check[]> {
  const { transport = "ssh2" } = connection;
  if (transport === "local") return [ok("root", "this machine")];
  if (transport === "openssh")
    return [ok("ssh", "key-checked and logged in by the ssh command"), ok("root", "")];
  const { host, port, user, proxyJump } = await resolveHost(connection);
  const jumps = connection.proxy === undefined ? proxyJump : [hostLabel(connection.proxy)];
  return [
    ok(
      "configuration",
      `${hostLabel({ host, port, user })}${jumps.length === 0 ? "" : ` by way of ${jumps.join(", ")}`}`,
    ),
    ok("reach", ""),
    ok("host key", connection.hostKey === undefined ? "as known_hosts has it" : "as given"),
    ok("login", user),
    ok("root", user === "root" ? "by login" : "by sudo -n"),
  ];
}

function table(checks: readonly Check[]): string {
  return columns(
    checks.flatMap(({ check, status, detail, remedy }) => [
      [`  ${status}`, check, detail],
      ...(remedy === undefined ? [] : [["", "", `→ ${remedy}`]]),
    ]),
  );
}
