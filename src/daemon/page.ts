import { systemRandom } from '../base/random.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { OpsServer } from '../http/server.ts';
import type { Logger } from '../log/logger.ts';
import { LaterPart } from './later-part.ts';

/** How long the word that a daemon is ready waits for what its work does not wait for. */
export const PATIENCE_MS = 5_000;

/** A part that is listed in `waiting`, to be begun by the caller; `undo` stops it. */
export function laterPart(
  name: string,
  start: () => Promise<void>,
  deps: { readonly waiting: LaterPart[]; readonly undo: AsyncDisposableStack; readonly log: Logger },
): LaterPart {
  const { waiting, undo, log } = deps;
  const part = new LaterPart(name, start, { timers: systemTimers, random: systemRandom, log });
  waiting.push(part);
  undo.defer(() => part.stop());
  return part;
}

/** Serves the status page of a daemon, now or later. Resolves with where it is; null where it is not yet. */
export async function startPage(
  ops: OpsServer,
  deps: { readonly waiting: LaterPart[]; readonly undo: AsyncDisposableStack; readonly log: Logger },
): Promise<string | null> {
  let at: string | null = null;
  deps.undo.defer(() => ops.close());
  const page = laterPart(
    'page',
    async () => {
      const { host, port } = await ops.start();
      at = `${host}:${port}`;
    },
    deps,
  );
  await page.begin(PATIENCE_MS);
  return at;
}
