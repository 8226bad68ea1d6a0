import { afterEach, describe, expect, it } from 'vitest';
import {
  contractEnd,
  contractPause,
  contractResume,
  contractVoid,
} from '../../src/cli/contract-notices.ts';
import { contractEventsCommand, contractStream } from '../../src/cli/contract-stream.ts';
import {
  contractConfirm,
  contractRevoke,
  contractUpdate,
  contractUpdates,
} from '../../src/cli/contract-updates.ts';
import { until } from '../maker/world.ts';
import { CommandStand } from './command-stand.ts';

const NOTICE_BLOCKS = 6;

let stand: CommandStand;
afterEach(() => stand.end());

async function begun(): Promise<CommandStand> {
  stand = new CommandStand({
    policy: { minNoticeBlocks: NOTICE_BLOCKS },
    version3: () => ({ end: { cancelFeePpm: 0, noticeBlocks: NOTICE_BLOCKS } }),
  });
  await stand.begin();
  return stand;
}

type Event = { readonly event: string; readonly [field: string]: unknown };

const miner = () => stand.contracts.side(stand.world.contractId)!.status;

async function noticesOf(side: 'miner' | 'maker'): Promise<readonly Event[]> {
  const { events } = (await stand.say(side, contractEventsCommand)) as { events: readonly Event[] };
  return events.filter(({ event }) => /^Log(Pause|Resume|End|Void)$/.test(event));
}

describe('commands that give notice', () => {
  it('pause and resume a contract, and both sides have it among its events, with who and when', async () => {
    const { world } = await begun();
    const { height } = world.chain;
    const dry = await stand.say('miner', contractPause, '--reason', 'maintenance', '--dry-run');
    expect(dry).toMatchObject({ dry_run: true, pauses: { miner: { reason: 'maintenance' }, maker: null } });
    expect(miner().live).toBe(true);
    const paused = await stand.say('miner', contractPause, '--reason', 'maintenance', '--blocks', '9');
    const pause = { reason: 'maintenance', from_height: height, until_height: height + 9 };
    expect(paused).toMatchObject({ dry_run: false, pauses: { miner: pause } });
    expect(miner().live).toBe(false);
    const twice = await stand.say('miner', contractPause);
    expect(twice['refused']).toContain('wrong_status: a pause is agreed or in force');
    await stand.say('miner', contractResume);
    await until('live again', () => miner().live);
    expect((await stand.say('miner', contractResume))['refused']).toContain('there is no pause');
    expect((await stand.say('miner', contractPause, '--reason', 'boredom'))['refused']).toContain('usage');
    await stand.say('maker', contractPause, '--reason', 'pool_down');
    await until('told', () => miner().notices.pauses.maker !== undefined);

    const events = await noticesOf('miner');
    expect(events).toMatchObject([
      { event: 'LogPause', by: 'recipient', at_height: height, ...pause },
      { event: 'LogResume', by: 'recipient', at_height: height },
      { event: 'LogPause', by: 'sender', reason: 'pool_down', until_height: null },
    ]);
    for (const { at_ms: atMs } of events) expect(Math.abs(Number(atMs) - Date.now())).toBeLessThan(60_000);
    const plain = (each: readonly Event[]) =>
      each.map(({ event, by, from_height: from }) => ({ event, by, from }));
    expect(plain(await noticesOf('maker'))).toEqual(plain(events));
    // Told anew on another connection it was said once.
    const { connections } = stand.contracts.side(world.contractId)!.stats;
    await world.restartMaker();
    await until(
      'told anew',
      () =>
        stand.contracts.side(world.contractId)!.stats.connections > connections &&
        miner().notices.pauses.maker !== undefined,
    );
    await world.rest();
    expect(plain(await noticesOf('miner'))).toEqual(plain(events));
  });

  it('give notice of the end, which is signed, and write off what is not paid', async () => {
    const { world } = await begun();
    await stand.paid(4, 1);
    const height = world.chain.height + NOTICE_BLOCKS;
    expect((await stand.say('maker', contractEnd))['refused']).toContain('--yes');
    const ended = await stand.say('maker', contractEnd, '--yes');
    expect(ended).toMatchObject({ ends: { maker: { height, counts: true }, miner: null } });
    const [end, ...more] = await noticesOf('miner');
    expect(more).toEqual([]);
    expect(end).toMatchObject({ event: 'LogEnd', by: 'sender', end_height: height });
    expect(end!['signatures']).toEqual({ sender: expect.stringMatching(/^[0-9a-f]{128}$/) });

    expect((await stand.say('miner', contractVoid, '--dry-run'))['written_off_sat']).toBe('0');
    expect(miner().stream).toBe('live');
    await stand.say('miner', contractVoid, '--yes');
    await until('ending', () => miner().stream !== 'live');
    expect((await noticesOf('miner')).at(-1)).toMatchObject({
      ...{ event: 'LogVoid', by: 'recipient', written_off_sat: '0' },
    });
  });
});

describe('commands that change terms', () => {
  it('propose an update, show it, take it back or confirm it', async () => {
    const { world } = await begun();
    const price = ['--price', '5 sat/EH'];
    expect((await stand.say('miner', contractUpdate))['refused']).toContain('say what changes');
    const dry = await stand.say('miner', contractUpdate, ...price, '--dry-run');
    expect(dry).toMatchObject({ dry_run: true, pending: null });
    await stand.say('miner', contractUpdate, ...price, '--yes');
    const waits = await stand.say('maker', contractUpdates);
    expect(waits).toMatchObject({ agreed: [], pending: { by: 'peer', price_msat_per_eh: '5000' } });
    expect((await stand.say('miner', contractConfirm, '--yes'))['refused']).toContain('update_unknown');
    await stand.say('maker', contractRevoke);
    expect(await stand.say('miner', contractUpdates)).toMatchObject({ pending: null, revoked: [{}] });

    await stand.say('maker', contractUpdate, '--step', '128 H', '--yes');
    const confirmed = await stand.say('miner', contractConfirm, '--yes');
    expect(confirmed).toMatchObject({ agreed: [{}], step_hashes: '128' });
    await until('both', () => world.maker.updatesOf(world.contractId).state.terms !== world.proposed);
    const asked = await stand.say('maker', contractStream, '--ask');
    expect(asked).toMatchObject({ differences: [], rate: { interval_hashes: '128' }, updates: 1 });
  });
});
