import fc from 'fast-check';
import { afterEach, expect, it } from 'vitest';
import { stopServers, type TestMiner, until, withWork } from './harness.ts';

afterEach(stopServers);

const QUARANTINE_MS = 5_000;
const RESUME_MS = 20_000;

const step = fc.record({
  act: fc.constantFrom('come', 'come', 'go', 'vanish', 'again', 'again', 'takeover', 'wait'),
  pick: fc.nat(),
});

type Live = { readonly miner: TestMiner; readonly token: string; readonly extranonce1: string };

it('live sessions have extranonce spaces apart, whoever comes, goes, and comes again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 50, size: 'max' }), async (steps) => {
      const options = { quarantineMs: QUARANTINE_MS, resumeMs: RESUME_MS, resumable: 6 };
      const test = await withWork({ options });
      let live: Live[] = [];
      const gone: Live[] = [];
      const lastOwner = new Map<string, { readonly token: string; leftAtMs: number }>();
      const enter = async (token?: string): Promise<void> => {
        const miner = test.miner();
        const { session, extranonce1, lines } = await miner.start('rig.1', 'x', token);
        expect(JSON.stringify(lines)).toContain(`"${extranonce1}",4]`);
        expect(extranonce1).toMatch(/^[0-9a-f]{8}$/);
        // Whoever was silent with this token is closed; its miner hears of that a little later.
        await until(() => {
          live = live.filter((other) => !other.miner.isClosed);
          return test.server.sessionCount === live.length + 1;
        });
        expect(live.map((other) => other.extranonce1)).not.toContain(extranonce1);
        const before = lastOwner.get(extranonce1);
        if (before !== undefined && before.token !== session) {
          expect(test.clock.monotonicMs() - before.leftAtMs).toBeGreaterThanOrEqual(QUARANTINE_MS);
        }
        lastOwner.set(extranonce1, { token: session, leftAtMs: Number.POSITIVE_INFINITY });
        live.push({ miner, token: session, extranonce1 });
      };
      const leave = async (session: Live | undefined): Promise<void> => {
        if (session === undefined) return;
        live = live.filter((other) => other !== session);
        session.miner.destroy();
        await until(() => test.server.sessionCount === live.length);
        lastOwner.get(session.extranonce1)!.leftAtMs = test.clock.monotonicMs();
        gone.push(session);
      };
      for (const { act, pick } of steps) {
        const present = live[pick % Math.max(1, live.length)];
        if (act === 'come') await enter();
        else if (act === 'again') await enter(gone[pick % Math.max(1, gone.length)]?.token);
        else if (act === 'takeover') await enter(present?.token);
        else if (act === 'wait') {
          test.clock.advance(pick % 15_000);
          test.server.tick();
        } else await leave(present);
      }
      await stopServers();
    }),
    { numRuns: 20 },
  );
});
