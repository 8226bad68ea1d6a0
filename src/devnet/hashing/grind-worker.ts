import { parentPort } from 'node:worker_threads';
import { Grinder } from './grinder.ts';

/** Search for a nonce; a new order replaces the one under way. */
export type GrindOrder = {
  readonly order: number;
  readonly header: Uint8Array;
  readonly target: bigint;
  readonly hashesPerSecond: number;
};

export type GrindResult = { readonly order: number; readonly nonce: number | undefined };

const SLICE_MS = 20;

/** Grinds in short slices at the ordered rate, so that a machine of two cores keeps room for the rest. */
async function grind(
  { order, header, target, hashesPerSecond }: GrindOrder,
  isCurrent: () => boolean,
): Promise<GrindResult> {
  const grinder = new Grinder();
  grinder.setHeader(header, target);
  const slice = Math.max(4, Math.floor((hashesPerSecond * SLICE_MS) / 4000) * 4);
  for (let start = 0; start < 2 ** 32 && isCurrent(); start += slice) {
    const began = performance.now();
    const nonce = grinder.search(start, slice);
    if (nonce !== undefined) return { order, nonce };
    const spent = performance.now() - began;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, SLICE_MS - spent)));
  }
  return { order, nonce: undefined };
}

if (parentPort !== null) {
  const port = parentPort;
  let current = 0;
  port.on('message', (order: GrindOrder) => {
    current = order.order;
    void grind(order, () => current === order.order).then((result) => port.postMessage(result));
  });
}
