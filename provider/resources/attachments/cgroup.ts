/** Hook `cgroup`: sockets, packets, devices and sysctls of the processes in a cgroup. Linux 5.7. */
import * as z from "zod";
import { CGROUP_ATTACH, type CgroupAttach } from "../../protocol/hooks";
import { type AttachmentHook, wrongAttachType, wrongType } from "./hook";

/** Program type and expected attach type of each place; include/uapi/linux/bpf.h. */
const places: Record<CgroupAttach, [programType: string, attachType?: string]> = {
  // one program serves both directions
  "skb/ingress": ["cgroup_skb"],
  "skb/egress": ["cgroup_skb"],
  bind4: ["cgroup_sock_addr", "cgroup_inet4_bind"],
  bind6: ["cgroup_sock_addr", "cgroup_inet6_bind"],
  connect4: ["cgroup_sock_addr", "cgroup_inet4_connect"],
  connect6: ["cgroup_sock_addr", "cgroup_inet6_connect"],
  sendmsg4: ["cgroup_sock_addr", "cgroup_udp4_sendmsg"],
  sendmsg6: ["cgroup_sock_addr", "cgroup_udp6_sendmsg"],
  sock_create: ["cgroup_sock", "cgroup_inet_sock_create"],
  sock_release: ["cgroup_sock", "cgroup_inet_sock_release"],
  getsockopt: ["cgroup_sockopt", "cgroup_getsockopt"],
  setsockopt: ["cgroup_sockopt", "cgroup_setsockopt"],
  device: ["cgroup_device", "cgroup_device"],
  sysctl: ["cgroup_sysctl", "cgroup_sysctl"],
};

const inputs = z
  .strictObject({
    path: z
      .string()
      .regex(/^\/([^/]+\/?)*$/, "must be an absolute path")
      .meta({ description: "Directory of a cgroup v2.", example: "/sys/fs/cgroup/system.slice" }),
    type: z.enum(CGROUP_ATTACH).meta({ typeName: "CgroupAttach" }).meta({
      description: "Place in the cgroup, as libbpf names it after `cgroup/`; `device` and `sysctl` too.",
      example: "connect4",
    }),
  })
  .meta({ typeName: "Cgroup", typeDescription: "Hook cgroup: processes of a cgroup v2." });

export const cgroup: AttachmentHook<z.output<typeof inputs>> = {
  name: "cgroup",
  inputs,
  misfit(program, { type }) {
    const [programType, attachType] = places[type];
    const hook = `cgroup ${type}`;
    return (
      wrongType(hook, program, [programType]) ??
      (attachType === undefined ? undefined : wrongAttachType(hook, program, [attachType]))
    );
  },
  finds: { cgroup: "path" },
  toHook: ({ path, type }) => ({ type: "cgroup", path, attach: type }),
};
