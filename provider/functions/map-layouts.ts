/** Types of a map's keys and values: of a reference, which knows formats, else of the BTF that the kernel has. */
import { type Format, layoutOf, lpmKeyLayout, readBtf, type TypeLayout, withFormat } from "../btf";
import { EbpfError, invalid, type Problem } from "../errors";
import type { MapShowResult } from "../protocol/queries";
import { fullLayout, type ShortLayout } from "../resources/short-layout";
import { keyLayoutOf } from "../sources/keys";

export interface MapLayouts {
  key: TypeLayout;
  /** Of one CPU. */
  value: TypeLayout;
}

interface LayoutsOfReference {
  keyLayout?: unknown;
  valueLayout?: unknown;
}

/** `formats` by path, as MapEntries takes them. Fails with `invalid` that names each that does not fit. */
export function layoutsOf(
  { map, btf }: MapShowResult,
  reference: LayoutsOfReference | undefined,
  formats: Readonly<Record<string, Format>>,
): MapLayouts {
  const layouts: MapLayouts = {
    key: given(reference?.keyLayout) ?? keyOf(map, btf),
    value: given(reference?.valueLayout) ?? ofBtf(btf, "valueTypeId", map.valueSize) ?? bytes(map.valueSize),
  };
  const problems: Problem[] = [];
  for (const [path, format] of Object.entries(formats)) {
    const [root, ...below] = path.split(".") as ["key" | "value", ...string[]];
    try {
      layouts[root] = withFormat(layouts[root], below.join("."), format);
    } catch (error) {
      if (!EbpfError.is(error, "invalid", "not-found")) throw error;
      problems.push({ property: `formats["${path}"]`, reason: error.message });
    }
  }
  if (problems.length > 0) throw invalid(`read map "${map.name}"`, problems);
  return layouts;
}

function given(layout: unknown): TypeLayout | undefined {
  return layout === undefined ? undefined : fullLayout(layout as ShortLayout);
}

function keyOf({ type, keySize }: MapShowResult["map"], btf: MapShowResult["btf"]): TypeLayout {
  const found = ofBtf(btf, "keyTypeId", keySize);
  const keyLayout = found !== undefined && type === "lpm_trie" ? lpmKeyLayout(found) : found;
  return keyLayoutOf({ mapType: type, keySize, ...(keyLayout === undefined ? {} : { keyLayout }) });
}

/** BTF of another size than the map has says nothing. */
function ofBtf(
  btf: MapShowResult["btf"],
  part: "keyTypeId" | "valueTypeId",
  size: number,
): TypeLayout | undefined {
  if (btf === undefined || btf[part] === 0) return undefined;
  const layout = layoutOf(readBtf(btf.raw), btf[part]);
  return layout.size === size ? layout : undefined;
}

function bytes(size: number): TypeLayout {
  return { kind: "bytes", size };
}
