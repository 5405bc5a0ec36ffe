/** Problems of a file of a million rows: the first of them, and how many more. */
import { type EbpfError, invalid, type Problem } from "../errors";

const shown = 20;

export class Problems {
  private readonly kept: Problem[] = [];
  private count = 0;

  /** `where` is prefixed to each reason, e.g. the file's name. */
  constructor(private readonly where?: string) {}

  add(property: string, reason: string): void {
    this.count++;
    if (this.kept.length < shown) {
      this.kept.push({ property, reason: this.where === undefined ? reason : `${this.where}: ${reason}` });
    }
  }

  /** One about the whole; it comes first and is always shown. */
  addWhole(property: string, reason: string): void {
    this.count++;
    this.kept.unshift({ property, reason: this.where === undefined ? reason : `${this.where}: ${reason}` });
  }

  get any(): boolean {
    return this.count > 0;
  }

  error(message: string, property: string): EbpfError<"invalid"> {
    const more = this.count - this.kept.length;
    const rest = more > 0 ? [{ property, reason: `and ${more} more problems` }] : [];
    return invalid(message, [...this.kept, ...rest]);
  }
}
