/** A map, whoever made it, and the types of its keys and values. */
import { BtfHandle, MapHandle } from "../../bpf";
import type { MapShowResult, MapTarget } from "../../protocol/queries";
import type { Host } from "../host";
import { unlessMissing } from "../reconcile/actual";
import { type Handles, withHandles } from "../reconcile/handles";
import { openMap } from "../reconcile/resolve";
import { checkPin, notThere, ownersOf } from "./owners";

export function showMap(host: Host, target: MapTarget): Promise<MapShowResult> {
  return withHandles((handles) => {
    const map = openTarget(host, target, handles);
    const { id, name, type, keySize, valueSize, maxEntries, flags } = map.info();
    const { maps, secretMaps } = ownersOf(host);
    const spec = maps.get(id);
    const btf = typesOf(map, handles);
    return {
      map: {
        ...{ mapId: id, name, type, keySize, valueSize, maxEntries, flags },
        frozen: map.frozen(),
        memlockBytes: map.memlockBytes(),
        ...(spec === undefined ? {} : { spec }),
        secret: secretMaps.has(id),
      },
      ...(btf === undefined ? {} : { btf }),
    };
  });
}

export function openTarget(host: Host, target: MapTarget, handles: Handles): MapHandle {
  if ("spec" in target) return openMap(host, target, handles).map;
  if ("pin" in target) {
    const pinned = unlessMissing(() => MapHandle.fromPin(target.pin));
    if (pinned === null) throw notThere("pin", target.pin);
    checkPin(handles.keep(pinned), target.pin, "map");
    return pinned;
  }
  const map = unlessMissing(() => MapHandle.fromId(target.mapId));
  if (map === null) throw notThere("map", String(target.mapId));
  return handles.keep(map);
}

function typesOf(map: MapHandle, handles: Handles): MapShowResult["btf"] {
  const { btfId, btfKeyTypeId: keyTypeId, btfValueTypeId: valueTypeId } = map.info();
  if (btfId === 0) return undefined;
  const btf = handles.keep(BtfHandle.fromId(btfId));
  // the kernel's own BTF is megabytes, and no map of rows has its types there
  return btf.info().kernel ? undefined : { raw: btf.raw(), keyTypeId, valueTypeId };
}
