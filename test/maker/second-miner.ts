import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { p2wpkhScript } from '../../src/chain/wallet.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import { contractIdOf } from '../../src/contract/terms.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { MinerContract } from '../../src/miner/miner-contract.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { Meters } from '../../src/work/meters.ts';
import { pay } from '../devnet/wallets.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { random } from '../peer/tls-pair.ts';
import { SHARE, seedOf, until, type World } from './world.ts';

/** Another miner of the maker of a world, with a contract of its own. */
export class SecondMiner {
  readonly signer = new SeedSigner({ seed: seedOf('second miner'), network: 'regtest' });
  readonly nodeId = toHex(nodeIdBytes(this.signer));
  readonly #ledger = new MemoryLedger();
  readonly #meters = new Meters();
  #world!: World;
  #contractId = '';
  #contract!: MinerContract;

  /** Its channel is funded and open. */
  async open(world: World): Promise<void> {
    this.#world = world;
    await this.#fund();
    const terms = { ...world.terms, minerNodeId: this.nodeId, nonceHex: 'ff'.repeat(16) };
    this.#contractId = contractIdOf(terms);
    this.#contract = new MinerContract(
      {
        ...{ terms, host: '127.0.0.1', port: world.port },
        ...{ batchIntervalMs: 0, reconnectMinMs: 10, reconnectMaxMs: 50 },
        margins: { askBlocks: 288, broadcastBlocks: 144, urgentBlocks: 36, finalDepth: 2 },
      },
      {
        ...{ timers: systemTimers, clock: systemClock, random, log: silentLogger },
        ...{ ledger: this.#ledger, blobFiles: blobsInMemory() },
        ...{ chain: world.source, signer: this.signer },
      },
    );
    await this.#contract.start();
    await until('its funding', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(world.terms.minDepth);
    await until('it is live', () => this.#contract.status.live);
  }

  /** Delivers one step, which is paid: its next state is signed, stored and acked. */
  async earn(): Promise<void> {
    const n = (this.#contract.status.signed?.n ?? 0) + 1;
    const shares = this.#world.find(this.#world.job({ stream: this.#contractId }), 4, SHARE);
    await this.#meters.commit(this.#ledger, shares);
    this.#contract.onDurable(this.#contractId, this.#meters.total(this.#contractId));
    await until(`state ${n} of the second miner`, () => this.#contract.status.signed?.n === n);
  }

  stop(): Promise<void> {
    return this.#contract.stop();
  }

  /** A coin of the maker's, which it does not need. */
  async #fund(): Promise<void> {
    const { makerSigner, source, chain } = this.#world;
    const publicKey = makerSigner.publicKey('wallet');
    const makerScriptHex = toHex(p2wpkhScript(publicKey));
    const [coin] = await source.utxos(makerScriptHex);
    const payment = pay({
      from: [coin!],
      key: { publicKey, scriptHex: makerScriptHex, sign: (hash) => makerSigner.signEcdsa('wallet', hash) },
      to: [
        { scriptHex: toHex(p2wpkhScript(this.signer.publicKey('wallet'))), valueSat: 300_000n },
        { scriptHex: makerScriptHex, valueSat: coin!.valueSat - 301_000n },
      ],
    });
    await source.broadcast(payment.toHex());
    chain.generate(1);
  }
}
