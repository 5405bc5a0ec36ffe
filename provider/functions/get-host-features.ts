import * as z from "zod";
import { during } from "../lifecycle/call";
import type { HostFeatures } from "../protocol/messages";
import { connectionInput, providerFunction, text } from "./function";

const flag = (description: string) => z.boolean().meta({ description });
const names = (description: string) => z.array(z.string()).meta({ description });

const features = {
  kernel: text("`uname -r`."),
  architecture: z
    .enum(["x64", "arm64"])
    .meta({ typeName: "Architecture" })
    .meta({ description: "Of the processor." }),
  libbpf: text("Version of the agent's libbpf."),
  btf: flag("The kernel has BTF of its own (/sys/kernel/btf/vmlinux)."),
  bpffs: flag("bpffs is mounted on /sys/fs/bpf; the agent mounts it where it is needed."),
  cgroup2: z
    .string()
    .nullable()
    .optional()
    .meta({ description: "Where cgroup v2 is mounted; absent: nowhere." }),
  memoryCgroup: z.string().optional().meta({
    description:
      "Cgroup that memory of maps is charged to, from Linux 5.11 on; absent: the kernel counts none.",
  }),
  possibleCpus: z
    .number()
    .int()
    .meta({ description: "CPUs that the kernel can have: values of a per-CPU map." }),
  jit: flag("Programs are compiled to machine code."),
  lsms: names("Active security modules, in their order; `bpf` is one of them."),
  programTypes: names("`bpf_prog_type` in lower case."),
  mapTypes: names("`bpf_map_type` in lower case."),
  links: z.record(z.string(), z.boolean()).meta({
    description: "Kinds of links and batch operations by name, such as `tcxLink`, `xdpLink`, `lpmBatch`.",
  }),
} satisfies Record<keyof HostFeatures, z.ZodType>;

export const getHostFeatures = providerFunction({
  name: "getHostFeatures",
  description: "What a host's kernel can do.",
  inputs: z.strictObject(connectionInput),
  outputs: z.object(features),
  async run({ connection }, { open, signal }) {
    const session = await open(connection);
    const { cgroup2, memoryCgroup, ...rest } = await session.call("probe", {}, during({ signal }));
    return {
      ...rest,
      ...(cgroup2 === null ? {} : { cgroup2 }),
      ...(memoryCgroup === null ? {} : { memoryCgroup }),
    };
  },
});
