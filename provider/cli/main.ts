#!/usr/bin/env node
/**
 * The command `pulumi-ebpf`: what a host can do and what it holds, for people on call, without Pulumi.
 *
 * Owns: the command line, the text and JSON that it prints, the exit status. Does not own: anything about hosts or
 * objects: a command asks what the resources ask, by the same library.
 */
import { EbpfError } from "../errors";
import { readSettings } from "../lifecycle/credentials";
import { closeAll } from "../transport/pool";
import { packageVersion } from "../version";
import { readArguments } from "./arguments";
import type { Command } from "./command";
import { doctor } from "./doctor";
import { graph } from "./graph";
import { importCommand } from "./import";
import { inspect } from "./inspect";
import { ls } from "./ls";
import { plugin } from "./plugin";
import { events } from "./policy/events";
import { explain } from "./policy/explain";
import { flows } from "./policy/flows";
import { show } from "./policy/show";
import { test, verify } from "./policy/test";
import { types } from "./types";

const commands: Readonly<Record<string, Command>> = {
  doctor,
  ls,
  inspect,
  import: importCommand,
  types,
  graph,
  plugin,
  "policy show": show,
  "policy flows": flows,
  "policy events": events,
  "policy explain": explain,
  "policy test": test,
  "policy verify": verify,
};

const help = `usage: pulumi-ebpf COMMAND … [--json]

  doctor HOST       whether pulumi-ebpf can work with the host, and what its kernel lacks
  ls HOST           all that Pulumi stacks hold there
  inspect HOST ID   one of them: what the kernel shows, and drift; ID as ls prints it
  import HOST [SPEC-ID…]
                    what a stack holds there, or some of it, as the file for \`pulumi import --file\` in dynamic mode
                    --clear globals: also values of globals, which may be secret
  policy show HOST [ID]
                    network policies: what is judged, each rule with its packets, the most used first.
                    --limit N: rules shown of each (50)
  policy flows HOST connections that passed, with the rule that decided. --netns NAME, --limit N (100)
  policy events HOST [HOST…]
                    verdicts of sampled packets as they happen, until Ctrl-C: where a policy has a sampleRate.
                    --count N: ends after so many, --policy ID: what a rule of that policy decided, and what no rule did.
                    With --json a document per line
  policy explain HOST --from ADDRESS | --to ADDRESS --protocol P [--port N]
                    which rule decides about such a packet. --interface NAME, --netns NAME, --local ADDRESS,
                    --type N, --code N
  policy test FILE  expected verdicts in a JSON file, with the policies: { policies, sets, self, tests }; needs no host
  policy verify HOST FILE
                    the tests of such a file against what judges on the host. --interface NAME, --netns NAME
  types OBJECT      an object's programs, maps and globals as TypeScript; a .o or .bpf.c, needs no host
  graph [STACK]     what a stack has on which hosts, and drift as of the last refresh, as SVG; asks no host.
                    --file FILE: from what \`pulumi stack export\` printed, - for standard input
  plugin install    writes a launcher of pulumi-resource-ebpf into Pulumi's own plugin directory, for stacks in plugin
                    mode and for other languages; needs no host
  plugin path       the directory for \`plugins: providers: [{ name: ebpf, path: … }]\` in Pulumi.yaml

HOST is [user@]host[:port] or an alias of ~/.ssh/config. Its key must be in known_hosts, or given.
  --identity FILE   private key of the login; else ssh-agent and the keys of ~/.ssh/config
  --host-key KEY    public key of the host, "ssh-ed25519 AAAA…"
  --transport WAY   ssh2 (default), openssh (your own ssh command), local (this machine)
  --json            one JSON document instead of text
  --version

A password or passphrase is taken from PULUMI_EBPF_PASSWORD or PULUMI_EBPF_PRIVATE_KEY_PASSWORD.
The agent is delivered to the host if it is missing there; nothing else is changed.

exit status: 0 all is well; 1 a check failed, there is drift, or an error; 2 wrong usage
`;

async function main(args: readonly string[]): Promise<number> {
  let line: ReturnType<typeof readArguments>;
  try {
    line = readArguments(
      args,
      commands,
      readSettings(() => undefined, process.env),
    );
  } catch (error) {
    complain(error);
    return 2;
  }
  if (line === "help") return say(help);
  if (line === "version") return say(`${packageVersion()}\n`);
  const { command, json, ...rest } = line;
  try {
    const { well, ...outcome } = await command.run({
      ...rest,
      report: (message) => process.stderr.write(`${message}\n`),
      print: (text, document) => say(json ? `${JSON.stringify(document)}\n` : `${text}\n`),
    });
    if (outcome.text !== undefined)
      say(json ? `${JSON.stringify(outcome.json, null, 2)}\n` : `${outcome.text}\n`);
    return well ? 0 : 1;
  } catch (error) {
    complain(error);
    return 1;
  } finally {
    closeAll();
  }
}

function say(text: string): 0 {
  process.stdout.write(text);
  return 0;
}

function complain(error: unknown): void {
  process.stderr.write(`pulumi-ebpf: ${EbpfError.from(error).render()}\n`);
}

// `pulumi-ebpf ls … | head` is no error
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
void main(process.argv.slice(2)).then((status) => (process.exitCode = status));
