import { toHex } from '../../base/bytes.ts';
import type { Extranonce } from '../../stratum/extranonce.ts';
import type { HandshakeRequest } from './handshake.ts';

/** Work of a session alone, from a connection upstream of its own. */
export type SessionFeed = Extranonce & {
  /** `Job.destination` of its jobs; no other session has them. */
  readonly name: string;
};

/** How a session gets the work of a destination. */
export type JobRouting =
  /** By the jobs that all sessions of the destination get. */
  | { readonly type: 'shared' }
  /** By jobs of its own, of which there is a current one. */
  | { readonly type: 'fed'; readonly feed: SessionFeed }
  /** The same later: `DownstreamServer.feed` follows, or the session is closed. */
  | { readonly type: 'waiting' }
  /** Where it is. */
  | { readonly type: 'stay' }
  /** By another connection of the miner, which cannot be told of another extranonce. */
  | { readonly type: 'reconnect' }
  /** Not there; by the shared jobs of another destination if there is one, else where it is, if anywhere. */
  | { readonly type: 'refused'; readonly instead: string | undefined };

export const SHARED: JobRouting = { type: 'shared' };

/** The same for the same extranonces. */
export function extranonceKey({ extranonce1, extranonce2Size }: Extranonce): string {
  return `${toHex(extranonce1)}/${extranonce2Size}`;
}

/** Far more than any firmware sends without waiting for the reply to its subscribe. */
const MAX_HELD = 32;

/** Requests that wait until the extranonces are known, since no reply may stand before that to subscribe. */
export class HeldRequests {
  #requests: HandshakeRequest[] | undefined;

  get isWaiting(): boolean {
    return this.#requests !== undefined;
  }

  begin(): void {
    this.#requests ??= [];
  }

  /** False when there is no room. */
  add(request: HandshakeRequest): boolean {
    if (this.#requests === undefined || this.#requests.length >= MAX_HELD) return false;
    this.#requests.push(request);
    return true;
  }

  /** Ends the waiting. In the order they came. */
  take(): readonly HandshakeRequest[] {
    const requests = this.#requests ?? [];
    this.#requests = undefined;
    return requests;
  }
}
