/** ELF64 little-endian relocatable objects for EM_BPF: sections, symbols, relocations. See elf(5). */
import { ByteView, damaged } from "./byte-view";

const EM_BPF = 247;
const ET_REL = 1;
const HEADER_SIZE = 64;
const SECTION_HEADER_SIZE = 64;
const SYMBOL_SIZE = 24;
const RELOCATION_SIZE = 16;
const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const SHT_REL = 9;
const SHF_EXECINSTR = 4;

/** Section types that callers ask about. */
export const SHT_PROGBITS = 1;

export interface ElfSection {
  index: number;
  name: string;
  type: number;
  executable: boolean;
  /** Bytes; a NOBITS section such as `.bss` has a size and no data. */
  size: number;
  nobits: boolean;
  data: ByteView;
}

export interface ElfSymbol {
  name: string;
  /** Offset in its section. */
  value: number;
  size: number;
  type: "none" | "object" | "func" | "section" | "other";
  binding: "local" | "global" | "weak" | "other";
  hidden: boolean;
  section: number;
}

export interface ElfRelocation {
  offset: number;
  type: number;
  symbol: ElfSymbol;
}

export interface Elf {
  sections: ElfSection[];
  symbols: ElfSymbol[];
  /** The relocations of a section, in file order. */
  relocations(section: ElfSection): ElfRelocation[];
}

/**
 * Reads an object compiled with `clang -target bpf`.
 * Fails with EbpfError `invalid` for anything else, and for every kind of damage.
 */
export function readElf(bytes: Uint8Array): Elf {
  const file = new ByteView(bytes, "the object file");
  checkHeader(file);
  const sections = readSections(file);
  const symbols = readSymbols(sections);
  return {
    sections: sections.map(({ section }) => section),
    symbols,
    relocations: (target) =>
      sections
        .filter(({ section, info }) => section.type === SHT_REL && info === target.index)
        .flatMap(({ section }) => readRelocations(section.data, symbols)),
  };
}

function checkHeader(file: ByteView): void {
  const remedy = "give an object compiled with clang -target bpf";
  if (file.length < 4 || file.u32(0) !== 0x464c457f) {
    const bitcode = file.length >= 4 && [0xdec04342, 0x0b17c0de].includes(file.u32(0));
    throw damaged(
      `read the object file: it is ${bitcode ? "LLVM bitcode, not ELF" : "not an ELF file"}`,
      bitcode ? "compile it without -emit-llvm and -flto" : remedy,
    );
  }
  if (file.u8(4) !== 2)
    throw damaged("read the object file: it is 32-bit ELF, BPF objects are 64-bit", remedy);
  if (file.u8(5) !== 1) {
    throw damaged("read the object file: it is big-endian", "compile it with -target bpfel");
  }
  const machine = file.u16(18);
  if (machine !== EM_BPF) {
    throw damaged(
      `read the object file: it is compiled for ELF machine ${machine}, not for BPF (247)`,
      remedy,
    );
  }
  if (file.u16(16) !== ET_REL)
    throw damaged("read the object file: it is not a relocatable ELF object", remedy);
  if (file.length < HEADER_SIZE) throw damaged("read the object file: truncated within the ELF header");
}

interface RawSection {
  section: ElfSection;
  link: number;
  info: number;
}

function readSections(file: ByteView): RawSection[] {
  const table = file.size(40);
  const count = file.u16(60);
  if (file.u16(58) !== SECTION_HEADER_SIZE || count === 0) {
    throw damaged("read the object file: it has no section headers");
  }
  const headers = file.slice(table, count * SECTION_HEADER_SIZE, "the ELF section headers");
  const raw = Array.from({ length: count }, (_, index) => {
    const at = index * SECTION_HEADER_SIZE;
    const type = headers.u32(at + 4);
    const nobits = type === SHT_NOBITS;
    const size = headers.size(at + 32);
    const holdsData = index > 0 && !nobits && type !== 0;
    return {
      nameOffset: headers.u32(at),
      link: headers.u32(at + 40),
      info: headers.u32(at + 44),
      type,
      nobits,
      size,
      executable: (headers.u64(at + 8) & BigInt(SHF_EXECINSTR)) !== 0n,
      data: file.slice(
        holdsData ? headers.size(at + 24) : 0,
        holdsData ? size : 0,
        `section ${index} of the object file`,
      ),
    };
  });
  const names = raw[file.u16(62)];
  if (names === undefined) throw damaged("read the object file: its section name table is missing");
  return raw.map(({ nameOffset, link, info, data, ...rest }, index) => {
    const name = index === 0 ? "" : names.data.text(nameOffset);
    return {
      link,
      info,
      section: { index, name, ...rest, data: new ByteView(data.bytes, `section ${name}`) },
    };
  });
}

const symbolTypes = ["none", "object", "func", "section"] as const;
const symbolBindings = ["local", "global", "weak"] as const;

function readSymbols(sections: RawSection[]): ElfSymbol[] {
  const table = sections.find(({ section }) => section.type === SHT_SYMTAB);
  const names = table === undefined ? undefined : sections[table.link];
  if (table === undefined || names === undefined) {
    throw damaged("read the object file: it has no symbol table", "do not strip it (llvm-strip -g is fine)");
  }
  const { data } = table.section;
  return Array.from({ length: Math.floor(data.length / SYMBOL_SIZE) }, (_, index) => {
    const at = index * SYMBOL_SIZE;
    const info = data.u8(at + 4);
    const nameOffset = data.u32(at);
    // visibility 1 is internal, 2 hidden
    const visibility = data.u8(at + 5) & 3;
    return {
      name: nameOffset === 0 ? "" : names.section.data.text(nameOffset),
      type: symbolTypes[info & 15] ?? "other",
      binding: symbolBindings[info >> 4] ?? "other",
      hidden: visibility === 1 || visibility === 2,
      section: data.u16(at + 6),
      value: data.size(at + 8),
      size: data.size(at + 16),
    };
  });
}

function readRelocations(data: ByteView, symbols: ElfSymbol[]): ElfRelocation[] {
  return Array.from({ length: Math.floor(data.length / RELOCATION_SIZE) }, (_, index) => {
    const at = index * RELOCATION_SIZE;
    const symbol = symbols[data.u32(at + 12)];
    if (symbol === undefined) throw damaged(`read ${data.what}: relocation ${index} names no symbol`);
    return { offset: data.size(at), type: data.u32(at + 8), symbol };
  });
}
