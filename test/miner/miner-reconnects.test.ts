import { expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { sha256 } from '../../src/base/hash.ts';
import { noChain } from '../../src/chain/no-chain.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import type { MeteringTerms } from '../../src/contract/metering.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MinerMeter } from '../../src/miner/miner-meter.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';

const signer = new SeedSigner({ seed: sha256(new TextEncoder().encode('miner')), network: 'regtest' });

/** A metering whose maker never answers a connection, in virtual time, and when it was tried. */
async function refused(options: { reconnectMinMs?: number; reconnectMaxMs?: number } = {}) {
  const time = new VirtualTime();
  const tries: number[] = [];
  const terms = makeTermsV3({ binding: { type: 'none' }, minerNodeId: toHex(nodeIdBytes(signer)) });
  const meter = new MinerMeter(
    { terms: terms as MeteringTerms, host: 'maker', port: 1, ...options },
    {
      ...{ ledger: new MemoryLedger(), signer, clock: time.clock, timers: time.timers },
      ...{
        chain: noChain('regtest'),
        log: silentLogger,
        random: { bytes: (size) => new Uint8Array(size) },
      },
      connect: async ({ host, port }) => {
        expect([host, port]).toEqual(['maker', 1]);
        tries.push(time.clock.monotonicMs());
        throw new CodedError('peer_closed', 'nobody is there');
      },
    },
  );
  await meter.start();
  await time.settle();
  return { time, meter, tries };
}

it('a maker that is not there is tried less and less often, from a second to fifteen', async () => {
  const { time, meter, tries } = await refused();
  await time.advance(60_000);
  const waits = tries.map((at, index) => at - (tries[index - 1] ?? 0));
  // The shortest of what chance may say: half of each.
  expect(waits).toEqual([0, 500, 1_000, 2_000, 4_000, 7_500, 7_500, 7_500, 7_500, 7_500, 7_500, 7_500]);
  expect(meter.status).toMatchObject({ connected: false, status: 'live', lastError: 'peer_closed' });
  expect(meter.live).toBe(false);
  await meter.stop();
  await time.advance(60_000);
  expect(tries).toHaveLength(waits.length);
});

it('a maker that is not there is tried as often as the configuration says', async () => {
  const { time, meter, tries } = await refused({ reconnectMinMs: 20, reconnectMaxMs: 80 });
  await time.advance(200);
  expect(tries).toEqual([0, 10, 30, 70, 110, 150, 190]);
  await meter.stop();
});
