import { address, networks } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/random.ts';
import { DevnetChain } from '../../src/devnet/chain/chain.ts';
import { sendFillerCoins } from '../../src/devnet/chain/faucet.ts';
import { DEVNET_BITS, DEVNET_SHARE_DIFFICULTY, startDevnet } from '../../src/devnet/devnet.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { ManualClock } from '../base/manual-clock.ts';

const SCRIPT_HEX = '0014751e76e8199196d454941c45d1b3a323f1433bd6';

function codeFrom(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    return codeOf(error);
  }
  return 'done';
}

describe('filler coins', () => {
  const paid = (chain: DevnetChain): bigint[] => chain.utxos(SCRIPT_HEX).map(({ valueSat }) => valueSat);

  it('pay any script any amount, from as many of them as it takes', () => {
    const chain = new DevnetChain({ fillerCoins: 4 }, { clock: new ManualClock() });
    sendFillerCoins(chain, SCRIPT_HEX, 10_000n);
    sendFillerCoins(chain, SCRIPT_HEX, 250_000_000n);
    chain.generate(1);
    expect(paid(chain)).toEqual([10_000n, 250_000_000n]);
  });

  it('are not spent twice, and what they cannot pay is said', () => {
    // Block 1 has its own subsidy, 50 BTC, which anyone can spend too.
    const chain = new DevnetChain({ fillerCoins: 0 }, { clock: new ManualClock() });
    sendFillerCoins(chain, SCRIPT_HEX, 150_000_000n);
    expect(codeFrom(() => sendFillerCoins(chain, SCRIPT_HEX, 10_000n))).toBe('insufficient_funds');
    chain.generate(1);
    expect(codeFrom(() => sendFillerCoins(chain, SCRIPT_HEX, 10_000n))).toBe('done');
    chain.generate(1);
    expect(codeFrom(() => sendFillerCoins(chain, SCRIPT_HEX, 20_000_000_000n))).toBe('insufficient_funds');
  });
});

describe('a devnet', () => {
  const deps = { clock: systemClock, random: systemRandom, log: silentLogger };
  const options = { bits: DEVNET_BITS, shareDifficulty: DEVNET_SHARE_DIFFICULTY };

  it('gives coins by sendtoaddress, as a node with a wallet', async () => {
    const devnet = await startDevnet(options, deps);
    try {
      const to = address.fromOutputScript(Buffer.from(SCRIPT_HEX, 'hex'), networks.regtest);
      const call = async (method: string, params: unknown[]): Promise<Record<string, unknown>> => {
        const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
        return (await fetch(devnet.rpcUrl, { method: 'POST', body })).json() as Promise<never>;
      };
      const { result } = await call('sendtoaddress', [to, 0.12345678]);
      const { transaction } = devnet.chain.transaction(String(result))!;
      expect(transaction.outs.map(({ script, value }) => [toHex(script), value])[0]).toEqual([
        SCRIPT_HEX,
        12_345_678n,
      ]);
      expect((await call('sendtoaddress', [to, 0]))['error']).toMatchObject({ code: -3 });
      expect((await call('sendtoaddress', [to, 50]))['error']).toMatchObject({ code: -6 });
      expect((await call('sendtoaddress', ['nobody', 1]))['error']).toMatchObject({ code: -5 });
    } finally {
      await devnet.close();
    }
  });
});
