/** Policies `ebpf-map-memory` and `ebpf-host-memory`: how much kernel memory maps may take. */
import type { ResourceValidationPolicy, StackValidationPolicy } from "@pulumi/policy";
import * as z from "zod";
import { kindOfToken } from "../adapters/provider-text";
import type { Problem } from "../errors";
import { hostLabel } from "../transport/connection";
import { targetsOf } from "./connections";
import { bytes, mapsOf, type SizedMap } from "./map-bytes";
import { policyOf, type ResourceRule, resourcePolicy, type Rule } from "./rule";

const ceiling = z.number().int().positive().optional();
const processors = z.number().int().positive().default(64).meta({
  description: "How many processors a host has at most: a per-CPU map has a value for each. Default 64.",
});

const mapOptions = z.strictObject({
  perMap: ceiling.meta({ description: "Most bytes of one map. Default: no ceiling." }),
  perProgram: ceiling.meta({
    description: "Most bytes of all maps that one object defines. Default: no ceiling.",
  }),
  processors,
});

const hostOptions = z.strictObject({
  perHost: ceiling.meta({
    description: "Most bytes of all maps of a stack on one host. Default: no ceiling.",
  }),
  processors,
});

export type MapMemoryOptions = z.input<typeof mapOptions>;
export type HostMemoryOptions = z.input<typeof hostOptions>;

const mapRule: ResourceRule<z.output<typeof mapOptions>> = {
  name: "ebpf-map-memory",
  description: "Maps, and all maps of one object together, stay below a ceiling.",
  options: mapOptions,
  violations(kind, properties, { perMap = Infinity, perProgram = Infinity, ...options }) {
    const maps = mapsOf(kind, properties, options.processors);
    const problems: Problem[] = maps
      .filter((map) => map.bytes > perMap)
      .map(({ property, name, ...map }) => ({
        property,
        reason: `map "${name}" takes ${bytes(map.bytes)} (${map.how}); allowed are ${bytes(perMap)} for a map`,
      }));
    const total = sum(maps);
    if (kind === "Program" && total > perProgram) {
      const reason = `its ${maps.length} maps take ${bytes(total)}; allowed are ${bytes(perProgram)} for a Program`;
      problems.push({ property: "source", reason });
    }
    return problems;
  },
};

const hostRule: Rule<z.output<typeof hostOptions>> = {
  name: "ebpf-host-memory",
  description: "All maps of a stack on one host together stay below a ceiling.",
  options: hostOptions,
};

/** Refuses maps whose keys and values could take more than a ceiling; see docs/policy.md for what is counted. */
export function mapMemory(given: MapMemoryOptions = {}): ResourceValidationPolicy {
  return resourcePolicy(mapRule, given);
}

/** The same for all maps of a stack on one host. Judged at the end of a preview or an update, as all stack policies. */
export function hostMemory(given: HostMemoryOptions = {}): StackValidationPolicy {
  const { policy, optionsOf } = policyOf(hostRule, given);
  return {
    ...policy,
    validateStack({ resources, getConfig }, reportViolation) {
      const { perHost = Infinity, processors } = optionsOf(getConfig());
      const hosts = new Map<string, SizedMap[]>();
      for (const { type, props } of resources) {
        const kind = kindOfToken(type);
        const maps = kind === undefined ? [] : mapsOf(kind, props, processors);
        if (maps.length === 0) continue;
        for (const { connection } of targetsOf(props)) {
          const host = hostLabel(connection);
          hosts.set(host, [...(hosts.get(host) ?? []), ...maps]);
        }
      }
      for (const [host, maps] of hosts) {
        const total = sum(maps);
        if (total <= perHost) continue;
        const largest = maps.reduce((most, map) => (map.bytes > most.bytes ? map : most));
        reportViolation(
          `maxEntries: the ${maps.length} maps of this stack on ${host} take ${bytes(total)}; allowed are ` +
            `${bytes(perHost)} for a host; the largest is "${largest.name}" with ${bytes(largest.bytes)}`,
        );
      }
    },
  };
}

function sum(maps: readonly SizedMap[]): number {
  return maps.reduce((total, map) => total + map.bytes, 0);
}
