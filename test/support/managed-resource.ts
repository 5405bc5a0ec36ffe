/**
 * One resource as the engine handles it, without the engine: check, diff, create, update, read and delete in the
 * engine's order, in either mode (providers.ts). For scenarios that the CLI's three seconds a step would make too slow;
 * test/support/pulumi.ts drives the real engine.
 */
import assert from "node:assert/strict";
import { formatSpecId } from "../../provider/protocol/spec-id";
import { unpacked } from "../../provider/adapters/packed";
import type { Mode } from "./modes";
import { providerOf, type Properties, type ProviderUnderTest } from "./providers";

/** What check or a preview refused: `property: reason`, one a line. */
export class CheckFailed extends Error {}

export class ManagedResource {
  private static mode: Mode = "dynamic";

  private constructor(
    readonly kind: string,
    readonly name: string,
    readonly id: string,
    /** What the state would hold. */
    public state: Properties,
    private readonly provider: ProviderUnderTest,
  ) {}

  /** From now on, for a suite to begin with. */
  static useMode(mode: Mode): void {
    ManagedResource.mode = mode;
  }

  static specId(kind: string, name: string): string {
    return formatSpecId({ project: "test", stack: "dev", kind, name });
  }

  /** Fails with CheckFailed, or as the provider's create does. */
  static async create(kind: string, name: string, args: Properties): Promise<ManagedResource> {
    const provider = await providerOf(ManagedResource.mode, kind);
    const inputs = await previewed(provider, name, { ...args, specId: ManagedResource.specId(kind, name) });
    const { id, state } = await provider.create(name, inputs);
    return new ManagedResource(kind, name, id, state, provider);
  }

  /** An update with new arguments; resolves to whether anything changed. Fails where the engine would replace. */
  async update(args: Properties): Promise<boolean> {
    const { provider, name, id, state } = this;
    const inputs = await previewed(provider, name, { ...args, specId: state["specId"] }, { id, state });
    const { changes, replaces } = await provider.diff(name, id, state, inputs);
    assert.deepEqual(replaces, [], "an update, no replacement");
    if (!changes) return false;
    this.state = await provider.update(name, id, state, inputs);
    return true;
  }

  /** Reads the host into the state; resolves to the drift, or to null when nothing is there any more. */
  async refresh(): Promise<string[] | null> {
    const found = await this.provider.read(this.name, this.id, this.state);
    if (found === null) return null;
    this.state = found;
    return found["drift"] as string[];
  }

  async delete(): Promise<void> {
    await this.provider.delete(this.name, this.id, this.state);
  }

  /** What check added, as the SDK reads it. */
  private added(name: "object" | "shape"): Properties {
    return unpacked(this.state[name]) as Properties;
  }

  /** The Program's entrypoint as the SDK would lift it into an Attachment's `program`. */
  entrypoint(name: string): Properties {
    const { entrypoints } = this.added("object") as { entrypoints: Record<string, Properties> };
    return { spec: this.state["specId"], entrypoint: name, ...entrypoints[name] };
  }

  /** The Map itself as the SDK would lift it into `map`. */
  asMap(): Properties {
    const { name, type, keySize, valueSize, maxEntries, keyLayout, valueLayout } = this.added("shape");
    const sizes = { type, keySize, valueSize, maxEntries };
    return { spec: this.state["specId"], map: name, ...sizes, keyLayout, valueLayout };
  }

  /** The map of a Program as the SDK would lift it into `map`. */
  map(name: string): Properties {
    const { maps } = this.added("object") as { maps: Record<string, Properties> };
    return { spec: this.state["specId"], map: name, ...maps[name] };
  }
}

/** The inputs as check leaves them, after all that a preview would refuse. */
async function previewed(
  provider: ProviderUnderTest,
  name: string,
  args: Properties,
  current?: { id: string; state: Properties },
): Promise<Properties> {
  const { inputs, failures } = await provider.check(name, current?.state ?? {}, args);
  if (failures.length > 0) {
    throw new CheckFailed(failures.map(({ property, reason }) => `${property}: ${reason}`).join("\n"));
  }
  // the engine previews changes only
  if (current !== undefined && !(await provider.diff(name, current.id, current.state, inputs)).changes) {
    return inputs;
  }
  await provider.preview(name, inputs, current).catch(({ message }: Error) => {
    throw new CheckFailed(message);
  });
  return inputs;
}
