/**
 * A compiled union as bytes: pieces of columns and pages of cells, a directory of them, and where that is. What is appended
 * later refers to pieces that are there already, so a file grows by what a generation changed.
 */
import { createHash } from "node:crypto";
import type { ColumnReader, ColumnWriter } from "./columns";

/** Where a union lies: a file, read where it is needed for as long as the union or one compiled from it is in use. */
export interface StoredBytes {
  size: number;
  /** A copy that the reader may keep. */
  read(offset: number, length: number): Uint8Array;
}

/** Offset and length of the pieces of one column. */
type Place = readonly [offset: number, length: number];

export interface Directory {
  format: number;
  /** What is not in columns. */
  scalars: unknown;
  columns: Place[][];
  /** Bytes up to the end of this directory. */
  size: number;
  /** Of these, those that something refers to. */
  live: number;
}

const FORMAT = 7;
const PIECE = 65536;
const MAGIC = Buffer.from("npunion2");
/** Magic, length of the directory, its sha256. */
const FOOTER = 8 + 4 + 32;

export class StoredWriter implements ColumnWriter {
  private readonly parts: Uint8Array[] = [];
  private readonly places: Place[][] = [];
  private end: number;
  private live = 0;

  constructor(
    /** What the file holds already, and its columns in the same order. */
    private readonly since?: { directory: Directory; columns: readonly Uint8Array[] },
  ) {
    this.end = since?.directory.size ?? 0;
  }

  column(column: Uint32Array | Uint8Array): void {
    const bytes = bytesOf(column);
    const old = this.since?.columns[this.places.length];
    const oldPlaces = this.since?.directory.columns[this.places.length] ?? [];
    const places: Place[] = [];
    for (let at = 0; at < bytes.length; at += PIECE) {
      const piece = bytes.subarray(at, at + PIECE);
      const known = oldPlaces[places.length];
      const same =
        known?.[1] === piece.length &&
        old !== undefined &&
        Buffer.compare(piece, old.subarray(at, at + PIECE)) === 0;
      places.push(same ? known : this.piece(piece));
    }
    this.places.push(places);
    this.live += bytes.length;
  }

  /** Something of which the caller knows whether the file holds it. */
  place(known: Place | undefined, content: () => Uint32Array): Place {
    const place = known ?? this.piece(bytesOf(content()));
    this.live += place[1];
    return place;
  }

  finish(scalars: unknown): { directory: Directory; parts: Uint8Array[] } {
    const directory = { format: FORMAT, scalars, columns: this.places, size: 0, live: this.live };
    // the length of a number is part of what it says
    for (let length = -1; ;) {
      const text = Buffer.from(JSON.stringify(directory));
      directory.size = this.end + text.length + FOOTER;
      if (length === text.length) {
        const footer = Buffer.alloc(FOOTER);
        MAGIC.copy(footer);
        footer.writeUInt32LE(text.length, 8);
        createHash("sha256").update(text).digest().copy(footer, 12);
        return { directory, parts: [...this.parts, text, footer] };
      }
      length = text.length;
    }
  }

  private piece(bytes: Uint8Array): Place {
    // pieces begin where words may
    const padding = (4 - (bytes.length & 3)) & 3;
    this.parts.push(bytes);
    if (padding > 0) this.parts.push(new Uint8Array(padding));
    const place = [this.end, bytes.length] as const;
    this.end += bytes.length + padding;
    return place;
  }
}

/** Collects columns and writes nothing. */
export class ColumnList implements ColumnWriter {
  readonly columns: Uint8Array[] = [];

  column(column: Uint32Array | Uint8Array): void {
    this.columns.push(bytesOf(column));
  }
}

/** Undefined when the bytes are cut short, damaged, or of another version. */
export function readDirectory({ size, read }: StoredBytes): Directory | undefined {
  if (size < FOOTER) return undefined;
  const footer = Buffer.from(read(size - FOOTER, FOOTER));
  const length = footer.readUInt32LE(8);
  if (!footer.subarray(0, 8).equals(MAGIC) || length + FOOTER > size) return undefined;
  const text = Buffer.from(read(size - FOOTER - length, length));
  if (!createHash("sha256").update(text).digest().equals(footer.subarray(12))) return undefined;
  const directory = JSON.parse(text.toString("utf8")) as Directory;
  return directory.format === FORMAT && directory.size === size ? directory : undefined;
}

export class StoredReader implements ColumnReader {
  private next = 0;

  constructor(
    private readonly stored: StoredBytes,
    private readonly directory: Directory,
  ) {}

  column(): Uint32Array<ArrayBuffer> {
    const bytes = this.bytes();
    return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    const places = this.directory.columns[this.next++]!;
    const bytes = new Uint8Array(places.reduce((sum, [, length]) => sum + length, 0));
    let at = 0;
    for (let i = 0; i < places.length;) {
      // pieces that lie side by side are one read
      const [offset] = places[i]!;
      let end = offset;
      for (; i < places.length && places[i]![0] === end; i++) end += places[i]![1];
      bytes.set(this.stored.read(offset, end - offset), at);
      at += end - offset;
    }
    return bytes;
  }

  words([offset, length]: Place): () => Uint32Array {
    return () => {
      const bytes = this.stored.read(offset, length);
      if (bytes.byteOffset % 4 === 0) return new Uint32Array(bytes.buffer, bytes.byteOffset, length / 4);
      return new Uint32Array(Uint8Array.from(bytes).buffer);
    };
  }
}

export type { Place };

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array | Uint8Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
