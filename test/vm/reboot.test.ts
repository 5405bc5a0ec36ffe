/**
 * A machine with systemd and without Node that ebpf.Host prepared: interfaces that come are judged, and after a real reboot
 * all packets are, before anybody runs Pulumi. @pulumi/command's plugin is the stand-in where the real one cannot be downloaded.
 */
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { closeAll } from "../../provider/transport/pool";
import { bpffsOf, filterProgram, programOnEth0 } from "../e2e/filter";
import type { PolicyStatus } from "../../provider/protocol/policy";
import { useCommandPlugin } from "../support/command-plugin/index";
import { ManagedResource } from "../support/managed-resource";
import { connect } from "../support/network-service";
import { PulumiProject } from "../support/pulumi";
import { Flood } from "../support/traffic";
import { until } from "../support/until";
import { carried, Vm } from "./machine/vm";

const fixture = resolve(__dirname, "../fixtures/e2e/filter.bpf.c");
const unit = "pulumi-ebpf-restore.service";
/** Memory of a map that stands out from all else that a cgroup is charged for. */
const largeBytes = 32 << 20;

describe("Given a virtual machine with systemd and an ebpf.Host", function () {
  this.timeout(900_000);
  let vm: Vm;
  let project: PulumiProject;

  before(async () => {
    vm = await Vm.boot("6.12", { init: "systemd" });
    const config = { connection: vm.host().connection, source: fixture };
    project = await PulumiProject.create({ program: programOf(1), config });
  });

  function programOf(version: number): string {
    const more = `
const shape = { type: "array", key: "u32", value: "u64", maxEntries: ${largeBytes / 8} } as const;
new ebpf.Map("large", { connection: host.connection, ...shape });`;
    return filterProgram({ ports: [9001], version, more })
      .replace(
        "const filter =",
        'const host = new ebpf.Host("vm", { connection, coverNewInterfaces: true });\nconst filter =',
      )
      .replace("  connection,", "  connection: host.connection,");
  }

  after(async () => {
    project?.dispose();
    closeAll();
    await vm?.destroy();
  });

  async function refusesPackets(): Promise<void> {
    const { packetsPerSecond } = carried;
    const flood = await Flood.start(vm.client, vm.host(), { port: 9001, packetsPerSecond });
    await flood.sending(packetsPerSecond / 10);
    const { sent, received } = await flood.stop();
    assert.equal(received, 0, `of ${sent}`);
    assert.ok(sent > 0);
  }

  /** Of memory.stat: kernel memory in whole pages, which the map's values are. It is told for a cgroup and all below. */
  async function chargedTo(cgroup: string): Promise<number> {
    const file = `/sys/fs/cgroup/${cgroup}/memory.stat`;
    const { stdout } = await vm.host().exec(["sh", "-c", 'grep "^vmalloc " $0 || echo vmalloc 0', file]);
    return Number(stdout.split(" ")[1]);
  }

  async function assertOwnCgroupPays(): Promise<void> {
    assert.ok((await chargedTo("pulumi-ebpf")) >= largeBytes);
    for (const slice of ["system.slice", "user.slice"])
      assert.ok((await chargedTo(slice)) < largeBytes, slice);
  }

  async function assertNothingToDo(): Promise<void> {
    const args = ["--refresh", "--expect-no-changes"];
    const { code, stdout } = await project.preview({ args, check: false, timeoutSeconds: 600 });
    assert.equal(code, 0, stdout);
  }

  it("when brought up, then a systemd unit is there for the next boot", async function () {
    const plugin = await useCommandPlugin(project);
    this.test!.title += ` (@pulumi/command with ${plugin})`;
    await project.up({ timeoutSeconds: 600 });
    const { stdout } = await vm.host().exec(["systemctl", "is-enabled", unit]);
    assert.equal(stdout.trim(), "enabled");
    await refusesPackets();
  });

  it("then the memory of maps is charged to the agent's own cgroup, not to the session that made them", async () => {
    await assertOwnCgroupPays();
  });

  it("then its units and rules are as systemd and udev want them", async () => {
    const units = "/etc/systemd/system/pulumi-ebpf-*";
    const { stderr } = await vm.host().exec(["sh", "-c", `systemd-analyze verify ${units}`]);
    assert.equal(stderr, "");
    await vm.host().exec(["sh", "-c", "udevadm verify /etc/udev/rules.d/*pulumi-ebpf*"]);
  });

  it("when an interface comes that a policy selects, then it is judged by itself, and nothing is uncovered", async () => {
    const { connection } = vm.host();
    const ingress = [{ name: "ssh", ports: [{ protocol: "TCP", port: 22 }] }];
    await plug("later0", "198.20.0");
    const later = await ManagedResource.create("NetworkPolicy", "later", {
      ...{ connection, interfaces: ["later*"], ingress },
    });
    assert.equal(await connect(vm.client, "198.20.0.1", 81), "dropped");
    // a burst, with some that nobody selects
    const names = ["later1", "other1", "later2", "other2", "later3"];
    await Promise.all(names.map((name, index) => plug(name, `198.20.${index + 1}`)));
    for (const name of ["later1", "later2", "later3"]) while ((await judging(name)).length < 2);
    assert.deepEqual(await judging("other1"), []);
    for (const address of ["198.20.1.1", "198.20.3.1", "198.20.5.1"]) {
      assert.equal(await connect(vm.client, address, 81), "dropped");
      while ((await connect(vm.client, address, 22)) === "dropped");
    }
    assert.deepEqual(await later.refresh(), []);
    const { uncovered, interfaces } = later.state["status"] as PolicyStatus;
    assert.deepEqual(uncovered, []);
    assert.deepEqual(
      interfaces.map(({ name }) => name),
      ["later0", "later1", "later2", "later3"],
    );
    await later.delete();
    for (const name of ["later0", ...names]) await vm.host().removeInterface(name);
  });

  /** A veth pair to the client, with .1 here and .2 there. */
  async function plug(name: string, network: string): Promise<void> {
    const script = `
ip link add ${name} type veth peer name ${name} netns client
ip address add ${network}.1/24 dev ${name} && ip link set ${name} up
ip -n client address add ${network}.2/24 dev ${name} && ip -n client link set ${name} up`;
    await vm.host().exec(["sh", "-ec", script]);
  }

  /** Programs at tc, in both directions. */
  async function judging(name: string): Promise<unknown[]> {
    const [{ tc }] = await vm.host().bpftool<[{ tc: unknown[] }]>("net", "show", "dev", name);
    return tc;
  }

  it("when the machine reboots, then all is back by itself, once its interface is", async () => {
    await vm.reboot();
    assert.equal(await programOnEth0(vm.host()).catch(() => undefined), undefined, "eth0 is not there yet");
    await vm.host().plugDataInterface();
    await until("something is attached", () => programOnEth0(vm.host()));
    await refusesPackets();
    const { stdout } = await vm.host().exec(["systemctl", "show", "--property=Result", unit]);
    assert.match(stdout, /Result=/);
    await assertOwnCgroupPays();
    await assertNothingToDo();
  });

  it("when its power is cut in the middle of an update, then it comes back, and the next up completes the update", async () => {
    project.write("index.ts", programOf(2));
    const pins = await bpffsOf(vm.host());
    const { back } = await vm.cutPowerWhenThereIs("/run/pulumi-ebpf/intents/*.json");
    const { code } = await project.up({ check: false, timeoutSeconds: 600 });
    assert.notEqual(code, 0);
    await back();
    await vm.host().plugDataInterface();
    await project.up({ args: ["--refresh"], timeoutSeconds: 600 });
    await refusesPackets();
    assert.equal((await bpffsOf(vm.host())).length, pins.length, "nothing of the old revision stays");
    await assertNothingToDo();
  });

  it("when destroyed, then the unit is gone, and all else", async () => {
    await project.destroy({ timeoutSeconds: 600 });
    assert.deepEqual(await bpffsOf(vm.host()), []);
    const places = "/var/lib /etc/systemd /usr/local/sbin /run";
    const { stdout } = await vm.host().exec(["sh", "-c", `find ${places} -name '*pulumi-ebpf*'`]);
    assert.equal(stdout, "");
  });
});
