/**
 * From the policies that a host holds to the planes that it needs: interfaces on which the same policies are judged
 * in the same way have one plane. Looks at interfaces, changes nothing.
 */
import { EbpfError } from "../../errors";
import type { NetworkInterface } from "../../bpf";
import { type AddressSetPart, type PolicyPart } from "../../protocol/policy";
import { type Spec, digestOf } from "../../protocol/spec";
import type { Host } from "../host";
import {
  type Namespace,
  canonicalNetns,
  hasLinkHeader,
  isLoopback,
  matching,
  readNamespace,
  selectorProblems,
} from "./interfaces";

/** Policies and sets by Spec id. */
export interface Holdings {
  policies: Map<string, PolicyPart>;
  sets: Map<string, AddressSetPart>;
}

/** A Spec that is about to take the place of its Record, or `null` for one that goes. */
export interface Change {
  id: string;
  spec: Spec | null;
}

/** From all Records. One that cannot be read is an error: without it rules might go unnoticed. */
export function holdingsOf(host: Host, change?: Change): Holdings {
  const holdings: Holdings = { policies: new Map(), sets: new Map() };
  const add = ({ id, policy, addressSet }: Spec) => {
    if (policy !== undefined) holdings.policies.set(id, policy);
    if (addressSet !== undefined) holdings.sets.set(id, addressSet);
  };
  for (const file of host.records.files()) {
    const { spec } = host.records.readFile(file);
    if (spec.id !== change?.id) add(spec);
  }
  if (change?.spec) add(change.spec);
  return holdings;
}

export interface WishedPlane {
  netns?: string;
  hook: "tc" | "xdp";
  linkHeader: boolean;
  /** Names, sorted. */
  interfaces: string[];
  /** Spec ids, sorted. */
  policies: string[];
  sampleRate: number;
  /** Connections are neither looked up nor opened. */
  untracked: boolean;
  /** Digest of all that the compiler reads but `self`. */
  content: string;
  /** Addresses of the host in the namespace. */
  self: string[];
}

/** Policies that cannot be judged together. */
export interface Conflict {
  netns?: string;
  interfaces: string[];
  policies: string[];
  error: EbpfError;
}

export interface Derived {
  planes: WishedPlane[];
  conflicts: Conflict[];
  /** What the policies of `subjects` select and is not there. */
  problems: EbpfError[];
}

/** Policies that select an interface of that name, in whatever namespace they are for. */
export function policiesSelecting(host: Host, names: readonly string[]): string[] {
  return [...holdingsOf(host).policies].flatMap(([id, { netns, interfaces }]) => {
    const namespace = unlessGone(() => readNamespace(canonicalNetns(netns)));
    const selects = interfaces.some((selector) =>
      namespace === null ? false : matching(selector, namespace).some(({ name }) => names.includes(name)),
    );
    return selects ? [id] : [];
  });
}

function unlessGone<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    if (EbpfError.is(error, "not-found")) return null;
    throw error;
  }
}

/** `subjects`: whose interfaces must be there; what others select may be gone, which is their drift. */
export function derive({ policies, sets }: Holdings, subjects: ReadonlySet<string>): Derived {
  const derived: Derived = { planes: [], conflicts: [], problems: [] };
  const byNamespace = new Map<string | undefined, string[]>();
  for (const id of [...policies.keys()].sort()) {
    const netns = canonicalNetns(policies.get(id)!.netns);
    byNamespace.set(netns, [...(byNamespace.get(netns) ?? []), id]);
  }
  for (const [netns, ids] of byNamespace) {
    const namespace = namespaceIfThere(netns, ids, subjects, derived);
    if (namespace === null) continue;
    for (const id of ids.filter((one) => subjects.has(one))) {
      derived.problems.push(...selectorProblems(id, policies.get(id)!.interfaces, namespace));
    }
    const { planes, conflicts } = deriveWithin(namespace, ids, { policies, sets });
    derived.planes.push(...planes);
    derived.conflicts.push(...conflicts);
  }
  return derived;
}

function namespaceIfThere(
  netns: string | undefined,
  ids: string[],
  subjects: ReadonlySet<string>,
  derived: Derived,
): Namespace | null {
  try {
    return readNamespace(netns);
  } catch (error) {
    if (!EbpfError.is(error, "not-found")) throw error;
    if (ids.some((id) => subjects.has(id))) derived.problems.push(error.with({ property: "netns" }));
    return null;
  }
}

/** What the policies of one namespace come to there. Pure. */
export function deriveWithin(
  namespace: Namespace,
  ids: string[],
  { policies, sets }: Holdings,
): Pick<Derived, "planes" | "conflicts"> {
  const conflicts: Conflict[] = [];
  const { netns, self } = namespace;
  const at = netns === undefined ? {} : { netns };
  const where = netns === undefined ? "" : ` in network namespace ${netns}`;
  const selecting = new Map<string, string[]>();
  for (const id of ids) {
    const chosen = policies.get(id)!.interfaces.flatMap((selector) => matching(selector, namespace));
    for (const name of new Set(chosen.filter((one) => !isLoopback(one)).map((one) => one.name)))
      selecting.set(name, [...(selecting.get(name) ?? []), id]);
  }
  const conflict = (interfaces: string[], reason: string, remedy: string) => {
    const involved = [...new Set(interfaces.flatMap((name) => selecting.get(name)!))];
    const error = new EbpfError(
      "conflict",
      `judge ${interfaces.join(" and ")}${where}: ${reason}`,
      { owner: involved.join(", ") },
      { remedy },
    );
    conflicts.push({ ...at, interfaces, policies: involved, error });
  };

  const groups = new Map<string, WishedPlane>();
  const unfit = new Set<string>();
  for (const one of namespace.interfaces) {
    const chosen = selecting.get(one.name);
    if (chosen === undefined) continue;
    for (const parent of vlanParents(one, namespace).filter(({ name }) => selecting.has(name))) {
      conflict(
        [parent.name, one.name],
        `frames of VLAN ${one.name} (${chosen.join(", ")}) are judged on its parent ${parent.name} already (${selecting.get(parent.name)!.join(", ")})`,
        "select the parent or its VLANs, not both",
      );
      unfit.add(parent.name).add(one.name);
    }
    const contradiction =
      differing("hook", chosen, (id) => policies.get(id)!.hook) ??
      differing(
        "established",
        chosen.filter((id) => policies.get(id)!.mode === "enforce"),
        (id) => policies.get(id)!.established,
      );
    if (contradiction !== undefined) {
      conflict([one.name], contradiction, "let all policies of an interface say the same");
      unfit.add(one.name);
    }
    if (policies.get(chosen[0]!)!.hook === "xdp" && !hasLinkHeader(one)) {
      conflict(
        [one.name],
        `${chosen.join(", ")} judges at xdp, and its frames have no Ethernet header`,
        'use hook "tc"',
      );
      unfit.add(one.name);
    }
    if (unfit.has(one.name)) continue;
    const wish = wishFor(chosen, { policies, sets }, hasLinkHeader(one));
    const key = digestOf({ chosen, linkHeader: wish.linkHeader });
    const group = groups.get(key) ?? { ...wish, ...at, interfaces: [], self };
    group.interfaces.push(one.name);
    groups.set(key, group);
  }
  const planes = [...groups.values()].map((group) => ({
    ...group,
    interfaces: group.interfaces.filter((name) => !unfit.has(name)).sort(),
  }));
  return { planes: planes.filter(({ interfaces }) => interfaces.length > 0), conflicts };
}

/** Those that see the frames of a VLAN, too: with QinQ there are two. */
function vlanParents(one: NetworkInterface, namespace: Namespace): NetworkInterface[] {
  const parent = namespace.interfaces.find(({ ifindex }) => ifindex === one.vlanParent);
  return parent === undefined ? [] : [parent, ...vlanParents(parent, namespace)];
}

function differing(property: string, ids: string[], value: (id: string) => string): string | undefined {
  const [first, ...others] = ids;
  const other = others.find((id) => value(id) !== value(first!));
  if (other === undefined) return undefined;
  return `${property} "${value(other)}" of ${other} contradicts "${value(first!)}" of ${first!}`;
}

function wishFor(ids: string[], { policies, sets }: Holdings, linkHeader: boolean) {
  const parts = ids.map((id) => policies.get(id)!);
  const rates = parts.map(({ sampleRate }) => sampleRate).filter((rate) => rate > 0);
  const used = [...new Set(parts.flatMap((part) => Object.values(part.sets)))].sort();
  return {
    hook: parts[0]!.hook,
    linkHeader,
    policies: ids,
    sampleRate: rates.length === 0 ? 0 : Math.min(...rates),
    untracked: parts.some(({ mode, established }) => mode === "enforce" && established === "ignore"),
    content: digestOf({
      policies: parts.map(({ mode, infrastructure, established, ingress, egress, sets: named }, index) => ({
        id: ids[index]!,
        ...{ mode, infrastructure, established, named },
        ...(ingress === undefined ? {} : { ingress: ingress.manifest }),
        ...(egress === undefined ? {} : { egress: egress.manifest }),
      })),
      sets: used.map((id) => [id, sets.get(id)?.networks.manifest ?? ""]),
    }),
  };
}
