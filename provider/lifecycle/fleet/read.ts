/** Read of a fleet: what its hosts hold now, and of one that does not answer what is known of it. */
import { EbpfError } from "../../errors";
import { parseSpecId } from "../../protocol/spec-id";
import type { ResourceDefinition } from "../../resources/resource";
import type { Tools } from "../apply";
import { describe, isUnreachable, withWaysOut } from "../describe";
import { observe } from "../observe";
import { hostlessOf, type Properties } from "../state";
import { FleetSessions } from "./sessions";
import { addedBy, alikeInAll, checkedIn, driftOf, type FleetState } from "./state";
import {
  hostsText,
  inputsFor,
  type Member,
  membersOf,
  namesOf,
  type Target,
  type Targets,
  versionOf,
} from "./targets";

/** Of one host: its deviations stay few. */
const MOST_DRIFT = 5;

interface Seen {
  member: Member;
  target?: Target;
  inputs?: Properties;
  added?: Properties;
  /** Why it could not be asked. */
  error?: EbpfError;
}

/** `null`: no host holds anything. Fails when none of them answers. */
export async function readFleet(
  tools: Tools,
  definition: ResourceDefinition,
  state: FleetState,
): Promise<{ inputs: Properties; outputs: Properties } | null> {
  const sessions = new FleetSessions(tools);
  const members = membersOf(state.hosts);
  const seen = await sessions.each(members, (member) =>
    look({ ...tools, open: sessions.open }, definition, state, member),
  );
  sessions.release(members.length);
  const silent = seen.filter(({ error }) => error !== undefined);
  if (silent.length === members.length) throw nobodyAnswers(state, silent);
  warn(tools, state, silent);
  if (silent.length === 0 && seen.every(({ target }) => target === undefined)) return null;

  const { inputs, digest } = inputsOf(definition, state, seen);
  const deviations = seen.map(({ member, target }) => {
    if (target === undefined) return { name: member.name, drift: ["holds nothing"] };
    const other = target.digest !== digest && target.drift.length === 0;
    return { name: member.name, drift: other ? ["holds another version"] : target.drift };
  });
  const targets: Targets = Object.fromEntries(
    seen.flatMap(({ member, target }) => (target === undefined ? [] : [[member.name, target]])),
  );
  const added = alikeInAll(
    seen.flatMap((one) => (one.added !== undefined && one.target?.digest === digest ? [one.added] : [])),
  );
  const known =
    Object.keys(added).length > 0 ? added : addedBy(definition, state as unknown as Properties, inputs);
  const drift = driftOf(deviations);
  const outputs = { ...known, ...inputs, digest, targets, drift };
  return { inputs: { ...inputs, drift }, outputs };
}

async function look(
  tools: Tools,
  definition: ResourceDefinition,
  state: FleetState,
  member: Member,
): Promise<Seen> {
  const { name } = member;
  const known = state.targets[name];
  const incarnation = known?.incarnation ?? "";
  const single = inputsFor(member, state);
  try {
    const found = await observe(tools, definition, single, { ...single, incarnation });
    if (found === null) return { member };
    const digest = versionOf(definition, found.inputs);
    const all = found.outputs["drift"] as string[];
    const more = all.length - MOST_DRIFT;
    const drift = more > 0 ? [...all.slice(0, MOST_DRIFT), `and ${more} more`] : all;
    const target = { digest, incarnation, reachable: true, drift };
    const added = addedBy(definition, found.outputs, found.inputs);
    // what is there without us knowing is another creation's: an update adopts it
    return known === undefined ? { member } : { member, target, inputs: found.inputs, added };
  } catch (thrown) {
    const error = EbpfError.from(thrown);
    if (EbpfError.is(error, "cancelled")) throw error;
    if (known === undefined) return { member, error };
    return { member, target: { ...known, reachable: !isUnreachable(error) }, error };
  }
}

/** The version that the state says, where a host has it; else the one that most hosts have. */
function inputsOf(
  definition: ResourceDefinition,
  state: FleetState,
  seen: Seen[],
): { inputs: Properties; digest: string } {
  const wanted = (state as unknown as Properties)["digest"] as string | undefined;
  const counts = new Map<string, number>();
  for (const { target, inputs } of seen) {
    if (inputs !== undefined) counts.set(target!.digest, (counts.get(target!.digest) ?? 0) + 1);
  }
  const most = [...counts].sort(([, a], [, b]) => b - a)[0]?.[0];
  const digest = wanted !== undefined && (counts.has(wanted) || most === undefined) ? wanted : (most ?? "");
  const found = seen.find(({ target, inputs }) => inputs !== undefined && target!.digest === digest)?.inputs;
  const common = { ...hostlessOf(state), specId: state.specId, drift: [] };
  if (found !== undefined) {
    const { connection: _connection, ...inputs } = found;
    return { inputs: { ...inputs, ...common }, digest };
  }
  return { inputs: { ...checkedIn(definition, state), ...common }, digest };
}

function warn({ call }: Tools, { specId }: FleetState, silent: Seen[]): void {
  const { name } = parseSpecId(specId);
  const unreachable = silent.filter(({ error }) => isUnreachable(error!));
  if (unreachable.length > 0) {
    const hosts = namesOf(unreachable.map(({ member }) => member));
    const verb = unreachable.length === 1 ? "is" : "are";
    call.report(
      `${name}: ${hostsText(unreachable.length)} ${verb} unreachable, the state keeps what is known of them: ${hosts}`,
      "warning",
    );
  }
  for (const { member, error } of silent.filter((one) => !unreachable.includes(one))) {
    const why = describe(error!, { host: member.name });
    call.report(`${name}: cannot be read, the state keeps what is known: ${why}`, "warning");
  }
}

function nobodyAnswers({ specId }: FleetState, silent: Seen[]): EbpfError {
  const { name } = parseSpecId(specId);
  const { member, error } = silent[0]!;
  const why = describe(withWaysOut(error!, "read"), { host: member.name });
  const text = `read ${name}: none of ${hostsText(silent.length)} can be asked: ${why}`;
  return new EbpfError(error!.code, text, error!.details, { cause: error });
}
