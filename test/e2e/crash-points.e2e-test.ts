import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import {
  crashPointNames,
  SENT_POINTS,
  SIGNER_STEPS,
  WRITE_MOMENTS,
  WRITE_POINTS,
} from '../../src/daemon/crash-points.ts';
import { CrashLife, type Daemon } from './crash-life.ts';

const directory = mkdtempSync(join(tmpdir(), 'sharestream-crash-points-'));
const cleanups: (() => Promise<unknown>)[] = [
  () => Promise.resolve(rmSync(directory, { recursive: true, force: true })),
];
afterAll(async () => {
  for (const cleanup of cleanups.reverse()) await cleanup();
});

type Points = Readonly<Record<Daemon, readonly string[]>>;
type Life = { readonly opening: Points; readonly closing: Points; readonly second: Points };

/** Writes that end a contract; the others come while it runs. */
const CLOSING = new Set(['closing', 'close_tx', 'closed']);
const isOf = (daemon: Daemon) => (point: string) =>
  point.startsWith(daemon === 'proxy' ? 'miner.' : 'maker.');
const byDaemon = (points: readonly string[]): Points => ({
  proxy: points.filter(isOf('proxy')),
  maker: points.filter(isOf('maker')),
});

/**
 * Three contracts are opened, paid and closed, one for each moment of a write. Where a point can be met
 * but once in the life of a contract and another one is in its way, a second contract meets it.
 */
function lifeOf(moment: (typeof WRITE_MOMENTS)[number]): Life {
  const writes = WRITE_POINTS.map(({ role, name }) => ({ name, point: `${role}.${name}.${moment}` }));
  const running = writes.filter(({ name }) => !CLOSING.has(name)).map(({ point }) => point);
  const closing = writes.filter(({ name }) => CLOSING.has(name)).map(({ point }) => point);
  const sent = SENT_POINTS.map(({ role, name }) => `${role}.${name}.sent`);
  const signer = SIGNER_STEPS.map((step) => `maker.signer.${step}`);
  // Once the maker has written the close, a miner that missed the answer finds it on the chain.
  const makerClose = `maker.close_tx.${moment}`;
  const isBefore = moment === 'before';
  const first = isBefore
    ? closing.flatMap((point) => [point, ...(point === 'miner.closing.before' ? [SIGNED] : [])])
    : closing.filter((point) => point !== makerClose);
  const beforeClose = sent.filter((point) => point !== SIGNED && point !== 'maker.close_tx.sent');
  return {
    opening: byDaemon(
      moment === 'during'
        ? inOrder([...running, ...beforeClose])
        : [...running, ...(moment === 'after' ? signer : [])],
    ),
    closing: byDaemon(first),
    second: byDaemon(isBefore ? ['maker.close_tx.sent'] : [makerClose]),
  };
}

/** Sent while the maker is about to die of it, so that it must be sent again. */
const SIGNED = 'miner.close_signature.sent';

/** A message is sent right after the write that it waits for. */
function inOrder(points: readonly string[]): string[] {
  const after: Readonly<Record<string, string>> = {
    'maker.acceptance.sent': 'maker.opening.during',
    'miner.funding_signatures.sent': 'miner.acceptance.during',
    'maker.funding_signatures.sent': 'maker.funding.during',
  };
  const rest = points.filter((point) => !Object.hasOwn(after, point));
  return rest.flatMap((point) => [point, ...Object.keys(after).filter((each) => after[each] === point)]);
}

describe.concurrent('kill -9 at each point of a contract', () => {
  it.each(WRITE_MOMENTS)(
    '%s a write: nothing is lost, nothing counts twice, and it goes on',
    async (moment) => {
      const plan = lifeOf(moment);
      const life = await CrashLife.start(join(directory, moment), (step) => cleanups.push(step));
      await life.strikeAll(plan.opening);
      await life.earn();
      const first = await life.close(plan.closing);
      await life.renew();
      await life.earn();
      const second = await life.close(plan.second);
      await life.check([first, second]);
    },
    300_000,
  );

  it('leaves out no point', () => {
    const planned = WRITE_MOMENTS.map(lifeOf).flatMap(({ opening, closing, second }) =>
      [opening, closing, second].flatMap(({ proxy, maker }) => [...proxy, ...maker]),
    );
    expect(planned.sort()).toEqual(crashPointNames().sort());
  });
});
