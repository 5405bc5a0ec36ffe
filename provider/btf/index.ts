/**
 * Objects and types, pure: no host, no file, no clock. The operator's side and the agent both use it.
 *
 * Owns: reading ELF and BTF (`readObject`), the memory layout of C types as plain JSON (`TypeLayout`), the types that
 * users declare in text (`parseType`), bytes from JSON and back (`encode`, `decode`), comparing map shapes
 * (`compareShapes`), and writing BTF for declared types (`writeBtf`).
 * Does not own: loading anything, files, or what a resource does with a difference.
 */
export { formatAddress, formatMac, masked, parseAddress, parseCidr, parseMac, sameBits } from "./addresses";
export { type Btf, readBtf } from "./btf";
export { layoutOf, lpmKeyLayout } from "./btf-layout";
export { type DeclaredType, parseType } from "./declared";
export { decode } from "./decode";
export { encode, encodeInto } from "./encode";
export { withFormat } from "./formats";
export { type GlobalInfo } from "./globals";
export { type Format, isByteArray, isText, kernelField, typeName } from "./layout";
export type {
  ArrayLayout,
  BytesLayout,
  EnumLayout,
  FloatLayout,
  IntLayout,
  MemberLayout,
  PointerLayout,
  StructLayout,
  TypeLayout,
} from "./layout";
export { type MapInfo, mapTypes } from "./map-definition";
export { btfOfObject, type EntrypointInfo, type ObjectInfo, readObject } from "./object";
export { decodePerCpu, encodePerCpu, perCpuStride, perCpuValues } from "./per-cpu";
export { compileEncoder, type RowEncoder } from "./rows";
export { sectionMeaning, type SectionMeaning } from "./sections";
export {
  type ComparableShape,
  compareLayouts,
  compareShapes,
  type KernelField,
  type ShapeDifference,
  specials,
} from "./shape";
export { typeText } from "./type-text";
export { takesBtf, writeBtf, type WrittenBtf } from "./writer";
