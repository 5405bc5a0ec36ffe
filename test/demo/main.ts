/**
 * `npm run demo`: examples/firewall on two hosts that are made for it, by the real Pulumi engine, with figures; with the
 * argument `gitops`, the same program run by examples/gitops from a git repository.
 * The exit status is 0 only if every figure was as it must be.
 *
 * Owns: beginning and end. Does not own: set-up (scripts/demo.mjs), the hosts (stage.ts), the steps (steps.ts, gitops.ts).
 */
import { readFileSync } from "node:fs";
import { release } from "node:os";
import { playGitops } from "./gitops.js";
import { Screen } from "./screen.js";
import { Stage } from "./stage.js";
import { playFirewall } from "./steps.js";

interface Play {
  title: string;
  stack: string;
  perform(stage: Stage, screen: Screen): Promise<void>;
  /** What the reader can do next. */
  next: string;
}

const firewall = `
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

const gitops = `
Now from a git repository of yours: examples/gitops/README.md. It has the scripts and units that ran here, and files for
GitHub Actions, GitLab and Pulumi's Kubernetes operator.
`;

const plays: Readonly<Record<string, Play>> = {
  firewall: {
    title: "pulumi-ebpf: eBPF programs on remote hosts, by pulumi up",
    stack: "dev",
    perform: playFirewall,
    next: firewall,
  },
  gitops: {
    title: "pulumi-ebpf: eBPF programs on remote hosts, by git push",
    stack: "edge",
    perform: playGitops,
    next: gitops,
  },
};

async function main([name = "firewall", ...rest]: string[]): Promise<number> {
  const play = Object.hasOwn(plays, name) ? plays[name] : undefined;
  if (play === undefined || rest.length > 0) {
    console.error(`usage: npm run demo -- [${Object.keys(plays).join("|")}]`);
    return 2;
  }
  const screen = new Screen();
  screen.title(play.title);
  const stage = await Stage.set(screen, play.stack);
  try {
    introduce(stage, screen);
    await play.perform(stage, screen);
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}\n`);
    console.error(readFileSync(stage.log, "utf8").trimEnd().split("\n").slice(-30).join("\n"));
    console.error(`\nThe whole output of the engine: ${stage.log}`);
    return 1;
  } finally {
    await stage.strike();
  }
  console.log(`\n${screen.held} checks held, ${screen.broken.length} did not. Engine's output: ${stage.log}`);
  if (screen.broken.length === 0) console.log(play.next);
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
void main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    console.error(`demo: ${error instanceof Error ? error.message : String(error)}`);
    process.exit(1);
  },
);
