/** The reader's side of a ring buffer map. Linux 5.8. */
import { checkCode, checkPointer } from "./errno";
import { koffi } from "./koffi";
import { libbpf } from "./library";
import type { MapHandle } from "./map";

const sampleFunction = koffi.pointer(koffi.proto("int(void *ctx, void *data, size_t size)"));

/** libbpf ends its walk at a negative answer, with the record taken (ringbuf.c, ringbuf_process_ring). */
const ENOUGH = -1;

/**
 * A map has one position of its reader, in a page that all readers share. Of two, each gets what the other has not
 * taken, and the slower one may move the position back to what is overwritten already: callers see to it that a map has
 * one reader at a time.
 */
export class RingBuffer implements Disposable {
  private taken: Buffer[] = [];
  private most = 0;
  private readonly callback: bigint;
  private pointer: bigint | null;

  /** The map may be closed afterwards. Fails with EINVAL for one of another type. */
  constructor(map: MapHandle) {
    this.callback = koffi.register((_context: unknown, data: bigint, size: number | bigint) => {
      // the kernel writes there again
      this.taken.push(Buffer.from(new Uint8Array(koffi.view(data, Number(size)))));
      return this.taken.length < this.most ? 0 : ENOUGH;
    }, sampleFunction);
    try {
      const pointer = libbpf.ring_buffer__new(map.fd, this.callback, null, null);
      this.pointer = checkPointer("ring_buffer__new", pointer, "read ring buffer");
    } catch (error) {
      koffi.unregister(this.callback);
      throw error;
    }
  }

  /** Takes what lies in it, the oldest first, at most so many records. Does not wait. */
  take(most: number): Buffer[] {
    if (this.pointer === null) throw new RangeError("use of a closed ring buffer");
    this.taken = [];
    this.most = most;
    const rc = libbpf.ring_buffer__consume(this.pointer);
    if (this.taken.length < most) checkCode("ring_buffer__consume", rc, "read ring buffer");
    return this.taken;
  }

  close(): void {
    if (this.pointer === null) return;
    libbpf.ring_buffer__free(this.pointer);
    this.pointer = null;
    koffi.unregister(this.callback);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
