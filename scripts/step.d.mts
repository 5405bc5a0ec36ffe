/** Runs a command quietly; resolves to its stdout. Rejects with the end of what it printed. */
export function run(command: string, args: string[], options?: { timeoutSeconds?: number }): Promise<string>;
