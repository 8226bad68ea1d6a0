import { dirname, join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { serveOrders } from './orders.ts';

/**
 * Loaded before the program of a daemon (`--import`), it makes that daemon hostile: the product's own code,
 * of which it changes what the orders of the test say (`seller.ts`, `buyer.ts`).
 */
const { HOSTILE_SIDE: side, HOSTILE_SOCKET: socket } = process.env;
if (isMainThread && side !== undefined && socket !== undefined) {
  const { arm } = await (side === 'seller' ? import('./seller.ts') : import('./buyer.ts'));
  serveOrders(socket, arm(join(dirname(socket), 'hostile-memory')));
}
