import { afterEach, expect, it } from 'vitest';
import { paramsOf, submitOf } from '../downstream/harness.ts';
import { Stand, stopStands } from '../downstream/stand.ts';
import { plainWork } from '../jobs/upstream-jobs.ts';

afterEach(stopStands);

it('one session that floods has no more than its share of the queue, and holds up nobody', async () => {
  const inFlight = 64;
  const flood = 20_000;
  const stand = await Stand.start({ difficulty: 2 ** -32, options: { sharesInFlight: inFlight } });
  stand.give(plainWork());
  const [greedy, modest] = [stand.miner(), stand.miner()];
  const jobId = paramsOf((await greedy.start()).lines.at(-1))[0] as string;
  await modest.start();
  const submits = Array.from({ length: flood }, (_, index) => {
    const extranonce2 = index.toString(16).padStart(8, '0');
    return `${JSON.stringify(submitOf(index, jobId, { extranonce2 }))}\n`;
  });
  greedy.raw(submits.join(''));
  modest.send(submitOf(7, jobId));
  expect(await modest.next()).toMatchObject({ id: 7 });
  await greedy.until('id', flood - 1);
  const place = stand.submissions.findIndex(({ requestId }) => requestId === 7);
  expect(place).toBeLessThanOrEqual(3 * inFlight);
  expect(stand.server.stats.limitHits.sessionSharesInFlight).toBe(stand.server.stats.rejected.overload);
  expect(stand.server.stats.rejected.overload).toBeGreaterThan(0);
});
