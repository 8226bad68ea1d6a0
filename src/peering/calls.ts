import { setTimeout as sleep } from 'node:timers/promises';
import { codecsOf, type MethodName, type Params, type Result } from './messages.ts';
import type { RpcHandler, RpcPeer } from './rpc-peer.ts';

/** Asks the peer, typed. Throws as `RpcPeer.request`, and `protocol` for an answer of another shape. */
export async function call<M extends MethodName>(
  peer: RpcPeer,
  method: M,
  params: Params<M>,
): Promise<Result<M>> {
  const { params: printer, result: parser } = codecsOf(method);
  return parser.parse(await peer.request(method, printer.print(params)));
}

/** Answers a method with typed parameters and result. */
export function handler<M extends MethodName>(
  method: M,
  answer: (params: Params<M>) => Promise<Result<M>>,
): RpcHandler {
  const { params: parser, result: printer } = codecsOf(method);
  return async (params) => printer.print(await answer(parser.parse(params)));
}

/** How long what must happen waits for its record: a disk may answer late, or never. */
const RECORD_WAIT_MS = 2_000;

/** Waits for a record that is being written, and no longer than it can be waited for. */
export async function awaitRecord(written: Promise<void>): Promise<void> {
  const done = new AbortController();
  const { signal } = done;
  const late = sleep(RECORD_WAIT_MS, undefined, { signal, ref: false }).catch(() => {});
  await Promise.race([written, late]);
  done.abort();
}

/** Runs tasks one after the other, in the order they came; a failed task does not stop the next. */
export class Serial {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(task);
    this.#tail = result.catch(() => {});
    return result;
  }
}
