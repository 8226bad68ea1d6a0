import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { oneAtATime } from '../base/one-at-a-time.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import type { LedgerConfig, Role } from '../config/config.ts';
import type { ConfigOf } from '../config/load.ts';
import { OpsServer } from '../http/server.ts';
import { isChainFree } from '../ledger/postgres/chain-lock.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { type Composed, composed } from './composed.ts';
import { startPage } from './page.ts';
import { type DaemonLog, daemonSources } from './shared-metrics.ts';

/** Looks for whether the other still works, in the time after which it may be taken over from. */
const LOOKS = 5;

export type Standby = Composed<{
  readonly ready: Readonly<Record<string, unknown>>;
  /** Resolves when nobody writes the ledger any more: this one is to begin. */
  readonly renewal: Promise<void>;
  readonly isStandby: true;
}>;

/** True where a start found its ledger with the other program of its instance, for which it stands by. */
export function isTaken(error: unknown, { postgres }: LedgerConfig): boolean {
  return error instanceof CodedError && error.code === 'ledger_locked' && postgres?.standbyMs !== undefined;
}

/**
 * A daemon whose ledger another program of the same instance writes: it says on its page that it serves
 * nobody, and waits until the server has let go of the other.
 */
export function startStandby<R extends Role>(
  role: R,
  { metrics: { listen, allowedHosts }, ledger: { postgres } }: ConfigOf<R>,
  log: DaemonLog,
): Promise<Standby> {
  return composed(async (undo) => {
    assert(postgres?.standbyMs !== undefined, 'standby_for_another');
    const build = { version: VERSION, commit: COMMIT, kernel: 'none', ledger: 'none' };
    const metrics = createMetrics<Role>({ role, build }, () => daemonSources([], log));
    const ops = new OpsServer(
      { listen, allowedHosts, serving: ['ledger'] },
      {
        ...{ metrics, timers: systemTimers, log: log.child({ part: 'http' }) },
        checks: { ledger: () => 'another program of this instance works: this one stands by' },
      },
    );
    const http = await startPage(ops, { waiting: [], undo, log });
    const { promise: renewal, resolve } = Promise.withResolvers<void>();
    let said = '';
    const look = async (): Promise<void> => {
      try {
        if (await isChainFree(postgres)) resolve();
        said = '';
      } catch (error) {
        if (!(error instanceof CodedError)) throw error;
        const { code, message: detail } = error;
        if (said !== code) log.warn({ code, detail }, 'whether the other program works is not known');
        said = code;
      }
    };
    const timer = systemTimers.every(postgres.standbyMs / LOOKS, oneAtATime(look));
    undo.defer(async () => timer.cancel());
    return { ready: { standby: true, http }, renewal, isStandby: true };
  });
}

/** What ends a daemon that another program of its instance took over from: it starts anew, and stands by. */
export class TakenOver {
  readonly due: Promise<void>;
  readonly #resolve: () => void;
  readonly #ledger: LedgerConfig;
  readonly #look: () => void;

  /** @param look is called first, whatever made the ledger fail */
  constructor(ledger: LedgerConfig, look: () => void = () => {}) {
    this.#ledger = ledger;
    this.#look = look;
    ({ promise: this.due, resolve: this.#resolve } = Promise.withResolvers<void>());
  }

  /** The ledger failed. */
  onFailure(error: CodedError): void {
    this.#look();
    if (isTaken(error, this.#ledger)) this.#resolve();
  }
}
