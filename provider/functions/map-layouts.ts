/** Types of a map's keys and values: of a reference, which knows formats, else of the BTF that the kernel has. */
import { type Format, type TypeLayout, withFormat } from "../btf";
import { EbpfError, invalid, type Problem } from "../errors";
import type { MapShowResult } from "../protocol/queries";
import { fullLayout, type ShortLayout } from "../resources/short-layout";
import { shownKeyLayout, shownValueLayout } from "../resources/shown-map";

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
  shown: MapShowResult,
  reference: LayoutsOfReference | undefined,
  formats: Readonly<Record<string, Format>>,
): MapLayouts {
  const layouts: MapLayouts = {
    key: given(reference?.keyLayout) ?? shownKeyLayout(shown),
    value: given(reference?.valueLayout) ?? shownValueLayout(shown) ?? bytes(shown.map.valueSize),
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
  if (problems.length > 0) throw invalid(`read map "${shown.map.name}"`, problems);
  return layouts;
}

function given(layout: unknown): TypeLayout | undefined {
  return layout === undefined ? undefined : fullLayout(layout as ShortLayout);
}

function bytes(size: number): TypeLayout {
  return { kind: "bytes", size };
}
