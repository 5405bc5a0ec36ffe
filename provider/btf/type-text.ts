/** Declared types as one line of text, in which the order of members cannot get lost. See declared.ts. */
import type { DeclaredType } from "./declared";
import { simpleType, simpleTypes } from "./simple-types";

/** One canonical line: `{ addr: ipv4, port: be16 }`. `parseType` reads it back to the same layout. */
export function typeText(declared: DeclaredType): string {
  if (typeof declared === "string") return declared.trim();
  // of no type: parseTypeText says so
  if (declared === null || typeof declared !== "object") return String(declared);
  if (Array.isArray(declared)) {
    // as in C the outer count stands first: 3 times u8[2] is u8[3][2]
    const element = typeText(declared[0] as DeclaredType);
    const counts = /(?:\[\d+\])*$/.exec(element)?.index ?? element.length;
    return `${element.slice(0, counts)}[${declared[1]}]${element.slice(counts)}`;
  }
  if (Object.hasOwn(declared, "enum")) {
    const { enum: names, size } = declared as { enum: Record<string, number | string>; size?: number };
    const values = Object.entries(names ?? {}).map(([name, number]) => `${name} = ${number}`);
    return `enum${size === undefined ? "" : `:${size}`} { ${values.join(", ")} }`;
  }
  const union = Object.hasOwn(declared, "union");
  const members = Object.entries((union ? (declared as { union: object }).union : declared) ?? {});
  const body = members.map(([name, type]) => `${name}: ${typeText(type as DeclaredType)}`).join(", ");
  return `${union ? "union " : ""}{ ${body} }`;
}

/** The declared type that the text means, every word in it known; or the reason why it means none. */
export function parseTypeText(text: string): { type: DeclaredType } | string {
  const tokens = text.match(/[A-Za-z_]\w*(:\d+)?|-?(0x[0-9a-fA-F]+|\d+)|\S/g) ?? [];
  try {
    const parser = new Parser(tokens);
    const type = parser.type();
    parser.end();
    return { type };
  } catch (error) {
    if (error instanceof Unexpected)
      return `${error.message}${text.length > 40 ? "" : ` in ${JSON.stringify(text)}`}`;
    throw error;
  }
}

/** Never leaves this file. */
class Unexpected extends Error {}

const MAX_DEPTH = 16;

class Parser {
  private next = 0;
  private depth = 0;

  constructor(private readonly tokens: readonly string[]) {}

  type(): DeclaredType {
    if (++this.depth > MAX_DEPTH) throw new Unexpected(`types nest at most ${MAX_DEPTH} deep`);
    let type = this.base();
    const counts: number[] = [];
    while (this.take("[")) {
      counts.unshift(Number(this.matching(/^\d+$/, "a count")));
      this.expect("]");
    }
    for (const count of counts) type = [type, count];
    this.depth--;
    return type;
  }

  end(): void {
    if (this.next < this.tokens.length) throw this.unexpected("the end of the type");
  }

  private base(): DeclaredType {
    if (this.take("union")) return { union: this.members(() => this.type(), ":") };
    const word = this.tokens[this.next] ?? "";
    if (word === "{") return this.members(() => this.type(), ":");
    if (/^enum(:\d+)?$/.test(word)) {
      this.next++;
      const size = word.split(":")[1];
      const names = this.members(() => this.matching(/^-?(0x[0-9a-f]+|\d+)$/i, "a number"), "=");
      return { enum: names, ...(size === undefined ? {} : { size: Number(size) }) };
    }
    if (simpleType(word) === undefined) throw this.unexpected(`a type (${simpleTypes}, { … }, union, enum)`);
    this.next++;
    return word;
  }

  private members<T>(value: () => T, separator: string): Record<string, T> {
    const members = new Map<string, T>();
    this.expect("{");
    do {
      const name = this.matching(/^[A-Za-z_]\w*$/, "a member");
      if (members.has(name)) throw new Unexpected(`${name} stands there twice`);
      this.expect(separator);
      members.set(name, value());
    } while (this.take(",") && this.tokens[this.next] !== "}");
    this.expect("}");
    return Object.fromEntries(members);
  }

  private take(token: string): boolean {
    const found = this.tokens[this.next] === token;
    if (found) this.next++;
    return found;
  }

  private expect(token: string): void {
    if (!this.take(token)) throw this.unexpected(`"${token}"`);
  }

  private matching(pattern: RegExp, what: string): string {
    const token = this.tokens[this.next] ?? "";
    if (!pattern.test(token)) throw this.unexpected(what);
    this.next++;
    return token;
  }

  private unexpected(what: string): Unexpected {
    const token = this.tokens[this.next];
    return new Unexpected(`expected ${what}, got ${token === undefined ? "the end" : JSON.stringify(token)}`);
  }
}
