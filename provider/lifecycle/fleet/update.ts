/** Create and update of a fleet: the same, from nothing or from a state. */
import { randomUUID } from "node:crypto";
import { EbpfError } from "../../errors";
import { parseSpecId } from "../../protocol/spec-id";
import type { ResourceDefinition } from "../../resources/resource";
import type { Tools } from "../apply";
import { PartialError, type Properties } from "../state";
import { leave } from "./delete";
import { type Outcome, RollOut } from "./roll-out";
import { addedBy, alikeInAll, driftOf, type FleetState } from "./state";
import {
  type FleetInputs,
  hostsText,
  type Member,
  membersOf,
  namesOf,
  type Target,
  type Targets,
  versionOf,
  workOf,
} from "./targets";

/** Failures that are told one by one; of more only the names. */
const MOST_FAILURES = 20;

/**
 * Applies where the version is not the desired one, removes where a host has left. Fails with PartialError when one host
 * failed at least; of a create that no host took, with a plain error.
 */
export async function updateFleet(
  tools: Tools,
  definition: ResourceDefinition,
  id: string,
  olds: FleetState | undefined,
  inputs: FleetInputs,
): Promise<Properties> {
  const { specId, hosts } = inputs;
  const members = membersOf(hosts);
  const digest = versionOf(definition, inputs);
  const before: Targets = olds?.targets ?? {};
  const { behind, leaving } = workOf(members, digest, olds);
  const todo = behind.map((member) => ({ member, before: before[member.name] }));
  const incarnation = randomUUID();
  const plan = { definition, id, inputs, todo, total: members.length, incarnation };
  const { outcomes, stopped } = await new RollOut(tools, plan).run();

  const left = stopped === undefined && olds !== undefined ? await leave(tools, olds, leaving) : [];
  const gone = new Set(left.flatMap(({ member, failure }) => (failure === undefined ? [member.name] : [])));
  const staying = leaving.filter(({ name }) => !gone.has(name));

  const targets = targetsOf([...members, ...staying], before, outcomes, left);
  const failures = [...outcomes, ...left].flatMap(({ member, failure }) =>
    failure === undefined ? [] : [{ member, failure }],
  );
  const outputs: Properties = {
    ...addedIn(definition, inputs, olds, outcomes, digest, members),
    ...inputs,
    // who did not leave is still there: the next update tries again
    hosts: {
      ...hosts,
      hosts: [...hosts.hosts, ...staying.map(({ host, connection }) => ({ ...host, connection }))],
    },
    digest,
    targets,
    drift: driftOf(deviationsOf(targets, members, failures)),
  };
  if (failures.length === 0 && stopped === undefined) return outputs;
  const error = failureOf(specId, members.length, failures, stopped);
  if (olds === undefined && Object.keys(targets).length === 0) throw error;
  throw new PartialError(error, id, outputs);
}

function targetsOf(
  members: Member[],
  before: Targets,
  outcomes: Outcome[],
  left: { member: Member; target: Target }[],
): Targets {
  const changed = new Map<string, Target | undefined>(
    [...outcomes, ...left].map(({ member, target }) => [member.name, target]),
  );
  const found = members.map(
    ({ name }) => [name, changed.has(name) ? changed.get(name) : before[name]] as const,
  );
  return Object.fromEntries(found.filter((entry): entry is [string, Target] => entry[1] !== undefined));
}

/** Also of hosts that hold nothing, which have no target that could say it. */
function deviationsOf(
  targets: Targets,
  members: Member[],
  failures: { member: Member; failure: EbpfError }[],
): { name: string; drift: string[] }[] {
  const failed = new Map(failures.map(({ member, failure }) => [member.name, failure]));
  const without = members.filter(({ name }) => targets[name] === undefined && failed.has(name));
  return [
    ...Object.entries(targets).map(([name, { drift }]) => ({ name, drift })),
    ...without.map(({ name }) => ({ name, drift: [`holds nothing: ${failed.get(name)!.message}`] })),
  ];
}

/** What all hosts that have the version have alike: those of now, and those that had it before. */
function addedIn(
  definition: ResourceDefinition,
  inputs: FleetInputs,
  olds: FleetState | undefined,
  outcomes: Outcome[],
  digest: string,
  members: Member[],
): Properties {
  const now = outcomes.flatMap(({ added }) => (added === undefined ? [] : [added]));
  const asked = new Set(outcomes.map(({ member }) => member.name));
  const others = members.some(({ name }) => !asked.has(name) && olds?.targets[name]?.digest === digest);
  const before = others || now.length === 0 ? [addedBy(definition, (olds ?? {}) as Properties, inputs)] : [];
  return alikeInAll([...before, ...now]);
}

function failureOf(
  specId: string,
  total: number,
  failures: { member: Member; failure: EbpfError }[],
  stopped: string | undefined,
): EbpfError {
  const { name } = parseSpecId(specId);
  const told = failures.slice(0, MOST_FAILURES).map(({ failure }) => `  ${failure.message}`);
  const more = failures.slice(MOST_FAILURES).map(({ member }) => member);
  if (more.length > 0) told.push(`  and ${hostsText(more.length)} more: ${namesOf(more)}`);
  const head = `apply ${name}: ${failures.length} of ${hostsText(total)} failed`;
  const text = [stopped === undefined ? head : `${head}; ${stopped}`, ...told].join("\n");
  const first = failures[0]?.failure;
  if (first === undefined) return new EbpfError("cancelled", `apply ${name}: ${stopped}`, {});
  return new EbpfError(first.code, text, first.details, { cause: first });
}
