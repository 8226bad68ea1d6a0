import { systemClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/random.ts';
import { buildBead } from '../../src/devnet/braidpool/bead.ts';
import {
  type BraidpoolNode,
  type BraidpoolNodeOptions,
  startBraidpoolNode,
} from '../../src/devnet/braidpool/braidpool-node.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { silentLogger } from '../../src/log/logger.ts';

/** A simulated Braidpool node on a chain where every second hash is a block. */
export async function startNode(
  options: BraidpoolNodeOptions = {},
): Promise<{ readonly node: BraidpoolNode; readonly chain: DevnetChain }> {
  const chain = new DevnetChain({ bits: 0x207fffff }, { clock: systemClock });
  const node = await startBraidpoolNode(options, {
    chain,
    log: silentLogger,
    clock: systemClock,
    random: systemRandom,
  });
  return { node, chain };
}

/** Adds beads one after the other, each the child of all tips: each is a cohort of its own. */
export function addChain(node: BraidpoolNode, length: number): void {
  for (let at = 0; at < length; at += 1) {
    const parents = node.braid.tips().map((hash) => {
      const { start_timestamp: startTimestamp } = node.bead(hash)!.bead.committed_metadata;
      return { hash, startTimestamp };
    });
    const time = 1_700_000_000 + node.braid.size;
    const bead = buildBead({
      header: {
        version: 0x20000000,
        prevHash: new Uint8Array(32),
        merkleRoot: systemRandom.bytes(32),
        time,
        bits: 0x207fffff,
        nonce: 0,
      },
      transactionIds: [],
      parents,
      payoutAddress: `payee ${node.braid.size}`,
      startTimestamp: time,
      broadcastTimestamp: time,
      minTarget: 0x207fffff,
      weakTarget: 0x207fffff,
      minerIp: '10.0.0.1:1',
      extranonce1: 2n ** 63n,
      extranonce2: 2n ** 60n + 1n,
    });
    node.braid.add(bead, true);
  }
}
