/**
 * What a released version left behind, in test/upgrade/<version>/<mode>: the stack's state, and what the host's disk held.
 * One program for all, program/index.ts: what a version adds to the language goes into a program of its own.
 *
 * Owns: the form of a recording; the names that stand in it for what differs from host to host. Does not own: making
 * one (record.ts), putting it to the test (../e2e/upgrade.test.ts).
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Mode } from "../support/modes";
import type { NetnsHost } from "../support/netns-host";
import type { Checkpoint, ProjectOptions } from "../support/pulumi";

export const program = join(__dirname, "program");

/** Directories of all recordings: of each version and mode. */
export function recordings(): { version: string; mode: Mode; directory: string }[] {
  const versions = readdirSync(__dirname).filter((name) => /^\d+\.\d+\.\d+$/.test(name));
  return versions.flatMap((version) =>
    (["dynamic", "plugin"] as const).map((mode) => ({
      version,
      mode,
      directory: join(__dirname, version, mode),
    })),
  );
}

export function configOf(host: NetnsHost): NonNullable<ProjectOptions["config"]> {
  return { connection: { ...host.connection, dialErrorLimit: 1 } };
}

/** Of a host, and the name that stands for it. */
function names({ connection }: NetnsHost): [string, string][] {
  return [
    [connection.privateKey!, "@PRIVATE_KEY@"],
    [connection.hostKey!, "@HOST_KEY@"],
    [connection.host, "@HOST@"],
  ];
}

/** A secret is JSON in a string of the state, which may hold JSON itself. */
const MOST_NESTED = 3;

function escaped(text: string, times: number): string {
  return times === 0 ? text : escaped(JSON.stringify(text).slice(1, -1), times - 1);
}

export function writeState(file: string, state: Checkpoint, host: NetnsHost): void {
  let text = JSON.stringify(state, null, 1);
  for (const [value, name] of names(host)) {
    for (let times = MOST_NESTED; times > 0; times--) text = text.replaceAll(escaped(value, times), name);
  }
  writeFileSync(file, `${text}\n`);
}

/** As if this host had been the one that was recorded. */
export function readState(file: string, host: NetnsHost): Checkpoint {
  const text = readFileSync(file, "utf8");
  const plain = (value: string): string =>
    names(host).reduce((filled, [real, name]) => filled.replaceAll(name, real), value);
  const fill = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((one) => fill(one));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, one]) => [plain(key), fill(one)]));
    }
    if (typeof value !== "string") return value;
    const nested = /^["{[].*@(HOST|HOST_KEY|PRIVATE_KEY)@/s.test(value) ? parsed(value) : undefined;
    if (nested !== undefined) return JSON.stringify(fill(nested));
    return plain(value);
  };
  return fill(JSON.parse(text)) as Checkpoint;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
