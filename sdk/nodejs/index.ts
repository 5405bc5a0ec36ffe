/** pulumi-ebpf: eBPF programs, maps, map entries, attachments and network policies on remote Linux hosts. The only public barrel. */
export { AddressSet, type AddressSetArgs } from "./address-set";
export {
  type Anchor,
  Attachment,
  type AttachmentArgs,
  type CgroupArgs,
  type RawTracepointArgs,
  type TcArgs,
  type TcxArgs,
  type TracepointArgs,
  type XdpArgs,
} from "./attachment";
export type { ConnectionArgs, ProxyConnectionArgs } from "./connection";
export {
  type Fleet,
  fleet,
  type FleetArgs,
  type FleetHostArgs,
  type HealthCheckArgs,
  type MapValueArgs,
  type RolloutArgs,
  type Target,
} from "./fleet";
export { Host, type HostAgent, type HostArgs, type ServiceUserArgs } from "./host";
export * from "./functions";
export { Map, type MapArgs, type MapDataPolicy, type MapShapeArgs } from "./map";
export { MapEntries, type MapEntriesArgs, type MapEntry } from "./map-entries";
export {
  type EgressRuleArgs,
  type IngressRuleArgs,
  NetworkPolicy,
  type NetworkPolicyArgs,
  type PolicyPeerArgs,
  type PolicyPortArgs,
  type PolicyTestArgs,
} from "./network-policy";
export { Program, type ProgramArgs } from "./program";
export { Provider, type ProviderArgs } from "./provider";
export type { AttachmentRef, EntrypointRef, MapRef } from "./references";
export type { CommonArgs, ConfirmArgs, LookupArgs } from "./resource";
export type { Format } from "../../provider/btf/layout";
export type { DeclaredType } from "../../provider/btf/declared";
export type { HostFeatures } from "../../provider/protocol/messages";
export type { CgroupAttach } from "../../provider/protocol/hooks";
export type { AddressSetStatus, JudgedInterface, PolicyStatus } from "../../provider/protocol/policy";
export type { LinkStatus, ProgramStatus } from "../../provider/protocol/status";
export type { LoadedMap } from "../../provider/resources/loaded-map";
export type { MapFlag, MapType } from "../../provider/resources/map-shape";
