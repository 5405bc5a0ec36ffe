/** Whether a host is well after a change: numbers in its maps, and what commands there say. */
import { decode, encode, perCpuStride, type TypeLayout } from "../../btf";
import { EbpfError } from "../../errors";
import type { Spec } from "../../protocol/spec";
import type { HealthCheck, MapValue } from "../../resources/fleet";
import { shownKeyLayout, shownValueLayout } from "../../resources/shown-map";
import type { AgentSession, CallOptions } from "../../transport/session";

const COMMAND_SECONDS = 10;

/** By the index of the check: what its counter showed before the change. */
export type Baseline = Map<number, number>;

export async function readBaseline(
  session: AgentSession,
  spec: Spec,
  checks: readonly HealthCheck[],
  options: CallOptions,
): Promise<Baseline> {
  const baseline: Baseline = new Map();
  for (const [index, { counter }] of checks.entries()) {
    if (counter === undefined) continue;
    // before the first apply there is no map yet
    const value = await unlessNotFound(readNumber(session, spec, counter, options));
    baseline.set(index, value ?? 0);
  }
  return baseline;
}

/** Why the host is not well; undefined: it is. Fails when it cannot be asked. */
export async function findAilment(
  session: AgentSession,
  spec: Spec,
  checks: readonly HealthCheck[],
  baseline: Baseline,
  options: CallOptions,
): Promise<string | undefined> {
  for (const [index, check] of checks.entries()) {
    const ailment =
      check.command === undefined
        ? await judgeNumber(session, spec, check, baseline.get(index) ?? 0, options)
        : await judgeCommand(session, check.command, check.timeoutSeconds, options);
    if (ailment !== undefined) return ailment;
  }
  return undefined;
}

async function judgeNumber(
  session: AgentSession,
  spec: Spec,
  { counter, value, below, above }: HealthCheck,
  before: number,
  options: CallOptions,
): Promise<string | undefined> {
  const place = (counter ?? value)!;
  const subject = `${place.map}[${JSON.stringify(place.key)}]${place.member === undefined ? "" : `.${place.member}`}`;
  const now = await readNumber(session, spec, place, options);
  if (value !== undefined && now === undefined) return `${subject} is not there`;
  // a map that was made anew counts from 0
  const grown = (now ?? 0) - ((now ?? 0) < before ? 0 : before);
  const number = counter === undefined ? now! : grown;
  const what = counter === undefined ? `${subject} is ${number}` : `${subject} grew by ${number}`;
  if (below !== undefined && !(number < below)) return `${what}, not below ${below}`;
  if (above !== undefined && !(number > above)) return `${what}, not above ${above}`;
  return undefined;
}

async function judgeCommand(
  session: AgentSession,
  command: string,
  timeoutSeconds = COMMAND_SECONDS,
  options: CallOptions,
): Promise<string | undefined> {
  const { exitCode, timedOut, output } = await session.call("run", { command, timeoutSeconds }, options);
  if (exitCode === 0) return undefined;
  const how = timedOut ? `ran longer than ${timeoutSeconds} s` : `ended with status ${exitCode ?? "none"}`;
  const last = output.split("\n").at(-1) ?? "";
  return `\`${command}\` ${how}${last === "" ? "" : `: ${last}`}`;
}

/** The sum over all CPUs of a per-CPU map. Undefined: there is no such row. */
async function readNumber(
  session: AgentSession,
  spec: Spec,
  { map, key, member }: MapValue,
  options: CallOptions,
): Promise<number | undefined> {
  const { target, shown } = await findMap(session, spec, map, options);
  const { valueSize } = shown.map;
  const number: TypeLayout = { kind: "int", size: valueSize, signed: false };
  const valueLayout = shownValueLayout(shown) ?? number;
  const keys = [encode(shownKeyLayout(shown), key, "health.key").toString("base64")];
  const { values, count, cpus } = await session.call(
    "entries.read",
    { map: target, limit: 1, keys },
    options,
  );
  if (count === 0) return undefined;
  const stride = cpus > 1 ? perCpuStride(valueSize) : valueSize;
  let sum = 0;
  for (let cpu = 0; cpu < cpus; cpu++) {
    sum += numberIn(decode(valueLayout, values.subarray(cpu * stride)), map, member);
  }
  return sum;
}

/** In the Spec itself, else in what it refers to. */
async function findMap(session: AgentSession, spec: Spec, map: string, options: CallOptions) {
  const places = new Set([
    spec.id,
    ...spec.links.map(({ program }) => program.spec),
    ...spec.entries.map((part) => part.map.spec),
    ...spec.objects.flatMap(({ maps }) => Object.values(maps).map((shared) => shared.spec)),
  ]);
  let failure: unknown;
  for (const place of places) {
    const target = { spec: place, map };
    try {
      return { target, shown: await session.call("map.show", { map: target }, options) };
    } catch (error) {
      if (!EbpfError.is(error, "not-found")) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

function numberIn(value: unknown, map: string, member: string | undefined): number {
  let found = value;
  for (const name of member === undefined ? [] : member.split(".")) {
    found = (found as Record<string, unknown> | null | undefined)?.[name];
  }
  const number = typeof found === "string" || typeof found === "number" ? Number(found) : NaN;
  if (!Number.isNaN(number)) return number;
  const what = member === undefined ? "its values are no numbers" : `its values have no number "${member}"`;
  throw new EbpfError("invalid", `read map "${map}": ${what}`, {}, { remedy: "name one by `member`" });
}

async function unlessNotFound<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return undefined;
    throw error;
  }
}
