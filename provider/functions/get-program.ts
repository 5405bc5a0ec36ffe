import * as z from "zod";
import { during } from "../lifecycle/call";
import type { ProgramFacts, ProgramTarget } from "../protocol/queries";
import { programRefSchema } from "../resources/references";
import { connectionInput, count, onlyOneOf, providerFunction, text } from "./function";

const facts = {
  programId: count("The kernel's id."),
  name: text("The kernel's name of it: at most 15 bytes of the C function's."),
  type: text("`bpf_prog_type` in lower case."),
  tag: text("The kernel's tag: 16 hex digits over its instructions."),
  verifiedInstructions: count(
    "Instructions that the verifier walked; 0 below Linux 5.16, which does not tell.",
  ),
  jitedBytes: count("Bytes of machine code."),
  memlockBytes: count("Bytes of memory that it is charged with."),
  mapIds: z.array(z.number().int()).meta({ description: "Kernel ids of the maps that it uses." }),
  loadedAt: text("When it was loaded, ISO 8601, by the host's clock."),
  runCount: text("Runs, decimal; counted only while sysctl kernel.bpf_stats_enabled is set."),
  runTimeNs: text("Nanoseconds of all runs, decimal; as `runCount`."),
  spec: z.string().optional().meta({
    description: "`specId` of the Program that loaded it; absent: it is not of pulumi-ebpf.",
  }),
} satisfies Record<keyof ProgramFacts, z.ZodType>;

export const getProgram = providerFunction({
  name: "getProgram",
  description: "A program that is loaded on a host, whoever loaded it.",
  inputs: z.strictObject({
    ...connectionInput,
    program: programRefSchema
      .partial({ type: true })
      .meta({ typeName: "EntrypointRef", typeDescription: "An entrypoint of a Program." })
      .optional()
      .meta({ description: "An entrypoint of a Program (`program.entrypoint(name)`)." }),
    programId: z.number().int().positive().optional().meta({ description: "The kernel's id.", example: 42 }),
    pin: z.string().startsWith("/").optional().meta({
      description: "Path in bpffs.",
      example: "/sys/fs/bpf/foreign/prog",
    }),
  }),
  outputs: z.object(facts),
  async run(args, { open, signal }) {
    onlyOneOf(args, ["program", "programId", "pin"]);
    const session = await open(args.connection);
    return session.call("program.show", { program: targetOf(args) }, during({ signal }));
  },
});

function targetOf({
  program,
  programId,
  pin,
}: {
  program?: { spec: string; entrypoint: string } | undefined;
  programId?: number | undefined;
  pin?: string | undefined;
}): ProgramTarget {
  if (program !== undefined) return { spec: program.spec, entrypoint: program.entrypoint };
  return programId !== undefined ? { programId } : { pin: pin! };
}
