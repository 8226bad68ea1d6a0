import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { targetOfCompact, targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import { BIP323_VERSION_MASK, rolledVersion, upstreamVersion } from '../../src/stratum/version-rolling.ts';
import { VersionReadingTracker } from '../../src/upstream/version-reading.ts';
import { blockVector, blockVectors } from '../vectors.ts';
import { Driver, MASK } from './driver.ts';
import { call, hashOfShare, notify, shareOf, stratumPrevHash } from './work.ts';

describe('handshake', () => {
  it('is configure, subscribe, authorize', () => {
    const driver = new Driver().up();
    expect(driver.sent).toEqual([
      {
        id: 1,
        method: 'mining.configure',
        params: [
          ['version-rolling'],
          { 'version-rolling.mask': '1fffe000', 'version-rolling.min-bit-count': 2 },
        ],
      },
      { id: 2, method: 'mining.subscribe', params: ['test/1'] },
      { id: 3, method: 'mining.authorize', params: ['me.1', 'x'] },
    ]);
    expect(driver.session.versionMask).toBe(MASK);
    expect(driver.effects.filter((effect) => effect.type === 'up')).toHaveLength(1);
  });

  it('writes min-bit-count as eight hex digits for Braidpool', () => {
    const driver = new Driver({ profile: 'braidpool' }).start();
    expect(driver.last.params).toHaveLength(2);
    expect(driver.last.params[1]).toMatchObject({ 'version-rolling.min-bit-count': '00000002' });
  });

  it('leaves configure out when no bits are wanted, and then sends five params', () => {
    const driver = new Driver({ versionMask: 0 }).up().line(call('mining.set_version_mask', ['1fffe000']));
    expect(driver.sent.map((request) => request.method)).toEqual(['mining.subscribe', 'mining.authorize']);
    driver.line(notify()).submit(driver.job);
    expect(driver.last.params).toHaveLength(5);
  });

  it.each([
    ['an error', null, [20, 'unsupported', null]],
    ['false', false, null],
    ['false for the extension', { 'version-rolling': false }, null],
    ['a reason for the extension', { 'version-rolling': 'not supported' }, null],
  ])('goes on without version rolling after %s', (_what, result, error) => {
    const driver = new Driver().start().reply(result, error);
    expect(driver.last.method).toBe('mining.subscribe');
    driver.reply([[], '00', 8]).reply(true).line(notify());
    expect(driver.job.versionMask).toBe(0);
    expect(driver.submit(driver.job).last.params).toHaveLength(5);
  });

  it('goes on after silence to configure, and takes a late grant', () => {
    const driver = new Driver().start().after(9_999);
    expect(driver.last.method).toBe('mining.configure');
    driver.after(1);
    expect(driver.last.method).toBe('mining.subscribe');
    driver.line(
      '{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"},"error":null}',
    );
    expect(driver.session.versionMask).toBe(MASK);
    expect(driver.session.phase).toBe('subscribe');
  });

  it.each([
    ['1fffe000', MASK],
    ['536862720', MASK],
    [MASK, MASK],
    ['8192', 0x2000],
  ])('rolls the bits that are granted as %j', (text, mask) => {
    const driver = new Driver().start().reply({ 'version-rolling': true, 'version-rolling.mask': text });
    expect(driver.session.versionMask).toBe(mask);
    expect(driver.effects).toContainEqual({ type: 'mask', mask });
  });

  it('says so when a mask cannot be read, and when none is granted', () => {
    const driver = new Driver().start();
    driver.reply({ 'version-rolling': true, 'version-rolling.mask': 'all' });
    expect(driver.stats.garbageLines).toBe(1);
    expect(driver.effects).toContainEqual({
      type: 'dropped',
      why: expect.stringContaining('version mask') as string,
      sample: '{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"all"},"error":null}',
    });
    const other = new Driver().start().reply({ 'version-rolling': false });
    expect(other.effects).toContainEqual({ type: 'mask', mask: undefined });
  });

  it('waits for a slow authorize as long as it is told to', () => {
    const driver = new Driver({ versionMask: 0, requestTimeoutMs: 45_000 }).start().reply([[], '00', 8]);
    driver.after(44_999);
    expect(driver.closed).toBeUndefined();
    driver.reply(true);
    expect(driver.session.phase).toBe('up');
  });

  it('ends when it is authorised and gets no work, however often the pool says something', () => {
    const driver = new Driver({ versionMask: 0, silenceMs: 60_000 }).up('00', null);
    for (let second = 0; second < 59; second += 1)
      driver.line(call('mining.set_difficulty', [second + 1])).after(1_000);
    expect(driver.closed).toBeUndefined();
    driver.line(call('mining.ping', [])).after(1_000);
    expect(driver.closed).toMatchObject({
      code: 'upstream_timeout',
      detail: 'authorised, and sends no work',
    });
    const served = new Driver({ versionMask: 0, silenceMs: 60_000 }).up('00', null).line(notify());
    for (let second = 0; second < 90; second += 1) served.line(call('mining.ping', [])).after(1_000);
    expect(served.closed).toBeUndefined();
  });

  it('counts what it drops, and shows how it looked', () => {
    const driver = new Driver().up().line('{"id":null,"method":"mining.notify","params":["only"]}');
    driver.line(`{"id":null,"method":"mining.set_goal","params":["${'x'.repeat(400)}"]}`);
    expect(driver.stats).toMatchObject({ garbageLines: 1, unknownMethods: 1 });
    const dropped = driver.effects.filter((effect) => effect.type === 'dropped');
    expect(dropped.map(({ why }) => why)).toEqual([
      expect.stringContaining('branches'),
      'unknown method mining.set_goal',
    ]);
    expect(dropped[0]!.sample).toBe('{"id":null,"method":"mining.notify","params":["only"]}');
    expect(dropped[1]!.sample).toHaveLength(200);
  });

  it('never takes more version bits than it asked for', () => {
    const driver = new Driver().up('00', '5fffe000').line(notify());
    expect(driver.job.versionMask).toBe(MASK);
  });

  it.each(['subscribe', 'authorize'] as const)('ends after silence to %s', (phase) => {
    const driver = new Driver({ versionMask: 0 }).start();
    if (phase === 'authorize') driver.reply([[], '00', 8]);
    driver.after(10_000);
    expect(driver.closed).toMatchObject({
      code: 'upstream_timeout',
      detail: `no answer to mining.${phase}`,
    });
  });

  it.each([
    ['false', false, null],
    ['an error', null, [24, 'Unauthorized worker', null]],
    ['null', null, null],
  ])('ends when authorize is answered with %s', (_what, result, error) => {
    const driver = new Driver({ versionMask: 0 }).start().reply([[], '00', 8]).reply(result, error);
    expect(driver.closed).toMatchObject({ code: 'upstream_refused' });
  });

  it('ends when the subscribe reply is no extranonce', () => {
    const driver = new Driver({ versionMask: 0 }).start().reply([[], '00', 0]);
    expect(driver.closed).toMatchObject({ code: 'upstream_protocol' });
  });

  it('keeps work that comes before the authorize reply', () => {
    const driver = new Driver({ versionMask: 0 }).start();
    driver.line(call('mining.set_difficulty', [64])).line(notify({ jobId: 'a', clean: true }));
    driver.reply([[], '0102', 4]).line(notify({ jobId: 'b' }));
    expect(driver.jobs).toEqual([]);
    driver.line('{"id":2,"result":true,"error":null}');
    expect(driver.jobs).toHaveLength(1);
    expect(driver.job).toMatchObject({ upstreamJobId: 'b', clean: true, extranonce2Size: 4 });
    expect(driver.job.target).toBe(targetOfDifficulty(64));
  });
});

describe('work', () => {
  it('rebuilds the header of real blocks', () => {
    const blocks = blockVectors();
    expect(blocks.length).toBeGreaterThan(3);
    for (const block of blocks) {
      const driver = new Driver({ shareTarget: 'network' }).up(block.extranonce1);
      driver.line(call('mining.notify', block.notify));
      const [, , extranonce2, ntime, nonce] = block.submit;
      const share = shareOf(driver.job, {
        extranonce2: fromHex(extranonce2),
        ntime: Number.parseInt(ntime, 16),
        nonce: Number.parseInt(nonce, 16),
        versionBits: driver.job.version & MASK,
      });
      expect(hashOfShare(share)).toBe(block.hash);
      expect(targetToHex(driver.job.target)).toBe(block.target);
      expect(stratumPrevHash(driver.job)).toBe(block.notify[1]);
    }
  });

  it('rebuilds and submits block 413567', () => {
    const vector = blockVector('block 413567');
    const driver = new Driver({ versionMask: 0 }).up(vector.extranonce1);
    driver.line(call('mining.notify', vector.notify));
    const share = shareOf(driver.job, {
      extranonce2: fromHex(vector.submit[2]),
      ntime: Number.parseInt(vector.submit[3], 16),
      nonce: Number.parseInt(vector.submit[4], 16),
    });
    expect(hashOfShare(share)).toBe(vector.hash);
    driver.submit(driver.job, share);
    expect(driver.last.params).toEqual(['me.1', ...vector.submit.slice(1)]);
  });

  it('lets a difficulty bite at the next notify', () => {
    const driver = new Driver().up().line(call('mining.set_difficulty', [1.5]));
    driver.line(notify({ jobId: 'a' })).line(call('mining.set_difficulty', [1000]));
    expect(driver.job.target).toBe(targetOfDifficulty(1.5));
    expect(driver.session.difficulty).toBe(1.5);
    driver.line(notify({ jobId: 'b' }));
    expect(driver.job.target).toBe(targetOfDifficulty(1000));
    driver.line(call('mining.set_difficulty', [1000]));
    expect(driver.effects.filter((effect) => effect.type === 'difficulty')).toHaveLength(2);
  });

  it('without a difficulty wants difficulty 1, or block solutions from Braidpool', () => {
    const bits = '18058436';
    expect(new Driver().up().line(notify({ bits })).job.target).toBe(targetOfDifficulty(1));
    const braidpool = new Driver({ profile: 'braidpool' }).up().line(notify({ bits }));
    expect(braidpool.job.target).toBe(targetOfCompact(0x18058436));
    braidpool.line(call('mining.set_difficulty', [64])).line(notify({ bits, jobId: '2' }));
    expect(braidpool.job.target).toBe(targetOfDifficulty(64));
  });

  it('infers clean from the prevhash', () => {
    const driver = new Driver().up();
    driver.line(notify({ jobId: '1' })).line(notify({ jobId: '2' }));
    driver.line(notify({ jobId: '3', prevHash: 'ef'.repeat(32) }));
    driver.line(notify({ jobId: '4', prevHash: 'ef'.repeat(32), clean: true }));
    expect(driver.jobs.map((job) => job.clean)).toEqual([true, false, true, true]);
  });

  it('gives a repeated notify out once, and again once something changed', () => {
    const driver = new Driver().up().line(notify()).line(notify());
    expect(driver.jobs).toHaveLength(1);
    expect(driver.stats.repeatedJobs).toBe(1);
    driver.line(call('mining.set_difficulty', [8])).line(notify());
    expect(driver.jobs).toHaveLength(2);
  });

  it('applies set_extranonce from the next notify, even under the same job id', () => {
    const driver = new Driver().up('0a0b0c0d').line(notify());
    driver.line(call('mining.set_extranonce', ['ffee', 4])).after(60_000);
    expect(driver.jobs).toHaveLength(1);
    driver.line(notify());
    expect(driver.jobs).toHaveLength(2);
    expect(driver.job).toMatchObject({ upstreamJobId: '1', clean: true, extranonce2Size: 4 });
    expect(toHex(driver.job.extranonce1)).toBe('ffee');
    expect(driver.session.extranonce).toMatchObject({ extranonce2Size: 4 });
    driver.submit(driver.jobs[0]!);
    expect(driver.last.params[2]).toBe('00'.repeat(8));
  });

  it('gives the last job out again when Braidpool changes the extranonce and sends no work', () => {
    const driver = new Driver({ profile: 'braidpool' }).up().line(notify());
    driver.line(call('mining.set_extranonce', ['ffee', 1])).after(249);
    expect(driver.jobs).toHaveLength(1);
    driver.after(1).after(1_000);
    expect(driver.jobs).toHaveLength(2);
    expect(driver.job).toMatchObject({ upstreamJobId: '1', clean: true, extranonce2Size: 1 });
    driver.line(call('mining.set_extranonce', ['eeff', 1])).line(notify({ jobId: '2', clean: true }));
    driver.after(1_000).after(1_000);
    expect(driver.jobs).toHaveLength(3);
    expect(driver.stats).toMatchObject({ repeatedJobs: 0, extranonceChanges: 2 });
  });

  it('applies a version mask at once, and takes bits back from work that is out', () => {
    const driver = new Driver().up().line(notify());
    driver.line(call('mining.set_version_mask', ['00ffe000']));
    expect(driver.jobs.map((job) => [job.versionMask, job.clean])).toEqual([
      [MASK, true],
      [0x00ffe000, true],
    ]);
    driver.line(call('mining.set_version_mask', ['ffffffff']));
    expect(driver.jobs).toHaveLength(2);
    expect(driver.line(notify({ jobId: '2' })).job.versionMask).toBe(MASK);
  });

  it('answers get_version and ping with their id', () => {
    const driver = new Driver().up();
    driver.line('{"id":"v","method":"client.get_version","params":[]}');
    expect(driver.last).toEqual({ id: 'v', result: 'test/1', error: null });
    driver.line('{"id":77,"method":"mining.ping","params":[]}');
    expect(driver.last).toEqual({ id: 77, result: 'pong', error: null });
  });

  it('asks for a sign of life from Braidpool, never from a pool', () => {
    const braidpool = new Driver({ profile: 'braidpool' }).up().line(notify()).after(90_000);
    expect(braidpool.last.method).toBe('mining.extranonce.subscribe');
    braidpool.after(89_000);
    expect(braidpool.sent).toHaveLength(4);
    braidpool.reply(null, 'InvalidMethod').after(89_000);
    expect(braidpool.closed).toBeUndefined();
    expect(braidpool.stats.unknownReplies).toBe(0);
    expect(new Driver().up().after(179_999).sent).toHaveLength(3);
  });

  it('takes a silent connection for dead', () => {
    const driver = new Driver().up().line(notify()).after(179_999);
    expect(driver.closed).toBeUndefined();
    expect(driver.after(1).closed).toMatchObject({ code: 'upstream_timeout' });
    expect(driver.line(notify({ jobId: '2' })).jobs).toHaveLength(1);
  });

  it('survives some garbage, not all', () => {
    const driver = new Driver().up();
    for (let line = 1; line < LIMITS.upstreamGarbageLines; line += 1) driver.line('GET / HTTP/1.1');
    expect(driver.closed).toBeUndefined();
    driver.line('');
    expect(driver.line(notify()).jobs).toHaveLength(1);
    expect(driver.line('{}').closed).toMatchObject({ code: 'upstream_protocol' });
    expect(driver.stats.garbageLines).toBe(LIMITS.upstreamGarbageLines);
  });
});

describe('shares', () => {
  it.each([
    ['true', '"result":true,"error":null', 'accepted', undefined, ''],
    ['a code', '"result":null,"error":[23,"low difficulty",null]', 'refused', 23, 'low difficulty'],
    ['a string', '"result":null,"error":"HashMismatch"', 'refused', undefined, 'HashMismatch'],
    ['false', '"result":false,"error":null', 'refused', undefined, 'refused without a reason'],
    ['null', '"result":null,"error":null', 'refused', undefined, 'refused without a reason'],
    [
      'a reject-reason',
      '"result":false,"error":null,"reject-reason":"Stale"',
      'refused',
      undefined,
      'Stale',
    ],
    ['an object', '"result":null,"error":{"code":21,"message":"gone"}', 'refused', 21, 'gone'],
    ['true with an error', '"result":true,"error":[20,"no"]', 'refused', 20, 'no'],
  ] as const)('are judged by %s', (_what, body, outcome, code, reason) => {
    const driver = new Driver().up().line(notify());
    driver.submit(driver.job);
    driver.nowMs += 40;
    driver.line(`{"id":${driver.last.id},${body}}`);
    expect(driver.verdicts).toEqual([{ outcome, code, reason, rttMs: 40 }]);
    expect(driver.stats[outcome]).toBe(1);
    driver.line(`{"id":${driver.last.id},${body}}`);
    expect(driver.verdicts).toHaveLength(1);
    expect(driver.stats.unknownReplies).toBe(1);
  });

  it('time out, each by its own age', () => {
    const driver = new Driver().up().line(notify());
    driver.submit(driver.job).after(20_000).submit(driver.job).after(10_000);
    expect(driver.verdicts.map((verdict) => verdict.outcome)).toEqual(['timeout']);
    driver.line(notify({ jobId: '2' })).after(20_000);
    expect(driver.stats).toMatchObject({ timeout: 2, lost: 0 });
    expect(driver.session.sharesInFlight).toBe(0);
  });

  it('are lost before the handshake, at the end, and for work of another connection', () => {
    const driver = new Driver().up('aaaa').line(notify());
    const other = new Driver().up('bbbb').line(notify());
    other.submit(driver.job);
    expect(other.verdicts).toEqual([
      { outcome: 'lost', code: undefined, reason: 'upstream_closed', rttMs: undefined },
    ]);
    new Driver().start().submit(driver.job).take([]);
    driver.submit(driver.job).submit(driver.job).take(driver.session.closed());
    expect(driver.stats.lost).toBe(2);
    expect(driver.session.closed()).toEqual([]);
    driver.submit(driver.job);
    expect(driver.stats.lost).toBe(3);
  });

  it('go to a new connection that was given the same extranonce1', () => {
    const before = new Driver().up('aaaa').line(notify());
    const after = new Driver().up('aaaa').submit(before.job);
    expect(after.last.method).toBe('mining.submit');
  });

  it('make room for the newest when too many are unanswered', () => {
    const driver = new Driver().up().line(notify());
    for (let nonce = 0; nonce <= LIMITS.upstreamSharesInFlight; nonce += 1)
      driver.submit(driver.job, { nonce });
    expect(driver.session.sharesInFlight).toBe(LIMITS.upstreamSharesInFlight);
    expect(driver.verdicts).toMatchObject([{ outcome: 'lost', reason: 'overload' }]);
    expect(driver.stats).toMatchObject({ lost: 1, evicted: 1 });
    expect(driver.last.params[4]).toBe(LIMITS.upstreamSharesInFlight.toString(16).padStart(8, '0'));
  });

  it('carry version bits that every reading turns into the version that was hashed', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const reading = fc.constantFrom('replace', 'xor', 'or');
    fc.assert(
      fc.property(reading, u32, u32, u32, (versionReading, version, anyMask, roll) => {
        // Eight digits are hex where they keep to these bits; of others some are read as decimal.
        const mask = anyMask & BIP323_VERSION_MASK;
        const hex = (value: number): string => value.toString(16).padStart(8, '0');
        const driver = new Driver({
          reading: new VersionReadingTracker(versionReading),
          versionMask: 0xffffffff,
        }).up('00', hex(mask));
        driver.line(notify({ version: hex(version) }));
        const { job } = driver;
        const versionBits = (roll & job.versionMask) >>> 0;
        driver.submit(job, { versionBits });
        const bits = Number.parseInt(String(driver.last.params[5]), 16);
        const hashed = rolledVersion(version, job.versionMask, versionBits);
        expect(upstreamVersion(versionReading, version, mask, bits)).toBe(hashed);
        expect(bits & ~mask).toBe(0);
      }),
    );
  });
});

describe('any upstream', () => {
  const line = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('reply', 'refuse', 'notify', 'clean') },
    fc.constantFrom(
      call('mining.set_difficulty', [2]),
      call('mining.set_difficulty', ['x']),
      call('mining.set_extranonce', ['aa', 3]),
      call('mining.set_version_mask', ['00002000']),
      call('client.reconnect', []),
      '{"id":1,"result":{"version-rolling":true,"version-rolling.mask":"1fffe000"}}',
      '{"id":2,"result":[[],"0a",8],"error":null}',
      '{"id":3,"result":true}',
      'garbage',
    ),
    fc.string({ maxLength: 20 }),
  );
  const step = fc.oneof(
    { weight: 3, arbitrary: line },
    fc.constantFrom(5_000, 30_000),
    fc.constant('submit' as const),
  );

  it('gives every submitted share exactly one verdict, and bounded work', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('generic' as const, 'braidpool' as const),
        fc.array(step, { maxLength: 80 }),
        (profile, steps) => {
          const driver = new Driver({ profile }).start();
          let submitted = 0;
          let jobId = 0;
          for (const what of steps) {
            if (typeof what === 'number') driver.after(what);
            else if (what === 'submit') {
              if (driver.jobs.length === 0) continue;
              submitted += 1;
              driver.submit(driver.jobs[submitted % driver.jobs.length]!);
            } else if (what === 'reply') driver.reply(true);
            else if (what === 'refuse') driver.reply(false);
            else if (what === 'notify' || what === 'clean')
              driver.line(notify({ jobId: `${jobId++}`, clean: what === 'clean' }));
            else driver.line(what);
          }
          driver.take(driver.session.closed());
          const { accepted, refused, timeout, lost } = driver.stats;
          expect(driver.verdicts).toHaveLength(submitted);
          expect(accepted + refused + timeout + lost).toBe(submitted);
          expect(driver.effects.filter((effect) => effect.type === 'close').length).toBeLessThan(2);
          expect(driver.session.sharesInFlight).toBe(0);
        },
      ),
      { numRuns: 300 },
    );
  });
});
