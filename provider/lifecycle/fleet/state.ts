/** A fleet's state as the engine keeps it: checked inputs, a target per host, what all hosts have alike. */
import type { ResourceDefinition } from "../../resources/resource";
import { withDefaults } from "../defaults";
import { type Properties, refuseIncomplete } from "../state";
import type { FleetInputs, Targets } from "./targets";

export interface FleetState extends FleetInputs {
  targets: Targets;
}

/** Longest list of deviations; each begins with its host. */
const MOST_DRIFT = 50;

/** Fails with `invalid` for a state that somebody wrote by hand and left incomplete. */
export function fleetStateOf(kind: string, id: string, outputs: Properties): FleetState {
  const { hosts, specId, targets } = outputs as Partial<FleetState>;
  const missing = [
    ...(typeof specId === "string" && specId !== "" ? [] : ["specId"]),
    ...(Array.isArray(hosts?.hosts) ? [] : ["hosts.hosts"]),
    ...(targets !== null && typeof targets === "object" ? [] : ["targets"]),
  ];
  refuseIncomplete(kind, id, missing);
  return { ...(outputs as unknown as FleetState), drift: (outputs["drift"] as string[] | undefined) ?? [] };
}

/** Each host's deviations as the resource's own, which a refresh shows and diff compares. */
export function driftOf(deviations: readonly { name: string; drift: readonly string[] }[]): string[] {
  const all = deviations.flatMap(({ name, drift }) => drift.map((text) => `${name}: ${text}`));
  const more = all.length - MOST_DRIFT;
  return more > 0 ? [...all.slice(0, MOST_DRIFT), `and ${more} more`] : all;
}

/** What a definition adds to the inputs, out of one host's outputs: what only its kernel knows. */
export function addedBy(definition: ResourceDefinition, outputs: Properties, inputs: object): Properties {
  const names = Object.keys(definition.preview(withDefaults(definition, inputs as Properties), undefined));
  return Object.fromEntries(names.filter((name) => name in outputs).map((name) => [name, outputs[name]]));
}

/** Checked inputs, out of a state. */
export function checkedIn(definition: ResourceDefinition, state: object): Properties {
  const added = Object.keys(addedBy(definition, state as Properties, state));
  const computed = Object.keys(definition.preview(undefined, undefined)).filter(
    (name) => !added.includes(name),
  );
  const names = new Set([...Object.keys(definition.inputs.shape), ...computed]);
  return Object.fromEntries(Object.entries(state).filter(([name]) => names.has(name)));
}

/** What two hosts have alike, at any depth: kernel ids of one say nothing about the other. */
export function alike(one: unknown, other: unknown): unknown {
  if (one === other) return one;
  if (Array.isArray(one) || Array.isArray(other)) {
    return JSON.stringify(one) === JSON.stringify(other) ? one : undefined;
  }
  if (one === null || other === null || typeof one !== "object" || typeof other !== "object")
    return undefined;
  const found: [string, unknown][] = Object.entries(one).map(([name, value]) => [
    name,
    alike(value, (other as Properties)[name]),
  ]);
  return Object.fromEntries(found.filter(([, value]) => value !== undefined));
}

/** What all of them have alike; nothing of nobody. */
export function alikeInAll(all: readonly Properties[]): Properties {
  const [first = {}, ...others] = all;
  return others.reduce((common, next) => alike(common, next) as Properties, first);
}
