import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { targetOfDifficulty, workOfTarget } from '../../src/bitcoin/target.ts';
import { openSqliteLedger } from '../../src/ledger/sqlite-ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';
import { temporaryDirectory } from '../ledger/temporary.ts';
import { HARD, type Line, paramsOf, type TestMiner, until } from './harness.ts';
import {
  codesOf,
  everyShare,
  SHARE_DIFFICULTY,
  Stand,
  type StandOptions,
  solve,
  stopStands,
} from './stand.ts';

afterEach(stopStands);

const TARGET = targetOfDifficulty(SHARE_DIFFICULTY);
const ONE_SHARE = { seq: 1, workHashes: workOfTarget(TARGET) };
const WORK = plainWork(1, HARD);
const files = temporaryDirectory();

type Mining = {
  readonly miner: TestMiner;
  readonly notify: Line;
  readonly extranonce1: string;
  readonly session: string;
};

/** A miner that rolls versions and has work. */
async function startMining(stand: Stand, session?: string): Promise<Mining> {
  const miner = stand.miner();
  const options = { 'version-rolling.mask': '00ffe000' };
  miner.send({ id: 0, method: 'mining.configure', params: [['version-rolling'], options] });
  const started = await miner.start('rig.1', 'x', session);
  return {
    miner,
    notify: started.lines.at(-1)!,
    extranonce1: started.extranonce1,
    session: started.session,
  };
}

/** One share found and credited. */
async function credited(setup: StandOptions = {}, bits?: string) {
  const stand = await Stand.start(setup);
  stand.give(WORK);
  const mining = await startMining(stand);
  const wanted = { target: TARGET, ...(bits === undefined ? {} : { bits }) };
  const share = solve(mining.notify, mining.extranonce1, wanted);
  expect(await codesOf(mining.miner, [share])).toEqual([0]);
  expect(stand.total()).toEqual(ONE_SHARE);
  return { stand, share, ...mining };
}

describe('acceptance case 2: a share is credited once', () => {
  const spellings: readonly [rule: string, respelt: (share: string[]) => unknown[], code: number][] = [
    ['as it was', (share) => share, 22],
    ['with extranonce2 in upper case', (share) => share.with(2, share[2]!.toUpperCase()), 22],
    ['with ntime and nonce in upper case', (share) => share.map((text, at) => upper(text, at)), 22],
    ['with a nonce without its leading zeros', (share) => share.with(4, share[4]!.replace(/^0+/, '')), 22],
    ['with a nonce padded to more', (share) => share.with(4, `0${share[4]!}`), 20],
    ['with extranonce2 padded to more', (share) => share.with(2, `00${share[2]!}`), 20],
    ['with extranonce2 without its leading zeros', (share) => share.with(2, share[2]!.slice(2)), 20],
    ['with version bits of zero', (share) => [...share, '00000000'], 22],
    ['with version bits that are short', (share) => [...share, '0'], 22],
    ['with version bits that are null', (share) => [...share, null], 22],
    ['with version bits outside of the mask', (share) => [...share, '01000000'], 20],
    ['with the sign bit of the version', (share) => [...share, '80000000'], 20],
    ['with the bits the version has already', (share) => [...share, '20000000'], 20],
    ['with the job id in another spelling', (share) => share.with(1, `0${share[1]!}`), 21],
    ['with the job id in upper case', (share) => share.with(1, `${share[1]!}A`), 21],
    ['with escapes in the strings', (share) => share, 22],
  ];
  it.each(spellings)('%s', async (how, respelt, code) => {
    const { stand, share, miner } = await credited();
    if (how.includes('escapes')) {
      const [worker, job, ...rest] = share;
      const escaped = worker!.replaceAll(/./g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`);
      const params = [`"${escaped}"`, ...[job, ...rest].map((text) => `"${text}"`)].join(' ,\t');
      miner.raw(`\t{"params":[${params}],"method":"mining\\u002esubmit" , "id":"s0"}\r\n`);
      expect(await miner.next()).toMatchObject({ id: 's0', error: [code, 'duplicate', null] });
    } else expect(await codesOf(miner, [respelt(share)])).toEqual([code]);
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('whichever way the rolled bits are written', async () => {
    const { stand, share, miner } = await credited({}, '00402000');
    const spelt = ['00402000', '402000', '20402000', '00402001', '00c02000'].map((bits) =>
      share.with(5, bits),
    );
    expect(await codesOf(miner, [...spelt, share.slice(0, 5)])).toEqual([22, 22, 20, 20, 23, 23]);
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('when it comes many times in one packet, and again while it is written', async () => {
    const stand = await Stand.start();
    stand.give(WORK);
    const { miner, notify, extranonce1 } = await startMining(stand);
    const share = solve(notify, extranonce1, { target: TARGET });
    const codes = await codesOf(miner, new Array<string[]>(50).fill(share));
    expect(codes.filter((code) => code === 0)).toHaveLength(1);
    expect(new Set(codes)).toEqual(new Set([0, 22]));
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('when the same job comes again after another block, A, B, A', async () => {
    const { stand, share, miner, extranonce1 } = await credited();
    const again = async (afterMs: number): Promise<string[]> => {
      stand.give(plainWork(2, HARD));
      stand.clock.advance(afterMs);
      stand.sweep();
      stand.clock.advance(6_000);
      stand.sweep();
      expect(stand.jobs.hasPrevHash(WORK.prevHash)).toBe(false);
      const job = stand.give(WORK);
      expect(await miner.until('method', 'mining.notify')).not.toEqual([]);
      return share.with(1, job.wireId);
    };
    for (const afterMs of [61_000, 120_000]) {
      const share = await again(afterMs);
      expect(await codesOf(miner, [share])).toEqual([22]);
    }
    expect(stand.total()).toEqual(ONE_SHARE);
    expect(extranonce1).not.toBe('');
  });

  it('for another worker of the same connection', async () => {
    const { stand, share, miner } = await credited();
    miner.send({ id: 9, method: 'mining.authorize', params: ['rig.2', 'x'] });
    await miner.until('id', 9);
    expect(await codesOf(miner, [share.with(0, 'rig.2'), share.with(0, 'thief')])).toEqual([22, 24]);
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('on two connections, whose extranonces are disjoint', async () => {
    const { stand, share, extranonce1 } = await credited();
    const other = await startMining(stand);
    expect(other.extranonce1).not.toBe(extranonce1);
    expect(await codesOf(other.miner, [share])).toEqual([23]);
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('as two jobs of the same work', async () => {
    const { stand, share, miner } = await credited();
    const later = stand.give({ ...WORK, time: WORK.time - 10 });
    const kept = stand.jobs.refresh('pool', stand.clock.monotonicMs())!;
    await miner.until('method', 'mining.notify');
    expect(await codesOf(miner, [share.with(1, later.wireId), share.with(1, kept.wireId)])).toEqual([
      22, 21,
    ]);
    stand.give(WORK, 'backup');
    stand.server.assign('all', 'backup');
    const [moved] = await miner.until('method', 'mining.notify');
    expect(await codesOf(miner, [share.with(1, paramsOf(moved)[0] as string)])).toEqual([22]);
    expect([stand.total(), stand.total('own:backup').seq]).toEqual([ONE_SHARE, 0]);
  });

  it('after a reconnect, with and without a resume', async () => {
    const { stand, share, miner, session, extranonce1 } = await credited();
    miner.destroy();
    await until(() => stand.server.sessionCount === 0);
    const fresh = await startMining(stand);
    expect(fresh.extranonce1).not.toBe(extranonce1);
    expect(await codesOf(fresh.miner, [share])).toEqual([23]);
    const again = await startMining(stand, session);
    expect(again.extranonce1).toBe(extranonce1);
    const respelt = share.with(1, paramsOf(again.notify)[0] as string);
    expect(await codesOf(again.miner, [share, respelt])).toEqual([22, 20]);
    stand.clock.advance(10_000);
    stand.server.tick();
    const takeover = await startMining(stand, session);
    expect(takeover.extranonce1).toBe(extranonce1);
    expect(await codesOf(takeover.miner, [share])).toEqual([22]);
    expect(stand.total()).toEqual(ONE_SHARE);
  });

  it('when a queued share comes after the resume, as cgminer sends it', async () => {
    const { stand, notify, miner, session, extranonce1 } = await credited();
    const queued = solve(notify, extranonce1, { target: TARGET, extranonce2: 'cdcdcdcd' });
    miner.destroy();
    await until(() => stand.server.sessionCount === 0);
    const again = await startMining(stand, session);
    expect(await codesOf(again.miner, [queued, queued])).toEqual([0, 22]);
    expect(stand.total()).toEqual({ seq: 2, workHashes: 2n * ONE_SHARE.workHashes });
  });

  it('after a restart that gives the same work to the same extranonce', async () => {
    const path = files.file('ledger.sqlite');
    const open = () => openSqliteLedger({ path }, { log: silentLogger, clock: new ManualClock() });
    const before = await open();
    const { stand, share, extranonce1 } = await credited({ ledger: before });
    await stand.close();
    await before.close();

    const ledger = await open();
    const after = await Stand.start({ ledger, table: { run: 2 } });
    expect(after.total()).toEqual(ONE_SHARE);
    after.give(WORK);
    const { miner, notify, extranonce1: same } = await startMining(after);
    expect(same).toBe(extranonce1);
    const respelt = share.with(1, paramsOf(notify)[0] as string);
    expect(await codesOf(miner, [share, respelt])).toEqual([21, 22]);
    expect(after.total()).toEqual(ONE_SHARE);
    await after.close();
    await ledger.close();
  });
});

function upper(text: string, at: number): string {
  return at >= 3 ? text.toUpperCase() : text;
}

/** All hashes of a run of nonces that meet a target, with what they meet. */
function shares(
  mining: Mining,
  count: number,
  target: bigint,
): { params: string[]; extranonce2: string }[] {
  return Array.from({ length: count }, (_, index) => {
    const extranonce2 = index.toString(16).padStart(8, '0');
    return { params: solve(mining.notify, mining.extranonce1, { target, extranonce2 }), extranonce2 };
  });
}

describe('acceptance case 3: credit is the difficulty that was checked', () => {
  it('not that of the hash, not that of the next job, not what the miner asks for', async () => {
    const stand = await Stand.start({ options: wide() });
    stand.give(WORK);
    const mining = await startMining(stand);
    const [lucky] = shares(mining, 1, TARGET / 64n);
    const rest = shares(mining, 6, TARGET).slice(1);
    mining.miner.send({ id: 7, method: 'mining.suggest_difficulty', params: [SHARE_DIFFICULTY * 4] });
    await mining.miner.until('id', 7);
    expect(await codesOf(mining.miner, [lucky!.params])).toEqual([0]);
    stand.give({ ...WORK, coinb2: Uint8Array.of(9) });
    const lines = await mining.miner.until('method', 'mining.notify');
    expect(paramsOf(lines.at(-2))).toEqual([SHARE_DIFFICULTY * 4]);
    expect(
      await codesOf(
        mining.miner,
        rest.map(({ params }) => params),
      ),
    ).toEqual([0, 0, 0, 0, 0]);
    expect(stand.total().workHashes).toBe(6n * ONE_SHARE.workHashes);
    const next = { ...mining, notify: lines.at(-1)! };
    const harder = targetOfDifficulty(SHARE_DIFFICULTY * 4);
    const between = solve(next.notify, next.extranonce1, { target: TARGET, above: harder });
    const enough = solve(next.notify, next.extranonce1, { target: harder });
    expect(await codesOf(mining.miner, [between, enough])).toEqual([23, 0]);
    expect(stand.total().workHashes).toBe(6n * ONE_SHARE.workHashes + workOfTarget(harder));
  });

  it('cannot be chosen after the hash: the same work has one difficulty', async () => {
    const stand = await Stand.start({ options: wide() });
    stand.give(WORK);
    const { miner, notify, extranonce1 } = await startMining(stand);
    const harder = targetOfDifficulty(SHARE_DIFFICULTY * 8);
    const [good, poor] = ['6553f110', '6553f111'].map((ntime, index) =>
      solve(notify, extranonce1, {
        ntime,
        target: index === 0 ? harder : TARGET,
        above: index === 0 ? -1n : harder,
      }),
    ) as [string[], string[]];
    miner.send({ id: 7, method: 'mining.suggest_difficulty', params: [SHARE_DIFFICULTY * 8] });
    await miner.until('id', 7);
    stand.clock.advance(10_000);
    const repeat = stand.give({ ...WORK, time: WORK.time + 10 });
    expect(await miner.until('method', 'mining.notify')).toHaveLength(1);
    expect(await codesOf(miner, [good.with(1, repeat.wireId), poor])).toEqual([0, 0]);
    expect(stand.total().workHashes).toBe(2n * ONE_SHARE.workHashes);
  });

  it('adds up to the hashes that were made, however the difficulty moves', async () => {
    const stand = await Stand.start({ options: wide() });
    stand.give(WORK);
    const mining = await startMining(stand);
    let notify = mining.notify;
    let difficulty = SHARE_DIFFICULTY;
    let hashes = 0;
    let variance = 0;
    for (let round = 0; round < 24; round += 1) {
      const target = targetOfDifficulty(difficulty);
      const found = everyShare(notify, mining.extranonce1, { target }, 8192);
      hashes += 8192;
      variance += 8192 * Number(workOfTarget(target));
      const wish = SHARE_DIFFICULTY * 2 ** ((round % 5) - 2);
      mining.miner.send({ id: 'wish', method: 'mining.suggest_difficulty', params: [wish] });
      const early = await codesOf(mining.miner, found.slice(0, found.length / 2));
      stand.give({ ...WORK, coinb2: Uint8Array.of(round) });
      const late = await codesOf(mining.miner, found.slice(found.length / 2));
      expect([...early, ...late].every((code) => code === 0)).toBe(true);
      const current = stand.jobs.current('pool')!;
      notify = notifyOf(current.wireId, notify, round);
      difficulty = stand.server.sessions()[0]!.difficulty;
    }
    const earned = Number(stand.total().workHashes);
    expect(Math.abs(earned - hashes)).toBeLessThan(4.5 * Math.sqrt(variance));
  });
});

function wide(): StandOptions['options'] & object {
  const difficulty = { sharesPerMinute: 12, start: SHARE_DIFFICULTY, floor: 2 ** -32, ceiling: 1 };
  return { listeners: [{ host: '127.0.0.1', port: 0, difficulty }] };
}

/** The job after `notify`, which differs in its last coinbase bytes alone. */
function notifyOf(jobId: string, notify: Line, coinb2: number): Line {
  return {
    ...notify,
    params: paramsOf(notify)
      .with(0, jobId)
      .with(3, toHex(Uint8Array.of(coinb2))),
  };
}
