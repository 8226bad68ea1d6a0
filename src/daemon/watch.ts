import { createApi } from '../api/app.ts';
import { serve } from '../api/operation.ts';
import { READS } from '../api/operations.ts';
import { systemClock, type Timer } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { systemTimers } from '../base/system-timers.ts';
import { COMMIT, VERSION } from '../base/version.ts';
import type { NetworkName } from '../bitcoin/network.ts';
import type { Ladder } from '../channel/ladder-file.ts';
import type { ChainConfig } from '../config/config.ts';
import { OpsServer } from '../http/server.ts';
import type { Logger } from '../log/logger.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { LadderFiles } from '../operator/ladder-files.ts';
import { type LadderBroadcast, type LadderStatus, LadderWatch } from '../operator/ladder-watch.ts';
import {
  type ChainPart,
  chainCheck,
  chainSources,
  chainStatus,
  startChain,
  stopChain,
} from './chain-part.ts';
import { type Composed, composed } from './composed.ts';
import { countsOf } from './contract-state.ts';
import type { LaterPart } from './later-part.ts';
import { startPage } from './page.ts';
import { type DaemonLog, daemonSources } from './shared-metrics.ts';
import { type StatusLine, sayStatus } from './status-line.ts';

export type WatchConfig = {
  readonly network: NetworkName;
  /** Ladder files, and folders of them. */
  readonly paths: readonly string[];
  /** How often they are read. */
  readonly readMs: number;
  /** A file that is older says that whoever writes it is gone. */
  readonly maxAgeMs: number;
};

export type WatchDeps = {
  readonly part: ChainPart;
  readonly log: Logger;
  /** True while somebody else closes this channel, by this state or a newer one. Default: nobody does. */
  readonly isServed?: (ladder: Ladder) => boolean;
};

export type WatchedRow = {
  readonly contract: string;
  readonly channel: string;
  readonly state: LadderStatus;
  readonly n: number;
  readonly expiry_height: number;
  readonly blocks_left: number | null;
  readonly age_seconds: number;
  readonly is_old: boolean;
  /** It takes the channel back for the maker, and never changes. */
  readonly is_refund: boolean;
  readonly last_broadcast: LadderBroadcast | null;
};

export type WatchStatus = {
  readonly version: string;
  readonly role: 'watch';
  readonly network: NetworkName;
  readonly channels: readonly WatchedRow[];
  readonly problems: LadderFiles['problems'];
  /** Why the last look failed. */
  readonly last_error: { readonly code: string; readonly detail: string } | null;
  readonly chain: ReturnType<typeof chainStatus>;
};

/** The channels of some ladder files, each closed in time by the nodes of this machine. */
export class Watch {
  readonly #config: WatchConfig;
  readonly #deps: WatchDeps;
  readonly #files: LadderFiles;
  readonly #watches = new Map<string, LadderWatch>();
  readonly #serial = new SerialQueue();
  #stopTip: (() => void) | undefined;
  #reading: Timer | undefined;
  #lastError: CodedError | undefined;

  constructor(config: WatchConfig, deps: WatchDeps) {
    this.#config = config;
    this.#deps = deps;
    this.#files = new LadderFiles(config.paths);
  }

  /** Looks at once, then at each tip and each reading of the files, until `close`. */
  async start(): Promise<void> {
    this.#stopTip = this.part.chain.watchTip(() => void this.look());
    this.#reading = systemTimers.every(this.#config.readMs, () => void this.look());
    await this.look();
  }

  get part(): ChainPart {
    return this.#deps.part;
  }

  get status(): WatchStatus {
    const { height } = this.part.chainClock.standing;
    return {
      ...{ version: VERSION, role: 'watch', network: this.#config.network },
      channels: this.ladders.map((ladder) => this.#row(ladder, height)),
      problems: [...this.#files.problems, ...this.#otherNetworks()],
      last_error: this.#lastError ? { code: this.#lastError.code, detail: this.#lastError.message } : null,
      chain: chainStatus(this.part),
    };
  }

  /** The newest of each channel that nobody else closes. */
  get ladders(): readonly Ladder[] {
    const { isServed = () => false } = this.#deps;
    const { network } = this.#config;
    return this.#files.ladders.filter((ladder) => ladder.network === network && !isServed(ladder));
  }

  /** Reads the files, and looks at each channel. Never throws for what files and nodes do. */
  look(): Promise<void> {
    return this.#serial.run(async () => {
      await this.#files.refresh();
      this.#lastError = undefined;
      for (const ladder of this.ladders) {
        try {
          await this.#watchOf(ladder).look(ladder, await this.part.chain.tip());
        } catch (error) {
          if (!(error instanceof CodedError)) throw error;
          this.#lastError = error;
          this.#deps.log.warn({ code: error.code, detail: error.message }, 'looking at the chain failed');
        }
      }
    });
  }

  async close(): Promise<void> {
    this.#stopTip?.();
    this.#reading?.cancel();
    await this.#serial.run(async () => {});
  }

  /** Of all channels, by what the nodes said. */
  get broadcasts(): Readonly<Record<'taken' | 'refused' | 'unreachable', number>> {
    const sum = { taken: 0, refused: 0, unreachable: 0 };
    for (const { stats } of this.#watches.values()) {
      for (const result of ['taken', 'refused', 'unreachable'] as const) sum[result] += stats[result];
    }
    return sum;
  }

  #watchOf({ channelId }: Ladder): LadderWatch {
    const known = this.#watches.get(channelId);
    if (known !== undefined) return known;
    const made = new LadderWatch({ chain: this.part.chain, log: this.#deps.log });
    this.#watches.set(channelId, made);
    return made;
  }

  #row(ladder: Ladder, height: number | undefined): WatchedRow {
    const { status, lastBroadcast } = this.#watchOf(ladder);
    const { expiryHeight } = ladder.deadlines;
    const ageMs = Math.max(0, systemClock.nowMs() - ladder.writtenAtMs);
    return {
      ...{ contract: ladder.contractId, channel: ladder.channelId, state: status, n: ladder.n },
      ...{ expiry_height: expiryHeight, blocks_left: height === undefined ? null : expiryHeight - height },
      ...{ age_seconds: Math.floor(ageMs / 1000) },
      is_refund: ladder.isRefund,
      is_old: !ladder.isRefund && ageMs > this.#config.maxAgeMs && status !== 'closed',
      last_broadcast: lastBroadcast ?? null,
    };
  }

  #otherNetworks(): WatchStatus['problems'] {
    const others = this.#files.ladders.filter(({ network }) => network !== this.#config.network);
    return others.map(({ contractId, network }) => ({ file: contractId, why: `it is of ${network}` }));
  }
}

/** Where each metric of the watch is read at a scrape. */
function watchSources(watch: Watch) {
  const open = () => watch.status.channels.filter(({ state }) => state !== 'closed');
  const byContract = (value: (row: WatchedRow) => number | undefined) => () =>
    Object.fromEntries(open().map((row) => [row.contract, value(row)]));
  return {
    ...chainSources(watch.part),
    watch_ladder_age_seconds: byContract((row) => (row.is_refund ? undefined : row.age_seconds)),
    watch_ladder_expiry_blocks: byContract((row) => row.blocks_left ?? undefined),
    watch_ladders: () => countsOf(watch.status.channels.map(({ state }) => state)),
    watch_broadcasts_total: () => watch.broadcasts,
    watch_file_problems: () => watch.status.problems.length,
  };
}

/** In words, what a person must look at; empty where all is well. */
export function troublesOf({ channels, problems, last_error, chain }: WatchStatus): readonly string[] {
  const about = ({ contract }: WatchedRow): string => `contract ${contract.slice(0, 16)}`;
  return [
    ...problems.map(({ file, why }) => `${file}: ${why}`),
    ...(channels.length === 0 ? ['no ladder file was read'] : []),
    ...channels.flatMap((row) =>
      row.is_old ? [`${about(row)}: the file is ${row.age_seconds} s old`] : [],
    ),
    ...channels.flatMap((row) => (row.state === 'missing' ? [`${about(row)}: not on the chain`] : [])),
    ...channels.flatMap((row) =>
      row.state === 'closing' && row.last_broadcast !== null && row.last_broadcast.result !== 'taken'
        ? [`${about(row)}: the close was not taken: ${row.last_broadcast.detail}`]
        : [],
    ),
    ...(last_error === null ? [] : [`${last_error.code}: ${last_error.detail}`]),
    ...(chain.stalled ? ['no bitcoin node hears of blocks'] : []),
  ];
}

/** Watches until it is closed, with a page of its own. */
export function startWatch(
  config: WatchConfig & { readonly chain: ChainConfig },
  listen: { readonly host: string; readonly port: number },
  log: DaemonLog,
): Promise<Composed<{ readonly ready: Readonly<Record<string, unknown>> }>> {
  return composed(async (undo) => {
    const part = startChain(config.network, config.chain, log);
    const watch = new Watch(config, { part, log });
    undo.defer(() => watch.close());
    // First in a stop, which waits for no answer of a node.
    undo.defer(() => stopChain(part));
    const build = { version: VERSION, commit: COMMIT, kernel: 'none', ledger: 'none' };
    const waiting: LaterPart[] = [];
    const sources = () => ({ ...watchSources(watch), ...daemonSources(waiting, log) });
    const ops = new OpsServer(
      { listen, serving: ['node'] },
      {
        metrics: createMetrics({ role: 'watch', build }, sources),
        ...{ timers: systemTimers, log: log.child({ part: 'http' }) },
        checks: {
          node: () => chainCheck(part),
          ladders: () => troublesOf(watch.status)[0] ?? true,
        },
        // To this machine alone: there are no tokens.
        api: createApi('watch', [serve(READS.watch.getStatus, () => watch.status)], {
          ...{ tokens: {}, clock: systemClock, log, refusals: log },
        }),
      },
    );
    const httpAt = await startPage(ops, { waiting, undo, log });
    await watch.start();
    sayStatus(undo, { timers: systemTimers, log }, () => watchLine(watch.status));
    return { ready: { http: httpAt, channels: watch.ladders.length } };
  });
}

function watchLine({ channels, problems, chain }: WatchStatus): StatusLine {
  return {
    channels: countsOf(channels.map(({ state }) => state)),
    ...{ problems: problems.length, height: chain.height, stalled: chain.stalled },
  };
}
