/** Global variables of an object, and the internal maps that libbpf makes of their sections. */
import { type Btf, type BtfType, typeOf } from "./btf";
import { layoutOf, sizeOf } from "./btf-layout";
import { damaged } from "./byte-view";
import { type Elf, type ElfSection, type ElfSymbol, SHT_PROGBITS } from "./elf";
import type { TypeLayout } from "./layout";
import type { MapInfo } from "./map-definition";

export interface GlobalInfo {
  name: string;
  /** `.rodata`, `.data`, `.bss` or a custom one such as `.rodata.config`. */
  section: string;
  /** Key of ObjectInfo.maps: the section's name. The kernel's name has the object's name in front. */
  map: string;
  /** Bytes from the start of the section. */
  offset: number;
  size: number;
  type: TypeLayout;
}

const BPF_F_RDONLY_PROG = 1 << 7;
const BPF_F_MMAPABLE = 1 << 10;

/** The sections that become internal maps. */
export function dataSections(elf: Elf): ElfSection[] {
  return elf.sections.filter(({ name, type, size, executable, nobits }) => {
    if (size === 0 || executable) return false;
    if (nobits) return belongsTo(name, ".bss");
    return type === SHT_PROGBITS && (belongsTo(name, ".data") || belongsTo(name, ".rodata"));
  });
}

function belongsTo(name: string, section: string): boolean {
  return name === section || name.startsWith(`${section}.`);
}

type Datasec = BtfType & { kind: "datasec" };

export function readGlobals(elf: Elf, btf: Btf | undefined): GlobalInfo[] {
  return dataSections(elf).flatMap((section) => {
    const datasec = btf?.types.find(
      (type): type is Datasec => type.kind === "datasec" && type.name === section.name,
    );
    return btf === undefined || datasec === undefined
      ? fromSymbols(elf, section)
      : fromBtf(elf, btf, section, datasec);
  });
}

function fromBtf(elf: Elf, btf: Btf, section: ElfSection, datasec: Datasec): GlobalInfo[] {
  const symbols = symbolsOf(elf, section);
  return datasec.variables.flatMap((entry) => {
    const variable = typeOf(btf, entry.type);
    if (variable.kind !== "var" || variable.linkage === "extern") return [];
    const symbol = symbols.find(({ name }) => name === variable.name);
    const size = entry.size === 0 ? sizeOf(btf, variable.type) : entry.size;
    // clang leaves offsets of globals 0 for the loader to fill in; those of statics without a symbol are right
    return describe(
      section,
      variable.name,
      symbol?.value ?? entry.offset,
      size,
      layoutOf(btf, variable.type),
    );
  });
}

/** Without BTF a global is its symbol: bytes at a place. */
function fromSymbols(elf: Elf, section: ElfSection): GlobalInfo[] {
  return symbolsOf(elf, section).flatMap(({ name, value, size }) =>
    describe(section, name, value, size, { kind: "bytes", size }),
  );
}

function symbolsOf(elf: Elf, section: ElfSection): ElfSymbol[] {
  return elf.symbols.filter((symbol) => symbol.section === section.index && symbol.type === "object");
}

function describe(
  section: ElfSection,
  name: string,
  offset: number,
  size: number,
  type: TypeLayout,
): GlobalInfo[] {
  if (name === "") return [];
  // the size may exceed the type's: an initialised flexible array
  if (offset + size > section.size || type.size > size) {
    throw damaged(`read global ${name}: ${size} bytes at ${offset} do not fit section ${section.name}`);
  }
  return [{ name, section: section.name, map: section.name, offset, size, type }];
}

/** Internal maps as libbpf creates them: an array of one value, the whole section. */
export function internalMaps(elf: Elf, btf: Btf | undefined, globals: GlobalInfo[]): MapInfo[] {
  return dataSections(elf).map((section) => {
    const own = globals.filter((global) => global.section === section.name);
    const datasec = btf?.types.find((type) => type.kind === "datasec" && type.name === section.name);
    const exposed = own.some(({ name }) =>
      symbolsOf(elf, section).some(
        (symbol) => symbol.name === name && symbol.binding !== "local" && !symbol.hidden,
      ),
    );
    const readOnly = belongsTo(section.name, ".rodata");
    return {
      name: section.name,
      type: "array",
      keySize: 4,
      valueSize: section.size,
      maxEntries: 1,
      flags: (readOnly ? BPF_F_RDONLY_PROG : 0) | (datasec !== undefined && exposed ? BPF_F_MMAPABLE : 0),
      pinning: "none",
      ...(datasec === undefined ? {} : { value: sectionLayout(section, own) }),
      internal: true,
    };
  });
}

function sectionLayout(section: ElfSection, globals: GlobalInfo[]): TypeLayout {
  const members = globals
    .map(({ name, offset, type }) => ({ name, offsetBits: offset * 8, type }))
    .sort((a, b) => a.offsetBits - b.offsetBits);
  return { kind: "struct", name: section.name, size: section.size, members };
}
