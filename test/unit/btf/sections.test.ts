import assert from "node:assert/strict";
import { sectionMeaning } from "../../../provider/btf";
import { Workshop } from "./compile";

/** Prints what the libbpf of this machine makes of each section name on stdin. */
const question = `
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>
static int quiet(enum libbpf_print_level level, const char *format, va_list args) { return 0; }
int main(void)
{
	char name[128];

	libbpf_set_print(quiet);
	while (fgets(name, sizeof(name), stdin)) {
		enum bpf_prog_type type = 0;
		enum bpf_attach_type attach = 0;

		name[strcspn(name, "\\n")] = 0;
		if (libbpf_prog_type_by_name(name, &type, &attach) < 0)
			printf("%s unknown\\n", name);
		else
			printf("%s %s %d %s\\n", name, libbpf_bpf_prog_type_str(type), attach,
			       libbpf_bpf_attach_type_str(attach));
	}
	return 0;
}
`;

/** libbpf 1.1 of Debian 12 is older than these. */
const newer = [
  "tc/ingress",
  "tc/egress",
  "tcx/ingress",
  "tcx/egress",
  "netkit/primary",
  "netkit/peer",
  "netfilter",
  "uprobe.multi/x",
  "uretprobe.multi.s/x",
  "uprobe.session/x",
  "kprobe.session/x",
  "fsession/x",
  "usdt.s/x",
  "cgroup/connect_unix",
  "cgroup/sendmsg_unix",
  "cgroup/recvmsg_unix",
  "cgroup/getpeername_unix",
  "cgroup/getsockname_unix",
  "struct_ops.s/x",
];

const names = [
  ...newer,
  "socket",
  "sk_reuseport/migrate",
  "sk_reuseport",
  "kprobe/tcp_connect",
  "kprobe",
  "kretprobe/x",
  "uprobe/x",
  "uprobe.s/x",
  "uretprobe/x",
  "uretprobe.s/x",
  "kprobe.multi/x",
  "kretprobe.multi/x",
  "ksyscall/x",
  "kretsyscall/x",
  "usdt/x",
  "tc",
  "classifier",
  "action",
  "tracepoint/a/b",
  "tp/a/b",
  "tp",
  "raw_tracepoint/x",
  "raw_tp/x",
  "raw_tracepoint.w/x",
  "raw_tp.w/x",
  "tp_btf/x",
  "fentry/x",
  "fmod_ret/x",
  "fexit/x",
  "fentry.s/x",
  "fmod_ret.s/x",
  "fexit.s/x",
  "freplace/x",
  "lsm/x",
  "lsm.s/x",
  "lsm_cgroup/x",
  "iter/x",
  "iter.s/x",
  "syscall",
  "xdp.frags/devmap",
  "xdp/devmap",
  "xdp.frags/cpumap",
  "xdp/cpumap",
  "xdp.frags",
  "xdp",
  "perf_event",
  "lwt_in",
  "lwt_out",
  "lwt_xmit",
  "lwt_seg6local",
  "sockops",
  "sk_skb/stream_parser",
  "sk_skb/stream_verdict",
  "sk_skb",
  "sk_msg",
  "lirc_mode2",
  "flow_dissector",
  "cgroup_skb/ingress",
  "cgroup_skb/egress",
  "cgroup/skb",
  "cgroup/sock_create",
  "cgroup/sock_release",
  "cgroup/sock",
  "cgroup/post_bind4",
  "cgroup/post_bind6",
  "cgroup/bind4",
  "cgroup/bind6",
  "cgroup/connect4",
  "cgroup/connect6",
  "cgroup/sendmsg4",
  "cgroup/sendmsg6",
  "cgroup/recvmsg4",
  "cgroup/recvmsg6",
  "cgroup/getpeername4",
  "cgroup/getpeername6",
  "cgroup/getsockname4",
  "cgroup/getsockname6",
  "cgroup/sysctl",
  "cgroup/getsockopt",
  "cgroup/setsockopt",
  "cgroup/dev",
  "struct_ops/x",
  "sk_lookup",
  // none of them means anything
  "xdp_filter",
  "xdp/eth0",
  "kprobes/x",
  "mine",
  "tracepointx",
  "cgroup",
];

describe("the meaning of section names", () => {
  let workshop: Workshop;
  before(() => (workshop = new Workshop()));
  after(() => workshop.remove());

  it("is what libbpf itself says", () => {
    const lines = workshop
      .run(question, ["-lbpf"], [], `${names.join("\n")}\n`)
      .trim()
      .split("\n");
    assert.equal(lines.length, names.length);
    for (const line of lines) {
      const [name = "", programType, attachNumber, attachType] = line.split(" ");
      const meaning = sectionMeaning(name);
      if (newer.includes(name)) {
        assert.notEqual(meaning.programType, "unspec", name);
      } else if (programType === "unknown") {
        assert.equal(meaning.programType, "unspec", name);
      } else {
        assert.equal(meaning.programType, programType, name);
        // number 0 is both "none" and cgroup_inet_ingress
        if (attachNumber !== "0") assert.equal(meaning.attachType, attachType, name);
        else assert.ok([undefined, "cgroup_inet_ingress"].includes(meaning.attachType), name);
      }
    }
  });

  it("splits off the target and the mark against loading", () => {
    assert.deepEqual(sectionMeaning("?tp/sched/sched_switch"), {
      programType: "tracepoint",
      autoAttachTarget: "sched/sched_switch",
      sleepable: false,
      autoload: false,
    });
    assert.equal(sectionMeaning("fentry.s/vfs_read").sleepable, true);
    assert.equal(sectionMeaning("xdp").autoAttachTarget, undefined);
  });
});
