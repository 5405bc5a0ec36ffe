/**
 * The demo's five steps. Every figure comes from packets that were sent and from bpftool and ip on the hosts, none from
 * pulumi-ebpf itself.
 */
import { judgeOf, type Holdings, pinnedOn, rulesOf, stillThere, verdictsOf } from "./kernel.js";
import { count, plural, type Screen } from "./screen.js";
import { type Arrival, type Settings, sources, type Stage } from "./stage.js";
import { type TestHost } from "../support/host.js";

const { attacker, office, visitor } = sources;
const attackers = { network: "203.0.113.0/24", action: "DROP" } as const;

export async function playFirewall(stage: Stage, screen: Screen): Promise<void> {
  const settings: Settings = {
    rules: [attackers, { network: "198.51.100.0/24", action: "PASS" }],
    sampleRate: 100,
  };
  const seen: Holdings = { prog: [], map: [], link: [] };
  await block(stage, screen, settings, seen);
  await changeEntry(stage, screen, settings);
  await replaceUnderFlood(stage, screen, settings, seen);
  await repair(stage, screen);
  await destroy(stage, screen, seen);
}

async function block(stage: Stage, screen: Screen, settings: Settings, seen: Holdings): Promise<void> {
  screen.step(
    "Block packets",
    "edge-1 compiles bpf/filter.bpf.c; edge-2 runs xdpfilt_dny_ip.o, which Debian compiled for xdp-tools.",
  );
  arrived(screen, "before", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
  stage.configure(settings);
  await stage.pulumi("preview");
  const nothing = await judgeOf(stage.edge1, "eth0");
  screen.check(
    "edge-1  after the preview, by ip",
    nothing === undefined ? "nothing attached" : "attached",
    !nothing,
  );
  await stage.pulumi("up");
  const before = await verdictsOf(stage.edge1);
  const blocked = await stage.send(attacker, stage.edge1);
  arrived(screen, "rule 203.0.113.0/24", "edge-1", attacker, blocked, "none");
  const { dropped } = await verdictsOf(stage.edge1);
  const counted = dropped - before.dropped;
  screen.check("edge-1  its own counter, by bpftool", `${count(counted)} dropped`, counted === blocked.sent);
  arrived(screen, "no rule", "edge-1", visitor, await stage.send(visitor, stage.edge1), "all");
  arrived(screen, "on the list", "edge-2", office, await stage.send(office, stage.edge2), "all");
  arrived(screen, "not on the list", "edge-2", visitor, await stage.send(visitor, stage.edge2), "none");
  await showJudge(screen, "edge-1", stage.edge1, "xdp_filter");
  await showJudge(screen, "edge-2", stage.edge2, "xdpfilt_dny_ip");
  await remember(stage, seen);
}

async function changeEntry(stage: Stage, screen: Screen, settings: Settings): Promise<void> {
  screen.step("Change one entry", "The rule for 198.51.100.0/24 becomes DROP. The program stays as it is.");
  arrived(screen, "rule PASS", "edge-1", office, await stage.send(office, stage.edge1), "all");
  const before = await judgeOf(stage.edge1, "eth0");
  settings.rules = [attackers, { network: "198.51.100.0/24", action: "DROP" }];
  stage.configure(settings);
  await stage.pulumi("up");
  const rules = await rulesOf(stage.edge1);
  const wanted = settings.rules.map(({ network, action }) => `${network} ${action}`).sort();
  screen.check("edge-1  the map, by bpftool", rules.join(", "), rules.join() === wanted.join());
  arrived(screen, "rule DROP", "edge-1", office, await stage.send(office, stage.edge1), "none");
  const after = await judgeOf(stage.edge1, "eth0");
  const same = after !== undefined && after.programId === before?.programId;
  screen.check("edge-1  its program, by ip", `id ${after?.programId}, as before`, same);
}

async function replaceUnderFlood(
  stage: Stage,
  screen: Screen,
  settings: Settings,
  seen: Holdings,
): Promise<void> {
  screen.step(
    "Replace the program under a flood",
    "Another sample rate is another program. Two floods run: one that must pass, one that must be blocked.",
  );
  const before = await judgeOf(stage.edge1, "eth0");
  const passing = await stage.flood(visitor, stage.edge1, { packetsPerSecond: 50_000, port: 9000 });
  const blocked = await stage.flood(attacker, stage.edge1, { packetsPerSecond: 50_000, port: 9001 });
  await Promise.all([passing.flowing(1000), blocked.sending(1000)]);
  settings.sampleRate = 10;
  stage.configure(settings);
  await stage.pulumi("up");
  await Promise.all([passing.flowing(1000), blocked.sending(1000)]);
  const pass = await passing.stop();
  const drop = await blocked.stop();
  screen.check(
    `edge-1  from ${visitor}`,
    `${count(pass.sent)} sent, ${count(pass.received)} arrived: ${count(pass.lost)} lost`,
    pass.lost === 0,
  );
  screen.check(
    `edge-1  from ${attacker}`,
    `${count(drop.sent)} sent, ${count(drop.received)} slipped through`,
    drop.received === 0,
  );
  const after = await judgeOf(stage.edge1, "eth0");
  const replaced = after !== undefined && after.programId !== before?.programId;
  screen.check(
    "edge-1  its program, by ip",
    `id ${before?.programId} is now id ${after?.programId}`,
    replaced,
  );
  const same = after !== undefined && after.linkId !== 0 && after.linkId === before?.linkId;
  screen.check("edge-1  its link, by bpftool", `id ${after?.linkId}, as before: never detached`, same);
  await remember(stage, seen);
}

async function repair(stage: Stage, screen: Screen): Promise<void> {
  screen.step("Detach it by hand, and repair it", "Somebody on edge-1 takes the program off eth0.");
  await detachByHand(stage, screen);
  arrived(screen, "nothing judges", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
  await stage.pulumi("refresh");
  const drift = (await stage.resources()).flatMap(({ urn, outputs }) =>
    ((outputs?.["drift"] ?? []) as string[]).map((text) => `${urn.split("::").at(-1)}: ${text}`),
  );
  screen.check("what the refresh found", drift.join("; ") || "nothing", drift.length === 1);
  await stage.pulumi("up");
  arrived(screen, "rule 203.0.113.0/24", "edge-1", attacker, await stage.send(attacker, stage.edge1), "none");
  await showJudge(screen, "edge-1", stage.edge1, "xdp_filter");
}

export async function detachByHand(stage: Stage, screen: Screen): Promise<void> {
  const judge = await judgeOf(stage.edge1, "eth0");
  const done = screen.command(`bpftool link detach id ${judge?.linkId}      (on edge-1)`);
  await stage.edge1.exec(["bpftool", "link", "detach", "id", String(judge?.linkId)]);
  done("detached");
}

async function destroy(stage: Stage, screen: Screen, seen: Holdings): Promise<void> {
  await remember(stage, seen);
  screen.step("Destroy", "Nothing is left in the kernel of either host.");
  await stage.pulumi("destroy");
  for (const [name, host] of [
    ["edge-1", stage.edge1],
    ["edge-2", stage.edge2],
  ] as const) {
    const judge = await judgeOf(host, "eth0");
    screen.check(
      `${name}  eth0, by ip`,
      judge === undefined ? "no XDP program" : judge.name,
      judge === undefined,
    );
    const pinned = Object.values(await pinnedOn(host)).flat().length;
    screen.check(`${name}  bpffs, by bpftool`, `${plural(pinned, "object")} pinned`, pinned === 0);
  }
  const left = await stillThere(stage.edge1, seen);
  const total = Object.values(seen).flat().length;
  screen.check(
    "programs, maps, links that there were",
    `${left.length} of ${total} left${left.length > 0 ? `: ${left.join(", ")}` : ""}`,
    left.length === 0,
  );
  arrived(screen, "no filter", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
}

export function arrived(
  screen: Screen,
  why: string,
  host: string,
  source: string,
  { sent, received }: Arrival,
  expected: "all" | "none",
): void {
  const figures = `${count(sent).padStart(6)} sent ${count(received).padStart(8)} arrived`;
  const holds = received === (expected === "all" ? sent : 0);
  screen.check(`${host}  from ${source}`, `${figures}   ${why}`, holds);
}

export async function showJudge(screen: Screen, label: string, host: TestHost, name: string): Promise<void> {
  const judge = await judgeOf(host, "eth0");
  const found = judge === undefined ? "nothing" : `${judge.name}, id ${judge.programId}, ${judge.mode} mode`;
  screen.check(`${label}  eth0, by ip and bpftool`, found, judge?.name === name);
}

/** Ids that must be gone in the end. */
export async function remember(stage: Stage, seen: Holdings): Promise<void> {
  for (const host of [stage.edge1, stage.edge2]) {
    const pinned = await pinnedOn(host);
    for (const kind of ["prog", "map", "link"] as const) {
      seen[kind] = [...new Set([...seen[kind], ...pinned[kind]])];
    }
  }
}
