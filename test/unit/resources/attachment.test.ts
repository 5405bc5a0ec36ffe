import assert from "node:assert/strict";
import { sectionMeaning } from "../../../provider/btf";
import { EbpfError } from "../../../provider/errors";
import type { Hook } from "../../../provider/protocol/hooks";
import { attachment, type AttachmentInputs } from "../../../provider/resources/attachment";
import { hookNames } from "../../../provider/resources/attachments";

function parse(change: Record<string, unknown>, section = "xdp") {
  const { programType: type, attachType } = sectionMeaning(section);
  const program = { spec: "p/s/Program/filter", entrypoint: "main", type, ...(attachType && { attachType }) };
  return attachment.inputs.safeParse({
    connection: { host: "h" },
    specId: "p/s/Attachment/a",
    drift: [],
    program,
    ...change,
  });
}

function resolve(change: Record<string, unknown>, section: string): AttachmentInputs | string {
  const parsed = parse(change, section);
  assert.ok(parsed.success, parsed.error?.message);
  const result = attachment.resolve(parsed.data, []);
  return "checked" in result
    ? result.checked
    : result.problems.map(({ property, reason }) => `${property}: ${reason}`).join();
}

function hookOf(change: Record<string, unknown>, section: string): Hook {
  const checked = resolve(change, section);
  assert.ok(typeof checked !== "string", String(checked));
  return attachment.compile(checked).links[0]!.hook;
}

describe("Attachment", () => {
  const eth0 = { interface: "eth0" };

  it("compiles each hook, with its defaults", () => {
    assert.deepEqual(hookOf({ xdp: eth0 }, "xdp"), {
      type: "xdp",
      interface: "eth0",
      mode: "auto",
      allowGap: false,
    });
    assert.deepEqual(hookOf({ tcx: { ...eth0, direction: "egress", netns: "blue" } }, "tc"), {
      type: "tcx",
      interface: "eth0",
      netns: "blue",
      direction: "egress",
      fallback: "none",
    });
    assert.deepEqual(hookOf({ tc: { ...eth0, direction: "ingress" } }, "classifier"), {
      type: "tc",
      interface: "eth0",
      direction: "ingress",
      priority: 50,
      handle: 1,
    });
    assert.deepEqual(hookOf({ cgroup: { path: "/sys/fs/cgroup/a", type: "connect4" } }, "cgroup/connect4"), {
      type: "cgroup",
      path: "/sys/fs/cgroup/a",
      attach: "connect4",
    });
    assert.deepEqual(hookOf({ tracepoint: { event: "sched/sched_switch" } }, "tp/sched/sched_switch"), {
      type: "tracepoint",
      event: "sched/sched_switch",
    });
    assert.deepEqual(hookOf({ rawTracepoint: { name: "sched_switch" } }, "raw_tp/sched_switch"), {
      type: "rawTracepoint",
      name: "sched_switch",
    });
  });

  it("names the program by Spec and entrypoint alone", () => {
    const checked = resolve({ xdp: eth0 }, "xdp") as AttachmentInputs;
    assert.deepEqual(attachment.compile(checked).links[0]!.program, {
      spec: "p/s/Program/filter",
      entrypoint: "main",
    });
  });

  it("takes every order, and refuses other forms of it", () => {
    const order = (value: unknown) => parse({ tcx: { ...eth0, direction: "ingress", order: value } }, "tc");
    for (const good of [
      "first",
      "last",
      { before: { spec: "p/s/Attachment/b" } },
      { after: { programName: "cil_from_netdev" } },
    ]) {
      assert.ok(order(good).success, JSON.stringify(good));
    }
    for (const bad of ["middle", {}, { before: "x" }, { before: { spec: "a" }, after: { spec: "b" } }]) {
      assert.equal(order(bad).success, false, JSON.stringify(bad));
    }
  });

  it("needs exactly one hook", () => {
    for (const hooks of [{}, { xdp: eth0, tc: { ...eth0, direction: "ingress" } }]) {
      const { error } = parse(hooks);
      assert.match(error!.issues[0]!.message, /exactly one hook is needed \(xdp, tcx, tc, cgroup/);
    }
  });

  it("refuses a program of another type, naming both", () => {
    assert.equal(
      resolve({ xdp: eth0 }, "tc"),
      'xdp: "main" is a program of type sched_cls; the hook xdp takes xdp',
    );
    const wrong: Record<string, [Record<string, unknown>, string]> = {
      xdp: [eth0, "tc"],
      tcx: [{ ...eth0, direction: "ingress" }, "action"],
      tc: [{ ...eth0, direction: "ingress" }, "xdp"],
      cgroup: [{ path: "/sys/fs/cgroup", type: "device" }, "cgroup/sysctl"],
      tracepoint: [{ event: "a/b" }, "raw_tp/b"],
      rawTracepoint: [{ name: "b" }, "tp/a/b"],
    };
    assert.deepEqual(Object.keys(wrong), hookNames, "every hook has its case here");
    for (const [name, [args, section]] of Object.entries(wrong)) {
      assert.match(
        String(resolve({ [name]: args }, section)),
        new RegExp(`^${name}: "main" is a program of type`),
      );
    }
  });

  it("refuses a program that was compiled for another place of the same type", () => {
    assert.equal(
      resolve({ cgroup: { path: "/sys/fs/cgroup", type: "connect6" } }, "cgroup/connect4"),
      'cgroup: "main" was compiled for cgroup_inet4_connect; the hook cgroup connect6 takes cgroup_inet6_connect',
    );
    assert.match(String(resolve({ xdp: eth0 }, "xdp/devmap")), /compiled for xdp_devmap/);
  });

  it("lays what the host says to the property that caused it", () => {
    const checked = resolve({ xdp: { ...eth0, mode: "offload" } }, "xdp") as AttachmentInputs;
    const blamed = (error: EbpfError) => attachment.blame!(error, checked);
    assert.equal(blamed(new EbpfError("unsupported", "", { feature: "xdp mode offload" })), "xdp.mode");
    assert.equal(blamed(new EbpfError("unsupported", "", { feature: "xdp link" })), "xdp");
    assert.equal(blamed(new EbpfError("conflict", "", {})), "xdp");
    assert.equal(blamed(new EbpfError("not-found", "", { what: "interface", name: "" })), "xdp.interface");
    assert.equal(blamed(new EbpfError("not-found", "", { what: "entrypoint", name: "" })), "program");
    assert.equal(blamed(new EbpfError("limit", "", { resource: "memory" })), undefined);
  });

  it("takes one program for both directions of tcx and of a cgroup's packets", () => {
    assert.equal(typeof resolve({ tcx: { ...eth0, direction: "egress" } }, "tcx/ingress"), "object");
    assert.equal(
      typeof resolve({ cgroup: { path: "/sys/fs/cgroup", type: "skb/egress" } }, "cgroup_skb/ingress"),
      "object",
    );
  });
});
