/** Declared types, and values of them in the form that `decode` gives, for property tests. */
import fc from "fast-check";
import type { DeclaredType } from "../../../provider/btf";

interface Sample {
  type: DeclaredType;
  value: unknown;
}

const integers: [string, number, boolean][] = (["u", "s", "be"] as const).flatMap((kind) =>
  [8, 16, 32, 64]
    .filter((bits) => kind !== "be" || bits > 8)
    .map((bits): [string, number, boolean] => [`${kind}${bits}`, bits, kind === "s"]),
);

const integer = fc.constantFrom(...integers).chain(([type, bits, signed]) => {
  const range = signed
    ? { min: -(1n << BigInt(bits - 1)), max: (1n << BigInt(bits - 1)) - 1n }
    : { min: 0n, max: (1n << BigInt(bits)) - 1n };
  return fc.bigInt(range).map((value): Sample => ({ type, value: bits === 64 ? `${value}` : Number(value) }));
});

const byte = fc.integer({ min: 0, max: 255 });
const hex = (bytes: number[]) => bytes.map((value) => value.toString(16).padStart(2, "0"));

const words: fc.Arbitrary<Sample> = fc.oneof(
  { weight: 4, arbitrary: integer },
  fc.boolean().map((value) => ({ type: "bool", value })),
  fc.ipV4().map((value) => ({ type: "ipv4", value })),
  // what URL says is the canonical text of an address
  fc.ipV6().map((text) => ({ type: "ipv6", value: canonicalIpv6(text) })),
  fc
    .array(byte, { minLength: 6, maxLength: 6 })
    .map((bytes) => ({ type: "mac", value: hex(bytes).join(":") })),
  fc
    .array(byte, { minLength: 3, maxLength: 3 })
    .map((bytes) => ({ type: "bytes:3", value: `0x${hex(bytes).join("")}` })),
  fc
    .string({ unit: fc.constantFrom("a", "Z", "0", " ", "-"), maxLength: 5 })
    .map((value) => ({ type: "text:5", value })),
  fc
    .float({ noNaN: true, noDefaultInfinity: true })
    .map((value) => ({ type: "f32", value: value === 0 ? 0 : value })),
  fc
    .double({ noNaN: true, noDefaultInfinity: true })
    .map((value) => ({ type: "f64", value: value === 0 ? 0 : value })),
);

function canonicalIpv6(text: string): string {
  const host = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const mapped = /^::ffff:([0-9a-f]+):([0-9a-f]+)$/.exec(host);
  if (mapped === null) return host;
  const [high, low] = [Number.parseInt(mapped[1] as string, 16), Number.parseInt(mapped[2] as string, 16)];
  return `::ffff:${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

const enums: fc.Arbitrary<Sample> = fc
  .record({
    size: fc.constantFrom(1, 4),
    values: fc.uniqueArray(fc.integer({ min: 0, max: 255 }), { minLength: 1, maxLength: 4 }),
  })
  .chain(({ size, values }) => {
    const names = Object.fromEntries(values.map((value, index) => [`N${index}`, value]));
    return fc
      .constantFrom(...Object.keys(names))
      .map((value): Sample => ({ type: { enum: names, size }, value }));
  });

const { sample } = fc.letrec<{ sample: Sample }>((tie) => ({
  sample: fc.oneof(
    { maxDepth: 3, depthIdentifier: "type" },
    { weight: 3, arbitrary: words },
    enums,
    fc.tuple(tie("sample"), fc.integer({ min: 1, max: 3 })).map(([{ type, value }, count]) => ({
      type: arrayOf(type, count),
      value: Array.from({ length: count }, () => value),
    })),
    fc.array(tie("sample"), { minLength: 1, maxLength: 4 }).map((members) => ({
      type: Object.fromEntries(members.map(({ type }, index) => [`m${index}`, type])),
      value: Object.fromEntries(members.map(({ value }, index) => [`m${index}`, value])),
    })),
    tie("sample").map(({ type, value }) => ({
      type: { union: { wide: type, narrow: "u8" } },
      value: { wide: value },
    })),
  ),
}));

function arrayOf(type: DeclaredType, count: number): DeclaredType {
  return [type, count];
}

/** A declared type with a value as `decode` shows it. */
export const typedValues: fc.Arbitrary<Sample> = sample;

export const declaredTypes: fc.Arbitrary<DeclaredType> = sample.map(({ type }) => type);
