import type { z } from 'zod';
import type { ApiDeps as ServingDeps } from '../api/app.ts';
import { Feed, type FeedDeps, type Hours, type Row } from '../api/feed.ts';
import {
  type Action,
  type AnyInput,
  type Fits,
  type Operation,
  type Served,
  serveEvents,
  servePage,
} from '../api/operation.ts';
import { type HistoryQuery, READS, type Write, writeOperation } from '../api/operations.ts';
import { numberKey } from '../api/page.ts';
import { SAMPLES } from '../api/samples.ts';
import { assert } from '../base/assert.ts';
import { Refused } from '../http/reply.ts';
import { limited } from '../log/limited.ts';
import type { Logger } from '../log/logger.ts';
import { apiTokens } from './data-dir.ts';
import { HourJournal } from './hour-journal.ts';
import { WriteJournal, type WriteJournalDeps } from './write-journal.ts';

/** The writes of a daemon, each with what does it. */
export function serveActions<Path extends string>(
  writes: Readonly<Record<Path, Write>>,
  actions: Readonly<Record<string, Action>>,
): Served[] {
  assert(Object.keys(actions).length === Object.keys(writes).length, 'all_actions_are_written');
  return Object.entries<Write>(writes).map(([path, row]) => {
    const action = actions[path];
    assert(action !== undefined, 'written_has_action', path);
    return { operation: writeOperation(path, row), run: ({ body }) => action(body) };
  });
}

/** What a daemon keeps in its ledger for its API alone. */
export type Journals = { readonly writes: WriteJournal; readonly hours: Hours };

/** @param instance the name of this daemon where others share its ledger */
export async function openJournals(
  role: keyof typeof SAMPLES,
  instance: string | undefined,
  deps: WriteJournalDeps,
): Promise<Journals> {
  const [writes, hours] = await Promise.all([
    WriteJournal.open(instance, deps),
    HourJournal.open(SAMPLES[role], instance, deps),
  ]);
  return { writes, hours };
}

export type ApiDeps = Omit<FeedDeps, 'hours'> & {
  readonly undo: Pick<AsyncDisposableStack, 'defer'>;
  readonly journals: Journals;
  readonly log: Logger;
};

const REFUSALS_MS = 10_000;

/** What the API of a daemon stands on. */
export function servingDeps({ clock, log, journals }: ApiDeps, dataDir: string): ServingDeps {
  return {
    ...{ clock, log, tokens: apiTokens(dataDir, log), refusals: limited(log, REFUSALS_MS, clock) },
    onWrite: (news) => journals.writes.begin(news),
  };
}

/** What was asked of a daemon: see `WriteJournal`. */
export function serveWrites({ writes }: Journals): Served {
  return servePage(
    READS.proxy.listWrites,
    () => writes.rows,
    ({ number }) => numberKey(number),
  );
}

/** What a daemon shows of itself as time goes by, until it stops. */
export function serveHistory<S extends z.ZodObject, T extends object>(
  sample: S,
  operations: {
    readonly listHistory: Operation & { kind: 'page' };
    readonly followEvents: Operation & { kind: 'events' };
  },
  look: () => Fits<T, S> & T,
  deps: ApiDeps,
): Served[] {
  const feed = new Feed(sample, look, { ...deps, hours: deps.journals.hours });
  feed.start();
  deps.undo.defer(async () => feed.stop());
  const rows = ({ query }: AnyInput): readonly Row[] => {
    const { step, every, since_ms = 0 } = query as HistoryQuery;
    return (step === 'hour' ? feed.hours : feed.rows).filter(
      ({ sequence, at_ms }) => sequence % every === 0 && at_ms >= since_ms,
    );
  };
  return [
    { operation: operations.listHistory, run: rows, keyOf: (row) => numberKey((row as Row).sequence) },
    serveEvents(operations.followEvents, (lastEventId) => feed.follow(lastEventId)),
  ];
}

/** The one contract that is meant. Throws `not_found`. */
export function theContract<T>(all: readonly T[], isMeant: (contract: T) => boolean): T {
  const found = all.find(isMeant);
  if (found === undefined) throw new Refused('not_found', 'there is no such contract');
  return found;
}
