import { afterEach, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/log/logger.ts';
import type { Bead } from '../../src/upstream/bead.ts';
import { BeadStream } from '../../src/upstream/bead-stream.ts';
import {
  BEAD_WATCH_OPTIONS,
  type BeadWatchEffect,
  NOTHING_WATCHED,
  transition,
} from '../../src/upstream/bead-watch.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { SeededRandom } from '../sim/random.ts';

afterEach(() => vi.unstubAllGlobals());

const BURST = 5_000;
const [HASH, KEY] = ['ab'.repeat(32), '02'.repeat(33)];

/** A bead as a node pushes it; another one for each nonce. */
const pushed = (nonce: number, subscription: number): string =>
  JSON.stringify({
    ...{ jsonrpc: '2.0', method: 'beadNotification' },
    params: {
      subscription,
      result: {
        block_header: {
          ...{ version: 1, prev_blockhash: HASH, merkle_root: HASH },
          ...{ time: 1_700_000_000, bits: 0x1d00ffff, nonce },
        },
        committed_metadata: {
          ...{ transaction_ids: [HASH], parents: [HASH], parent_bead_timestamps: [1_700_000_000] },
          ...{ payout_address: 'bc1qminer.rig', start_timestamp: 1_700_000_001, comm_pub_key: KEY },
          ...{ min_target: 0x1d00ffff, weak_target: 0x207fffff, miner_ip: '10.0.0.1:4242' },
        },
        uncommitted_metadata: {
          ...{ extra_nonce_1: 1, extra_nonce_2: 2, broadcast_timestamp: 1_700_000_002 },
          signature: { signature: '3006020101020101', sighash_type: 'SIGHASH_ALL' },
        },
      },
    },
  });

/** The socket of a node that says what a test says. */
class ManualSocket extends EventTarget {
  static last: ManualSocket;
  isClosed = false;

  constructor() {
    super();
    ManualSocket.last = this;
  }

  send(): void {}

  close(): void {
    this.isClosed = true;
  }

  says(data: string): void {
    this.dispatchEvent(Object.assign(new Event('message'), { data }));
  }
}

it('a burst of beads is told whole, and one of what was not asked for ends the connection soon', () => {
  vi.stubGlobal('WebSocket', ManualSocket);
  const { clock, timers } = new VirtualTime();
  const beads: Bead[] = [];
  const stream = new BeadStream(
    { url: 'ws://127.0.0.1:1' },
    {
      ...{ clock, timers, random: new SeededRandom(1), log: silentLogger },
      onBead: (bead) => beads.push(bead),
    },
  );
  stream.start();
  const socket = ManualSocket.last;
  socket.says('{"jsonrpc":"2.0","id":1,"result":77}');
  for (let nonce = 0; nonce < BURST; nonce += 1) socket.says(pushed(nonce, 77));
  expect([stream.up, stream.stats.garbage, beads.length]).toEqual([true, 0, BURST]);
  expect(new Set(beads.map(({ hash }) => hash)).size).toBe(BURST);
  let said = 0;
  while (!socket.isClosed && said < BURST) {
    said += 1;
    socket.says(pushed(said, 78));
  }
  expect([said, stream.up]).toEqual([16, false]);
  // What comes after it is heard no more.
  socket.says(pushed(0, 77));
  expect(beads).toHaveLength(BURST);
  stream.stop();
});

it('a bead that nobody waits for costs the watch nothing, however many are waited for', () => {
  let state = NOTHING_WATCHED;
  for (let share = 0; share < BEAD_WATCH_OPTIONS.watched; share += 1) {
    const forwarded = { type: 'forwarded', hash: `own ${share}`, payoutAddress: 'a' } as const;
    ({ state } = transition(BEAD_WATCH_OPTIONS, state, forwarded, 0));
  }
  const effects: BeadWatchEffect[] = [];
  for (let bead = 0; bead < BURST; bead += 1) {
    const seen = { type: 'bead', hash: `foreign ${bead}`, payoutAddress: 'b' } as const;
    const step = transition(BEAD_WATCH_OPTIONS, state, seen, 0);
    expect(step.state).toBe(state);
    effects.push(...step.effects);
  }
  expect(effects).toEqual([]);
});
