/**
 * `pulumi-ebpf/policy`: CrossGuard policies about this package's resources, in dynamic and in plugin mode.
 *
 *     import { PolicyPack } from "@pulumi/policy";
 *     import { forgetReason, hooks, hostKeys, mapMemory } from "pulumi-ebpf/policy";
 *
 *     new PolicyPack("edge", {
 *       policies: [hostKeys(), hooks({ allowed: ["xdp", "tcx"] }), mapMemory({ perMap: 64 << 20 }), forgetReason()],
 *     });
 *
 * Owns: rules over checked inputs. Each function gives one policy, mandatory unless `{ ...hooks(), enforcementLevel }`
 * says otherwise; wrong options are an EbpfError. pack.ts beside this file is a ready pack.
 * Does not own: whether inputs are right (provider/lifecycle). Needs the package @pulumi/policy.
 */
export { forgetReason, type ForgetReasonOptions } from "./forget-reason";
export { hooks, type HookOptions } from "./hooks";
export { hostKeys, type HostKeyOptions } from "./host-keys";
export { managementPeers, managementPorts, type ManagementPortOptions } from "./management";
export { hostMemory, type HostMemoryOptions, mapMemory, type MapMemoryOptions } from "./map-memory";
export { programTypes, type ProgramTypeOptions } from "./program-types";
