/**
 * What the demo prints: steps, the commands that are run, and figures with the verdict on each.
 *
 * Owns: the form, and which checks did not hold. Does not own: what is measured (steps.ts).
 */
const colours = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
const paint = (code: number, text: string): string => (colours ? `\x1b[${code}m${text}\x1b[0m` : text);
const width = 104;

export class Screen {
  /** Checks that did not hold, as they were printed. */
  readonly broken: string[] = [];
  private steps = 0;
  private checks = 0;

  get held(): number {
    return this.checks - this.broken.length;
  }

  title(text: string): void {
    console.log(`\n${paint(1, text)}`);
  }

  step(title: string, text: string): void {
    console.log(`\n${paint(1, `${++this.steps}  ${title}`)}\n   ${text}`);
  }

  /** A command that runs now; call the result when it has ended. */
  command(line: string): (outcome: string) => void {
    const start = performance.now();
    const text = `   $ ${line}`;
    if (colours) process.stdout.write(paint(36, text));
    return (outcome) => {
      const right = `${outcome}  ${((performance.now() - start) / 1000).toFixed(1)} s`;
      const gap = " ".repeat(Math.max(2, width - text.length - right.length));
      process.stdout.write(`${colours ? "" : text}${gap}${right}\n`);
    };
  }

  /** One figure: `what` was looked at, `found`, and whether that is as it must be. */
  check(what: string, found: string, holds: boolean): void {
    const line = `     ${what.padEnd(38)} ${found}`;
    this.checks++;
    if (!holds) this.broken.push(line.trim());
    const mark = holds ? paint(32, "✓") : paint(31, "✗ THIS IS NOT AS IT MUST BE");
    console.log(`${line.padEnd(width - 2)} ${mark}`);
  }

  note(text: string): void {
    console.log(`     ${text}`);
  }
}

/** `12,345`. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

/** `1 program`, `2 programs`. */
export function plural(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}
