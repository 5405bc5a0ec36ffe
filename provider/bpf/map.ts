/**
 * Maps in the kernel, on Buffers of packed records: `count * keyBytes` and `count * valueBytes`.
 * Turning records into words is provider/btf's business.
 */
import type { BtfHandle } from "./btf";
import { readFileSync } from "node:fs";
import { checkCode, Errno } from "./errno";
import { KernelObject, openPin, readInfo } from "./kernel-object";
import { libbpf } from "./library";
import { deleteRecords, forEachRecords, updateRecords, type Records } from "./map-records";
import { koffi } from "./koffi";
import { cText } from "./struct";
import { bpf_map_create_opts, bpf_map_info } from "./structs";
import { possibleCpus } from "./system";
import { MAP_TYPES, MapCreateFlag, MapFlag, mapTypeName, type MapType } from "./uapi";

export interface MapInfo {
  id: number;
  type: MapType;
  /** At most 15 bytes. */
  name: string;
  keySize: number;
  /** Of one CPU. */
  valueSize: number;
  maxEntries: number;
  flags: number;
  mapExtra: bigint;
  btfId: number;
  btfKeyTypeId: number;
  btfValueTypeId: number;
  ifindex: number;
}

export interface MapCreation {
  type: MapType;
  /** At most 15 bytes of `[A-Za-z0-9_.]`; longer ones are cut. */
  name: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  /** MapCreateFlag; default 0. */
  flags?: number;
  numaNode?: number;
  /** Linux 5.16. */
  mapExtra?: bigint;
  btf?: { btf: BtfHandle; keyTypeId: number; valueTypeId: number };
  /** Template of a map-in-map's values; may be closed afterwards. */
  inner?: MapHandle;
  ifindex?: number;
}

const PER_CPU: readonly MapType[] = [
  "percpu_hash",
  "percpu_array",
  "lru_percpu_hash",
  "percpu_cgroup_storage",
];
const LONGEST_NAME = 15;

export class MapHandle extends KernelObject {
  private known: MapInfo | undefined;

  /** Takes ownership. Internal to this folder. */
  constructor(fd: number) {
    super(fd, "map");
  }

  static create(map: MapCreation): MapHandle {
    const numa = map.numaNode === undefined ? 0 : MapCreateFlag.BPF_F_NUMA_NODE;
    const opts = bpf_map_create_opts.encode({
      btf_fd: map.btf?.btf.fd ?? 0,
      btf_key_type_id: map.btf?.keyTypeId ?? 0,
      btf_value_type_id: map.btf?.valueTypeId ?? 0,
      inner_map_fd: map.inner?.fd ?? 0,
      map_flags: (map.flags ?? 0) | numa,
      map_extra: map.mapExtra ?? 0n,
      numa_node: map.numaNode ?? 0,
      map_ifindex: map.ifindex ?? 0,
    });
    const fd = libbpf.bpf_map_create(
      MAP_TYPES[map.type],
      map.name.slice(0, LONGEST_NAME),
      map.keySize,
      map.valueSize,
      map.maxEntries,
      opts,
    );
    return new MapHandle(checkCode("bpf_map_create", fd, `create ${map.type} map ${map.name}`));
  }

  static fromId(id: number): MapHandle {
    return new MapHandle(
      checkCode("bpf_map_get_fd_by_id", libbpf.bpf_map_get_fd_by_id(id), `open map ${id}`),
    );
  }

  static fromPin(path: string): MapHandle {
    return new MapHandle(openPin(path, "map"));
  }

  /** Fixed for the map's life, hence read once. */
  info(): MapInfo {
    if (this.known !== undefined) return this.known;
    const info = readInfo(this, bpf_map_info);
    return (this.known = {
      id: info.id,
      type: mapTypeName(info.type),
      name: cText(info.name),
      keySize: info.key_size,
      valueSize: info.value_size,
      maxEntries: info.max_entries,
      flags: info.map_flags,
      mapExtra: info.map_extra,
      btfId: info.btf_id,
      btfKeyTypeId: info.btf_key_type_id,
      btfValueTypeId: info.btf_value_type_id,
      ifindex: info.ifindex,
    });
  }

  /** One value per possible CPU, each padded to 8 bytes. */
  get perCpu(): boolean {
    return PER_CPU.includes(this.info().type);
  }

  /** Bytes of a value as system calls carry it. */
  get valueBytes(): number {
    const { valueSize } = this.info();
    return this.perCpu ? Math.ceil(valueSize / 8) * 8 * possibleCpus() : valueSize;
  }

  /** `frozen` and `memlock` of /proc/self/fdinfo. */
  frozen(): boolean {
    return this.fdinfo("frozen") === 1;
  }

  memlockBytes(): number {
    return this.fdinfo("memlock");
  }

  private fdinfo(field: string): number {
    const text = readFileSync(`/proc/self/fdinfo/${this.fd}`, "utf8");
    return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(text)?.[1] ?? 0);
  }

  /** undefined when the key is not there. `flags`: BPF_F_LOCK for values with a spin lock. */
  lookup(key: Buffer | null, flags = 0): Buffer | undefined {
    const value = Buffer.alloc(this.valueBytes);
    const rc = libbpf.bpf_map_lookup_elem_flags(this.fd, key, value, flags);
    if (rc < 0 && koffi.errno() === Errno.ENOENT) return undefined;
    checkCode("bpf_map_lookup_elem_flags", rc, "look up map entry");
    return value;
  }

  /** Values of many keys, `found[i]` is 0 for a missing one. */
  lookupMany(keys: Buffer, count: number, flags = 0): { values: Buffer; found: Uint8Array } {
    const size = this.valueBytes;
    const { keySize } = this.info();
    const values = Buffer.alloc(count * size);
    const found = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const key = keys.subarray(i * keySize, (i + 1) * keySize);
      const value = values.subarray(i * size, (i + 1) * size);
      const rc = libbpf.bpf_map_lookup_elem_flags(this.fd, key, value, flags);
      if (rc < 0 && koffi.errno() === Errno.ENOENT) continue;
      checkCode("bpf_map_lookup_elem_flags", rc, "look up map entry");
      found[i] = 1;
    }
    return { values, found };
  }

  update(key: Buffer | null, value: Buffer, flags: number = MapFlag.BPF_ANY): void {
    const rc = libbpf.bpf_map_update_elem(this.fd, key, value, flags);
    checkCode("bpf_map_update_elem", rc, "update map entry");
  }

  /** Puts a map or program into a map-in-map or prog_array. */
  updateReference(key: Buffer, target: KernelObject): void {
    const value = Buffer.alloc(4);
    value.writeUInt32LE(target.fd);
    this.update(key, value);
  }

  /** False when the key was not there. */
  delete(key: Buffer): boolean {
    const rc = libbpf.bpf_map_delete_elem(this.fd, key);
    if (rc < 0 && koffi.errno() === Errno.ENOENT) return false;
    checkCode("bpf_map_delete_elem", rc, "delete map entry");
    return true;
  }

  /** undefined after the last key. `null` gives the first; so does a key that is gone by now. */
  nextKey(key: Buffer | null): Buffer | undefined {
    const next = Buffer.alloc(this.info().keySize);
    const rc = libbpf.bpf_map_get_next_key(this.fd, key, next);
    if (rc < 0 && koffi.errno() === Errno.ENOENT) return undefined;
    checkCode("bpf_map_get_next_key", rc, "walk map");
    return next;
  }

  /** Queue and stack. */
  push(value: Buffer, flags: number = MapFlag.BPF_ANY): void {
    this.update(null, value, flags);
  }

  /** Queue and stack: takes the next value; undefined when empty. Linux 4.20. */
  pop(): Buffer | undefined {
    const value = Buffer.alloc(this.valueBytes);
    const rc = libbpf.bpf_map_lookup_and_delete_elem(this.fd, null, value);
    if (rc < 0 && koffi.errno() === Errno.ENOENT) return undefined;
    checkCode("bpf_map_lookup_and_delete_elem", rc, "pop from map");
    return value;
  }

  /** Queue and stack: the next value, left where it is. */
  peek(): Buffer | undefined {
    return this.lookup(null);
  }

  /** Packed records, with batch commands where the kernel has them. Throws at the first that fails. */
  updateBatch(keys: Buffer, values: Buffer, count: number, flags: number = MapFlag.BPF_ANY): void {
    updateRecords(this, keys, values, count, flags);
  }

  /** Packed keys; how many were there. */
  deleteBatch(keys: Buffer, count: number): number {
    return deleteRecords(this, keys, count);
  }

  /**
   * All records in chunks, each valid until the next is asked for. A map that the data plane changes
   * meanwhile may give a key twice or not at all.
   */
  records(flags = 0): Generator<Records> {
    return forEachRecords(this, flags);
  }

  /** No system call can write the map any more; programs still can. Linux 5.2. */
  freeze(): void {
    checkCode("bpf_map_freeze", libbpf.bpf_map_freeze(this.fd), "freeze map");
  }
}
