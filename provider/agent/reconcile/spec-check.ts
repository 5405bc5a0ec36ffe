/** What can be wrong with a Spec in itself, without a host. The operator compiles Specs; this guards the wire. */
import { EbpfError } from "../../errors";
import { SPEC_FORMAT, type Spec } from "../../protocol/spec";
import { parseSpecId } from "../../protocol/spec-id";

/** All that is wrong, none when the Spec is sound. */
export function checkSpec(spec: Spec): EbpfError[] {
  if (spec.format > SPEC_FORMAT) {
    return [
      new EbpfError(
        "invalid",
        `read Spec: it has format ${spec.format}, this agent knows up to ${SPEC_FORMAT}`,
        {},
        {
          remedy: "deliver a newer agent",
        },
      ),
    ];
  }
  const problems: EbpfError[] = [];
  const wrong = (message: string) =>
    problems.push(new EbpfError("invalid", `check ${spec.id}: ${message}`, {}));
  try {
    parseSpecId(spec.id);
  } catch (error) {
    problems.push(EbpfError.from(error));
  }
  for (const [what, names] of [
    ["object", spec.objects.map(({ name }) => name)],
    ["entrypoint", spec.objects.flatMap(({ entrypoints }) => entrypoints)],
    ["map", spec.maps.map(({ name }) => name)],
    ["entries", spec.entries.map(({ name }) => name)],
    ["link", spec.links.map(({ name }) => name)],
  ] as const) {
    for (const name of duplicates(names)) wrong(`${what} "${name}" is there twice`);
  }
  for (const { name, entrypoints } of spec.objects) {
    if (entrypoints.length === 0) wrong(`object "${name}" has no entrypoint`);
  }
  const own = new Set(spec.objects.flatMap(({ entrypoints }) => entrypoints));
  const programs = [
    ...spec.links.map(({ program }) => program),
    ...spec.entries.flatMap(({ references }) => references.flatMap(({ program }) => program ?? [])),
  ];
  for (const { spec: id, entrypoint } of programs) {
    if (id === spec.id && !own.has(entrypoint)) wrong(`it has no entrypoint "${entrypoint}"`);
  }
  return problems;
}

function duplicates(names: readonly string[]): Set<string> {
  return new Set(names.filter((name, index) => names.indexOf(name) !== index));
}
