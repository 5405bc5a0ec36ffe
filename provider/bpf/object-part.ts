/** Programs and maps of an object are libbpf's: their pointers die with the object. */
export abstract class ObjectPart {
  private raw: bigint | null;

  constructor(
    pointer: bigint,
    private readonly what: string,
  ) {
    this.raw = pointer;
  }

  protected get pointer(): bigint {
    if (this.raw === null) throw new RangeError(`use of a ${this.what} of a closed object`);
    return this.raw;
  }

  invalidate(): void {
    this.raw = null;
  }
}
