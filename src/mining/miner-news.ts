import { printable } from '../base/text.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import type { CloseReason } from '../downstream/session/close-reason.ts';
import type { Session } from '../downstream/session/session.ts';
import type { Logger } from '../log/logger.ts';

/** Lines at once, and then one in ten seconds: a farm that comes back is a few lines, not thousands. */
const RATE = { perSecond: 0.1, burst: 20 };
const NAME_CHARS = 80;

export type MinerNewsDeps = { readonly log: Logger; readonly monotonicMs: () => number };

/** Says which miners come and go, a few lines at a time; the next line tells how many were left out. */
export class MinerNews {
  readonly #deps: MinerNewsDeps;
  readonly #bucket: TokenBucket;
  /** Since the start, whether a line told of them or not. */
  readonly seen = { came: { count: 0, newest: '' }, went: { count: 0, newest: '' } };
  #came = 0;
  #went = 0;

  constructor(deps: MinerNewsDeps) {
    this.#deps = deps;
    this.#bucket = new TokenBucket(RATE, deps.monotonicMs());
  }

  /** To be called with each name that a session takes; the first one counts. */
  came({ id, address, workers, userAgent }: NewsSession, worker: string): void {
    if (workers.length > 1) return;
    const agent = printable(userAgent ?? '', '?').slice(0, NAME_CHARS);
    const name = printable(worker, '?').slice(0, NAME_CHARS);
    this.seen.came = { count: this.seen.came.count + 1, newest: name };
    if (this.#mayTell()) this.#tell({ session: id, address, worker: name, agent }, 'a miner came');
    else this.#came += 1;
  }

  /** To be called with each session that ended; one that never had a name was no miner. */
  went(
    { id, address, workers, accepted, rejected, connectedAtMonotonicMs }: NewsSession,
    reason: CloseReason,
  ): void {
    const [worker] = workers;
    if (worker === undefined) return;
    const seconds = Math.round((this.#deps.monotonicMs() - connectedAtMonotonicMs) / 1000);
    const name = printable(worker.name, '?').slice(0, NAME_CHARS);
    this.seen.went = { count: this.seen.went.count + 1, newest: name };
    const fields = { session: id, address, worker: name, reason, seconds, accepted, rejected };
    if (this.#mayTell()) this.#tell(fields, 'a miner went');
    else this.#went += 1;
  }

  #mayTell(): boolean {
    return this.#bucket.take(this.#deps.monotonicMs());
  }

  #tell(fields: Readonly<Record<string, unknown>>, message: string): void {
    const untold = this.#came + this.#went === 0 ? {} : { alsoCame: this.#came, alsoWent: this.#went };
    [this.#came, this.#went] = [0, 0];
    this.#deps.log.info({ ...fields, ...untold }, message);
  }
}

type NewsSession = Pick<
  Session,
  'id' | 'address' | 'userAgent' | 'accepted' | 'rejected' | 'connectedAtMonotonicMs'
> & { readonly workers: readonly { readonly name: string }[] };
