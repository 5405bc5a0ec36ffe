/** A map of an object that is not yet, or just, loaded. */
import { EbpfError } from "../errors";
import { duplicate } from "./descriptor";
import { checkCode } from "./errno";
import { koffi } from "./koffi";
import { libbpf } from "./library";
import { MapHandle } from "./map";
import { ObjectPart } from "./object-part";
import { mapTypeName, type MapType } from "./uapi";

export class ObjectMap extends ObjectPart {
  /** As in the source; an internal map has its section's: `.rodata`. */
  readonly name: string;

  constructor(pointer: bigint) {
    super(pointer, "map");
    const name = libbpf.bpf_map__name(pointer) ?? "";
    // libbpf prefixes `.rodata`, `.data`, `.bss` and `.kconfig` with the object's name, custom sections not
    this.name = this.isInternal ? name.slice(name.startsWith(".") ? 0 : name.lastIndexOf(".")) : name;
  }

  get type(): MapType {
    return mapTypeName(libbpf.bpf_map__type(this.pointer));
  }

  get keySize(): number {
    return libbpf.bpf_map__key_size(this.pointer);
  }

  /** Of one CPU. */
  get valueSize(): number {
    return libbpf.bpf_map__value_size(this.pointer);
  }

  get maxEntries(): number {
    return libbpf.bpf_map__max_entries(this.pointer);
  }

  get flags(): number {
    return libbpf.bpf_map__map_flags(this.pointer);
  }

  get numaNode(): number {
    return libbpf.bpf_map__numa_node(this.pointer);
  }

  get mapExtra(): bigint {
    return BigInt(libbpf.bpf_map__map_extra(this.pointer));
  }

  /** In the object's BTF; 0: none. */
  get btfKeyTypeId(): number {
    return libbpf.bpf_map__btf_key_type_id(this.pointer);
  }

  get btfValueTypeId(): number {
    return libbpf.bpf_map__btf_value_type_id(this.pointer);
  }

  /** libbpf made it of a section: `.rodata`, `.data`, `.bss`, `.kconfig`. */
  get isInternal(): boolean {
    return libbpf.bpf_map__is_internal(this.pointer);
  }

  /** Set by `__uint(pinning, LIBBPF_PIN_BY_NAME)`; undefined: load does not pin it. */
  get pinPath(): string | undefined {
    return libbpf.bpf_map__pin_path(this.pointer) ?? undefined;
  }

  /** undefined: load neither pins the map nor reuses a pinned one. */
  setPinPath(path: string | undefined): void {
    this.check("bpf_map__set_pin_path", libbpf.bpf_map__set_pin_path(this.pointer, path ?? null));
  }

  setMaxEntries(maxEntries: number): void {
    this.check("bpf_map__set_max_entries", libbpf.bpf_map__set_max_entries(this.pointer, maxEntries));
  }

  setFlags(flags: number): void {
    this.check("bpf_map__set_map_flags", libbpf.bpf_map__set_map_flags(this.pointer, flags));
  }

  setNumaNode(node: number): void {
    this.check("bpf_map__set_numa_node", libbpf.bpf_map__set_numa_node(this.pointer, node));
  }

  setIfindex(ifindex: number): void {
    this.check("bpf_map__set_ifindex", libbpf.bpf_map__set_ifindex(this.pointer, ifindex));
  }

  setAutocreate(autocreate: boolean): void {
    this.check("bpf_map__set_autocreate", libbpf.bpf_map__set_autocreate(this.pointer, autocreate));
  }

  /** `map` stands in for this one. libbpf takes its shape as it is: compare before. The handle stays the caller's. */
  reuse(map: MapHandle): void {
    this.check("bpf_map__reuse_fd", libbpf.bpf_map__reuse_fd(this.pointer, map.fd));
  }

  /** Template of a map-in-map without a declared inner map. The caller keeps the handle open until load. */
  setInnerMap(template: MapHandle): void {
    this.check("bpf_map__set_inner_map_fd", libbpf.bpf_map__set_inner_map_fd(this.pointer, template.fd));
  }

  /** The declared template of a map-in-map. */
  innerMap(): ObjectMap | undefined {
    const inner = libbpf.bpf_map__inner_map(this.pointer);
    return inner === null ? undefined : new ObjectMap(inner);
  }

  /** Copy of what the section holds. Internal maps, before load. */
  initialValue(): Buffer {
    return Buffer.from(this.initialBytes());
  }

  /** Writes one global. Internal maps, before load. */
  setInitialValue(offset: number, bytes: Uint8Array): void {
    const section = this.initialBytes();
    if (offset < 0 || offset + bytes.length > section.length) {
      throw new RangeError(`${this.name}: ${bytes.length} bytes at ${offset} do not fit ${section.length}`);
    }
    section.set(bytes, offset);
  }

  /** libbpf's own memory: copied from or to at once, never kept. */
  private initialBytes(): Uint8Array {
    const size = new BigUint64Array(1);
    const pointer = libbpf.bpf_map__initial_value(this.pointer, size);
    if (pointer === null) {
      throw new EbpfError("not-found", `read initial value of ${this.name}: it has none`, {
        what: "initial value",
        name: this.name,
      });
    }
    return new Uint8Array(koffi.view(pointer, Number(size[0])));
  }

  /** A reference of its own, which outlives the object. After load. */
  handle(): MapHandle {
    return new MapHandle(duplicate(libbpf.bpf_map__fd(this.pointer), `map ${this.name}`));
  }

  private check(fn: string, rc: number): void {
    checkCode(fn, rc, `configure map ${this.name}`);
  }
}
