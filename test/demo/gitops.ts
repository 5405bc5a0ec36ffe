/** `npm run demo -- gitops`: every change goes through git; the CI machine's hook and its drift job do the rest. */
import { judgeOf, type Holdings, pinnedOn, rulesOf, stillThere } from "./kernel.js";
import { type Job, Repository } from "./repository.js";
import { plural, type Screen } from "./screen.js";
import { type Settings, sources, type Stage } from "./stage.js";
import { arrived, detachByHand, remember, showJudge } from "./steps.js";

const { attacker, office } = sources;
const attackers = { network: "203.0.113.0/24", action: "DROP" } as const;
const before: Settings = {
  rules: [attackers, { network: "198.51.100.0/24", action: "PASS" }],
  sampleRate: 100,
};
const after: Settings = { ...before, rules: [attackers, { network: "198.51.100.0/24", action: "DROP" }] };

export async function playGitops(stage: Stage, screen: Screen): Promise<void> {
  const repository = await Repository.create(stage, screen);
  const seen: Holdings = { prog: [], map: [], link: [] };
  screen.note("A bare git repository with the hook of examples/gitops, and a developer's clone of it.");
  await deploy(stage, screen, repository);
  await preview(stage, screen, repository);
  await merge(stage, screen, repository);
  await remember(stage, seen);
  await drift(stage, screen, repository);
  await remember(stage, seen);
  await destroy(stage, screen, repository, seen);
}

async function deploy(stage: Stage, screen: Screen, repository: Repository): Promise<void> {
  screen.step("Push to main", "The hook deploys what main says: a filter on edge-1, with two rules.");
  arrived(screen, "before", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
  await repository.commit("main", "Filter on edge-1", before);
  wentWell(screen, "up of main", await repository.push("main"));
  await showJudge(screen, "edge-1", stage.edge1, "xdp_filter");
  arrived(screen, "rule DROP", "edge-1", attacker, await stage.send(attacker, stage.edge1), "none");
  arrived(screen, "rule PASS", "edge-1", office, await stage.send(office, stage.edge1), "all");
}

async function preview(stage: Stage, screen: Screen, repository: Repository): Promise<void> {
  screen.step(
    "Push a change on a branch",
    "198.51.100.0/24 shall be dropped. The hook previews; nothing changes.",
  );
  await repository.commit("block-office", "Drop 198.51.100.0/24", after);
  const pushed = await repository.push("block-office");
  wentWell(screen, "preview of block-office", pushed);
  const changes = changesIn(pushed.lines);
  for (const line of changes) screen.note(`remote: ${line}`);
  const told = changes.some((line) => line.includes('"PASS" => "DROP"'));
  screen.check(
    "the preview, as the pusher reads it",
    told ? "PASS becomes DROP" : "says nothing of it",
    told,
  );
  await showRules(stage, screen, before);
  arrived(screen, "rule PASS", "edge-1", office, await stage.send(office, stage.edge1), "all");
}

async function merge(stage: Stage, screen: Screen, repository: Repository): Promise<void> {
  screen.step("Merge it to main", "The hook deploys. The program stays as it is.");
  const judge = await judgeOf(stage.edge1, "eth0");
  await repository.merge("block-office");
  wentWell(screen, "up of main", await repository.push("main"));
  await showRules(stage, screen, after);
  arrived(screen, "rule DROP", "edge-1", office, await stage.send(office, stage.edge1), "none");
  const now = await judgeOf(stage.edge1, "eth0");
  const same = now !== undefined && now.programId === judge?.programId;
  screen.check("edge-1  its program, by ip", `id ${now?.programId}, as before`, same);
}

async function drift(stage: Stage, screen: Screen, repository: Repository): Promise<void> {
  screen.step(
    "Detach it by hand; the drift job repairs it",
    "The timer of systemd/ebpf-drift.timer is not waited for: the command of its unit runs now.",
  );
  await detachByHand(stage, screen);
  arrived(screen, "nothing judges", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
  const found = await repository.driftJob();
  const words = found.lines.find((line) => line.includes("detached"))?.replace(/^.*\]: /, "");
  screen.check("what the job says", words ?? "nothing of it", words !== undefined);
  screen.check("its exit status", `${found.code}: there was drift`, found.code === 7);
  await showJudge(screen, "edge-1", stage.edge1, "xdp_filter");
  arrived(screen, "rule DROP", "edge-1", attacker, await stage.send(attacker, stage.edge1), "none");
  const again = await repository.driftJob();
  screen.check("its exit status, ten minutes later", `${again.code}: no drift`, again.code === 0);
}

async function destroy(stage: Stage, screen: Screen, repository: Repository, seen: Holdings): Promise<void> {
  screen.step("Destroy", "Nothing is left on edge-1.");
  const { code } = await repository.job("/opt/ebpf-ci/run-at main /opt/ebpf-ci/stacks destroy edge");
  screen.check("its exit status", String(code), code === 0);
  const pinned = Object.values(await pinnedOn(stage.edge1)).flat().length;
  screen.check("edge-1  bpffs, by bpftool", `${plural(pinned, "object")} pinned`, pinned === 0);
  const left = await stillThere(stage.edge1, seen);
  const total = Object.values(seen).flat().length;
  screen.check("programs, maps, links that there were", `${left.length} of ${total} left`, left.length === 0);
  arrived(screen, "no filter", "edge-1", attacker, await stage.send(attacker, stage.edge1), "all");
}

function wentWell(screen: Screen, what: string, { lines }: Job): void {
  const verdict = lines.find((line) => line.startsWith(`${what}:`))?.trim();
  screen.check("what the hook says in the end", verdict ?? "nothing", verdict === `${what}: all well`);
}

/** The resources that a preview would change, and which values become which; digests say nothing to people. */
function changesIn(lines: readonly string[]): string[] {
  return lines
    .map((line) => line.replace(/^edge: +/, "").trimEnd())
    .filter((line) => /^~ .*(\(update\)|=>)/.test(line) && !/[0-9a-f]{64}/.test(line));
}

async function showRules(stage: Stage, screen: Screen, { rules }: Settings): Promise<void> {
  const found = await rulesOf(stage.edge1);
  const wanted = rules.map(({ network, action }) => `${network} ${action}`).sort();
  screen.check("edge-1  the map, by bpftool", found.join(", "), found.join() === wanted.join());
}
