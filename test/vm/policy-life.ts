/**
 * Network policies on real kernels: one life of a policy and its set, from the first enforcement to nothing left, by real
 * connections. What each rule means is tested on this machine's kernel (test/kernel); here it is what kernels differ in.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";
import { bin } from "../../package.json";
import type { JudgedInterface, PlaneFacts } from "../../provider/protocol/policy";
import { closeAll } from "../../provider/transport/pool";
import { bpffsOf } from "../e2e/filter";
import { run } from "../support/command";
import { ManagedResource } from "../support/managed-resource";
import { connect, connectAll, connectUdp, NetworkService } from "../support/network-service";
import { Flood } from "../support/traffic";
import type { KernelName } from "./machine/images";
import { carried, type Vm } from "./machine/vm";

type Properties = Record<string, unknown>;

const command = resolve(__dirname, "../..", bin["pulumi-ebpf"]);
const PORTS = [443, 2222, 8443];
const OFFICES = ManagedResource.specId("AddressSet", "offices");
const rule = (name: string, protocol: string, port: number, more: Properties = {}) => ({
  ...{ name, ports: [{ protocol, port }], ...more },
});
const common = [
  rule("ssh", "TCP", 22),
  rule("flood", "UDP", 9000),
  rule("echo", "UDP", 7),
  rule("offices", "TCP", 2222, { from: [{ addressSet: OFFICES }] }),
];
const https = [rule("https", "TCP", 443), ...common];
const alternate = [rule("alternate", "TCP", 8443), ...common];

/** Tests on a machine that is up, and that no policy judges. */
export function policyLife(kernel: KernelName, machine: () => Vm): void {
  describe("Given a network policy and its set", () => {
    const host = () => machine().host();
    const client = () => machine().client;
    let set: ManagedResource;
    let web: ManagedResource;
    const services: NetworkService[] = [];
    const tcx = kernel !== "5.10" && kernel !== "6.1";

    before(async () => {
      set = await ManagedResource.create("AddressSet", "offices", offices("203.0.113.0/24"));
      const node = await machine().agentNode();
      services.push(await NetworkService.start(host(), { tcp: PORTS, udp: [7, 9], node }));
      services.push(await NetworkService.start(client(), { tcp: [8080], node }));
    });

    after(async () => {
      closeAll();
      await Promise.all(services.map((service) => service.stop()));
    });

    it("judges TCP and UDP over IPv4 and IPv6, by default denies, and lets replies in", async () => {
      web = await ManagedResource.create("NetworkPolicy", "web", policy(https));
      const { ingress } = judged();
      assert.equal(ingress, tcx ? "tcx" : "tc");
      assert.deepEqual(await attached(), [`${tcx ? "tcx" : "clsact"}/ingress`]);
      for (const address of [host().address, host().address6]) {
        assert.deepEqual(await met(address), { 443: "open", 2222: "dropped", 8443: "dropped" });
        assert.ok(await connectUdp(client(), address, 7));
        assert.ok(!(await connectUdp(client(), address, 9)));
      }
      for (const address of [client().address, client().address6]) {
        assert.equal(await connect(host(), address, 8080), "open");
      }
    });

    it("follows the set, which is updated on its own", async () => {
      await set.update(offices("203.0.113.0/24", `${client().address}/32`));
      assert.equal(await connect(client(), host().address, 2222), "open");
      assert.equal(await connect(client(), host().address6, 2222), "dropped", "no IPv6 network is in it");
    });

    it("is edited under traffic: no packet is lost, a connection goes on, and rules count on", async () => {
      const ssh = await opened();
      const { packetsPerSecond } = carried;
      const flood = await Flood.start(client(), host(), { packetsPerSecond });
      await flood.flowing(packetsPerSecond / 5);
      await web.update(policy(alternate));
      await flood.flowing(packetsPerSecond / 5);
      const { sent, lost } = await flood.stop();
      assert.equal(lost, 0, `of ${sent}`);
      assert.match(await ssh.answer(), /Invalid SSH identification string/);
      assert.deepEqual(await met(), { 443: "dropped", 2222: "open", 8443: "open" });
      const { rules } = await shown();
      assert.equal(rules.find((one) => one.rule.name === "flood")?.packets, String(sent));
    });

    it("in audit mode drops nothing, and counts what it would have", async () => {
      await web.update(policy([], { mode: "audit" }));
      assert.deepEqual(await met(), { 443: "open", 2222: "open", 8443: "open" });
      const { auditDrops } = await shown();
      assert.ok(Number(auditDrops.ingress.packets) >= PORTS.length, JSON.stringify(auditDrops));
    });

    it("shows as drift that it was detached by hand, and an update brings it back", async () => {
      await web.update(policy(https));
      await detach();
      assert.deepEqual(await attached(), []);
      assert.equal(await connect(client(), host().address, 8443), "open");
      assert.notDeepEqual(await web.refresh(), []);
      assert.equal(await web.update(policy(https)), true);
      assert.equal(await connect(client(), host().address, 8443), "dropped");
      assert.deepEqual(await web.refresh(), []);
      await web.delete();
    });

    it("judges at XDP by choice", async () => {
      web = await ManagedResource.create("NetworkPolicy", "web", policy(https, { hook: "xdp" }));
      assert.equal(judged().ingress, "xdp");
      assert.deepEqual(await attached(), ["xdp"]);
      for (const address of [host().address, host().address6]) {
        assert.equal(await connect(client(), address, 443), "open");
        assert.equal(await connect(client(), address, 8443), "dropped");
      }
      assert.equal(await connect(host(), client().address, 8080), "open");
    });

    it("leaves nothing when it is destroyed", async () => {
      await web.delete();
      await set.delete();
      closeAll();
      assert.deepEqual(await met(), { 443: "open", 2222: "open", 8443: "open" });
      assert.deepEqual(await attached(), []);
      assert.deepEqual(await bpffsOf(host()), []);
      const programs = await host().bpftool<{ name?: string }[]>("prog", "show");
      assert.deepEqual(
        programs.filter(({ name }) => name?.startsWith("judge_")),
        [],
      );
      const qdiscs = await host().exec(["tc", "qdisc", "show", "dev", "eth0"]);
      assert.doesNotMatch(qdiscs.stdout, /clsact/);
      const records = ["find", "/var/lib/pulumi-ebpf", "-path", "*/records/*", "-type", "f"];
      assert.equal((await host().exec(records)).stdout, "");
    });

    const connected = () => ({ connection: host().connection });
    const offices = (...cidrs: string[]): Properties => ({ ...connected(), cidrs });
    const policy = (ingress: Properties[], change: Properties = {}): Properties => ({
      ...{ ...connected(), interfaces: ["eth0"], ingress, ...change },
    });
    const met = (address = host().address) => connectAll(client(), address, PORTS);

    function judged(): JudgedInterface {
      const { interfaces } = web.state["status"] as { interfaces: JudgedInterface[] };
      return interfaces[0] ?? assert.fail("no interface is judged");
    }

    /** Where programs judge what eth0 receives, as bpftool shows it. */
    async function attached(): Promise<string[]> {
      const [shows] = await host().bpftool<[NetShow]>("net", "show", "dev", "eth0");
      const ingress = shows.tc.map(({ kind }) => kind).filter((kind) => kind.endsWith("/ingress"));
      return [...shows.xdp.map(() => "xdp"), ...ingress];
    }

    async function detach(): Promise<void> {
      if (!tcx) {
        await host().exec(["tc", "filter", "delete", "dev", "eth0", "ingress"]);
        return;
      }
      const links = (await bpffsOf(host())).filter((path) => path.includes("/links/"));
      for (const link of links) await host().bpftool("link", "detach", "pinned", link);
    }

    /** What `policy show` says of the one plane. */
    async function shown(): Promise<PlaneFacts> {
      const { host: address, port, hostKey = "" } = host().connection;
      const options = ["--identity", host().identityFile, "--host-key", hostKey];
      const line = ["policy", "show", `root@${address}:${port}`, "--json", ...options];
      const { stdout } = await run([process.execPath, command, ...line]);
      const { planes } = JSON.parse(stdout) as { planes: PlaneFacts[] };
      return planes[0] ?? assert.fail(stdout);
    }

    /** A TCP connection to sshd, which says more only when it is asked. */
    async function opened(): Promise<{ answer(): Promise<string> }> {
      const script = `exec 3<>/dev/tcp/$0/22; head -c 7 <&3; read -r; echo nonsense >&3; timeout 10 cat <&3`;
      const [program, ...words] = client().command(["bash", "-c", script, host().address]);
      const child = spawn(program!, words, { stdio: ["pipe", "pipe", "inherit"] });
      let text = "";
      child.stdout.on("data", (data: Buffer) => (text += data.toString()));
      await once(child.stdout, "data");
      const closed = once(child, "close");
      const answer = async (): Promise<string> => {
        child.stdin.end("\n");
        await closed;
        return text;
      };
      return { answer };
    }
  });
}

interface NetShow {
  xdp: unknown[];
  tc: { kind: string }[];
}
