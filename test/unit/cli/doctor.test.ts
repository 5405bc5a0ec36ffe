import assert from "node:assert/strict";
import { type Check, featureChecks, recordCheck } from "../../../provider/cli/checks";
import { failedWay } from "../../../provider/cli/doctor";
import { EbpfError, type ErrorDetails, invalid } from "../../../provider/errors";
import type { HostFeatures, RecordSummary } from "../../../provider/protocol/messages";

/** As the agent answers on Linux 5.10 without BTF, JIT and cgroup2. */
const old: HostFeatures = {
  kernel: "5.10.0-32-cloud-amd64",
  architecture: "x64",
  libbpf: "1.7",
  btf: false,
  bpffs: false,
  cgroup2: null,
  memoryCgroup: null,
  possibleCpus: 2,
  jit: false,
  lsms: [],
  programTypes: ["xdp"],
  mapTypes: ["hash"],
  links: { xdpLink: true, cgroupLink: true, tcxLink: false, perfLink: false, lpmBatch: false },
};
const recent: HostFeatures = {
  ...old,
  kernel: "7.2.13+deb14-cloud-amd64",
  btf: true,
  bpffs: true,
  cgroup2: "/sys/fs/cgroup",
  memoryCgroup: "/pulumi-ebpf",
  jit: true,
  links: { xdpLink: true, cgroupLink: true, tcxLink: true, perfLink: true, lpmBatch: true },
};

const named = (checks: Check[], status: Check["status"]): string[] =>
  checks.filter((check) => check.status === status).map(({ check }) => check);

describe("doctor's judgement of a kernel", () => {
  it("finds nothing to warn of on a recent one", () => {
    assert.deepEqual(named(featureChecks(recent), "ok").length, featureChecks(recent).length);
    const memory = featureChecks(recent).find(({ check }) => check === "memory");
    assert.equal(memory!.detail, "maps are limited by memory alone, of cgroup /pulumi-ebpf");
  });

  it("warns of all that an old one lacks, each with a remedy", () => {
    const checks = featureChecks(old);
    assert.deepEqual(named(checks, "warn"), [
      "kernel types",
      "compiler",
      "cgroup2",
      "memory",
      "tcx",
      "tracepoint",
      "batches",
    ]);
    for (const { status, remedy } of checks) assert.equal(remedy !== undefined, status !== "ok");
  });

  it("fails on a kernel below the oldest one that works", () => {
    for (const kernel of ["5.9.16", "4.19.0-27-amd64"]) {
      assert.deepEqual(named(featureChecks({ ...old, kernel }), "fail"), ["kernel"]);
    }
    assert.deepEqual(named(featureChecks({ ...old, kernel: "6.1.0" }), "fail"), []);
  });
});

describe("doctor's judgement of the way to a host", () => {
  const connection = { host: "edge" };
  const transport = (phase: ErrorDetails["transport"]["phase"]): EbpfError =>
    new EbpfError("transport", `fail at ${phase}`, { phase }, { remedy: "repair it" });

  for (const [phase, step, before] of [
    ["config", "configuration", 0],
    ["dial", "reach", 1],
    ["host-key", "host key", 2],
    ["auth", "login", 3],
    ["exec", "login", 3],
    ["deliver", "agent", 5],
    ["closed", "agent", 5],
  ] as const) {
    it(`a failure of phase ${phase} is one of the step "${step}", after ${before} good ones`, () => {
      const checks = failedWay(connection, transport(phase));
      assert.deepEqual(checks.at(-1), {
        check: step,
        status: "fail",
        detail: `fail at ${phase}`,
        remedy: "repair it",
      });
      assert.equal(named(checks, "ok").length, before);
      assert.equal(checks.length, before + 1);
    });
  }

  it("a missing permission is one of root", () => {
    const error = new EbpfError("permission", "start the agent as root", { needed: "root" });
    assert.deepEqual(failedWay(connection, error).at(-1)?.check, "root");
  });

  it("what the command line cannot have is one of the first step, with every problem", () => {
    const problems = [{ property: "connection.password", reason: "cannot be handed to ssh" }];
    const error = invalid("open the connection", problems);
    assert.deepEqual(failedWay({ ...connection, transport: "openssh" }, error), [
      {
        check: "ssh",
        status: "fail",
        detail: "open the connection; connection.password cannot be handed to ssh",
      },
    ]);
  });

  it("ssh's own failures are one step, since it tells them in words only", () => {
    const checks = failedWay({ ...connection, transport: "openssh" }, transport("dial"));
    assert.deepEqual(
      checks.map(({ check, status }) => [check, status]),
      [["ssh", "fail"]],
    );
  });
});

describe("doctor's judgement of the Records", () => {
  const good: RecordSummary = {
    id: "web/dev/Program/filter",
    incarnation: "1",
    revision: 1,
    appliedAt: "2026-01-01T00:00:00.000Z",
    specDigest: "",
    programs: [],
    maps: [],
    links: [],
  };

  it("counts them when all can be read", () => {
    assert.deepEqual(recordCheck([good, good]), { check: "records", status: "ok", detail: "2" });
  });

  it("fails when one is damaged, with the agent's words", () => {
    const { status, detail, remedy } = recordCheck([good, { ...good, damaged: "it is not JSON" }]);
    assert.deepEqual([status, detail], ["fail", "it is not JSON"]);
    assert.match(remedy!, /records/);
  });
});
