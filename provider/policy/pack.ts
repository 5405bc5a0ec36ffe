#!/usr/bin/env node
/**
 * The ready pack, an executable: `pulumi preview --policy-pack node_modules/.bin/pulumi-ebpf-policy`. Its options come
 * by `--policy-pack-config`. The engine starts it with its address and reads the port from the first line.
 */
import { PolicyPack } from "@pulumi/policy";
import {
  forgetReason,
  hooks,
  hostKeys,
  hostMemory,
  managementPeers,
  managementPorts,
  mapMemory,
  programTypes,
} from ".";
import { packageRoot } from "../version";

const MiB = 1 << 20;

// PolicyPack takes its version from package.json here
process.chdir(packageRoot());
new PolicyPack("pulumi-ebpf", {
  description: "Host keys, memory, hooks, program types and network policies of eBPF.",
  enforcementLevel: "mandatory",
  policies: [
    hostKeys(),
    mapMemory({ perMap: 256 * MiB, perProgram: 512 * MiB }),
    hostMemory({ perHost: 1024 * MiB }),
    hooks(),
    programTypes(),
    forgetReason(),
    managementPeers(),
    managementPorts(),
  ],
});
