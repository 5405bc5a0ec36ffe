/** ObjectParts: loaded anew, with maps reused where their shape allows, or kept as they run. */
import { BpfObject, type MapHandle, type ProgramHandle } from "../../bpf";
import { type ObjectInfo, readObject } from "../../btf";
import { EbpfError } from "../../errors";
import { type ObjectPart, type Spec, digestOf } from "../../protocol/spec";
import type { Handles } from "./handles";
import { mapFate } from "./map-fate";
import type { Preparation } from "./preparation";

interface Load {
  part: ObjectPart;
  entrypoints: string[];
  bytes: Buffer;
  /** By the object's map name. */
  reuse: Map<string, MapHandle>;
}

/** Loads entrypoints of an object. Fails with `verifier`, `not-found` or the kernel's errno. */
export function loadObject({ part, entrypoints, bytes, reuse }: Load, handles: Handles) {
  const object = BpfObject.open(bytes, { name: part.name.replace(/[^A-Za-z0-9_]/g, "_") });
  try {
    for (const name of entrypoints) object.program(name);
    for (const program of object.programs()) program.setAutoload(entrypoints.includes(program.name));
    for (const map of object.maps()) {
      // pins are ours alone; libbpf's pinning by name would share maps behind our back
      if (map.pinPath !== undefined) map.setPinPath(undefined);
      const stand = reuse.get(map.name);
      if (stand !== undefined) map.reuse(stand);
    }
    for (const { section, offset, bytes: value } of part.globals) {
      if (!reuse.has(section)) object.map(section).setInitialValue(offset, Buffer.from(value, "base64"));
    }
    object.load();
    const programs = new Map<string, ProgramHandle>();
    for (const name of entrypoints) programs.set(name, handles.keep(object.program(name).handle()));
    const maps = new Map<string, MapHandle>();
    for (const map of object.maps())
      if (!isEphemeral(map.name)) maps.set(map.name, handles.keep(map.handle()));
    return { programs, maps };
  } finally {
    object.close();
  }
}

/** Maps of libbpf's own that a program does not outlive by name. */
function isEphemeral(name: string): boolean {
  return name === ".kconfig" || name.startsWith(".struct_ops");
}

/** The name of an object's map within its Spec: data sections of several objects would collide. */
export function mapName(spec: Spec, part: ObjectPart, map: string): string {
  return spec.objects.length > 1 && map.startsWith(".") ? `${part.name}${map}` : map;
}

export async function prepareObject(preparation: Preparation, part: ObjectPart): Promise<void> {
  const { spec, handles, words } = preparation;
  const bytes = preparation.readBlob(part.blob);
  const info = readObject(bytes);
  checkNames(preparation, part, info);
  checkGlobals(preparation, part, info);
  const shared = resolveShared(preparation, part, info);
  const loadedFrom = digestOf({
    blob: part.blob,
    globals: part.globals,
    entrypoints: part.entrypoints,
    maps: Object.fromEntries([...shared].map(([name, map]) => [name, map.info().id])),
  });
  if (keepObject(preparation, part, info, loadedFrom)) return;

  const reuse = new Map(shared);
  const fates = new Map<string, { previous?: MapHandle; migrates?: boolean }>();
  for (const [name, shape] of Object.entries(info.maps)) {
    if (shared.has(name) || isEphemeral(name)) continue;
    const key = mapName(spec, part, name);
    const previous = preparation.actual?.maps.get(key);
    const before = preparation.record?.maps[key];
    if (previous === undefined || before === undefined) continue;
    const policy = part.mapDataPolicy;
    const fate = mapFate(before.shape, {
      name,
      shape,
      internal: shape.internal === true,
      policy,
      declared: false,
    });
    if (fate.kind === "refuse") preparation.problems.push(fate.error);
    else if (fate.kind === "reuse") reuse.set(name, previous);
    else fates.set(key, { previous, migrates: fate.kind === "migrate" });
    sayFate(preparation, key, fate);
  }
  for (const key of Object.keys(preparation.record?.maps ?? {})) {
    const before = preparation.record!.maps[key]!;
    const gone = before.object === part.name && !key.startsWith(".") && info.maps[key] === undefined;
    if (gone) preparation.warn(key, `map "${key}" is not in the object any more: it goes with its contents`);
  }
  // in plan the verifier is heard all the same; but not with values that cannot be written
  if (preparation.problems.some(({ code }) => !preparation.dry || code === "invalid")) return;

  const loaded = loadObject({ part, entrypoints: part.entrypoints, bytes, reuse }, handles);
  for (const [entrypoint, handle] of loaded.programs) {
    const { id, tag } = handle.info();
    const record = { programId: id, tag, object: part.name, loadedFrom };
    preparation.programs.set(entrypoint, { handle, record, kept: false });
  }
  for (const [name, handle] of loaded.maps) {
    if (shared.has(name)) continue;
    const key = mapName(spec, part, name);
    const shape = info.maps[name];
    if (shape === undefined) continue;
    const record = { mapId: handle.info().id, object: part.name, shape };
    preparation.maps.set(key, { handle, record, kept: reuse.has(name), ...fates.get(key) });
  }
  words.push(`load ${part.entrypoints.map((name) => `"${name}"`).join(", ")} of ${part.fileName}`);
}

function checkNames(preparation: Preparation, part: ObjectPart, info: ObjectInfo): void {
  for (const name of Object.keys(part.maps)) {
    if (info.maps[name] !== undefined) continue;
    const have = Object.keys(info.maps).filter((map) => !map.startsWith("."));
    preparation.problems.push(
      new EbpfError(
        "not-found",
        `share map "${name}": ${part.fileName} has ${have.join(", ") || "no maps"}`,
        { what: "map", name },
      ),
    );
  }
}

function checkGlobals(preparation: Preparation, part: ObjectPart, info: ObjectInfo): void {
  for (const { name, section, offset, bytes } of part.globals) {
    const size = info.maps[section]?.valueSize;
    const length = Buffer.from(bytes, "base64").length;
    if (size !== undefined && offset >= 0 && offset + length <= size) continue;
    const why = size === undefined ? `it has no section ${section}` : `${section} has ${size} bytes`;
    const message = `set global "${name}" of ${part.fileName}: ${length} bytes at ${offset}: ${why}`;
    preparation.problems.push(new EbpfError("invalid", message, {}));
  }
}

/** Maps of other Specs that stand in for the object's own. While planning some may not be there yet. */
function resolveShared(preparation: Preparation, part: ObjectPart, info: ObjectInfo): Map<string, MapHandle> {
  const shared = new Map<string, MapHandle>();
  for (const [name, ref] of Object.entries(part.maps)) {
    const wanted = info.maps[name];
    const map = preparation.map(ref);
    if (wanted === undefined || map === null) continue;
    const has = map.info();
    const differs = (["type", "keySize", "valueSize"] as const).filter(
      (field) => has[field] !== wanted[field],
    );
    if (differs.length > 0) {
      const what = differs.map((field) => `${field} ${wanted[field]} against ${has[field]}`).join(", ");
      preparation.problems.push(
        new EbpfError(
          "invalid",
          `share map "${name}" of ${part.fileName}: "${ref.map}" of ${ref.spec} differs: ${what}`,
          {},
        ),
      );
    } else shared.set(name, map);
  }
  return shared;
}

/** Programs and maps of the same object, loaded with the same values, that still run: nothing to load. */
function keepObject(
  preparation: Preparation,
  part: ObjectPart,
  info: ObjectInfo,
  loadedFrom: string,
): boolean {
  const { record, actual, spec } = preparation;
  if (record === null || actual === null || !actual.sameBoot) return false;
  const maps = Object.keys(info.maps)
    .filter((name) => part.maps[name] === undefined && !isEphemeral(name))
    .map((name) => mapName(spec, part, name));
  const whole =
    part.entrypoints.every(
      (name) => record.programs[name]?.loadedFrom === loadedFrom && actual.programs.has(name),
    ) &&
    maps.every((name) => actual.maps.has(name)) &&
    globalsStand(preparation, part);
  if (!whole) return false;
  for (const name of part.entrypoints) {
    preparation.programs.set(name, {
      handle: actual.programs.get(name)!,
      record: record.programs[name]!,
      kept: true,
    });
  }
  for (const name of maps) {
    preparation.maps.set(name, { handle: actual.maps.get(name)!, record: record.maps[name]!, kept: true });
  }
  return true;
}

/** Globals in `.data` can be overwritten from outside; `.bss` is the program's own, `.rodata` is frozen. */
export function globalsStand(
  { actual, spec }: Pick<Preparation, "actual" | "spec">,
  part: ObjectPart,
): boolean {
  return part.globals.every(({ section, offset, bytes }) => {
    if (section !== ".data" && !section.startsWith(".data.")) return true;
    const map = actual?.maps.get(mapName(spec, part, section));
    const wanted = Buffer.from(bytes, "base64");
    const value = map?.lookup(Buffer.alloc(4));
    return value !== undefined && value.subarray(offset, offset + wanted.length).equals(wanted);
  });
}

export function sayFate(preparation: Preparation, name: string, fate: ReturnType<typeof mapFate>): void {
  if (fate.kind === "migrate") {
    const note = fate.note === undefined ? "" : `; ${fate.note}`;
    preparation.words.push(`map "${name}" ${fate.change}: data is migrated${note}`);
  }
  if (fate.kind === "replace") {
    preparation.words.push(`map "${name}" is replaced (${fate.change}): its contents go`);
    preparation.warn(name, `map "${name}" is replaced, its contents are lost: ${fate.change}`);
  }
}
