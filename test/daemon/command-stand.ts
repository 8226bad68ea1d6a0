import { rmSync, writeFileSync } from 'node:fs';
import { createApi } from '../../src/api/app.ts';
import type { Action } from '../../src/api/operation.ts';
import { CONTRACT_WRITES } from '../../src/api/operations.ts';
import { toHex } from '../../src/base/bytes.ts';
import { systemClock } from '../../src/base/clock.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { type Command, type CommandIo, parseOptions } from '../../src/cli/command.ts';
import { wordsOf } from '../../src/cli/words.ts';
import { serveActions } from '../../src/daemon/api-parts.ts';
import { makerChannelActions, proxyChannelActions } from '../../src/daemon/channel-actions.ts';
import { RunningContracts } from '../../src/daemon/running-contracts.ts';
import { startChainRpcServer } from '../../src/devnet/chain/chain-rpc-server.ts';
import { OpsServer } from '../../src/http/server.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { walletScript } from '../../src/settlement/opening.ts';
import { Aftermath, copyLedger, type Side } from '../cli/ledgers.ts';
import { until, type WorldOptions } from '../maker/world.ts';
import { random } from '../peer/tls-pair.ts';

const TOKEN = '5'.repeat(64);

/** What a command printed: its JSON, or the code and the words of what refused it. */
export type Said = Readonly<Record<string, unknown>>;

/**
 * A proxy's contracts and a market maker as they run, each behind the page of its daemon, and commands that
 * are typed beside them: what they read is on disk, what they ask goes over HTTP.
 */
export class CommandStand extends Aftermath {
  contracts = new RunningContracts();
  readonly #pages: OpsServer[] = [];
  readonly #home: Partial<Record<Side, string>> = {};
  /** Writes of a side when its ledger was put on disk. */
  readonly #copied: Partial<Record<Side, number>> = {};

  constructor(options: WorldOptions = {}) {
    super({ isVersion3: true, ...options });
  }

  /** Both sides, the channel of one contract open. */
  async begin(): Promise<void> {
    const { world } = this;
    await world.startMaker();
    await this.#serve();
    const maker = { host: '127.0.0.1', port: world.port };
    const payoutScriptHex = toHex(walletScript(world.minerSigner));
    const taken = { name: 'first', terms: world.proposed, maker, payoutScriptHex, returnsBonds: false };
    world.miner = (await this.contracts.add(taken)).side;
    this.rpc = await startChainRpcServer({}, { chain: world.chain, log: silentLogger });
    const timed = { chain: world.source, chainClock: { blockIntervalMs: 600_000 } };
    await this.#page('miner', proxyChannelActions(this.contracts, timed));
    await this.#page('maker', makerChannelActions(world.maker, timed));
    await this.live(world.contractId);
  }

  async #serve(): Promise<void> {
    const { world } = this;
    await this.contracts.start('regtest', [], {
      ...{ timers: systemTimers, clock: systemClock, random, log: silentLogger },
      ...{ ledger: world.minerLedger, chain: world.source, signer: world.minerSigner },
      onStatus: () => {},
    });
  }

  /** Another process of the proxy on the same ledger; its page stays that of the first. */
  async restart(): Promise<void> {
    await this.contracts.stop();
    this.contracts = new RunningContracts();
    await this.#serve();
  }

  /** Makes blocks until work may be delivered to a contract. */
  async live(contractId: string): Promise<void> {
    const { chain } = this.world;
    await until('funding', () => chain.mempoolEntries().length > 0);
    chain.generate(this.world.terms.minDepth);
    await until('live', () => this.contracts.side(contractId)?.status.live === true);
  }

  /** So many shares in a state that both have. */
  async paid(shares: number, n: number): Promise<void> {
    const { world } = this;
    await world.work(shares);
    await until('signed', () => world.maker.status.some(({ ackedN }) => ackedN === n));
  }

  async #page(side: Side, actions: Readonly<Record<string, Action>>): Promise<void> {
    const served = serveActions(CONTRACT_WRITES, actions);
    const page = new OpsServer(
      { listen: { host: '127.0.0.1', port: 0 } },
      {
        ...{ timers: systemTimers, checks: {}, log: silentLogger },
        api: createApi(side, served, {
          ...{ tokens: { money: TOKEN }, clock: systemClock },
          log: silentLogger,
          refusals: silentLogger,
        }),
        metrics: { contentType: 'text/plain', text: async () => '' },
      },
    );
    this.#pages.push(page);
    const { port: httpPort } = await page.start();
    this.#home[side] = this.writeHome(side, side, { httpPort });
    writeFileSync(this.path(side, 'api-token'), `${TOKEN}\n`);
  }

  /** Types a command beside the daemon of a side. */
  async say(side: Side, command: Command, ...words: readonly string[]): Promise<Said> {
    const { world } = this;
    const { appends } = side === 'miner' ? world.minerLedger : world.makerLedger;
    if (this.#copied[side] !== appends) {
      const file = this.path(side, 'ledger.sqlite');
      for (const each of ['', '-wal', '-shm', '.lock']) rmSync(`${file}${each}`, { force: true });
      await copyLedger(side === 'miner' ? world.minerStore : world.makerStore, file);
      this.#copied[side] = appends;
    }
    const said: string[] = [];
    const stdout = { write: (text: string) => void said.push(text) };
    const io = { stdout, stderr: stdout, env: {} } as unknown as CommandIo;
    try {
      const all = [...words, '--config', this.#home[side]!, '--json'];
      await command.run(parseOptions(command, all), io);
    } catch (error) {
      return { refused: wordsOf(error) };
    }
    return JSON.parse(said.join('').trim().split('\n').at(-1)!) as Said;
  }

  override async end(): Promise<void> {
    await this.contracts.stop();
    await this.world.maker.close();
    for (const page of this.#pages) await page.close();
    await super.end();
  }
}
