/**
 * What a row of the bench is: two things timed in turn, and the goal that they are held against. Their ratio is the median
 * of the pairs' ratios, not that of medians: a machine is slow or fast for seconds on end, which meets both of a pair.
 *
 * Owns: the interfaces, goals, turns, median and ratio. Does not own: what is measured (rows/), how it is shown (report.ts).
 */

export interface RowGroup {
  /** Rows that one set-up serves; any of them brings up all of it. */
  names: readonly string[];
  /**
   * Hands each wanted row to `report` as soon as it is known. A throw fails the rows that were not handed over yet.
   */
  run(wanted: ReadonlySet<string>, bench: Bench): Promise<void>;
}

export interface Bench {
  /** Pairs that each row measures, ours and baseline in turn. */
  repeat: number;
  report(row: Row): void;
  /** One line on what runs now, for who waits. */
  say(message: string): void;
}

export interface Row {
  name: string;
  /** One value per pair. */
  ours: number[];
  baseline: number[];
  unit: "s" | "ms" | "ns" | "MB" | "packets";
  goal: Goal;
  /** What the two columns hold, in a few words. */
  compares: string;
  /** More that was counted, e.g. the packets of a flood. */
  remark?: string;
}

export interface Goal {
  text: string;
  holds(ours: number[], baseline: number[]): boolean;
}

/** Ours ÷ baseline is at most `limit`. */
export function ratioAtMost(limit: number): Goal {
  return {
    text: `ratio <= ${limit}`,
    holds: (ours, baseline) => ratio(ours, baseline) <= limit,
  };
}

/** As ratioAtMost, with `allowance` seconds of which ours may take more. */
export function ratioAtMostAfter(limit: number, allowance: number, what: string): Goal {
  return {
    text: `ratio <= ${limit} after ${what}`,
    holds: (ours, baseline) =>
      ratio(
        ours.map((value) => value - allowance),
        baseline,
      ) <= limit,
  };
}

/** Median of ours less median of baseline is at most `limit`. */
export function atMostMore(limit: number, unit: Row["unit"]): Goal {
  return {
    text: `<= ${limit} ${unit} more`,
    holds: (ours, baseline) => median(ours) - median(baseline) <= limit,
  };
}

/** Median of ours is at most `limit`, and ours at most `share` of the baseline. */
export function atMostAndShare(limit: number, unit: Row["unit"], share: number): Goal {
  return {
    text: `<= ${limit} ${unit}, ratio <= ${share}`,
    holds: (ours, baseline) => median(ours) <= limit && ratio(ours, baseline) <= share,
  };
}

/** Ours is at least `factor` times faster. */
export function timesFaster(factor: number): Goal {
  return {
    text: `${factor} x faster`,
    holds: (ours, baseline) => ratio(ours, baseline) <= 1 / factor,
  };
}

/** Every single value of ours is at most `limit`: no median hides a bad run. */
export function alwaysAtMost(limit: number, unit: Row["unit"]): Goal {
  return { text: `ours <= ${limit} ${unit}`, holds: (ours) => ours.every((value) => value <= limit) };
}

/** Ours ÷ baseline; `null` where the baseline is 0. */
export function ratioOf(ours: number[], baseline: number[]): number | null {
  return median(baseline) === 0 ? null : ratio(ours, baseline);
}

function ratio(ours: number[], baseline: number[]): number {
  return median(baseline.map((value, pair) => ours[pair]! / value));
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (low === undefined || high === undefined) throw new Error("median of no values");
  return (low + high) / 2;
}

/** Runs both in turn, `repeat` times, so that a change of the machine's load meets both. */
export async function inTurn(
  repeat: number,
  ours: () => Promise<number>,
  baseline: () => Promise<number>,
): Promise<{ ours: number[]; baseline: number[] }> {
  const [first, second] = await allInTurn([ours, baseline], repeat);
  return { ours: first!, baseline: second! };
}

/** As inTurn, of any number of timers. */
export async function allInTurn(
  timers: (() => number | Promise<number>)[],
  rounds: number,
): Promise<number[][]> {
  const times: number[][] = timers.map(() => []);
  for (let round = 0; round < rounds; round++)
    for (const [index, time] of timers.entries()) times[index]!.push(await time());
  return times;
}

/** How many runs of each make one value of `leastInTurn`. */
const RUNS = 4;

/**
 * `rounds` values of each timer. All are timed in turn, and each value is the least of runs that lie as far apart as they
 * can: what else the machine does only adds to a time, and does so for seconds on end.
 */
export async function leastInTurn(
  timers: (() => number | Promise<number>)[],
  rounds: number,
): Promise<number[][]> {
  const all = await allInTurn(timers, rounds * RUNS);
  const least = (times: number[], value: number): number =>
    Math.min(...times.filter((_, run) => run % rounds === value));
  return all.map((times) => Array.from({ length: rounds }, (_, value) => least(times, value)));
}

/** Seconds of wall time. */
export async function seconds(action: () => Promise<unknown>): Promise<number> {
  const start = process.hrtime.bigint();
  await action();
  return Number(process.hrtime.bigint() - start) / 1e9;
}
