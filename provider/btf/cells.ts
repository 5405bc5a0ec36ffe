/**
 * Writers of one cell of a row: fast for what fills millions of rows (integers, IPv4, enum names), and the way of
 * `encode`, with its reasons, for all else.
 */
import type { Problem } from "../errors";
import { parseIpv4 } from "./addresses";
import { encodeInto } from "./encode";
import { integerRange } from "./integers";
import type { EnumLayout, TypeLayout } from "./layout";
import { cidrShape } from "./members";

/** Writes one cell; the reason when it does not fit. */
export type CellWriter = (cell: string, out: Buffer, offset: number) => string | undefined;

/** The writer of a layout that one column holds, at `at` bytes from the start of the row. */
export function cellWriter(layout: TypeLayout, at: number): CellWriter {
  const general = generalWriter(layout, at);
  if (layout.kind === "struct" && cidrShape(layout) === 4) return cidr4Writer(at, general);
  if (layout.kind === "int" && layout.format === "ipv4") return ipv4Writer(at, general);
  if (layout.kind === "enum") return enumWriter(layout, at, general);
  if (layout.kind !== "int" || layout.bool || layout.size > 8) return general;
  return integerWriter(layout.size, layout.signed, layout.format !== undefined, at, general);
}

/** The way of `encode`: exact and with its reasons, but slower. */
function generalWriter(layout: TypeLayout, at: number): CellWriter {
  return (cell, out, offset) => {
    const problems: Problem[] = [];
    const bytes = encodeInto(layout, jsonOf(layout, cell), "", problems);
    if (problems[0] !== undefined) return problems[0].reason;
    bytes.copy(out, offset + at);
    return undefined;
  };
}

/** What `encode` takes for the text of a cell. */
export function jsonOf(layout: TypeLayout, cell: string): unknown {
  if (layout.kind === "int" && layout.bool) {
    return cell === "1" || cell === "true" ? true : cell === "0" || cell === "false" ? false : cell;
  }
  if (layout.kind === "float" && cell.trim() !== "" && Number.isFinite(Number(cell))) return Number(cell);
  return cell;
}

/** Decimal digits that a number holds exactly. */
const SAFE_DIGITS = 15;

function integerWriter(
  size: number,
  signed: boolean,
  bigEndian: boolean,
  at: number,
  general: CellWriter,
): CellWriter {
  const [, max] = integerRange(size * 8, signed);
  const limit = Number(max);
  const digits = size === 8 ? 20 : SAFE_DIGITS;
  return (cell, out, offset) => {
    const { length } = cell;
    if (length === 0 || length > digits) return general(cell, out, offset);
    let value = 0;
    for (let index = 0; index < length; index++) {
      const digit = cell.charCodeAt(index) - 48;
      if (digit < 0 || digit > 9) return general(cell, out, offset);
      value = value * 10 + digit;
    }
    if (length > SAFE_DIGITS) {
      const exact = BigInt(cell);
      if (exact > max) return general(cell, out, offset);
      if (bigEndian) out.writeBigUInt64BE(exact, offset + at);
      else out.writeBigUInt64LE(exact, offset + at);
      return undefined;
    }
    if (value > limit) return general(cell, out, offset);
    if (bigEndian) {
      for (let index = offset + at + size - 1; index >= offset + at; index--) {
        out[index] = value;
        value = Math.floor(value / 256);
      }
    } else {
      for (let index = offset + at; value > 0; index++) {
        out[index] = value;
        value = Math.floor(value / 256);
      }
    }
    return undefined;
  };
}

function ipv4Writer(at: number, general: CellWriter): CellWriter {
  return (cell, out, offset) => {
    const address = parseIpv4(cell);
    if (address === undefined) return general(cell, out, offset);
    out.writeUInt32BE(address, offset + at);
    return undefined;
  };
}

function cidr4Writer(at: number, general: CellWriter): CellWriter {
  return (cell, out, offset) => {
    const slash = cell.length - (cell.charCodeAt(cell.length - 2) === 47 ? 2 : 3);
    const address = cell.charCodeAt(slash) === 47 ? parseIpv4(cell.slice(0, slash)) : undefined;
    const prefix = Number(cell.slice(slash + 1));
    // what is rare or wrong takes the way that knows the reason
    if (address === undefined || !(prefix >= 10 && prefix <= 32) || address % 2 ** (32 - prefix) !== 0) {
      return general(cell, out, offset);
    }
    out.writeUInt32LE(prefix, offset + at);
    out.writeUInt32BE(address, offset + at + 4);
    return undefined;
  };
}

function enumWriter(layout: EnumLayout, at: number, general: CellWriter): CellWriter {
  const names = new Map(Object.keys(layout.values).map((name) => [name, encodeInto(layout, name, "", [])]));
  return (cell, out, offset) => {
    const bytes = names.get(cell);
    if (bytes === undefined) return general(cell, out, offset);
    bytes.copy(out, offset + at);
    return undefined;
  };
}
