/**
 * eBPF on this host: libbpf and a few libc calls, through koffi. The only folder that knows either.
 *
 * Owns: finding libbpf, the C interface, errno, file descriptors, and objects for what the kernel holds: objects,
 * programs, maps, links, BTF, and the netlink attachments that stand in for links.
 * Does not own: what should be where, names of pins, records (provider/agent); meaning of bytes (provider/btf).
 *
 * Everything is synchronous. Whatever has `close()` owns a descriptor and must be closed, on failure too; nothing
 * relies on the garbage collector. Failed calls throw EbpfError "libbpf" with errno; `isErrno` asks for it.
 */
export { Errno, errnoName, isErrno } from "./errno";
export { libbpfVersion } from "./library";
export { Descriptor, openDescriptors } from "./descriptor";
export { btfIds, linkIds, mapIds, programIds, unpin, type KernelObject } from "./kernel-object";

export { BpfObject, type OpenOptions } from "./object";
export { type ObjectProgram } from "./object-program";
export { type ObjectMap } from "./object-map";
export { summarizeVerifierLog, type VerifierSummary } from "./verifier-log";

export { ProgramHandle, type ProgramInfo, type TestRun, type TestRunResult } from "./program";
export { MapHandle, type MapCreation, type MapInfo } from "./map";
export { type Records } from "./map-records";
export { RingBuffer } from "./ring-buffer";
export { BtfHandle, type BtfInfo } from "./btf";

export {
  LinkHandle,
  type Anchor,
  type CgroupPlace,
  type NetnsPlace,
  type PerfEventPlace,
  type Place,
  type RawTracepointPlace,
  type TcxPlace,
  type XdpPlace,
} from "./link";
export { type LinkInfo } from "./link-info";
export { queryCgroup, queryTcx, type AttachedProgram, type HookStatus } from "./query";
export { attachXdp, detachXdp, queryXdp, type XdpMode, type XdpStatus } from "./xdp";
export {
  attachTc,
  createClsact,
  destroyClsact,
  detachTc,
  queryTc,
  type TcDirection,
  type TcFilter,
  type TcHook,
} from "./tc";
export {
  defaultRouteInterfaces,
  HARDWARE_TYPES,
  interfaceAddresses,
  networkInterfaces,
  type NetworkInterface,
  routeInterface,
} from "./rtnetlink";
export { attachTracepoint, openTracepoint, tracepointId } from "./tracepoint";

export * from "./system";
export * from "./uapi";
