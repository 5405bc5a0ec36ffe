/**
 * The agent's process: `agent serve` speaks RPC on stdin and stdout, `agent restore` brings everything back after a
 * reboot, with `--interface NAME` the policies that select an interface which has just come, with `--new-interfaces` those
 * of all that udev has noted since; `agent revert <spec id>` takes a change back that nobody confirmed, `agent probe` says what the host can, `agent --version` names its bundle. stdout is protocol or result only; stderr is log.
 */
import { memlockLimit, setMemlockLimit } from "../bpf";
import { EbpfError } from "../errors";
import { PROTOCOL_VERSION } from "../protocol/messages";
import { serve } from "../protocol/rpc";
import { leaveSessionCgroup } from "./cgroup2";
import { Host } from "./host";
import { policiesSelecting } from "./network-policy/derive";
import { takeNewInterfaces } from "./new-interfaces";
import { probe } from "./probe";
import { agentDigest, openSession, silent } from "./session";

async function main([command, ...rest]: string[]): Promise<number> {
  switch (command) {
    case "serve": {
      raiseMemlock();
      leaveSessionCgroup();
      const session = openSession(new Host());
      await serve(process.stdin, process.stdout, session.handlers);
      await session.close();
      return 0;
    }
    case "restore": {
      raiseMemlock();
      leaveSessionCgroup();
      const host = new Host();
      const session = openSession(host);
      const names = restoredInterfaces(host, rest);
      if (names === null) return usage();
      const which = names === undefined ? {} : { ids: policiesSelecting(host, names) };
      const results = await session.handlers.restore(which, silent);
      await session.close();
      process.stdout.write(`${JSON.stringify(results)}\n`);
      for (const { id, notes = [], error } of results) {
        for (const note of notes) log(`${id}: ${note}`);
        if (error !== undefined) log(EbpfError.fromWire(error).render());
      }
      return results.every(({ restored }) => restored) ? 0 : 1;
    }
    case "revert": {
      const [id] = rest;
      if (id === undefined) return usage();
      raiseMemlock();
      leaveSessionCgroup();
      const session = openSession(new Host());
      await session.goBack(id);
      await session.close();
      return 0;
    }
    case "probe":
      process.stdout.write(`${JSON.stringify(probe(new Host()))}\n`);
      return 0;
    case "--version":
      process.stdout.write(`${agentDigest()} protocol ${PROTOCOL_VERSION}\n`);
      return 0;
    default:
      return usage();
  }
}

/** Undefined: it is about no interface in particular; null: wrong usage. */
function restoredInterfaces(host: Host, [option, name, ...rest]: string[]): string[] | undefined | null {
  if (option === undefined) return undefined;
  if (option === "--new-interfaces" && name === undefined) return takeNewInterfaces(host.roots);
  return option === "--interface" && name !== undefined && rest.length === 0 ? [name] : null;
}

function usage(): number {
  log(
    "usage: agent serve | agent restore [--interface NAME | --new-interfaces] | agent revert SPEC | agent probe | agent --version",
  );
  return 2;
}

/** Kernels before 5.11 count maps and programs against it. What cannot be raised is told when a load fails. */
function raiseMemlock(): void {
  const { softBytes, hardBytes } = memlockLimit();
  try {
    if (softBytes !== Infinity) setMemlockLimit({ softBytes: Infinity, hardBytes: Infinity });
  } catch (error) {
    if (!EbpfError.is(error, "libbpf")) throw error;
    setMemlockLimit({ softBytes: hardBytes, hardBytes });
  }
}

function log(text: string): void {
  process.stderr.write(`${text}\n`);
}

main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error: unknown) => {
    log(EbpfError.from(error).render());
    process.exit(1);
  },
);
