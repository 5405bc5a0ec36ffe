/** Functions, as the engine invokes them. */
import { type InvokeRequest, InvokeResponse } from "@pulumi/pulumi/proto/provider_pb";
import { EbpfError } from "../../errors";
import { runFunction } from "../../functions";
import { secret } from "../wire";
import type { Calls } from "./calls";
import type { Core } from "./core";
import { fromStruct, toStruct } from "./struct";
import { kindOf } from "./urn";

export async function invoke(core: Core, calls: Calls, request: InvokeRequest): Promise<InvokeResponse> {
  const name = kindOf(request.getTok());
  return calls.run({ urn: "", text: name }, async ({ signal }) => {
    const answer = await runFunction(name, fromStruct(request.getArgs()) ?? {}, {
      open(given) {
        const connection = given ?? core.connection;
        if (connection !== undefined) return core.open(connection, signal);
        throw new EbpfError(
          "invalid",
          `call ${name}: there is no connection`,
          {},
          {
            remedy: "give it as an argument, to the provider, or as config `ebpf:connection`",
          },
        );
      },
      openSources: core.openSources,
      ...(signal === undefined ? {} : { signal }),
    });
    const outputs = { ...answer.outputs };
    for (const hidden of answer.secrets) outputs[hidden] = secret(outputs[hidden]);
    return new InvokeResponse().setReturn(toStruct(outputs));
  });
}
