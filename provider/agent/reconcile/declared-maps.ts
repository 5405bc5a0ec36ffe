/** MapParts: maps declared on their own. */
import { BtfHandle, MAP_TYPES, MapHandle, type MapType } from "../../bpf";
import { type ComparableShape, layoutOf, readBtf } from "../../btf";
import { EbpfError } from "../../errors";
import type { MapPart, MapShape } from "../../protocol/spec";
import type { Handles } from "./handles";
import { mapFate } from "./map-fate";
import { sayFate } from "./objects";
import type { Preparation } from "./preparation";

export function prepareMap(preparation: Preparation, part: MapPart): void {
  const { handles, record, actual, words } = preparation;
  const shape = comparableShape(part);
  const previous = actual?.maps.get(part.name);
  const before = record?.maps[part.name];
  if (previous !== undefined && before !== undefined) {
    const wanted = { name: part.name, shape, internal: false, policy: part.mapDataPolicy, declared: true };
    const fate = mapFate(before.shape, wanted);
    if (fate.kind === "refuse") throw fate.error;
    if (fate.kind === "reuse") {
      preparation.maps.set(part.name, {
        handle: previous,
        record: { mapId: previous.info().id, shape },
        kept: true,
      });
      return;
    }
    sayFate(preparation, part.name, fate);
    const handle = createMap(part.name, part, handles);
    const next = { handle, record: { mapId: handle.info().id, shape }, kept: false, previous };
    preparation.maps.set(part.name, { ...next, migrates: fate.kind === "migrate" });
    return;
  }
  const handle = createMap(part.name, part, handles);
  preparation.maps.set(part.name, { handle, record: { mapId: handle.info().id, shape }, kept: false });
  words.push(`create ${part.type} map "${part.name}"`);
}

function createMap(name: string, shape: MapShape, handles: Handles): MapHandle {
  if (!(shape.type in MAP_TYPES)) {
    throw new EbpfError("invalid", `create map "${name}": unknown type ${shape.type}`, {});
  }
  const inner = shape.inner === undefined ? undefined : createMap(`${name}.inner`, shape.inner, handles);
  const btf =
    shape.btf === undefined ? undefined : handles.keep(BtfHandle.load(Buffer.from(shape.btf.raw, "base64")));
  return handles.keep(
    MapHandle.create({
      type: shape.type as MapType,
      name: name.replace(/[^A-Za-z0-9_.]/g, "_"),
      keySize: shape.keySize,
      valueSize: shape.valueSize,
      maxEntries: shape.maxEntries,
      flags: shape.flags,
      ...(shape.numaNode === undefined ? {} : { numaNode: shape.numaNode }),
      ...(shape.mapExtra === undefined ? {} : { mapExtra: BigInt(shape.mapExtra) }),
      ...(inner === undefined ? {} : { inner }),
      ...(btf === undefined || shape.btf === undefined
        ? {}
        : { btf: { btf, keyTypeId: shape.btf.keyTypeId, valueTypeId: shape.btf.valueTypeId } }),
    }),
  );
}

export function comparableShape(shape: MapShape): ComparableShape {
  const { type, keySize, valueSize, maxEntries, flags, numaNode, mapExtra, btf, inner } = shape;
  const types = btf && readBtf(Buffer.from(btf.raw, "base64"));
  const layout = (id: number) => (types === undefined || id === 0 ? undefined : layoutOf(types, id));
  const [key, value] = [layout(btf?.keyTypeId ?? 0), layout(btf?.valueTypeId ?? 0)];
  return {
    type,
    keySize,
    valueSize,
    maxEntries,
    flags,
    ...(numaNode === undefined ? {} : { numaNode }),
    ...(mapExtra === undefined ? {} : { mapExtra }),
    ...(key === undefined ? {} : { key }),
    ...(value === undefined ? {} : { value }),
    ...(inner === undefined ? {} : { inner: comparableShape(inner) }),
  };
}
