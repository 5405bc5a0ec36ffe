/**
 * What one BPF object file holds: entrypoints, maps, globals. Not externs (`.kconfig`, `.ksyms`), which only a host can
 * resolve, and not struct_ops maps.
 */
import { type Btf, readBtf } from "./btf";
import { damaged } from "./byte-view";
import { type Elf, readElf, SHT_PROGBITS } from "./elf";
import { type GlobalInfo, internalMaps, readGlobals } from "./globals";
import { type MapInfo, readLegacyMaps, readMapDefinitions } from "./map-definition";
import { type SectionMeaning, sectionMeaning } from "./sections";

/** One program (C function). */
export interface EntrypointInfo extends SectionMeaning {
  name: string;
  /** ELF section, as written in `SEC()`. */
  section: string;
}

/** Plain JSON. Names are unique within each record. */
export interface ObjectInfo {
  /** Text of section `license`; empty when there is none. */
  license: string;
  hasBtf: boolean;
  /** Maps are defined in section `maps`, which libbpf 1.0 and later refuses. */
  legacyMaps: boolean;
  entrypoints: Record<string, EntrypointInfo>;
  /** Maps by name; internal maps by section name, e.g. `.rodata`. */
  maps: Record<string, MapInfo>;
  globals: Record<string, GlobalInfo>;
}

/**
 * Reads an ELF object compiled with `clang -target bpf`, with or without BTF.
 *
 * Fails with EbpfError `invalid` for what is not such an object (not ELF, other machine, big-endian, 32 bit) and for
 * damage of any kind.
 */
export function readObject(bytes: Uint8Array): ObjectInfo {
  const elf = readElf(bytes);
  const btfSection = elf.sections.find(({ name }) => name === ".BTF");
  const btf = btfSection === undefined ? undefined : readBtf(btfSection.data.bytes);
  const globals = readGlobals(elf, btf);
  const legacy = elf.sections.find(({ name, size }) => name === "maps" && size > 0);
  return {
    license: readLicense(elf),
    hasBtf: btf !== undefined,
    legacyMaps: legacy !== undefined,
    entrypoints: byName(readEntrypoints(elf)),
    maps: byName([
      ...readUserMaps(elf, btf),
      ...(legacy === undefined ? [] : readLegacyMaps(elf, legacy)),
      ...internalMaps(elf, btf, globals),
    ]),
    globals: byName(globals),
  };
}

/** The raw BTF of an object, e.g. to give to BPF_BTF_LOAD; undefined when it has none. */
export function btfOfObject(bytes: Uint8Array): Buffer | undefined {
  return readElf(bytes).sections.find(({ name }) => name === ".BTF")?.data.bytes;
}

function readUserMaps(elf: Elf, btf: Btf | undefined): MapInfo[] {
  const section = elf.sections.find(({ name, size }) => name === ".maps" && size > 0);
  if (section === undefined) return [];
  if (btf === undefined) {
    throw damaged(
      "read the object file: its maps are defined in section .maps, but it has no BTF",
      "compile it with -g, and do not strip .BTF",
    );
  }
  return readMapDefinitions(elf, btf);
}

function readLicense(elf: Elf): string {
  const data = elf.sections.find(({ name }) => name === "license")?.data.bytes;
  if (data === undefined) return "";
  const end = data.indexOf(0);
  return data.toString("utf8", 0, end < 0 ? data.length : end);
}

/** Functions outside `.text`: there stand subprograms, which libbpf copies into the programs that call them. */
function readEntrypoints(elf: Elf): EntrypointInfo[] {
  return elf.sections
    .filter(({ type, executable, name }) => type === SHT_PROGBITS && executable && name !== ".text")
    .flatMap((section) =>
      elf.symbols
        .filter((symbol) => symbol.section === section.index && symbol.type === "func" && symbol.name !== "")
        .sort((a, b) => a.value - b.value)
        .map(({ name }) => ({ name, section: section.name, ...sectionMeaning(section.name) })),
    );
}

/** The first of two equal names stays: only statics of linked objects can be equal, and those are hidden anyway. */
function byName<T extends { name: string }>(list: T[]): Record<string, T> {
  const first = new Map<string, T>();
  for (const item of list) if (!first.has(item.name)) first.set(item.name, item);
  return Object.fromEntries(first);
}
