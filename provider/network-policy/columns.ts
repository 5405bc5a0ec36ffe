/** Typed arrays that grow, and how they are written and read. */

/** The array, or one of twice the length with the same contents where it is too short. */
export function grown<Column extends Uint32Array | Uint8Array>(column: Column, length: number): Column {
  if (length <= column.length) return column;
  const longer = new (column.constructor as new (length: number) => Column)(2 * length);
  longer.set(column);
  return longer;
}

export interface ColumnWriter {
  column(column: Uint32Array | Uint8Array): void;
}

/** In the order in which they were written. */
export interface ColumnReader {
  column(): Uint32Array<ArrayBuffer>;
  bytes(): Uint8Array<ArrayBuffer>;
}
