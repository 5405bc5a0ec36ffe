/**
 * The dynamic adapter: what `require("pulumi-ebpf/provider/dynamic").provider(kind)` in the state leads to. A frozen
 * interface, see provider-text.ts.
 *
 * Owns: the form of a Pulumi dynamic provider, the wire of values and errors, the end of an orphaned process.
 * Does not own: anything that a resource does (provider/lifecycle).
 */
import type * as pulumi from "@pulumi/pulumi";
import { EbpfError, type Problem } from "../errors";
import { createLifecycle, type Lifecycle, PartialError, readSettings } from "../lifecycle";
import { definitions } from "../resources";
import { openSources } from "../sources";
import { openSession } from "../transport/pool";
import { watchEngine } from "./engine-watch";
import { APPLYING_KEY, PROVIDER_KEY, providerText } from "./provider-text";
import { fromEngine, toEngine } from "./wire";

type Dynamic = Required<Omit<pulumi.dynamic.ResourceProvider, "configure">> &
  Pick<pulumi.dynamic.ResourceProvider, "configure">;
type Properties = Record<string, unknown>;

/** One for all kinds: they share sessions and what plan learned of a host. */
let lifecycle: Lifecycle | undefined;

export function provider(kind: string): Dynamic {
  endWithEngine();
  const text = providerText(kind);
  // the wrapper does not wait for configure before it lets a second call through
  let configured!: (value: Lifecycle | Promise<Lifecycle>) => void;
  const ready = new Promise<Lifecycle>((resolve) => (configured = resolve));

  return {
    async configure({ config }) {
      try {
        configured((lifecycle ??= start((key) => config.get(key))));
      } catch (thrown) {
        // every call that waits shall say it, in its own form
        configured(Promise.reject(thrown));
        ready.catch(() => undefined);
      }
    },

    async check(olds: Properties, news: Properties) {
      const core = await ready.catch((thrown: unknown) => EbpfError.from(thrown));
      if (core instanceof EbpfError) {
        return { inputs: news, failures: [{ property: "", reason: core.render() }] };
      }
      if (news[APPLYING_KEY] === true) core.beginUpdate();
      const known = Object.keys(olds).length === 0 ? undefined : fromEngine(olds);
      const { inputs, failures } = await core.check(kind, known, fromEngine(news));
      return { inputs: toEngine(inputs), failures: failures.map(asFailure) };
    },

    diff: (id, olds: Properties, news: Properties) =>
      guarded(kind, id, async () => {
        const core = await ready;
        const { changes, replaces } = core.diff(kind, id, fromEngine(olds), fromEngine(news));
        // a stack that comes back from the plugin has no text in its outputs, and could never be destroyed
        return { changes: changes || olds[PROVIDER_KEY] !== text, replaces, deleteBeforeReplace: false };
      }),

    create: (inputs: Properties) =>
      guarded(kind, String(inputs["specId"]), async () => {
        const { id, outputs } = await (await ready).create(kind, fromEngine(inputs));
        return { id, outs: toEngine(outputs) };
      }),

    update: (id, olds: Properties, news: Properties) =>
      guarded(kind, id, async () => {
        const outputs = await (await ready).update(kind, id, fromEngine(olds), fromEngine(news));
        return { outs: toEngine(outputs) };
      }),

    read: (id, state: Properties = {}) =>
      guarded(kind, id, async () => {
        const found = await (await ready).read(kind, id, fromEngine(state));
        if (found === null) return { id: "", props: {} };
        if (found.unchanged) return { id, props: state };
        return { id, props: toEngine(found.outputs), inputs: toEngine(found.inputs) };
      }),

    delete: (id, state: Properties) =>
      guarded(kind, id, async () => (await ready).delete(kind, id, fromEngine(state))),
  };
}

function start(config: (key: string) => string | undefined): Lifecycle {
  return createLifecycle({
    definitions,
    openSession,
    openSources,
    settings: readSettings(config, process.env),
    report: (message, severity) => console.log(severity === "warning" ? `warning: ${message}` : message),
  });
}

/** The engine would print the value of the property, `{<nil>}` for a path and a secret in clear: so the text names it. */
function asFailure({ property, reason }: Problem): pulumi.dynamic.CheckFailure {
  return { property: "", reason: property === "" ? reason : `${property}: ${reason}` };
}

/**
 * The wrapper prints `${error}: ${error.stack}` under the stack for some calls, and sends `message` for all of them,
 * which the engine shows under the resource: so the first only points to the second.
 */
class ProviderError extends Error {
  readonly id?: string;
  readonly properties?: Properties;
  readonly reasons?: string[];
  private readonly subject: string;

  constructor(thrown: unknown, kind: string, id: string) {
    if (thrown instanceof PartialError) {
      super(thrown.message);
      this.id = thrown.id;
      this.properties = { ...toEngine(thrown.properties), [PROVIDER_KEY]: providerText(kind) };
      this.reasons = [thrown.message];
    } else {
      super(EbpfError.from(thrown).render());
    }
    this.subject = `${kind} ${id.slice(id.lastIndexOf("/") + 1)}`;
    this.stack = "failed, see its error";
  }

  override toString(): string {
    return this.subject;
  }
}

async function guarded<T>(kind: string, id: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw new ProviderError(thrown, kind, id);
  }
}

let watching = false;

/** Only in the process that the engine started: its last argument is the engine's address. */
function endWithEngine(): void {
  if (watching || !/dynamic-provider/.test(process.argv[1] ?? "")) return;
  watching = true;
  watchEngine(process.argv.at(-1) ?? "", () => process.exit(1));
  // a handler that does not exit costs the engine five seconds
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(0));
}
