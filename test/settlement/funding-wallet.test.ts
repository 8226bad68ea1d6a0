import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { BIP32Factory } from 'bip32';
import { Psbt } from 'bitcoinjs-lib';
import * as ecc from 'tiny-secp256k1';
import { afterEach, describe, expect, it } from 'vitest';
import { equal, fromHex, toHex } from '../../src/base/bytes.ts';
import { codeOf } from '../../src/base/errors.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { NETWORKS } from '../../src/bitcoin/network.ts';
import { NodeWallet } from '../../src/chain/node-wallet.ts';
import { ChainRpcClient } from '../../src/chain/rpc-client.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { publicKeyHashOutput } from '../../src/channel/scripts.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { type FundingWallet, fileWallet, nodeWallet } from '../../src/settlement/funding-wallet.ts';
import { outpointName } from '../../src/settlement/opening.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { Failure, type FakeMethods, startFakeNode } from '../chain/fake-node.ts';
import { pay } from '../devnet/wallets.ts';
import { until, World } from '../maker/world.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const { params } = NETWORKS.regtest;
/** A wallet that is elsewhere: this program has only what it is told. */
const MASTER = BIP32Factory(ecc).fromSeed(new Uint8Array(32).fill(9), params);
const ACCOUNT_PATH = "m/84'/1'/0'";
const ACCOUNT = MASTER.derivePath(ACCOUNT_PATH);
const FIRST = ACCOUNT.derive(0).derive(0);
const ACCOUNT_KEY = {
  xpub: ACCOUNT.neutered().toBase58(),
  fingerprintHex: toHex(MASTER.fingerprint),
  path: ACCOUNT_PATH,
};

/** Signs every input whose key it has, as any wallet does. */
function signElsewhere(text: string): string {
  const psbt = Psbt.fromBase64(text, { network: params });
  psbt.data.inputs.forEach((input, index) => {
    if (equal(input.witnessUtxo!.script, p2wpkhScript(FIRST.publicKey))) psbt.signInput(index, FIRST);
  });
  return psbt.toBase64();
}

class WalletWorld extends World {
  wallet!: FundingWallet;

  /** Pays the wallet that is elsewhere from the maker's own key, which has nothing left then. */
  fundWallet(): void {
    const publicKey = this.makerSigner.publicKey('wallet');
    const key = {
      publicKey,
      scriptHex: '',
      sign: (hash: Uint8Array) => this.makerSigner.signEcdsa('wallet', hash),
    };
    const from = this.chain.utxos(toHex(p2wpkhScript(publicKey)));
    const totalSat = from.reduce((sum, { valueSat }) => sum + valueSat, 0n);
    const to = [{ scriptHex: toHex(p2wpkhScript(FIRST.publicKey)), valueSat: totalSat - 1_000n }];
    this.chain.broadcast(pay({ from, key, to }).toHex());
    this.chain.generate(1);
  }

  holds(script: Uint8Array): bigint {
    return this.chain.utxos(toHex(script)).reduce((sum, { valueSat }) => sum + valueSat, 0n);
  }
}

describe('a PSBT file for any wallet', () => {
  it('waits for the answer, and goes on with it', async () => {
    const folder = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'wallet-')), 'psbt');
    closers.push(() => fs.rmSync(path.dirname(folder), { recursive: true }));
    const world = new WalletWorld();
    closers.push(() => world.stop());
    world.fundWallet();
    const wallet = fileWallet(
      { folder, account: ACCOUNT_KEY, network: 'regtest' },
      { chain: world.source, log: silentLogger },
    );
    await world.startMaker({}, { wallet });
    await world.startMiner();
    const asked = path.join(folder, `${world.contractId}.psbt`);
    await until('asked', () => fs.existsSync(asked) && world.miner.status.lastError === 'funding_unsigned');
    expect(fs.statSync(asked).mode & 0o777).toBe(0o600);
    const text = fs.readFileSync(asked, 'utf8');
    const [own] = Psbt.fromBase64(text).data.inputs.filter((input) => input.bip32Derivation !== undefined);
    expect(own!.bip32Derivation![0]).toMatchObject({ path: `${ACCOUNT_PATH}/0/0` });
    expect(world.chain.mempoolSize).toBe(0);

    const answer = path.join(folder, `${world.contractId}.signed.psbt`);
    fs.writeFileSync(answer, 'nonsense!');
    await until('refused', () => world.miner.status.lastError === 'bad_psbt');
    fs.writeFileSync(answer, text);
    await until('not signed', () => world.miner.status.lastError === 'bad_signature');
    fs.writeFileSync(answer, signElsewhere(text));
    await until('funded', () => world.chain.mempoolSize === 1);
    world.chain.generate(2);
    await until('live', () => world.miner.status.live);
    // The change is back on the first address.
    expect(world.holds(p2wpkhScript(FIRST.publicKey))).toBeGreaterThan(13_900_000n);
    await world.work(4);
    await until('state 1', () => world.maker.status[0]?.ackedN === 1);
    await world.miner.closeAlone();
    const paid = world.chain.mempoolEntries()[0]!.transaction.outs[1]!;
    expect(equal(paid.script, publicKeyHashOutput(FIRST.publicKey))).toBe(true);
  });

  it('takes an account by its public half only, of this network', () => {
    const open = (change: object) => () =>
      fileWallet(
        { folder: 'none', account: { ...ACCOUNT_KEY, ...change }, network: 'regtest' },
        { chain: new World().source, log: silentLogger },
      );
    expect(open({})).not.toThrow();
    expect(open({ xpub: ACCOUNT.toBase58() })).toThrow('bad_key_file');
    expect(open({ path: "m/84'" })).toThrow('bad_key_file');
    const mainnet = BIP32Factory(ecc).fromSeed(new Uint8Array(32), NETWORKS.mainnet.params);
    expect(open({ xpub: mainnet.derivePath(ACCOUNT_PATH).neutered().toBase58() })).toThrow('wrong_chain');
  });
});

describe('the wallet of a bitcoind', () => {
  const desc = `wpkh([${ACCOUNT_KEY.fingerprintHex}/84h/1h/0h/0/0]${toHex(FIRST.publicKey)})#00000000`;
  const script = toHex(p2wpkhScript(FIRST.publicKey));

  async function open(methods: FakeMethods) {
    const node = await startFakeNode(methods);
    closers.push(() => node.close());
    const client = new ChainRpcClient(
      { url: `${node.url}/wallet/maker`, timeoutMs: 2_000 },
      { timers: systemTimers },
    );
    const wallet = new NodeWallet(client);
    closers.push(() => wallet.close());
    return { node, wallet };
  }

  const methodsOf = (world: WalletWorld): FakeMethods => ({
    listunspent: () =>
      world.chain.utxos(script).map(({ txid, vout, valueSat }) => ({
        ...{ txid, vout, amount: Number(valueSat) / 1e8, desc, spendable: true, safe: true },
      })),
    lockunspent: () => true,
    getrawchangeaddress: () => 'change',
    getnewaddress: () => 'receive',
    getaddressinfo: () => ({ scriptPubKey: script }),
    walletprocesspsbt: (psbt, _sign, hashType = 'DEFAULT') => {
      // As 28 and 29 do.
      if (hashType !== 'ALL')
        throw new Failure(-22, 'Specified sighash value does not match value stored in PSBT');
      const signed = Psbt.fromBase64(signElsewhere(String(psbt)), { network: params });
      signed.data.inputs.forEach((input, index) => {
        if (input.partialSig !== undefined) signed.finalizeInput(index);
      });
      return { psbt: signed.toBase64(), complete: false };
    },
  });

  it('brings the coins, signs, and is paid back', async () => {
    const world = new WalletWorld();
    closers.push(() => world.stop());
    world.fundWallet();
    const { node, wallet } = await open(methodsOf(world));
    await world.startMaker({}, { wallet: nodeWallet(wallet) });
    await world.startMiner();
    await until('funded', () => world.chain.mempoolSize === 1);
    world.chain.generate(2);
    await until('live', () => world.miner.status.live);
    const locked = node.calls.find(({ method }) => method === 'lockunspent');
    expect(locked!.params[0]).toBe(false);
    expect(locked!.params[1]).toHaveLength(1);
    const closed = world.miner.close();
    await until('close broadcast', () => world.chain.mempoolSize === 1);
    const outs = world.chain.mempoolEntries()[0]!.transaction.outs;
    expect(toHex(outs[1]!.script)).toBe(script);
    world.chain.generate(2);
    await closed;
  });

  describe('holds coins for openings alone', () => {
    /** A wallet that keeps its locks, and refuses what bitcoind refuses. */
    async function locking(world: WalletWorld, change: FakeMethods = {}) {
      const locks = new Map<string, { txid: string; vout: number }>();
      const methods = methodsOf(world);
      const opened = await open({
        ...methods,
        listunspent: (...words) =>
          (methods['listunspent']!(...words) as { txid: string; vout: number }[]).filter(
            (coin) => !locks.has(outpointName(coin)),
          ),
        lockunspent: (isUnlocking, coins) => {
          for (const coin of coins as { txid: string; vout: number }[]) {
            const isLocked = locks.has(outpointName(coin));
            if (isLocked !== isUnlocking) throw new Failure(-8, 'Invalid parameter, output (not) locked');
            if (isUnlocking === true) locks.delete(outpointName(coin));
            else locks.set(outpointName(coin), coin);
          }
          return true;
        },
        listlockunspent: () => [...locks.values()],
        ...change,
      });
      return { ...opened, locks };
    }

    const fresh = (): WalletWorld => {
      const world = new WalletWorld();
      closers.push(() => world.stop());
      world.fundWallet();
      return world;
    };

    it('and lets them go where an opening fails half way', async () => {
      const world = fresh();
      const { wallet, locks, node } = await locking(world, {
        getnewaddress: () => {
          throw new Failure(-4, 'no address');
        },
      });
      await world.startMaker({}, { wallet: nodeWallet(wallet) });
      await world.startMiner();
      await until('refused', () => world.miner.status.lastError === 'chain_rpc');
      await until(
        'tried twice',
        () => node.calls.filter(({ method }) => method === 'getnewaddress').length > 1,
      );
      await world.miner.stop();
      expect(node.calls.some(({ method, params }) => method === 'lockunspent' && params[0] === true)).toBe(
        true,
      );
      await until('let go', () => locks.size === 0);
    });

    it('and lets them go where the miner never signs', async () => {
      const world = fresh();
      const { wallet, locks } = await locking(world);
      const time = new VirtualTime();
      const timers = { ...systemTimers, every: time.timers.every };
      await world.startMaker({}, { wallet: nodeWallet(wallet), clock: time.clock, timers });
      // Its funding is never to be signed: the node of the miner is late from there on.
      const { source } = world;
      const late = Object.assign(Object.create(source) as typeof source, {
        tip: async () => {
          const isOpened = (await world.makerStore.list('opening')).length > 0;
          const tip = await source.tip();
          return isOpened ? { ...tip, height: 1_900 } : tip;
        },
      });
      Object.assign(world, { source: late });
      await world.startMiner();
      await until('opened', () => world.maker.status[0]?.channel === 'opening');
      expect(locks.size).toBe(1);
      await world.miner.stop();
      await time.advance(11 * 60_000);
      await until('let go', () => locks.size === 0);
      expect(world.maker.status[0]?.channel).toBe('failed');
      // From then on the coin is as any other: who locks it by hand has it locked, also after a restart.
      const [coin] = (await world.makerStore.list('hold')).map(({ id }) => id.split(':'));
      locks.set(coin!.join(':'), { txid: coin![0]!, vout: Number(coin![1]) });
      await world.restartMaker({ wallet: nodeWallet(wallet), clock: time.clock, timers });
      expect(locks.size).toBe(1);
    });

    it('and at a start lets go what a crash left, holds what is needed, and leaves those of others alone', async () => {
      const world = fresh();
      const { wallet, locks } = await locking(world);
      await world.startMaker({}, { wallet: nodeWallet(wallet) });
      await world.startMiner();
      await until('funded', () => world.chain.mempoolSize === 1);
      const [needed] = [...locks.values()];
      const [left, foreign] = ['11', '22'].map((byte) => ({ txid: byte.repeat(32), vout: 0 }));
      // It was to be held, and then the program ended.
      const body = '{"contract":"gone"}';
      await world.makerStore.append([{ type: 'put', kind: 'hold', id: outpointName(left!), body }]);
      for (const coin of [left!, foreign!]) locks.set(outpointName(coin), coin);
      locks.delete(outpointName(needed!));
      await world.restartMaker({ wallet: nodeWallet(wallet) });
      expect(new Set(locks.values())).toEqual(new Set([needed, foreign]));
      // Again, with nothing to do.
      await world.restartMaker({ wallet: nodeWallet(wallet) });
      expect(new Set(locks.values())).toEqual(new Set([needed, foreign]));
    });
  });

  it('lists only what it can sign in the one way that keeps a txid', async () => {
    const coin = { txid: 'ab'.repeat(32), vout: 1, amount: 0.5, desc, spendable: true, safe: true };
    const { wallet } = await open({
      listunspent: () => [
        coin,
        { ...coin, vout: 2, desc: `pkh(${toHex(FIRST.publicKey)})#00000000` },
        { ...coin, vout: 3, desc: `sh(wpkh(${toHex(FIRST.publicKey)}))#00000000` },
        { ...coin, vout: 4, spendable: false },
        { ...coin, vout: 5, safe: false },
        { ...coin, vout: 6, desc: `tr(${toHex(FIRST.publicKey.subarray(1))})#00000000` },
        { ...coin, vout: 7, desc: `wpkh(${toHex(FIRST.publicKey)})#00000000` },
      ],
      getnewaddress: () => 'old',
      getaddressinfo: () => ({ scriptPubKey: `76a914${'00'.repeat(20)}88ac` }),
    });
    const publicKeyHex = toHex(FIRST.publicKey);
    const { txid } = coin;
    expect(await wallet.coins()).toEqual([
      { txid, vout: 1, valueSat: 50_000_000n, publicKeyHex },
      { txid, vout: 7, valueSat: 50_000_000n, publicKeyHex },
    ]);
    expect(await wallet.newScript('receive').catch(codeOf)).toBe('chain_rpc');
    expect(await wallet.sign('x').catch(codeOf)).toBe('chain_rpc');
    expect(fromHex(publicKeyHex)).toHaveLength(33);
  });
});
