import { afterEach, describe, expect, it } from 'vitest';
import { plainWork } from '../jobs/upstream-jobs.ts';
import {
  broadcast,
  DIFFICULTY,
  HARD,
  paramsOf,
  startServer,
  stopServers,
  submitOf,
  until,
  withWork,
} from './harness.ts';

afterEach(stopServers);

describe('jobs', () => {
  it('reach all sessions of the destination; only a change of difficulty is told', async () => {
    const test = await withWork();
    const [one, two] = [test.miner(), test.miner()];
    const [first, second] = [await one.start(), await two.start()];
    expect(first.extranonce1).not.toBe(second.extranonce1);
    const id = broadcast(test, 1, { clean: false });
    for (const miner of [one, two]) {
      const lines = await miner.until('method', 'mining.notify');
      expect(lines).toHaveLength(1);
      expect([paramsOf(lines[0])[0], paramsOf(lines[0])[8]]).toEqual([id, false]);
    }
  });

  it('of another connection wait until the shares in flight on this one are answered', async () => {
    const test = await withWork();
    const [miner, slow] = [test.miner(), test.miner()];
    for (const one of [miner, slow]) {
      const job = paramsOf((await one.start()).lines.at(-1))[0] as string;
      one.send(submitOf(1, job), submitOf(2, job, { nonce: '2' }));
    }
    await test.submitted(4);
    const sessions = test.server.sessions().map(({ id }) => test.server.session(id)!);
    for (const session of [...sessions, ...sessions]) test.server.reconnect(session);
    const [ours, theirs] = sessions;
    const outcomes = test.submissions.filter(({ session }) => session === ours);
    test.server.settle(outcomes[0]!, 'accepted');
    test.server.settle(outcomes[1]!, 'low_difficulty');
    test.server.flush();
    expect([await miner.next(), await miner.next(), await miner.next()]).toMatchObject([
      { id: 1, result: true },
      { id: 2, error: [23, 'low difficulty', null] },
      { method: 'client.reconnect' },
    ]);
    await miner.closed;
    // Answers that do not come are not waited for.
    expect(theirs!.isClosed).toBe(false);
    test.clock.advance(5_000);
    test.server.tick();
    await slow.closed;
    expect(test.server.stats.closed).toEqual({ moved: 2 });
  });

  for (const reconnectAtClose of [false, true])
    it(`end in a drain once shares are answered (told to come anew: ${reconnectAtClose})`, async () => {
      const test = await withWork({ options: { reconnectAtClose } });
      const miner = test.miner();
      const job = paramsOf((await miner.start()).lines.at(-1))[0] as string;
      miner.send(submitOf(1, job));
      await test.submitted(1);
      const drained = test.server.drain();
      expect(test.server.letGoCause).toBe('drained');
      // Another comes, and is not served.
      await test.miner().closed;
      expect(test.server.sessionCount).toBe(1);
      test.server.settle(test.submissions[0]!, 'accepted');
      test.server.flush();
      expect(await miner.next()).toMatchObject({ id: 1, result: true });
      if (reconnectAtClose) expect(await miner.next()).toMatchObject({ method: 'client.reconnect' });
      await miner.closed;
      await drained;
      expect(test.server.stats.closed).toEqual({ let_go: 1 });
      expect(test.server.stats.refusedLetGo).toBe(1);
    });

  it('of a range of session ids that is lost end, and others have ids of the next range', async () => {
    const test = await withWork();
    const before = test.miner();
    test.server.setSessionIds({ first: 0x01_00_00_00, count: 1024 }, false);
    const old = await before.start();
    expect(old.extranonce1.slice(0, 5)).toBe('01000');
    test.server.setSessionIds({ first: 0x7f_00_00_00, count: 1024 }, false);
    const next = test.miner();
    expect((await next.start()).extranonce1.slice(0, 5)).toBe('7f000');
    expect(test.server.sessionCount).toBe(2);
    test.server.setSessionIds(undefined, true);
    await Promise.all([before.closed, next.closed]);
    expect(test.server.stats.closed).toEqual({ moved: 2 });
  });

  it('follow a session to another destination by a plain clean notify', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const other = test.jobs.add(
      'backup',
      's',
      plainWork(7, { ...HARD, extranonce1: new Uint8Array(4) }),
      0,
    );
    test.jobs.add('backup', 's', plainWork(7, HARD), 0);
    const miner = test.miner();
    const { lines } = await miner.start();
    const [session] = test.server.sessions();
    test.server.assign(test.server.session(session!.id)!, 'backup');
    const moved = await miner.next();
    expect([paramsOf(moved)[0], paramsOf(moved)[8]]).toEqual([test.jobs.current('backup')!.wireId, true]);
    broadcast(test, 2);
    expect(await miner.settled()).toEqual([]);
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string), submitOf(2, other.wireId));
    expect((await miner.until('id', 2)).map((line) => line['result'])).toEqual([true, null]);
    expect(test.server.sessions()[0]!.destination).toBe('backup');
  });

  it('are made anew for a session that comes back to work it already had', async () => {
    const test = await withWork();
    test.jobs.add('backup', 's', plainWork(7, HARD), 0);
    const miner = test.miner();
    const first = paramsOf((await miner.start()).lines.at(-1));
    test.server.assign('all', 'backup');
    test.server.assign('all', 'pool');
    const [, back] = [await miner.next(), paramsOf(await miner.next())];
    expect(back[0]).not.toBe(first[0]);
    expect(Number.parseInt(back[7] as string, 16)).toBeGreaterThan(Number.parseInt(first[7] as string, 16));
    expect(back[8]).toBe(true);
  });

  it('carry the difficulty of vardiff, no earlier than the next of them', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start();
    const job = paramsOf(lines.at(-1))[0] as string;
    for (let id = 0; id < 60; id += 1) miner.send(submitOf(id, job, { nonce: id.toString(16) }));
    await miner.until('id', 59);
    test.clock.advance(10_000);
    test.server.tick();
    expect(await miner.settled()).toEqual([]);
    broadcast(test, 1, { coinb2: Uint8Array.of(7) });
    const after = await miner.until('method', 'mining.notify');
    expect(after.map((line) => line['method'])).toEqual(['mining.set_difficulty', 'mining.notify']);
    expect(paramsOf(after[0])[0]).toBeGreaterThan(8 * 1024);
    expect(test.server.stats.vardiffUp).toBe(1);
  });

  it('do not punish a miner for a time without work', async () => {
    const test = await withWork();
    const miner = test.miner();
    await miner.start();
    test.clock.advance(121_000);
    broadcast(test, 2);
    expect(await miner.until('method', 'mining.notify')).toHaveLength(1);
    test.clock.advance(119_000);
    broadcast(test, 3);
    const lines = await miner.until('method', 'mining.notify');
    expect(lines.map((line) => line['method'])).toEqual(['mining.set_difficulty', 'mining.notify']);
    expect(test.server.stats.vardiffDown).toBe(1);
  });

  it('move a session later when the destination has none yet', async () => {
    const test = await withWork();
    const miner = test.miner();
    await miner.start();
    test.jobs.add('backup', 's', plainWork(7, HARD), 0);
    test.jobs.endDestination('backup', 0);
    test.server.assign('all', 'backup');
    expect(await miner.settled()).toEqual([]);
    test.server.broadcast(test.jobs.add('backup', 's', plainWork(7, HARD), 0));
    expect(paramsOf(await miner.next())[8]).toBe(true);
  });
});

describe('limits', () => {
  it('close what does not speak Stratum, quietly', async () => {
    const test = await withWork();
    for (const bytes of ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', '\x16\x03\x01\x02\x00', 'hello\n']) {
      const miner = test.miner();
      miner.raw(bytes);
      await miner.closed;
    }
    expect(test.server.stats.closed.not_stratum).toBe(3);
    expect(test.server.sessionCount).toBe(0);
  });

  it('end an endless line with one error', async () => {
    const test = await withWork({ options: { lineBytes: 1024 } });
    const miner = test.miner();
    miner.raw(`{"id":1,"method":"${'x'.repeat(5000)}`);
    expect(await miner.next()).toEqual({ id: null, result: null, error: [20, 'line too long', null] });
    await miner.closed;
    expect(test.server.stats.limitHits.downstreamLineBytes).toBe(1);
  });

  it('answer bad lines and end the connection after too many', async () => {
    const test = await withWork({
      options: { sanctions: { resendAfter: 3, reconnectAfter: 3, banAfter: 3 } },
    });
    const miner = test.miner();
    miner.send('{"id":1,', '{"id":2,"method":"mining.suggest_difficulty","params":[-1]}', '{}');
    expect([(await miner.next())['id'], (await miner.next())['id']]).toEqual([null, 2]);
    await miner.closed;
    expect(test.server.stats.closed.banned).toBe(1);
  });

  it('bound connections in all and per address', async () => {
    const test = await withWork({ options: { sessionsPerAddress: 2 } });
    const miners = [test.miner(), test.miner()];
    for (const miner of miners) await miner.start();
    const third = test.miner();
    await third.closed;
    miners[0]!.destroy();
    await miners[0]!.closed;
    await until(() => test.server.sessionCount === 1);
    await test.miner().start();
    expect(test.server.stats.limitHits.sessionsPerAddress).toBe(1);
    const small = await withWork({ options: { sessions: 0 } });
    await small.miner().closed;
    expect(small.server.stats.limitHits.sessions).toBe(1);
  });

  it('end the session that is silent longest where there are too many', async () => {
    const test = await withWork({ options: { sessions: 2 } });
    const [old, young] = [test.miner(), test.miner()];
    await old.start();
    test.clock.advance(1_000);
    await young.start();
    await test.miner().closed;
    expect(test.server.sessionCount).toBe(2);
    test.clock.advance(10_000);
    await test.miner().start();
    await old.closed;
    expect(test.server.stats.closed.session_limit).toBe(1);
    expect(test.server.sessionCount).toBe(2);
    await test.miner().start();
    await young.closed;
  });

  it('bound the names of all sessions, never the first of one, and what is listed of them', async () => {
    const test = await withWork({ options: { extraWorkers: 20 } });
    const [greedy, other] = [test.miner(), test.miner()];
    const authorize = (name: string) => ({ id: name, method: 'mining.authorize', params: [name, 'x'] });
    await greedy.start();
    for (let name = 0; name < 40; name += 1) greedy.send(authorize(`w${name}`));
    await greedy.until('id', 'w39');
    await other.start();
    const counts = (): number[] => test.server.sessions().map(({ workerCount }) => workerCount);
    expect(counts()).toEqual([21, 1]);
    expect(test.server.sessions()[0]!.workers).toHaveLength(8);
    expect(test.server.sessions(1)).toHaveLength(1);
    expect(test.server.stats.limitHits.extraWorkers).toBe(20);
    // A name that is known is no new one, and what left makes room.
    other.send(authorize('again'));
    expect((await other.until('id', 'again')).at(-1)).toMatchObject({
      error: [24, expect.anything(), null],
    });
    greedy.destroy();
    await until(() => test.server.sessionCount === 1);
    other.send(authorize('now'));
    expect((await other.until('id', 'now')).at(-1)).toMatchObject({ result: true });
    expect(counts()).toEqual([2]);
  });

  it('end sessions that do not subscribe, authorise or speak', async () => {
    const test = await withWork();
    const [mute, half, idle] = [test.miner(), test.miner(), test.miner()];
    await idle.start();
    half.send({ id: 1, method: 'mining.subscribe', params: [] });
    await half.next();
    await until(() => test.server.sessionCount === 3);
    test.clock.advance(16_000);
    test.server.tick();
    await mute.closed;
    expect(test.server.sessionCount).toBe(2);
    test.clock.advance(45_000);
    test.server.tick();
    await half.closed;
    await idle.settled();
    test.clock.advance(15 * 60_000);
    test.server.tick();
    expect(test.server.sessionCount).toBe(1);
    test.clock.advance(1);
    test.server.tick();
    await idle.closed;
    expect(test.server.stats.closed.idle_timeout).toBe(3);
  });

  it('cut off a miner that does not read', async () => {
    const test = await withWork({ options: { writeBytes: 64 * 1024 } });
    const miner = test.miner();
    await miner.start();
    miner.pauseReading();
    for (let count = 0; count < 2000 && test.server.sessionCount > 0; count += 1) {
      broadcast(test, 1, { coinb2: new Uint8Array(16_000) });
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(test.server.stats.closed.slow_reader).toBe(1);
  });

  it('refuse workers the owner does not want', async () => {
    const test = await withWork({ deps: { mayAuthorize: (_session, worker) => worker === 'good' } });
    const miner = test.miner();
    miner.send({ id: 1, method: 'mining.authorize', params: ['bad', ''] });
    expect(await miner.next()).toMatchObject({ error: [24, 'not authorized', null] });
    await miner.start('good');
  });
});

describe('the end', () => {
  it('answers what is in flight before it closes', async () => {
    const test = await withWork({ options: { drainMs: 5000 } });
    const miner = test.miner();
    const { lines } = await miner.start();
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string));
    await test.submitted(1);
    const closed = test.server.close();
    setImmediate(() => test.server.settle(test.submissions[0]!, 'accepted'));
    expect(await miner.next()).toMatchObject({ id: 1, result: true });
    await closed;
    await miner.closed;
    expect([test.server.inFlight, test.server.sessionCount]).toEqual([0, 0]);
  });

  it('survives verdicts for sessions that are gone', async () => {
    const test = await withWork();
    const miner = test.miner();
    const { lines } = await miner.start();
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string));
    await test.submitted(1);
    miner.destroy();
    await until(() => test.server.sessionCount === 0);
    test.server.settle(test.submissions[0]!, 'accepted');
    expect(test.server.stats.sharesAccepted).toBe(1);
  });

  it('does not wait for an engine that never answers', async () => {
    const test = await withWork({ options: { drainMs: 20 } });
    const miner = test.miner();
    const { lines } = await miner.start();
    miner.send(submitOf(1, paramsOf(lines.at(-1))[0] as string));
    await test.submitted(1);
    await test.server.close();
    await miner.closed;
    expect(test.server.inFlight).toBe(1);
  });
});

describe('status', () => {
  it('shows who mines what', async () => {
    const test = await withWork({ verdict: () => 'accepted' });
    const miner = test.miner();
    const { lines } = await miner.start('rig.1', 'd=65536');
    const job = paramsOf(lines.at(-1))[0] as string;
    for (let id = 0; id < 30; id += 1) miner.send(submitOf(id, job, { nonce: id.toString(16) }));
    await miner.until('id', 29);
    for (let second = 0; second < 60; second += 1) {
      test.clock.advance(1000);
      test.server.tick();
    }
    const [session] = test.server.sessions();
    expect(session).toMatchObject({
      address: '127.0.0.1',
      userAgentClass: 'other',
      userAgent: 'test/1',
      destination: 'pool',
      difficulty: 65_536,
      accepted: 30,
      inFlight: 0,
      versionRolling: false,
    });
    const exact = (30 * 65_536 * 4_295_032_833) / 60;
    expect(session!.hashesPerSecond / exact).toBeGreaterThan(0.8);
    expect(session!.hashesPerSecond / exact).toBeLessThan(1.2);
  });

  it('refuses a port that is taken', async () => {
    const test = await withWork();
    const { port } = test.server.addresses()[0]!;
    const listeners = [{ host: '127.0.0.1', port, difficulty: DIFFICULTY }];
    await expect(startServer({ options: { listeners } })).rejects.toThrow(/address_in_use/);
  });

  it('lets miners go, turns new ones away at once, and takes them back', async () => {
    const test = await withWork();
    const [first, second] = [test.miner(), test.miner()];
    await first.start();
    await second.start();
    test.server.letGo('ledger');
    test.server.letGo('upstream');
    await Promise.all([first.closed, second.closed]);
    await test.miner().closed;
    expect(test.server.stats.closed).toMatchObject({ let_go: 2 });
    expect(test.server.stats).toMatchObject({ connectionsRefused: 1, refusedLetGo: 1 });
    test.server.takeBack('upstream');
    await test.miner().closed;
    expect(test.server.letGoCause).toBe('ledger');
    test.server.takeBack('ledger');
    expect((await test.miner().start()).lines.at(-1)?.['method']).toBe('mining.notify');
  });
});
