/**
 * One row to one record. The formats hand their rows to a RowPacker; what is wrong with one is named by
 * where it stands: `entries[3].key.addr` in the program, `line 7: key.addr` in a file.
 */
import {
  encodeInto,
  encodePerCpu,
  perCpuStride,
  perCpuValues,
  type RowEncoder,
  type TypeLayout,
} from "../btf";
import { EbpfError, type Problem } from "../errors";
import { keyLayoutOf } from "./keys";
import type { Problems } from "./problems";
import { RecordWriter } from "./records";
import type { EntriesRequest } from "./source";

/** Where a row stands: its index in the program, its line in a file. */
export type Place = number;

export class RowPacker {
  readonly writer: RecordWriter;
  /** Of each record. */
  readonly places: Place[] = [];
  private readonly keyLayout: TypeLayout;
  private readonly valueLayout: TypeLayout;

  /** @param cpus values per row of a part with `perCpu: "each"`, else 0 */
  constructor(
    private readonly request: EntriesRequest,
    private readonly problems: Problems,
    expected: number,
    private readonly cpus: number,
  ) {
    this.keyLayout = keyLayoutOf(request);
    this.valueLayout = valueLayoutOf(request);
    const valueSize = request.keysOnly
      ? 0
      : cpus === 0
        ? request.valueSize
        : cpus * perCpuStride(request.valueSize);
    this.writer = new RecordWriter(request.keySize, request.keySize + valueSize, expected);
  }

  /** A row as JSON. */
  add(key: unknown, value: unknown, place: Place): void {
    const found: Problem[] = [];
    const { bytes, offset, keySize } = this.writer;
    encodeInto(this.keyLayout, key, "key", found).copy(bytes, offset);
    if (this.request.keysOnly) return this.keep(place, found);
    if (this.cpus === 0) encodeInto(this.valueLayout, value, "value", found).copy(bytes, offset + keySize);
    else this.perCpu(value, found).copy(bytes, offset + keySize);
    this.keep(place, found);
  }

  /** A row as cells of a table. */
  addCells(cells: string[], encoders: { key: RowEncoder; value: RowEncoder }, place: Place): void {
    const { bytes, offset, keySize } = this.writer;
    const key = encoders.key.write(cells, bytes, offset);
    const value = encoders.value.write(cells, bytes, offset + keySize);
    this.keep(place, key, value);
  }

  /** `part` is `key`, `value` or a path below them; empty for the row itself. */
  refuse(place: Place, part: string, reason: string): void {
    if (this.request.file === undefined) {
      this.problems.add(`${this.request.property}[${place}]${part === "" ? "" : `.${part}`}`, reason);
    } else {
      this.problems.add(this.request.property, `line ${place}: ${part === "" ? "" : `${part}: `}${reason}`);
    }
  }

  private keep(place: Place, ...found: (Problem[] | undefined)[]): void {
    for (const problems of found) {
      for (const { property, reason } of problems ?? []) this.refuse(place, property, reason);
    }
    this.places.push(place);
    this.writer.advance();
  }

  private perCpu(value: unknown, found: Problem[]): Buffer {
    const given = perCpuValues(value)?.length ?? this.cpus;
    if (given !== this.cpus) {
      found.push({ property: "value.perCpu", reason: `has ${given} values, another row has ${this.cpus}` });
      return Buffer.alloc(0);
    }
    try {
      return encodePerCpu(this.valueLayout, value, this.cpus);
    } catch (error) {
      if (!EbpfError.is(error, "invalid")) throw error;
      found.push(...(error.context.problems ?? []));
      return Buffer.alloc(0);
    }
  }
}

export function valueLayoutOf({ valueLayout, valueSize }: EntriesRequest): TypeLayout {
  return valueLayout ?? { kind: "bytes", size: valueSize };
}
