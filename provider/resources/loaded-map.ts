import type { MapStatus } from "../protocol/status";

/** What outputs say of a map in the kernel. The rest of its Status stands in the checked inputs, or is drift. */
export type LoadedMap = Pick<MapStatus, "mapId" | "pin">;

export function loadedMap({ mapId, pin }: MapStatus): LoadedMap {
  return { mapId, pin };
}
