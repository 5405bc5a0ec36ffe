/**
 * `npm run demo`: examples/firewall on two hosts that are made for it, by the real Pulumi engine, with figures; with the
 * argument `gitops`, the same program run by examples/gitops from a git repository; with `network-policy`, who reaches
 * whom among three hosts of examples/network-policy.
 * The exit status is 0 only if every figure was as it must be.
 *
 * Owns: beginning and end. Does not own: set-up (scripts/demo.mjs), the hosts (stage.ts), the steps (steps.ts, gitops.ts, network-policy.ts).
 */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { engineLog } from "./engine.js";
import { playGitops } from "./gitops.js";
import { playNetworkPolicy } from "./network-policy.js";
import { Screen } from "./screen.js";
import { Stage } from "./stage.js";
import { playFirewall } from "./steps.js";

interface Play {
  title: string;
  /** Hosts, project, and what happens there; takes all of it down again. */
  perform(screen: Screen): Promise<void>;
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

const networkPolicy = `
Now on hosts of yours: examples/network-policy. Give \`management\` the networks you administer them from, begin with
mode "audit", and look at \`npx pulumi-ebpf policy show HOST\` before you enforce.
`;

const plays: Readonly<Record<string, Play>> = {
  firewall: {
    title: "pulumi-ebpf: eBPF programs on remote hosts, by pulumi up",
    perform: (screen) => onFirewall(screen, "dev", playFirewall),
    next: firewall,
  },
  gitops: {
    title: "pulumi-ebpf: eBPF programs on remote hosts, by git push",
    perform: (screen) => onFirewall(screen, "edge", playGitops),
    next: gitops,
  },
  "network-policy": {
    title: "pulumi-ebpf: who may talk to whom, as code",
    perform: playNetworkPolicy,
    next: networkPolicy,
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
  try {
    await play.perform(screen);
  } catch (error) {
    console.error(`\n${error instanceof Error ? error.message : String(error)}\n`);
    if (existsSync(engineLog))
      console.error(readFileSync(engineLog, "utf8").trimEnd().split("\n").slice(-30).join("\n"));
    console.error(`\nThe whole output of the engine: ${engineLog}`);
    return 1;
  }
  console.log(`\n${screen.held} checks held, ${screen.broken.length} did not. Engine's output: ${engineLog}`);
  if (screen.broken.length === 0) console.log(play.next);
  return screen.broken.length === 0 ? 0 : 1;
}

async function onFirewall(
  screen: Screen,
  stack: string,
  perform: (stage: Stage, screen: Screen) => Promise<void>,
): Promise<void> {
  const stage = await Stage.set(screen, stack);
  try {
    introduce(stage, screen);
    await perform(stage, screen);
  } finally {
    await stage.strike();
  }
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
