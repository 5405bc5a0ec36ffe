import assert from "node:assert/strict";
import { closeSync, openSync, statSync } from "node:fs";
import {
  attachTc,
  attachTracepoint,
  attachXdp,
  createClsact,
  destroyClsact,
  detachTc,
  detachXdp,
  interfaceIndex,
  isErrno,
  LinkHandle,
  queryCgroup,
  queryTc,
  queryTcx,
  queryXdp,
  tracepointId,
  type MapHandle,
  type ProgramHandle,
} from "../../../provider/bpf";
import { EbpfError } from "../../../provider/errors";
import {
  bpftool,
  closesEverything,
  ip,
  loadHook,
  pings,
  PrivateBpffs,
  PrivateCgroup,
  PrivateNetwork,
  runCount,
  withTracefs,
} from "./support";

const XDP_DROP = 1;
const XDP_PASS = 2;
const TC_ACT_OK = 0;
const TC_ACT_SHOT = 2;

describe("links", () => {
  let network: PrivateNetwork;
  let loaded: { close(): void }[];

  beforeEach(() => {
    network = new PrivateNetwork();
    loaded = [];
  });
  afterEach(() => {
    for (const handle of loaded) handle.close();
    network.remove();
  });
  closesEverything();

  function load(entrypoint: string, verdict: number): { program: ProgramHandle; runs: MapHandle } {
    const handles = loadHook(entrypoint, verdict);
    loaded.push(handles.program, handles.runs);
    return handles;
  }

  function own<T extends { close(): void }>(handle: T): T {
    loaded.push(handle);
    return handle;
  }

  it("xdp: judges packets, swaps by compare and swap, dies with its last holder", () => {
    const drop = load("xdp_verdict", XDP_DROP).program;
    const pass = load("xdp_verdict", XDP_PASS).program;
    network.inside(() => {
      const ifindex = interfaceIndex("lo");
      const link = own(LinkHandle.create(drop, { type: "xdp", ifindex, mode: "generic" }));
      assert.deepEqual(link.info(), { id: link.info().id, programId: drop.info().id, type: "xdp", ifindex });
      assert.deepEqual(queryXdp(ifindex), { programIds: { generic: drop.info().id }, mode: "generic" });
      assert.equal(pings(), false);
      link.update(pass, drop);
      assert.equal(pings(), true);
      assert.throws(
        () => link.update(drop, drop),
        (error) => isErrno(error, "EPERM"),
      );
      assert.equal(link.info().programId, pass.info().id);
      link.close();
      assert.deepEqual(queryXdp(ifindex), { programIds: {}, mode: undefined });
    });
  });

  it("xdp: is native on veth, and a second mode is refused", () => {
    const { program } = load("xdp_verdict", XDP_PASS);
    network.inside(() => {
      const ifindex = interfaceIndex("veth0");
      own(LinkHandle.create(program, { type: "xdp", ifindex, mode: "native" }));
      assert.equal(queryXdp(ifindex).mode, "native");
      const shown = JSON.parse(ip("-j", "-d", "link", "show", "veth0")) as {
        xdp: { prog: { id: number } };
      }[];
      assert.equal(shown[0]!.xdp.prog.id, program.info().id);
      assert.throws(
        () => LinkHandle.create(program, { type: "xdp", ifindex, mode: "generic" }),
        (error) => isErrno(error, "EEXIST"),
      );
    });
  });

  it("xdp by netlink: replaces and detaches only what it names", () => {
    const first = load("xdp_verdict", XDP_DROP).program;
    const second = load("xdp_verdict", XDP_PASS).program;
    network.inside(() => {
      const ifindex = interfaceIndex("veth0");
      attachXdp(ifindex, first, "generic");
      assert.throws(
        () => attachXdp(ifindex, second, "generic"),
        (error) => isErrno(error, "EBUSY", "EEXIST"),
      );
      attachXdp(ifindex, second, "generic", first);
      assert.equal(queryXdp(ifindex).programIds.generic, second.info().id);
      assert.throws(
        () => detachXdp(ifindex, "generic", first),
        (error) => isErrno(error, "EEXIST"),
      );
      detachXdp(ifindex, "generic", second);
      assert.equal(queryXdp(ifindex).mode, undefined);
    });
  });

  it("tcx: keeps the order its anchors ask for, and notices a stale revision", () => {
    const names = ["a", "b", "c", "d"];
    const programs = names.map(() => load("tc_verdict", TC_ACT_OK).program);
    const [a, b, c, d] = programs as [ProgramHandle, ProgramHandle, ProgramHandle, ProgramHandle];
    network.inside(() => {
      const place = { type: "tcx", ifindex: interfaceIndex("lo"), direction: "ingress" } as const;
      const linkA = own(LinkHandle.create(a, place));
      own(LinkHandle.create(b, { ...place, anchor: "first" }));
      const { revision } = queryTcx(place.ifindex, "ingress");
      own(
        LinkHandle.create(c, {
          ...place,
          anchor: { before: { linkId: linkA.info().id } },
          expectedRevision: revision,
        }),
      );
      assert.throws(
        () => LinkHandle.create(d, { ...place, expectedRevision: revision }),
        (error) => isErrno(error, "ESTALE"),
      );
      own(LinkHandle.create(d, { ...place, anchor: { after: { programId: b.info().id } } }));
      assert.throws(
        () => LinkHandle.create(d, place),
        (error) => isErrno(error, "EEXIST"),
      );
      const order = queryTcx(place.ifindex, "ingress").programs;
      assert.deepEqual(
        order.map(({ programId }) => names[programs.findIndex((one) => one.info().id === programId)]),
        ["b", "d", "c", "a"],
      );
      assert.equal(order.at(-1)?.linkId, linkA.info().id);
      const info = linkA.info();
      assert.ok(info.type === "tcx" && info.attachType === "tcx_ingress" && info.ifindex === place.ifindex);
    });
  });

  it("tcx: is dead when its interface is gone", () => {
    const { program } = load("tc_verdict", TC_ACT_OK);
    network.inside(() => {
      const link = own(
        LinkHandle.create(program, { type: "tcx", ifindex: interfaceIndex("veth0"), direction: "egress" }),
      );
      ip("link", "delete", "veth0");
      const info = link.info();
      assert.ok(info.type === "tcx" && info.ifindex === 0);
      assert.throws(
        () => link.update(program),
        (error) => isErrno(error, "ENOLINK"),
      );
    });
  });

  it("tc: attaches to clsact at a priority, swaps in place, and detaches", () => {
    const drop = load("tc_verdict", TC_ACT_SHOT).program;
    const pass = load("tc_verdict", TC_ACT_OK).program;
    network.inside(() => {
      const hook = { ifindex: interfaceIndex("lo"), direction: "ingress" } as const;
      const filter = { priority: 7, handle: 3 };
      assert.equal(queryTc(hook, filter), undefined);
      assert.equal(createClsact(hook.ifindex), true);
      assert.equal(createClsact(hook.ifindex), false);
      assert.equal(queryTc(hook, filter), undefined);
      assert.deepEqual(attachTc(hook, drop, filter), filter);
      assert.equal(pings(), false);
      assert.throws(
        () => attachTc(hook, pass, filter),
        (error) => isErrno(error, "EEXIST"),
      );
      attachTc(hook, pass, filter, { replace: true });
      assert.equal(queryTc(hook, filter), pass.info().id);
      assert.equal(pings(), true);
      detachTc(hook, filter);
      assert.equal(queryTc(hook, filter), undefined);
      destroyClsact(hook.ifindex);
    });
  });

  it("cgroup: refuses connections of the processes inside", () => {
    const cgroup = new PrivateCgroup();
    const fd = openSync(cgroup.path, "r");
    try {
      const { program, runs } = load("refuse_connect", 0);
      const link = own(
        LinkHandle.create(program, { type: "cgroup", cgroupFd: fd, attachType: "cgroup_inet4_connect" }),
      );
      const connect = `exec ${process.execPath} -e 'const s = require("net").connect(9, "127.0.0.1"); s.on("error", (e) => process.exit(e.code === "EPERM" ? 0 : 1))'`;
      network.inside(() => assert.equal(cgroup.run(connect), true));
      assert.equal(runCount(runs), 1n);
      const info = link.info();
      assert.ok(info.type === "cgroup" && info.cgroupId === statSync(cgroup.path, { bigint: true }).ino);
      assert.deepEqual(
        queryCgroup(fd, "cgroup_inet4_connect").programs.map(({ programId }) => programId),
        [program.info().id],
      );
      link.detach();
      network.inside(() => assert.equal(cgroup.run(connect), false));
      assert.deepEqual(queryCgroup(fd, "cgroup_inet4_connect").programs, []);
    } finally {
      closeSync(fd);
      cgroup.remove();
    }
  });

  it("raw tracepoint: reads back its name", () => {
    const { program } = load("on_sys_enter", 0);
    const link = own(LinkHandle.create(program, { type: "raw_tracepoint", name: "sys_enter" }));
    const info = link.info();
    assert.ok(info.type === "raw_tracepoint" && info.name === "sys_enter");
    assert.throws(
      () => LinkHandle.create(program, { type: "raw_tracepoint", name: "nope" }),
      (error) => isErrno(error, "ENOENT"),
    );
  });

  it("tracepoint: runs at its event, as a link that can be pinned", () => {
    const { program, runs } = load("on_getppid", 0);
    const bpffs = new PrivateBpffs();
    try {
      const link = own(withTracefs(() => attachTracepoint(program, "syscalls", "sys_enter_getppid")));
      link.pin(bpffs.at("link"));
      // node's ppid is read by getppid(2) at each access
      assert.ok(process.ppid > 0);
      assert.ok(runCount(runs) >= 1n);
      using pinned = LinkHandle.fromPin(bpffs.at("link"));
      assert.equal(pinned.info().id, link.info().id);
      assert.equal(pinned.info().type, "perf_event");
    } finally {
      bpffs.remove();
    }
  });

  it("tracepoint: says when there is none of that name", () => {
    withTracefs(() => {
      assert.ok(tracepointId("sched", "sched_process_exec") > 0);
      assert.throws(
        () => tracepointId("sched", "nope"),
        (error) => EbpfError.is(error, "not-found") && error.details.name === "sched/nope",
      );
    });
  });

  it("stay while pinned, and bpftool shows what info says", () => {
    const { program } = load("xdp_verdict", XDP_PASS);
    const bpffs = new PrivateBpffs();
    try {
      const id = network.inside(() => {
        const link = LinkHandle.create(program, {
          type: "xdp",
          ifindex: interfaceIndex("lo"),
          mode: "generic",
        });
        link.pin(bpffs.at("link"));
        const { id } = link.info();
        link.close();
        return id;
      });
      const shown = bpftool("link", "show", "id", String(id)) as { prog_id: number; type: string };
      assert.deepEqual([shown.type, shown.prog_id], ["xdp", program.info().id]);
      using again = LinkHandle.fromId(id);
      assert.equal(again.info().programId, program.info().id);
    } finally {
      bpffs.remove();
    }
  });

  it("refuse a program of the wrong type", () => {
    const { program } = load("tc_verdict", TC_ACT_OK);
    network.inside(() => {
      assert.throws(
        () => LinkHandle.create(program, { type: "xdp", ifindex: interfaceIndex("lo"), mode: "generic" }),
        (error) => isErrno(error, "EINVAL"),
      );
    });
  });
});
