/** Policy `ebpf-host-keys`: which host is meant stands in the program, by its key. */
import type { ResourceValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import type { Problem } from "../errors";
import { connectionsOf, type Reached } from "./connections";
import { type ResourceRule, resourcePolicy } from "./rule";

const options = z.strictObject({
  knownHosts: z.boolean().default(false).meta({
    description: "Whether known_hosts of the machine that runs Pulumi may stand in for `hostKey`.",
  }),
  algorithms: z.array(z.string().min(1)).min(1).optional().meta({
    description: "Algorithms that a `hostKey` may have, as in authorized_keys. Default: all.",
  }),
});

export type HostKeyOptions = z.input<typeof options>;

const rule: ResourceRule<z.output<typeof options>> = {
  name: "ebpf-host-keys",
  description: "Connections name their host's key, those through a bastion the bastion's too.",
  options,
  violations: (_kind, properties, { knownHosts, algorithms }) =>
    connectionsOf(properties).flatMap((reached) => problemsOfKey(reached, knownHosts, algorithms)),
};

function problemsOfKey(
  { property, connection: { hostKey, transport } }: Reached,
  knownHosts: boolean,
  algorithms: readonly string[] | undefined,
): Problem[] {
  if (transport === "local") return [];
  if (hostKey === undefined || hostKey === "") {
    const reason =
      'is missing: give the host\'s public key ("ssh-ed25519 AAAA…"); known_hosts is not enough here';
    return knownHosts ? [] : [{ property: `${property}.hostKey`, reason }];
  }
  const algorithm = hostKey.trim().split(/\s+/)[0]!;
  if (algorithms === undefined || algorithms.includes(algorithm)) return [];
  return [
    {
      property: `${property}.hostKey`,
      reason: `is a key of ${algorithm}; allowed are ${algorithms.join(", ")}`,
    },
  ];
}

/** Refuses connections, bastions included, that leave the choice of key to known_hosts. */
export function hostKeys(given: HostKeyOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(rule, given);
}
