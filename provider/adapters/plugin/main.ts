/** What plugin/pulumi-resource-ebpf starts. Prints its port, then only answers; ends with the engine. */
import { watchEngine } from "../engine-watch";
import { createHandlers, serve } from "./server";

/** The engine's address; verbosity and tracing may stand before it (pulumi/sdk, go/common/resource/plugin/plugin.go). */
function engineAddress(args: string[]): string | undefined {
  const tracing = args.indexOf("--tracing");
  return args.find((arg, index) => !arg.startsWith("-") && (tracing < 0 || index !== tracing + 1));
}

async function main(): Promise<void> {
  const engine = engineAddress(process.argv.slice(2));
  if (engine !== undefined) watchEngine(engine, () => process.exit(1));
  // a handler that does not exit costs the engine five seconds
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(0));
  const { port } = await serve(createHandlers({ engine, environment: process.env }));
  process.stdout.write(`${port}\n`);
}

void main();
