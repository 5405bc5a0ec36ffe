/** What a preview does with the resources of a program, without an engine and without hosts. */
import assert from "node:assert/strict";
import type * as pulumi from "@pulumi/pulumi";
import { fromEngine } from "../../../provider/adapters/wire";
import { createLifecycle, readSettings } from "../../../provider/lifecycle";
import { definitions } from "../../../provider/resources";
import { openSources } from "../../../provider/sources";

export type Inputs = Record<string, unknown>;

/** The outputs of a resource are its checked inputs. */
export class Preview implements pulumi.runtime.Mocks {
  readonly registered: { type: string; name: string; inputs: Inputs }[] = [];
  readonly failures: string[] = [];
  private readonly lifecycle = createLifecycle({
    definitions,
    openSession: () => assert.fail("a preview offline dials nobody"),
    openSources,
    settings: readSettings((key) => (key === "ebpf:preview" ? "offline" : undefined), {}),
    report: () => undefined,
  });

  async newResource({ type, name, inputs }: pulumi.runtime.MockResourceArgs) {
    this.registered.push({ type, name, inputs });
    return { id: name, state: await this.check(type, inputs) };
  }

  protected async check(type: string, inputs: Inputs): Promise<Inputs> {
    const checked = await this.lifecycle.check(type.replace(/^.*:/, ""), undefined, fromEngine(inputs));
    this.failures.push(...checked.failures.map(({ property, reason }) => `${property}: ${reason}`));
    return checked.inputs;
  }

  call(): never {
    throw new Error("the SDK calls no function");
  }

  inputsOf(name: string): Inputs {
    return fromEngine(this.registered.find((resource) => resource.name === name)!.inputs);
  }
}
