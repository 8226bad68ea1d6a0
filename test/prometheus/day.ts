import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemRandom } from '../../src/base/random.ts';
import { readStatus } from '../../src/daemon/status-client.ts';
import { freePorts } from '../../src/devnet/net/free-ports.ts';
import type { Stage } from '../../src/devnet/stage.ts';
import { backupLedger, backupMark } from '../../src/ledger/backup.ts';
import { AuditorStage } from '../e2e/auditor-stage.ts';
import { until } from '../e2e/evidence.ts';
import { fastClock } from '../e2e/fast-clock.ts';
import {
  Blocks,
  contractWithNobody,
  copyLadders,
  daemonOf,
  type Instance,
  miners,
  Node,
  otherChain,
  ownProxy,
  poolOn,
  sellingStage,
  type Undo,
  untilOwed,
  untilPaid,
  watchOf,
} from './instances.ts';
import type { Prometheus } from './prometheus.ts';
import { Script } from './scenes.ts';

const WEEK_MS = 7 * 86_400_000;
const DAY_MS = 86_400_000;
/** Of a watch that has few: it takes some thirty, and fewer connections than there may be. */
const DESCRIPTORS = 72;
/** Blocks before its expiry at which a channel is closed, and the alert fires. */
const NEAR_BLOCKS = 144;
/** As far as the proxy knows: nine of them without a block are odd, and twelve too many. */
const BLOCK_INTERVAL = '2s';

/** By the clock of the machine: far more than is due. */
const MADE_UP_HPS = 80_000;

type Fleet = Awaited<ReturnType<typeof miners>>;

/** What a day is played with: a directory that is empty, and what undoes it. */
export type DayDeps = { readonly directory: string; readonly prometheus: Prometheus; readonly undo: Undo };

/** Plays the day; the script has what fired when. */
export async function playDay(deps: DayDeps): Promise<Script> {
  const script = new Script(deps.prometheus);
  const selling = startSelling(deps);
  // Nobody awaits it while the first scene is played.
  selling.catch(() => {});
  await script.play({
    name: 'Prometheus has no targets',
    fires: [['NothingScraped', '']],
    cause: () => {},
    step: 'put the instances into scrape_configs',
    mend: async () => deps.prometheus.add(...(await selling).daemons.map(({ target }) => target)),
  });
  const sold = await selling;
  const ends = await Promise.allSettled([
    playSelling(script, sold),
    playOwn(script, deps, sold),
    playSpoiled(script, deps, sold),
    playBoot(script, deps, sold),
    playWatch(script, deps, sold),
    playPromised(script, deps),
  ]);
  const reasons = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
  if (reasons.length > 0) throw new AggregateError(reasons, reasons.map(String).join('\n'));
  await playExpiry(script, sold);
  return script;
}

type Selling = {
  readonly stage: Stage;
  readonly blocks: Blocks;
  readonly proxy: Instance;
  readonly maker: Instance;
  readonly watch: Instance;
  readonly daemons: readonly Instance[];
  /** The node of the proxy. */
  readonly node: Node;
};

/** A proxy, its maker and its watch, with miners, once a state is paid. */
async function startSelling({ directory, undo }: DayDeps): Promise<Selling> {
  const stage = await sellingStage(join(directory, 'selling'), undo);
  const blocks = new Blocks(stage.chain, undo);
  const node = await Node.at(stage.chain, undo);
  await node.open();
  const { configFile } = stage.proxy;
  const text = readFileSync(configFile, 'utf8').replace(
    /(\[chain\]\nrpc_url = )"[^"]*"/,
    `$1"${node.url}"\nblock_interval = "${BLOCK_INTERVAL}"`,
  );
  writeFileSync(configFile, text);
  const proxy = daemonOf({ instance: 'proxy', role: 'proxy' }, stage.proxy, undo);
  const maker = daemonOf({ instance: 'maker', role: 'maker' }, stage.maker, undo);
  const folder = join(stage.proxy.dataDir, 'close');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const place = { directory: join(directory, 'watch'), folder, rpcUrl: () => node.url };
  const watch = await watchOf('watch', place, undo);
  await Promise.all([maker.start(), proxy.start()]);
  const rig = (worker: string) => ({ ...stage.stratum, worker, hashesPerSecond: 30_000 });
  await miners([rig('farm.one'), rig('farm.two')], undo);
  await untilPaid(stage);
  await watch.start();
  return { stage, blocks, proxy, maker, watch, daemons: [proxy, maker, watch], node };
}

/** The maker stops, dies, loses its pool; the proxy loses its node and its disk; blocks are replaced. */
async function playSelling(script: Script, sold: Selling): Promise<void> {
  const { stage, proxy, maker, blocks } = sold;
  await script.play({
    name: 'the maker hangs',
    fires: [
      ['DaemonDown', 'maker'],
      ['UnsignedExposureHigh', 'proxy'],
    ],
    mayFire: [['PeerAway', 'proxy']],
    cause: () => process.kill(maker.pid, 'SIGSTOP'),
    step: 'ask the market maker; it goes on',
    mend: () => process.kill(maker.pid, 'SIGCONT'),
  });
  await untilPaid(stage);
  const nodeScene = playNode(script, sold);
  await script.play({
    name: 'the maker dies',
    fires: [
      ['DaemonDown', 'maker'],
      ['PeerAway', 'proxy'],
    ],
    mayFire: [['UnsignedExposureHigh', 'proxy']],
    cause: () => maker.kill(),
    step: 'start the process',
    mend: () => maker.start(),
  });
  await nodeScene;
  await untilPaid(stage);
  const pool = stage.makerPool!;
  await script.play({
    name: 'the pool of the maker dies',
    fires: [['MakerWithoutWork', 'maker']],
    cause: () => {
      pool.faults.refusing = true;
      pool.disconnectAll();
    },
    step: 'mend the pool',
    mend: () => {
      pool.faults.refusing = false;
    },
  });
  await reorganise(blocks, proxy);
  await untilPaid(stage);
  await script.play({
    name: 'the disk of the proxy is full',
    fires: [
      ['LedgerError', 'proxy'],
      ['LedgerHeld', 'proxy'],
      ['ChannelSuspended', 'proxy'],
      ['MinersLetGo', 'proxy'],
      ['LogBlocked', 'proxy'],
    ],
    mayFire: [
      ['DaemonDown', 'maker'],
      ['UnsignedExposureHigh', 'proxy'],
      ['PeerAway', 'proxy'],
      ['PeerAway', 'maker'],
      ['MinersDropped', 'proxy'],
      ['HashrateDropped', 'proxy'],
      ['RejectRatioHigh', 'proxy'],
    ],
    // From now on nothing that it writes finds room, nor does a state that is due and comes then.
    cause: async () => {
      process.kill(maker.pid, 'SIGSTOP');
      await untilOwed(stage);
      proxy.limit('--fsize=1:unlimited');
      process.kill(maker.pid, 'SIGCONT');
    },
    step: 'make room; it goes on by itself',
    mend: () => proxy.limit('--fsize=unlimited:unlimited'),
  });
}

/** The only node of the proxy, which its watch has too. */
function playNode(script: Script, { node }: Selling): Promise<void> {
  return script.play({
    name: 'the node of the proxy and its watch dies',
    fires: [
      ['ChainNodeDown', 'proxy'],
      ['ChainNodeDown', 'watch'],
      ['ChainTipOld', 'proxy'],
      ['ChainStalled', 'proxy'],
    ],
    mayFire: [['ChainNodeDown', 'second-watch']],
    cause: () => node.close(),
    step: 'start the node, or name another',
    mend: () => node.open(),
  });
}

/** Three blocks are replaced by others: nobody has anything to do. */
async function reorganise({ chain }: Blocks, proxy: Instance): Promise<void> {
  chain.invalidateTip(3);
  chain.generate(5);
  const { height } = chain;
  await until('the new blocks at the proxy', async () => {
    const status = await readStatus(proxy.target.url);
    return (status?.chain?.height ?? 0) >= height ? true : undefined;
  });
}

/** The time to close comes, and no block takes the close for a while. */
async function playExpiry(script: Script, { stage, blocks, proxy }: Selling): Promise<void> {
  const contract = (await readStatus(proxy.target.url))?.contract;
  const expiryHeight = contract?.channel.expiry_height;
  const { chain } = stage;
  await script.play({
    name: 'the channel nears its expiry',
    fires: [
      ['ChannelExpiryNear', 'proxy'],
      ['ChannelExpiryNear', 'maker'],
      ['LadderClosing', 'watch'],
    ],
    // No block comes meanwhile, for nobody.
    mayFire: [
      ['ChainTipOld', 'proxy'],
      ['ChainStalled', 'proxy'],
      ['LadderClosing', 'second-watch'],
      ['ChannelUnserved', 'spoiled'],
      // So many blocks at once are a whole day of the chain.
      ['LeavingPays', 'proxy'],
      ['LeavingPays', 'maker'],
      // Its close waits for a block that does not come.
      ['ChannelUnserved', 'proxy'],
      // Until the maker closes, its pool is busy with them.
      ['MakerWithoutWork', 'maker'],
    ],
    // All at once: otherwise a close that is due earlier were in a block before anybody sees it.
    cause: () => {
      blocks.isPaused = true;
      chain.generate(expiryHeight! - NEAR_BLOCKS + 1 - chain.height);
    },
    step: 'sharestream channel close; it was sent already, and a block takes it',
    mend: () => {
      blocks.isPaused = false;
    },
  });
}

/** A proxy that sells nothing, with bad rigs, rigs that leave, a pool that refuses, is silent and dies. */
async function playOwn(
  script: Script,
  { directory, prometheus, undo }: DayDeps,
  sold: Selling,
): Promise<void> {
  const pool = await poolOn(otherChain(), 'own', undo);
  const place = await ownProxy(join(directory, 'own'), { pool, node: sold.node });
  let isTold = true;
  const telling = setInterval(() => isTold && pool.announce(false), 1_000);
  undo(async () => clearInterval(telling));
  const own = daemonOf({ instance: 'own', role: 'proxy' }, place, undo);
  await own.start();
  const rig = (worker: string) => ({ ...place.stratum, worker, hashesPerSecond: 20_000 });
  const farm = (): Promise<Fleet> => miners([rig('farm.one'), rig('farm.two')], undo);
  let fleet = await farm();
  await until('a share', async () => {
    const [report] = await fleet.refresh();
    return (report?.accepted ?? 0) > 0 ? true : undefined;
  });
  prometheus.add(own.target);
  let weak: Fleet | undefined;
  await script.play({
    name: 'rigs send shares that are too easy, and the pool refuses what is good',
    fires: [
      ['RejectRatioHigh', 'own'],
      ['UpstreamDisagrees', 'own'],
    ],
    cause: async () => {
      pool.faults.refuseShares = true;
      weak = await miners(
        [{ ...place.stratum, worker: 'farm.weak', hashesPerSecond: 20_000, behaviour: 'low_difficulty' }],
        undo,
      );
    },
    step: 'change the firmware of the rig, and the pool',
    mend: async () => {
      pool.faults.refuseShares = false;
      await weak!.stop();
    },
  });
  await script.play({
    name: 'all rigs leave',
    fires: [
      ['MinersDropped', 'own'],
      ['HashrateDropped', 'own'],
    ],
    cause: () => fleet.stop(),
    step: 'turn them on',
    mend: async () => {
      fleet = await farm();
    },
  });
  await script.play({
    name: 'the pool gives no new work',
    fires: [['JobStale', 'own']],
    mayFire: [
      ['UpstreamDown', 'own'],
      ['RejectRatioHigh', 'own'],
    ],
    cause: () => {
      isTold = false;
    },
    step: 'restart the destination',
    mend: () => {
      isTold = true;
    },
  });
  await script.play({
    name: 'the only pool dies',
    fires: [['UpstreamDown', 'own']],
    mayFire: [
      ['MinersLetGo', 'own'],
      ['JobStale', 'own'],
      ['RejectRatioHigh', 'own'],
    ],
    cause: () => {
      pool.faults.refusing = true;
      pool.disconnectAll();
    },
    step: 'start the pool, or add a fallback',
    mend: () => {
      pool.faults.refusing = false;
    },
  });
}

/**
 * A proxy with a spoiled ledger, a channel in its files, a wrong clock and a slow kernel; and one whose node
 * is not there at the start, with a maker that is nowhere.
 */
async function playSpoiled(
  script: Script,
  { directory, prometheus, undo }: DayDeps,
  sold: Selling,
): Promise<void> {
  const node = await Node.at(sold.stage.chain, undo);
  await node.open();
  const pool = await poolOn(sold.stage.chain, 'spoiled', undo);
  const [port] = await freePorts(1, systemRandom);
  const folder = join(directory, 'spoiled');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const rest = contractWithNobody(folder, port!);
  const place = await ownProxy(folder, { pool, node, rest });
  writeFileSync(join(place.dataDir, 'ledger.sqlite'), 'x'.repeat(20_000));
  copyLadders(join(sold.proxy.dataDir, 'close'), join(place.dataDir, 'close'));
  const kernel = readFileSync(join(sold.proxy.dataDir, 'kernel.json'), 'utf8');
  writeFileSync(join(place.dataDir, 'kernel.json'), kernel.replace(/"kind":\s*"\w+"/, '"kind":"portable"'));
  const spoiled = daemonOf({ instance: 'spoiled', role: 'proxy' }, place, undo);
  await script.play({
    name: 'a proxy starts on a spoiled ledger, at a wrong hour, with a slow kernel',
    fires: [
      ['CloseOnly', 'spoiled'],
      ['LedgerError', 'spoiled'],
      ['ChannelUnserved', 'spoiled'],
      ['ClockWrong', 'spoiled'],
      ['KernelFallback', 'spoiled'],
    ],
    cause: async () => {
      await spoiled.start(fastClock(2, Date.now() - 1_000_000).env());
      prometheus.add(spoiled.target);
    },
    step: 'take it out of the scrape, and set up another: a backup, the right hour, the right Node',
    mend: async () => {
      await prometheus.remove(spoiled.target);
      await spoiled.kill();
    },
  });
}

/** A second watch: of what cannot be read, of nothing, and one that is started again and again. */
async function playWatch(
  script: Script,
  { directory, prometheus, undo }: DayDeps,
  sold: Selling,
): Promise<void> {
  const folder = join(directory, 'second-watch', 'ladders');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const empty = await Node.at(otherChain(), undo);
  await empty.open();
  let node = empty;
  const at = { directory: join(directory, 'second-watch'), folder, rpcUrl: () => node.url };
  const watch = await watchOf('second-watch', at, undo);
  const closeDir = join(sold.proxy.dataDir, 'close');
  let isHeld = true;
  let holding: Promise<void> | undefined;
  await script.play({
    name: 'a watch has an old copy, nonsense beside it, and a node of another chain; its log is full',
    fires: [
      ['LadderOld', 'second-watch'],
      ['LadderUnreadable', 'second-watch'],
      ['LadderMissing', 'second-watch'],
      ['LogBlocked', 'second-watch'],
    ],
    mayFire: [['DaemonDown', 'second-watch']],
    cause: async () => {
      copyLadders(closeDir, folder);
      const [name] = readdirSync(folder);
      writeFileSync(join(folder, `other-${name}`), 'nonsense');
      // Ten minutes a second: the copy grows old, and a line of the log comes each tenth of one.
      await watch.start(fastClock(600).env());
      prometheus.add(watch.target);
      watch.limit(`--fsize=${statSync(watch.logFile).size}:unlimited`);
    },
    step: 'mount the folder, name a node that follows the chain, make room',
    mend: async () => {
      await watch.kill();
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
      node = sold.node;
      await watch.start();
    },
  });
  await script.play({
    name: 'a watch has nothing to watch',
    fires: [['WatchEmpty', 'second-watch']],
    cause: () => {},
    step: 'give it the folder',
    mend: () => copyLadders(closeDir, folder),
  });
  await script.play({
    name: 'a watch is ended again and again, and has few descriptors',
    fires: [
      ['DaemonRestarting', 'second-watch'],
      ['DescriptorsLow', 'second-watch'],
    ],
    mayFire: [['DaemonDown', 'second-watch']],
    cause: async () => {
      for (let times = 0; times < 3; times += 1) {
        await watch.kill();
        await watch.start({}, ['prlimit', `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`]);
        const startedAt = await startOf(watch);
        await until('the start at Prometheus', async () => {
          const seen = await prometheus.query(
            `sharestream_start_time_seconds{instance="second-watch"} > ${startedAt - 0.5}`,
          );
          return seen.length > 0 ? true : undefined;
        });
      }
      holding = holdDescriptors(watch, () => isHeld);
      // Awaited where it is mended.
      holding.catch(() => {});
    },
    step: 'do what the log says, raise LimitNOFILE',
    mend: async () => {
      isHeld = false;
      await holding;
      await watch.kill();
      await watch.start();
    },
  });
}

/** Has so many connections to a watch that nearly all of its descriptors are taken. */
async function holdDescriptors(watch: Instance, isHeld: () => boolean): Promise<void> {
  const { hostname, port } = new URL(watch.target.url);
  const sockets = new Set<Socket>();
  while (isHeld()) {
    const open = readdirSync(`/proc/${watch.pid}/fd`).length;
    for (let missing = DESCRIPTORS - 3 - open; missing > 0; missing -= 1) {
      const socket = connect(Number(port), hostname);
      sockets.add(socket);
      socket.on('error', () => {}).on('close', () => sockets.delete(socket));
    }
    await sleep(300);
  }
  for (const socket of sockets) socket.destroy();
}

async function startOf(instance: Instance): Promise<number> {
  const text = await (await fetch(`${instance.target.url}/metrics`)).text();
  return Number(/^sharestream_start_time_seconds (\S+)$/m.exec(text)?.[1]);
}

/** A proxy whose node boots late and whose maker is nowhere. */
async function playBoot(
  script: Script,
  { directory, prometheus, undo }: DayDeps,
  sold: Selling,
): Promise<void> {
  const node = await Node.at(sold.stage.chain, undo);
  const pool = await poolOn(sold.stage.chain, 'boot', undo);
  const [port] = await freePorts(1, systemRandom);
  const folder = join(directory, 'boot');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const place = await ownProxy(folder, {
    pool,
    node,
    rest: contractWithNobody(folder, port!),
  });
  const boot = daemonOf({ instance: 'boot', role: 'proxy' }, place, undo);
  await script.play({
    name: 'a proxy starts, and its node does not',
    fires: [
      ['PartWaiting', 'boot'],
      ['ChainNodeDown', 'boot'],
    ],
    cause: async () => {
      await boot.start();
      prometheus.add(boot.target);
    },
    step: 'start the node',
    mend: () => node.open(),
  });
  await script.play({
    name: 'there is no maker where the contract says',
    fires: [['PeerAway', 'boot']],
    cause: () => {},
    step: 'ask the market maker where it is',
  });
}

/** A contract that promises delivery, and miners that bring less, and then nothing. */
async function playPromised(script: Script, { directory, prometheus, undo }: DayDeps): Promise<void> {
  const life = await AuditorStage.start({ directory: join(directory, 'promised'), csvBlocks: 2016 }, undo);
  const { proxy, maker } = life.stage;
  prometheus.add(
    { instance: 'promised', role: 'proxy', url: proxy.metricsUrl },
    { instance: 'buyer', role: 'maker', url: maker.metricsUrl },
    { instance: 'auditor', role: 'auditor', url: life.auditorUrl },
  );
  // Its clock runs twenty times as fast, and so it looks for a backup every three seconds.
  const ledger = join(maker.dataDir, 'ledger.sqlite');
  await script.play({
    name: 'the last backup is eight days old',
    fires: [['BackupOld', 'buyer']],
    cause: () => {
      writeFileSync(backupMark(ledger), '');
      const longAgo = new Date(Date.now() - WEEK_MS - DAY_MS);
      utimesSync(backupMark(ledger), longAgo, longAgo);
    },
    step: 'sharestream ledger backup',
    mend: () => backupLedger(ledger, join(maker.dataDir, 'backup.sqlite')),
  });
  life.stage.makerPool!.faults.withholdBlocks = true;
  await script.play({
    name: 'no miner works, though delivery is promised',
    fires: [
      ['DeliveryDefault', 'promised'],
      ['DeliveryDefault', 'buyer'],
    ],
    mayFire: [
      ['DeliveryShort', 'promised'],
      ['DeliveryShort', 'buyer'],
      ['HashrateDropped', 'promised'],
      // Of a few shares one that is late is more than one in twenty.
      ['UpstreamDisagrees', 'promised'],
      ['UpstreamDisagrees', 'buyer'],
    ],
    cause: () => life.fleet.setRate(0, 0),
    step: 'bring the hashrate back, and more of it before the height of the status',
    mend: () => life.fleet.setRate(0, MADE_UP_HPS),
  });
}
