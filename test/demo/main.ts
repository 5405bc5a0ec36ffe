/**
 * `npm run demo`: examples/firewall on two hosts that are made for it, by the real Pulumi engine, with figures.
 * The exit status is 0 only if every figure was as it must be.
 *
 * Owns: beginning and end. Does not own: set-up (scripts/demo.mjs), the hosts (stage.ts), the steps (steps.ts).
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { Screen } from "./screen.js";
import { Stage } from "./stage.js";
import { play } from "./steps.js";

const next = `
Now on a host of yours, which you reach by ssh as root or with sudo:

   npm pack                                              # in this clone: pulumi-ebpf-0.1.0.tgz
   cp -r examples/firewall ~/firewall && cd ~/firewall
   npm install ./path/to/pulumi-ebpf-0.1.0.tgz
   pulumi stack init dev
   pulumi config set --path 'hosts[0].name' edge-1
   pulumi config set --path 'hosts[0].connection.host' edge-1.example.net
   pulumi config set --path 'hosts[0].interface' eth0
   pulumi preview                                        # its own verifier judges; nothing is attached
   pulumi up
`;

async function main(): Promise<number> {
  const screen = new Screen();
  screen.title("pulumi-ebpf: eBPF programs on remote hosts, by pulumi up");
  const stage = await Stage.set(screen);
  try {
    introduce(stage, screen);
    await play(stage, screen);
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}\n`);
    console.error(readFileSync(stage.log, "utf8").trimEnd().split("\n").slice(-30).join("\n"));
    console.error(`\nThe whole output of the engine: ${stage.log}`);
    return 1;
  } finally {
    await stage.strike();
  }
  console.log(`\n${screen.held} checks held, ${screen.broken.length} did not. Engine's output: ${stage.log}`);
  if (screen.broken.length === 0) console.log(next);
  return screen.broken.length === 0 ? 0 : 1;
}

function introduce({ edge1, edge2 }: Stage, screen: Screen): void {
  screen.note(
    `Two hosts with an sshd and host key each, and a client, in network namespaces of this machine.`,
  );
  for (const [name, { connection, address }] of [
    ["edge-1", edge1],
    ["edge-2", edge2],
  ] as const) {
    screen.note(
      `${name}  ssh ${connection.user}@${connection.host}   packets to ${address} on eth0   Linux ${release()}`,
    );
  }
}

// hosts and project take themselves down when the process exits
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));
void main().then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
