import { codecsOf, type MethodName, type Params, printParams, type Result } from './messages.ts';
import type { RpcHandler, RpcPeer } from './rpc-peer.ts';

/**
 * Calls a method of the peer with typed parameters and result. Throws as `RpcPeer.request`, and `protocol`
 * for a result of another shape.
 */
export async function call<M extends MethodName>(
  peer: RpcPeer,
  method: M,
  params: Params<M>,
): Promise<Result<M>> {
  const answer = await peer.request(method, printParams(method, params, peer.features));
  return codecsOf(method).result.parse(answer);
}

/** Makes the handler of a method with typed parameters and result. */
export function handler<M extends MethodName>(
  method: M,
  answer: (params: Params<M>) => Promise<Result<M>>,
): RpcHandler {
  const { params: parser, result: printer } = codecsOf(method);
  return async (params) => printer.print(await answer(parser.parse(params)));
}
