/** Types of the keys and values of a map that a host showed, by the BTF that its kernel has of it. */
import { layoutOf, lpmKeyLayout, readBtf, type TypeLayout } from "../btf";
import type { MapShowResult } from "../protocol/queries";
import { keyLayoutOf } from "../sources/keys";

type Side = "keyTypeId" | "valueTypeId";

export function shownKeyLayout({ map, btf }: MapShowResult): TypeLayout {
  const { type: mapType, keySize } = map;
  const found = layoutByBtf(btf, "keyTypeId", keySize);
  const keyLayout = found !== undefined && mapType === "lpm_trie" ? lpmKeyLayout(found) : found;
  return keyLayoutOf({ mapType, keySize, ...(keyLayout === undefined ? {} : { keyLayout }) });
}

/** Of one CPU; undefined where the kernel does not know. */
export function shownValueLayout({ map, btf }: MapShowResult): TypeLayout | undefined {
  return layoutByBtf(btf, "valueTypeId", map.valueSize);
}

/** BTF of another size than the map has says nothing. */
function layoutByBtf(btf: MapShowResult["btf"], side: Side, size: number): TypeLayout | undefined {
  if (btf === undefined || btf[side] === 0) return undefined;
  const layout = layoutOf(readBtf(btf.raw), btf[side]);
  return layout.size === size ? layout : undefined;
}
