/** Check of a fleet: of its hosts, and of the rest as if it had one host. */
import * as z from "zod";
import type { Problem } from "../../errors";
import { type Fleet, fleetSchema } from "../../resources/fleet";
import type { CommonInputs, ResourceDefinition } from "../../resources/resource";
import type { OpenSources, Source } from "../../sources/source";
import { checkInputs } from "../check";
import { knownIssues, problemsOf } from "../problems";
import type { Properties } from "../state";
import { unknownPaths } from "../unknowns";
import { type FleetInputs, membersOf } from "./targets";

export interface CheckedFleet {
  inputs: Properties;
  problems: Problem[];
  /** Set when all is known: what plan needs. */
  complete?: { checked: FleetInputs; sources: Source[] };
}

/** No definition looks into the connection. */
const ANY_HOST = { host: "fleet" };
const schema = z.strictObject({ hosts: fleetSchema });

export async function checkFleet(
  definition: ResourceDefinition,
  olds: Properties | undefined,
  { hosts: raw, ...single }: Properties,
  openSources: OpenSources,
): Promise<CheckedFleet> {
  const fleet = checkHosts(raw);
  const rest = await checkInputs(definition, olds, { ...single, connection: ANY_HOST }, openSources);
  const problems = [...fleet.problems, ...rest.problems];
  const { connection: _connection, ...inputs } = rest.inputs;
  if (problems.length > 0 || fleet.hosts === undefined || rest.complete === undefined) {
    return { inputs: { ...inputs, hosts: fleet.hosts ?? raw }, problems };
  }
  const { hosts } = fleet;
  const { connection: _any, ...checked }: CommonInputs = rest.complete.checked;
  const { sources } = rest.complete;
  return { inputs: { ...inputs, hosts }, problems, complete: { checked: { ...checked, hosts }, sources } };
}

/** Those that `select` leaves. No hosts, and no problems, while something in it is unknown. */
function checkHosts(raw: unknown): { hosts?: Fleet; problems: Problem[] } {
  const unknown = unknownPaths({ hosts: raw });
  const parsed = schema.safeParse({ hosts: raw });
  if (!parsed.success) {
    return { problems: problemsOf(schema, knownIssues(parsed.error.issues, unknown)) };
  }
  if (unknown.length > 0) return { problems: [] };
  const { select, ...fleet } = parsed.data.hosts;
  const problems = duplicates(fleet);
  if (problems.length > 0) return { problems };
  if (select === undefined) return { hosts: fleet, problems: [] };
  const hosts = fleet.hosts.filter(({ labels = {} }) =>
    Object.entries(select).every(([name, values]) => [values].flat().includes(labels[name] ?? "")),
  );
  if (hosts.length > 0) return { hosts: { ...fleet, hosts }, problems: [] };
  return { problems: [{ property: "hosts.select", reason: "selects none of the hosts" }] };
}

function duplicates(fleet: Fleet): Problem[] {
  const first = new Map<string, number>();
  return membersOf(fleet).flatMap(({ name }, index) => {
    const before = first.get(name);
    if (before === undefined) {
      first.set(name, index);
      return [];
    }
    const reason = `is ${name}, as hosts.hosts[${before}] is`;
    return [{ property: `hosts.hosts[${index}].connection.host`, reason }];
  });
}
