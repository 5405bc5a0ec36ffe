/**
 * Roll-out: brings the hosts of a fleet to one version, wave after wave. A host that fails neither stops nor undoes
 * others, unless the rollout says so. Whatever happens, the state says what each host really holds.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { EbpfError } from "../../errors";
import { digestOf, type Spec } from "../../protocol/spec";
import { parseSpecId } from "../../protocol/spec-id";
import type { HealthCheck } from "../../resources/fleet";
import type { ResourceDefinition } from "../../resources/resource";
import { apply, type Tools } from "../apply";
import { during } from "../call";
import { withDefaults } from "../defaults";
import { describe, isUnreachable } from "../describe";
import { PartialError, type Properties } from "../state";
import { type Baseline, findAilment, readBaseline } from "./health";
import { FleetSessions } from "./sessions";
import { addedBy } from "./state";
import {
  type FleetInputs,
  hostsText,
  inputsFor,
  type Member,
  namesOf,
  type Target,
  versionOf,
} from "./targets";
import { isTooMany, type Wave, wavesOf } from "./waves";

/** What became of one host. */
export interface Outcome {
  member: Member;
  /** What it holds now; undefined: nothing of ours, for certain. */
  target: Target | undefined;
  /** Of a host that took the version: outputs besides the inputs. */
  added?: Properties;
  /** Why it failed, with its name. */
  failure?: EbpfError;
}

export interface RolledOut {
  outcomes: Outcome[];
  /** Why hosts were left as they are. */
  stopped?: string;
}

export interface RollOutPlan {
  definition: ResourceDefinition;
  /** Pulumi's id of the resource. */
  id: string;
  inputs: FleetInputs;
  /** Hosts that need it, in their order, and what they are known to hold. */
  todo: { member: Member; before: Target | undefined }[];
  /** Of the whole fleet. */
  total: number;
  /** For hosts that hold nothing of this resource yet. */
  incarnation: string;
}

type Item = RollOutPlan["todo"][number];

export class RollOut {
  private readonly sessions: FleetSessions;
  private readonly tools: Tools;
  private readonly name: string;
  private readonly digest: string;
  private readonly spec: Spec;
  private readonly outcomes: Outcome[] = [];

  constructor(
    tools: Tools,
    private readonly plan: RollOutPlan,
  ) {
    this.sessions = new FleetSessions(tools);
    this.tools = { ...tools, openSources: onceOnly(tools.openSources), open: this.sessions.open };
    const { definition, inputs } = plan;
    this.name = parseSpecId(inputs.specId).name;
    this.digest = versionOf(definition, inputs);
    this.spec = definition.compile(withDefaults(definition, inputs as Properties));
  }

  async run(): Promise<RolledOut> {
    const { todo, total, inputs } = this.plan;
    const { rollout = {} } = inputs.hosts;
    const waves = wavesOf(todo, total, rollout);
    for (const [index, wave] of waves.entries()) {
      const title = waves.length === 1 ? "" : `wave ${index + 1} of ${waves.length}: `;
      this.say(`${title}${wave.hosts.length} of ${hostsText(total)}: ${namesOf(wave.hosts.map(memberOf))}`);
      const done = await this.change(wave);
      this.outcomes.push(...done);
      const failed = failuresIn(done);
      if (this.tools.call.signal?.aborted) return this.stop("the operation was cancelled", waves, index);
      const counts = { inWave: failed.length, inAll: failuresIn(this.outcomes).length };
      const { onFailure = "continue" } = rollout;
      if (onFailure !== "continue" && isTooMany(counts, wave.canary, total, rollout)) {
        if (onFailure === "rollBack") await this.rollBack(done);
        const what = wave.canary ? "the canary" : `wave ${index + 1} of ${waves.length}`;
        const undone = onFailure === "rollBack" ? "was rolled back" : "failed";
        return this.stop(`${what} ${undone}`, waves, index);
      }
      if (index + 1 < waves.length) this.sessions.release(total);
    }
    // the last wave's sessions end with the process: the operation need not wait for so many goodbyes
    return { outcomes: this.outcomes };
  }

  private stop(why: string, waves: Wave<Item>[], index: number): RolledOut {
    const left = waves.slice(index + 1).flatMap(({ hosts }) => hosts);
    const rest =
      left.length === 0
        ? ""
        : `; ${hostsText(left.length)} keep what they have: ${namesOf(left.map(memberOf))}`;
    return { outcomes: this.outcomes, stopped: `${why}${rest}` };
  }

  /** One wave, its soak and its health. */
  private async change({ hosts }: Wave<Item>): Promise<Outcome[]> {
    const { soakSeconds = 0, health = [] } = this.plan.inputs.hosts.rollout ?? {};
    const baselines = new Map<Member, Baseline>();
    const outcomes = await this.sessions.each(hosts, (item) => this.applyTo(item, baselines));
    const well = outcomes.filter(({ failure }) => failure === undefined);
    if (well.length === 0 || (soakSeconds === 0 && health.length === 0)) return outcomes;
    if (soakSeconds > 0) {
      const { signal } = this.tools.call;
      this.say(`${hostsText(well.length)} soak for ${soakSeconds} s`);
      await sleep(soakSeconds * 1000, undefined, during({ signal })).catch(() => undefined);
      if (signal?.aborted) return outcomes;
    }
    if (health.length === 0) return outcomes;
    const ailments = await this.sessions.each(well, ({ member }) =>
      this.examine(member, baselines.get(member)),
    );
    for (const [index, outcome] of well.entries()) {
      const failure = ailments[index];
      if (failure === undefined) continue;
      outcome.failure = failure;
      outcome.target!.drift = [failure.message.replace(`${outcome.member.name}: `, "")];
    }
    return outcomes;
  }

  private async applyTo({ member, before }: Item, baselines: Map<Member, Baseline>): Promise<Outcome> {
    const { definition, id, inputs, incarnation: fresh } = this.plan;
    const incarnation = before?.incarnation ?? fresh;
    const single = inputsFor(member, inputs);
    const { health = [], onFailure } = inputs.hosts.rollout ?? {};
    try {
      if (health.some(({ counter }) => counter !== undefined)) {
        const baseline = await this.readBaseline(member, health);
        if (baseline instanceof EbpfError)
          return { member, target: failed(before, baseline), failure: baseline };
        baselines.set(member, baseline);
      }
      const options = onFailure === "rollBack" ? { keepPrevious: true } : {};
      const outputs = await apply(this.tools, definition, id, single, incarnation, options);
      const target = { digest: this.digest, incarnation, reachable: true, drift: [] };
      return { member, target, added: addedBy(definition, outputs, inputs) };
    } catch (thrown) {
      if (thrown instanceof PartialError) {
        const drift = thrown.properties["drift"] as string[];
        return { member, target: { digest: "", incarnation, reachable: true, drift }, failure: thrown.cause };
      }
      const failure = EbpfError.from(thrown);
      return { member, target: failed(before, failure), failure };
    }
  }

  private async readBaseline(member: Member, health: HealthCheck[]): Promise<Baseline | EbpfError> {
    try {
      const session = await this.sessions.open(inputsFor(member, this.plan.inputs));
      return await readBaseline(session, this.spec, health, during(this.tools.call));
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      const why = describe(error, { host: member.name });
      return new EbpfError(error.code, why, error.details, { cause: error });
    }
  }

  private async examine(member: Member, baseline: Baseline = new Map()): Promise<EbpfError | undefined> {
    const { health = [] } = this.plan.inputs.hosts.rollout ?? {};
    try {
      const session = await this.sessions.open(inputsFor(member, this.plan.inputs));
      const ailment = await findAilment(session, this.spec, health, baseline, during(this.tools.call));
      if (ailment === undefined) return undefined;
      return new EbpfError("conflict", `${member.name}: is not healthy: ${ailment}`, {});
    } catch (thrown) {
      const error = EbpfError.from(thrown);
      const why = describe(error, { host: member.name });
      return new EbpfError(error.code, `${member.name}: its health is not known: ${why}`, error.details, {
        cause: error,
      });
    }
  }

  /** Every host of the wave that took the version, or may have. */
  private async rollBack(wave: Outcome[]): Promise<void> {
    const taken = wave.filter(({ target }) => target?.digest === this.digest || target?.digest === "");
    if (taken.length === 0) return;
    this.say(`rolling ${hostsText(taken.length)} back: ${namesOf(taken.map(memberOf))}`, "warning");
    await this.sessions.each(taken, async (outcome) => {
      const { member, target, failure } = outcome;
      const { incarnation } = target!;
      delete outcome.added;
      try {
        const session = await this.sessions.open(inputsFor(member, this.plan.inputs));
        const { rolledBack, reason, restored } = await session.call("rollBack", {
          id: this.spec.id,
          incarnation,
          specDigest: digestOf(this.spec),
        });
        if (!rolledBack) throw new EbpfError("conflict", `roll back: ${reason ?? "it was refused"}`, {});
        const why = failure === undefined ? "others of its wave failed" : "it failed";
        outcome.target =
          restored === undefined
            ? undefined
            : {
                digest: versionOf(this.plan.definition, restored.inputs as Properties),
                incarnation,
                reachable: true,
                drift: [`rolled back, because ${why}`],
              };
      } catch (thrown) {
        const error = EbpfError.from(thrown);
        const drift = [`could not be rolled back: ${error.message}`];
        outcome.target = { ...target!, digest: "", reachable: !isUnreachable(error), drift };
        outcome.failure ??= new EbpfError(error.code, `${member.name}: ${drift[0]}`, error.details, {
          cause: error,
        });
      }
    });
  }

  private say(message: string, severity?: "info" | "warning"): void {
    this.tools.call.report(`${this.name}: ${message}`, severity);
  }
}

/** What a host holds that did not change: what it held before. */
function failed(before: Target | undefined, failure: EbpfError): Target | undefined {
  if (before === undefined) return undefined;
  return { ...before, reachable: !isUnreachable(failure), drift: [`did not change: ${failure.message}`] };
}

function failuresIn(outcomes: Outcome[]): Outcome[] {
  return outcomes.filter(({ failure }) => failure !== undefined);
}

function memberOf({ member }: { member: Member }): Member {
  return member;
}

/** Local files are read, and C compiled, once for all hosts. */
function onceOnly(open: Tools["openSources"]): Tools["openSources"] {
  let opening: ReturnType<Tools["openSources"]> | undefined;
  return (requests) => (opening ??= open(requests));
}
